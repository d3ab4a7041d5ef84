"""The exact law of a circuit whose injected noise is held for the periods of a clock (`spu.circuit.clocked.Clocked`).

Between two edges the input is constant: with ``x = (z, u)``, u the input in the space of states, ``x(t) = E(t) x(0)``,
``E(t) = expm([[A, I], [0, 0]] t)``. So all follows from one matrix, the second moments V of x at the beginning of a
period: the covariance at a phase t of the clock is that of ``E(t) V E(t)^T``, and on average over the phase, as a
readout sees it that is not locked to the clock, its mean over one period T.

- Independent samples: z at an edge has heard nothing of the next sample, and ``P = Phi P Phi^T + G G^T``,
  ``Phi = expm(A T)``, G what one sample adds. The average is then ``(M W + W M^T)/2`` with
  ``M = 2 (expm(A T) - 1 - A T) / (A T)^2`` and W the covariance under white noise of the same density.
- Bits of a register of maximal length come around after N periods, and have (about their mean 1/N) the autocovariance
  ``(1 + 1/N) (d(l) - 1/N)``, d one at multiples of N and else zero: that of a single pulse a cycle, less its mean. So
  V is ``1 + 1/N`` times the sum of ``x x^T`` over one cycle of the periodic response to that pulse, which comes to each
  source when its shift says. Sources are then correlated by lags; and what is slower than a cycle hears little.

Quantised and clipped samples have the law of normal ones with the variance of the samples. Thermal noise stays white.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import CircuitError, InputError
from spu.circuit.circuit import Circuit
from spu.circuit.clocked import Clocked
from spu.emulator.laws.law import Law
from spu.emulator.laws.propagate import step_law
from spu.emulator.laws.spectra import frequencies_of
from spu.emulator.laws.stationary import Stationary, source_gain

MOST_STATES = 600
"""All of its matrices are dense, and of twice as many rows."""

_LOBES = 64
"""Of the samples' spectrum, that are integrated over; beyond, it falls with the fourth power at least."""

_NODES = 12
"""Of a Gauss rule between two frequencies."""


@dataclass(frozen=True, eq=False)
class ClockedLaw(Stationary):
    """The law on average over the phase of the clock (and the place in a register's cycle).

    Attributes
    ----------
    white:
        That under white noise of the same density at low frequencies.
    clocked:
        What the samples are.
    held:
        (m,) which of the noise sources make them; the others are white.
    """

    white: Stationary = field(kw_only=True, repr=False)
    clocked: Clocked = field(kw_only=True)
    held: NDArray[np.bool_] = field(kw_only=True, repr=False)

    @property
    def span(self) -> float:
        """The period of the clock in units of ``dense.time``."""
        return self.clocked.period / self.dense.time

    @cached_property
    def drive(self) -> FloatArray:
        """(n, h) what a sample of size one of each held source puts in."""
        rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * self.clocked.period)
        return self.dense.B[:, self.held] * (source_gain(self.dense) * rms)

    @cached_property
    def _moved(self) -> FloatArray:
        """(2 n, 2 n) drift of state and held input."""
        n = len(self.dense.A)
        found = np.zeros((2 * n, 2 * n))
        found[:n, :n], found[:n, n:] = self.dense.A, np.eye(n)
        return found

    def carried(self, phase: float) -> FloatArray:
        """(2 n, 2 n) E: what a share of a period makes of state and held input."""
        return np.asarray(la.expm(self._moved * (phase * self.span)))

    @cached_property
    def period(self) -> FloatArray:
        """E of a whole period."""
        return self.carried(1.0)

    @cached_property
    def thermal(self) -> Stationary:
        """The law under the white sources alone."""
        kept = sp.diags_array(np.where(self.held, 0.0, 1.0))
        return Stationary(replace(self.sde, K=sp.csr_array(self.sde.K @ kept), origin=None), general=True)

    @cached_property
    def thermal_covariance(self) -> FloatArray:
        """(n, n) of the energy coordinates under the white sources alone, J."""
        return np.zeros_like(self.dense.A) if self.held.all() else self.thermal.covariance

    @cached_property
    def joint(self) -> FloatArray:
        """(2 n, 2 n) second moments, about their means, of state and input at the beginning of a period."""
        n = len(self.dense.A)
        if self.clocked.register is not None:
            return self._over_a_cycle
        found = np.zeros((2 * n, 2 * n))
        found[n:, n:] = self.clocked.variance * self.drive @ self.drive.T
        transition, push = self.period[:n, :n], self.period[:n, n:]
        covariance = push @ found[n:, n:] @ push.T
        while np.abs(transition).max(initial=0.0) > 1e-18:  # doubling sums positive semidefinite terms
            covariance = covariance + transition @ covariance @ transition.T
            transition = transition @ transition
        found[:n, :n] = (covariance + covariance.T) / 2
        return found

    @cached_property
    def _pulses(self) -> dict[int, FloatArray]:
        """What comes in, in the periods of a register's cycle that bring the pulse to any source: (n,) by period."""
        found: dict[int, FloatArray] = {}
        for source, delays in zip(self.drive.T, self.clocked.delays(self.drive.shape[1]), strict=True):
            for delay in delays.tolist():
                found[delay] = found.get(delay, 0.0) + source / np.sqrt(self.clocked.width)
        return dict(sorted(found.items()))

    @property
    def _offset(self) -> FloatArray:
        """(n,) mean of what a register puts in."""
        cycle = self.clocked.cycle
        return np.zeros(len(self.dense.A)) if cycle is None else np.asarray(sum(self._pulses.values()) / cycle)

    @cached_property
    def _over_a_cycle(self) -> FloatArray:
        n, cycle = len(self.dense.A), self.clocked.cycle
        assert cycle is not None
        starts = [*self._pulses, cycle]
        gaps = np.diff(starts).tolist()
        over = {gap: np.linalg.matrix_power(self.period, gap - 1) for gap in set(gaps)}

        def once(state: FloatArray, seen: dict[int, list[FloatArray]]) -> FloatArray:
            for gap, pulse in zip(gaps, self._pulses.values(), strict=True):
                for many, inward, carry in (
                    (1, pulse - self._offset, self.period),
                    (gap - 1, -self._offset, over[gap]),
                ):
                    x = np.concatenate([state, inward])
                    seen.setdefault(many, []).append(x)
                    state = (carry @ x)[:n]
            return state

        whole = np.linalg.matrix_power(self.period[:n, :n], cycle)
        start = np.linalg.solve(np.eye(n) - whole, once(np.zeros(n), {}))
        seen: dict[int, list[FloatArray]] = {}
        once(start, seen)
        found = np.zeros((2 * n, 2 * n))
        for many, columns in seen.items():
            stacked = np.column_stack(columns)
            found += gathered(self.period, stacked @ stacked.T, many)
        return (1.0 + 1.0 / cycle) * (found + found.T) / 2

    @cached_property
    def shift(self) -> FloatArray:
        """(n,) by how much the mean of a register moves that of the state."""
        return -np.asarray(np.linalg.solve(self.dense.A, self._offset), dtype=np.float64)

    # --- what readouts see -----------------------------------------------------------------

    @cached_property
    def covariance(self) -> FloatArray:
        """(n, n) of the energy coordinates, J, on average over the phase."""
        n = len(self.dense.A)
        found = step_law(self._moved, self.joint, self.span)[1][:n, :n] / self.span
        return np.asarray(found + self.thermal_covariance)

    def covariance_at(self, phase: float) -> FloatArray:
        """(n, n) of the energy coordinates, J, a share of a period after an edge of the clock."""
        n = len(self.dense.A)
        carried = self.carried(phase)[:n]
        return np.asarray(carried @ self.joint @ carried.T + self.thermal_covariance)

    def voltage_covariance_at(self, phase: float) -> FloatArray:
        """(p, p) of the probes, V^2, a share of a period (0 to 1) after an edge of the clock."""
        return np.asarray(self.dense.H @ self.covariance_at(phase) @ self.dense.H.T)

    @cached_property
    def voltage_mean(self) -> FloatArray:
        """(p,) of the probes, V."""
        return np.asarray(self.white.voltage_mean + self.dense.H @ self.shift)

    @property
    def modes(self) -> None:
        """None: modes that are independent under white noise are not under samples."""
        return None

    @property
    def poles(self) -> ComplexArray:
        """(n,) eigenvalues of the drift, 1/s."""
        return self.white.poles

    @property
    def time_constants(self) -> FloatArray:
        """(k,) ``-1/Re(pole)``, s, longest first."""
        return self.white.time_constants

    def autocovariance(self, lags: ArrayLike) -> FloatArray:
        """(k, p, p) as `Stationary.autocovariance`, on average over the phase.

        Raises
        ------
        CircuitError
            Of bits of a register at a lag: they are not worked out.
        """
        found = []
        for lag in np.atleast_1d(np.asarray(lags, dtype=np.float64)):
            matrix = self.dense.H @ self._lagged(abs(float(lag))) @ self.dense.H.T
            found.append(matrix if lag >= 0 else matrix.T)
        return np.array(found)

    def _lagged(self, lag: float) -> FloatArray:
        """(n, n) ``E[z(t + lag) z(t)^T]``: while the sample is the same, and after it ended."""
        n, tau, h = len(self.dense.A), lag / self.dense.time, self.span
        if tau == 0:
            return self.covariance
        if self.clocked.register is not None:
            raise CircuitError(
                "lagged covariances under bits of a register are not worked out: leave noise.register out for "
                "independent bits"
            )
        thermal = la.expm(self.dense.A * tau) @ self.thermal_covariance
        inside = max(h - tau, 0.0)
        same = np.zeros((n, n))
        if inside > 0:
            same = (la.expm(self._moved * tau) @ step_law(self._moved, self.joint, inside)[1])[:n, :n]
        # From then on the state at the edge alone counts, for as long as the earlier reading is in the same period.
        left = self.period[:n] @ self.joint @ la.expm(self._moved * inside).T
        both = np.zeros((3 * n, 3 * n))
        both[:n, :n], both[n:, n:] = self.dense.A, self._moved
        crossed = np.zeros((3 * n, 3 * n))
        crossed[:n, n:], crossed[n:, :n] = left, left.T
        after = step_law(both, crossed, min(tau, h))[1][:n, n : 2 * n]
        if tau > h:
            after = la.expm(self.dense.A * (tau - h)) @ after
        return np.asarray((same + after) / h + thermal)

    @property
    def frequencies(self) -> FloatArray:
        """(k,) Hz of the lobes of held samples, between multiples of the clock."""
        return np.concatenate([np.geomspace(1e-3, 1e-2, 8), np.arange(1, 32 * 8) / 32.0]) * self.clocked.clock

    def noise_transfer(self, frequencies: ArrayLike) -> ComplexArray:
        """(k, p, m) as `Stationary.noise_transfer`: with ``sinc(f T)`` of held samples.

        The spectrum of a register's bits is one of lines, ``clock / N`` apart: this is what they come to, smoothed.
        """
        f = np.atleast_1d(np.asarray(frequencies, dtype=np.float64))
        level = self.clocked.variance * (1.0 if self.clocked.cycle is None else 1.0 + 1.0 / self.clocked.cycle)
        held = np.sinc(f * self.clocked.period) * np.sqrt(level)
        return super().noise_transfer(f) * np.where(self.held, held[:, None], 1.0)[:, None, :]

    def band_covariance(self, low: float, high: float) -> FloatArray:
        """(p, p) V^2 as `Stationary.band_covariance`; of held noise by Gauss's rule between poles and lobes.

        Raises
        ------
        InputError
            If the band is empty or negative.
        CircuitError
            Of bits of a register, whose spectrum is one of lines.
        """
        if not 0 <= low < high:
            raise InputError(f"a band needs 0 <= F1 < F2 (Hz), not {low:g} to {high:g}")
        if self.clocked.register is not None:
            raise CircuitError("noise of a register has a spectrum of lines: leave noise.register out for a band")
        grid = frequencies_of([self])
        edge = max(grid[-1], _LOBES * self.clocked.clock)
        grid = np.unique(np.concatenate([grid, np.arange(1, _LOBES + 1) * self.clocked.clock]))
        found = self._between(grid, low, min(high, edge))
        if high > edge:  # by what is left of the whole, as tails do not end
            held = self.covariance - self.thermal_covariance
            found = self.dense.H @ held @ self.dense.H.T - self._between(grid, 0.0, min(low, edge))
        return found if self.held.all() else np.asarray(found + self.thermal.band_covariance(low, high))

    def _between(self, grid: FloatArray, low: float, high: float) -> FloatArray:
        """(p, p) V^2 of held noise from ``low`` to ``high``, Hz."""
        ends = np.unique(np.concatenate([[low, high], grid[(grid > low) & (grid < high)]]))
        x, w = np.polynomial.legendre.leggauss(_NODES)
        found = np.zeros((self.dense.H.shape[0], self.dense.H.shape[0]))
        if high <= low:
            return found
        half = np.diff(ends) / 2
        points, weights = (ends[:-1] + half)[:, None] + half[:, None] * x, half[:, None] * w
        for f, share in zip(np.array_split(points.ravel(), 64), np.array_split(weights.ravel(), 64), strict=True):
            if len(f):
                h = self.noise_transfer(f)[:, :, self.held]
                found += np.einsum("f,fim,fjm->ij", share, h, np.conj(h)).real
        return found


def gathered(step: FloatArray, first: FloatArray, count: int) -> FloatArray:
    """``sum_(k < count) step^k first step^kT``, by doubling."""
    total, power, m = np.zeros_like(first), np.eye(len(step)), 0
    for bit in f"{count:b}":
        if m:
            total = total + power @ total @ power.T
            power, m = power @ power, 2 * m
        if bit == "1":
            total = first + step @ total @ step.T
            power, m = step @ power, m + 1
    return total


def clocked_law(law: Law, circuit: Circuit) -> ClockedLaw:
    """The law of a circuit with a clock, out of that under white noise.

    Raises
    ------
    CircuitError
        If it is too large.
    InputError
        If a register is too short for its sources.
    """
    assert circuit.clocked is not None
    n = law.sde.E.shape[0]
    if not isinstance(law, Stationary) or n > MOST_STATES:
        raise CircuitError(
            f"held noise takes dense matrices: {n} states are too many ({MOST_STATES}); leave noise.clock out"
        )
    held = np.fromiter((source.clocked for source in circuit.sources), dtype=bool, count=len(circuit.sources))
    if circuit.clocked.register is not None:
        circuit.clocked.delays(int(held.sum()))
    return ClockedLaw(
        law.sde, general=law.general, unresolved=law.unresolved, white=law, clocked=circuit.clocked, held=held
    )


def under_white_noise(law: Law) -> Law:
    """The law of the same circuit under white noise, whatever its own noise is."""
    return law.white if isinstance(law, ClockedLaw) else law


def normal_samples(law: Law) -> Law:
    """That under normal samples that are independent, of the same hold, where it is under those of a clock."""
    if not isinstance(law, ClockedLaw) or law.clocked.normal:
        return law
    return replace(law, clocked=Clocked(law.clocked.clock))
