"""A device's circuit as an ngspice netlist: hierarchical, commented, runnable by itself.

Noise sources work in ``.noise`` and in ``.tran``: each is a voltage of ``en`` = 1 nV/sqrt(Hz) on
a node of its own, which transconductors turn into the currents of cells and couplers.
Injected ones are a resistor with ``4kTR = en^2`` (heard by ``.noise``) behind a sample-and-hold
random source of the same density (heard by ``.tran``). Thermal ones have no resistor: their
noise in ``.noise`` is that of the cell's or coupler's own resistor.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.circuit import Circuit, Instances, Subcircuit, coupler_names, lower
from spu.constants import BOLTZMANN, GROUND, ROOM_TEMPERATURE, UNIT_NOISE_DENSITY
from spu.device import Device
from spu.elements import unit_noise_resistance
from spu.emulator.law import Law, solve
from spu.sde import stochastic_ode
from spu.sparse import is_diagonal
from spu.spice.timing import Timing, timing

FloatArray = NDArray[np.float64]

STIFF = 30.0
"""Fastest rate times noise sample time above which transients use Gear's method."""

_HEADER_ROWS = 16
"""Matrices in the header stop here; larger ones stand in problem.json."""

_STANDALONE_SAMPLES = 4000
"""In the transient of a netlist run by itself; fewer where there are more than eight cells."""

MAX_INSTANCES = 2_000_000
"""Most instances and noise sources of a netlist; ngspice itself would take hours to set up more."""

_MOST_ANALYSED, _ANALYSED = 64, 16
"""With more cells than the first, a netlist run by itself measures only as many as the second."""


def number(value: float) -> str:
    """Shortest text that reads back as the same double, in a form every SPICE takes."""
    return repr(float(value))


def cell_node(name: str) -> str:
    """The netlist's node of a cell: prefixed, so that no name collides with ground or a noise node."""
    return f"cell_{name}"


def noise_element(source: str) -> str:
    """The voltage source of a noise source."""
    return f"v{source}"


def noise_resistor(circuit: Circuit) -> dict[str, str]:
    """For each noise source, the resistor that makes its noise in ``.noise``, as ngspice names it."""
    found = {source.name: f"r{source.name}" for source in circuit.sources if not source.thermal}
    for flat in circuit.flatten():
        if flat.noise is None:
            continue
        for instance, k in zip(flat.group.names, flat.noise.tolist(), strict=True):
            if circuit.sources[k].thermal:
                found[circuit.sources[k].name] = f"{flat.element.name[0]}.{instance}.{flat.element.name}".lower()
    return found


def netlist(device: Device, *, seed: int = 0, law: Law | None = None) -> str:
    """The complete netlist of a device.

    Parameters
    ----------
    device:
        Compiled or built by hand.
    seed:
        Of the transient noise sources.
    law:
        The device's stationary law, where it is known already.

    Raises
    ------
    CircuitError
        If the circuit has no stationary law: the header states what to expect.
    """
    return "".join(_pieces(device, seed, law))


def write_netlist(device: Device, stream: BinaryIO, *, seed: int = 0, law: Law | None = None) -> None:
    """Write what `netlist` gives to an open binary stream, piece by piece."""
    for piece in _pieces(device, seed, law):
        stream.write(piece.encode())


def netlist_size(circuit: Circuit) -> int:
    """Number of instances and noise sources: what makes a netlist long (see `MAX_INSTANCES`)."""
    return sum(len(group.names) for group in circuit.instances) + len(circuit.sources)


def _pieces(device: Device, seed: int, law: Law | None) -> Iterator[str]:
    """The text in pieces of many lines."""
    lines = _lines(device, seed, law)
    while piece := list(islice(lines, 10_000)):
        yield "\n".join(piece) + "\n"


def _lines(device: Device, seed: int, law: Law | None) -> Iterator[str]:
    device = device.members()[0]  # a netlist is of one programming
    circuit = lower(device)
    law = solve(stochastic_ode(circuit)) if law is None else law
    times = timing(law)
    yield from _header(device, circuit, law, times, seed)
    yield from _parameters(circuit, law, times, seed)
    yield from _subcircuits(circuit)
    yield from _instances(circuit, device)
    yield from _sources(circuit)
    yield from _analysis(circuit, law, times)
    yield ".end"


def _section(text: str) -> list[str]:
    return ["*", f"* ---- {text} ----"]


def _rows(matrix: FloatArray) -> Iterator[str]:
    for row in matrix:
        yield "*   " + " ".join(f"{value: .9e}" for value in row)


def _header(device: Device, circuit: Circuit, law: Law, times: Timing, seed: int) -> list[str]:
    from spu import __version__

    n, m = len(device.cell_names), len(device.coupler_ends)
    kind = device.architecture or "hand-built"
    lines = [
        f"SPU: {n} cells, {m} couplers, {kind}",
        f"* Written by spu {__version__} for device {device.hash}; seed {seed}.",
        "* Run it:      ngspice -b device.cir     (no other file and no Python needed)",
        "* It prints, cell by cell, the variance that the circuit's noise gives, against the expected one.",
        "* Units: SI (V, A, s, F, ohm, H, S); noise densities are one-sided (A^2/Hz, V/sqrt(Hz)).",
        "* Node cell_NAME is the voltage of cell NAME; n_NAME carries its injected noise, t_NAME the thermal",
        "* noise of its resistor (for transient analysis; .noise takes that from the resistor itself).",
    ]
    lines += _section("what it computes")
    problem = device.problem
    if problem is not None:
        what = {
            "gaussian": "samples a Gaussian with this precision matrix A (covariance A^-1)",
            "inverse": "inverts this matrix A (the covariance of x is A^-1)",
            "linear": "solves A x = b (the mean of x is A^-1 b) with this matrix A",
        }[problem.task]
        lines.append(f"* It {what}:")
        lines += _limited(problem.matrix)
        lines.append("* Target mean of x:")
        lines += _limited(problem.target_mean[None, :])
    readout = device.readout
    if is_diagonal(readout.matrix):
        lines.append("* Mapping, x = gain * v + offset:   variable, cell, gain (1/V), offset")
        lines += [
            f"*   {variable} {cell} {number(gain)} {number(offset)}"
            for variable, cell, gain, offset in zip(
                readout.variables, circuit.probes, readout.matrix.diagonal(), readout.offset, strict=True
            )
        ]
    else:
        lines.append(
            "* Mapping, x = T v + offset; the cells, then for each variable its row of T (1/V) and its offset:"
        )
        lines += _mapping(circuit)
    lines.append("* Expected mean of the cell voltages, V:")
    lines += _limited(law.voltage_mean[None, :])
    lines.append("* Expected covariance of the cell voltages with white noise, V^2:")
    lines += _limited(law.voltage_covariance)
    lines.append(
        f"* Slowest time constant {times.slowest:.4g} s; samples every ts = {number(times.sample_time)} s in .tran."
    )
    return lines


def _mapping(circuit: Circuit) -> list[str]:
    """The rows of T with their offsets, digit by digit: whoever reads the netlist back has the same mapping."""
    readout = circuit.readout
    if max(readout.matrix.shape) > _HEADER_ROWS:
        return _limited(readout.matrix)
    rows = np.column_stack([readout.matrix.toarray(), readout.offset])
    texts = (" ".join(map(number, row)) for row in rows)
    named = [f"*   {variable}: {text}" for variable, text in zip(readout.variables, texts, strict=True)]
    return [f"*   cells: {' '.join(circuit.probes)}", *named]


def _limited(matrix: FloatArray | sp.csr_array) -> list[str]:
    if max(matrix.shape) > _HEADER_ROWS:
        return [f"*   ({matrix.shape[0]} x {matrix.shape[1]}: see problem.json)"]
    return list(_rows(matrix.toarray() if sp.issparse(matrix) else matrix))


def _parameters(circuit: Circuit, law: Law, times: Timing, seed: int) -> list[str]:
    hot = circuit.temperature > 0
    temperature = circuit.temperature if hot else ROOM_TEMPERATURE
    voltage, current, capacitance = _scales(law)
    noise = UNIT_NOISE_DENSITY / np.sqrt(2.0 * times.sample_time)
    smallest = min(1e-6 * voltage, 1e-4 * noise)
    # The trapezoidal rule rings on modes far faster than its steps and never forgets it; Gear's damps
    # them, and damps resonances a little, too, so it is for stiff circuits only.
    method = "gear" if float(np.abs(law.poles).max()) * times.sample_time > STIFF else "trap"
    lines = [
        *_section("parameters"),
        "* en: density of every noise source, V/sqrt(Hz); ts: its sample time in .tran, s; vn: its rms then, V;",
        "* rn: resistor with 4kT*rn = en^2, ohm" + ("; kt4: 4kT, J." if hot else "."),
        f".param en={number(UNIT_NOISE_DENSITY)}",
        f".param ts={number(times.sample_time)}",
        ".param vn={en/sqrt(2*ts)}",
        f".param rn={number(unit_noise_resistance(temperature))}",
    ]
    if hot:
        lines.append(f".param kt4={number(4.0 * BOLTZMANN * temperature)}")
    lines += [
        "* Tolerances below the signals, which are far smaller than the defaults expect; tighter ones make",
        "* ngspice stop with 'timestep too small' where time constants spread over many decades.",
        f".options temp={number(round(temperature - 273.15, 9))} seed={seed + 1} method={method} reltol=1e-4",
        f"+ vntol={smallest:.0e} abstol={current * 1e-6:.0e} chgtol={voltage * capacitance * 1e-8:.0e}",
    ]
    if law.sde.conserved:
        lines += [
            "* A loop of inductors (or a node behind capacitors) keeps its flux (charge), which no operating point",
            "* can tell: .ac and .noise go without one, .tran starts from zero (uic).",
            ".options noopac",
        ]
    if not circuit.temperature > 0:
        lines.insert(2, "* The device is at 0 K: its resistors are silent (noisy=0).")
    return lines


def _scales(law: Law) -> tuple[float, float, float]:
    """Largest rms voltage (V) and current (A) and largest capacitance (F), for the simulator's tolerances."""
    is_voltage = np.fromiter((name.startswith("v(") for name in law.sde.state_names), dtype=bool)
    rms = np.sqrt(law.state_variance)
    voltage = float(np.sqrt(law.voltage_covariance.diagonal()).max(initial=0.0)) or 1.0
    conductance = float(np.abs(law.sde.F.diagonal()).max(initial=0.0))
    current = float(rms[~is_voltage].max(initial=0.0)) or voltage * conductance
    return voltage, current, float(law.sde.E.diagonal()[is_voltage].max(initial=0.0))


def _subcircuits(circuit: Circuit) -> list[str]:
    lines = _section("subcircuits: one for each kind of cell and coupler")
    for group in circuit.instances:
        lines += ["*", *_subcircuit(group.subcircuit)]
    return lines


def _subcircuit(template: Subcircuit) -> list[str]:
    defaults = " ".join(f"{name}=0" for name in template.parameters)
    body = [f"  {line}" for element in template.elements for line in element.spice()]
    return [
        f"* {template.meaning}",
        f".subckt {template.name} {' '.join(template.ports)} {defaults}",
        *body,
        f".ends {template.name}",
    ]


def _instances(circuit: Circuit, device: Device) -> Iterator[str]:
    codes = _codes(device)
    for group in circuit.instances:
        behind = "; codes of its banks behind a semicolon" if codes else ""
        yield from _section(f"{group.subcircuit.name}: {', '.join(_port_names(group))}, values{behind}")
        for line in _instance_lines(circuit, group):
            yield f"{line} ; {codes[name]}" if (name := line.split(" ", 1)[0]) in codes else line


def _codes(device: Device) -> dict[str, str]:
    """Codes in words, ``capacitance code 12``, by instance; empty where nothing is quantised."""
    found: dict[str, str] = {}
    for k, name in enumerate(device.cell_names if device.cell_columns.banks else []):
        row = device.cell_columns.code_row(k)
        found[f"xcell_{name}"] = ", ".join(f"{quantity} code {code}" for quantity, code in row.items())
    names = coupler_names(device) if device.coupler_columns.banks else []
    for k, name in enumerate(names):
        for quantity, code in device.coupler_columns.code_row(k).items():
            letter = device.coupler_columns.parts[quantity].letter
            found[f"xcoupler_{letter}_{name}"] = f"{quantity} code {code}"
    return found


def _port_names(group: Instances) -> list[str]:
    meaning = {"a": "node", "b": "second node", "n": "injected noise", "t": "thermal noise"}
    return ["name", *(meaning.get(port, port) for port in group.subcircuit.ports)]


def _instance_lines(circuit: Circuit, group: Instances) -> Iterator[str]:
    electrical = {"a", "b"}
    nodes = [cell_node(name) for name in circuit.nodes]
    settings = " ".join(f"{key}={{!r}}" for key in group.parameters)
    line = " ".join(["{}", *("{}" for _ in group.subcircuit.ports), group.subcircuit.name, settings]).format
    for first in range(0, len(group.names), 10_000):
        rows = slice(first, first + 10_000)
        columns = []
        for port, numbers in zip(group.subcircuit.ports, group.nodes[rows].T.tolist(), strict=True):
            if port in electrical:
                columns.append([nodes[k] if k != GROUND else "0" for k in numbers])
            else:
                columns.append([circuit.sources[k].name for k in numbers])
        values = (array[rows].tolist() for array in group.parameters.values())  # floats, whose repr is `number`
        yield from map(line, group.names[rows], *columns, *values)


def _sources(circuit: Circuit) -> Iterator[str]:
    if not circuit.sources:
        return
    yield from _section("noise sources: sampled and held every ts in .tran; rn makes the same density in .noise")
    wave = "dc 0 ac 0 trrandom(2 {ts} 0 {vn} 0)"
    for source in circuit.sources:
        element = noise_element(source.name)
        if source.thermal:
            yield f"{element} {source.name} 0 {wave}"
        else:
            yield f"{element} s_{source.name} 0 {wave}"
            yield f"r{source.name} s_{source.name} {source.name} {{rn}}"


def _analysis(circuit: Circuit, law: Law, times: Timing) -> list[str]:
    """A control block that measures the variances twice: ``.noise`` integrated, and ``.tran`` sampled."""
    if not circuit.sources:
        return []
    count = len(circuit.probes)
    shown = count if count <= _MOST_ANALYSED else _ANALYSED
    probes = circuit.probes[:shown]
    expected, mean = law.voltage_covariance.diagonal()[:shown], law.voltage_mean[:shown]
    reference = noise_element(circuit.sources[0].name)
    per_decade = max(times.per_decade, 50)
    settle = 5 * times.slowest
    samples = _STANDALONE_SAMPLES * 8 / max(8, count)
    stop = settle + max(samples * times.sample_time, 20 * times.slowest)
    start = " uic" if law.sde.conserved else ""
    lines = [
        *_section("analysis when run by itself; a tool that checks this netlist runs its own"),
        *([f"* It measures the first {shown} of {count} cells."] if shown < count else []),
        ".control",
        "set noaskquit",
        "set sqrnoise",
        "echo",
        "echo variances from .noise, integrated over frequency, V^2",
    ]
    for k, (probe, variance) in enumerate(zip(probes, expected, strict=True)):
        lines += [
            f"noise v({cell_node(probe)}) {reference} dec {per_decade} {times.low:.6g} {times.high:.6g}",
            f"setplot noise{2 * k + 1}",
            "let total = integ(onoise_spectrum)",
            "let found = total[length(total)-1]",
            f"echo RESULT noise {probe}: found $&found expected {variance:.9e}",
        ]
    lines += [
        "echo",
        f"echo variances from .tran over {stop:.4g} s, V^2: scatter of a few per cent to tens of per cent is expected",
        "save " + " ".join(f"v({cell_node(probe)})" for probe in probes),
        f"tran {number(times.sample_time)} {number(stop)} {number(settle)} {number(times.sample_time / 8)}{start}",
        "linearize",
    ]
    for probe, variance, centre in zip(probes, expected, mean, strict=True):
        vector = f"v({cell_node(probe)})"
        lines += [
            f"let deviation = {vector} - mean({vector})",
            "let found = mean(deviation * deviation)",
            f"let centre = mean({vector})",
            f"echo RESULT tran {probe}: found $&found expected {variance:.9e} mean $&centre expected {centre:.9e}",
        ]
    return [*lines, "quit", ".endc"]
