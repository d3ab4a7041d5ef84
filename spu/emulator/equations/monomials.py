"""How a circuit's equations follow from what the elements of its device are multiplied by.

Every term that an element stamps (`spu.circuit.stamps`) is its value, the inverse or the root of it, times constants of
the circuit: on a board whose elements are multiplied by factors f it is a number times powers of a few of these, or, as
of coefficients of temperature, of ``1 + a (f - 1)``. Which ones is read off boards with factors of no simple relation:
one on which all parts vary, two for each imperfection; and held against one on which all vary. Elements of which that
does not go are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import SpuError
from spu.circuit.circuit import Circuit, stamp_circuit
from spu.circuit.stamps import Stamps
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.variation import Elements, varied

POWERS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
"""Powers of a factor, by the number that the compiled loops know each by (``spu/base/kernels/c/draws.c``)."""

Monomial = tuple[tuple[int, float], ...]
"""Elements and their powers, elements ascending."""

Evaluate = Callable[[FloatArray], list[FloatArray]]
"""Arrays of numbers (k,) of the board with given factors; raises `SpuError` or `_Otherwise` where it has none."""

_SAME = 1e-13
"""Difference of logarithms of numbers that are the same but for rounding."""

_TRIED = ((1.9, 0.6), (1.02, 0.97))
"""Factors of an imperfection: far apart where it admits that."""


class _Otherwise(Exception):
    """Boards differ in more than values."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms of a matrix: (k,) rows, columns, values with all factors 1, and the monomial of each."""

    rows: IntArray
    columns: IntArray
    values: FloatArray
    monomials: list[Monomial]


@dataclass(frozen=True, eq=False)
class Factors:
    """What enters the monomials of a device's e elements.

    Attributes
    ----------
    known:
        (e,) whether an element may vary.
    slopes:
        (e,) a: its factor f enters as ``1 + a (f - 1)``; 1 of nearly all.
    """

    known: NDArray[np.bool_]
    slopes: FloatArray

    def of(self, given: FloatArray) -> FloatArray:
        """(d, e) what enters, of factors (d, e)."""
        bent = np.flatnonzero(self.slopes != 1.0)
        if not len(bent):
            return given
        found = given.copy()
        found[:, bent] = 1.0 + self.slopes[bent] * (given[:, bent] - 1.0)
        return found


@dataclass(frozen=True, eq=False)
class FactoredCircuit:
    """A circuit with its stamps, and of ``E``, ``F``, ``K`` and ``s`` the terms."""

    circuit: Circuit
    stamps: Stamps
    terms: dict[str, Terms]
    factors: Factors


def factored(device: Device, elements: Elements) -> FactoredCircuit | None:
    """The terms of a device's equations; None where they are not of that kind."""
    circuit = lower(device)
    stamps = stamp_circuit(circuit)[0]
    entries = {name: stamps.entries(name) for name in "EFKs"}

    def evaluate(factors: FloatArray) -> list[FloatArray]:
        board = stamp_circuit(lower(varied(device, factors, elements)))[0]
        found = []
        for name, (rows, columns, _) in entries.items():
            own_rows, own_columns, values = board.entries(name)
            if not (np.array_equal(rows, own_rows) and np.array_equal(columns, own_columns)):
                raise _Otherwise
            found.append(values)
        return found

    read = _decode(evaluate, [values for *_, values in entries.values()], elements)
    if read is None:
        return None
    terms = {name: Terms(*entry, each) for (name, entry), each in zip(entries.items(), read[0], strict=True)}
    return FactoredCircuit(circuit, stamps, terms, read[1])


def powers_of_parameters(
    device: Device, elements: Elements
) -> tuple[list[dict[tuple[int, str], FloatArray]], Factors] | None:
    """For each element its powers in the parameters of the device's circuit: by number of the group and key, (k,).

    None where parameters are no products of powers.
    """
    places = [(number, key) for number, group in enumerate(lower(device).instances) for key in group.parameters]

    def evaluate(factors: FloatArray) -> list[FloatArray]:
        groups = lower(varied(device, factors, elements)).instances
        return [groups[number].parameters[key] for number, key in places]

    given = evaluate(np.ones(len(elements)))
    read = _decode(evaluate, given, elements)
    if read is None:
        return None
    found: list[dict[tuple[int, str], FloatArray]] = [{} for _ in elements.names]
    for place, values, monomials in zip(places, given, read[0], strict=True):
        for k, monomial in enumerate(monomials):
            for element, power in monomial:
                found[element].setdefault(place, np.zeros(len(values)))[k] = power
    return found, read[1]


def _decode(
    evaluate: Evaluate, given: list[FloatArray], elements: Elements
) -> tuple[list[list[Monomial]], Factors] | None:
    """The monomials of arrays of numbers."""
    count = len(elements)
    detail = np.array([kind.startswith("detail.") for kind in elements.kinds], dtype=bool)
    known, slopes = np.ones(count, dtype=bool), np.ones(count)
    whole = np.concatenate([*given, np.empty(0)])
    powers: list[dict[int, float]] = [{} for _ in whole]

    def logs_of(factors: FloatArray) -> FloatArray | None:
        """Logarithms of ratios (k,); None of a board that is another one."""
        try:
            values = np.concatenate([*evaluate(factors), np.empty(0)])
        except (SpuError, _Otherwise):
            return None
        if len(values) != len(whole) or (values[whole == 0] != 0).any():
            return None
        ratios = np.divide(values, whole, out=np.ones(len(whole)), where=whole != 0)
        return np.log(ratios) if (ratios > 0).all() else None

    drawn = np.random.default_rng(20261129).uniform(-0.1, 0.1, (2, count))
    drawn[0, detail] = 0.0
    logs = logs_of(np.exp(drawn[0]))
    if logs is None:  # not all parts of this device can be varied
        for where in elements.slices:
            if not detail[where].any() and logs_of(_only(drawn[0], where)) is None:
                known[where], drawn[:, where] = False, 0.0
        logs = logs_of(np.exp(drawn[0]))
    monomials = None if logs is None else _monomials(logs, drawn[0])
    if monomials is None:
        return None
    for number in np.flatnonzero(detail):
        found = _alone(logs_of, count, int(number))
        if found is None:
            known[number], drawn[1, number] = False, 0.0
            continue
        slopes[number] = found[1]
        for term in np.flatnonzero(found[0]):
            powers[term][int(number)] = float(found[0][term])
    for own, monomial in zip(powers, monomials, strict=True):
        own.update(monomial)
    factors = Factors(known, slopes)
    last = logs_of(np.exp(drawn[1]))
    entering = np.log(factors.of(np.exp(drawn[1:]))[0])
    meant = np.array([sum(power * entering[element] for element, power in own.items()) for own in powers])
    if last is None or not (np.abs(meant - last) <= 10.0 * _SAME).all():
        return None
    read = [tuple(sorted(own.items())) for own in powers]
    ends = np.cumsum([0, *map(len, given)]).tolist()
    return [read[first:end] for first, end in pairwise(ends)], factors


def _only(logs: FloatArray, where: slice) -> FloatArray:
    factors = np.ones(len(logs))
    factors[where] = np.exp(logs[where])
    return factors


def _alone(
    logs_of: Callable[[FloatArray], FloatArray | None], count: int, number: int
) -> tuple[FloatArray, float] | None:
    """Powers (k,) of one element in all numbers, and the slope with which its factor enters them."""
    for pair in _TRIED:
        both = [logs_of(np.where(np.arange(count) == number, factor, 1.0)) for factor in pair]
        first, second = both
        if first is None or second is None:
            continue
        largest = int(np.argmax(np.abs(first))) if len(first) else 0
        if not len(first) or abs(first[largest]) <= _SAME:
            return (np.zeros(len(first)), 1.0) if not len(second) or np.abs(second).max() <= _SAME else None
        for power in POWERS[1:]:
            slope = float(np.expm1(first[largest] / power) / (pair[0] - 1.0))
            if abs(slope - 1.0) < 1e-9:
                slope = 1.0
            entering = [1.0 + slope * (factor - 1.0) for factor in pair]
            if min(entering) <= 0:
                continue
            one, other = np.log(entering)
            found = np.array(POWERS)[np.argmin(np.abs(first - np.multiply.outer(POWERS, [one])), axis=0)]
            if (np.abs(found * one - first) <= _SAME).all() and (np.abs(found * other - second) <= _SAME).all():
                return found, slope
        return None
    return None


def _monomials(logs: FloatArray, drawn: FloatArray) -> list[Monomial] | None:
    """Which powers of one or two factors, whose logarithms are ``drawn``, make numbers of these logarithms."""
    there = np.flatnonzero(drawn)
    powers = np.array(POWERS[1:])
    table = np.append(np.outer(powers, drawn[there]).ravel(), 0.0)
    order = np.argsort(table)
    ranked = table[order]

    def single(number: int) -> Monomial:
        if number == len(table) - 1:
            return ()
        return ((int(there[number % len(there)]), float(powers[number // len(there)])),)

    def nearest(wanted: FloatArray) -> tuple[IntArray, FloatArray]:
        at = np.clip(np.searchsorted(ranked, wanted), 0, len(ranked) - 1)
        at = np.where((at > 0) & (np.abs(ranked[at - 1] - wanted) < np.abs(ranked[at] - wanted)), at - 1, at)
        return order[at], np.abs(ranked[at] - wanted)

    numbers, off = nearest(logs)
    known: dict[float, Monomial] = {}
    found: list[Monomial] = []
    for log, number, far in zip(logs.tolist(), numbers.tolist(), off.tolist(), strict=True):
        if far <= _SAME:
            found.append(single(number))
            continue
        if log not in known:
            seconds, apart = nearest(log - table)
            best = int(np.argmin(apart))
            if apart[best] > _SAME:
                return None
            both = dict(single(best))
            for element, power in single(int(seconds[best])):
                both[element] = both.get(element, 0.0) + power
            known[log] = tuple(sorted((element, power) for element, power in both.items() if power))
        found.append(known[log])
    return found
