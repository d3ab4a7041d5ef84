"""A study: work in pieces that a folder keeps, so that it goes on after whatever ended it.

In the folder lie

- ``study.json``: what determines the numbers, and the program they are of;
- ``checkpoint-N.npz``: the last two states, each whole;
- ``pieces/NAME/NUMBER.npz``: finished pieces.

Whatever a killed process was writing is not there yet: files are written aside and renamed.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spu.base.errors import InputError, OutputError, UsageError
from spu.base.files import plain, read_json, write_text
from spu.base.kernels.library import text
from spu.base.names import shorten
from spu.base.process import aside_folder, held, locked
from spu.base.progress import Progress
from spu.base.version import __version__
from spu.folder.atomic import failing_as
from spu.studies.campaign.kept import digest_of_item, joined, parts_of, read_kept, write_kept
from spu.studies.campaign.pieces import Workers
from spu.studies.campaign.workers import open_workers

__all__ = ["STUDY", "Study", "open_study"]

STUDY = "study"
"""The folder of a study in that of its results."""

FORMAT = "spu-study/1"

_ABOUT = "study.json"
_PIECES = "pieces"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.npz")


class Study:
    """An open study: see `open_study`.

    Attributes
    ----------
    workers:
        Who does its pieces.
    path:
        Its own folder; None where nothing is kept.
    """

    def __init__(self, workers: Workers, path: Path | None, aside: Path | None, progress: Progress) -> None:
        self.workers = workers
        self.path = path
        self._aside = aside
        self._progress = progress
        self._saved = time.monotonic()
        self._number = max((number for number, _ in self._checkpoints()), default=0)

    # --- pieces ----------------------------------------------------------------------------

    def pieces(
        self,
        name: str,
        function: Callable[..., Mapping[str, Any]],
        items: Iterable[Any],
        *,
        shared: Any = None,
        said: str | None = None,
    ) -> list[dict[str, Any]]:
        """Do pieces, and keep each as it is finished; those that are kept already are not done again.

        Parameters
        ----------
        name:
            What they are together, of small letters, digits, ``-`` and ``_``: the name of their folder.
        function, items, shared:
            As for `Workers.map`. An item holds arrays and plain values (its seed among them: `seed_of_piece`); a kept
            piece that was done for another item is done again. What ``shared`` holds must follow from the study's spec.
        said:
            What they are called in lines that say how far they are; no such lines unless given.

        Returns
        -------
        list of dict
            In the order of items: arrays and plain values, in the form in which they are kept.

        Raises
        ------
        OutputError
            If a piece cannot be written.
        SpuError
            As `Workers.map`.
        """
        items = list(items)
        found: list[dict[str, Any] | None] = [None] * len(items)
        folder = self._folder(name)
        digests = [digest_of_item(item) for item in items] if folder is not None else []
        if folder is not None:
            for number in range(len(items)):
                found[number] = self._kept(folder / _file(number), digests[number])
        left = [number for number, result in enumerate(found) if result is None]
        if len(left) < len(items):
            self._progress(f"{name}: {len(items) - len(left)} of {len(items)} pieces are there already")

        def step() -> None:
            if said is not None:
                self.progress(sum(result is not None for result in found), len(items), of_what=said)

        def each(place: int, result: Any) -> None:
            number = left[place]
            arrays, rest = parts_of(result, f"piece {number} of {name}")
            if folder is not None and self._aside is not None:
                about = {"item": digests[number], "info": rest}
                write_kept(folder / _file(number), arrays, about, aside=self._aside, durable=False)
            found[number] = joined(arrays, rest)
            step()

        step()
        self.workers.map(
            function,
            [items[number] for number in left],
            each,
            shared=shared,
            called=lambda place: f"piece {left[place]} of {name}",
        )
        return [result for result in found if result is not None]

    def forget(self, name: str) -> None:
        """Remove the pieces of a name: a checkpoint holds what came of them."""
        if self.path is not None:
            shutil.rmtree(self._place(name), ignore_errors=True)

    def _place(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"pieces are called {shorten(name)}: small letters, digits, - and _ make a name")
        return Path(self.path or "") / _PIECES / name

    def _folder(self, name: str) -> Path | None:
        folder = self._place(name)
        if self.path is None:
            return None
        with failing_as(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _kept(self, file: Path, digest: str) -> dict[str, Any] | None:
        if not file.exists():
            return None
        try:
            arrays, about = read_kept(file)
        except InputError as error:
            self._warn(f"{error}: it is done again")
            return None
        if about.get("item") != digest:
            self._warn(f"{file}: was done for something else: it is done again")
            return None
        return joined(arrays, about["info"])

    # --- checkpoints -----------------------------------------------------------------------

    def checkpoint(self, arrays: Mapping[str, NDArray[Any]], info: Mapping[str, Any]) -> None:
        """Keep a state to go on from: on the disk and whole when this returns, beside the one before.

        Parameters
        ----------
        arrays, info:
            All that the rest of the study hangs on, moments of an optimiser and numbers of seeds as well as parameters.

        Raises
        ------
        OutputError
            If it cannot be written; those before are still there.
        """
        self._saved = time.monotonic()
        kept, rest = parts_of({**arrays, **info}, "a checkpoint")
        if self.path is None or self._aside is None:
            return
        self._number += 1
        file = self.path / f"checkpoint-{self._number}.npz"
        write_kept(file, kept, {"at": time.time(), "info": rest}, aside=self._aside, durable=True)
        for number, old in self._checkpoints():
            if number < self._number - 1:
                with suppress(OSError):
                    old.unlink()

    def due(self, seconds: float = 30.0) -> bool:
        """Whether the last checkpoint is so long ago: those of short steps would take longer than the steps."""
        return time.monotonic() - self._saved >= seconds

    def resumed(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Arrays and info of the last checkpoint that is whole; None if there is none."""
        broken = False
        for _, file in self._checkpoints():
            try:
                arrays, about = read_kept(file)
            except InputError as error:
                self._warn(f"{error}: going on from what is before it")
                broken = True
                continue
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(about["at"]))
            self._progress(f"going on from the checkpoint of {when}")
            return arrays, about["info"]
        if broken:
            self._warn("no checkpoint is whole: beginning anew, with the pieces that are kept")
        return None

    def _checkpoints(self) -> list[tuple[int, Path]]:
        """Numbers and files, the last one first."""
        files = [] if self.path is None else [(_CHECKPOINT.fullmatch(each.name), each) for each in self.path.iterdir()]
        return sorted(((int(found[1]), file) for found, file in files if found is not None), reverse=True)

    # --- words -----------------------------------------------------------------------------

    def progress(self, done: int, of: int, said: str = "", *, of_what: str = "") -> None:
        """Say how far it is, now and then: ``of_what: done of of, said, about 3 min left``.

        The estimate is by what was done since the first call: make one before the work begins.
        """
        self._progress.step(done, of, said, of_what)

    def _warn(self, words: str) -> None:
        if self._progress.silent:
            warnings.warn(words, stacklevel=3)
        else:
            self._progress(words)


def _file(number: int) -> str:
    return f"{number:06d}.npz"


@contextmanager
def open_study(
    directory: str | Path | None,
    kind: str,
    spec: Mapping[str, Any],
    *,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Study]:
    """Open a study in a folder: a new one, or the one that lies there, to go on with it.

    Parameters
    ----------
    directory:
        Of the results; what is kept of the study lies in ``study`` in it. Made if it is not there. None keeps nothing.
    kind, spec:
        What study it is, and all that determines its numbers, seeds and digests of data included: what JSON holds.
    cluster, threads:
        As for `open_workers`; no result hangs on them.
    restart:
        Begin anew: what is kept there of whatever study is removed first.
    progress:
        Told what happens, line by line: a `Progress`, or any function.

    Raises
    ------
    InputError
        If the folder belongs to another study, or the same of another version.
    OutputError
        If the folder cannot be written, another process is at it, or it is somebody else's.
    OptionError, SystemFailure, UsageError
        As `open_workers`.
    """
    told = progress if isinstance(progress, Progress) else Progress(progress)
    wanted = {
        "format": FORMAT,
        "kind": kind,
        "spec": json.loads(json.dumps(plain(spec))),
        "program": {"spu": __version__, "kernels": text("built_from")},
    }
    with ExitStack() as stack:
        path = aside = None
        if directory is not None:
            path = Path(directory) / STUDY
            with failing_as(Path(directory)):
                path.parent.mkdir(exist_ok=True)
                path.mkdir(exist_ok=True)
            if not stack.enter_context(locked(path, alone=True, patience=0.0)):
                raise OutputError(
                    "another process is at the study in this folder: wait for it, or give another folder",
                    file=directory,
                )
            with failing_as(Path(directory)):
                _claim(path, wanted, restart)
                aside = stack.enter_context(aside_folder(path))
        workers = stack.enter_context(open_workers(cluster, threads=threads, say=None if told.silent else told))
        yield Study(workers, path, aside, told)


def _claim(path: Path, wanted: Mapping[str, Any], restart: bool) -> None:
    """Make sure that a folder is of this study; the caller has locked it."""
    file = path / _ABOUT
    there = [each.name for each in path.iterdir() if not each.name.startswith(".spu.")]
    if there and _ABOUT not in there:
        raise OutputError(f"holds {shorten(there[0])} and no {_ABOUT}: it is no study's folder", file=path)
    if there and restart:
        with held():
            for old in [each for each in path.iterdir() if _CHECKPOINT.fullmatch(each.name)]:
                old.unlink()
            shutil.rmtree(path / _PIECES, ignore_errors=True)
            file.unlink()
        there = []
    if not there:
        write_text(file, json.dumps(wanted, indent=1) + "\n")
        return
    try:
        found = read_json(file)
    except InputError as error:
        raise InputError(f"{error.message}: --restart begins anew", file=file) from None
    if found == wanted:
        return
    differs = _differences(found, wanted)
    raise InputError(
        f"is of another study ({'; '.join(differs[:3])}{'; ...' if len(differs) > 3 else ''}): give the options it was "
        "begun with, another folder, or --restart to begin anew",
        file=path,
    )


def _differences(found: Any, wanted: Any, where: str = "") -> Sequence[str]:
    """What differs, key by key."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            words
            for key in {**wanted, **found}
            for words in _differences(found.get(key), wanted.get(key), f"{where}.{key}" if where else key)
        ]
    if found == wanted:
        return []
    name = where.removeprefix("spec.").removeprefix("program.") or _ABOUT
    return [f"{name} is {shorten(found)} there and {shorten(wanted)} here"]
