r"""The work that a ramp does on a linear circuit, and what it costs to be in a hurry.

At a jump of the couplers no charge and no flux has had the time to move, and the energy changes by

.. math:: W = \tfrac12 q^T (E'^{-1} - E^{-1})\,q, \qquad q = E x,

which whoever turns the couplers pays: physical work, of capacitive couplers. Resistive couplers and transconductors
store nothing. But an RC network with the same injected noise per farad at every cell has the law
:math:`e^{-U/\theta}` of the pseudo-potential :math:`U = \tfrac12 v^T G v` (W) at :math:`\theta = S/4C`, and its change
at fixed voltages takes the place of work in all that follows. Thermal noise of resistors spoils that: they are at
another temperature than the injected noise. `Potential.systematic` says how much.

Whatever the speed, with the work of many ramps from equilibrium at their start, in units of :math:`\theta`
(Jarzynski 1997, Crooks 1999),

.. math:: \langle e^{-W}\rangle = e^{-\Delta F}, \qquad p(W) = p_{back}(-W)\,e^{W - \Delta F},

and for a quadratic potential :math:`\Delta F = \pm\tfrac12 \Delta\ln\det`: plus of the matrix G at given voltages,
minus of the matrix C at given charges.

What is lost beyond that hangs on the variance g of the force ``dU/du`` of the couplers and on its correlation time
tau: ``g du^2 coth(h / 2 tau) / 2`` a stair of the height du that lasts h, in kT. With short stairs that is the friction
``g tau`` of Sivak & Crooks (2012), with long ones the length of Crooks (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.choice import first_largest
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit
from spu.circuit.elements import Capacitor, Resistor, Transconductor
from spu.circuit.ramp import Ramp
from spu.emulator.laws.propagate import step_law
from spu.emulator.laws.ramps import Frozen, stairs

MOST_STATES = 1024
"""Of a circuit whose ramps are worked out: all matrices are dense."""

_MOST_POINTS = 80
"""At which forces are worked out, closer where they change much."""

_LEAST_STAIRS, _MOST_STAIRS = 8, 1000

_LONGEST = 200.0
"""Times as long as the rests that a ramp may last, whatever it dissipates then."""

REST = 5.0
"""Of the slowest time constants, how long a circuit rests before a ramp: its covariance is then within e^-10."""

ALIKE = 1e-6
"""Relative size below which two matrices commute."""


@dataclass(frozen=True, eq=False)
class Potential:
    """What a ramp of a circuit's couplers works against, where it is the energy or the pseudo-potential.

    Attributes
    ----------
    circuit:
        With a ramp.
    frozen:
        Its equations.
    stored:
        Whether it is energy that is stored; else the pseudo-potential.
    read:
        (p, n) what the readout sees of the states, in problem units: work is counted of this part of the circuit only,
        which has to be one that nothing couples to the rest (of dual rails, the differences).

    Raises
    ------
    CircuitError
        By `of`, if there is no such potential.
    """

    circuit: Circuit
    frozen: Frozen
    stored: bool
    read: FloatArray

    @classmethod
    def of(cls, circuit: Circuit) -> Potential:
        """The potential of a circuit with a ramp of its couplers."""
        kinds = {type(f.element) for f in circuit.flatten() if f.element.factor == "couplers"}
        stored = kinds <= {Capacitor}
        if circuit.ramp is None or not kinds or not (stored or kinds <= {Resistor, Transconductor}):
            raise CircuitError(
                "a ramp does work on couplers of one sort, either capacitive ones or resistive ones and "
                "transconductors: this circuit has none, or both, or others"
            )
        if circuit.ramp.varies("noise"):
            raise CircuitError("a ramp of noise is no work: keep the factor of noise constant")
        frozen = Frozen(circuit)
        sde = frozen.equation(circuit.ramp.end)
        if sde.E.shape[0] > MOST_STATES:
            raise CircuitError(f"{sde.E.shape[0]} states are more than a ramp is worked out for: {MOST_STATES} at most")
        if not stored and any(name.startswith("i(") for name in sde.state_names):
            raise CircuitError(
                "resistive couplers and transconductors have a pseudo-potential on cells without inductors only"
            )
        found = cls(circuit, frozen, stored, np.asarray((circuit.readout.matrix @ sde.H).toarray()))
        found._require()
        return found

    @property
    def ramp(self) -> Ramp:
        """Of the circuit."""
        assert self.circuit.ramp is not None
        return self.circuit.ramp

    def factors(self, u: float) -> tuple[float, float]:
        """Of couplers and of noise, where that of couplers is u."""
        return u, self.ramp.end[1]

    @cached_property
    def _projector(self) -> FloatArray:
        """(n, n): on the part of the states that is read."""
        return np.asarray(np.linalg.pinv(self.read) @ self.read)

    def _stiffness(self, u: float) -> FloatArray:
        """(n, n) of states: E, whose inverse is the stiffness of charges, or G."""
        sde = self.frozen.equation(self.factors(u))
        return sde.E.toarray() if self.stored else -sde.F.toarray()

    def _require(self) -> None:
        start, end = self._stiffness(self.ramp.start[0]), self._stiffness(self.ramp.end[0])
        change = end - start
        for matrix in (change, start, end):
            if np.abs(matrix - matrix.T).max() > ALIKE * np.abs(matrix).max():
                raise CircuitError("couplers that are not reciprocal have no potential")
        part = self._projector
        moved = np.abs(change).max(axis=0) > 0
        for matrix in (change, end):
            mixed = np.abs((part @ matrix - matrix @ part)[np.ix_(moved, moved)]).max(initial=0.0)
            if mixed > ALIKE * np.abs(matrix).max():
                raise CircuitError(
                    "what is read is coupled to what is not (as in chains of several cells a variable), so that its "
                    "share of the work cannot be told: use an architecture with a cell, or two rails, a variable"
                )

    def matrix(self, u: float) -> FloatArray:
        """(n, n) of the coordinates z of `frozen`: the potential is ``z^T matrix z / 2``, J or W, of what is read."""
        part = self._projector
        if self.stored:
            inverse = np.linalg.inv(self._stiffness(u))
            branches = np.abs(self.read).max(axis=0) == 0  # energy of what is not read does not change with it
            kept = part + np.diag(branches.astype(float))
            return np.asarray(self.frozen.scale.T @ kept.T @ inverse @ kept @ self.frozen.scale)
        to_state = self.frozen.at(self.factors(u)).to_state
        return np.asarray(to_state.T @ part.T @ self._stiffness(u) @ part @ to_state)

    def _inverse(self, u: float) -> FloatArray:
        """(n, n) of z: the inverse of `matrix`, zero where that is."""
        return np.asarray(np.linalg.pinv(self.matrix(u), rcond=1e-10, hermitian=True))

    def change(self, before: float, after: float) -> FloatArray:
        """(n, n) D of the work ``z^T D z / 2``, in units of `theta`, that a jump between two factors takes."""
        return (self.matrix(after) - self.matrix(before)) / self.theta

    def covariance(self, u: float) -> FloatArray:
        """(n, n) of z in equilibrium."""
        dense = self.frozen.at(self.factors(u))
        found = la.solve_continuous_lyapunov(dense.A, -dense.B @ dense.B.T)
        if not np.isfinite(found).all() or np.linalg.eigvals(dense.A).real.max() >= 0:
            raise CircuitError(f"at the factor {u:g} of the couplers the circuit has no stationary law")
        return np.asarray((found + found.T) / 2)

    @cached_property
    def theta(self) -> float:
        """The temperature of the law at the start, J or W: the mean of what is read, over its dimension, times two."""
        start = self.ramp.start[0]
        seen = self.read @ self.frozen.at(self.factors(start)).to_state
        inverse = self._inverse(start)
        return float(np.trace(seen @ self.covariance(start) @ seen.T) / np.trace(seen @ inverse @ seen.T))

    def readings(self, u: float) -> FloatArray:
        """(p, p) covariance of what is read, in problem units, in equilibrium."""
        seen = self.read @ self.frozen.at(self.factors(u)).to_state
        return np.asarray(seen @ self.covariance(u) @ seen.T)

    @cached_property
    def reference(self) -> float:
        """The log of the determinant of the inverse covariance of what is read at the start: of the own parts."""
        return -float(np.linalg.slogdet(self.readings(self.ramp.start[0]))[1])

    @property
    def sign(self) -> float:
        """Of the log of the determinant in twice the free energy."""
        return -1.0 if self.stored else 1.0

    @cached_property
    def free_energy(self) -> float:
        """Between the ends of the ramp, in units of `theta`, of the potential that the circuit holds."""
        ends = []
        for u in (self.ramp.start[0], self.ramp.end[0]):
            seen = self.read @ self.frozen.at(self.factors(u)).to_state
            inverse = seen @ self._inverse(u) @ seen.T
            ends.append(-float(np.linalg.slogdet(inverse)[1]))
        return self.sign * (ends[1] - ends[0]) / 2

    @cached_property
    def systematic(self) -> float:
        """What an infinitely slow ramp would find beyond `free_energy`: its law is not the potential's everywhere.

        Zero of a circuit whose noise has one temperature.
        """
        nodes, weights = np.polynomial.legendre.leggauss(12)
        first, last = self.ramp.start[0], self.ramp.end[0]
        half, found = (last - first) / 2, 0.0
        for x, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            u = first + half * (1 + x)
            stray = self.covariance(u) - self.theta * self._inverse(u)
            found += weight * half * 0.5 * float(np.trace(self.slope(u) @ stray))
        return found

    def mean_work(self, *, backward: bool = False) -> float:
        """The exact mean work of the ramp from equilibrium, in units of `theta`."""
        path = jumps(self.ramp, backward=backward)
        P = self.covariance(path[0].before)
        total = 0.0
        for jump in path:
            total += 0.5 * float(np.trace(self.change(jump.before, jump.after) @ P))
            if jump.rest > 0:
                dense = self.frozen.at(self.factors(jump.after))
                transition, noise = step_law(dense.A, dense.B @ dense.B.T, jump.rest / dense.time)
                P = transition @ P @ transition.T + noise
        return total

    @cached_property
    def _growth(self) -> FloatArray:
        """(n, n): what `_stiffness` gains a unit of the factor, the same at all of them."""
        (first, _), (last, _) = self.ramp.start, self.ramp.end
        ends = self._stiffness(first), self._stiffness(last)
        middle = self._stiffness((first + last) / 2)
        if np.abs(middle - (ends[0] + ends[1]) / 2).max() > ALIKE * np.abs(middle).max():
            raise CircuitError(
                "what couplers couple does not grow in proportion to their factor: no ramp is worked out"
            )
        return np.asarray((ends[1] - ends[0]) / (last - first))

    def slope(self, u: float) -> FloatArray:
        """(n, n): `matrix` by the factor, in units of `theta`: the force of the couplers is ``z^T slope z / 2``."""
        part = self._projector
        to_state = self.frozen.at(self.factors(u)).to_state
        moved = to_state.T @ part.T @ self._growth @ part @ to_state
        return np.asarray((-moved if self.stored else moved) / self.theta)

    def force(self, u: float) -> tuple[float, float]:
        """The variance of the force of the couplers (kT a unit of factor, squared), and its correlation time, s."""
        dense, slope, inverse = self.frozen.at(self.factors(u)), self.slope(u), self._inverse(u)
        moved = -(self.theta**2) * inverse @ slope @ inverse
        variance = -0.5 * float(np.trace(slope @ moved))
        lag = la.solve_continuous_lyapunov(dense.A, moved) * dense.time
        friction = 0.5 * float(np.trace(slope @ lag))
        return max(variance, 0.0), max(friction / variance, 0.0) if variance > 0 else 0.0


@dataclass(frozen=True)
class Jump:
    """From one factor of the couplers to another, and s of rest there."""

    before: float
    after: float
    rest: float


def jumps(ramp: Ramp, *, backward: bool = False) -> list[Jump]:
    """The jumps of a ramp, slopes cut into `spu.emulator.laws.ramps.stairs`; those without change only rest."""
    steps = stairs(ramp)
    first, last = (ramp.end, ramp.start) if backward else (ramp.start, ramp.end)
    path = steps[::-1] if backward else steps
    found, at = [], first[0]
    for stair in path:
        found.append(Jump(at, stair.couplers, stair.end - stair.start))
        at = stair.couplers
    return [*found, Jump(at, last[0], 0.0)]


def slowest(potential: Potential, u: float) -> float:
    """The longest time constant at a factor, s."""
    dense = potential.frozen.at(potential.factors(u))
    return float(-dense.time / np.linalg.eigvals(dense.A).real.max())


def gentle_ramp(
    circuit: Circuit, *, duration: float | None = None, steps: int | None = None, dissipation: float = 1.0
) -> Ramp:
    """A staircase of the couplers from 0 to 1 that dissipates little in its time.

    A jump to the next stair dissipates ``g du^2 / 2`` kT, g the variance of the force, and as much again times
    ``coth(h / 2 tau) - 1`` where the circuit rests for h only, tau the force's correlation time. So all stairs are as
    high, measured by the root of g, and the time is shared among them such that the sum is the least.

    Parameters
    ----------
    circuit:
        With any ramp of its couplers from 0 to 1.
    duration:
        s; unless given, what the dissipation takes, or as long as the circuit rests before and after it (`REST`
        slowest time constants at each end) where that is more.
    steps:
        Stairs; unless given, so many that with long rests half of the dissipation were left, from 8 to 1000.
    dissipation:
        kT of the work that is lost, on average, one way.
    """
    potential = Potential.of(circuit)
    grid, length, times = _measured(potential)
    whole = float(length[-1])
    if steps is None:
        steps = int(np.clip(np.ceil(whole**2 / dissipation - 1e-6), _LEAST_STAIRS, _MOST_STAIRS))
    # Between m stairs, of which the first is the start and the last is the end, are m - 1 that take time.
    stairs_at = np.interp(np.arange(1, steps) / steps, length / whole if whole > 0 else grid, grid)
    tau = np.exp(np.interp(stairs_at, grid, np.log(times)))
    each = whole**2 / (2 * steps**2)

    def rests(cost: float) -> FloatArray:
        return np.asarray(2 * tau * np.arcsinh(np.sqrt(each / (2 * tau * cost))))

    def lost(cost: float) -> float:
        return float(each * (1 + (1 / np.tanh(np.maximum(rests(cost), 1e-12 * tau) / (2 * tau))).sum()))

    least = REST * (slowest(potential, 0.0) + slowest(potential, 1.0))
    # kT a second of what one more second saves, from far too hurried to far too slow.
    hurried, slow = (np.log(each / tau.min()) + 40.0, np.log(each / tau.max()) - 40.0) if each > 0 else (0.0, 0.0)
    for _ in range(80):
        middle = (hurried + slow) / 2
        taken = float(rests(np.exp(middle)).sum())
        enough = taken >= duration if duration is not None else taken >= least and lost(np.exp(middle)) <= dissipation
        if duration is None and taken >= _LONGEST * least:
            enough = True
        hurried, slow = (hurried, middle) if enough else (middle, slow)
    rest = rests(np.exp(slow)) if each > 0 else np.full(len(tau), 1.0)
    total = duration if duration is not None else max(float(rest.sum()), least)
    rest *= total / rest.sum()
    instants = np.concatenate([[0.0], np.cumsum(rest)])
    couplers = np.concatenate([[0.0], np.repeat(stairs_at, 2), [1.0]])
    return Ramp(np.repeat(instants, 2), couplers=couplers)


def _measured(potential: Potential) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A grid of factors from 0 to 1, how long the way is to each, and the force's correlation time there, s."""
    found = {u: potential.force(u) for u in np.linspace(0.0, 1.0, 5).tolist()}
    while True:
        grid = np.array(sorted(found))
        root = np.sqrt([found[u][0] for u in grid.tolist()])
        # Of a power of the distance to somewhere, which it is where a mode is soft, this mean is nearly the integral.
        pieces = np.sqrt(root[1:] * root[:-1]) * np.diff(grid)
        rough = np.abs((root[1:] + root[:-1]) / 2 * np.diff(grid) - pieces)
        if not pieces.sum() > 0 or rough.max() <= 0.01 * pieces.sum() or len(grid) >= _MOST_POINTS:
            break
        at = first_largest(rough)
        u = float(grid[at] + grid[at + 1]) / 2
        found[u] = potential.force(u)
    times = np.array([found[u][1] for u in grid.tolist()])
    there = times > 0
    if not there.any():  # couplers of rounding
        return grid, np.zeros(len(grid)), np.full(len(grid), slowest(potential, 1.0))
    return grid, np.concatenate([[0.0], np.cumsum(pieces)]), np.where(there, times, times[there].min())
