"""Pieces of a study, and what it takes to do them.

A piece hangs on its item alone: it has a seed of its own (`seed_of_piece`), BLAS runs on one thread wherever it is
done, and results come in the order of items whatever was finished first. So sums that are taken in that order have the
same bits on any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from spu.base.errors import SpuError

__all__ = ["Each", "Here", "Workers", "piece_named", "seed_of_piece"]

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
