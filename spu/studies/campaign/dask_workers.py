"""Pieces on Dask: workers of this machine, or of a scheduler that runs somewhere."""

from __future__ import annotations

import importlib.metadata
import logging
import multiprocessing
import pickle
import platform
import signal
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

from spu.base.errors import SpuError, SystemFailure, UsageError
from spu.base.extras import needed
from spu.base.kernels.library import text
from spu.base.names import first_line
from spu.base.numbers import plural
from spu.base.process import scratch_folder
from spu.base.threads import at_most, available_threads, one_blas_thread_for_good
from spu.base.version import __version__, installation
from spu.studies.campaign.pieces import Each, piece_named

__all__ = ["DaskWorkers", "identity", "local_workers", "remote_workers"]

_PATIENCE = 5.0
"""Seconds in which a scheduler must answer."""

_LOOK = 2.0
"""Seconds between two looks at who is there."""

_AHEAD = 64
"""Pieces beyond four a worker that are with the scheduler: enough for workers that come, and few to hold in memory."""

_FETCH, _TRIES = 5.0, 4
"""Seconds in which a result must come that is there, twice as long with each try, and how many there are."""

_GONE = "what is finished is kept, and the same command goes on from there"


# --- at a worker ---------------------------------------------------------------------------


@cache
def identity() -> dict[str, str]:
    """What must be the same at all workers, or numbers would not be."""
    found = {"spu": __version__, "kernels": text("built_from"), "python": ".".join(platform.python_version_tuple()[:2])}
    return found | {name: importlib.metadata.version(name) for name in ("numpy", "scipy")}


def _unpack(letter: bytes, key: str, *shared: bytes) -> Any:
    import pickle

    do, rest = pickle.loads(letter)
    return do(*rest, key, *shared)


_unpack.__module__ = "__main__"  # It travels as it is: a worker that lacks what a letter names says so, and lives.


def _do(wanted: Mapping[str, str], function: Callable[..., Any], item: Any, key: str, *shared: bytes) -> Any:
    """Do a piece, by the same program, on one thread: a worker has one processor."""
    found = identity()
    if found != wanted:
        different = [name for name in wanted if found.get(name) != wanted[name]]
        theirs, ours = (", ".join(f"{name} {each.get(name)}" for name in different) for each in (found, wanted))
        from distributed import get_worker

        raise UsageError(
            f"the worker {get_worker().address} has {theirs}, and this machine {ours}: install the same on both"
        )
    one_blas_thread_for_good()
    with at_most(1):
        return function(item, *(_opened(key, each) for each in shared))


_open: dict[str, Any] = {}


def _opened(key: str, letter: bytes) -> Any:
    """What pieces share, unpacked for the first of them; that of the last ones is kept."""
    if key not in _open:
        _open.clear()
        _open[key] = pickle.loads(letter)
    return _open[key]


def _itself(letter: bytes) -> bytes:
    return letter


_itself.__module__ = "__main__"


# --- here ----------------------------------------------------------------------------------


class DaskWorkers:
    """The workers of a Dask scheduler.

    Parameters
    ----------
    client:
        Of Dask.
    words:
        Who they are.
    say:
        Told of workers that are lost or awaited.
    """

    def __init__(self, client: Any, words: str, say: Callable[[str], None] | None) -> None:
        self.words = words
        self._client = client
        self._say = say
        self._seen: set[str] | None = None  # nobody has looked
        self._looked = 0.0
        self._shared: tuple[Any, tuple[str, Any]] | None = None
        self._look()

    @property
    def count(self) -> int:
        """How many there are, at least one."""
        return max(1, len(self._seen or ()))

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        each: Each | None = None,
        *,
        shared: Any = None,
        called: Callable[[int], str] = "piece {}".format,
    ) -> list[Any]:
        """As `Workers.map`."""
        items = list(items)
        more = ("",) if shared is None else self._share(shared)
        run = uuid.uuid4().hex
        results: list[Any] = [None] * len(items)
        finished: SimpleQueue[int] = SimpleQueue()
        under_way: dict[int, Any] = {}
        tries = [0] * len(items)
        sent = done = 0

        def send(place: int) -> None:
            letter = _letter((_do, (identity(), function, items[place])))
            under_way[place] = self._submit(_unpack, letter, *more, key=f"{run}-{place}-{tries[place]}")
            tries[place] += 1
            under_way[place].add_done_callback(lambda _: finished.put(place))

        try:
            while done < len(items):
                while sent < len(items) and len(under_way) < 4 * self.count + _AHEAD:
                    send(sent)
                    sent += 1
                try:
                    place = finished.get(timeout=_LOOK)
                except Empty:
                    self._look()
                    continue
                try:
                    results[place] = self._result(under_way.pop(place), called(place), _FETCH * 2 ** tries[place])
                except TimeoutError:  # lost with its worker after it was finished, and not on its way again
                    if tries[place] > _TRIES:
                        raise SystemFailure(f"{called(place)} does not come from its worker: {_GONE}") from None
                    send(place)
                    continue
                done += 1
                if each is not None:
                    each(place, results[place])
                if time.monotonic() - self._looked > _LOOK:
                    self._look()
        finally:
            if under_way and self._client.status == "running":
                with suppress(Exception):
                    self._client.cancel(list(under_way.values()), force=True)
        return results

    def _submit(self, function: Callable[..., Any], *arguments: Any, key: str) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # once, for all pieces
            try:
                return self._client.submit(function, *arguments, key=key, pure=False)
            except Exception:
                self._require_scheduler()
                raise

    def _share(self, shared: Any) -> tuple[str, Any]:
        """The name and the letter of what pieces share: as a task, so that a new worker gets it when one is lost."""
        if self._shared is None or self._shared[0] is not shared:
            key = f"shared-{uuid.uuid4().hex}"
            self._shared = shared, (key, self._submit(_itself, _letter(shared), key=key))
        return self._shared[1]

    def _result(self, future: Any, piece: str, patience: float) -> Any:
        from distributed import KilledWorker

        if future.status == "finished":
            try:
                return future.result(timeout=patience)
            except Exception as error:
                self._require_scheduler()
                # Lost with its worker, it may have been begun again and have ended otherwise.
                if future.status in ("pending", "finished", "lost") and not isinstance(error, SpuError):
                    raise TimeoutError from error
        if future.status != "error":  # cancelled, or lost for good
            self._require_scheduler()
            raise SystemFailure(f"the scheduler of {self.words} has dropped its work: {_GONE}")
        raised = future.exception()
        if isinstance(raised, SpuError):
            raise piece_named(raised, piece)
        if isinstance(raised, KilledWorker):
            raise SystemFailure(
                f"{piece} was at {plural(raised.allowed_failures + 1, 'worker')} one after the other when each of them "
                f"was lost (has it enough memory there?): {_GONE}"
            )
        missing = _missing(raised)
        if missing is not None:
            raise UsageError(
                f"a worker of {self.words} has no {missing}: install the same there as here, {installation('cluster')}"
            )
        raise raised.with_traceback(future.traceback())

    def _require_scheduler(self) -> None:
        if self._client.status != "running":
            raise SystemFailure(f"the scheduler of {self.words} has gone: {_GONE}")

    def _look(self) -> None:
        """See who is there, and say who is not any more."""
        self._looked = time.monotonic()
        self._require_scheduler()
        try:
            there = set(self._client.scheduler_info()["workers"])
        except OSError:
            self._require_scheduler()
            return
        before, self._seen = self._seen, there
        lost = len((before or set()) - there)
        if self._say is not None and lost:
            self._say(f"{plural(lost, 'worker')} lost: their pieces are done again, by {len(there) or 'new ones'}")
        elif self._say is not None and before is None and not there:
            self._say(f"no worker at {self.words} yet: waiting for one")


def _letter(content: Any) -> bytes:
    """What goes to a worker: functions of a module by their names, others as they are.

    Raises
    ------
    UsageError
        If it cannot be pickled.
    """
    from distributed.protocol.pickle import dumps

    try:
        return bytes(dumps(content))
    except Exception as error:
        raise UsageError(f"cannot be sent to a worker: {first_line(error)}") from error


def _missing(error: BaseException | None) -> str | None:
    """The package that a worker lacked, if that was it."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.split(".")[0]
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def remote_workers(address: str, say: Callable[[str], None] | None) -> Iterator[DaskWorkers]:
    """The workers of a scheduler that runs, which may come and go."""
    distributed = _distributed()
    _hush()
    try:
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SystemFailure(
            f"no scheduler answers at {address} ({first_line(error)}): start one there (dask scheduler), or name "
            "the one that runs"
        ) from None
    try:
        yield DaskWorkers(client, address, say)
    finally:
        _close(client)


@contextmanager
def local_workers(count: int | None, say: Callable[[str], None] | None) -> Iterator[DaskWorkers]:
    """Processes of this machine, of one thread each, that end with this one."""
    distributed = _distributed()
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError("this script starts itself again in each worker: it needs if __name__ == '__main__':")
    number = count or available_threads()
    with scratch_folder("workers") as scratch:
        try:
            with _deaf_children():
                cluster = distributed.LocalCluster(
                    n_workers=number,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=":0",
                    memory_limit=0,
                    local_directory=str(scratch),
                    silence_logs=logging.CRITICAL,
                )
            _hush()
            client = distributed.Client(cluster, timeout=_PATIENCE, set_as_default=False)
        except Exception as error:
            raise SystemFailure(
                f"the processes of this machine do not start ({first_line(error)}); a script that starts them needs "
                "if __name__ == '__main__':"
            ) from None
        try:
            yield DaskWorkers(client, f"{plural(number, 'process', 'processes')} of this machine", say)
        finally:
            _close(client)
            _close(cluster)


def _distributed() -> Any:
    return needed("distributed", "a cluster", "cluster")


def _hush() -> None:
    """Let Dask say nothing by itself: what matters of it is said by us."""
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _close(what: Any) -> None:
    with suppress(Exception):
        what.close(timeout=_PATIENCE)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that do not hear ctrl-C on the terminal: this one ends them. One that comes now comes later."""
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    options = list(sys.warnoptions)
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")  # of semaphores, when this process ends at once
    try:
        yield
    finally:
        sys.warnoptions[:] = options
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
