"""What a simulator is to the check, and the register of those that there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spu.base.errors import NotServed, SimulatorFailed, UsageError
from spu.base.names import shorten, suggest
from spu.spice.simulators.analyses import (
    Ac,
    AcTogether,
    Analysis,
    DcSweep,
    DeclaredNoise,
    Noise,
    OperatingPoint,
    Transient,
    Waveforms,
)

if TYPE_CHECKING:
    from spu.spice.deck import Deck


class Simulator(ABC):
    """A program that runs netlists.

    Attributes
    ----------
    name:
        What users call it; what it found stands under that name in a `spu.Check`.
    dialect:
        Name of the dialect whose netlists `run` takes.
    analyses:
        Kinds of analysis that it can serve.
    reasons:
        Why it does not serve others, where that is worth saying: the end of a sentence.
    floating:
        Whether it has sweeps of small signals of circuits that have no single operating point.
    """

    name: str
    dialect: str = "ngspice"
    analyses: tuple[type[Analysis], ...]
    reasons: ClassVar[dict[type[Analysis], str]] = {}
    floating: bool = True

    @abstractmethod
    def run(
        self, deck: str, analyses: Sequence[Analysis], *, time_limit: float, folder: str | Path | None = None
    ) -> list[dict[str, NDArray[Any]]]:
        """Run a netlist.

        Parameters
        ----------
        deck:
            Its text, without analyses.
        analyses:
            What to do with it, one after the other.
        time_limit:
            Seconds for all of it.
        folder:
            Where files lie that the netlist reads.

        Returns
        -------
        list of dict
            For each analysis its vectors by name, all that were asked for: see `spu.spice.simulators.analyses`.

        Raises
        ------
        SimulatorMissing
            If the simulator is not there.
        DeckError
            If it does not take the netlist.
        SimulatorFailed
            If it failed, or took too long.
        NotServed
            For an analysis that it has not.
        """

    def driven(self, deck: Deck, waveforms: Waveforms, folder: Path) -> str:  # noqa: ARG002
        """Give the text of a netlist with voltage sources that follow waveforms; files that it reads go to ``folder``.

        Raises
        ------
        NotServed
            If it has no such sources.
        """
        raise NotServed(self.lacks(Waveforms))

    def available(self) -> bool:
        """Whether it is installed."""
        return True

    def version(self) -> str:
        """What it says of its version; in words where it says nothing."""
        return "does not say"

    def serves(self, analysis: type[Analysis]) -> bool:
        """Whether it has a kind of analysis."""
        return analysis in self.analyses

    def lacks(self, *analyses: type[Analysis]) -> str:
        """Say which of some kinds of analysis it has not; empty if it has them all."""
        missing = [analysis.called for analysis in analyses if not self.serves(analysis)]
        known = [self.reasons[each] for each in analyses if each in self.reasons and not self.serves(each)]
        why = "".join(f": {reason}" for reason in known)
        return f"the simulator {self.name} has no {' and no '.join(missing)}{why}" if missing else ""

    def require(self, *analyses: type[Analysis]) -> None:
        """Refuse what it has not.

        Raises
        ------
        NotServed
            Naming the kinds of analysis.
        """
        if missing := self.lacks(*analyses):
            raise NotServed(missing)


SIMULATORS: dict[str, Simulator] = {}
"""Simulators by name; `register` adds one."""

TAKEN = ("ideal", "emulator", "samples")
"""What a simulator cannot be called: results stand under its name beside these."""


def register(simulator: Simulator) -> Simulator:
    """Add a simulator to `SIMULATORS`; one of the same name is replaced.

    Raises
    ------
    UsageError
        If it is no `Simulator`, has no name or no kinds of analysis, or is called like something else in a check.
    """
    if not isinstance(simulator, Simulator):
        raise UsageError(f"a simulator is an instance of a class that derives from Simulator, not {simulator!r}")
    said = type(simulator).__name__
    if not isinstance(getattr(simulator, "name", None), str):
        raise UsageError(f"simulator {said} has no name")
    kinds = getattr(simulator, "analyses", None)
    if not isinstance(kinds, tuple) or not all(isinstance(kind, type) and issubclass(kind, Analysis) for kind in kinds):
        raise UsageError(f"simulator {said}: analyses is a tuple of kinds of analysis, not {kinds!r}")
    if simulator.name in TAKEN:
        raise UsageError(f"a simulator cannot be called {simulator.name}: a check calls something else so")
    SIMULATORS[simulator.name] = simulator
    return simulator


def complete(
    simulator: Simulator, analyses: Sequence[Analysis], found: list[dict[str, NDArray[Any]]]
) -> list[dict[str, NDArray[Any]]]:
    """What a simulator gave, if it is what `Simulator.run` promises.

    Raises
    ------
    SimulatorFailed
        Naming the simulator, the analysis, and what is amiss: a dict too few or too many, a node that is missing, an
        array of another shape.
    """
    if not isinstance(found, list) or len(found) != len(analyses) or not all(isinstance(one, dict) for one in found):
        raise SimulatorFailed(f"simulator {simulator.name} must give a list of {len(analyses)} dicts: one an analysis")
    for analysis, vectors in zip(analyses, found, strict=True):
        names, points = _promised(analysis)
        asked = f"the simulator {simulator.name}, asked for {analysis.called}, gave"
        for name in names:
            values = vectors.get(name, vectors.get(name.lower()))
            if values is None:
                raise SimulatorFailed(f"{asked} no {name}")
            points = np.size(values) if points is None else points
            if np.shape(values) != (points,):
                raise SimulatorFailed(f"{asked} {name} of shape {np.shape(values)}, not {(points,)}")
    return found


def _promised(analysis: Analysis) -> tuple[tuple[str, ...], int | None]:
    """Names of what an analysis gives, and the length of each; None where it is that of the first."""
    match analysis:
        case OperatingPoint(vectors):
            return vectors or (), 1
        case DcSweep(points=points, vectors=vectors):
            return vectors, points
        case Ac(vectors=vectors) | AcTogether(vectors=vectors):
            return ("frequency", *vectors), None
        case Noise():
            return ("frequency", "total"), None
        case Transient(vectors=vectors):
            return ("time", *vectors), None
        case DeclaredNoise(elements):
            return elements, 5
    return (), None


def require_dialect(simulator: Simulator, dialect: str, what: str) -> None:
    """Refuse a simulator that takes another language than the one that something is written in for it.

    Raises
    ------
    UsageError
        Naming both.
    """
    if simulator.dialect != dialect:
        able = [name for name, each in SIMULATORS.items() if each.dialect == dialect]
        raise UsageError(
            f"the simulator {simulator.name} takes {simulator.dialect}'s language, and {what} is written in "
            f"{dialect}'s: {', '.join(able)} take that"
        )


def find_simulators(given: str | Simulator | Sequence[str | Simulator]) -> tuple[Simulator, ...]:
    """The simulators of a name or of several, in their order.

    Raises
    ------
    UsageError
        If there is none of a name, if there is no name, or if one is there twice.
    """
    if not isinstance(given, (str, Simulator, Sequence)):
        raise UsageError(f"a simulator is a name, an object or several of them, not {shorten(given)}")
    found = tuple(find_simulator(each) for each in ([given] if isinstance(given, (str, Simulator)) else given))
    if not found:
        raise UsageError("no simulator is named: give one, or several")
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise UsageError(f"the simulator {next(name for name in names if names.count(name) > 1)} is there twice")
    return found


def find_simulator(given: str | Simulator) -> Simulator:
    """The simulator of a name; one that is given stays as it is.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if isinstance(given, Simulator):
        return given
    found = SIMULATORS.get(given) if isinstance(given, str) else None
    if found is None:
        raise UsageError(f"no simulator {shorten(given)}; {suggest(given, SIMULATORS)}")
    return found
