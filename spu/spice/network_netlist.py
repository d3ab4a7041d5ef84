"""What the netlist of a circuit with nonlinear cells says and measures beside its elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu.choice import ROUNDING
from spu.circuit import Circuit
from spu.constants import BOLTZMANN, ROOM_TEMPERATURE, UNIT_NOISE_DENSITY
from spu.device import Device
from spu.elements import CHARGE_UNIT, FLUX_UNIT, unit_noise_resistance
from spu.emulator.langevin_run import stable_step
from spu.langevin import Langevin
from spu.relaxation import predict_network, rest_state, time_constants, typical_states
from spu.spice.netlist import cell_node, number

FloatArray = NDArray[np.float64]

SAMPLES = 4000
"""Noise samples in the transient of a netlist run by itself."""

_SHOWN = 16


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
    slowest = float(time_constants(overdamped, rest_state(equation))[0])
    sample = float(f"{0.5 * fastest:.1e}")
    return NetworkTiming(fastest, slowest, sample)


def probe_vectors(circuit: Circuit) -> tuple[str, ...]:
    """Names in ngspice of the probe voltages: cells' nodes, and sense nodes inside their instances."""
    names, own = circuit.node_names(), len(circuit.nodes)
    return tuple((cell_node(names[k]) if k < own else names[k]).lower() for k in circuit.probe_nodes[:, 0].tolist())


def has_rest(equation: Langevin) -> bool:
    """Whether the circuit has an operating point: a flux, or a charge without a voltage, is not seen by it."""
    return equation.coordinate != "flux"


def opening(device: Device, circuit: Circuit, seed: int) -> list[str]:
    """Header and parameters."""
    from spu import __version__

    prediction = predict_network(device)
    equation = prediction.equation
    times = network_timing(equation)
    what = {
        "voltage": "Node cell_NAME is the voltage of cell NAME, which holds its x.",
        "flux": f"Node xcell_....flux is an inductor's flux over {FLUX_UNIT!r} Wb, which holds its x.",
        "charge": f"Node xcell_....charge is a capacitor's charge over {CHARGE_UNIT!r} C, which holds its x.",
    }[equation.coordinate]
    lines = [
        f"SPU: network of {equation.n} nonlinear cells, {len(device.coupler_ends)} couplers, "
        f"{device.architecture or 'hand-built'}",
        f"* Written by spu {__version__} for device {device.hash}; seed {seed}.",
        "* Run it:      ngspice -b device.cir     (no other file and no Python needed)",
        "* Units: SI (V, A, s, F, ohm, H, S, Wb, C); noise densities are one-sided (A^2/Hz, V/sqrt(Hz)).",
        f"* {what}",
        f"* Potential: {equation.energy}.",
        "* Starts from zero (uic); n_NAME carries injected noise, t_NAME the thermal noise of a resistor.",
        "* Mapping, x = gain * v + offset:   variable, gain (1/V), offset",
    ]
    gains = device.readout.matrix.diagonal()
    for variable, gain, offset in list(zip(device.readout.variables, gains, device.readout.offset, strict=True))[
        :_SHOWN
    ]:
        lines.append(f"*   {variable} {number(gain)} {number(offset)}")
    moments = [values for values in (prediction.mean, prediction.covariance) if values is not None]
    size = max((float(np.abs(values).max()) for values in moments), default=0.0)
    for label, values in (("mean", prediction.mean), ("covariance", prediction.covariance)):
        if values is not None and equation.n <= _SHOWN:
            lines.append(f"* Stationary {label} of x, with white noise:")
            rows = np.where(np.abs(values) > ROUNDING * size, values, 0.0)  # 0 where there is but rounding
            lines += ["*   " + " ".join(f"{value: .6e}" for value in row) for row in np.atleast_2d(rows)]
    return [*lines, *_parameters(circuit, equation, times, seed)]


def _parameters(circuit: Circuit, equation: Langevin, times: NetworkTiming, seed: int) -> list[str]:
    hot = circuit.temperature > 0
    temperature = circuit.temperature if hot else ROOM_TEMPERATURE
    volts = np.abs(equation.sense).max(axis=0) * typical_states(equation)
    node = _node_voltage(equation, times)
    smallest = 1e-6 * min(float(volts.min()), node, UNIT_NOISE_DENSITY / np.sqrt(2 * times.sample_time) * 1e2)
    force = float(np.abs(np.diag(equation.stiffness) * typical_states(equation)).max())
    current = force if equation.coordinate != "charge" else force * float(equation.mobility.max())
    charge = node * (float(equation.mass.max()) if equation.mass is not None else current * times.fastest / node)
    lines = [
        "*",
        "* ---- parameters ----",
        "* en: density of every noise source, V/sqrt(Hz); ts: its sample time in .tran, s; vn: its rms then, V;",
        "* rn: resistor with 4kT*rn = en^2, ohm" + ("; kt4: 4kT, J." if hot else "."),
        f".param en={number(UNIT_NOISE_DENSITY)}",
        f".param ts={number(times.sample_time)}",
        ".param vn={en/sqrt(2*ts)}",
        f".param rn={number(unit_noise_resistance(temperature))}",
        *([f".param kt4={number(4.0 * BOLTZMANN * temperature)}"] if hot else []),
        f".options temp={number(round(temperature - 273.15, 9))} seed={seed + 1} method=gear reltol=1e-5",
        f"+ vntol={smallest:.0e} abstol={max(current * 1e-6, 1e-30):.0e} chgtol={max(charge * 1e-7, 1e-34):.0e}",
    ]
    if not has_rest(equation):
        lines += ["* The operating point does not tell a flux: .tran starts from zero (uic).", ".options noopac"]
    return lines


def _node_voltage(equation: Langevin, times: NetworkTiming) -> float:
    """A size of the cells' own voltages, V."""
    size = typical_states(equation)
    if equation.coordinate == "voltage":
        return float(size.min())
    if equation.coordinate == "flux":
        return float((size / times.fastest).min())
    return float((np.diag(equation.stiffness) * size).min())


def closing(device: Device, circuit: Circuit) -> list[str]:
    """A control block that runs the transient with noise and prints mean and variance of x."""
    prediction = predict_network(device)
    times = network_timing(prediction.equation)
    vectors = probe_vectors(circuit)[:_SHOWN]
    settle = 10 * times.slowest
    stop = settle + SAMPLES * times.sample_time
    lines = [
        "*",
        "* ---- analysis when run by itself; a tool that checks this netlist runs its own ----",
        ".control",
        "set noaskquit",
        "echo",
        f"echo mean and variance of x from .tran over {stop:.4g} s, which scatter",
        "save " + " ".join(f"v({vector})" for vector in vectors),
        f"tran {number(times.sample_time)} {number(stop)} {number(settle)} {number(times.sample_time / 4)} uic",
        "linearize",
    ]
    gains = device.readout.matrix.diagonal()
    for k, (variable, vector) in enumerate(zip(device.readout.variables, vectors, strict=False)):
        known = ["", ""]
        if prediction.mean is not None and prediction.covariance is not None:
            variance = float(prediction.covariance[k, k])
            mean = float(prediction.mean[k])
            mean = mean if abs(mean) > ROUNDING * np.sqrt(variance) else 0.0
            known = [f" expected {mean:.6e}", f" expected {variance:.6e}"]
        lines += [
            f"let x = v({vector}) * {number(gains[k])} + {number(device.readout.offset[k])}",
            "let centre = mean(x)",
            "let spread = mean((x - centre) * (x - centre))",
            f"echo RESULT tran {variable}: mean $&centre{known[0]} variance $&spread{known[1]}",
        ]
    return [*lines, "quit", ".endc"]
