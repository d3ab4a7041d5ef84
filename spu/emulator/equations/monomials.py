"""How a circuit's equations follow from what the elements of its device are multiplied by.

Every term that an element stamps (`spu.circuit.stamps`) is its value, the inverse or the root of it, times constants of
the circuit: on a board whose elements are multiplied by factors it is a number times powers of one or two of these.
Which ones is read off two boards with factors of no simple relation, and held against a third.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.circuit.circuit import Circuit, stamp_circuit
from spu.circuit.stamps import Stamps
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.variation import Elements, varied

POWERS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
"""Powers of a factor, by the number that the compiled loops know each by (``spu/base/kernels/c/draws.c``)."""

Monomial = tuple[tuple[int, float], ...]
"""Elements and their powers, elements ascending."""

_SAME = 1e-12
"""Relative difference of numbers that are the same but for rounding."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms of a matrix: (k,) rows, columns, values with all factors 1, and the monomial of each."""

    rows: IntArray
    columns: IntArray
    values: FloatArray
    monomials: list[Monomial]


@dataclass(frozen=True, eq=False)
class FactoredCircuit:
    """A circuit with its stamps, how many elements its device has, and of ``E``, ``F``, ``K`` and ``s`` the terms."""

    circuit: Circuit
    elements: int
    stamps: Stamps
    terms: dict[str, Terms]


def factored(device: Device, elements: Elements) -> FactoredCircuit | None:
    """The terms of a device's equations; None where they are not of that kind."""
    count = len(elements)
    circuit = lower(device)
    stamps = stamp_circuit(circuit)[0]
    drawn = _drawn(count)
    try:
        boards = [stamp_circuit(lower(varied(device, np.exp(each), elements)))[0] for each in drawn]
    except InputError:  # not all of its elements can be varied
        return None
    found = {}
    for name in "EFKs":
        rows, columns, values = stamps.entries(name)
        others = [board.entries(name) for board in boards]
        if any(not (np.array_equal(rows, a) and np.array_equal(columns, b)) for a, b, _ in others):
            return None
        monomials = _read(values, [c for *_, c in others], drawn)
        if monomials is None:
            return None
        found[name] = Terms(rows, columns, values, monomials)
    return FactoredCircuit(circuit, count, stamps, found)


def powers_of_parameters(device: Device, elements: Elements) -> list[dict[tuple[int, str], FloatArray]] | None:
    """For each element its powers in the parameters of the device's circuit: by number of the group and key, (k,).

    None where parameters are no products of powers.
    """
    drawn = _drawn(len(elements))
    boards = [lower(varied(device, np.exp(each), elements)) for each in drawn]
    found: list[dict[tuple[int, str], FloatArray]] = [{} for _ in elements.names]
    for number, group in enumerate(lower(device).instances):
        for key, values in group.parameters.items():
            monomials = _read(values, [board.instances[number].parameters[key] for board in boards], drawn)
            if monomials is None:
                return None
            for k, monomial in enumerate(monomials):
                for element, power in monomial:
                    found[element].setdefault((number, key), np.zeros(len(values)))[k] = power
    return found


def _drawn(count: int) -> FloatArray:
    """(2, count) logarithms of the factors of two boards."""
    return np.random.default_rng(20261129).uniform(-0.1, 0.1, (2, count))


def _read(values: FloatArray, others: list[FloatArray], drawn: FloatArray) -> list[Monomial] | None:
    """The monomials of numbers (k,), from what they are on two boards; None where they are none."""
    if any((each[values == 0] != 0).any() for each in others):
        return None
    ratios = [np.divide(each, values, out=np.ones(len(values)), where=values != 0) for each in others]
    if any((ratio <= 0).any() for ratio in ratios):
        return None
    first, second = np.log(ratios)
    monomials = _monomials(first, drawn[0])
    if monomials is None:
        return None
    meant = np.array([sum(power * drawn[1][e] for e, power in each) for each in monomials])
    return monomials if (np.abs(meant - second) <= _SAME).all() else None


def _monomials(logs: FloatArray, drawn: FloatArray) -> list[Monomial] | None:
    """Which powers of factors, whose logarithms are ``drawn``, make numbers of these logarithms."""
    powers = np.array(POWERS[1:])
    table = np.append(np.outer(powers, drawn).ravel(), 0.0)
    order = np.argsort(table)
    ranked = table[order]

    def single(number: int) -> Monomial:
        if number == len(table) - 1:
            return ()
        return ((number % len(drawn), float(powers[number // len(drawn)])),)

    def nearest(wanted: FloatArray) -> tuple[IntArray, FloatArray]:
        at = (
            np.clip(np.searchsorted(ranked, wanted), 1, len(ranked) - 1)
            if len(ranked) > 1
            else np.zeros(len(wanted), np.int64)
        )
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
