"""Who does the pieces of a study: this process, processes of this machine, or many machines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spu.base.errors import OptionError
from spu.base.threads import at_most, one_blas_thread
from spu.studies.campaign.dask_workers import local_workers, remote_workers
from spu.studies.campaign.pieces import Here, Workers

__all__ = ["open_workers"]

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
    with one_blas_thread():
        if here is not None:
            with local_workers(int(here[1]) if here[1] else threads, say) as found:
                yield found
        else:
            with remote_workers(cluster, say) as found:
                yield found
