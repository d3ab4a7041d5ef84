"""Linear feedback shift registers of maximal length: their bits from any place on, and their primitive polynomials.

A register of k bits whose feedback polynomial over GF(2) is primitive runs through all 2^k - 1 states but zero, and
its bits come around after as many. All its sequences are one, begun at different places: any state but zero is some
``x^s`` modulo the polynomial. The two-point law is the same for all primitive polynomials (Golomb, Shift Register
Sequences, 1967); the one taken here is the one with the fewest taps, and of these the first.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 2, 48
"""Bits of a register."""


@cache
def primitive(bits: int) -> tuple[int, ...]:
    """Exponents of a primitive polynomial of a degree, falling from the degree to zero."""
    order = (1 << bits) - 1
    checks = [order // prime for prime in _primes(order)]
    for inner in range(1, bits, 2):  # with an even number of terms it would have the root one
        for between in combinations(range(1, bits), inner):
            exponents = (bits, *sorted(between, reverse=True), 0)
            polynomial = sum(1 << each for each in exponents)
            if _power(order, polynomial) == 1 and all(_power(each, polynomial) != 1 for each in checks):
                return exponents
    raise AssertionError("there are primitive polynomials of every degree")


def sequence(bits: int, start: int, count: int) -> NDArray[np.int8]:
    """(count,) bits 0 or 1 of the register's sequence from place ``start`` on, which is taken modulo its period."""
    exponents = primitive(bits)
    polynomial = sum(1 << each for each in exponents)
    state = _power(start % ((1 << bits) - 1), polynomial)
    # Bit n is a linear function of x^n modulo the polynomial: its lowest coefficient.
    found = np.empty(max(count, bits), dtype=np.int8)
    for n in range(bits):
        found[n] = state & 1
        state = _times_x(state, polynomial)
    known, reach = bits, 1
    while known < count:
        # The recurrence of the polynomial, and of its powers of two: b(n + 2^i k) = sum b(n + 2^i e), e its exponents.
        while 2 * reach * bits <= known:
            reach *= 2
        lags = [reach * (bits - each) for each in exponents[1:]]
        many = min(count - known, min(lags))
        block = np.zeros(many, dtype=np.int8)
        for lag in lags:
            block ^= found[known - lag : known - lag + many]
        found[known : known + many] = block
        known += many
    return found[:count]


def _times_x(value: int, polynomial: int) -> int:
    value <<= 1
    return value ^ polynomial if value.bit_length() == polynomial.bit_length() else value


def _times(a: int, b: int, polynomial: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = _times_x(a, polynomial)
        b >>= 1
    return product


def _power(exponent: int, polynomial: int) -> int:
    """``x^exponent`` modulo a polynomial, as bits of an integer."""
    found, base = 1, _times_x(1, polynomial)
    while exponent:
        if exponent & 1:
            found = _times(found, base, polynomial)
        base = _times(base, base, polynomial)
        exponent >>= 1
    return found


def _primes(number: int) -> list[int]:
    """Prime factors, each once."""
    found, each = [], 2
    while each * each <= number:
        if number % each == 0:
            found.append(each)
            while number % each == 0:
                number //= each
        each += 1
    return [*found, number] if number > 1 else found
