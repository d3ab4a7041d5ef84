"""Linear circuits whose couplers and noise vary in time: exact steps between jumps, which keep charges and fluxes.

A ramp is cut into stairs. On each stair the circuit stands still, ``E dx = (F x + s) dt + K dW``, and steps are exact.
Where one stair ends and the next begins, no current has had the time to flow: charges of nodes and fluxes of branches,
``q = E x``, are kept, and voltages and currents change.

Jumps are what they are. A slope is cut into `SLOPE` stairs or more, each with the factor at its middle: that is the
exponential midpoint rule for q, whose error falls with the square of a stair's length where that is short beside the
time constants, and which stands at most half a stair away from the factor that is meant everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.circuit.circuit import Circuit
from spu.circuit.ramp import Ramp
from spu.emulator.equations.linear import DenseSDE, StochasticODE, stochastic_ode
from spu.emulator.laws.propagate import input_response
from spu.emulator.laws.stationary import source_gain

SLOPE = 64
"""Stairs of a slope, at least."""

_FEW = 4
"""Equations that are made of the circuit itself before it is found out whether they follow from one another."""

_KEPT = 256
"""Equations of different factors that are kept at a time."""


@dataclass(frozen=True)
class Stair:
    """A time in which the factors hold still: from ``start`` to ``end``, s."""

    start: float
    end: float
    couplers: float
    noise: float

    @property
    def factors(self) -> tuple[float, float]:
        """Of couplers and of noise."""
        return self.couplers, self.noise


def stairs(ramp: Ramp, longest: float = np.inf) -> list[Stair]:
    """The stairs of a ramp from time zero to its last instant, none of a slope longer than ``longest`` (s)."""
    found = []
    if ramp.times[0] > 0:
        found.append(Stair(0.0, float(ramp.times[0]), *ramp.start))
    for k in range(len(ramp.times) - 1):
        first, last = float(ramp.times[k]), float(ramp.times[k + 1])
        if last == first:
            continue
        ends = [np.array([ramp.couplers[j], ramp.noise[j]]) for j in (k, k + 1)]
        count = 1
        if (ends[0] != ends[1]).any():
            count = max(SLOPE, int(np.ceil((last - first) / longest)))
        instants = np.linspace(first, last, count + 1).tolist()
        for j in range(count):
            u, s = (ends[0] + (ends[1] - ends[0]) * (j + 0.5) / count).tolist()
            found.append(Stair(instants[j], instants[j + 1], u, s))
    return found


class Between:
    """Equations between factors, of those at the least and the largest ones.

    Of most circuits E and F are linear in the factor of couplers, and noise is that of sources, times their factor, and
    of resistors, times the root of the factor of couplers. `gives` says whether that is so.
    """

    def __init__(
        self,
        least: StochasticODE,
        coupled: StochasticODE,
        loud: StochasticODE,
        couplers: tuple[float, float],
        noise: tuple[float, float],
    ) -> None:
        self._least, self._coupled, self._loud = least, coupled, loud
        self._couplers, self._noise = couplers, noise

    def at(self, u: float, s: float) -> StochasticODE:
        """The equation at factors of couplers and of noise."""
        one, two, three = self._least, self._coupled, self._loud
        (least, most), (quiet, loud) = self._couplers, self._noise
        part = (u - least) / (most - least) if most > least else 0.0
        root = (u**0.5 - least**0.5) / (most**0.5 - least**0.5) if most > least else 0.0
        more = (s - quiet) / (loud - quiet) if loud > quiet else 0.0
        return replace(
            one,
            E=sp.csr_array(one.E + part * (two.E - one.E)),
            F=sp.csr_array(one.F + part * (two.F - one.F)),
            K=sp.csr_array(one.K + root * (two.K - one.K) + more * (three.K - one.K)),
        )

    def gives(self, exact: StochasticODE, factors: tuple[float, float]) -> bool:
        """Whether that is the equation at these factors, to rounding."""
        found = self.at(*factors)
        return all(
            abs(getattr(found, name) - getattr(exact, name)).max() <= 1e-13 * abs(getattr(exact, name)).max()
            for name in ("E", "F", "K", "H", "D", "s", "y0")
        )


class Frozen:
    """The equations of a circuit at the factors of its ramp, all in one kind of coordinates.

    These are charges and fluxes ``q = E x``, which no jump changes, on the scale ``scale`` (n, n) of the energy that
    they have at the ramp's first factors: ``q = scale @ z``.

    Raises
    ------
    CircuitError
        Where the circuit has other states at other factors, so that nothing says what is kept.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        assert circuit.ramp is not None
        self._found: dict[tuple[float, float], DenseSDE] = {}
        self._made = 0
        first = stochastic_ode(circuit.at(*circuit.ramp.start))
        self._names = list(first.state_names)
        self.scale = np.asarray(first.E @ first.dense.to_state)
        if not np.isfinite(self.scale).all():
            raise CircuitError(_OTHER_STATES)

    def at(self, factors: tuple[float, float]) -> DenseSDE:
        """The equation while the factors of couplers and of noise have these values."""
        if factors not in self._found:
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[factors] = self._in_charges(self.equation(factors))
        return self._found[factors]

    def equation(self, factors: tuple[float, float]) -> StochasticODE:
        """The same, of node voltages and branch currents."""
        self._made += 1
        between = self._between if self._made > _FEW else None
        return self._exactly(factors) if between is None else between.at(*factors)

    def _in_charges(self, sde: StochasticODE) -> DenseSDE:
        to_state = np.linalg.solve(sde.E.toarray(), self.scale)
        both = np.linalg.solve(self.scale, np.hstack([sde.F @ to_state, sde.K.toarray()]))
        n = len(to_state)
        rate = float(np.abs(both[:, :n]).max()) or 1.0
        mean = np.linalg.solve(self.scale, sde.E @ sde.mean)
        return DenseSDE(
            A=both[:, :n] / rate,
            B=both[:, n:] / np.sqrt(rate),
            mean=mean,
            H=sde.H @ to_state,
            y0=sde.y0,
            D=sde.D.toarray() * np.sqrt(rate),
            to_state=to_state,
            time=1.0 / rate,
            energetic=False,
        )

    @cached_property
    def _between(self) -> Between | None:
        """All equations at once, where those of the circuit between two factors follow from those at them."""
        ramp = self.circuit.ramp
        assert ramp is not None
        (least, most), (quiet, loud) = ((float(f.min()), float(f.max())) for f in (ramp.couplers, ramp.noise))
        middle = (least + most) / 2, (quiet + loud) / 2
        one, two, three = (self._exactly(factors) for factors in ((least, quiet), (most, quiet), (least, loud)))
        found = Between(one, two, three, (least, most), (quiet, loud))
        return found if found.gives(self._exactly(middle), middle) else None

    def _exactly(self, factors: tuple[float, float]) -> StochasticODE:
        sde = stochastic_ode(self.circuit.at(*factors))
        if list(sde.state_names) != self._names or not np.isfinite(sde.E.data).all():
            raise CircuitError(_OTHER_STATES)
        return sde


_OTHER_STATES = (
    "at some factors of the ramp the circuit has other states than at others (of inductive couplers at zero, say), so "
    "that nothing says which charges and fluxes are kept: keep the factor above zero, or ramp capacitive, resistive or "
    "transconductor couplers"
)


def respond(circuit: Circuit, inputs: ArrayLike, interval: float, *, hold: bool, from_zero: bool) -> FloatArray:
    """Response of the probes to given waveforms of the unit noise sources while the ramp runs.

    Exact under jumps; under slopes with as many stairs as there are pieces of the waveforms.

    Parameters
    ----------
    circuit:
        With a ramp, which begins with the waveforms.
    inputs, interval, hold:
        As `spu.emulator.laws.propagate.respond`.
    from_zero:
        Whether all charges and fluxes are zero at the start; else the circuit rests at the ramp's first factors.

    Returns
    -------
    (k + 1, p) probe voltages at multiples of ``interval``, V; after a jump that is there.
    """
    ramp = circuit.ramp
    assert ramp is not None
    frozen = Frozen(circuit)
    u = np.asarray(inputs, dtype=np.float64)
    at = frozen.at(ramp.start)
    z = np.zeros(len(at.A)) if from_zero else at.mean
    found = np.empty((len(u), len(at.H)))
    made: dict[tuple[float, float, float], tuple[FloatArray, FloatArray, FloatArray]] = {}
    couplers, noise = ramp.at(np.arange(len(u)) * interval)
    for k in range(len(u)):
        now = frozen.at((float(couplers[k]), float(noise[k])))
        found[k] = now.H @ z + now.y0 + (now.D * source_gain(now)) @ u[k]
        if k == len(u) - 1:
            break
        slope = np.zeros_like(u[k]) if hold else u[k + 1] - u[k]
        for part in _pieces(ramp, k, interval):
            dense = frozen.at(part.factors)
            key = (*part.factors, round((part.end - part.start) / interval, 12))
            if key not in made:
                if len(made) >= _KEPT:
                    made.clear()
                made[key] = input_response(dense, part.end - part.start)
            transition, flat, rising = made[key]
            drive = dense.B * source_gain(dense)
            first = u[k] + slope * (part.start / interval - k)
            change = slope * ((part.end - part.start) / interval)
            z = dense.mean + transition @ (z - dense.mean) + flat @ (drive @ first) + rising @ (drive @ change)
    return found


def _pieces(ramp: Ramp, k: int, interval: float) -> Iterator[Stair]:
    """Stairs between instant number k and the next."""
    first, last = k * interval, (k + 1) * interval
    inside = ramp.times[(ramp.times > first) & (ramp.times < last)]
    instants = np.unique(np.concatenate([[first], inside, [last]]))
    couplers, noise = ramp.at((instants[:-1] + instants[1:]) / 2)
    for j in range(len(instants) - 1):
        yield Stair(float(instants[j]), float(instants[j + 1]), float(couplers[j]), float(noise[j]))
