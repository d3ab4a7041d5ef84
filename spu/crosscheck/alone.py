"""Netlists that only a simulator runs: what it says of them by itself, and of an edited one beside the imported one.

Nothing here is a comparison with a law: levels that ran have found something and prove nothing, and say so
(``inconclusive``). Two netlists are compared in what the simulator makes of both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import DeckError, InputError, NotServed, SimulatorFailed, SimulatorMissing, UsageError
from spu.crosscheck.decks.changes import Changes, edits
from spu.crosscheck.decks.linearised import Grid, Measured, measure, reference
from spu.crosscheck.decks.taps import with_taps
from spu.crosscheck.levels.answer import SAME
from spu.crosscheck.levels.kind import LevelKind
from spu.crosscheck.result import Check, Level
from spu.spice.deck import Deck, read_deck
from spu.spice.dialects import NGSPICE
from spu.spice.reader.nonlinear import NonlinearDeck
from spu.spice.simulators.analyses import Decades, Noise, OperatingPoint
from spu.spice.simulators.simulator import Simulator

NOTE = "{} alone has answered: the emulator does not solve this netlist ({}), and nothing was compared with a law"

WIDEST = Decades(1.0, 1e12, 10)
"""Hz: where the noise is looked for."""

LEFT, CUT = 1e-5, 1e-2
"""Of the power of a voltage in a tenth of a decade: at either end of the sweep that is taken; and from which on it has
no end there (it goes on as white noise, or as 1/f noise does)."""

_SKIPPED = {
    "ideal": "nothing says what it is for, and no law of it is known",
    "answer": "the netlist that was imported is the one that is run: --netlist EDITED.cir compares another with it",
    "ac": "there are no transfer functions of an emulator's to compare with",
    "replay": "there is no emulator to replay a waveform in",
}


@dataclass(frozen=True, eq=False)
class _Asked:
    """A netlist with taps, what runs it, and how."""

    deck: Deck
    bare: Deck
    taps: tuple[str, ...]
    simulator: Simulator
    time_limit: float


def check_alone(
    read: NonlinearDeck,
    chosen: Sequence[LevelKind],
    *,
    netlist: str | Path | None,
    accuracy: float | None,
    simulators: Sequence[Simulator],
    time_limit: float,
    include_outside: bool = False,
    ignore_control: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Check:
    """Ask a simulator what a netlist does that only it runs; parameters as of `spu.check`.

    Raises
    ------
    UsageError
        For several simulators, or one of another language.
    InputError, DeckError
        If the edited netlist cannot be read, or lacks what is read out.
    """
    if len(simulators) > 1:
        raise UsageError(f"of {read.path}, which no emulator solves, one simulator is asked at a time")
    (simulator,) = simulators
    if simulator.dialect != NGSPICE.name:
        raise UsageError(f"{read.path} is in {NGSPICE.name}'s language, and {simulator.name} takes another")
    options = {"include_outside": include_outside, "ignore_control": ignore_control}
    own = _tapped(read, read_deck(read.path, **options), simulator, time_limit)
    edited = None
    if netlist is not None:
        if not Path(netlist).is_file():
            raise InputError("there is no such netlist", file=netlist)
        edited = _tapped(read, read_deck(Path(netlist), **options), simulator, time_limit)
        _refuse_lost(read, edited.bare)
    said: dict[str, Level] = {}
    means: dict[str, FloatArray] = {}
    covariances: dict[str, FloatArray] = {}
    changes: Changes | None = None
    asked = edited or own
    for kind in chosen:
        if progress is not None:
            progress(kind.name)
        started = time.perf_counter()
        level = Level(kind.name, "skipped", _SKIPPED.get(kind.name, f"level {kind.name} compares with an emulator"))
        try:
            if kind.name == "op":
                level, means[simulator.name] = _operating_point(read, asked)
            elif kind.name == "noise":
                level, covariances[simulator.name] = _noise(read, asked)
            elif kind.name == "answer" and edited is not None:
                level, changes = _answer(read, own, edited, accuracy)
        except NotServed as reason:
            level = Level(kind.name, "skipped", str(reason))
        except SimulatorMissing as error:
            level = Level(kind.name, "error", str(error), exit_status=error.exit_status, data={"kind": error.kind})
        except (SimulatorFailed, DeckError) as error:
            level = Level(kind.name, "error", str(error), exit_status=2, data={"kind": error.kind})
        words = _COMPARES.get(kind.name, kind.compares).format(simulator.name)
        seconds = time.perf_counter() - started
        said[kind.name] = replace(level, seconds=seconds, compares=words, failing=_FAILING)
    return Check(
        said,
        read.variables,
        means,
        covariances,
        notes=(NOTE.format(simulator.name, read.why),),
        changes=changes,
        simulator=simulator.name,
        version=simulator.version(),
        dialect=simulator.dialect,
        netlist=asked.bare.file,
    )


_COMPARES = {
    "op": "{} operating point, by itself",
    "noise": "{} noise about it (.noise), by itself",
    "answer": "the edited netlist against the imported one, both by {}",
}
_FAILING = "the edited netlist rests elsewhere, or makes other noise, than the one that was imported"


def _tapped(read: NonlinearDeck, deck: Deck, simulator: Simulator, time_limit: float) -> _Asked:
    tapped, taps = with_taps(deck, read.probes)
    return _Asked(tapped, deck, taps, simulator, time_limit)


def _refuse_lost(read: NonlinearDeck, deck: Deck) -> None:
    words = {word.strip("(),") for line in deck.top_level().values() for word in line.words}
    wanted = (node for probe in read.probes for node in (probe.plus, probe.minus) if node != "0" and "." not in node)
    lost = [node for node in wanted if node not in words]
    if lost:
        raise InputError(
            f"there is no node {', '.join(lost[:4])}; check reads the voltages there, so keep these names",
            file=deck.file,
        )


def _operating_point(read: NonlinearDeck, asked: _Asked) -> tuple[Level, FloatArray]:
    (found,) = asked.simulator.run(asked.deck.text(), [OperatingPoint(asked.taps)], time_limit=asked.time_limit)
    volts = np.array([found[tap][0] for tap in asked.taps])
    shown = ", ".join(f"{name} {v:.6g} V" for name, v in zip(read.variables[:4], volts, strict=False))
    more = f" and {len(volts) - 4} more" if len(volts) > 4 else ""
    return Level("op", "inconclusive", f"rests at {shown}{more}", data={"voltages": volts.tolist()}), volts


def _noise(read: NonlinearDeck, asked: _Asked) -> tuple[Level, FloatArray]:
    grid, cut = _band(asked)
    found = _measured(asked, grid, mean=False)
    rms = np.sqrt(np.maximum(found.covariance.diagonal(), 0.0))
    shown = ", ".join(f"{name} {v:.4g} V" for name, v in zip(read.variables[:4], rms, strict=False))
    message = f"rms of the noise: {shown}, from {grid.low:.3g} to {grid.high:.3g} Hz"
    if cut:
        message += f"; {cut}"
    data = {"rms": rms.tolist(), "low": grid.low, "high": grid.high, "resolution": found.resolution}
    return Level("noise", "inconclusive", message, data=data), found.covariance


def _measured(asked: _Asked, grid: Grid, *, mean: bool) -> Measured:
    return measure(asked.deck, asked.taps, grid, simulator=asked.simulator, mean=mean, time_limit=asked.time_limit)


def _band(asked: _Asked) -> tuple[Grid, str]:
    """A sweep that leaves nothing of the noise out; and what is left out all the same, in words."""
    text = asked.deck.text(extra=reference(NGSPICE))
    analyses = [Noise((tap,), "vspu_reference", WIDEST) for tap in asked.taps]
    runs = asked.simulator.run(text, analyses, time_limit=asked.time_limit)
    frequency = runs[0]["frequency"]
    power = np.array([run["total"] * run["frequency"] for run in runs])
    whole = power.sum(axis=1, keepdims=True)
    share = power / np.where(whole > 0, whole, 1.0)
    there = np.flatnonzero((share > LEFT).any(axis=0))
    if not len(there):
        return Grid(1.0, 1e9, 10), "it makes none"
    first, last = int(there[0]), int(there[-1])
    cut = []
    if share[:, 0].max() > CUT:
        cut.append(f"there is more of it below {frequency[0]:.3g} Hz")
    if share[:, -1].max() > CUT:
        cut.append(f"there is more of it above {frequency[-1]:.3g} Hz")
    low, high = float(frequency[max(first - 1, 0)]), float(frequency[min(last + 1, len(frequency) - 1)])
    return Grid(low, max(high, 10 * low), 10), " and ".join(cut)


def _answer(read: NonlinearDeck, own: _Asked, edited: _Asked, accuracy: float | None) -> tuple[Level, Changes]:
    """Both netlists, linearised by the simulator where each rests."""
    changed = edits(own.bare, edited.bare)
    low, high = zip(*((grid.low, grid.high) for grid, _ in (_band(own), _band(edited))), strict=True)
    grid = Grid(min(low), max(high), 10)
    before, after = (_measured(each, grid, mean=True) for each in (own, edited))
    changes = Changes(
        netlist=edited.bare.file,
        source=own.simulator.name,
        why=read.why,
        variables=read.variables,
        edits=changed,
        mean_before=before.mean,
        mean=after.mean,
        covariance_before=before.covariance,
        covariance=after.covariance,
        time_constants_before=None,
        time_constants=None,
    )
    moved = max(changes.covariance_change, changes.mean_change or 0.0)
    allowed = SAME if accuracy is None else accuracy
    if moved > allowed:
        verdict = "fail"
    else:
        verdict = "pass" if not changed or accuracy is not None else "inconclusive"
    message = f"mean and covariance are off by {moved:.3g} from the imported netlist's, by {own.simulator.name} alone"
    if verdict == "inconclusive":
        message += "; what it does in time, and far from where it rests, was not looked at"
    return Level("answer", verdict, message, moved, allowed, false_alarm_rate=0.0), changes
