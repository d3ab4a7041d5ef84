"""A device's circuit as a netlist: hierarchical, commented, runnable by itself.

One writer for all simulators; what they write differently stands in `spu.spice.dialects`.

Noise sources work in ``.noise`` and in ``.tran``: each is a voltage of ``en`` = 1 nV/sqrt(Hz) on
a node of its own, which transconductors turn into the currents of cells and couplers.
Injected ones are a resistor with ``4kTR = en^2`` (heard by ``.noise``) behind a sample-and-hold
random source of the same density (heard by ``.tran``). Thermal ones have no resistor: their
noise in ``.noise`` is that of the cell's or coupler's own resistor. (Dialects whose resistors are
noisy in ``.tran``, too, go without them.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.choice import ROUNDING
from spu.circuit import Circuit, Instances, lower
from spu.constants import BOLTZMANN, GROUND, ROOM_TEMPERATURE, UNIT_NOISE_DENSITY
from spu.device import Device
from spu.elements import unit_noise_resistance
from spu.emulator.law import Law, solve
from spu.errors import InputError, InternalError
from spu.sde import stochastic_ode
from spu.sparse import is_diagonal
from spu.spice.dialects import NGSPICE, Dialect, Measurement, Tolerances, find_dialect, noise_element, number
from spu.spice.timing import Timing, timing

FloatArray = NDArray[np.float64]

STIFF = 30.0
"""Fastest rate times noise sample time above which transients use Gear's method,"""

STIFF_SHARE = 1e-2
"""taken over modes with more than this share of a cell's variance: the others may ring unheard."""

_HEADER_ROWS = 16
"""Matrices in the header stop here; larger ones stand in problem.json."""

_STANDALONE_SAMPLES = 4000
"""In the transient of a netlist run by itself; fewer where there are more than eight cells."""

MAX_INSTANCES = 2_000_000
"""Most instances and noise sources of a netlist; ngspice itself would take hours to set up more."""

_MOST_ANALYSED, _ANALYSED = 64, 16
"""With more cells than the first, a netlist run by itself measures only as many as the second."""


def cell_node(name: str) -> str:
    """The netlist's node of a cell: prefixed, so that no name collides with ground or a noise node."""
    return f"cell_{name}"


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


def netlist(device: Device, *, seed: int = 0, law: Law | None = None, dialect: str = "ngspice") -> str:
    """The complete netlist of a device.

    Parameters
    ----------
    device:
        Compiled or built by hand.
    seed:
        Of the transient noise sources.
    law:
        The device's stationary law, where it is known already.
    dialect:
        ``ngspice``, ``ltspice``, ``xyce`` or ``spectre``.

    Raises
    ------
    CircuitError
        If the circuit has no stationary law: the header states what to expect.
    InputError
        If there is no such dialect.
    """
    return "".join(_pieces(device, seed, law, find_dialect(dialect)))


def write_netlist(
    device: Device, stream: BinaryIO, *, seed: int = 0, law: Law | None = None, dialect: Dialect = NGSPICE
) -> None:
    """Write what `netlist` gives to an open binary stream, piece by piece."""
    for piece in _pieces(device, seed, law, dialect):
        stream.write(piece.encode())


def netlist_size(circuit: Circuit) -> int:
    """Number of instances and noise sources: what makes a netlist long (see `MAX_INSTANCES`)."""
    return sum(len(group.names) for group in circuit.instances) + len(circuit.sources)


def refuse_length(device: Device) -> None:
    """Raise `InputError` for a device whose netlist no simulator would get through."""
    size = netlist_size(lower(device.members()[0]))
    if size > MAX_INSTANCES:
        raise InputError(f"a netlist of {size} instances is more than a simulator takes: at most {MAX_INSTANCES}")


def _pieces(device: Device, seed: int, law: Law | None, dialect: Dialect) -> Iterator[str]:
    """The text in pieces of many lines."""
    lines = _lines(device, seed, law, dialect)
    while piece := list(islice(lines, 10_000)):
        yield "\n".join(piece) + "\n"


def _lines(device: Device, seed: int, law: Law | None, dialect: Dialect) -> Iterator[str]:
    device = device.members()[0]  # a netlist is of one programming
    circuit = lower(device)
    if circuit.nonlinear:
        from spu.spice import network_netlist

        if dialect is not NGSPICE:
            raise InputError("netlists of nonlinear cells are written for ngspice only")
        yield from network_netlist.opening(device, circuit, seed)
        yield from _subcircuits(circuit, dialect)
        yield from _instances(circuit, dialect)
        yield from _sources(circuit, seed, dialect)
        yield from network_netlist.closing(device, circuit)
        yield from dialect.end()
        return
    law = solve(stochastic_ode(circuit)) if law is None else law
    _hold_law(circuit, law)
    times = timing(law)
    yield from _header(device, circuit, law, times, seed, dialect)
    yield from _parameters(circuit, law, times, seed, dialect)
    yield from _subcircuits(circuit, dialect)
    yield from _instances(circuit, dialect)
    yield from _sources(circuit, seed, dialect)
    yield from _analysis(circuit, law, times, seed, dialect)
    yield from dialect.end()


def _rows(matrix: FloatArray) -> Iterator[str]:
    for row in matrix:
        yield "  " + " ".join(f"{value: .9e}" for value in row)


def _hold_law(circuit: Circuit, law: Law) -> None:
    """Hold a law that is printed against the circuit that is printed with it.

    Means and covariances have to solve the circuit's equations, stamped once more; the readout has to be the same.

    Raises
    ------
    InternalError
        If they are another circuit's.
    """
    if max(law.voltage_covariance.shape) > _HEADER_ROWS:
        return
    sde = stochastic_ode(circuit)
    same = list(law.sde.probes) == list(sde.probes) and law.sde.E.shape == sde.E.shape
    pairs = [(getattr(law.sde, name), getattr(sde, name)) for name in ("E", "F", "K", "H")] if same else []
    for held, made in [*pairs, (law.sde.readout.matrix, circuit.readout.matrix)]:
        same = same and held.shape == made.shape and bool(abs(held - made).max() <= 1e-12 * abs(made).max())
    same = same and bool(np.array_equal(law.sde.s, sde.s))
    if not same:
        raise InternalError("the law of the netlist's header is another circuit's than the netlist's")


def _header(device: Device, circuit: Circuit, law: Law, times: Timing, seed: int, dialect: Dialect) -> list[str]:
    from spu import __version__

    n, m = len(device.cell_names), len(device.coupler_ends)
    kind = device.architecture or "hand-built"
    lines = [
        f"Written by spu {__version__} for device {device.hash}; seed {seed}.",
        *(line.format(file=f"device{dialect.ending}") for line in dialect.run),
        "Units: SI (V, A, s, F, ohm, H, S); noise densities are one-sided (A^2/Hz, V/sqrt(Hz)).",
        *_nodes(dialect),
        "",
        "---- what it computes ----",
    ]
    problem = device.problem
    if problem is not None:
        what = {
            "gaussian": "samples a Gaussian with this precision matrix A (covariance A^-1)",
            "inverse": "inverts this matrix A (the covariance of x is A^-1)",
            "linear": "solves A x = b (the mean of x is A^-1 b) with this matrix A",
        }[problem.task]
        lines.append(f"It {what}:")
        lines += _limited(problem.matrix)
        lines.append("Target mean of x:")
        lines += _limited(problem.target_mean[None, :], float(np.abs(problem.target_mean).max(initial=0.0)))
    readout = device.readout
    if is_diagonal(readout.matrix):
        lines.append("Mapping, x = gain * v + offset:   variable, cell, gain (1/V), offset")
        lines += [
            f"  {variable} {cell} {number(gain)} {number(offset)}"
            for variable, cell, gain, offset in zip(
                readout.variables, circuit.probes, readout.matrix.diagonal(), readout.offset, strict=True
            )
        ]
    else:
        lines.append("Mapping, x = T v + offset; the cells, then for each variable its row of T (1/V) and its offset:")
        lines += _mapping(circuit)
    mean, covariance = law.voltage_mean[None, :], law.voltage_covariance
    spread = float(np.sqrt(covariance.diagonal().max(initial=0.0)))
    lines.append("Expected mean of the cell voltages, V:")
    lines += _limited(mean, max(spread, float(np.abs(mean).max(initial=0.0))))
    lines.append("Expected covariance of the cell voltages with white noise, V^2:")
    lines += _limited(covariance, spread**2)
    lines.append(
        f"Slowest time constant {times.slowest:.4g} s; samples every ts = {number(times.sample_time)} s in .tran."
    )
    title = f"SPU: {n} cells, {m} couplers, {kind}"
    return [*dialect.title(title), *(dialect.comment(line) for line in lines)]


def _nodes(dialect: Dialect) -> list[str]:
    if not dialect.thermal_sources:
        return ["Node cell_NAME is the voltage of cell NAME; n_NAME carries its injected noise."]
    return [
        "Node cell_NAME is the voltage of cell NAME; n_NAME carries its injected noise, t_NAME the thermal",
        "noise of its resistor (for transient analysis; .noise takes that from the resistor itself).",
    ]


def _mapping(circuit: Circuit) -> list[str]:
    """The rows of T with their offsets, digit by digit: whoever reads the netlist back has the same mapping."""
    readout = circuit.readout
    if max(readout.matrix.shape) > _HEADER_ROWS:
        return _limited(readout.matrix)
    rows = np.column_stack([readout.matrix.toarray(), readout.offset])
    texts = (" ".join(map(number, row)) for row in rows)
    named = [f"  {variable}: {text}" for variable, text in zip(readout.variables, texts, strict=True)]
    return [f"  cells: {' '.join(circuit.probes)}", *named]


def _limited(matrix: FloatArray | sp.csr_array, scale: float = 0.0) -> list[str]:
    """The rows of a matrix that is not too large; zeros where entries are but rounding beside the scale."""
    if max(matrix.shape) > _HEADER_ROWS:
        return [f"  ({matrix.shape[0]} x {matrix.shape[1]}: see problem.json)"]
    dense = matrix.toarray() if sp.issparse(matrix) else matrix
    return list(_rows(np.where(np.abs(dense) > ROUNDING * scale, dense, 0.0)))


def _parameters(circuit: Circuit, law: Law, times: Timing, seed: int, dialect: Dialect) -> list[str]:
    hot = circuit.temperature > 0
    temperature = circuit.temperature if hot else ROOM_TEMPERATURE
    chosen = tolerances(temperature, law, times, seed)
    silent = [f"The device is at 0 K: its resistors are silent ({dialect.silence})."] if not hot else []
    words = [
        *silent,
        "en: density of every noise source, V/sqrt(Hz); ts: its sample time in .tran, s; vn: its rms then, V;",
        "rn: resistor with 4kT*rn = en^2, ohm" + ("; kt4: 4kT, J." if hot and dialect.thermal_sources else "."),
    ]
    lines = [
        *dialect.section("parameters"),
        *(dialect.comment(line) for line in words),
        dialect.parameter("en", UNIT_NOISE_DENSITY),
        dialect.parameter("ts", times.sample_time),
        dialect.parameter("vn", "en/sqrt(2*ts)"),
        dialect.parameter("rn", unit_noise_resistance(temperature)),
    ]
    if hot and dialect.thermal_sources:
        lines.append(dialect.parameter("kt4", 4.0 * BOLTZMANN * temperature))
    lines += dialect.options(chosen)
    return [*lines, *dialect.conserved()] if law.sde.conserved else lines


def tolerances(temperature: float, law: Law, times: Timing, seed: int) -> Tolerances:
    """Options with which a simulator resolves the noise of a circuit at a temperature (K)."""
    voltage, current, capacitance = _scales(law)
    noise = UNIT_NOISE_DENSITY / np.sqrt(2.0 * times.sample_time)
    return Tolerances(
        temperature=round(temperature - 273.15, 9),
        seed=seed + 1,
        method=_method(law, times),
        voltage=float(min(1e-6 * voltage, 1e-4 * noise)),
        current=current * 1e-6,
        charge=voltage * capacitance * 1e-8,
    )


def _method(law: Law, times: Timing) -> str:
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


def _subcircuits(circuit: Circuit, dialect: Dialect) -> Iterator[str]:
    yield from dialect.section("subcircuits: one for each kind of cell and coupler")
    for group in circuit.instances:
        template = group.subcircuit
        yield dialect.comment("")
        yield dialect.comment(template.meaning)
        ports = [template.ports[k] for k in _shown_ports(circuit, group, dialect)]
        defaults = {**dict.fromkeys(template.parameters, 0), **template.constants}
        yield from dialect.subcircuit(template.name, ports, defaults)
        for name, expression in template.derived.items():
            yield f"  {dialect.derived(name, expression.text)}"
        yield from (f"  {line}" for element in template.elements for line in element.spice(dialect))
        yield dialect.ends(template.name)


def _shown_ports(circuit: Circuit, group: Instances, dialect: Dialect) -> list[int]:
    """Ports that a dialect prints: without those of thermal noise where resistors make it themselves."""
    ports = range(len(group.subcircuit.ports))
    if dialect.thermal_sources:
        return list(ports)
    thermal = {
        element.noise_port
        for element in group.subcircuit.elements
        if element.noise_port is not None and circuit.sources[_first_source(group, element.noise_port)].thermal
    }
    return [k for k in ports if group.subcircuit.ports[k] not in thermal]


def _first_source(group: Instances, port: str) -> int:
    return int(group.nodes[0, group.subcircuit.ports.index(port)])


def _instances(circuit: Circuit, dialect: Dialect) -> Iterator[str]:
    for group in circuit.instances:
        shown = _shown_ports(circuit, group, dialect)
        yield from dialect.section(f"{group.subcircuit.name}: {', '.join(_port_names(group, shown))}, values")
        yield from _instance_lines(circuit, group, shown, dialect)


def _port_names(group: Instances, shown: list[int]) -> list[str]:
    meaning = {"a": "node", "b": "second node", "n": "injected noise", "t": "thermal noise"}
    resistors = {element.noise_port: element.name for element in group.subcircuit.elements}
    names, noises = ["name"], False
    for port in (group.subcircuit.ports[k] for k in shown):
        if port in meaning or port not in resistors:
            names.append(meaning.get(port, port))
        else:  # of switches there are many, one behind the other
            names.append(resistors[port] if noises else f"noise of {resistors[port]}")
        noises = port in resistors and port not in meaning
    return names


def _instance_lines(circuit: Circuit, group: Instances, shown: list[int], dialect: Dialect) -> Iterator[str]:
    electrical = {"a", "b"}
    nodes = [cell_node(name) for name in circuit.nodes]
    settings = group.parameters if group.settings is None else group.settings
    line = dialect.instance(len(shown), group.subcircuit.name, list(settings)).format
    for first in range(0, len(group.names), 10_000):
        rows = slice(first, first + 10_000)
        columns = []
        for k in shown:
            numbers = group.nodes[rows, k].tolist()
            if group.subcircuit.ports[k] in electrical:
                columns.append([nodes[node] if node != GROUND else "0" for node in numbers])
            else:
                columns.append([circuit.sources[source].name for source in numbers])
        # Floats or codes: their repr is `number`.
        values = (array[rows].tolist() for array in settings.values())
        yield from map(line, group.names[rows], *columns, *values)


def _sources(circuit: Circuit, seed: int, dialect: Dialect) -> Iterator[str]:
    printed = [source for source in circuit.sources if dialect.thermal_sources or not source.thermal]
    if not printed:
        return
    yield from dialect.section(dialect.noise_headline())
    for k, source in enumerate(printed):
        yield from dialect.noise_source(source, k, seed)


def _analysis(circuit: Circuit, law: Law, times: Timing, seed: int, dialect: Dialect) -> Iterator[str]:
    """What it measures when run by itself: the variances, by ``.noise`` and in ``.tran``."""
    if not circuit.sources:
        return
    count = len(circuit.probes)
    shown = count if count <= _MOST_ANALYSED else _ANALYSED
    probes = circuit.probes[:shown]
    settle = 5 * times.slowest
    samples = _STANDALONE_SAMPLES * 8 / max(8, count)
    yield from dialect.section("analysis when run by itself; a tool that checks this netlist runs its own")
    if shown < count:
        yield dialect.comment(f"It measures the first {shown} of {count} cells.")
    yield from dialect.analysis(
        Measurement(
            probes=probes,
            nodes=[cell_node(probe) for probe in probes],
            variance=law.voltage_covariance.diagonal()[:shown].tolist(),
            mean=law.voltage_mean[:shown].tolist(),
            source=noise_element(circuit.sources[0].name),
            low=times.low,
            high=times.high,
            per_decade=max(times.per_decade, 50),
            sample_time=times.sample_time,
            settle=settle,
            stop=settle + max(samples * times.sample_time, 20 * times.slowest),
            seed=seed,
            method=_method(law, times),
            conserved=bool(law.sde.conserved),
        )
    )
