"""Many folders checked, each a piece of a study: on the workers that studies have, kept, and gone on with.

A check reads files, so a piece takes them along: a worker needs no file system in common with whoever asks. What comes
back is the check of `spu.check`, without the spectra that its report draws.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spu.base.arguments import SIMULATORS_SEEDS, Seed, seed_of
from spu.base.display import Result
from spu.base.errors import NgspiceMissing, OptionError, SimulatorMissing, SpuError, UsageError
from spu.base.files import plain
from spu.base.names import shorten
from spu.base.process import scratch_folder
from spu.crosscheck.checking import check
from spu.crosscheck.result import VERDICTS, Check, Comparison, Diagnosis, Explanation, Level
from spu.folder import read_folder
from spu.folder.atomic import files_of_ours
from spu.spice.deck import Line, read_deck
from spu.spice.simulators import find_simulators
from spu.studies.campaign import open_study

__all__ = ["Checks", "check_many"]


@dataclass(frozen=True, eq=False, repr=False)
class Checks(Result):
    """Checks of many folders.

    Attributes
    ----------
    names:
        Of the folders, as they were given.
    checks:
        One a folder.

    Examples
    --------
    >>> import spu
    >>> from spu.folder import write_folder
    >>> for name, coupling in [("weak", -0.1), ("strong", -0.5)]:
    ...     _ = write_folder(name, spu.compile_problem(spu.GaussianSampling([[2.0, coupling], [coupling, 1.0]])))
    >>> found = spu.check_many(["weak", "strong"], levels=["ideal", "answer"])
    >>> found.verdict, found.names, [each.levels["answer"].verdict for each in found.checks]
    ('pass', ('weak', 'strong'), ['pass', 'pass'])
    """

    names: tuple[str, ...]
    checks: tuple[Check, ...]

    in_short = ("verdict", "names")

    @property
    def verdict(self) -> str:
        """The worst of all."""
        return max((each.verdict for each in self.checks), key=VERDICTS.index, default="skipped")

    @property
    def exit_status(self) -> int:
        """1 if a level of any failed, else 3 or 2 if one could not run, else 0."""
        statuses = [each.exit_status for each in self.checks]
        return 1 if 1 in statuses else max(statuses, default=0)

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        each = [{"name": name, **found.to_dict()} for name, found in zip(self.names, self.checks, strict=True)]
        return {"verdict": self.verdict, "checks": each}


def check_many(
    folders: Sequence[str | Path],
    *,
    levels: str | Sequence[str] | None = None,
    accuracy: float | None = None,
    seed: Seed = 0,
    time_limit: float = 300.0,
    detect: float | None = None,
    budget: float | None = None,
    combinations: int | None = None,
    ignore_control: bool = False,
    simulator: str | Sequence[str] = "ngspice",
    directory: str | Path | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Checks:
    """Check many folders as `spu.check` checks each, here or on many machines, with the same numbers.

    Parameters
    ----------
    folders:
        Compiled or imported ones, device files or netlists.
    levels, accuracy, seed, time_limit, detect, budget, combinations, ignore_control, simulator:
        As for `spu.check`, of each; simulators by their names. Includes of a netlist lie in its folder.
    directory, cluster, threads, restart, progress:
        As of all studies: where finished checks are kept, and who does them. A folder whose files have changed since is
        checked again.

    Raises
    ------
    InputError, CircuitError, OptionError, UsageError
        As `spu.check`, with the folder's name.
    SimulatorMissing
        If a simulator is missing where it is to run: the worker is named.
    OutputError, SystemFailure
        As of all studies.

    Examples
    --------
    >>> import spu
    >>> from spu.folder import write_folder
    >>> _ = write_folder("out", spu.compile_problem(spu.GaussianSampling([[2.0, -0.5], [-0.5, 1.0]])))
    >>> spu.check_many(["out"], levels="answer").verdict
    'pass'
    """
    if isinstance(folders, (str, Path)):
        raise UsageError("folders are a list of them; of one, spu.check")
    names = simulator if isinstance(simulator, Sequence) and not isinstance(simulator, str) else [simulator]
    if not all(isinstance(each, str) for each in names):
        raise OptionError("simulator", "is a name here: workers find it by that")
    named = [each.name for each in find_simulators(simulator)]
    if levels is not None:
        levels = [levels] if isinstance(levels, str) else list(levels)
    options = {
        "levels": levels,
        "accuracy": accuracy,
        "seed": seed_of(seed, SIMULATORS_SEEDS),
        "time_limit": time_limit,
        "detect": detect,
        "budget": budget,
        "combinations": combinations,
        "ignore_control": ignore_control,
        "simulator": named[0] if len(named) == 1 else named,
    }
    names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise UsageError(f"{shorten(next(name for name in names if names.count(name) > 1))} is there twice")
    items = [{"name": name, "options": options, **_packed(name, ignore_control)} for name in names]
    kept = {key: value for key, value in options.items() if key != "time_limit"}
    with open_study(
        directory, "checks", kept, cluster=cluster, threads=threads, restart=restart, progress=progress
    ) as study:
        found = study.pieces("checks", _checked, items, said="checks")
    return Checks(tuple(names), tuple(_whole(each) for each in found))


# --- what a worker gets --------------------------------------------------------------------


def _packed(name: str, ignore_control: bool) -> dict[str, Any]:
    """The files of a folder that its check reads, by their names, and which of them is what is checked."""
    folder = read_folder(name)
    base = folder.path.parent
    alone = folder.directory is None and folder.path.name not in files_of_ours(base)
    files = [folder.path.name] if alone else files_of_ours(base)
    for deck in filter(None, (folder.netlist, *folder.further)):
        with suppress(SpuError):  # what is wrong with it is for the check to say
            lines = read_deck(deck, ignore_control=ignore_control).lines
            files += [os.path.relpath(os.path.realpath(file), os.path.realpath(base)) for file in _files(lines)]
    return {
        "subject": "" if folder.directory is not None else folder.path.name,
        "files": {file: np.fromfile(base / file, dtype=np.uint8) for file in dict.fromkeys(files)},
    }


def _files(lines: Sequence[Line]) -> list[str]:
    return sorted({line.file for line in lines if line.file})


def _checked(item: Mapping[str, Any]) -> dict[str, Any]:
    """Check one folder."""
    with scratch_folder("checks") as scratch:
        base = scratch / "folder"
        for name, data in item["files"].items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            data.tofile(base / name)
        given = str(item["name"])
        here = str(base / item["subject"]) if item["subject"] else str(base)
        try:
            found = check(here, **item["options"])
        except SpuError as error:
            error.message = f"{given}: {error.message.replace(here, given)}"
            error.file = None
            raise
    missing = [each for _, each in found.shown if each.exit_status == SimulatorMissing.exit_status]
    if missing:  # nothing that is to be kept: another worker, or this one tomorrow, has it
        lacking = NgspiceMissing if missing[0].data.get("kind") == NgspiceMissing.kind else SimulatorMissing
        raise lacking(f"{_whereabouts()}: {missing[0].message}")
    return _apart(found, here, given)


def _whereabouts() -> str:
    """Who does this piece."""
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            return f"the worker {get_worker().address}"
        except ValueError:
            pass
    return "this machine"


# --- what comes back -----------------------------------------------------------------------


def _apart(found: Check, here: str, given: str) -> dict[str, Any]:
    """A check as arrays and plain values; paths in its words are those that were given."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(here, given)
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        return [named(each) for each in value] if isinstance(value, (list, tuple)) else value

    plainly = {
        "levels": [asdict(level) for level in found.levels.values()],
        "variables": found.variables,
        "notes": found.notes,
        "comparisons": [asdict(pair) for pair in found.comparisons],
        "diagnosis": None if found.diagnosis is None else asdict(found.diagnosis),
        "simulator": found.simulator,
        "version": found.version,
        "dialect": found.dialect,
        "netlist": found.netlist,
    }
    parts = [_apart(part, here, given) for part in found.parts]
    arrays = {f"mean {name}": array for name, array in found.means.items()}
    arrays |= {f"covariance {name}": array for name, array in found.covariances.items()}
    arrays |= {f"part {k} {key}": value for k, part in enumerate(parts) for key, value in part.items()}
    return {**named(plain(plainly)), "parts": len(parts), **arrays}


def _whole(piece: Mapping[str, Any]) -> Check:
    """The check that `_apart` took apart."""

    def arrays(what: str) -> dict[str, Any]:
        return {key.removeprefix(what): array for key, array in piece.items() if key.startswith(what)}

    diagnosis = piece["diagnosis"]
    parts = tuple(_whole(arrays(f"part {k} ")) for k in range(piece.get("parts", 0)))
    return Check(
        {each["name"]: Level(**each) for each in piece["levels"]},
        tuple(piece["variables"]),
        arrays("mean "),
        arrays("covariance "),
        tuple(piece["notes"]),
        tuple(Comparison(**{**pair, "between": tuple(pair["between"])}) for pair in piece["comparisons"]),
        diagnosis=None
        if diagnosis is None
        else Diagnosis(
            tuple({**entry, "cells": tuple(entry["cells"])} for entry in diagnosis["entries"]),
            tuple(diagnosis["cells"]),
            None if diagnosis["best"] is None else Explanation(**diagnosis["best"]),
            tuple(Explanation(**other) for other in diagnosis["others"]),
        ),
        simulator=piece["simulator"],
        version=piece.get("version", ""),
        dialect=piece.get("dialect", "ngspice"),
        netlist=piece.get("netlist"),
        parts=parts,
    )
