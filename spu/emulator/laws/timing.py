"""Which frequencies and times matter for a circuit: sample time, run length, sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.choice import TOLERANCE
from spu.base.factor import Factor
from spu.emulator.equations.langevin import Langevin
from spu.emulator.laws.large import SparseLaw
from spu.emulator.laws.law import Law
from spu.emulator.laws.rest import slowest_motion, stable_step, typical_states
from spu.emulator.laws.stationary import EXTENDED, Stationary

MANY, SPARSE = 1000, 30
"""States from which on, and entries of E and F for each of them up to which, spectra may follow from sparse factors."""

TRANSIENT_SAMPLES = 8192
"""Noise samples in the transient run of a check."""


@dataclass(frozen=True, eq=False)
class Timing:
    """Time scales of a circuit, chosen from its exact law.

    Attributes
    ----------
    reference:
        rad/s: 80 % of the probes' normalised variance lies below this angular frequency.
    slowest:
        s, the longest time constant that the probes see.
    sample_time:
        s between the samples of transient noise sources: ``0.3 / reference``, or longer where
        the slowest mode would not settle and be seen within `TRANSIENT_SAMPLES`. The effect of
        sampling on the covariance is predicted, not neglected.
    low, high:
        Hz: a sweep from ``low`` to ``high`` leaves only tails that fall as known powers.
    per_decade:
        Points per decade that make the trapezoid rule on the logarithmic sweep exact to
        about 1e-6 (see `sweep_points`).
    """

    reference: float
    slowest: float
    sample_time: float
    low: float
    high: float
    per_decade: int


def timing(law: Law) -> Timing:
    """Choose time scales for a circuit."""
    poles = law.seen
    magnitudes = np.abs(poles) / (2 * np.pi)
    low, high = float(magnitudes.min()) / 300.0, float(magnitudes.max()) * 300.0
    per_decade = sweep_points(law)
    coarse = np.geomspace(low, high, int(np.log10(high / low) * min(per_decade, 60) + TOLERANCE) + 2)
    share = np.cumsum(_power(law, coarse) * np.gradient(coarse)[:, None], axis=0)
    share = (share / np.where(share[-1] > 0, share[-1], 1.0)).mean(axis=1)
    there = min(int(np.searchsorted(share, (0.8 - TOLERANCE) * share[-1])), len(coarse) - 1)
    reference = 2 * np.pi * float(coarse[there])
    slowest = law.slowest
    sample_time = max(0.3 / reference, 25.0 * slowest / TRANSIENT_SAMPLES)
    return Timing(reference, slowest, _round(sample_time), low, high, per_decade)


def _power(law: Law, frequencies: FloatArray) -> FloatArray:
    """Power spectra up to a factor, (k, p): of all probes, or where that costs too much of a fair choice of them."""
    if isinstance(law, SparseLaw):
        return law.extremes.spectrum(frequencies)
    if law.sde.E.shape[0] <= EXTENDED:
        return (np.abs(law.transfer(frequencies)) ** 2).sum(axis=2)
    chosen = np.unique(np.linspace(0, len(law.sde.probes) - 1, 32).astype(int))
    if _sparse(law, len(frequencies)):
        return _power_by_factors(law, frequencies, chosen)
    if law.modes is not None:
        return law.modes.spectrum(frequencies) @ (law.modes.probes[chosen] ** 2).T
    few = Stationary(replace(law.sde, H=law.sde.H[chosen], D=law.sde.D[chosen], y0=law.sde.y0[chosen]))
    return (np.abs(few.transfer(frequencies)) ** 2).sum(axis=2)


def _sparse(law: Law, frequencies: int) -> bool:
    """Whether factors at each frequency cost less than all modes."""
    sde, n = law.sde, law.sde.E.shape[0]
    if n <= MANY or sde.E.nnz + sde.F.nnz > SPARSE * n:
        return False
    rate = float(np.abs(sde.F.diagonal()).max(initial=0.0) / np.abs(sde.E.diagonal()).max(initial=0.0))
    return 4.0 * frequencies * Factor(sp.csr_array(1j * (rate or 1.0) * sde.E - sde.F)).operations < float(n) ** 3


def _power_by_factors(law: Law, frequencies: FloatArray, chosen: IntArray) -> FloatArray:
    """(k, p) power spectra of some probes up to a factor, frequency by frequency; white noise of theirs is left out."""
    sde = law.sde
    rows, found = sde.H[chosen].toarray().T, np.empty((len(frequencies), len(chosen)))
    for k, frequency in enumerate(frequencies.tolist()):
        heard = Factor(sp.csr_array(2j * np.pi * frequency * sde.E - sde.F)).solve_transposed(rows)
        found[k] = (np.abs(np.asarray(sde.K.T @ heard)) ** 2).sum(axis=0)
    return found


def sweep_points(law: Law) -> int:
    """Points per decade for the trapezoid rule in the logarithm of frequency.

    The integrand is analytic in ``u = log f`` but for poles at an angle ``theta`` from the real
    frequency axis (``1 / 2Q`` at a resonance, ``pi / 2`` for real poles), so the rule's error
    falls as ``exp(-2 pi theta / h)``; h is chosen to make it 1e-7.
    """
    poles = law.seen
    theta = float(np.arctan2(-poles.real, np.abs(poles.imag)).min())
    step = 2 * np.pi * theta / np.log(1e7)
    return int(np.clip(np.ceil(np.log(10.0) / step - TOLERANCE), 12, 4000))


def sweep_integral(frequencies: FloatArray, values: FloatArray) -> FloatArray:
    """Integrate ``values`` (k, ...) over frequency from 0 to infinity on a logarithmic sweep (k,) Hz.

    Trapezoid in ``log f``, continued beyond both ends by geometric series: constant below,
    falling as ``1/f^2`` above.
    """
    step = float(np.log(frequencies[-1] / frequencies[0]) / (len(frequencies) - 1))
    terms = values * frequencies.reshape(-1, *[1] * (values.ndim - 1)) * step
    tail = 1.0 / np.expm1(step)
    return np.asarray(terms.sum(axis=0) + tail * (terms[0] + terms[-1]))


def _round(value: float) -> float:
    """Two significant digits: a number a designer can read. In the middle of two it is the larger one."""
    return float(f"{value * (1 + TOLERANCE):.1e}")


@dataclass(frozen=True)
class NetworkTiming:
    """Time scales of a circuit with nonlinear cells.

    Attributes
    ----------
    fastest, slowest:
        s: of first-order motion at typical states, and of small deviations from rest.
    sample_time:
        s between the samples of transient noise sources.
    """

    fastest: float
    slowest: float
    sample_time: float


def network_timing(equation: Langevin) -> NetworkTiming:
    """Choose the time scales of a transient."""
    overdamped = equation.first_order
    fastest = stable_step(overdamped, typical_states(equation)) / 2
    slowest = slowest_motion(overdamped)
    sample = float(f"{0.5 * fastest:.1e}")
    return NetworkTiming(fastest, slowest, sample)
