"""The one place that draws random numbers: counter-based, so that every number has an address.

The standard normal of component ``c`` at step ``k`` of trajectory ``t`` is a function of (seed,
purpose, t, k, c) and of nothing else. So the bits of the noise do not depend on how many threads
draw it, on how many trajectories run side by side, or on where a run is cut into chunks.

Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, SC11, 2011) turns the counter

    (c // 4, t, low half of k, high half of k)

and a key made of seed and purpose into 128 bits, and each half of them becomes two normals by the
Box-Muller transform (1958): 40 bits for the radius, which reaches 7.5 sigma, and 24 for the angle.
All arithmetic is IEEE with explicit fused multiply-adds, so vector width and compiler do not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.compiled import compiled, floats, inner
from spu.base.compiled import words as unsigned

WordArray = NDArray[np.uint64]

SAMPLES, REPLAY = 0, 2
"""Purposes: what one seed is used for."""

BLOCK = 4
"""Normals of one counter: rows of `fill_normals` come in such blocks."""

WIDTH = 256
"""Columns worked on at a time, so that words stay in the nearest cache."""

_U = np.uint64

_LOW, _HALF = _U(0xFFFFFFFF), _U(32)

_MULTIPLIER = (_U(0xD2511F53), _U(0xCD9E8D57))

_WEYL = (_U(0x9E3779B9), _U(0xBB67AE85))

_ONE = _U(0x3FF0000000000000)  # the bits of 1.0

_RADIUS_BITS = _U(0xFFFFFFFFFF000000)

_ANGLE_BITS = _U(0x000FFFFFC0000000)

_SIGN = _U(0x8000000000000000)

_EXPONENT = _U(52)

_ROOT_HALF = _U(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)

_TWO52 = _U(0x4330000000000000)  # the bits of 2^52

_BIAS = _U(2048)

_TWELVE_BITS = _U(0xFFF)


@intrinsic
def fma(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    """``a b + c``, rounded once."""
    signature = types.float64(types.float64, types.float64, types.float64)
    return signature, lambda _cg, builder, _sig, args: builder.fma(*args)


@intrinsic
def _as_float(_context: Any, _word: Any) -> Any:
    return types.float64(types.uint64), lambda _cg, builder, _sig, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def _as_word(_context: Any, _value: Any) -> Any:
    return types.uint64(types.float64), lambda _cg, builder, _sig, args: builder.bitcast(args[0], ir.IntType(64))


# Divisions by zero cannot happen here; checks for them would keep LLVM from vectorising.
_inline = njit(inline="always", error_model="numpy")


@_inline
def _round(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """One round of Philox; only the low 32 bits of each word count."""
    p0, p1 = _MULTIPLIER[0] * (c0 & _LOW), _MULTIPLIER[1] * (c2 & _LOW)
    return (p1 >> _HALF) ^ c1 ^ k0, p1, (p0 >> _HALF) ^ c3 ^ k1, p0


@_inline
def _philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """128 bits as two words. Ten rounds written out: a loop inside would keep LLVM from vectorising the outer one."""
    w0, w1 = _WEYL
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + w0, k1 + w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(2) * w0, k1 + _U(2) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(3) * w0, k1 + _U(3) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(4) * w0, k1 + _U(4) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(5) * w0, k1 + _U(5) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(6) * w0, k1 + _U(6) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(7) * w0, k1 + _U(7) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(8) * w0, k1 + _U(8) * w1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + _U(9) * w0, k1 + _U(9) * w1)
    return (c0 << _HALF) | (c1 & _LOW), (c2 << _HALF) | (c3 & _LOW)


@_inline
def _box_muller(word):  # type: ignore[no-untyped-def]
    """Two normals out of 64 bits: ``sqrt(-2 log u)`` times cosine and sine of a uniform angle.

    The series stop where their remainder is below 4e-14 of the result.
    """
    # u in (0, 1): 40 bits and a half. u = m 2^e with m between sqrt(1/2) and sqrt(2).
    u = _as_float(((word & _RADIUS_BITS) >> _U(12)) | _ONE) - (1.0 - 2.0**-41)
    shifted = (_as_word(u) - _ROOT_HALF) >> _EXPONENT
    m = _as_float(_as_word(u) - (shifted << _EXPONENT))
    e = _as_float(((shifted + _BIAS) & _TWELVE_BITS) | _TWO52) - (2.0**52 + 2048.0)
    # log m = 2 artanh f
    f = (m - 1.0) / (m + 1.0)
    z = f * f
    s = fma(z, 1 / 15, 1 / 13)
    s = fma(z, s, 1 / 11)
    s = fma(z, s, 1 / 9)
    s = fma(z, s, 1 / 7)
    s = fma(z, s, 1 / 5)
    s = fma(z, s, 1 / 3)
    s = fma(z, s, 1.0)
    radius = np.sqrt(fma(-4.0 * f, s, -2.0 * 0.6931471805599453 * e))
    # An angle between -pi/4 and pi/4 out of 22 bits and a half; two more bits choose the quadrant.
    x = (_as_float(((word << _U(28)) & _ANGLE_BITS) | _ONE) - (1.5 - 2.0**-23)) * 1.5707963267948966
    y = x * x
    s = fma(y, 1 / 6227020800, -1 / 39916800)
    s = fma(y, s, 1 / 362880)
    s = fma(y, s, -1 / 5040)
    s = fma(y, s, 1 / 120)
    s = fma(y, s, -1 / 6)
    sine = radius * fma(x * y, s, x)
    c = fma(y, -1 / 87178291200, 1 / 479001600)
    c = fma(y, c, -1 / 3628800)
    c = fma(y, c, 1 / 40320)
    c = fma(y, c, -1 / 720)
    c = fma(y, c, 1 / 24)
    c = fma(y, c, -0.5)
    cosine = radius * fma(y, c, 1.0)
    swap = (word & _U(1)) == _U(1)
    sign = (word << _U(62)) & _SIGN
    return (
        _as_float(_as_word(sine if swap else cosine) ^ sign),
        _as_float(_as_word(cosine if swap else sine) ^ sign),
    )


@inner
def _words(first, second, block, key, steps, trajectories):  # type: ignore[no-untyped-def]
    k0, k1 = key[0], key[1]
    for i in range(len(steps)):
        step = steps[i]
        first[i], second[i] = _philox(block, trajectories[i], step, step >> _HALF, k0, k1)


@compiled(words=unsigned("n"), first=floats("n", written=True), second=floats("n", written=True))
def _normal_pairs(words, first, second):  # type: ignore[no-untyped-def]
    for i in range(len(words)):
        first[i], second[i] = _box_muller(words[i])


@compiled(
    out=floats("rows", "n", written=True),
    key=unsigned(2),
    steps=unsigned("n"),
    trajectories=unsigned("n"),
    words=unsigned(2, WIDTH, written=True),
)
def fill_normals(out, first_block, key, steps, trajectories, words):  # type: ignore[no-untyped-def]
    """Fill ``out`` with normals: a row a component, a column an instant of a trajectory.

    Parameters
    ----------
    out:
        (rows, n) array, rows a multiple of `BLOCK`: components from ``BLOCK * first_block`` on.
    first_block:
        Number of the first block of components, unsigned.
    key:
        (2,) as `key_of` gives it.
    steps, trajectories:
        (n,) unsigned: step and trajectory of each column.
    words:
        (2, WIDTH) unsigned, scratch.
    """
    for block in range(len(out) // BLOCK):
        for begin in range(0, len(steps), WIDTH):
            end = min(begin + WIDTH, len(steps))
            # Row by row: only so does the compiler know that neighbours lie side by side.
            first, second = words[0, : end - begin], words[1, : end - begin]
            _words(first, second, first_block + _U(block), key, steps[begin:end], trajectories[begin:end])
            row = BLOCK * block
            _normal_pairs(first, out[row, begin:end], out[row + 1, begin:end])
            _normal_pairs(second, out[row + 2, begin:end], out[row + 3, begin:end])


@compiled(counter=unsigned(4), key=unsigned(2))
def philox4x32(counter, key):  # type: ignore[no-untyped-def]
    """Philox 4x32-10 of a counter (4,) and a key (2,) of 32-bit words: (4,) words, to test against published ones."""
    a, b = _philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    return a >> _HALF, a & _LOW, b >> _HALF, b & _LOW


def key_of(seed: int, purpose: int = SAMPLES) -> WordArray:
    """The (2,) key of a seed (non-negative, of any size) for a purpose."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(purpose,)).generate_state(2, np.uint32).astype(np.uint64)


def normals(seed: int, steps: int, width: int, *, purpose: int = SAMPLES, trajectory: int = 0) -> FloatArray:
    """A (steps, width) array: the first ``width`` components of steps 0, 1, ... of one trajectory."""
    out = np.empty((-(-width // BLOCK) * BLOCK, steps))
    trajectories = np.full(steps, trajectory, dtype=np.uint64)
    columns = np.arange(steps, dtype=np.uint64)
    fill_normals(out, _U(0), key_of(seed, purpose), columns, trajectories, np.empty((2, WIDTH), dtype=np.uint64))
    return np.ascontiguousarray(out[:width].T)
