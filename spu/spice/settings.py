"""Tolerances, integration method and parameters of a transient, from the law of the circuit."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import BOLTZMANN, ROOM_TEMPERATURE, UNIT_NOISE_DENSITY
from spu.circuit.circuit import Circuit
from spu.circuit.elements import unit_noise_resistance
from spu.emulator.dynamics import LangevinDynamics
from spu.emulator.equations.langevin import Langevin
from spu.emulator.laws.law import Law
from spu.emulator.laws.timing import NetworkTiming, Timing
from spu.spice.dialects.dialect import Dialect, Tolerances

STIFF = 30.0
"""Fastest rate times noise sample time above which transients use Gear's method,"""

STIFF_SHARE = 1e-2
"""taken over modes with more than this share of a cell's variance: the others may ring unheard."""


def tolerances(temperature: float, law: Law, times: Timing, seed: int) -> Tolerances:
    """Options with which a simulator resolves the noise of a circuit at a temperature (K)."""
    voltage, current, capacitance = _scales(law)
    noise = UNIT_NOISE_DENSITY / np.sqrt(2.0 * times.sample_time)
    return Tolerances(
        temperature=round(temperature - 273.15, 9),
        seed=seed + 1,
        method=method(law, times),
        voltage=float(min(1e-6 * voltage, 1e-4 * noise)),
        current=current * 1e-6,
        charge=voltage * capacitance * 1e-8,
    )


def sample_time(circuit: Circuit, times: Timing) -> float:
    """Of white sources in a transient, s: where injected noise has a clock, a whole part of its period."""
    if circuit.clocked is None:
        return times.sample_time
    period = circuit.clocked.period
    return float(period / np.ceil(period / times.sample_time * (1 - 1e-9)))


def method(law: Law, times: Timing) -> str:
    """The integration method of transients.

    The trapezoidal rule rings on modes far faster than its steps and never forgets it; Gear's damps
    them, and damps resonances a little, too, so it is for stiff circuits only.
    """
    return "gear" if float(np.abs(law.poles_above(STIFF_SHARE)).max()) * times.sample_time > STIFF else "trap"


def _scales(law: Law) -> tuple[float, float, float]:
    """Largest rms voltage (V) and current (A) and largest capacitance (F), for the simulator's tolerances."""
    is_voltage = np.fromiter((name.startswith("v(") for name in law.sde.state_names), dtype=bool)
    rms = np.sqrt(law.state_variance)
    voltage = float(np.sqrt(law.voltage_covariance.diagonal()).max(initial=0.0)) or 1.0
    conductance = float(np.abs(law.sde.F.diagonal()).max(initial=0.0))
    current = float(rms[~is_voltage].max(initial=0.0)) or voltage * conductance
    return voltage, current, float(law.sde.E.diagonal()[is_voltage].max(initial=0.0))


def network_tolerances(does: LangevinDynamics, seed: int) -> Tolerances:
    """Options with which a simulator resolves what a network does."""
    equation, times, size = does.equation, does.timing, does.size
    volts = np.abs(equation.sense).max(axis=0) * size
    node = _node_voltage(equation, times, size)
    smallest = 1e-6 * min(float(volts.min()), node, UNIT_NOISE_DENSITY / np.sqrt(2 * times.sample_time) * 1e2)
    force = float(np.abs(np.diag(equation.stiffness) * size).max())
    current = force if equation.coordinate != "charge" else force * float(equation.mobility.max())
    charge = node * (float(equation.mass.max()) if equation.mass is not None else current * times.fastest / node)
    return Tolerances(
        temperature=round(_temperature(does) - 273.15, 9),
        seed=seed + 1,
        method="gear",
        voltage=smallest,
        current=max(current * 1e-6, 1e-30),
        charge=max(charge * 1e-7, 1e-34),
        relative="1e-5",
    )


def _temperature(does: LangevinDynamics) -> float:
    return does.circuit.temperature if does.circuit.temperature > 0 else ROOM_TEMPERATURE


def parameters(does: LangevinDynamics, seed: int, dialect: Dialect) -> list[str]:
    """The parameters of a netlist of nonlinear cells."""
    times, temperature = does.timing, _temperature(does)
    hot = does.circuit.temperature > 0
    words = [
        "en: density of every noise source, V/sqrt(Hz); ts: its sample time in .tran, s; vn: its rms then, V;",
        "rn: resistor with 4kT*rn = en^2, ohm" + ("; kt4: 4kT, J." if hot else "."),
    ]
    lines = [
        *dialect.section("parameters"),
        *(dialect.comment(line) for line in words),
        dialect.parameter("en", UNIT_NOISE_DENSITY),
        dialect.parameter("ts", times.sample_time),
        dialect.parameter("vn", "en/sqrt(2*ts)"),
        dialect.parameter("rn", unit_noise_resistance(temperature)),
        *([dialect.parameter("kt4", 4.0 * BOLTZMANN * temperature)] if hot else []),
        *dialect.options(network_tolerances(does, seed)),
    ]
    return lines if does.has_rest else [*lines, *dialect.conserved()]


def _node_voltage(equation: Langevin, times: NetworkTiming, size: FloatArray) -> float:
    """A size of the cells' own voltages, V."""
    if equation.coordinate == "voltage":
        return float(size.min())
    if equation.coordinate == "flux":
        return float((size / times.fastest).min())
    return float((np.diag(equation.stiffness) * size).min())
