"""How far ngspice's paths and operating points are from ours, and how far they may be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spu.base.arrays import FloatArray
from spu.crosscheck.context import Context

TOLERANCE = 1e-7
"""Relative to the largest mean or, where that is smaller, to the noise: both solve one linear system."""

SPREAD = 2e-5
"""Of a path error: what doubles may leave of it where rates spread widely."""

ROUNDING = 256 * np.finfo(float).eps
"""Of the largest DC voltage anywhere in the deck: what is left where two of them cancel."""


def scale(context: Context) -> float:
    """What errors are relative to, V: the largest mean, or the largest rms where that is more."""
    return max(float(np.abs(context.any_law.voltage_mean).max()), float(context.rms.max()))


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
    return relative_distances(found, exact, context.dynamics.centre(exact))


def excuse(context: Context, error: float, points: float, step: float) -> str:
    """Why a path error says nothing against the circuit, where it is the simulator's own; else nothing.

    Parameters
    ----------
    error:
        Of a path.
    points, step:
        How many time points the simulator made, and the largest step allowed, s.
    """
    known = _EXCUSES.get(context.dynamics.name)
    return "" if known is None else known(context, error, points, step)


def _linear_excuse(context: Context, error: float, points: float, step: float) -> str:
    """Rounding, rates too far apart, or a mode that rings within a step.

    Each point adds a rounding of the largest constant voltage; in the worst case they add up. Rates that spread widely
    leave the slow ones few digits, on both sides. A mode that rings within a step is not followed: the trapezoidal rule
    lets it ring on.
    """
    law, whose = context.law, f"{context.simulator.name}'s"
    variance = np.diag(law.voltage_covariance)
    least = float(np.sqrt(variance[variance > 1e-12 * variance.max(initial=0.0)]).min(initial=np.inf))
    if error <= points * np.finfo(float).eps * context.largest_dc / least:
        return (
            f"constant voltages of up to {context.largest_dc:.3g} V beside noise of {least:.2g} V leave too few "
            f"digits: {whose} rounding grows with the number of steps"
        )
    poles = np.abs(law.poles)
    spread = float(poles.max() / poles.min())
    if np.finfo(float).eps * spread > SPREAD:
        return f"rates that spread by {spread:.1g} leave neither side enough digits"
    ringing = float(np.abs(law.seen.imag).max(initial=0.0))
    if ringing * step > 1.0:
        return f"a mode rings at {ringing / (2 * np.pi):.3g} Hz, within one of {whose} steps ({step:.2g} s)"
    return ""


_EXCUSES: dict[str, Callable[[Context, float, float, float], str]] = {"linear": _linear_excuse}
"""By kind of dynamics."""


def relative_distances(found: FloatArray, exact: FloatArray, centre: FloatArray) -> FloatArray:
    """(p,) error of each path relative to its norm about the centre; silent ones are held to the loudest's rounding."""
    norm = np.linalg.norm(exact - centre, axis=0)
    norm = np.maximum(norm, 1e-6 * norm.max(initial=0.0))
    return np.asarray(np.linalg.norm(found - exact, axis=0) / np.where(norm > 0, norm, 1.0))
