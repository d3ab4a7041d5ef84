"""What small changes of a circuit's parameters do to its law, to first order.

The equations ``E x' = F x + s + K n`` as they are stamped are differentiated by giving a parameter an imaginary part
that is far below rounding (`spu.emulator.equations.descriptor.STEP`); what that makes of the reduced ones follows from
how these were reduced (`Reduced`), or from reducing them with it. The law is not solved again. In the energy
coordinates of `DenseSDE`, ``A P + P A^T + B B^T = 0``, its change solves the same equation with another right-hand
side, ``A dP + dP A^T + dA P + P dA^T + dB B^T + B dB^T = 0``: one decomposition of A serves all parameters. So do
transfer functions, ``d(R B) = R (dA R B + dB)`` with ``R = (j w - A)^-1``: one resolvent a frequency.

Where there is no such derivative the law is solved anew with the parameter changed by `CHANGE`, and the difference
taken: of equations that doubles do not resolve; where an exact cancellation would go, and with it a constraint; and of
large networks whose drift is not symmetric, where the decomposition would cost more than the laws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import SpuError
from spu.circuit.circuit import Circuit, stamp_circuit
from spu.circuit.stamps import Entries, Stamps
from spu.emulator.equations.descriptor import STEP, Coincidence
from spu.emulator.equations.linear import probe_matrix, stochastic_ode
from spu.emulator.laws.law import solve
from spu.emulator.laws.propagate import input_response, input_response_change, respond, responses
from spu.emulator.laws.reach import hushed, silent
from spu.emulator.laws.stationary import EXTENDED, Resolvent, SchurForm, Stationary, source_gain

CHANGE = 1e-4
"""Relative change of a parameter where a law is solved anew."""

MOST, FEW = 48, 12
"""Parameters that are tried, at most: a fair choice; and of a circuit of more than `LARGE` states."""

LARGE = 64


@dataclass(frozen=True, eq=False)
class Perturbed:
    """A circuit with one of its parameters multiplied by a factor.

    Attributes
    ----------
    name:
        Of the parameter, ``c of xcell_a``.
    circuit:
        Gives the circuit for a factor, which may be complex.
    place:
        Group of instances, parameter, and number of the instance.
    """

    name: str
    circuit: Callable[[complex], Circuit]
    place: tuple[int, str, int]

    @cached_property
    def law(self) -> Stationary:
        """The law with the parameter changed by `CHANGE`, solved anew; raises as `spu.emulator.laws.law.solve`."""
        law = solve(stochastic_ode(self.circuit(1.0 + CHANGE)))
        assert isinstance(law, Stationary)
        return law


def perturbed(circuit: Circuit, states: int) -> list[Perturbed]:
    """A fair choice of the parameters of a circuit that has so many states, those of value zero left out."""
    places = [
        (number, key, int(k))
        for number, group in enumerate(circuit.instances)
        for key, values in group.parameters.items()
        for k in np.flatnonzero(values)
    ]
    most = MOST if states <= LARGE else FEW
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    return [_perturbed(circuit, *places[index]) for index in chosen]


def _perturbed(circuit: Circuit, number: int, key: str, k: int | None = None) -> Perturbed:
    """One instance's parameter, or that of all instances."""
    group = circuit.instances[number]

    def changed(factor: complex) -> Circuit:
        values = group.parameters[key].astype(type(factor))
        values[slice(None) if k is None else k] *= np.asarray(factor)
        instances = list(circuit.instances)
        instances[number] = replace(group, parameters={**group.parameters, key: values})
        return replace(circuit, instances=instances)

    return Perturbed(f"{key} of {group.names[k or 0]}", changed, (number, key, k or 0))


@dataclass(frozen=True, eq=False)
class Derivative:
    """An equation's derivative by the logarithm of one parameter, in the energy coordinates of the equation as it is.

    Attributes
    ----------
    rows:
        (n, r): ``dA = rows @ A`` and ``dB = rows @ B``, of the r equations that change.
    A, B:
        (r, n), (r, m).
    H:
        (p, n): a probe on a node without capacitance follows others, which may change.
    mean, voltage_mean:
        (n,) of the state at rest; (p,) V.
    """

    rows: FloatArray
    A: FloatArray
    B: FloatArray
    H: FloatArray
    mean: FloatArray
    voltage_mean: FloatArray


@dataclass(frozen=True, eq=False)
class Sensitivities:
    """Derivatives of a stationary law by the logarithms of e parameters.

    Attributes
    ----------
    law:
        The law.
    names:
        Of the parameters: those that have a derivative first, then those for which laws were solved.
    derivatives:
        Of the equation.
    solved:
        The laws with a parameter changed by `CHANGE`.
    state_variance, voltage_mean, voltage_covariance:
        (e, n) V^2 and A^2, (e, p) V, (e, p, p) V^2. The state variance of a circuit with another number of states
        is infinite.
    """

    law: Stationary
    names: tuple[str, ...]
    derivatives: list[Derivative]
    solved: list[Stationary]
    state_variance: FloatArray
    voltage_mean: FloatArray
    voltage_covariance: FloatArray

    def largest_transfer(self, frequencies: FloatArray) -> FloatArray:
        """(e, p, m) V per V: the largest change of each transfer function at any of the frequencies (f,), Hz."""
        dense = self.law.dense
        largest = np.zeros((len(self.names), len(dense.H), dense.B.shape[1]))
        if self.derivatives:
            resolvent = Resolvent.of(dense)
            parts = [
                (resolvent.columns(each.rows), each.A @ resolvent.basis, each.B, each.H @ resolvent.basis)
                for each in self.derivatives
            ]
            for point in 2j * np.pi * frequencies * dense.time:
                left, right = resolvent.left(point), resolvent.right(point)
                for k, (rows, A, B, H) in enumerate(parts):
                    change = (left @ rows) @ (A @ right + B)
                    if H.any():
                        change += H @ right
                    np.maximum(largest[k], np.abs(change), out=largest[k])
            largest *= source_gain(dense)
        if self.solved:
            exact = self.law.transfer(frequencies)
            for k, law in enumerate(self.solved, start=len(self.derivatives)):
                largest[k] = np.abs(law.transfer(frequencies) - exact).max(axis=0) / CHANGE
        return largest

    def responses(
        self, inputs: FloatArray, interval: float, *, hold: bool, from_zero: bool
    ) -> tuple[FloatArray, FloatArray]:
        """The exact response of the probes, and its change: (k + 1, p) and (e, k + 1, p) V.

        Parameters
        ----------
        inputs, interval, hold:
            Waveforms of the unit noise sources, as `spu.emulator.laws.propagate.respond`.
        from_zero:
            Whether all starts from zero, not at the mean.
        """
        dense = self.law.dense
        start = -dense.mean if from_zero else None
        exact = respond(dense, inputs, interval, hold=hold, start=start)
        changes = np.empty((len(self.names), *exact.shape))
        if self.derivatives:
            changes[: len(self.derivatives)] = self._changes_of_paths(inputs, interval, hold, from_zero)
        for states in {len(law.sde.mean) for law in self.solved}:
            which = [k for k, law in enumerate(self.solved) if len(law.sde.mean) == states]
            found = responses([self.solved[k] for k in which], inputs, interval, hold=hold, from_zero=from_zero)
            changes[len(self.derivatives) + np.array(which)] = (found - exact) / CHANGE
        return exact, changes

    def _changes_of_paths(self, inputs: FloatArray, interval: float, hold: bool, from_zero: bool) -> FloatArray:
        dense, gain = self.law.dense, source_gain(self.law.dense)
        transition, flat, ramp = input_response(dense, interval)

        def pushes(u: FloatArray, flat: FloatArray, ramp: FloatArray) -> FloatArray:
            return u[:-1] @ flat.T if hold else u[:-1] @ flat.T + np.diff(u, axis=0) @ ramp.T

        def path(start: FloatArray, pushed: FloatArray) -> FloatArray:
            states = np.empty((len(start), pushed.shape[1] + 1, len(dense.A)))
            states[:, 0] = start
            for k in range(pushed.shape[1]):
                states[:, k + 1] = states[:, k] @ transition.T + pushed[:, k]
            return states

        u = inputs @ (dense.B * gain).T
        start = -dense.mean if from_zero else np.zeros(len(dense.mean))
        states = path(start[None], pushes(u, flat, ramp)[None])[0]
        pushed, starts = [], []
        for each in self.derivatives:
            moved = input_response_change(dense, each.rows @ each.A, interval)
            more = pushes(inputs @ (each.rows @ each.B * gain).T, flat, ramp)
            pushed.append(states[:-1] @ moved[0].T + pushes(u, *moved[1:]) + more)
            starts.append(-each.mean if from_zero else np.zeros(len(start)))
        found = path(np.array(starts), np.array(pushed)) @ dense.H.T
        for k, each in enumerate(self.derivatives):
            found[k] += states @ each.H.T + each.voltage_mean
        return np.asarray(found)


def sensitivities(law: Stationary, parameters: list[Perturbed]) -> Sensitivities:
    """Derivatives of a law by some parameters of its circuit; those with which it has no law are left out."""
    names: list[str] = []
    derivatives, again = [], parameters
    solver = None if law.precise is not None or law.unresolved is not None else Lyapunov.of(law)
    if solver is not None:
        again = []
        origin = law.sde.origin
        reduced = origin is not None and origin.elimination is not None
        differentiate = Reduced(law) if reduced else Rederived(law)
        for parameter in parameters:
            try:
                found = differentiate(parameter)
            except Coincidence:
                again.append(parameter)
                continue
            except SpuError:  # on the edge of what the equations take
                continue
            derivatives.append(found)
            names.append(parameter.name)
    solved = []
    for parameter in again:
        try:
            parameter.law.voltage_covariance  # noqa: B018 - refuses what has none
        except SpuError:
            continue
        solved.append(parameter.law)
        names.append(parameter.name)
    moved = [] if solver is None else [changes(law, solver, each) for each in derivatives]
    for other in solved:
        same = len(other.sde.mean) == len(law.sde.mean)
        variance = other.state_variance - law.state_variance if same else np.full(len(law.sde.mean), np.inf)
        mean, covariance = other.voltage_mean - law.voltage_mean, other.voltage_covariance - law.voltage_covariance
        moved.append((variance / CHANGE, mean / CHANGE, covariance / CHANGE))
    n, p = len(law.sde.mean), len(law.voltage_mean)
    shapes = ((n,), (p,), (p, p))
    figures = [np.array([each[k] for each in moved]).reshape(-1, *shape) for k, shape in enumerate(shapes)]
    return Sensitivities(law, tuple(names), derivatives, solved, *figures)


class _Differentiate(ABC):
    """Derivatives of a law's equation."""

    def __init__(self, law: Stationary) -> None:
        self.law = law
        dense, sde = law.dense, law.sde
        # A = left F to_state, in units of time.
        self.left = dense.to_state.T if dense.energetic else la.inv(sde.E @ dense.to_state)
        if sde.s.any():
            size = abs(sde.F).max(axis=1).toarray()
            self.scale = 1.0 / np.where(size > 0, size, 1.0)
            self.factors = la.lu_factor(self.scale[:, None] * sde.F.toarray())

    @abstractmethod
    def __call__(self, parameter: Perturbed) -> Derivative:
        """By one parameter.

        Raises
        ------
        CircuitError
            As `stochastic_ode`; `Coincidence` where there is none.
        """

    def _rest(self, push: FloatArray) -> FloatArray:
        """(n,) change of the state at rest, where ``dF x + ds`` is ``push``."""
        if not push.any():
            return np.zeros(len(push))
        return np.asarray(-la.lu_solve(self.factors, self.scale * push))


class Rederived(_Differentiate):
    """By reducing the circuit's equations once more for each parameter, with its imaginary part."""

    def __call__(self, parameter: Perturbed) -> Derivative:
        """As `_Differentiate`."""
        dense, sde = self.law.dense, self.law.sde
        changed = stochastic_ode(parameter.circuit(1.0 + 1j * STEP))
        if not (_alike(changed.E.real, sde.E) and _alike(changed.F.real, sde.F)) or changed.D.nnz:
            raise Coincidence("the equations of the changed circuit are others")
        moved: list[sp.csr_array] = [sp.csr_array(part.imag / STEP) for part in (changed.E, changed.F, changed.K)]
        rows = np.unique(np.concatenate([part.nonzero()[0] for part in moved]))
        E, F, K = (part.toarray()[rows] for part in moved)
        H, push, y0 = (np.imag(part) / STEP for part in (changed.H.toarray(), changed.s, changed.y0))
        A = dense.time * (F @ dense.to_state) - (E @ dense.to_state) @ dense.A
        B = np.sqrt(dense.time) * K - (E @ dense.to_state) @ dense.B
        if sde.s.any():
            push[rows] += F @ sde.mean
        state = self._rest(push)
        voltage_mean = np.asarray(sde.H @ state + H @ sde.mean + y0)
        return Derivative(self.left[:, rows], A, B, H @ dense.to_state, la.solve(dense.to_state, state), voltage_mean)


class Reduced(_Differentiate):
    """From the elimination by the graph, which a small change of values leaves as it is.

    With dE, dF, ds and dK as they are stamped, the unknowns change by ``right dy + dropped g + free f``. What is
    conserved stays zero, ``conserved^T (dE x + E dropped g) = 0``, and so do equations without derivative,
    ``free^T (F free f + w) = 0``, where ``w = (dF + F dropped G) x + ds + dK n`` and ``g = G x``. What is left is
    ``left^T`` of w less that of ``(dE + E dropped G) x'``: to first order left and right themselves do not count.
    """

    def __init__(self, law: Stationary) -> None:
        super().__init__(law)
        assert law.sde.origin is not None and law.sde.origin.elimination is not None
        self.circuit, how = law.sde.origin.circuit, law.sde.origin.elimination
        self.solved, self.stamps = how.solved, dict[tuple[int, str], Stamps]()
        self.equations = how.solved.left.toarray()
        self.states = how.solved.right @ law.dense.to_state
        self.rest = how.solved.right @ law.sde.mean + how.solved.constant
        p, n = self.circuit.probe_nodes.T
        probes = probe_matrix(p, n, len(self.rest))
        self.free, self.dropped = how.solved.free.toarray(), (probes @ how.dropped).toarray()
        self.seen = -(probes @ self.free) @ how.solved.inverse
        # What a step along `dropped` adds to the equations, and how far steps go.
        self.E, self.F = (how.E @ how.dropped).toarray(), (how.F @ how.dropped).toarray()
        self.shared = np.flatnonzero(self.E.any(axis=1) | self.F.any(axis=1))
        conserved = how.conserved.T.toarray()
        self.steps = -la.solve(conserved @ self.E, conserved) if len(conserved) else conserved

    def __call__(self, parameter: Perturbed) -> Derivative:
        """As `_Differentiate`."""
        number, key, instance = parameter.place
        if (number, key) not in self.stamps:  # of all instances at once
            self.stamps[number, key] = stamp_circuit(_perturbed(self.circuit, number, key).circuit(1.0 + 1j * STEP))[0]
        stamped = {name: self.stamps[number, key].imaginary(name, instance) for name in "EFKs"}
        return self.derived({name: (row, column, value / STEP) for name, (row, column, value) in stamped.items()})

    def derived(self, stamped: dict[str, Entries]) -> Derivative:
        """From the derivatives of the entries of ``E``, ``F``, ``K`` and ``s`` (as a column)."""
        dense, sde, size = self.law.dense, self.law.sde, len(self.rest)
        G = np.zeros((len(self.steps), size))
        if len(G):
            row, column, value = stamped["E"]
            np.add.at(G.T, column, (self.steps[:, row] * value).T)
        rows = np.unique(np.concatenate([row for row, _, _ in stamped.values()] + [self.shared] * bool(G.any())))

        def block(name: str, columns: int) -> FloatArray:
            row, column, value = stamped[name]
            out = np.zeros((len(rows), columns))
            np.add.at(out, (np.searchsorted(rows, row), column), value)
            return out

        E = block("E", size) + self.E[rows] @ G
        F = block("F", size) + self.F[rows] @ G
        moved = E @ self.states
        A = dense.time * (F @ self.states) - moved @ dense.A
        noise = block("K", dense.B.shape[1]) + F @ self.solved.noise
        B = np.sqrt(0.5 * dense.time) * noise - moved @ dense.B
        push = F @ self.rest + block("s", 1)[:, 0]
        state = self._rest(self.equations[rows].T @ push)
        free = self.seen @ self.free[rows].T
        voltage_mean = np.asarray(sde.H @ state + self.dropped @ (G @ self.rest) + free @ push)
        H = (self.dropped @ G + free @ F) @ self.states
        mean = la.solve(dense.to_state, state) if state.any() else state
        return Derivative(self.left @ self.equations[rows].T, A, B, H, mean, voltage_mean)


def _alike(found: sp.csr_array, known: sp.csr_array) -> bool:
    return found.shape == known.shape and bool(abs(found - known).max() <= 1e-9 * abs(known).max())


def changes(law: Stationary, solver: Lyapunov, each: Derivative) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What becomes of the variances (n,) of the states, and of mean (p,) and covariance (p, p) of the probes."""
    dense, P = law.dense, solver.covariance
    half = each.rows @ (each.A @ P + each.B @ dense.B.T)
    change = hushed(solver.solve(half + half.T), solver.quiet)
    variance = ((dense.to_state @ change) * dense.to_state).sum(axis=1)
    half = each.H @ P @ dense.H.T
    return variance, each.voltage_mean, dense.H @ change @ dense.H.T + half + half.T


class Lyapunov:
    """``A X + X A^T + Q = 0`` for one A of a law and symmetric Q, (n, n), many times.

    Attributes
    ----------
    covariance, quiet:
        (n, n) of the law in energy coordinates; (n,) which states no noise reaches.
    """

    def __init__(self, law: Stationary, A: FloatArray, symmetric: bool) -> None:
        self.size = np.ones(len(A))
        self.quiet = silent(A, law.dense.B)
        found = law.solved if law.cells is None else law.covariance
        if found is not None and len(A) <= EXTENDED:
            spread = np.sqrt(np.maximum(found.diagonal(), 0.0))
            there = spread > 0
            if there.any() and spread[there].min() < _BAND * spread.max():
                # On scales of their own the quiet states do not drown in the rounding of the loud ones.
                self.size, symmetric = np.where(there, spread, spread[there].min()), False
        A = A / self.size[:, None] * self.size
        self.form = None if symmetric else SchurForm.of(A)
        if symmetric:
            self.values, self.vectors = la.eigh((A + A.T) / 2)
        given = found if found is not None else self.solve(law.dense.B @ law.dense.B.T)
        self.covariance = hushed(given, self.quiet)

    @classmethod
    def of(cls, law: Stationary) -> Lyapunov | None:
        """For a law; None where its laws are found faster than a decomposition."""
        A = law.dense.A
        symmetric = bool(np.abs(A - A.T).max() <= 1e-13 * np.abs(A).max())
        return cls(law, A, symmetric) if symmetric or len(A) <= EXTENDED else None

    def adjoint(self, M: FloatArray) -> FloatArray:
        """Y of ``A^T Y + Y A + M = 0``, so that ``<M, X> = <Y, Q>``, (n, n) each."""
        scale = np.outer(self.size, self.size)
        if self.form is not None:
            return np.asarray(self.form.adjoint(M * scale) / scale)
        return self.solve(M)

    def solve(self, Q: FloatArray) -> FloatArray:
        """X for Q, (n, n) each."""
        scale = np.outer(self.size, self.size)
        if self.form is not None:
            return np.asarray(self.form.solve(Q / scale) * scale)
        V = self.vectors
        return np.asarray(V @ (-(V.T @ Q @ V) / (self.values[:, None] + self.values)) @ V.T)


_BAND = 1e-4
"""Ratio of standard deviations within which one scale does for all."""
