"""How far a device is from instability: margins of gain and delay, and what mismatch does to its modes.

A network of resistors, capacitors and inductors cannot become unstable: its energy only falls. Active parts give
power, so that gains, delays and mismatch matter. Four answers:

- ``gain``: the common factor on all transconductors at which the first mode reaches the axis; ``gain_below`` where a
  smaller one does so, too. ``delay``: the least delay in the path of all of them that does. Both are exact
  (`spu.emulator.laws.margins`).
- ``worst_case``: the relative error that all elements have at once, each in its worst direction, at which the first
  mode reaches the axis; to first order, by exact derivatives of all eigenvalues.
- ``distance``: the same in standard deviations of the device's tolerance, along the most likely direction.
- ``probability``: that a board which is drawn is unstable: has a mode that grows, and no stationary law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import CircuitError, UsageError
from spu.base.proportions import clopper_pearson
from spu.base.threads import blas_threads_for
from spu.circuit.circuit import Circuit
from spu.circuit.elements import Element
from spu.device.device import Device
from spu.device.subject import Subject, circuits, subject_of
from spu.device.variation import Elements, draw_factors, elements_of, varied
from spu.emulator.dynamics import SaturatingDynamics
from spu.emulator.equations.linear import StochasticODE, stochastic_ode
from spu.emulator.equations.saturating import at_rest
from spu.emulator.laws.many import laws_of_draws
from spu.emulator.laws.margins import Crossing, Loops, amplifiers, delay_crossing, gain_crossings, loops_of

__all__ = ["Stability", "decay_rate", "stability"]

DRAWS = 1000
"""Boards that are drawn where nothing else is said."""

_CHANGE = 1e-4
"""Relative change of an element by which equations are differentiated; most are linear in it."""

_CONFIDENCE = 0.95

_MOST_SHOWN = 12


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Result):
    """How far a device is from instability.

    Attributes
    ----------
    decay:
        1/s: how fast its slowest mode decays; negative where one grows.
    frequency:
        Hz, at which that mode oscillates; zero where it does not.
    mode:
        Nodes and branches that take part in it, with their shares of its power, largest first; the first few.
    passive:
        Whether nothing in it gives power: then no values make it unstable.
    amplifiers:
        How many transconductors it has that gain and delay are of.
    gain, gain_below:
        Common factors on them, above and below 1, at which a mode reaches the axis, and its frequency in Hz; None
        where none does (a positive factor for ``gain_below``), or see ``why``.
    delay:
        The least common delay, in s, at which one does, with its frequency; None where none ever does, or see ``why``.
    worst_case:
        Relative error of all elements at once, each in its worst direction, at which the first mode reaches the axis,
        to first order; None where no error of elements moves it there.
    sensitivities:
        Elements with the derivative (1/s) of the decay of the mode that comes first, by the logarithm of their value;
        largest first.
    distance:
        Standard deviations of the device's tolerance to the axis, to first order; None without tolerance.
    probability, interval, draws:
        That a drawn board is unstable, with its 95 % interval (Clopper and Pearson's), of so many; None without
        tolerance.
    why:
        Why there is no margin, where one is missing for another reason than that it is infinite.

    Examples
    --------
    A cell with a negative conductance of half its loss: at twice its strength it stands still.

    >>> import spu
    >>> device = spu.Device()
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, active_conductance=-5e-4, noise=4e-20)
    >>> found = spu.stability(device)
    >>> round(found.gain.at, 9), found.delay is None, f"{found.decay:.3g}/s"
    (2.0, True, '5e+05/s')
    """

    decay: float
    frequency: float
    mode: tuple[tuple[str, float], ...]
    passive: bool
    amplifiers: int
    gain: Crossing | None = None
    gain_below: Crossing | None = None
    delay: Crossing | None = None
    worst_case: float | None = None
    sensitivities: tuple[tuple[str, float], ...] = ()
    distance: float | None = None
    probability: float | None = None
    interval: tuple[float, float] | None = None
    draws: int = 0
    why: str = ""

    in_short = ("decay", "passive", "gain", "delay", "probability")

    @property
    def stable(self) -> bool:
        """Whether all modes decay."""
        return self.decay > 0

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        keys = ("decay", "frequency", "passive", "amplifiers", "worst_case", "distance", "probability", "draws", "why")
        crossings = {
            f"{name}{more}": None if each is None else value(each)
            for name, each in (("gain", self.gain), ("gain_below", self.gain_below), ("delay", self.delay))
            for more, value in (("", lambda each: each.at), ("_frequency", lambda each: each.frequency))
        }
        return {
            "stable": self.stable,
            **{key: getattr(self, key) for key in keys},
            "mode": [{"name": name, "share": share} for name, share in self.mode],
            **crossings,
            "sensitivities": [{"element": name, "derivative": value} for name, value in self.sensitivities],
            "interval": self.interval,
        }


def stability(subject: Subject, *, draws: int = DRAWS, seed: int = 0, method: str = "plain") -> Stability:
    """Find out how far a device is from instability.

    Parameters
    ----------
    subject:
        A device, compiled or built by hand; a circuit or a netlist that was read (without what is of a device's
        elements and tolerance then); a folder, or a path. Of an ensemble, the programming whose slowest mode is
        slowest.
    draws, seed, method:
        Boards that are drawn, as `spu.draw_factors` draws them; none where the device has no tolerance, or is passive.

    Raises
    ------
    CircuitError
        If the circuit has no equation.
    UsageError
        If its cells are not linear (of transconductors of finite range it is about rest), or draws are no positive
        number.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture="rc-transconductor")
    >>> found = spu.stability(device)
    >>> found.stable, found.amplifiers, found.probability is None
    (True, 2, True)
    >>> spu.stability(spu.compile([[2.0, -0.5], [-0.5, 1.0]])).passive
    True
    """
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise UsageError(f"draws is {draws!r}: it must be a whole number, 1 or more")
    meant = subject_of(subject)
    members = [small_signals(circuit) for circuit in circuits(meant)]
    states = max(len(circuit.nodes) for circuit in members)
    with blas_threads_for(states):
        return _stability(meant, members, draws, seed, method)


def _stability(meant: Device | Circuit, members: Sequence[Circuit], draws: int, seed: int, method: str) -> Stability:
    opened = [loops_of(circuit) for circuit in members]
    abscissas = [float(loops.dense.modes[0].real.max()) / loops.time for loops in opened]
    chosen = int(np.argmax(abscissas))
    circuit, loops = members[chosen], opened[chosen]
    values, vectors = loops.dense.modes
    slowest = int(np.argmax(values.real))
    count = sum(len(found) for *_, found in amplifiers(circuit))
    passive = _passive(circuit)
    decay = -abscissas[chosen] + 0.0
    device = meant.members()[chosen] if isinstance(meant, Device) else None
    margins = _margins(loops, decay, count)
    mismatch: dict[str, Any] = {}
    if device is not None and not passive:
        mismatch = _mismatch(device, loops.sde)
        if device.tolerance and decay > 0:
            mismatch |= _drawn(device, int(draws), seed, method)
    return Stability(
        decay=decay,
        frequency=abs(float(values[slowest].imag)) / (2 * np.pi * loops.time),
        mode=_shares(loops, vectors[:, slowest]),
        passive=passive,
        amplifiers=count,
        **{**margins, **mismatch},
    )


def small_signals(circuit: Circuit) -> Circuit:
    """What small signals about rest see of a circuit."""
    if SaturatingDynamics.takes(circuit):
        return at_rest(circuit)
    if circuit.nonlinear:
        raise UsageError("margins of stability are of linear devices: networks of nonlinear cells have none")
    return circuit


def decay_rate(subject: Subject) -> float:
    """How fast the slowest mode of a linear device decays, 1/s; negative where one grows.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device()
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, active_conductance=-2e-3)
    >>> f"{spu.decay_rate(device):.4g}"
    '-1e+06'
    """
    return min(-_abscissa(stochastic_ode(small_signals(circuit))) for circuit in circuits(subject))


def _abscissa(sde: StochasticODE) -> float:
    return float(sde.dense.modes[0].real.max()) / sde.dense.time


def _passive(circuit: Circuit) -> bool:
    """Whether all elements are resistors, capacitors, inductors and sources of their own."""
    return not any(_gives(flat.element) and flat.values.any() for flat in circuit.flatten())


def _gives(element: Element) -> bool:
    """Whether an element can give power that another one controls; what models a noise source drives and hears none."""
    from spu.circuit import elements as kinds

    active = (
        kinds.Transconductor,
        kinds.VoltageControlledVoltageSource,
        kinds.CurrentControlledCurrentSource,
        kinds.CurrentControlledVoltageSource,
    )
    return isinstance(element, active) and element.role not in ("signal", "noise", "flicker", "series", "readout")


def _shares(loops: Loops, vector: NDArray[np.complex128]) -> tuple[tuple[str, float], ...]:
    power = np.abs(vector) ** 2
    power /= power.sum()
    order = np.argsort(-power)[:_MOST_SHOWN]
    return tuple((loops.sde.state_names[k], float(power[k])) for k in order.tolist() if power[k] > 0.01)


def _margins(loops: Loops, decay: float, count: int) -> dict[str, Any]:
    """Of gain and delay; and why they are missing."""
    if not count:
        return {}
    if decay <= 0:
        return {"why": "a mode grows: there is no margin to lose"}
    found: dict[str, Any] = {}
    reasons = []
    try:
        found["gain_below"], found["gain"] = gain_crossings(loops)
    except CircuitError as error:
        reasons.append(f"gain: {error.message}")
    try:
        found["delay"] = delay_crossing(loops)
    except CircuitError as error:
        reasons.append(f"delay: {error.message}")
    return {**found, "why": "; ".join(reasons)}


def _mismatch(device: Device, sde: StochasticODE) -> dict[str, Any]:
    """First order: how far errors of elements are from taking a mode to the axis."""
    elements = elements_of(device)
    values, changes = _derivatives(device, elements, sde)
    rates, slopes = -values.real, -changes.real  # of decay: (n,), (e, n)
    if rates.min(initial=np.inf) <= 0:
        return {}
    with np.errstate(divide="ignore"):
        all_at_once = rates / np.abs(slopes).sum(axis=0)
    first = int(np.argmin(all_at_once))
    found: dict[str, Any] = {}
    if np.isfinite(all_at_once[first]):
        order = np.argsort(-np.abs(slopes[:, first]))[:_MOST_SHOWN]
        found["worst_case"] = float(all_at_once[first])
        found["sensitivities"] = tuple(
            (elements.names[k], float(slopes[k, first])) for k in order.tolist() if slopes[k, first] != 0
        )
    if device.tolerance:
        with np.errstate(divide="ignore"):
            distances = rates / np.sqrt(_variances(device, elements, slopes))
        if np.isfinite(distances.min()):
            found["distance"] = float(distances.min())
    return found


def _variances(device: Device, elements: Elements, slopes: FloatArray) -> FloatArray:
    """(n,) of rates, to first order: each element's own errors, and what elements of a quantity share."""
    own, _ = elements.sigmas(device.tolerance)
    total = np.square(own[:, None] * slopes).sum(axis=0)
    together: dict[str, FloatArray] = {}
    for group, where, spread in zip(elements.groups, elements.slices, elements.spreads(device.tolerance), strict=True):
        shared = spread.process * slopes[where].sum(axis=0)
        together[group.quantity] = together.get(group.quantity, np.zeros(slopes.shape[1])) + shared
    return np.asarray(total + sum(np.square(each) for each in together.values()))


def _derivatives(
    device: Device, elements: Elements, sde: StochasticODE
) -> tuple[Annotated[NDArray[np.complex128], "n"], Annotated[NDArray[np.complex128], "e n"]]:
    """Eigenvalues, 1/s, and their derivatives by the logarithm of each element.

    ``d lambda = y^H (dF - lambda dE) x`` with ``y^H E x = 1``: the vectors are those of the device, and only dE and dF
    are differences, of equations that are linear in nearly all elements.
    """
    values, vectors = sde.dense.modes
    values = values / sde.dense.time
    right = sde.dense.to_state @ vectors
    left = np.linalg.inv(np.asarray(sde.E @ right))
    changes = np.zeros((len(elements), len(values)), dtype=np.complex128)
    for k in range(len(elements)):
        ends = []
        for sign in (1.0, -1.0):
            factors = np.ones(len(elements))
            factors[k] += sign * _CHANGE
            ends.append(stochastic_ode(small_signals(circuits(varied(device, factors, elements))[0])))
        dE, dF = ((high - low) / (2 * _CHANGE) for high, low in ((ends[0].E, ends[1].E), (ends[0].F, ends[1].F)))
        moved = dF @ right - (dE @ right) * values
        changes[k] = (left * moved.T).sum(axis=1)
    return values, changes


def _drawn(device: Device, draws: int, seed: int, method: str) -> dict[str, Any]:
    """How many boards are unstable."""
    elements = elements_of(device)
    factors = draw_factors(elements, device.tolerance, draws, seed, method)
    if any(SaturatingDynamics.takes(circuit) for circuit in circuits(device)):  # about rest, whatever law there is
        bad = sum(decay_rate(varied(device, row, elements)) <= 0 for row in factors)
    else:
        bad = int((~laws_of_draws(device, factors, elements).stable).sum())
    return {"probability": bad / draws, "interval": clopper_pearson(bad, draws, _CONFIDENCE), "draws": draws}
