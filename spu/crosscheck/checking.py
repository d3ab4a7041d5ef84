"""The door: what is asked for is looked at, found and run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from spu.base.arguments import SIMULATORS_SEEDS, Seed, is_number, seed_of, whole
from spu.base.errors import OptionError, UsageError, refuse_options
from spu.base.names import suggest
from spu.base.process import scratch_folder
from spu.crosscheck import levels as kinds
from spu.crosscheck.alone import check_alone
from spu.crosscheck.gathering import Gathered, edited_file, gathered
from spu.crosscheck.levels.combined import MOST_COMBINATIONS
from spu.crosscheck.result import LEVELS, VERDICTS, Check, Comparison, Diagnosis, Level
from spu.crosscheck.running import run_all
from spu.crosscheck.several import further, put_together
from spu.device.subject import Subject
from spu.folder import read_any
from spu.spice.languages import READERS
from spu.spice.reader.nonlinear import NonlinearDeck
from spu.spice.simulators.simulator import Simulator, find_simulators

__all__ = ["LEVELS", "VERDICTS", "Check", "Comparison", "Diagnosis", "Level", "check"]


def check(
    subject: Subject,
    *,
    netlist: str | Path | None = None,
    levels: str | Sequence[str] | None = None,
    accuracy: float | None = None,
    seed: Seed = 0,
    time_limit: float = 300.0,
    detect: float | None = None,
    budget: float | None = None,
    combinations: int | None = None,
    include_outside: bool = False,
    ignore_control: bool = False,
    simulator: str | Simulator | Sequence[str | Simulator] = "ngspice",
    map: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Check:
    """Compare ideal model, emulator and ngspice, or another simulator.

    Parameters
    ----------
    subject:
        A compiled folder (or its path, or a ``device.json``), whose netlist in the simulator's language, ``device.cir``
        or ``device.vacask.sim``, is run as it lies on disk, or written where there is none; or a `Device`, or what
        ``compile`` gave, whose netlist is then written to a temporary file first; or a netlist that was read, its path
        or an imported folder: lines are added to it where it is not laid out as our own
        (`spu.crosscheck.decks.taps`).
    netlist:
        A netlist that somebody edited, to be run in place of the device's own. Level ``answer`` then says whether it
        still samples the same, and ``changes`` what is different.
    levels:
        Names (or one) out of `spu.crosscheck.levels.LEVELS`; all unless given, but for an edited netlist with an
        ``accuracy``: then only ``ideal`` and ``answer``, as all others want the circuit, not its answer, to be the
        same.
    accuracy:
        Tolerated relative error of the answer; by default the error predicted when it was compiled, with a little
        slack, and of an edited netlist `spu.crosscheck.levels.answer.SAME`.
    seed:
        Of the noise, both replayed and the simulator's own: an integer, a numpy Generator that gives one, or None for
        another one each time.
    time_limit:
        Seconds for each run of the simulator.
    detect:
        Level ``noise`` takes as many samples as show, with 99 %, a variance that is off by this share.
    budget:
        The other way round: seconds that level ``noise`` may take; its ``detects`` says what they bought.
    combinations:
        Level ``ac`` sweeps all noise sources at once, with random signs, so many times: 2^-combinations is the chance
        that what deviates is not seen, none where it is one transfer function. 0 sweeps each source by itself. By
        default that, where it takes less than a minute, about, else 20.
    include_outside, ignore_control:
        Follow includes out of the netlist's folder; go on without control blocks that do more than analyses.
    simulator:
        What runs the netlist: a name out of `spu.spice.simulators.SIMULATORS`, an object, or several. Levels that
        need an analysis that it has not are ``skipped``. Several are also set beside one another; levels that need
        none are run once.
    map:
        For cells that ``netlist`` calls otherwise, its nodes by their names. Local labels of KiCad's, ``/cell_x``, are
        found without.
    progress:
        Called with a few words before each level.

    Raises
    ------
    InputError, CircuitError
        If the device itself is invalid. What is wrong with the device's own deck or with ngspice is a
        level's verdict (``error``), not an exception.
    InputError, DeckError
        If an edited netlist cannot be read, may not be, or lacks the node of a cell.
    UsageError
        For a level or a simulator that does not exist; for an edited netlist of an ensemble, which has one
        for each programming, or in another language than the simulator's; for a netlist that was read (they are
        ngspice's) and a simulator of another language; for a bare circuit.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> spu.check(device, levels=["ideal", "ac"]).verdict
    'pass'
    """
    chosen = _chosen(levels, netlist is not None and accuracy is not None)
    simulators = find_simulators(simulator)
    for each in simulators:
        if each.dialect not in READERS:
            raise UsageError(
                f"the simulator {each.name} takes the dialect {each.dialect}, and netlists are read in "
                f"{' and '.join(READERS)}'s only"
            )
    if accuracy is not None and not (is_number(accuracy) and accuracy >= 0):
        raise UsageError(f"accuracy must be a relative error >= 0, not {accuracy!r}")
    seed = seed_of(seed, SIMULATORS_SEEDS)
    if detect is not None and budget is not None:
        raise UsageError("detect and budget exclude one another: one follows from the other")
    for name, value in (("detect", detect), ("budget", budget), ("time_limit", time_limit)):
        if value is not None and not (is_number(value) and 0 < value < np.inf):
            raise UsageError(f"{name} must be a positive number, not {value!r}")
    combinations = whole("combinations", combinations)
    if combinations is not None and not 0 <= combinations <= MOST_COMBINATIONS:
        raise OptionError("combinations", f"must be from 0 to {MOST_COMBINATIONS}, not {combinations}")
    if not any(level.planned for level in chosen):
        planned = " or ".join(level.name for level in kinds.LEVELS.values() if level.planned)
        refuse_options(f"the levels asked for: it is of level {planned}", {"detect": detect, "budget": budget})
    given = read_any(subject) if isinstance(subject, (str, os.PathLike)) else subject
    if isinstance(given, NonlinearDeck):
        options = {"map": map, "detect": detect, "budget": budget, "combinations": combinations}
        refuse_options("netlists that only ngspice runs", options)
        return check_alone(
            given,
            chosen,
            netlist=netlist,
            accuracy=accuracy,
            simulators=simulators,
            time_limit=time_limit,
            include_outside=include_outside,
            ignore_control=ignore_control,
            progress=progress,
        )
    settings = {
        "accuracy": accuracy,
        "seed": seed,
        "time_limit": time_limit,
        "detect": detect,
        "budget": budget,
        "combinations": combinations,
        "include_outside": include_outside,
        "ignore_control": ignore_control,
    }
    runs: list[tuple[Gathered, Check]] = []
    dialects = frozenset(each.dialect for each in simulators)
    with scratch_folder("check") as scratch:
        for number, each in enumerate(simulators):
            of = gathered(given, {**settings, "simulator": each}, scratch, dialects)
            does = of.contexts[0].dynamics
            if accuracy is not None and does.compared is None:
                raise OptionError("accuracy", f"is not for {does.words}: level ideal compares their very equation")
            edited = edited_file(netlist, of, scratch, map)
            if number:
                read = any(each.dialect == before.dialect for before in simulators[:number])
                own = further(chosen, of, read=read, edited=edited)
            told = progress if len(simulators) == 1 or progress is None else partial(_told, progress, each.name)
            found = run_all(of, own if number else chosen, told, edited)
            ran = of.netlists[0] if netlist is None else Path(netlist)
            anew = of.anew if edited is None and any(level.netlist for level in chosen) else ()
            found = replace(
                found,
                notes=(*found.notes, *of.notes, *anew),
                version=each.version(),
                dialect=each.dialect,
                netlist=None if ran is None or ran.parent == scratch else str(ran),
            )
            runs.append((of, found))
        return put_together(runs)


def _told(progress: Callable[[str], None], simulator: str, words: str) -> None:
    progress(f"{simulator}: {words}")


def _chosen(levels: str | Sequence[str] | None, judged: bool) -> list[kinds.LevelKind]:
    """The levels to run, in order; of an edited netlist that is judged by its accuracy only those that judge it."""
    known = kinds.LEVELS
    if levels is None:
        return [level for level in known.values() if level.judges or not judged]
    levels = [levels] if isinstance(levels, str) else levels
    for name in levels:
        if name not in known:
            raise UsageError(f"no level {name!r}; {suggest(name, list(known))}")
    return [level for level in known.values() if level.name in levels]
