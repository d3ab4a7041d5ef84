"""Who does the pieces of a study: this process, processes of this machine, or many machines, with the same results.

A piece hangs on its item alone: it has a seed of its own (`seed_of_piece`), BLAS runs on one thread wherever it is
done, and results come in the order of items whatever was finished first. So sums that are taken in that order have the
same bits on any number of workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from spu.base.errors import OptionError, SpuError
from spu.base.threads import at_most, one_blas_thread

__all__ = ["Each", "Workers", "open_workers", "piece_named", "seed_of_piece"]

Each = Callable[[int, Any], None]
"""What is called in this process as pieces are finished, with the place of the item and the result."""

_PIECES = 17
"""What is drawn for seeds of pieces, beside all else that is drawn of a seed (`spu.emulator.runs.noise`)."""


def seed_of_piece(seed: int, *numbers: int) -> int:
    """The seed of a piece: a function of the study's seed and of the piece's number or numbers, and of nothing else.

    63 bits that numpy's ``SeedSequence(seed, spawn_key=(17, *numbers))`` makes of them.

    Parameters
    ----------
    seed:
        Not negative, of any size.
    numbers:
        Which piece: of generation 3 the 5th, say.
    """
    words = np.random.SeedSequence(entropy=seed, spawn_key=(_PIECES, *numbers)).generate_state(1, np.uint64)
    return int(words[0]) >> 1


class Workers(Protocol):
    """Whoever does pieces."""

    @property
    def count(self) -> int:
        """How many there are now, at least one."""

    @property
    def words(self) -> str:
        """Who they are."""

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        each: Each | None = None,
        *,
        shared: Any = None,
        called: Callable[[int], str] = "piece {}".format,
    ) -> list[Any]:
        """Do a function for each of the items.

        Parameters
        ----------
        function:
            Of a module, so that workers find it; it takes an item, and ``shared`` if there is such a thing.
        items:
            What can be pickled.
        each:
            Called with the place and the result of each item, in the order in which they are finished.
        shared:
            What all need and what is large: sent to a worker once.
        called:
            What the item of a place is called in messages.

        Returns
        -------
        list
            Results in the order of items.

        Raises
        ------
        SpuError
            What the function raised, with the name of the piece in front; the others that were finished by then have
            gone to ``each``.
        SystemFailure
            If the workers are lost, or the way to them.
        """


class Here:
    """The process itself, one piece after the other; the loops of each take all threads."""

    count = 1
    words = "this process"

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
        more = () if shared is None else (shared,)
        found = []
        for place, item in enumerate(items):
            try:
                result = function(item, *more)
            except SpuError as error:
                raise piece_named(error, called(place)) from None
            found.append(result)
            if each is not None:
                each(place, result)
        return found


def piece_named(error: SpuError, piece: str) -> SpuError:
    """An error that also says in which piece it came up."""
    error.message = f"{piece}: {error.message}"
    return error


_ADDRESS = re.compile(r"(tcp|tls)://[^\s/]+:\d{1,5}")


@contextmanager
def open_workers(
    cluster: str | None = None, *, threads: int | None = None, say: Callable[[str], None] | None = None
) -> Iterator[Workers]:
    """Open the workers of a study; they are gone when the block is left.

    BLAS is held to one thread in the block, so that what is worked out here between pieces has the same bits, too.

    Parameters
    ----------
    cluster:
        None for this process; "local" for a process on each of this machine's processors; "local:N" for N of them;
        "tcp://HOST:PORT" (or tls://) for the workers of a Dask scheduler that runs.
    threads:
        Of this process, or how many processes "local" are; all processors unless given. Changes no bit.
    say:
        Told of workers that are lost or awaited.

    Raises
    ------
    OptionError
        For another cluster, or threads that have no meaning for it.
    UsageError
        If it takes Dask, and Dask is not installed.
    SystemFailure
        If there is no such scheduler, or processes do not start.
    """
    if threads is not None and threads < 1:
        raise OptionError("threads", f"must be positive, not {threads}")
    if cluster is None:
        with one_blas_thread(), at_most(threads):
            yield Here()
        return
    here = re.fullmatch(r"local(?::([1-9]\d{0,3}))?", cluster)
    if here is None and _ADDRESS.fullmatch(cluster) is None:
        raise OptionError("cluster", f"is local, local:N or tcp://HOST:PORT, not {cluster!r}")
    if threads is not None and (here is None or here[1]):
        raise OptionError("threads", f"is not for cluster {cluster}: it has its own workers, of one thread each")
    from spu.studies.campaign.dask_workers import local_workers, remote_workers

    with one_blas_thread():
        if here is not None:
            with local_workers(int(here[1]) if here[1] else threads, say) as found:
                yield found
        else:
            with remote_workers(cluster, say) as found:
                yield found
