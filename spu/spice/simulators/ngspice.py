"""ngspice's analyses as its commands; its library through PySpice, one child process a run, with a time limit."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spu.base.errors import DeckError, NgspiceFailed, NgspiceMissing, NotServed, SimulatorFailed
from spu.base.process import child, scratch_folder
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
from spu.spice.simulators.simulator import Simulator

if TYPE_CHECKING:
    from spu.spice.deck import Deck

INSTALL = "install the packages ngspice and libngspice0 (Debian, Ubuntu: apt-get install ngspice libngspice0)"

_MEMORY_LIMIT = 6 * 2**30
LONGEST = 1e6  # s: more than that the system's clocks do not take

_WORKER = str(Path(__file__).with_name("worker.py"))
CONFINED = str(Path(__file__).with_name("confined.py"))
"""Run by their paths: as modules they would bring all that stands around them, many times in a check."""


LONG = 3000
"""Lines of a netlist from which on each analysis has the circuit made anew. ngspice orders the equations of a new one
in a time that grows with their number, and those that it had ordered before in one that grows with the square, or
worse: of 10,000 RC sections half a second against ten to a hundred."""

CHANNELS = 12
"""Of one file source: ngspice's reader has a line buffer of 512 characters."""


class Ngspice(Simulator):
    """ngspice, as a library in a child process."""

    name = "ngspice"
    dialect = "ngspice"
    analyses: tuple[type[Analysis], ...] = (
        OperatingPoint,
        DcSweep,
        Ac,
        AcTogether,
        Noise,
        Transient,
        DeclaredNoise,
        Waveforms,
    )

    def run(
        self, deck: str, analyses: Sequence[Analysis], *, time_limit: float, folder: str | Path | None = None
    ) -> list[dict[str, NDArray[Any]]]:
        """Run a netlist; as `Simulator.run`, with the time limit for each child process."""
        self.require(*map(type, analyses))
        found: list[dict[str, NDArray[Any]]] = []
        for part in _parts(analyses):
            steps = [translated(analysis, deck) for analysis in part]
            if _long(deck):
                steps = [steps[0], *(replace(step, commands=("reset", *step.commands)) for step in steps[1:])]
            raw = self.steps(deck, steps, time_limit=time_limit, folder=folder)
            found += [_named(analysis, vectors) for analysis, vectors in zip(part, raw, strict=True)]
        return found

    def steps(
        self, deck: str, steps: Sequence[Step], *, time_limit: float, folder: str | Path | None
    ) -> list[dict[str, NDArray[Any]]]:
        """Have one process take its commands; as `run` of this module."""
        return run(deck, steps, time_limit=time_limit, folder=folder)

    def driven(self, deck: Deck, waveforms: Waveforms, folder: Path) -> str:
        """Read the waveforms from files, by ngspice's file sources."""
        lines = deck.top_level()
        replaced: dict[str, str] = {}
        extra: list[str] = [".options xtrtol=7"]  # code models would force trtol=1
        # A file source loses the thread at its last row, so there is one more than is run.
        values = np.vstack([waveforms.values, waveforms.values[-1:]])
        instants = np.arange(len(values)) * waveforms.interval
        for first in range(0, values.shape[1], CHANNELS):
            block = values[:, first : first + CHANNELS]
            width = block.shape[1]
            file = folder / f"noise{first // CHANNELS}.txt"
            np.savetxt(file, np.column_stack([instants, block]), fmt="%.17g")
            nodes = [f"replay_{first + k}" for k in range(width)]
            model = f"replay_model_{first}"
            extra += [
                f"areplay_{first} %v([{' '.join(nodes)}]) {model}",
                f'.model {model} filesource (file="{file.name}" amploffset=[{" 0" * width}] amplscale=[{" 1" * width}] '
                "timeoffset=0 timescale=1 timerelative=false amplstep=false)",
            ]
            for node, element in zip(nodes, waveforms.elements[first : first + CHANNELS], strict=True):
                p, n = lines[element].text.split()[1:3]
                replaced[element] = f"e{element} {p} {n} {node} 0 1"
        return deck.text(replaced, tuple(extra))

    def available(self) -> bool:
        """Whether its library is there."""
        try:
            library()
        except NgspiceMissing:
            return False
        return True

    def version(self) -> str:
        """What the program says of itself: Debian's library comes from the same source."""
        program = shutil.which("ngspice")
        if program is None:
            return "no program of that name (the library is what is used)"
        return _said(program) or super().version()


@cache
def _said(program: str) -> str:
    """The version that a program called ngspice says; empty where it says none."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = done.stdout.replace("*", " ").split()
    return next((word.removeprefix("ngspice-") for word in words if word.startswith("ngspice-")), "")


def _long(deck: str) -> bool:
    return deck.count("\n") > LONG


def _parts(analyses: Sequence[Analysis]) -> list[list[Analysis]]:
    """Analyses by the child process that they share.

    A run in time leaves the generator of random numbers with one in store that no seed takes away, so a seeded one
    comes before all others of its process.
    """
    parts: list[list[Analysis]] = [[]]
    for analysis in analyses:
        timed = any(isinstance(before, (Transient, DeclaredNoise)) for before in parts[-1])
        if timed and isinstance(analysis, Transient) and analysis.seed is not None:
            parts.append([])
        parts[-1].append(analysis)
    return parts


def translated(analysis: Analysis, deck: str) -> Step:
    """An analysis of a deck in ngspice's words.

    Raises
    ------
    NotServed
        For one that is none of `Ngspice.analyses`.
    """
    match analysis:
        case OperatingPoint(vectors):
            return Step(("op",), "op", vectors)
        case DcSweep(source, first, last, points, vectors):
            step = (last - first) / (points - 1)
            beyond = last + 5e-10 * (last - first)  # rounding must not cost the last point
            return Step((f"dc {source} {_word(first)} {_word(beyond)} {_word(step)}",), "dc", vectors)
        case Ac(source, sweep, vectors):
            commands = (f"alter {source} acmag=1", f"ac {_decades(sweep)}", f"alter {source} acmag=0")
            return Step(commands, "ac", ("frequency", *vectors))
        case AcTogether(sources, amplitudes, sweep, vectors):
            on = (f"alter {source} acmag={_word(size)}" for source, size in zip(sources, amplitudes, strict=True))
            # Where the next analysis has a new circuit, that costs more than the sweep: a search for each source.
            off = () if _long(deck) else (f"alter {source} acmag=0" for source in sources)
            return Step((*on, f"ac {_decades(sweep)}", *off), "ac", ("frequency", *vectors))
        case Noise(output, reference, sweep, contributions):
            # ngspice makes code models of POLY, and takes them for dead in a second noise analysis of one circuit.
            poly = any("poly" in word for line in deck.lower().splitlines() for word in line.split()[3:])
            command = f"noise v({','.join(output)}) {reference} {_decades(sweep)}"
            return Step(
                (
                    *(["reset"] if poly else []),
                    f"alter {reference} acmag=1",
                    f"{command} 1" if contributions else command,
                    f"alter {reference} acmag=0",
                ),
                "noise",
                None if contributions else ("frequency", "onoise_spectrum"),
            )
        case Transient(stop, limit, interval, vectors, from_zero, seed):
            run = f"tran {_word(interval)} {_word(stop)} 0 {_word(limit)}{' uic' if from_zero else ''}"
            seeds = () if seed is None else (f"setseed {seed}",)
            return Step((*seeds, *save(vectors), run, "delete all"), "tran", ("time", *vectors), stop)
        case DeclaredNoise(elements):
            # A source reads its parameters when something is run.
            ask = (f"let declared{k} = @{element}[coeffs]" for k, element in enumerate(elements))
            names = tuple(f"declared{k}" for k in range(len(elements)))
            return Step(("tran 1e-15 1e-15 uic", *ask), "tran", names)
    raise NotServed(f"the simulator ngspice has no {analysis.called}")


def _word(number: float) -> str:
    return repr(float(number))


def _decades(sweep: Decades) -> str:
    return f"dec {sweep.per_decade} {_word(sweep.low)} {_word(sweep.high)}"


def _named(analysis: Analysis, vectors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What ngspice brought back, by the names and in the units of the analysis."""
    match analysis:
        case OperatingPoint():  # currents have a # in their names
            return {name: values.real for name, values in vectors.items() if "#" not in name}
        case Ac() | AcTogether():
            return {**vectors, "frequency": vectors["frequency"].real}
        case Noise():
            from spu.spice.reader.noise import plain_path  # what the child need not import

            found = {"frequency": vectors["frequency"].real, "total": vectors["onoise_spectrum"].real ** 2}
            each = {name for name in vectors if name.startswith("onoise_")} - {"onoise_spectrum"}
            if analysis.contributions:
                found |= {plain_path(name.removeprefix("onoise_")): vectors[name].real ** 2 for name in each}
            return found
        case DeclaredNoise(elements, functions):
            named = {}
            for k, (element, function) in enumerate(zip(elements, functions, strict=True)):
                values = np.resize(np.append(vectors[f"declared{k}"].real, [0.0] * 5), 5)
                # trnoise(rms, sample time, ...) is always normal, with the mean zero.
                normal = np.array([2.0, values[1], 0.0, values[0], 0.0])
                named[element] = normal if function == "trnoise" else values
            return named
    return {name: values.real for name, values in vectors.items()}


@dataclass(frozen=True)
class Step:
    """Commands for ngspice, and what to bring back afterwards.

    Attributes
    ----------
    commands:
        In ngspice's interactive language.
    kind:
        Kind of the plot to read (``op``, ``ac``, ``noise``, ``tran``); None to read nothing.
    fetch:
        Vectors by name; None for all.
    until:
        Seconds that the vector ``time`` must reach: ngspice may give up half-way and still
        return what it has.
    """

    commands: tuple[str, ...]
    kind: str | None = None
    fetch: tuple[str, ...] | None = None
    until: float = 0.0


def save(nodes: Iterable[str]) -> tuple[str, ...]:
    """Commands that keep the voltages of nodes, as many as it takes: of `MOST_CHARACTERS` at most."""
    lines = ["save"]
    for node in dict.fromkeys(nodes):
        if len(lines[-1]) + len(node) + 4 > MOST_CHARACTERS:
            lines.append("save")
        lines[-1] += f" v({node})"
    return tuple(lines) if lines != ["save"] else ()


MOST_CHARACTERS = 1023
"""Of a command: PySpice passes on no more, and ngspice would run what is left of a longer one."""


def library() -> str:
    """Name of the ngspice library.

    Raises
    ------
    NgspiceMissing
        Naming the packages to install.
    """
    named = os.environ.get("NGSPICE_LIBRARY_PATH")
    found = named or ctypes.util.find_library("ngspice")
    if not found:
        raise NgspiceMissing(f"ngspice's library (libngspice.so.0) is not installed; {INSTALL}")
    if named and os.sep in named and not Path(named).exists():
        raise NgspiceMissing(f"NGSPICE_LIBRARY_PATH names {named}, which is not there; {INSTALL}")
    return found


def run(
    deck: str, steps: Sequence[Step], *, time_limit: float, folder: str | Path | None = None
) -> list[dict[str, NDArray[Any]]]:
    """Run a deck in a child process.

    Parameters
    ----------
    deck:
        The netlist, without control blocks.
    steps:
        What to do with it.
    time_limit:
        Seconds, after which the child is killed.
    folder:
        Working folder of the child (for files the deck reads); a temporary one unless given.

    Returns
    -------
    For each step the vectors by name (lower case).

    Raises
    ------
    NgspiceMissing
        If the library is not there or does not load.
    DeckError
        If ngspice does not take the deck; the message is ngspice's own.
    NgspiceFailed
        If it crashed, hung, or a step gave no result.
    """
    refuse_long(steps)
    variables = _environment()
    with scratch_folder("ngspice") as scratch:
        request, result = scratch / "request.json", scratch / "result.npz"
        request.write_text(
            json.dumps(
                {
                    "deck": deck,
                    "steps": [{"commands": s.commands, "kind": s.kind, "fetch": s.fetch} for s in steps],
                }
            )
        )
        patience = min(time_limit, LONGEST)
        # The child confines itself: Python code between fork and exec is not safe where there are threads.
        limits = (str(os.getpid()), str(int(patience) + 10), str(_MEMORY_LIMIT))
        with child(
            [sys.executable, CONFINED, *limits, _WORKER, str(request), str(result)],
            cwd=folder or scratch,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as worker:
            try:
                _, complaint = worker.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                raise NgspiceFailed(f"ngspice did not finish within {time_limit:g} s and was stopped") from None
        if not result.exists():
            raise _died(worker.returncode, complaint)
        with np.load(result) as arrays:
            log = json.loads(str(arrays["log"]))
            found: list[dict[str, NDArray[Any]]] = [{} for _ in steps]
            for key, names in log["names"].items():
                found[int(key.partition("/")[0])].update(zip(names, arrays[key], strict=True))
    return judged(steps, found, log, "ngspice", NgspiceFailed)


def refuse_long(steps: Sequence[Step]) -> None:
    """Refuse a command that is longer than ngspice takes."""
    for command in (command for step in steps for command in step.commands):
        if len(command) > MOST_CHARACTERS:
            raise DeckError(
                f"a command for ngspice has over {MOST_CHARACTERS} characters, {command[:60]}...: shorten names"
            )


def judged(
    steps: Sequence[Step],
    found: list[dict[str, NDArray[Any]]],
    log: dict[str, Any],
    name: str,
    failed: type[SimulatorFailed],
) -> list[dict[str, NDArray[Any]]]:
    """What the steps gave, if all of it is there.

    Parameters
    ----------
    steps, found:
        What was asked for, and for each step the vectors by name.
    log:
        What ngspice printed: ``lines``, ``marks`` (how many of them when the deck was read, and after each step) and
        ``loaded``, whether it took the deck.
    name, failed:
        What is said to have failed, and the kind of error.

    Raises
    ------
    DeckError, SimulatorFailed
        As `run`; the second as ``failed``.
    """
    if not log["loaded"]:
        raise DeckError(f"{name} does not take the deck: {_complaint(log['lines'])}")
    for number, (step, vectors) in enumerate(zip(steps, found, strict=True)):
        loading = log["lines"][: log["marks"][0]]
        lines = log["lines"][log["marks"][number] : log["marks"][number + 1]]
        if any("error" in line.lower() for line in loading):
            lines = loading  # what went wrong first explains the rest
        missing = [vector for vector in step.fetch or () if not len(vectors.get(vector.lower(), ()))]
        if step.kind is not None and (missing or not vectors):
            what = f" lacks {', '.join(missing[:4])}" if vectors else " gave nothing"
            raise failed(f"{name}'s {step.kind}{what}: {_complaint(lines or log['lines'])}")
        if step.until and vectors["time"][-1] < step.until * (1 - 1e-9):
            raise failed(
                f"{name}'s transient stopped at {vectors['time'][-1]:.4g} s of {step.until:.4g} s: {_complaint(lines)}"
            )
    return found


_PASSED_ON = re.compile(
    r"PATH|LD_LIBRARY_PATH|DYLD_(FALLBACK_)?LIBRARY_PATH|PYTHON[A-Z]*|VIRTUAL_ENV|CONDA_PREFIX|LANG|LANGUAGE|LC_[A-Z]+|TZ"
    r"|TMPDIR|TEMP|TMP|OPENBLAS_CORETYPE|NPY_DISABLE_CPU_FEATURES|COVERAGE_[A-Z_]+"
)
"""Variables that a child needs to start Python and to find the library. ngspice reads a dozen others, among them
``SPICE_SCRIPTS``, the folder of a script that it runs whenever it starts."""


def _environment() -> dict[str, str]:
    """The variables of ngspice's child."""
    return {**environment(), "NGSPICE_LIBRARY_PATH": library()}


def environment() -> dict[str, str]:
    """The variables of a child: nothing of the user's ngspice set-up may change what is measured."""
    passed = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    # An empty one is not the same as none: ngspice then looks in a folder that it was built with.
    own = {"HOME": os.devnull, "SPICE_USERINIT_DIR": os.devnull, "NGSPICE_INPUT_DIR": os.devnull}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**passed, **own, **threads}


def _died(status: int, complaint: str) -> NgspiceFailed | NgspiceMissing:
    text = complaint.strip()
    if "cannot load library" in text or "No module named 'PySpice'" in text:
        return NgspiceMissing(f"ngspice's library does not load ({text.splitlines()[-1][:200]}); {INSTALL}")
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    last = text.splitlines()[-1][:200] if text else "no message"
    return NgspiceFailed(f"ngspice ended with {how}: {last}")


def _complaint(lines: list[str]) -> str:
    """The line of ngspice's log that says most about what went wrong."""
    texts = [line.partition(" ")[2].strip() for line in lines]
    texts = [text for text in texts if "cannot recover" not in text]  # the library's own farewell
    for sign in (
        "singular",
        "unknown subckt",
        "too small",
        "error",
        "unknown",
        "fatal",
        "not found",
        "no such",
        "can't",
        "warning",
    ):
        for k, text in enumerate(texts):
            if sign in text.lower() and not text.lower().startswith("note"):
                return " ".join(texts[k : k + 2])[:300]
    spoken = [text for text in texts if text]
    return spoken[-1][:300] if spoken else "no message"
