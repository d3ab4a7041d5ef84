"""How far ngspice's paths and operating points are from ours, and how far they may be."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray
from spu.crosscheck.context import Context

TOLERANCE = 1e-7
"""Relative to the largest mean or, where that is smaller, to the noise: both solve one linear system."""

ROUNDING = 256 * np.finfo(float).eps
"""Of the largest DC voltage anywhere in the deck: what is left where two of them cancel."""


def scale(context: Context) -> float:
    """What errors are relative to, V: the largest mean, or the largest rms where that is more."""
    return max(float(np.abs(context.law.voltage_mean).max()), float(context.rms.max()))


def allowed(context: Context) -> float:
    """How far a readout of ngspice's may be from its mean, V, as far as the emulator knows constant voltages."""
    return TOLERANCE * scale(context) + ROUNDING * context.largest_dc


def path_errors(context: Context, found: FloatArray, exact: FloatArray) -> FloatArray:
    """`relative_distances` of the probes' paths about their means.

    Where the paths start a little apart, by no more than level ``op`` allows, they are set side by side: a supply may
    be 1e10 times the noise.
    """
    apart = found[0] - exact[0]
    if not context.from_zero and np.abs(apart).max(initial=0.0) <= allowed(context):
        found = found - apart
    return relative_distances(found, exact, context.law.voltage_mean)


def relative_distances(found: FloatArray, exact: FloatArray, centre: FloatArray) -> FloatArray:
    """(p,) error of each path relative to its norm about the centre; silent ones are held to the loudest's rounding."""
    norm = np.linalg.norm(exact - centre, axis=0)
    norm = np.maximum(norm, 1e-6 * norm.max(initial=0.0))
    return np.asarray(np.linalg.norm(found - exact, axis=0) / np.where(norm > 0, norm, 1.0))
