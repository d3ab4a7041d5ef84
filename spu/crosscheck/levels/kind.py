"""What a level is to the check: an entry of the register `spu.crosscheck.levels.LEVELS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spu.crosscheck.context import Context
from spu.crosscheck.result import Level
from spu.emulator.dynamics import Dynamics
from spu.spice.simulators.analyses import Analysis


@dataclass(frozen=True)
class Way:
    """How a level looks at a circuit.

    Attributes
    ----------
    run:
        Compares, and says what it found.
    needs:
        Analyses of the simulator without which it is skipped.
    compares, failing:
        In the place of the level's own words, where it looks at something else.
    large:
        Whether it takes circuits that are too large for whole matrices, too.
    conclude:
        Of a level that is judged by what others find: gives it anew when all have run, from what it said and what
        they say.
    """

    run: Callable[[Context], Level]
    needs: tuple[type[Analysis], ...] = ()
    conclude: Callable[[Context, Level, Mapping[str, Level]], Level] | None = None
    compares: str = ""
    failing: str = ""
    large: bool = False


@dataclass(frozen=True)
class LevelKind:
    """A level of the check.

    Attributes
    ----------
    name:
        As users ask for it.
    ways:
        How it looks at a circuit: at all of them, or by the name of their dynamics (`spu.emulator.dynamics`).
    compares:
        What it sets side by side, for people; ``{}`` stands for the simulator's name.
    failing:
        What it means that it fails, in words: the end of a sentence; ``{}`` stands for the simulator's name.
    without:
        Why it is skipped for dynamics that it has no way for.
    netlist:
        Whether it needs a netlist.
    incomplete:
        Whether it has something to say of a netlist that lacks a noise source.
    together:
        Whether it takes the programmings of an ensemble as one.
    planned:
        Whether it takes as many samples as ``detect`` or ``budget`` ask for.
    judges:
        Whether it judges an edited netlist by its answer, and runs unasked where an accuracy is given for that.
    """

    name: str
    ways: Way | Mapping[str, Way]
    compares: str
    failing: str
    without: str = ""
    netlist: bool = True
    incomplete: bool = False
    together: bool = False
    planned: bool = False
    judges: bool = False

    def way(self, dynamics: Dynamics) -> Way | None:
        """How it looks at a kind of dynamics; None where it has nothing to say."""
        return self.ways if isinstance(self.ways, Way) else self.ways.get(dynamics.name)

    def in_words(self, level: Level, context: Context) -> Level:
        """An outcome with what was compared, and what it means that it fails."""
        way = self.way(context.dynamics)
        failing = (way.failing if way is not None else "") or self.failing
        failing = failing.format(context.simulator.name)
        return replace(level, name=self.name, compares=self.words(context), failing=failing)

    def words(self, context: Context) -> str:
        """What it sets side by side, for people."""
        way = self.way(context.dynamics)
        return ((way.compares if way is not None else "") or self.compares).format(context.simulator.name)

    def skipped(self, dynamics: Dynamics) -> Level:
        """The outcome where it has nothing to say."""
        if self.way(dynamics) is not None:
            words = f"compares whole matrices, and {dynamics.states} states are too many for that; op and ac take them"
            return Level(self.name, "skipped", words)
        return Level(self.name, "skipped", self.without or f"level {self.name} is not for {dynamics.words}")
