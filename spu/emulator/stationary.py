"""Exact stationary statistics of a linear stochastic ODE: no sampling, no time step.

Where the circuit's matrices commute everything is known mode by mode (`spu.emulator.modes`), at the
cost of one symmetric eigenproblem. The general formulas are for
``dz = A (z - mean) dt + B dW``, ``y = H z + y0 + D xi`` (`spu.sde.DenseSDE`)
and make no assumption on A (it is not normal for an RLC network) or on ``B B^T`` (it is
singular there: noise drives voltages only).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.lapack import dtrsyl

from spu.constants import UNIT_NOISE_DENSITY
from spu.emulator.modes import Modes, commuting_modes
from spu.errors import CircuitError, InputError
from spu.mna import node_names
from spu.sde import DenseSDE, StochasticODE

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

UNSEEN = 1e-7
"""Share of a probe's variance below which a mode counts as not seen there."""

_MOST_WEIGHED = 1000
"""With more states every mode counts as seen."""

EXTENDED = 256
"""States up to which laws are solved in general and refined in extended precision; larger ones go the faster ways."""


@dataclass(frozen=True, eq=False)
class Stationary:
    """The stationary law of an SDE, and what follows from it in closed form.

    Attributes
    ----------
    sde:
        The equation.
    modes:
        Its independent modes where its matrices commute, else None.
    solved:
        The covariance where it is known already.
    """

    sde: StochasticODE
    modes: Modes | None = None
    solved: FloatArray | None = field(default=None, repr=False)

    @property
    def dense(self) -> DenseSDE:
        """The equation in energy coordinates."""
        return self.sde.dense

    @cached_property
    def covariance(self) -> FloatArray:
        """(n, n) covariance of the energy coordinates z, joule."""
        if self.solved is not None:
            return self.solved
        return lyapunov(self.dense.A, self.dense.B @ self.dense.B.T)

    @property
    def _by_modes(self) -> Modes | None:
        """The modes where they are to be used: small laws are solved in general, with a digit or two more."""
        return self.modes if self.sde.E.shape[0] > EXTENDED else None

    @cached_property
    def voltage_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        modes = self._by_modes
        if modes is None:
            return self.dense.H @ self.dense.mean + self.dense.y0
        if modes.inductive:  # they shorten every current into a cell
            return self.sde.y0.copy()
        return modes.probes @ (modes.drive / modes.conductance) + self.sde.y0

    @cached_property
    def voltage_covariance(self) -> FloatArray:
        """(p, p) covariance of the probes, V^2.

        Raises
        ------
        CircuitError
            If a probe sees white noise directly, so that its variance is infinite.
        """
        noisy = np.unique(self.sde.D.nonzero()[0])
        if len(noisy):
            names = tuple(self.sde.probes[k] for k in noisy)
            raise CircuitError(
                f"{', '.join(names)} sees white noise directly (no capacitance there), so its variance is "
                "infinite: a capacitance makes it finite, and spu predict --band F1 F2 says what a band sees",
                nodes=names,
            )
        modes = self._by_modes
        if modes is None:
            return _symmetric(self.dense.H @ self.covariance @ self.dense.H.T)
        half = modes.probes * np.sqrt(modes.variance)
        return np.asarray(half @ half.T)  # numpy sees that this is symmetric, and computes half of it

    @cached_property
    def state_variance(self) -> FloatArray:
        """(n,) variances of voltages (V^2) and inductor currents (A^2), as ``sde.state_names``."""
        modes = self._by_modes
        if modes is None:
            to_state = self.dense.to_state
            return np.asarray(((to_state @ self.covariance) * to_state).sum(axis=1))
        voltages = modes.shapes**2 @ modes.variance
        if not modes.inductive:
            return voltages
        return np.concatenate([voltages, modes.currents**2 @ (modes.variance / modes.frequency**2)])

    @cached_property
    def poles(self) -> ComplexArray:
        """(n,) eigenvalues of the drift, 1/s."""
        if self.modes is not None:
            return self.modes.poles
        return np.asarray(la.eigvals(self.dense.A) / self.dense.time)

    @cached_property
    def time_constants(self) -> FloatArray:
        """(n,) ``-1/Re(pole)``, s, longest first."""
        return np.sort(-1.0 / self.poles.real)[::-1]

    @cached_property
    def _shares(self) -> FloatArray | None:
        """(n,) largest share of each mode in the variance of a probe, as `poles`; None where all count."""
        if self.modes is not None or self.sde.E.shape[0] > _MOST_WEIGHED:
            return None
        H, P, vectors = self.dense.H, self.covariance, self.dense.modes[1]
        variance = ((H @ P) * H).sum(axis=1)
        # The autocovariance of a probe is a sum over modes, of which these are the sizes.
        right = np.linalg.lstsq(vectors, (H @ P).T.astype(np.complex128), rcond=None)[0]
        size = np.abs((H @ vectors) * right.T)
        return np.asarray((size / np.where(variance > 0, variance, np.inf)[:, None]).max(axis=0, initial=0.0))

    def poles_above(self, share: float) -> ComplexArray:
        """Poles of the modes that have more than a share of the variance of some probe, 1/s; all where none has.

        A charge behind an open switch may take seconds to leak away and not move any cell: it is of no
        concern to whoever chooses how long to run, or how finely to step.
        """
        shares = self._shares
        if shares is None or not (shares > share).any():
            return self.poles
        return np.asarray(self.dense.modes[0][shares > share] / self.dense.time)

    @property
    def seen(self) -> ComplexArray:
        """Poles of the modes that the probes see at all (`UNSEEN`), 1/s."""
        return self.poles_above(UNSEEN)

    @property
    def slowest(self) -> float:
        """The longest time constant that the probes see, s."""
        return float((-1.0 / self.seen.real).max())

    def autocovariance(self, lags: ArrayLike) -> FloatArray:
        """Autocovariance of the probes, ``E[y(t + lag) y(t)^T]`` less the means.

        Parameters
        ----------
        lags:
            (k,) seconds, of either sign.

        Returns
        -------
        (k, p, p) array, V^2: ``H expm(A lag) P H^T``, transposed for negative lags.
        """
        dense = self.dense
        found = []
        for lag in np.atleast_1d(np.asarray(lags, dtype=np.float64)):
            step = la.expm(dense.A * (abs(lag) / dense.time))
            matrix = dense.H @ step @ self.covariance @ dense.H.T
            found.append(matrix if lag >= 0 else matrix.T)
        return np.array(found)

    def transfer(self, frequencies: ArrayLike) -> ComplexArray:
        """Transfer functions from every unit noise source to every probe.

        Parameters
        ----------
        frequencies:
            (k,) Hz.

        Returns
        -------
        (k, p, m) array in V per V: probe voltage per volt of the source, whose one-sided density
        is `spu.constants.UNIT_NOISE_DENSITY` squared. ``H (j w - A)^-1 B + D``.
        """
        return _transfer(self.dense, np.atleast_1d(np.asarray(frequencies, dtype=np.float64)))

    def spectrum(self, frequencies: ArrayLike) -> ComplexArray:
        """One-sided cross-spectral density matrices of the probes.

        Parameters
        ----------
        frequencies:
            (k,) Hz.

        Returns
        -------
        (k, p, p) Hermitian, V^2/Hz; its real part integrates over f > 0 to the covariance.
        """
        h = self.transfer(frequencies) * UNIT_NOISE_DENSITY
        return np.asarray(h @ np.conj(np.swapaxes(h, 1, 2)))

    def band_covariance(self, low: float, high: float) -> FloatArray:
        """Covariance of the probes as a brick-wall readout from ``low`` to ``high`` sees it.

        The integral of the real part of the one-sided cross-spectrum from ``low`` to ``high``
        (Hz, 0 <= low < high, high may be infinite), in closed form: with
        ``M = Im[log(j w_high - A) - log(j w_low - A)]`` it is ``(M P + P M^T) / pi``.

        Returns
        -------
        (p, p), V^2.

        Raises
        ------
        InputError
            If the band is empty or negative, or infinite where a probe sees white noise.
        """
        if not 0 <= low < high:
            raise InputError(f"a band needs 0 <= F1 < F2 (Hz), not {low:g} to {high:g}")
        dense = self.dense
        if np.isinf(high) and np.any(dense.D):
            raise InputError("a probe sees white noise directly; its variance in an infinite band is infinite")
        w = 2 * np.pi * dense.time
        M = -_log_shifted(dense.A, w * low).imag
        if np.isinf(high):
            M = M + (np.pi / 2) * np.eye(len(dense.A))  # Im log(j w) as w -> infinity
        else:
            M = M + _log_shifted(dense.A, w * high).imag
        covariance = dense.H @ M @ self.covariance @ dense.H.T
        if np.any(dense.D):
            covariance = covariance + dense.H @ M @ dense.B @ dense.D.T
            direct = dense.D @ dense.D.T * (w * (high - low))
            return _symmetric((covariance + covariance.T + direct) / np.pi)
        return _symmetric((covariance + covariance.T) / np.pi)


class Memoryless(Stationary):
    """The law of a network without capacitance and inductance: white noise, of which only a band has a variance."""

    @cached_property
    def covariance(self) -> FloatArray:
        """Of no coordinates."""
        return np.zeros((0, 0))

    @cached_property
    def voltage_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        return self.sde.y0.copy()

    @cached_property
    def state_variance(self) -> FloatArray:
        """Of no states."""
        return np.zeros(0)

    @cached_property
    def poles(self) -> ComplexArray:
        """None."""
        return np.zeros(0, dtype=np.complex128)

    @property
    def slowest(self) -> float:
        """There is none.

        Raises
        ------
        CircuitError
            Always.
        """
        raise CircuitError("the circuit has no time constants: no capacitor and no inductor moves")

    def autocovariance(self, lags: ArrayLike) -> FloatArray:  # noqa: ARG002
        """Infinite at lag 0, and zero elsewhere: refused as `voltage_covariance` is."""
        return self.voltage_covariance

    def transfer(self, frequencies: ArrayLike) -> ComplexArray:
        """(k, p, m) V per V, the same at (k,) frequencies."""
        gains = self.sde.D.toarray() * (np.sqrt(2.0) / UNIT_NOISE_DENSITY)
        return np.repeat(gains[None].astype(np.complex128), len(np.atleast_1d(frequencies)), axis=0)

    def band_covariance(self, low: float, high: float) -> FloatArray:
        """(p, p) V^2: the density times the width of the band; raises as a `Stationary`'s."""
        if not 0 <= low < high:
            raise InputError(f"a band needs 0 <= F1 < F2 (Hz), not {low:g} to {high:g}")
        if np.isinf(high):
            raise InputError("a probe sees white noise directly; its variance in an infinite band is infinite")
        D = self.sde.D.toarray()
        return _symmetric(2.0 * (high - low) * (D @ D.T))


def stationary(sde: StochasticODE) -> Stationary:
    """The stationary law of an equation.

    Raises
    ------
    CircuitError
        If a mode grows, or does not decay, naming its nodes.
    """
    if not sde.E.shape[0]:
        return Memoryless(sde)
    modes = commuting_modes(sde)
    law = Stationary(sde, modes)
    if modes is not None:
        poles = modes.poles
        if poles.real.max() < -1e-15 * len(poles) * np.abs(poles).max():
            return law
    if sde.E.shape[0] > EXTENDED:
        Q = sde.dense.B @ sde.dense.B.T
        solved = _smith(sde.dense.A, Q / max(float(np.abs(Q).max()), 1e-300))
        if solved is not None:
            return Stationary(sde, solved=solved * float(np.abs(Q).max()))
    values, vectors = sde.dense.modes
    worst = int(np.argmax(values.real))
    if values[worst].real >= -1e-15 * len(values) and not _slow_modes_decay(sde.dense.A, values):
        _refuse_mode(sde, values[worst], vectors[:, worst])
    return law


def _slow_modes_decay(A: FloatArray, values: ComplexArray) -> bool:
    """Whether modes too slow to be told from none decay after all.

    Eigenvalues are known to rounding of the largest: beside a closed switch of picoseconds a charge that leaks
    away in a minute could as well be conserved. Of the inverse the slow modes are the large eigenvalues. Each half
    judges those that it knows.
    """
    n, size = len(A), np.abs(values)
    fast = size > np.sqrt(np.finfo(float).eps) * size.max()
    if not (values[fast].real < -1e-15 * n * size.max()).all():
        return False
    try:
        inverse = la.eigvals(np.linalg.inv(A))  # scipy's warns of what is the case here
    except la.LinAlgError:
        return False
    slow = inverse[np.argsort(-np.abs(inverse))][: n - int(fast.sum())]
    return bool((slow.real < -1e-15 * n * np.abs(inverse).max()).all())


def _refuse_mode(sde: StochasticODE, value: complex, vector: ComplexArray) -> NoReturn:
    dense = sde.dense
    shape = np.abs(dense.to_state @ vector)
    scale = np.sqrt((dense.to_state**2).sum(axis=1))
    weight = shape / scale
    heavy = weight > 0.3 * weight.max()
    nodes = node_names([name for name, is_heavy in zip(sde.state_names, heavy, strict=True) if is_heavy])
    kind = "grows" if value.real > 1e-12 else "does not decay"
    raise CircuitError(
        f"unstable: a mode at {', '.join(nodes[:6])} {kind} (rate {value.real / dense.time:.3g} 1/s at "
        f"{abs(value.imag) / dense.time / (2 * np.pi):.3g} Hz), so there is no stationary law; "
        "more conductance would help",
        nodes=nodes,
    )


def lyapunov(A: FloatArray, Q: FloatArray) -> FloatArray:
    """Solve ``A P + P A^T + Q = 0`` for stable A and positive semidefinite Q, all (n, n).

    Up to `EXTENDED` rows: real Schur form and back-substitution (Bartels and Stewart 1972), then
    one step of refinement with the residual in extended precision where the machine has it: the
    drift of an ill-conditioned problem has time constants that spread as its condition number.

    `stationary` tries `_smith` first on larger ones: products are what a processor does best.
    """
    scale = float(np.abs(Q).max())
    if scale == 0:
        return np.zeros_like(Q)
    schur, vectors = la.schur(A, output="real")

    def solve(right: FloatArray) -> FloatArray:
        solution, factor, info = dtrsyl(schur, schur, -(vectors.T @ right @ vectors), tranb="T")
        if info < 0:
            raise ValueError(f"trsyl: argument {-info}")
        return np.asarray(vectors @ (solution * factor) @ vectors.T)

    P = solve(Q / scale)
    P = (P + P.T) / 2
    if len(A) <= EXTENDED:  # extended products have no BLAS; above this the cost outgrows the solution's
        wide = A.astype(np.longdouble) @ P.astype(np.longdouble)
        residual = np.asarray(wide + wide.T + (Q / scale), dtype=np.float64)
        P = P + solve(residual)
        P = (P + P.T) / 2
    return P * scale


def _smith(A: FloatArray, Q: FloatArray) -> FloatArray | None:
    """Solve as `lyapunov` by squaring a Cayley transform; None where it converges too slowly, or never.

    With ``M = (A + m) (A - m)^-1`` the solution is the sum over k of ``M^k D M^k^T``, where
    ``D = 2 m (A - m)^-1 Q (A - m)^-T``: twice as many terms with every squaring. M has its eigenvalues
    inside the unit circle exactly where A has its own left of the imaginary axis, so that the powers
    vanish proves that every mode decays.
    """
    n = len(A)
    shift = float(np.linalg.norm(A)) / np.sqrt(n)
    inverse = la.inv(A - shift * np.eye(n), check_finite=False)
    P = 2.0 * shift * (inverse @ Q @ inverse.T)
    power = 2.0 * shift * inverse
    power[np.diag_indices(n)] += 1.0
    for _ in range(_MOST_SQUARINGS):
        P += power @ P @ power.T
        power = power @ power
        size = float(np.linalg.norm(power))
        if size < 1e-9:  # what is left out is of the order of its square
            P = _symmetric(P)
            residual = A @ P
            residual += residual.T + Q
            fine = np.linalg.norm(residual) <= 1e-13 * np.linalg.norm(A) * np.linalg.norm(P)
            return P if fine else None
        if not size < 1e3 * n:
            break
    return None


_MOST_SQUARINGS = 14
"""Of a slow convergence rounding would take its share: beyond this the general way is the better one."""


def _symmetric(matrix: FloatArray) -> FloatArray:
    return np.asarray((matrix + matrix.T) / 2)


def source_gain(dense: DenseSDE) -> float:
    """Volts of a unit source on the scale of B: its one-sided density S enters as ``sqrt(S/2) dW``."""
    return float(np.sqrt(2.0 * dense.time) / UNIT_NOISE_DENSITY)


def _transfer(dense: DenseSDE, frequencies: FloatArray) -> ComplexArray:
    """``H (j w - A)^-1 B + D`` for each frequency: by modes, or by solving where they nearly coincide.

    Near critical damping modes coincide; what they give is then off by eps times their condition squared.
    A slow mode among far faster ones is off by eps times the ratio: stiff networks that are not too
    large to be solved frequency by frequency are solved, too.
    """
    values, vectors = dense.modes
    points = 2j * np.pi * frequencies * dense.time
    stiff = len(values) <= 64 and np.abs(values).min() < 1e-5 * np.abs(values).max()
    if not stiff and np.linalg.cond(vectors) < 1e3:
        left, right = dense.H @ vectors, la.solve(vectors, dense.B.astype(np.complex128))
        # One product of (frequencies, modes) with (modes, probes x sources) costs far less than a small
        # product a frequency; probes go in blocks that bound the memory of the second factor.
        modes = 1.0 / (points[:, None] - values)
        size = max(1, 20_000_000 // max(1, right.size))
        blocks = [left[k : k + size] for k in range(0, len(left), size)]
        out = np.concatenate(
            [
                (modes @ (rows.T[:, :, None] * right[:, None, :]).reshape(len(values), -1)).reshape(
                    len(points), len(rows), -1
                )
                for rows in blocks
            ],
            axis=1,
        )
    else:
        # A triangular system for each frequency, from the side of the probes, of which there are fewest.
        T, Z = la.schur(dense.A.astype(np.complex128), output="complex")
        left, right = (dense.H @ Z).T, Z.conj().T @ dense.B
        shifted, diagonal = -T.T, np.diag_indices(len(values))
        out = np.empty((len(points), left.shape[1], right.shape[1]), dtype=np.complex128)
        for k, point in enumerate(points):
            shifted[diagonal] = point - T[diagonal]
            out[k] = la.solve_triangular(shifted, left, lower=True, check_finite=False).T @ right
    return np.asarray((out + dense.D) * source_gain(dense))


def _log_shifted(A: FloatArray, w: float) -> ComplexArray:
    """Principal ``log(j w - A)`` of a stable A: its eigenvalues lie in the right half-plane."""
    n = len(A)
    T, Z = la.schur(-A.astype(np.complex128), output="complex")
    with warnings.catch_warnings():  # logm doubts itself far above the poles, where it is right to 1e-15
        warnings.simplefilter("ignore", RuntimeWarning)
        logarithm = la.logm(T + 1j * w * np.eye(n))
    return np.asarray(Z @ logarithm @ Z.conj().T)
