"""Long sequences that are made as they are asked for, such as the names of half a million couplers."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Generic, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def _chosen(items: Sequence[T], indices: NDArray[np.integer], k: int) -> T:
    return items[int(indices[k])]


class Lazy(Sequence[T], Generic[T]):
    """A read-only sequence whose items are made on access and not kept.

    It equals any tuple, list or `Lazy` of the same items, so that who reads names need not care.

    Parameters
    ----------
    *parts:
        ``(count, make)`` pairs, one behind the other: ``make(k)`` gives item ``k`` of a part,
        ``0 <= k < count``. For the sequence to be pickled it is a function of a module (with `functools.partial`).
    """

    __slots__ = ("_first", "_parts")
    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __init__(self, *parts: tuple[int, Callable[[int], T]]) -> None:
        self._parts = [part for part in parts if part[0]]
        self._first = [0, *accumulate(count for count, _ in self._parts)]

    @classmethod
    def of(cls, items: Sequence[T]) -> Lazy[T]:
        """The items of a sequence that is there already."""
        return items if isinstance(items, Lazy) else cls((len(items), items.__getitem__))

    @classmethod
    def joined(cls, sequences: Sequence[Sequence[T]]) -> Lazy[T]:
        """Several sequences, one behind the other."""
        return cls(*(part for items in sequences for part in Lazy.of(items)._parts))

    def __add__(self, other: Sequence[T]) -> Lazy[T]:
        return Lazy(*self._parts, *Lazy.of(other)._parts)

    def take(self, indices: NDArray[np.integer]) -> Lazy[T]:
        """The items at the given places, (k,), in that order."""
        if len(indices) == len(self) and np.array_equal(indices, np.arange(len(self))):
            return self
        return Lazy((len(indices), partial(_chosen, self, indices)))

    def _item(self, index: int) -> T:
        part = bisect_right(self._first, index) - 1
        return self._parts[part][1](index - self._first[part])

    def __len__(self) -> int:
        return self._first[-1]

    def __iter__(self) -> Iterator[T]:
        for count, make in self._parts:
            yield from map(make, range(count))

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._item(k) for k in range(*index.indices(len(self)))]
        index = operator.index(index)
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"{index} where there are {len(self)}")
        return self._item(place)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Lazy, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        more = "" if len(self) <= 6 else f", ... ({len(self)})"
        return f"({', '.join(map(repr, self[:6]))}{more})"
