"""What an edited netlist changed: in its text, and in the answer.

The text is compared line by line, by the names of elements and parameters. The answer comes from the emulator where
it can read the netlist (a linear network), with ngspice beside it; else from ngspice alone, which linearises the
deck at its operating point (`spu.crosscheck.decks.linearised`), or of nonlinear cells samples it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.names import shorten
from spu.circuit.circuit import Circuit
from spu.circuit.readout import Readout
from spu.emulator.dynamics import dynamics
from spu.spice.deck import Deck
from spu.spice.dialects import DIALECTS, NGSPICE
from spu.spice.dialects.dialect import Dialect
from spu.spice.netlist import ramp_sources
from spu.spice.reader.lines import OPTIONS_COMMANDS
from spu.spice.vacask_deck import Statement

LISTED = 8
"""Entries of the covariance, or of the mean, that are listed: those that moved most."""

SCATTERS = 4.0
"""Standard errors by which samples have to differ, to be said to have moved."""

ROUNDING_OF_NUMBERS = 1e-13
"""Relative difference of two numbers in a netlist that are one."""

ROUNDING = 1e-6
"""Relative change below which an entry is said not to have moved: ngspice's Boltzmann constant is 3.5e-7 off."""


@dataclass(frozen=True)
class Edit:
    """One line of the netlist that is not as it was.

    Attributes
    ----------
    name:
        Of the element, parameter or the like, with its subcircuit in front: ``cell_crln/r1``.
    before, after:
        What differs: the words of an element that changed, the whole line of one that is new or gone (then ``after``
        or ``before`` is None).
    line:
        In the edited netlist; None for a line that is gone.
    file:
        The file the netlist includes that holds the line; None where that is the netlist.
    """

    name: str
    before: str | None
    after: str | None
    line: int | None
    file: str | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f" (line {self.line}{f' of {self.file}' if self.file else ''})"
        if self.before is None:
            return f"new: {self.after}{place}"
        if self.after is None:
            return f"gone: {self.before}"
        return f"{self.name}: {self.before} -> {self.after}{place}"


@dataclass(frozen=True)
class Moved:
    """An entry of the covariance (two variables), or of the mean (one), before and after."""

    variables: tuple[str, ...]
    before: float
    after: float
    relative: float
    """The change over ``sqrt(variance variance)``, or for a mean over the standard deviation, of the original."""


@dataclass(frozen=True, eq=False)
class Changes:
    """How the answer of an edited netlist differs from that of the original.

    Attributes
    ----------
    netlist:
        The file.
    source:
        ``emulator`` (which read the netlist) or ``ngspice`` (which linearised it, or sampled it).
    why:
        Why the emulator could not; empty where it could.
    edits:
        Of the text; None where there is nothing to compare with.
    mean_before, mean, covariance_before, covariance:
        Problem units, (p,) and (p, p); of means None where there is no operating point. A covariance that was not
        measured is nan.
    time_constants_before, time_constants:
        s, longest first; None where only ngspice knows the deck.
    mean_error, covariance_error:
        Standard errors of mean and covariance after, where they are of samples; else None.
    lagged_before, lagged:
        (p, p) lagged covariance, where that is the problem's answer and the emulator read the netlist; else None.
    """

    netlist: str
    source: str
    why: str
    variables: tuple[str, ...]
    edits: tuple[Edit, ...] | None
    mean_before: FloatArray | None
    mean: FloatArray | None
    covariance_before: FloatArray
    covariance: FloatArray
    time_constants_before: FloatArray | None
    time_constants: FloatArray | None
    reading_error: float | None = field(default=None)
    """Relative Frobenius difference of the two ways to the covariance, where both were taken."""
    remarks: tuple[str, ...] = ()
    """What no hardware has: codes out of range."""
    mean_error: FloatArray | None = None
    covariance_error: FloatArray | None = None
    lagged_before: FloatArray | None = None
    lagged: FloatArray | None = None
    missing: bool = False
    """Whether the simulator that was to confirm it is not there."""

    @property
    def lagged_change(self) -> float | None:
        """Relative, Frobenius; None where it is not known."""
        if self.lagged is None or self.lagged_before is None:
            return None
        return _relative(self.lagged, self.lagged_before)

    @property
    def measured(self) -> bool:
        """Whether any entry of the covariance after is known."""
        return bool(np.isfinite(self.covariance).any())

    @property
    def how(self) -> str:
        """How the answer was found, for people."""
        if not self.measured:
            return "only its text was compared"
        if self.source == "emulator":
            return "found by the emulator, which read the netlist"
        if self.covariance_error is not None:
            return f"found by {self.source}, in samples of its own noise: what scatters more is not listed"
        return f"found by {self.source}, linearised at the operating point"

    @property
    def unconfirmed(self) -> bool:
        """Whether the emulator alone found it, for want of a simulator."""
        return self.source == "emulator" and self.reading_error is None

    @property
    def covariance_change(self) -> float:
        """Relative, Frobenius, of what was measured."""
        return _relative(self.covariance, self.covariance_before)

    @property
    def mean_change(self) -> float | None:
        """Relative to the mean, or where that is zero to the standard deviations; None without means."""
        if self.mean is None or self.mean_before is None:
            return None
        size = float(np.linalg.norm(self.mean_before)) or float(np.sqrt(np.trace(self.covariance_before)))
        return float(np.linalg.norm(self.mean - self.mean_before)) / size if size else 0.0

    def moved_covariances(self) -> list[Moved]:
        """The entries that moved most, the worst first."""
        spread = np.sqrt(np.diag(self.covariance_before))
        scale = np.outer(spread, spread)
        gap = _beyond(self.covariance - self.covariance_before, self.covariance_error)
        relative = np.divide(gap, scale, where=scale > 0, out=np.zeros_like(scale))
        rows, columns = np.triu_indices(len(spread))
        return [
            Moved(
                (self.variables[i], self.variables[j]),
                float(self.covariance_before[i, j]),
                float(self.covariance[i, j]),
                float(relative[i, j]),
            )
            for i, j in _largest(relative[rows, columns], rows, columns)
        ]

    def moved_means(self) -> list[Moved]:
        """The means that moved most, the worst first; those that did not are left out."""
        if self.mean is None or self.mean_before is None:
            return []
        spread = np.sqrt(np.diag(self.covariance_before))
        gap = _beyond(self.mean - self.mean_before, self.mean_error)
        relative = np.divide(gap, spread, where=spread > 0, out=np.zeros_like(gap))
        return [
            Moved((self.variables[i],), float(self.mean_before[i]), float(self.mean[i]), float(relative[i]))
            for (i,) in _largest(relative, np.arange(len(gap)))
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures, as ``--json`` gives them (SI and problem units)."""
        return {
            "netlist": self.netlist,
            "source": self.source,
            "why": self.why or None,
            "edits": None if self.edits is None else [vars(edit) for edit in self.edits],
            "remarks": self.remarks,
            "covariance": {
                "relative_change": self.covariance_change if self.measured else None,
                "worst": [vars(moved) for moved in self.moved_covariances()],
                "before": self.covariance_before,
                "after": self.covariance if self.measured else None,
                "error": self.covariance_error,
            },
            "mean": {
                "relative_change": self.mean_change,
                "worst": [vars(moved) for moved in self.moved_means()],
                "before": self.mean_before,
                "after": self.mean,
                "error": self.mean_error,
            },
            **({} if self.lagged is None else {"lagged": self._lagged()}),
            "time_constants": {"before": self.time_constants_before, "after": self.time_constants},
            "reading_error": self.reading_error,
        }

    def _lagged(self) -> dict[str, Any]:
        return {"relative_change": self.lagged_change, "before": self.lagged_before, "after": self.lagged}


@dataclass(frozen=True, eq=False)
class Edited:
    """The netlist to be checked, the device's own as it lies on disk or one in its place.

    Attributes
    ----------
    circuit:
        As the emulator reads it, with the original's readout; None where it cannot.
    why:
        Why it cannot.
    original:
        The device's own netlist, if it is there.
    own:
        Whether it is the folder's own netlist, with nothing to compare its text with.
    moving:
        Lines that change with time, frequency or temperature.
    apart:
        Gives the circuit with the noise that ``.noise`` hears, and the one with what ``.tran`` hears; nothing where
        they cannot be read.
    """

    circuit: Circuit | None
    why: str
    original: Deck | None
    own: bool = False
    moving: tuple[MovingLine, ...] = ()
    apart: Callable[[], tuple[Circuit, ...]] = tuple


def _relative(found: FloatArray, reference: FloatArray) -> float:
    known = np.isfinite(found)
    size = float(np.linalg.norm(reference[known]))
    return float(np.linalg.norm((found - reference)[known])) / size if size else 0.0


def _beyond(change: FloatArray, error: FloatArray | None) -> FloatArray:
    """A change, where it is more than scatter; else zero."""
    return change if error is None else np.where(np.abs(change) > SCATTERS * error, change, 0.0)


def _largest(values: FloatArray, *indices: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    """Indices of the largest values that are neither nan nor nothing."""
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    for k in np.argsort(-size, kind="stable")[:LISTED]:
        if size[k] > ROUNDING:
            yield tuple(int(index[k]) for index in indices)


def in_problem_units(readout: Readout, mean: FloatArray | None, covariance: FloatArray) -> tuple[Any, FloatArray]:
    """Mean (n,) V and covariance (n, n) V^2 of the voltages through the readout; nan where that needs what is nan."""
    T = readout.matrix.toarray()
    unknown = np.isnan(covariance)
    found = T @ np.where(unknown, 0.0, covariance) @ T.T
    reached = (np.abs(T) @ unknown.astype(np.float64) @ np.abs(T).T) > 0
    centre = None if mean is None else T @ mean + readout.offset
    return centre, np.where(reached, np.nan, found)


def edits(original: Deck, edited: Deck) -> tuple[Edit, ...]:
    """Lines that differ, in the order of the edited deck; those that are gone come last.

    Left out are the seed, and where transients begin.
    """
    before, after = _by_name(original), _by_name(edited)
    found = []
    for name, (text, number, file) in after.items():
        where = (number, file if file and file != edited.file else None)
        if name not in before:
            found.append(Edit(name, None, text, *where))
        elif not _alike(before[name][0].split(), text.split()):
            found.append(Edit(name, *_differing(before[name][0].split(), text.split()), *where))
    found += [Edit(name, text, None, None) for name, (text, *_) in before.items() if name not in after]
    return tuple(found)


@dataclass(frozen=True)
class MovingLine:
    """A line of a deck that is not the same at all times, frequencies and temperatures.

    Attributes
    ----------
    number, name:
        Where it stands, and the first word.
    why:
        What it does.
    moves:
        Whether it does so while one simulation runs; one that goes by the temperature does not.
    """

    number: int
    name: str
    why: str
    moves: bool

    def __str__(self) -> str:
        return f"{shorten(self.name)[1:-1]} (line {self.number}) {self.why}"


_MOVES = re.compile(r"\b(time|hertz|temper)\b")

_TYPES = re.compile(r"\btype\s*=\s*\"(\w+)\"")
"""The same of languages that name the kind of a source."""

_WAVES = re.compile(r"(?<!\S)(sin|sine|pulse|pwl|exp|sffm|am)\s*(\(|\s[-+.\d{])")


def moving_lines(deck: Deck, circuit: Circuit) -> tuple[MovingLine, ...]:
    """Lines of a deck that make another circuit, or other currents, as time goes on, or with the simulation.

    Of these a check looks at one moment, one frequency or one temperature only. Sources of the circuit's own ramp are
    none of them as long as they say what it says.
    """
    found = []
    own = _own_ramp(circuit, DIALECTS[deck.dialect])
    for line in deck.lines:
        text, name = line.text.lower(), line.words[0]
        if line.words in own:
            continue
        # Nodes may have any name: words count behind "=", in braces and in quotes.
        spoken = " ".join([*re.findall(r"\{[^}]*\}|'[^']*'|\"[^\"]*\"", text), text.partition("=")[2]])
        words = {match[1] for match in _MOVES.finditer(spoken)}
        wave = _WAVES.search(text) or _TYPES.search(text) if name[0] in "vi" else None
        if name[0] in "sw" and deck.dialect == "ngspice":
            found.append(MovingLine(line.number, name, "is a switch", True))
        elif words:
            found.append(MovingLine(line.number, name, f"depends on {', '.join(sorted(words))}", words != {"temper"}))
        elif wave is not None:
            found.append(MovingLine(line.number, name, f"has a waveform ({wave[1]})", True))
    return tuple(found)


def _own_ramp(circuit: Circuit, dialect: Dialect) -> list[list[str]]:
    """Words of the lines that a netlist of the circuit has for its ramp."""
    lines: list[list[str]] = []
    if circuit.ramp is not None:
        for text in ramp_sources(dynamics(circuit), dialect):
            words = text.lower().split() if dialect is NGSPICE else Statement(text, 0, "").words
            if text.startswith("+"):
                lines[-1] += words[1:]
            elif not text.startswith(dialect.remark):
                lines.append(words)
    return lines


def codes_out_of_range(circuit: Circuit, deck: Deck) -> tuple[str, ...]:
    """Codes on instance lines of the deck that the banks of the device do not have."""
    codes = {group.subcircuit.name.lower(): group.subcircuit.codes for group in circuit.instances}
    found = []
    for name, line in deck.top_level().items():
        template = next((word for word in line.words if word in codes), None)
        if name[0] != "x" or template is None:
            continue
        for setting in re.findall(r"(\w+)\s*=\s*(\S+)", line.text.lower()):
            if setting[0] in codes[template]:
                least, most = codes[template][setting[0]]
                if not re.fullmatch(r"[-+]?\d+", setting[1]) or not least <= int(setting[1]) <= most:
                    found.append(
                        f"line {line.number}: {setting[0]}={setting[1]} of {name} is no code that the hardware has: "
                        f"they are whole, {least} to {most}"
                    )
    return tuple(found)


def _by_name(deck: Deck) -> dict[str, tuple[str, int, str]]:
    """What is written of each name; of one that is written twice the first, and ``NAME again``."""
    found: dict[str, tuple[str, int, str]] = {}
    for name, written in _named(deck):
        while name in found:
            name += " again"
        found[name] = written
    return found


def _named(deck: Deck) -> Iterator[tuple[str, tuple[str, int, str]]]:
    """Each element, parameter, option and the like by its name, and what is written of it."""
    scope: list[str] = []
    for line in deck.lines:
        words = line.words
        # Where statements have no dot, elements are not called like them.
        kind = words[0][1:] if words[0][0] == "." else words[0] if deck.dialect != "ngspice" else ""
        if kind == "subckt":
            scope.append(words[1] if len(words) > 1 else "")
            yield "/".join([*scope, ""]), (line.text, line.number, line.file)
        elif kind == "ends":
            del scope[-1:]
        elif kind in ("param", "parameters"):
            yield "/".join([*scope, line.text.split("=", 1)[0].strip().lower()]), (line.text, line.number, line.file)
        elif kind == words[0] and kind in ("load", "include", "model", "ground"):
            yield " ".join(words[:2]), (line.text, line.number, line.file)
        elif words[0] in OPTIONS_COMMANDS or kind == "options":
            for word in re.sub(r"\s*=\s*", "=", " ".join(words[1:])).split():
                if not word.startswith("seed="):
                    yield f".options {word.partition('=')[0]}", (word, line.number, line.file)
        elif words[0][0].isalpha():
            yield "/".join([*scope, words[0]]), (line.text, line.number, line.file)
        elif words[0] not in (".ic", ".nodeset"):
            name = re.split(r"[\s(]+", line.text.lower())[1:2]
            yield "/".join([*scope, " ".join([words[0], *name])]), (line.text, line.number, line.file)


def _alike(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether words are the same, but for the last digits of numbers: those of another processor may differ."""
    return len(before) == len(after) and all(a == b or _digits(a, b) for a, b in zip(before, after, strict=True))


def _digits(a: str, b: str) -> bool:
    (x, p), (y, q) = a.rpartition("=")[::2], b.rpartition("=")[::2]
    try:
        return x == y and abs(float(p) - float(q)) <= ROUNDING_OF_NUMBERS * abs(float(p))
    except ValueError:
        return False


def _differing(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    """The words that are not the same, or all of them where their number is not."""
    if len(before) == len(after):
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        return " ".join(a for a, _ in pairs), " ".join(b for _, b in pairs)
    return " ".join(before), " ".join(after)
