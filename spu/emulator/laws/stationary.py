"""Exact stationary statistics of a linear stochastic ODE: no sampling, no time step.

Where the circuit's matrices commute everything is known mode by mode (`spu.emulator.laws.modes`), at the
cost of one symmetric eigenproblem; where only one of them couples cells means and covariances are known without it
(`spu.emulator.laws.coupled`). Large networks of cells with one inductor each, of any values, are solved in the modes
that they have without loss (`spu.emulator.laws.oscillators`). The general formulas are for
``dz = A (z - mean) dt + B dW``, ``y = H z + y0 + D xi`` (`spu.emulator.equations.linear.DenseSDE`)
and make no assumption on A (it is not normal for an RLC network) or on ``B B^T`` (it is
singular there: noise drives voltages only).
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.lapack import dtrsyl, zgecon, zgetrf, zgetrs

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import CircuitError, InputError, InternalError
from spu.circuit.stamps import listed, node_names
from spu.emulator.equations.linear import DenseSDE, StochasticODE, parts
from spu.emulator.laws.accuracy import (
    HELD,
    NormBounds,
    hold_covariance,
    readouts,
    rounding_of_means,
    rounding_of_poles,
    rounding_of_variances,
)
from spu.emulator.laws.coupled import Coupled, coupled
from spu.emulator.laws.modes import Modes, NodalMatrices, modes_of, well_heard
from spu.emulator.laws.oscillators import Oscillators, oscillators
from spu.emulator.laws.precise import MOST, PreciseLaw, Undetermined, Unstable, precise_law
from spu.emulator.laws.reach import hushed, silent

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
    closed:
        Its closed form where its matrices commute, else None.
    cells:
        Its law where that was found in node voltages and fluxes, else None.
    solved:
        The covariance where it is known already.
    precise:
        Its moments and poles in more digits, where doubles do not resolve them.
    general:
        Whether its modes are those of A in doubles, off by `doubt`.
    unresolved:
        Why the equation is of no use in doubles, and its nodes; None where it is.
    """

    sde: StochasticODE
    closed: Modes | Coupled | None = None
    cells: Oscillators | None = field(default=None, repr=False, kw_only=True)
    solved: FloatArray | None = field(default=None, repr=False)
    precise: PreciseLaw | None = field(default=None, repr=False)
    general: bool = False
    unresolved: tuple[str, tuple[str, ...]] | None = None

    @cached_property
    def modes(self) -> Modes | None:
        """Its independent modes where its matrices commute, else None; held against the equation once they are found.

        Raises
        ------
        InternalError
            If their covariance does not solve the equation.
        """
        if not isinstance(self.closed, Coupled):
            return self.closed
        modes = self.closed.modes
        hold_covariance(self.sde, modes.multiply, self.closed.state_variance, what="mode by mode")
        return modes

    @cached_property
    def doubt(self) -> FloatArray | None:
        """(n,) what the decay of each of its modes in doubles may be off, relative to itself; None where not known."""
        return _doubt(self.sde) if self.general and self.closed is None else None

    @property
    def dense(self) -> DenseSDE:
        """The equation in energy coordinates.

        Raises
        ------
        CircuitError
            If doubles do not resolve its modes: its stationary moments are known then, but neither spectra nor steps.
        """
        if self.unresolved is not None:
            reason, nodes = self.unresolved
            raise CircuitError(
                f"{reason}: means and covariances are known, spectra and runs in time are not", nodes=nodes
            )
        return self.sde.dense

    @cached_property
    def covariance(self) -> FloatArray:
        """(n, n) covariance of the energy coordinates z, joule."""
        if self.solved is not None:
            return self.solved
        if self.cells is not None:
            return self.cells.covariance(self.sde)
        return lyapunov(self.dense.A, self.dense.B @ self.dense.B.T)

    @property
    def _in_closed_form(self) -> Modes | Coupled | None:
        """The closed form where it is to be used: small laws are solved in general, with a digit or two more."""
        return self.closed if self.sde.E.shape[0] > EXTENDED else None

    @cached_property
    def voltage_mean(self) -> FloatArray:
        """(p,) mean of the probes, V."""
        if self.precise is not None:
            return self.precise.voltage_mean
        known = self._in_closed_form or self.cells
        if known is None:
            return self.sde.H @ self.sde.mean + self.sde.y0
        return known.probe_mean + self.sde.y0

    @cached_property
    def voltage_covariance(self) -> FloatArray:
        """(p, p) covariance of the probes, V^2.

        Raises
        ------
        CircuitError
            If a probe sees white noise directly, so that its variance is infinite.
        """
        self._refuse_white()
        if self.precise is not None:
            return self.precise.voltage_covariance
        known = self._in_closed_form or self.cells
        return _seen(self.dense.H, self.covariance) if known is None else known.seen()

    @cached_property
    def readout_moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean (q,) and covariance (q, q) of the problem's variables, in their units.

        Differences of cells that all but move together are taken before rounding, not after. Raises as
        `voltage_covariance`.
        """
        self._refuse_white()
        readout = self.sde.readout
        if self.precise is not None:
            return self.precise.mean + readout.offset, self.precise.covariance
        mean = readout.matrix @ self.voltage_mean + readout.offset
        known = self._in_closed_form or self.cells
        if known is None:
            return mean, _seen(readout.matrix @ self.dense.H, self.covariance)
        return mean, known.seen(readout.matrix)

    def _refuse_white(self) -> None:
        refuse_white(self.sde)

    @cached_property
    def state_variance(self) -> FloatArray:
        """(n,) variances of voltages (V^2) and inductor currents (A^2), as ``sde.state_names``."""
        known = self._in_closed_form or self.cells
        if known is None:
            to_state = self.dense.to_state
            return np.maximum(((to_state @ self.covariance) * to_state).sum(axis=1), 0.0)
        return known.state_variance

    @cached_property
    def poles(self) -> ComplexArray:
        """(n,) eigenvalues of the drift, 1/s.

        In more digits where doubles do not give them to `TIMED`, and there are not too many: to those that are in doubt
        then `time_constants` has nothing to say.
        """
        if self.precise is not None:
            return self.precise.poles
        if self.modes is not None:
            return self.modes.poles
        if self.cells is not None and self.cells.poles is not None:
            return self.cells.poles
        if self.doubt is not None and self.doubt.max() > 0.1 * TIMED and len(self.doubt) <= MOST:
            try:
                return precise_law(self.sde).poles
            except Unstable as found:
                worst = int(np.argmin(np.abs(self.dense.eigen[0] - found.pole * self.dense.time)))
                _refuse_mode(self.sde, found.pole * self.dense.time, self.dense.eigen[2][:, worst])
            except (Undetermined, CircuitError):
                pass
        if self.sde.E.shape[0] <= EXTENDED:
            return np.asarray(self.dense.eigen[0] / self.dense.time)
        return np.asarray(la.eigvals(self.dense.A) / self.dense.time)

    @cached_property
    def time_constants(self) -> FloatArray:
        """(k,) ``-1/Re(pole)``, s, longest first.

        To `TIMED` in networks of up to `MOST` states. Of larger ones as doubles give them: without those modes of which
        they do not even know that they decay.
        """
        decay = -self.poles.real
        constants = np.divide(1.0, decay, out=np.full(len(decay), np.inf), where=decay > 0)
        if self.doubt is not None and self.closed is None and len(self.doubt) > MOST:
            sure = self.doubt < SIGN_KNOWN
            constants = constants[sure] if sure.any() else constants
        return np.sort(constants)[::-1]

    @property
    def time_span(self) -> tuple[float, float] | None:
        """The longest and the shortest time constant, s; None where nothing moves."""
        constants = self.time_constants
        return (float(constants[0]), float(constants[-1])) if len(constants) else None

    @property
    def looked_at(self) -> int | None:
        """Modes that `time_span` is of, where neither all were found nor the extreme ones; else None."""
        return None

    @cached_property
    def _shares(self) -> FloatArray | None:
        """(n,) largest share of each mode in the variance of a probe, as `poles`; None where all count."""
        if self.closed is not None or self.unresolved is not None or self.sde.E.shape[0] > _MOST_WEIGHED:
            return None
        H, P, vectors = self.dense.H, self.covariance, self.dense.modes[1]
        variance = ((H @ P) * H).sum(axis=1)
        # The autocovariance of a probe is a sum over modes, of which these are the sizes.
        right = _shares_of(vectors, (H @ P).T.astype(np.complex128))
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
        is `spu.base.constants.UNIT_NOISE_DENSITY` squared. ``H (j w - A)^-1 B + D``.
        """
        return _transfer(self.dense, np.atleast_1d(np.asarray(frequencies, dtype=np.float64)))

    @property
    def frequencies(self) -> FloatArray:
        """(k,) Hz at which its noise has something to show, beside its poles."""
        return np.empty(0)

    def noise_transfer(self, frequencies: ArrayLike) -> ComplexArray:
        """(k, p, m) V/sqrt(Hz): what each noise source makes of the probes at (k,) Hz, with its own density."""
        return self.transfer(frequencies) * UNIT_NOISE_DENSITY

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
        h = self.noise_transfer(frequencies)
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
        InternalError
            If a variance is less than nothing, or more than in all bands together.
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
        covariance = _symmetric((covariance + covariance.T) / np.pi)
        inside, all_of_it = covariance.diagonal(), self.voltage_covariance.diagonal()
        slack = 1e-6 * all_of_it.max(initial=0.0)
        if not ((inside >= -slack) & (inside <= all_of_it + slack)).all():
            raise InternalError(
                f"from {low:g} to {high:g} Hz a cell has {inside.min():.3g} to {inside.max():.3g} V^2, "
                f"of {all_of_it.max():.3g} V^2 at most in all"
            )
        where = np.diag_indices(len(covariance))
        covariance[where] = np.clip(inside, 0.0, all_of_it)
        return covariance


def refuse_white(sde: StochasticODE) -> None:
    """Refuse a probe that sees white noise directly."""
    noisy = np.unique(sde.D.nonzero()[0])
    if len(noisy):
        names = tuple(sde.probes[k] for k in noisy)
        raise CircuitError(
            f"{', '.join(names)} sees white noise directly (no capacitance there), so its variance is "
            "infinite: a capacitance makes it finite, and spu predict --band F1 F2 says what a band sees",
            nodes=names,
        )


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
    """The stationary law of an equation, held against its Lyapunov equation.

    Raises
    ------
    CircuitError
        If a mode grows, or does not decay, naming its nodes; if the rates of a network of more than `MOST` states
        spread further than doubles resolve.
    InternalError
        If what was found does not solve the equation.
    """
    n = sde.E.shape[0]
    if not n:
        return Memoryless(sde)
    if n > MOST and not np.isfinite(sde.mean).all():
        raise CircuitError(
            "a bias current has no resting point: the drift is singular", nodes=node_names(sde.state_names)
        )
    nodal = well_heard(sde)
    closed = None if nodal is None else _closed_form(nodal)
    if nodal is not None and closed is None and n > MOST:
        cells = oscillators(nodal)
        if cells is not None and _known(sde, cells):
            hold_covariance(sde, cells.multiply, cells.state_variance, what="by pairs of modes")
            return Stationary(sde, cells=cells)
    if n <= EXTENDED:
        return _general(sde, closed)
    if closed is not None and (isinstance(closed, Coupled) or _loud(closed)):
        law = Stationary(sde, closed)
        what = "in closed form" if isinstance(closed, Coupled) else "mode by mode"
        hold_covariance(sde, closed.multiply, law.state_variance, what=what)
        return law
    Q = sde.dense.B @ sde.dense.B.T
    size = max(float(np.abs(Q).max()), 1e-300)
    solved = _smith(sde.dense.A, Q / size, readouts(sde, sde.dense.H))
    if solved is None:
        return _general(sde, closed)
    return _held(Stationary(sde, solved=hushed(solved * size, silent(sde.dense.A, sde.dense.B))))


def _closed_form(nodal: NodalMatrices) -> Modes | Coupled | None:
    """The law where the circuit's matrices commute and all modes decay, else None."""
    one = coupled(nodal)
    if one is not None:
        return one
    modes = modes_of(nodal)
    return modes if modes is not None and _decay(modes) else None


def _known(sde: StochasticODE, cells: Oscillators) -> bool:
    """Whether every variance, read or not, is known to `LARGE_CLAIMED`."""
    lift = sde.readout.matrix
    return cells.knows(lift if lift.shape[1] == len(sde.probes) else None, LARGE_CLAIMED)


def _decay(modes: Modes) -> bool:
    """Whether all modes decay."""
    poles = modes.poles
    return bool(poles.real.max() < -1e-15 * len(poles) * np.abs(poles).max())


def _loud(modes: Modes) -> bool:
    """Whether no probe is so quiet beside the loudest mode that the rounding of that one drowns it.

    In a `Coupled` network none is: its eigenvalues are less than ``1 / QUIET`` apart.
    """
    squares = modes.probes**2
    return bool((squares @ modes.variance >= QUIET * modes.variance.max() * squares.sum(axis=1)).all())


def _held(law: Stationary, within: float = HELD) -> Stationary:
    """The law, its covariance held against the equation."""
    to_state, covariance = law.sde.dense.to_state, law.covariance
    variance = np.maximum(((to_state @ covariance) * to_state).sum(axis=1), 0.0)

    def multiply(x: FloatArray) -> FloatArray:
        return to_state @ (covariance @ (to_state.T @ x))

    hold_covariance(law.sde, multiply, variance, what="in general", within=within)
    return law


def _general(sde: StochasticODE, closed: Modes | Coupled | None) -> Stationary:
    """The law by a Schur form; in more digits where rounding would take more than `CLAIMED`."""
    n, dense = sde.E.shape[0], sde.dense
    form = SchurForm.of(dense.A)
    solved = _refined_and_silent(dense, form)
    if _certain(sde, form, *solved):
        return _held(Stationary(sde, closed, solved=solved[0], general=True))
    values, _, vectors, _ = dense.eigen
    doubt = _doubt(sde)
    growing = (values.real >= 0) & (doubt < SIGN_KNOWN)
    if growing.any():
        worst = int(np.argmax(np.where(growing, values.real, -1.0)))
        _refuse_mode(sde, values[worst], vectors[:, worst])
    P = solved[0]
    error = _error(sde, form, *solved)
    lost = doubt >= SIGN_KNOWN
    if lost.any():
        slow = bool((np.abs(values[lost]) <= UNSEEN * np.abs(values).max()).all())
        error = error * _share_lost(dense.A, int(lost.sum())) if slow else np.inf
    if error <= _claimed(n):
        return _held(Stationary(sde, closed, solved=P, general=True))
    reason = _spread(sde, values, vectors)
    if n > MOST:
        lost &= np.abs(values) > UNSEEN * np.abs(values).max()
        if lost.any():  # not slow, but its decay is below rounding
            worst = int(np.argmax(np.where(lost, doubt, -1.0)))
            _refuse_mode(sde, values[worst], vectors[:, worst])
        message = f"{reason[0]} (of {n} states; up to {MOST} are solved in more digits)"
        raise CircuitError(message, nodes=reason[1])
    try:
        precise = precise_law(sde)
    except Unstable as found:
        worst = int(np.argmin(np.abs(values - found.pole * dense.time)))
        _refuse_mode(sde, found.pole * dense.time, vectors[:, worst])
    except CircuitError:  # in more digits the equations determine less
        worst = int(np.argmax(values.real))
        _refuse_mode(sde, 1j * values[worst].imag, vectors[:, worst])
    except Undetermined:
        raise CircuitError(reason[0], nodes=reason[1]) from None
    if precise.error > DECIDED:
        raise CircuitError(
            f"currents all but cancel at {listed(reason[1])}: rounding the elements' values to doubles alone moves a "
            f"variance by {precise.error:.1g} of it; {reason[0]}",
            nodes=reason[1],
        )
    if _useful(sde, P, precise):
        # The precise law has been held against its equation in its own digits: a covariance in doubles that does not
        # solve it, in states that nobody reads, is no contradiction but of no use for runs and spectra.
        with suppress(InternalError):
            return _held(Stationary(sde, closed, P, precise), within=USEFUL)
        return Stationary(sde, None, P, precise, unresolved=reason)
    if error <= 1e-3 * USEFUL:
        raise InternalError(f"doubles and decimals differ by more than the {error:.1e} that rounding explains")
    return Stationary(sde, None, P, precise, unresolved=reason)


def _useful(sde: StochasticODE, P: FloatArray, precise: PreciseLaw) -> bool:
    """Whether a covariance in doubles, and the mean, are near enough to the precise ones for runs and spectra.

    Modes that nobody sees, such as charges behind open switches, may be wrong.
    """
    if not np.isfinite(P).all():
        return False
    rows = readouts(sde, sde.dense.H)
    variance = np.einsum("ij,ij->i", rows @ P, rows)
    expected = precise.variances[: len(rows)]
    means = np.abs(readouts(sde, sde.H @ sde.mean + sde.y0) - precise.means[: len(rows)])
    size = np.sqrt(expected) + np.abs(precise.means[: len(rows)])
    floor = 1e-12 * np.einsum("ij,ij->i", np.abs(rows) @ np.abs(P), np.abs(rows))  # of what is silent
    return bool((np.abs(variance - expected) <= USEFUL * expected + floor).all() and (means <= USEFUL * size).all())


def _share_lost(A: FloatArray, count: int) -> float:
    """How much more than it seems there may be of modes so slow that A does not tell whether they decay.

    Eigenvalues are known to rounding of the largest. Of the inverse the slow modes are the large ones: it tells.
    Infinite where it does not, or where one does not decay.
    """
    try:
        inverse = np.linalg.eigvals(np.linalg.inv(A))
    except np.linalg.LinAlgError:
        return np.inf
    slow = inverse[np.argsort(-np.abs(inverse))][:count]
    if not (slow.real < -1e-6 * np.abs(slow)).all():
        return np.inf
    rates = -(1.0 / slow).real
    return max(1.0, float(10.0 * np.finfo(float).eps * np.linalg.norm(A) / rates.min()))


QUICK = 24
"""States up to which more digits cost less than half a second."""

CLAIMED, LARGE_CLAIMED = 1e-9, 1e-6
"""What a variance is right to, relative to itself: in networks of up to `QUICK` states, and in larger ones."""

DECIDED = 1e-6
"""What rounding of the elements' values to doubles may move a variance, relative to itself: no law is better.

Beyond it the law is refused."""

TIMED = 1e-6
"""What a time constant is right to, relative to itself."""

SIGN_KNOWN = 0.5
"""What the decay of a mode may be off, relative to itself, for doubles to know that it decays."""

USEFUL = 1e-4
"""What a variance may be off in doubles for these to serve for spectra and runs in time."""

QUIET = 1e-8
"""Share of the loudest variance below which closed forms do not know a quiet one."""


def _claimed(n: int) -> float:
    return CLAIMED if n <= QUICK else LARGE_CLAIMED


def _doubt(sde: StochasticODE) -> FloatArray:
    """(n,) what the decay of each mode of A may be off, relative to itself."""
    return np.asarray(rounding_of_poles(sde, sde.dense) / np.maximum(np.abs(sde.dense.eigen[0].real), 1e-300))


def _certain(sde: StochasticODE, form: SchurForm, P: FloatArray, left: FloatArray, quiet: NDArray[np.bool_]) -> bool:
    """Whether norms alone bound all errors well enough; where they do not a closer look is needed (`_error`).

    They are far above what rounding does, and cost a fraction of it: most circuits are within them. Takes what
    `_refined_and_silent` gives.
    """
    bounds = NormBounds.of(sde, sde.dense, form.reach())
    if not bounds.decaying:
        return False
    rows = readouts(sde, sde.dense.H)
    variance = np.einsum("ij,ij->i", rows @ P, rows)
    length = np.sqrt((rows**2).sum(axis=1))
    heard = np.abs(rows)[:, ~quiet].any(axis=1)
    if not (variance[heard] > 0).all():
        return False
    claimed = _claimed(len(P))
    moved = bounds.of_covariance(P) + float(np.linalg.norm(left))
    size = np.abs(readouts(sde, sde.H @ sde.mean + sde.y0)) + np.sqrt(np.maximum(variance, 0.0))
    known = length[heard] ** 2 * moved <= claimed * variance[heard]
    return bool(known.all() and (length * bounds.of_mean <= claimed * size).all())


def _refined_and_silent(dense: DenseSDE, form: SchurForm) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """As `_refined`, with zeros at states that no noise reaches, and (n,) which these are."""
    Q = dense.B @ dense.B.T
    P, left = _refined(dense.A, Q, form)
    quiet = silent(dense.A, dense.B)
    return hushed(P, quiet), hushed(left, quiet), quiet


def _error(sde: StochasticODE, form: SchurForm, P: FloatArray, left: FloatArray, quiet: NDArray[np.bool_]) -> float:
    """A bound on the errors of variances and means that are read; takes what `_refined_and_silent` gives."""
    dense = sde.dense
    rows = readouts(sde, dense.H)
    variance = np.einsum("ij,ij->i", rows @ P, rows)
    heard = np.abs(rows)[:, ~quiet].any(axis=1)
    if len(P) > MOST:  # there is no other way to know what all but cancels: it is right as its terms are
        variance = np.maximum(variance, 1e-9 * np.einsum("ij,ij->i", np.abs(rows) @ np.abs(P), np.abs(rows)))
    if not (variance[heard] > 0).all():
        return np.inf
    weighted = rows[heard] / np.sqrt(variance[heard])[:, None]
    if not np.isfinite(weighted).all():
        return np.inf
    adjoint = form.adjoint(weighted.T @ weighted)
    error = rounding_of_variances(sde, dense, P, adjoint)
    if len(P) <= EXTENDED:  # the solution's own: from loud cells to quiet ones refinement goes step by step
        wide = _wide_product(dense.A, P)
        error = max(error, float((np.abs(adjoint) * np.abs(wide + wide.T + dense.B @ dense.B.T)).sum()))
    terms = np.einsum("ij,ij->i", np.abs(weighted) @ np.abs(P), np.abs(weighted))
    error = max(error, 4.0 * float(np.finfo(float).eps * terms.max(initial=0.0)))
    error = max(error, float(np.abs(np.einsum("ij,ij->i", weighted @ left, weighted)).max(initial=0.0)))
    spread = np.sqrt(np.maximum(P.diagonal(), 0.0))
    if not (np.abs(left) <= 1e-3 * np.outer(spread, spread)).all():
        error = np.inf
    drift = rounding_of_means(sde, sde.mean)
    mean = np.abs(readouts(sde, sde.H @ sde.mean + sde.y0))
    size = mean + np.sqrt(np.maximum(variance, 0.0))
    if len(P) > MOST:
        size += 1e-6 * mean.max(initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = max(error, float(np.nan_to_num(drift / size, nan=0.0, posinf=np.inf).max(initial=0.0)))
    return error if np.isfinite(error) else np.inf


def _spread(sde: StochasticODE, values: ComplexArray, vectors: ComplexArray) -> tuple[str, tuple[str, ...]]:
    """How far rates spread, in words, and the nodes of the fastest and of the slowest modes."""
    sizes = np.abs(values)
    fast, slow = int(np.argmax(sizes)), int(np.argmin(np.abs(values.real)))
    nodes = [_nodes_of(sde, vectors[:, k]) for k in (fast, slow)]
    least = max(float(-values.real[slow]), 1e-16 * float(sizes[fast])) / sde.dense.time
    reason = (
        f"rates spread from {sizes[fast] / sde.dense.time:.2g} 1/s (at {listed(nodes[0], 3)}) to {least:.2g} 1/s or "
        f"less (at {listed(nodes[1], 3)}), or nearly cancel, beyond what doubles resolve"
    )
    return reason, tuple(dict.fromkeys(nodes[0] + nodes[1]))


def _shares_of(vectors: ComplexArray, given: ComplexArray) -> ComplexArray:
    """What of each vector, the columns of (n, n), given ones (n, k) are made of: (n, k).

    Where vectors nearly coincide, those of least size: the factorisation that finds them costs ten times the other.
    """
    factor, pivots, singular = zgetrf(vectors)
    if not singular and zgecon(factor, float(np.abs(vectors).sum(axis=0).max()))[0] > _APART:
        return np.asarray(zgetrs(factor, pivots, given)[0])
    return np.asarray(np.linalg.lstsq(vectors, given, rcond=None)[0])


_APART = 1e-6
"""Reciprocal condition of eigenvectors above which a share of `UNSEEN` is known from their inverse."""


def _nodes_of(sde: StochasticODE, vector: ComplexArray) -> tuple[str, ...]:
    """The nodes that carry a mode."""
    dense = sde.dense
    weight = np.abs(dense.to_state @ vector) / np.sqrt((dense.to_state**2).sum(axis=1))
    heavy = weight > 0.3 * weight.max()
    return node_names([name for name, is_heavy in zip(sde.state_names, heavy, strict=True) if is_heavy])


def _refuse_mode(sde: StochasticODE, value: complex, vector: ComplexArray) -> NoReturn:
    dense = sde.dense
    nodes = _nodes_of(sde, vector)
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

    `stationary` tries `oscillators` first on more than `MOST` rows, and `_smith` on larger ones: products are what a
    processor does best.
    """
    return _refined(A, Q, SchurForm.of(A))[0]


def _refined(A: FloatArray, Q: FloatArray, form: SchurForm) -> tuple[FloatArray, FloatArray]:
    """The solution of `lyapunov`, and about what refinement left of its error; both (n, n)."""
    scale = float(np.abs(Q).max(initial=0.0))
    if scale == 0:
        return np.zeros_like(Q), np.zeros_like(Q)
    P = form.solve(Q / scale)
    left = np.zeros_like(P)
    if len(A) > EXTENDED:  # the cost outgrows the solution's
        return P * scale, left
    before = 1.0
    for k in range(_REFINEMENTS):
        if not np.isfinite(P).all():
            return P, P
        wide = _wide_product(A, P)
        change = form.solve(np.asarray(wide + wide.T + (Q / scale), dtype=np.float64))
        P = P + change
        spread = np.sqrt(np.maximum(P.diagonal(), 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = float(np.nan_to_num(np.abs(change) / np.outer(spread, spread), nan=0.0, posinf=np.inf).max())
        # Each step leaves as large a part of the error as it left of the one before.
        left = change * min(max(moved / before, 1e-2), 1.0)
        if moved <= 1e-8 or (k and moved > 0.1 * before):  # enough; or there is a mode that doubles know no better
            break
        before = moved
    return P * scale, left * scale


_REFINEMENTS = 4
"""Most steps of refinement: one does, but for cells far more quiet than those they are coupled to."""


def _wide_product(A: FloatArray, P: FloatArray) -> NDArray[np.longdouble]:
    """``A P`` of a covariance P, both (n, n), to a few bits beyond a double's even where its terms cancel.

    Factors are split so that the product of their leading bits is exact (Ozaki et al., Numer. Algorithms 59:95, 2012),
    on the scale of the standard deviations: quiet states count as loud ones do.
    """
    if len(A) <= QUICK:
        return A.astype(np.longdouble) @ P.astype(np.longdouble)
    spread = np.sqrt(np.maximum(P.diagonal(), 0.0))
    power = np.frexp(np.maximum(spread, 1e-60 * spread.max()))[1]
    A, P = np.ldexp(A, power[None, :] - power[:, None]), np.ldexp(P, -power[:, None] - power[None, :])
    bits = (53 - int(np.ceil(np.log2(len(A))))) // 2
    leading_A, leading_P = _leading(A, bits, axis=1), _leading(P, bits, axis=0)
    wide = (leading_A @ leading_P).astype(np.longdouble) + (leading_A @ (P - leading_P) + (A - leading_A) @ P)
    return np.ldexp(wide, power[:, None] + power[None, :])


def _leading(matrix: FloatArray, bits: int, axis: int) -> FloatArray:
    """A matrix rounded to a fixed point of each of its rows (``axis`` 1) or columns (0), ``bits`` below the largest."""
    _, power = np.frexp(np.abs(matrix).max(axis=axis, keepdims=True))
    return np.ldexp(np.rint(np.ldexp(matrix, bits - power)), power - bits)


@dataclass(frozen=True, eq=False)
class SchurForm:
    """``A = U T U^T``, U orthogonal, T upper triangular but for blocks of two on its diagonal; (n, n) each.

    Parts of A that nothing connects have rows and columns of their own, so that each is as exact as it is by itself.
    ``groups`` are ranges of columns, of parts whose sizes are alike: what is slow in one is not rounding of another.
    """

    T: FloatArray
    U: FloatArray
    groups: list[slice]

    @classmethod
    def of(cls, A: FloatArray) -> SchurForm:
        """Find it."""
        T, U = np.zeros_like(A), np.zeros_like(A)
        found = sorted(((float(np.linalg.norm(A[np.ix_(part, part)])), part) for part in parts(A)), key=lambda x: x[0])
        groups: list[slice] = []
        first, least = 0, 0.0
        for size, part in found:
            columns = slice(first, first + len(part))
            T[columns, columns], U[part, columns] = la.schur(A[np.ix_(part, part)], output="real")
            if groups and size <= 1e4 * least:
                groups[-1] = slice(groups[-1].start, columns.stop)
            else:
                groups.append(columns)
                least = size
            first += len(part)
        return cls(T, U, groups)

    def reach(self) -> float:
        """Frobenius' norm of the solution S of ``A S + S A^T = -1``; infinite where a mode does not decay.

        S is as large as the solution for any Q of unit norm may be: U drops out of it, and parts that nothing
        connects have their own.
        """
        if not (self.T.diagonal() < 0).all():  # the real parts of A's eigenvalues, blocks of two included
            return np.inf
        found = 0.0
        for group in self.groups:
            T = self.T[group, group]
            S, factor, _ = dtrsyl(T, T, -np.eye(len(T)), tranb="T")
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                found = max(found, float(np.linalg.norm(S / factor)))
        return found if np.isfinite(found) else np.inf

    def solve(self, Q: FloatArray) -> FloatArray:
        """``A P + P A^T + Q = 0`` for symmetric Q, (n, n)."""
        return self._solve(Q, "N", "T")

    def adjoint(self, Q: FloatArray) -> FloatArray:
        """``A^T Y + Y A + Q = 0`` for symmetric Q, (n, n)."""
        return self._solve(Q, "T", "N")

    def _solve(self, Q: FloatArray, first: str, second: str) -> FloatArray:
        right = -(self.U.T @ Q @ self.U)
        found = np.empty_like(right)
        for rows in self.groups:
            for columns in self.groups:
                # Its own tolerance is the rounding of the larger of the two.
                given = self.T[rows, rows], self.T[columns, columns], right[rows, columns]
                solution, factor, info = dtrsyl(*given, trana=first, tranb=second)
                if info < 0:
                    raise ValueError(f"trsyl: argument {-info}")
                with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # of what is singular to rounding
                    found[rows, columns] = solution / factor
        with np.errstate(over="ignore", invalid="ignore"):
            return _symmetric(self.U @ found @ self.U.T)


def _smith(A: FloatArray, Q: FloatArray, rows: FloatArray | None = None) -> FloatArray | None:
    """Solve as `lyapunov` by squaring a Cayley transform; None where it converges too slowly, or never.

    With ``M = (A + m) (A - m)^-1`` the solution is the sum over k of ``M^k D M^k^T``, where
    ``D = 2 m (A - m)^-1 Q (A - m)^-T``: twice as many terms with every squaring. M has its eigenvalues
    inside the unit circle exactly where A has its own left of the imaginary axis, so that the powers
    vanish proves that every mode decays. The solution for a residual R in the place of Q is at most
    ``2 m |(A - m)^-1|^2 product(1 + |M^(2^k)|^2) |R|``: if that is more than `LARGE_CLAIMED` of the variance of one of
    ``rows`` (p, n), there is no solution either.
    """
    n = len(A)
    shift = float(np.linalg.norm(A)) / np.sqrt(n)
    inverse = la.inv(A - shift * np.eye(n), check_finite=False)
    P = 2.0 * shift * (inverse @ Q @ inverse.T)
    power = 2.0 * shift * inverse
    power[np.diag_indices(n)] += 1.0
    reach = 2.0 * shift * _norm(inverse) ** 2
    for _ in range(_MOST_SQUARINGS):
        P += power @ P @ power.T
        reach *= 1.0 + _norm(power) ** 2
        power = power @ power
        size = float(np.linalg.norm(power))
        if size < 1e-9:  # what is left out is of the order of its square
            P = _symmetric(P)
            residual = A @ P
            residual += residual.T + Q
            terms = float(np.linalg.norm(A) * np.linalg.norm(P))
            rest = float(np.linalg.norm(residual))
            if not rest <= 1e-13 * terms:
                return None
            if rows is not None:
                variance = np.einsum("ij,ij->i", rows @ P, rows)
                error = reach * max(rest, 4e-16 * terms) * (rows**2).sum(axis=1)
                return P if (error <= LARGE_CLAIMED * variance).all() else None
            return P
        if not size < 1e3 * n:
            break
    return None


_MOST_SQUARINGS = 14
"""Of a slow convergence rounding would take its share: beyond this the general way is the better one."""


def _norm(matrix: FloatArray) -> float:
    """The largest singular value, by a few steps of the power method: within some per cent."""
    x = np.cos(np.arange(len(matrix), dtype=np.float64) ** 2)
    for _ in range(6):
        x = matrix.T @ (matrix @ (x / max(float(np.linalg.norm(x)), 1e-300)))
    return float(np.sqrt(np.linalg.norm(x)))


def _seen(rows: FloatArray, covariance: FloatArray) -> FloatArray:
    """``rows covariance rows^T``, whose diagonal rounding leaves no less than zero."""
    found = _symmetric(rows @ covariance @ rows.T)
    where = np.diag_indices(len(found))
    found[where] = np.maximum(found[where], 0.0)
    return found


def _symmetric(matrix: FloatArray) -> FloatArray:
    return np.asarray((matrix + matrix.T) / 2)


def source_gain(dense: DenseSDE) -> float:
    """Volts of a unit source on the scale of B: its one-sided density S enters as ``sqrt(S/2) dW``."""
    return float(np.sqrt(2.0 * dense.time) / UNIT_NOISE_DENSITY)


@dataclass(frozen=True, eq=False)
class Resolvent:
    """``R(s) = (s - A)^-1`` of an equation, for s in units of ``1/dense.time``, in a basis in which it is cheap.

    That of the modes, or a Schur basis where they nearly coincide. Near critical damping modes coincide; what they give
    is then off by eps times their condition squared. A slow mode among far faster ones is off by eps times the ratio:
    stiff networks that are not too large to be solved frequency by frequency are solved, too.

    Attributes
    ----------
    values, triangle:
        (n,) eigenvalues of A, or (n, n) its triangle, None where the basis is that of the modes.
    basis, inverse:
        (n, n): ``A = basis T inverse``.
    H, B:
        (p, n) and (n, m) in that basis.
    """

    values: ComplexArray
    triangle: ComplexArray | None
    basis: ComplexArray
    inverse: ComplexArray | None
    H: ComplexArray
    B: ComplexArray

    @classmethod
    def of(cls, dense: DenseSDE) -> Resolvent:
        """Choose the basis."""
        values, vectors = dense.modes
        stiff = len(values) <= 64 and np.abs(values).min() < 1e-5 * np.abs(values).max()
        B = dense.B.astype(np.complex128)
        if not stiff and np.linalg.cond(vectors) < 1e3:
            return cls(values, None, vectors, None, dense.H @ vectors, la.solve(vectors, B))
        T, Z = la.schur(dense.A.astype(np.complex128), output="complex")
        return cls(T.diagonal(), T, Z, Z.conj().T, dense.H @ Z, Z.conj().T @ B)

    def left(self, point: complex) -> ComplexArray:
        """(p, n) ``H R(s)``, from the side of the probes, of which there are fewest."""
        if self.triangle is None:
            return np.asarray(self.H / (point - self.values))
        return np.asarray(la.solve_triangular(self._shifted(point), self.H.T, trans=1, check_finite=False).T)

    def right(self, point: complex) -> ComplexArray:
        """(n, m) ``R(s) B``."""
        if self.triangle is None:
            return np.asarray(self.B / (point - self.values)[:, None])
        return np.asarray(la.solve_triangular(self._shifted(point), self.B, check_finite=False))

    def _shifted(self, point: complex) -> ComplexArray:
        assert self.triangle is not None
        shifted = -self.triangle
        shifted[np.diag_indices(len(shifted))] += point
        return shifted

    def columns(self, given: FloatArray) -> ComplexArray:
        """Columns (n, r) in this basis."""
        if self.inverse is None:
            return np.asarray(la.solve(self.basis, given.astype(np.complex128)))
        return np.asarray(self.inverse @ given)


def _transfer(dense: DenseSDE, frequencies: FloatArray) -> ComplexArray:
    """``H (j w - A)^-1 B + D`` for each frequency."""
    resolvent = Resolvent.of(dense)
    points = 2j * np.pi * frequencies * dense.time
    left, right = resolvent.H, resolvent.B
    if resolvent.triangle is None:
        # One product of (frequencies, modes) with (modes, probes x sources) costs far less than a small
        # product a frequency; probes go in blocks that bound the memory of the second factor.
        modes = 1.0 / (points[:, None] - resolvent.values)
        size = max(1, 20_000_000 // max(1, right.size))
        blocks = [left[k : k + size] for k in range(0, len(left), size)]
        out = np.concatenate(
            [
                (modes @ (rows.T[:, :, None] * right[:, None, :]).reshape(right.shape[0], -1)).reshape(
                    len(points), len(rows), -1
                )
                for rows in blocks
            ],
            axis=1,
        )
    else:
        out = np.array([resolvent.left(point) @ right for point in points]).reshape(-1, len(left), right.shape[1])
    return np.asarray((out + dense.D) * source_gain(dense))


def _log_shifted(A: FloatArray, w: float) -> ComplexArray:
    """Principal ``log(j w - A)`` of a stable A: its eigenvalues lie in the right half-plane."""
    n = len(A)
    T, Z = la.schur(-A.astype(np.complex128), output="complex")
    with warnings.catch_warnings():  # logm doubts itself far above the poles, where it is right to 1e-15
        warnings.simplefilter("ignore", RuntimeWarning)
        logarithm = la.logm(T + 1j * w * np.eye(n))
    return np.asarray(Z @ logarithm @ Z.conj().T)
