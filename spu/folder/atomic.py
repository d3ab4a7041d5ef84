"""Files appear together or not at all."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from spu.base.errors import InputError, OutputError, SpuError
from spu.base.files import read_json
from spu.base.process import aside_folder, held, locked, sweep
from spu.device.device import FORMAT
from spu.folder.contents import Contents, Imported
from spu.folder.names import CIRCUIT, CIRCUIT_FORMAT, DECK, DECKS, DEVICE, NAMES, PROBLEM, PROBLEM_FORMAT


def files_of_ours(directory: Path) -> list[str]:
    """Those files in a folder that are of kinds we write."""
    decks = (path.name for path in sorted(directory.glob("*")) if DECKS.fullmatch(path.name))
    return [*(name for name in NAMES if (directory / name).exists()), *(name for name in decks if name != DECK)]


def put(directory: Path, contents: Contents | Imported) -> tuple[Path, ...]:
    """Write all files of a folder, or none, and give their paths."""
    with failing_as(directory):
        if directory.exists():
            _replace_files(directory, contents)
        else:
            _make_folder(directory, contents)
    return tuple(directory / name for name in contents.names)


def _make_folder(directory: Path, contents: Contents | Imported) -> None:
    """Fill a folder aside, then rename it: it appears with all its files or not at all."""
    with aside_folder(directory.parent) as aside:
        new = aside / "new"
        new.mkdir()  # with the user's own permissions: the folder aside is private
        contents.write_all(new)
        new.rename(directory)


# A folder that is there keeps its name, its other files and whoever has it open, so its files are replaced one by one.
# That all of them are, or none, is decided by one rename: that of the folder aside, with the new files, copies of the
# old ones and a list, to `_JOURNAL`. Whoever finds a journal there finishes what it says (`_recover`).

_JOURNAL = ".spu-replacing"

_PLAN = "plan.json"

_BACK = "back"  # what the copies of the old files are renamed to once a rename has failed: then they are put back

_PATIENCE = 30.0  # s for another process to end its few renames

_Plan = Mapping[str, Sequence[str]]


def _replace_files(directory: Path, contents: Contents | Imported) -> None:
    """Prepare new files and copies of the old ones aside, then rename; undo the lot if a rename fails."""
    with aside_folder(directory) as aside:
        new, old = aside / "new", aside / "old"
        new.mkdir()
        old.mkdir()
        contents.write_all(new)
        with _alone(directory):
            _finish(directory, force=True)  # `refuse_folder` has refused to lose what was edited
            present = files_of_ours(directory)
            for name in present:
                shutil.copy2(directory / name, old / name)
            # Of a problem of another size, or a larger ensemble, that was here before.
            gone = [name for name in present if name not in contents.names] if stored_hashes(old) is not None else []
            plan = {"new": contents.names, "old": present, "gone": gone}
            (aside / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
            with held():
                _commit(directory, aside, plan)


def _commit(directory: Path, aside: Path, plan: _Plan) -> None:
    journal = directory / _JOURNAL
    aside.rename(journal)
    try:
        _forward(directory, plan)
    except OSError:
        (journal / "old").rename(journal / _BACK)
        _back(directory, plan)
        journal.rename(aside)
        raise
    with suppress(OSError):  # it is done; a journal that says so does no harm
        journal.rename(aside)  # gone at once, and then piece by piece


def _forward(directory: Path, plan: _Plan) -> None:
    """Put the new files of a journal in place: those that are not there yet."""
    for name in plan["new"]:
        file = directory / _JOURNAL / "new" / name
        if file.exists():
            file.replace(directory / name)
    for name in plan["gone"]:
        (directory / name).unlink(missing_ok=True)


def _back(directory: Path, plan: _Plan) -> None:
    """Put the old files of a journal back: those that are not there yet."""
    for name in plan["old"]:
        file = directory / _JOURNAL / _BACK / name
        if file.exists():
            file.replace(directory / name)
    for name in plan["new"]:
        if name not in plan["old"]:
            (directory / name).unlink(missing_ok=True)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep readers and other writers of a folder out."""
    with locked(directory, alone=True, patience=_PATIENCE) as granted:
        if not granted:
            raise OutputError("is being read or written by another process: try again", file=directory)
        yield


def _unfinished(directory: Path) -> bool:
    return os.path.isdir(directory / _JOURNAL)  # noqa: PTH112 (that of pathlib raises, for names too long and more)


def recover(directory: Path, *, force: bool = False) -> None:
    """Finish what a process that was killed between its renames has left in a folder, and sweep up.

    Raises
    ------
    OutputError
        If that cannot be done, or a file of the old set was edited since and, unless forced, would be lost.
    """
    sweep(directory)
    sweep(tempfile.gettempdir())
    if not _unfinished(directory):
        return
    try:
        with _alone(directory), held():
            _finish(directory, force=force)
    except OSError as error:
        raise OutputError(
            f"holds the files of two compilations, as the last one was killed between them, and they cannot be put "
            f"right: {error.strerror or error} (any verb of a user who may write there does it)",
            file=directory,
        ) from None


def _finish(directory: Path, *, force: bool) -> None:
    """Do what a journal says, if there is one; nobody else is at it."""
    journal = directory / _JOURNAL
    if not _unfinished(directory):
        return
    plan = _read_plan(journal / _PLAN)
    if (journal / _BACK).exists():
        _back(directory, plan)
    else:
        for name in () if force else plan["new"]:
            old, new, here = journal / "old" / name, journal / "new" / name, directory / name
            if new.exists() and old.exists() and here.exists() and not filecmp.cmp(old, here, shallow=False):
                raise OutputError(
                    "was edited after a run was killed that was about to replace it: keep a copy and delete it "
                    "here, or write the folder again with --force",
                    file=here,
                )
        _forward(directory, plan)
    with aside_folder(directory) as aside:
        journal.rename(aside / "done")  # gone at once, and then piece by piece


def _read_plan(file: Path) -> _Plan:
    """Read the list of a journal, which names nothing but files that we write."""
    plan = read_json(file)
    well = isinstance(plan, dict) and set(plan) == {"new", "old", "gone"}
    well = well and all(isinstance(names, list) and all(map(_is_ours, names)) for names in plan.values())
    if not well:
        raise InputError(f"is not what spu writes there: delete the folder {str(file.parent)!r}", file=file)
    return cast(_Plan, plan)


def _is_ours(name: object) -> bool:
    return isinstance(name, str) and (name in NAMES or DECKS.fullmatch(name) is not None)


@contextmanager
def settled(directory: Path) -> Iterator[None]:
    """Keep writers of a folder out while it is read, once it is finished."""
    while True:
        recover(directory)
        with locked(directory, alone=False, patience=_PATIENCE) as granted:
            if not granted:
                raise InputError("is being written by another process: try again", file=directory)
            if not _unfinished(directory):  # else a writer was killed just now
                yield
                return


@contextmanager
def failing_as(directory: Path) -> Iterator[None]:
    """Turn what the system refuses into an `OutputError` that names the folder."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", file=directory) from None


def stored_hashes(directory: Path) -> Mapping[str, Any] | None:
    """Hashes of the files as they were written; None where this is neither a compiled nor an imported folder."""
    if not (directory / DEVICE).exists() and (directory / CIRCUIT).exists():
        try:
            circuit = read_json(directory / CIRCUIT)
        except SpuError:
            return None
        if not isinstance(circuit, dict) or circuit.get("format") != CIRCUIT_FORMAT:
            return None
        files = circuit.get("files")
        return files if isinstance(files, dict) else {}
    try:
        device, problem = read_json(directory / DEVICE), read_json(directory / PROBLEM)
    except SpuError:
        return None
    if not (isinstance(device, dict) and device.get("format") == FORMAT):
        return None
    if not (isinstance(problem, dict) and problem.get("format") == PROBLEM_FORMAT):
        return None
    compiled = problem.get("compiled")
    files = compiled.get("files") if isinstance(compiled, dict) else None
    return files if isinstance(files, dict) else {}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    found = hashlib.sha256()
    with failing_as(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()
