"""What a simulator's transfer functions and noise densities may be off, however the sources were swept."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY

POINTWISE = 1e-7
"""Of each transfer function's peak. Both sides solve the same linear equations in double precision."""

ROUNDINGS = 30.0
"""Times what double precision does to nodal equations: ngspice orders and scales them in a way of its own."""

BLURRED = 1e-4
"""Of a peak: what rounding may leave open where transfer functions are still said to agree."""

DENSITY = 5e-6
"""ngspice's Boltzmann constant is 3.5e-7 off the exact one."""

AUDIBLE = 1e-8
"""Of a source's loudest power gain: below this its density is not judged."""

COVARIANCE = 1e-4
"""Relative Frobenius; quadrature and tails (measured on the emulator's own curves and added)."""

_LEAST = 1e-290
"""V^2/Hz: quieter ones have lost digits, or are zero, in doubles."""


def densities(gain: FloatArray, heard: FloatArray, rounding: float) -> tuple[FloatArray, FloatArray]:
    """The density of every source from its gains and what is heard of it (f, p, m each).

    Returns the densities of the unit sources (m,), V^2/Hz one-sided, each where it is heard best; and how far each is
    from its density at any audible frequency (m,), relative, beyond the rounding of the gains. One that nothing hears
    is taken for right.
    """
    loudest = gain.max(axis=(0, 1))
    audible = (gain > AUDIBLE * loudest) & (gain * UNIT_NOISE_DENSITY**2 > _LEAST)
    known = np.where(audible, gain, 1.0)
    ratio = np.where(audible, heard / (known * UNIT_NOISE_DENSITY**2), 1.0)
    error = np.maximum(np.abs(ratio - 1.0) - 2.0 * rounding * np.sqrt(loudest / known), 0.0)
    error = np.where(audible, error, 0.0).max(axis=(0, 1))
    best = gain.reshape(-1, gain.shape[2]).argmax(axis=0)
    found = ratio.reshape(-1, gain.shape[2])[best, np.arange(gain.shape[2])] * UNIT_NOISE_DENSITY**2
    return found, error


def decisive(parts: dict[str, tuple[float, float]]) -> tuple[bool, str]:
    """Whether all errors are within what is allowed, (error, allowed) each, and which says most.

    That is the first that is not within: where transfer functions differ, all the rest does. Else the closest to it.
    """
    failing = [key for key, (error, allowed) in parts.items() if not error <= allowed]
    return not failing, failing[0] if failing else max(parts, key=lambda key: parts[key][0] / parts[key][1])
