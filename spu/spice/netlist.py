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

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np

from spu.base.arguments import SIMULATORS_SEEDS, Seed, seed_of, whole
from spu.base.arrays import FloatArray
from spu.base.choice import ROUNDING
from spu.base.constants import BOLTZMANN, GROUND, ROOM_TEMPERATURE, UNIT_NOISE_DENSITY
from spu.base.errors import InputError, InternalError, OptionError, UsageError, refuse_options
from spu.base.numbers import engineering
from spu.circuit.circuit import Circuit, Instances
from spu.circuit.elements import AmplifierNoise, SharedNoiseCurrent, unit_noise_resistance
from spu.circuit.ramp import NODES, PORTS
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.readout_chain import READOUT
from spu.device.subject import Subject, opened, subject_of
from spu.emulator.dynamics import Dynamics, LangevinDynamics, LinearDynamics, SaturatingDynamics, dynamics
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.clocked import normal_samples, under_white_noise
from spu.emulator.laws.law import Law
from spu.emulator.laws.timing import Timing, timing
from spu.emulator.predict import NetworkPrediction, network_prediction
from spu.spice.converters import converters
from spu.spice.dialects import DIALECTS, NGSPICE, find_dialect
from spu.spice.dialects.dialect import Dialect, Measurement, NetworkMeasurement, noise_element
from spu.spice.header import HEADER_ROWS, SHOWN, header, opening
from spu.spice.modules import files, needed
from spu.spice.monte_carlo import BoardsDialect, MonteCarlo
from spu.spice.names import cell_node, probe_vectors, probed_nodes
from spu.spice.reader import ReadNetlist
from spu.spice.settings import method, network_tolerances, sample_time, tolerances

_STANDALONE_SAMPLES = 4000
"""In the transient of a netlist run by itself; fewer where there are more than eight cells."""

_MOST_ANALYSED, _ANALYSED = 64, 16
"""With more cells than the first, a netlist run by itself measures only as many as the second."""

_PERIODS = 200
"""Of a clock, at least, in the same."""

EDGE = 1e-3
"""What a jump of a ramp takes in a netlist, in units of the fastest time in which the circuit moves."""

SAMPLES = 4000
"""Noise samples in the transient of a netlist run by itself."""


def netlist(
    subject: Subject,
    *,
    seed: Seed = 0,
    law: Law | None = None,
    dialect: str = "ngspice",
    monte_carlo: int | None = None,
) -> str:
    """The complete netlist of a device; of a netlist that was read, its text.

    Parameters
    ----------
    subject:
        A device, compiled or built by hand; a folder, or the path of one or of a ``device.json``: the netlist is made
        anew of the device. Of a netlist that was read, an imported folder or the path of a netlist the text is given,
        as one self-contained file, as long as no other dialect is asked for.
    seed:
        Of the transient noise sources: an integer, a numpy Generator that gives one, or None for another one each time.
    law:
        The device's stationary law, where it is known already.
    dialect:
        ``ngspice``, ``ltspice``, ``xyce``, ``spectre`` or ``vacask``.
    monte_carlo:
        How many boards the netlist draws and measures when it is run by itself, with the device's tolerance
        (`spu.spice.monte_carlo`): number ``seed`` + 1 and those after it. None: it is of the nominal circuit alone.

    Raises
    ------
    CircuitError
        If the circuit has no stationary law: the header states what to expect.
    InputError
        If there is no such dialect, or none of nonlinear cells.
    OptionError
        For boards of a netlist that was read, in another dialect than ngspice's, or not from 1 to `MOST_BOARDS`.
    UsageError
        Of a bare circuit, or a netlist in another dialect than its own.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> lines = spu.netlist(device).splitlines()
    >>> lines[0]
    'SPU: 2 cells, 1 couplers, rlc-capacitive'
    >>> [line.split()[0] for line in lines if line.startswith("xc")]
    ['xcell_x1', 'xcell_x2', 'xcoupler_c_x1_x2']
    """
    chosen, number = find_dialect(dialect), seed_of(seed, SIMULATORS_SEEDS)
    held = opened(subject)
    read = getattr(held, "read", held)
    if isinstance(read, ReadNetlist):
        if chosen is not NGSPICE:
            raise UsageError(f"a netlist that was read is ngspice's: only devices are written for {dialect}")
        refuse_options("a netlist that was read: it is a device's", {"monte_carlo": monte_carlo})
        return read.text
    device = subject_of(held)
    if not isinstance(device, Device):
        raise UsageError("a bare circuit has no netlist: pass the device, or the netlist that was read")
    return "".join(_pieces(device, number, law, _boards(monte_carlo, number, chosen)))


def write_netlist(
    device: Device,
    stream: BinaryIO,
    *,
    seed: int = 0,
    law: Law | None = None,
    dialect: Dialect = NGSPICE,
    monte_carlo: int | None = None,
) -> None:
    """Write what `netlist` gives to an open binary stream, piece by piece."""
    for piece in _pieces(device, seed, law, _boards(monte_carlo, seed, dialect)):
        stream.write(piece.encode())


MOST_BOARDS = 100_000
"""That a netlist draws by itself."""


def _boards(count: int | None, seed: int, dialect: Dialect) -> Dialect:
    """The dialect of a netlist that draws boards by itself."""
    count = whole("monte_carlo", count)
    if count is None:
        return dialect
    if dialect.name != NGSPICE.name:
        raise OptionError("monte_carlo", f"is not for {dialect.name}: ngspice's language has the draws")
    if not 1 <= count <= MOST_BOARDS:
        raise OptionError("monte_carlo", f"is a number of boards from 1 to {MOST_BOARDS}, not {count}")
    return BoardsDialect(count, seed)


_SAY_ALL = " and ".join(name for name, each in DIALECTS.items() if each.says_all)


def refuse_dialect(circuit: Circuit, dialect: Dialect) -> None:
    """Raise `InputError` for a dialect that cannot say what the circuit holds: before any work."""
    AROUND[dynamics(circuit).name].refuse(dialect)
    if circuit.ramp is not None and not dialect.says_all:
        raise InputError(
            f"netlists of a ramp are written for {_SAY_ALL} only, not for {dialect.name}: set device.ramp = None for "
            "the device as it stands, with all factors 1"
        )
    if not dialect.says_all and (circuit.acquisition or circuit.reads_inside):
        raise InputError(
            f"netlists of readouts that are not ideal are written for {_SAY_ALL} only, not for {dialect.name}: leave "
            "readout out of device.detail"
        )
    if dialect.name == NGSPICE.name:
        return
    said = _asked(circuit, dialect)
    for what in (*said.own, *sorted(said.asked - set(files()))):
        raise InputError(
            f"netlists of {what} are written for ngspice only, not for {dialect.name}: it has no module of Verilog-A"
        )


def _pieces(device: Device, seed: int, law: Law | None, dialect: Dialect) -> Iterator[str]:
    """The text in pieces of many lines."""
    lines = _lines(device, seed, law, dialect)
    while piece := list(islice(lines, 10_000)):
        yield "\n".join(piece) + "\n"


def _lines(device: Device, seed: int, law: Law | None, dialect: Dialect) -> Iterator[str]:
    device = device.members()[0]  # a netlist is of one programming
    circuit = lower(device)
    does = dynamics(circuit)
    boards = MonteCarlo(device) if isinstance(dialect, BoardsDialect) else None
    refuse_dialect(circuit, dialect)
    around = AROUND[does.name](device, does, law, seed, dialect)
    yield from around.before()
    if boards is not None:
        yield from boards.before(dialect)
    if dialect.name != NGSPICE.name and (read := needed(modules(circuit, dialect))):
        yield from dialect.modules(read)
    yield from _subcircuits(circuit, dialect, boards)
    yield from _instances(circuit, dialect, boards)
    yield from _sources(circuit, seed, dialect)
    yield from ramp_sources(does, dialect)
    if dialect.name == NGSPICE.name:
        yield from converters(circuit)
    yield from _starts(circuit, dialect)
    yield from around.after()
    yield from dialect.end()


class Around(ABC):
    """What stands around the elements of a netlist and hangs on what the circuit does: header, parameters, analyses."""

    beyond: ClassVar[str] = ""
    """What a dialect has to say for them, beyond SPICE's elements, if there is such a thing."""

    @abstractmethod
    def __init__(self, device: Device, does: Dynamics, law: Law | None, seed: int, dialect: Dialect) -> None: ...

    @classmethod
    def refuse(cls, dialect: Dialect) -> None:
        """Raise `InputError` for a dialect that cannot say what such a circuit holds."""
        if cls.beyond and not dialect.says_all:
            raise InputError(f"netlists of {cls.beyond} are written for {_SAY_ALL} only, not for {dialect.name}")

    @abstractmethod
    def before(self) -> Iterator[str]:
        """Lines before the subcircuits."""

    @abstractmethod
    def after(self) -> Iterator[str]:
        """Lines after the sources: what it measures when run by itself."""


class _AroundLinear(Around):
    def __init__(self, device: Device, does: Dynamics, law: Law | None, seed: int, dialect: Dialect) -> None:
        self.refuse(dialect)
        law = cast(LinearDynamics, does).law if law is None else law
        _hold_law(self._linear(does), law)
        self._given = (does.circuit, law, timing(under_white_noise(law)), seed, dialect)
        self._device = device

    def _linear(self, does: Dynamics) -> Circuit:
        """Whose law it is."""
        return does.circuit

    def before(self) -> Iterator[str]:
        yield from header(self._device, *self._given)
        yield from _parameters(*self._given)

    def after(self) -> Iterator[str]:
        yield from _analysis(*self._given)


class _AroundSaturating(_AroundLinear):
    beyond = "transconductors of finite linear range"

    def _linear(self, does: Dynamics) -> Circuit:
        return cast(SaturatingDynamics, does).linearised.circuit

    def before(self) -> Iterator[str]:
        yield from super().before()
        comment = self._given[-1].comment
        yield comment("Transconductors saturate: what is expected of means and variances is by statistical")
        yield comment("linearisation, and noise and ac analyses are of small signals about the operating point.")


class _AroundLangevin(Around):
    beyond = "nonlinear cells"

    def __init__(self, device: Device, does: Dynamics, law: Law | None, seed: int, dialect: Dialect) -> None:  # noqa: ARG002
        self.refuse(dialect)
        self._device, self._does, self._seed, self._dialect = device, cast(LangevinDynamics, does), seed, dialect
        self._prediction = network_prediction(self._does)

    def before(self) -> Iterator[str]:
        yield from opening(self._device, self._does, self._prediction, self._seed, self._dialect)

    def after(self) -> Iterator[str]:
        yield from closing(self._device, self._does, self._prediction, self._seed, self._dialect)


AROUND: dict[str, type[Around]] = {
    "linear": _AroundLinear,
    "saturating": _AroundSaturating,
    "langevin": _AroundLangevin,
}
"""The register: what stands around the elements, by the kind of dynamics."""


def _hold_law(circuit: Circuit, law: Law) -> None:
    """Hold a law that is printed against the circuit that is printed with it.

    Means and covariances have to solve the circuit's equations, stamped once more; the readout has to be the same.

    Raises
    ------
    InternalError
        If they are another circuit's.
    """
    if max(law.voltage_covariance.shape) > HEADER_ROWS:
        return
    sde = stochastic_ode(circuit)
    same = list(law.sde.probes) == list(sde.probes) and law.sde.E.shape == sde.E.shape
    pairs = [(getattr(law.sde, name), getattr(sde, name)) for name in ("E", "F", "K", "H")] if same else []
    for held, made in [*pairs, (law.sde.readout.matrix, circuit.readout.matrix)]:
        same = same and held.shape == made.shape and bool(abs(held - made).max() <= 1e-12 * abs(made).max())
    same = same and bool(np.array_equal(law.sde.s, sde.s))
    if not same:
        raise InternalError("the law of the netlist's header is another circuit's than the netlist's")


def _parameters(circuit: Circuit, law: Law, times: Timing, seed: int, dialect: Dialect) -> list[str]:
    hot = circuit.temperature > 0
    elements = (each for group in circuit.instances for each in group.subcircuit.elements)
    amplified = any(isinstance(each, AmplifierNoise) for each in elements)
    johnson = hot and (dialect.thermal_sources or amplified)
    temperature = circuit.temperature if hot else ROOM_TEMPERATURE
    chosen = tolerances(temperature, law, times, seed)
    silent = [f"The device is at 0 K: its resistors are silent ({dialect.silence})."] if not hot else []
    words = [
        *silent,
        "en: density of every noise source, V/sqrt(Hz); ts: its sample time in .tran, s; vn: its rms then, V;",
        "rn: resistor with 4kT*rn = en^2, ohm" + ("; kt4: 4kT, J." if johnson else "."),
    ]
    clock = []
    if circuit.clocked is not None:
        words.append("tc, vc: the same of injected noise.")
        words += dialect.clocked(circuit.clocked)
        clock = [dialect.parameter("tc", circuit.clocked.period), dialect.parameter("vc", "en/sqrt(2*tc)")]
    lines = [
        *dialect.section("parameters"),
        *(dialect.comment(line) for line in words),
        dialect.parameter("en", UNIT_NOISE_DENSITY),
        dialect.parameter("ts", sample_time(circuit, times)),
        dialect.parameter("vn", "en/sqrt(2*ts)"),
        *clock,
        dialect.parameter("rn", unit_noise_resistance(temperature)),
    ]
    if hot and (dialect.thermal_sources or amplified):
        lines.append(dialect.parameter("kt4", 4.0 * BOLTZMANN * temperature))
    lines += dialect.options(chosen)
    return [*lines, *dialect.conserved()] if law.sde.conserved else lines


class _Modules:
    """A language that says nothing and remembers which modules it was asked for, and who did not ask."""

    def __init__(self, dialect: Dialect) -> None:
        self.thermal_sources = dialect.thermal_sources
        self.asked: set[str] = set()
        self.own: list[str] = []

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:  # noqa: ARG002
        return ""

    def silent_resistor(self, name: str, nodes: Sequence[str], value: str) -> str:  # noqa: ARG002
        return ""

    def module(self, name: str, module: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:  # noqa: ARG002
        self.asked.add(module)
        return []


def _asked(circuit: Circuit, dialect: Dialect) -> _Modules:
    named = _Modules(dialect)
    for group in circuit.instances:
        followed = _factors(circuit, group)
        for element in group.subcircuit.elements:
            lines = element.ramped(named) if element.factor in followed else element.spice(named)
            named.own += [element.name for line in lines if line]
    return named


def modules(circuit: Circuit, dialect: Dialect) -> set[str]:
    """Names of the modules (`spu.spice.modules`) that a circuit has instances of."""
    return _asked(circuit, dialect).asked


def beside(device: Device, dialect: Dialect) -> list[Path]:
    """The files that have to lie beside a device's netlist in a dialect: modules that it reads from there."""
    return needed(modules(lower(device.members()[0]), dialect)) if dialect.reads_modules else []


def _subcircuits(circuit: Circuit, dialect: Dialect, boards: MonteCarlo | None) -> Iterator[str]:
    yield from dialect.section("subcircuits: one for each kind of cell and coupler")
    for group in circuit.instances:
        template = group.subcircuit
        yield dialect.comment("")
        yield dialect.comment(template.meaning)
        ports = [template.ports[k] for k in _shown_ports(circuit, group, dialect)]
        ports += [PORTS[factor] for factor in _factors(circuit, group)]
        own = template.parameters if boards is None else (*template.parameters, *boards.settings(group))
        defaults = {**dict.fromkeys(own, 0), **template.constants}
        yield from dialect.subcircuit(template.name, ports, defaults)
        for name, expression in template.derived.items():
            yield f"  {dialect.derived(name, expression.text)}"
        if boards is not None:
            yield from (f"  {line}" for line in boards.derived(group, dialect))
        followed = _factors(circuit, group)
        for element in template.elements:
            lines = element.ramped(dialect) if element.factor in followed else element.spice(dialect)
            yield from (f"  {line if boards is None else boards.element(group, line)}" for line in lines)
        yield dialect.ends(template.name)


def _factors(circuit: Circuit, group: Instances) -> list[str]:
    """Factors of the circuit's ramp that elements of a group follow; those that are always 1 are not printed."""
    ramp = circuit.ramp
    if ramp is None:
        return []
    followed = {element.factor for element in group.subcircuit.elements}
    return [name for name in NODES if name in followed and ramp.counts(name)]


def ramp_sources(does: Dynamics, dialect: Dialect = NGSPICE) -> Iterator[str]:
    """One source for each factor of a ramp: what multiplies the elements that follow it, 1 V for one."""
    ramp = does.circuit.ramp
    if ramp is None or not any(ramp.counts(name) for name in NODES):
        return
    edge = EDGE * does.fastest
    yield from dialect.section("ramp: factors in time of couplers and of noise, a volt for one")
    for line in (
        "A transient follows it. The value at dc is that of its end, so that analyses of an operating point are of",
        f"the end, too; another dc= puts them elsewhere. A jump takes {edge:.3g} s, {EDGE:g} of the fastest time.",
    ):
        yield dialect.comment(line)
    for name, node in NODES.items():
        if ramp.counts(name):
            times, factors = ramp.edges(edge)[name]
            yield from dialect.waveform(f"v{node}", node, float(factors[-1]), times.tolist(), factors.tolist())


def _moving(circuit: Circuit) -> list[str]:
    """The sources of a ramp's factors."""
    ramp = circuit.ramp
    return [] if ramp is None else [f"v{node}" for name, node in NODES.items() if ramp.counts(name)]


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


def _instances(circuit: Circuit, dialect: Dialect, boards: MonteCarlo | None) -> Iterator[str]:
    for group in circuit.instances:
        shown = _shown_ports(circuit, group, dialect)
        names = [*_port_names(group, shown), *(f"factor of {name}" for name in _factors(circuit, group))]
        values = "values; behind them in engineering notation" if group.figures and dialect.behind else "values"
        yield from dialect.section(f"{group.subcircuit.name}: {', '.join(names)}, {values}")
        more = {} if boards is None else boards.settings(group)
        yield from _instance_lines(circuit, group, shown, dialect, more)


def _port_names(group: Instances, shown: list[int]) -> list[str]:
    meaning = {"a": "node", "b": "second node", "n": "injected noise", "t": "thermal noise"}
    if any(isinstance(element, SharedNoiseCurrent) for element in group.subcircuit.elements):
        meaning["n"] = "source"
    if group.subcircuit.name == READOUT:
        meaning["n"] = "noise"
    resistors = {element.noise_port: element.name for element in group.subcircuit.elements}
    names, noises = ["name"], False
    for port in (group.subcircuit.ports[k] for k in shown):
        if port in meaning or port not in resistors:
            names.append(meaning.get(port, port))
        else:  # of switches there are many, one behind the other
            names.append(resistors[port] if noises else f"noise of {resistors[port]}")
        noises = port in resistors and port not in meaning
    return names


def _instance_lines(
    circuit: Circuit, group: Instances, shown: list[int], dialect: Dialect, more: Mapping[str, FloatArray]
) -> Iterator[str]:
    noises = {element.noise_port for element in group.subcircuit.elements}
    nodes = [cell_node(name) for name in circuit.nodes]
    settings = {**(group.parameters if group.settings is None else group.settings), **more}
    followed = [NODES[name] for name in _factors(circuit, group)]
    explained = bool(group.figures and dialect.behind)
    template = dialect.instance(len(shown) + len(followed), group.subcircuit.name, list(settings))
    line = (f"{template}{{}}" if explained else template).format
    for first in range(0, len(group.names), 10_000):
        rows = slice(first, first + 10_000)
        columns = []
        for k in shown:
            numbers = group.nodes[rows, k].tolist()
            if group.subcircuit.ports[k] not in noises:
                columns.append([nodes[node] if node != GROUND else "0" for node in numbers])
            else:
                columns.append([circuit.sources[source].name for source in numbers])
        columns += [[node] * len(group.names[rows]) for node in followed]
        # Floats or codes: their repr is `number`.
        values: list[list[Any]] = [array[rows].tolist() for array in settings.values()]
        if explained:
            values.append(_in_words(group, rows, dialect))
        yield from map(line, group.names[rows], *columns, *values)


def _in_words(group: Instances, rows: slice, dialect: Dialect) -> list[str]:
    """What instances are, in engineering notation, as comments behind their lines; without parts that are not there."""
    columns = []
    for figure, values in group.figures:
        each, place = np.unique(values[rows], return_inverse=True)
        texts = [
            f"{figure.heading} {engineering(figure.shown(value), figure.unit, figure.digits)}"
            if value and not np.isnan(value)
            else ""
            for value in each.tolist()
        ]
        columns.append([texts[k] for k in place.ravel().tolist()])
    said = [", ".join(filter(None, row)) for row in zip(*columns, strict=True)]
    return [f" {dialect.behind} {text or 'off'}" for text in said]


def _sources(circuit: Circuit, seed: int, dialect: Dialect) -> Iterator[str]:
    printed = [source for source in circuit.sources if dialect.thermal_sources or not source.thermal]
    if not printed:
        return
    yield from dialect.section(dialect.noise_headline())
    for k, source in enumerate(printed):
        yield from dialect.noise_source(source, k, seed, held=circuit.clocked is not None and source.clocked)


def _starts(circuit: Circuit, dialect: Dialect) -> Iterator[str]:
    """Where the cells are at time zero."""
    if circuit.start is None:
        return
    yield from dialect.section("start: where cells are at time zero, V; no current flows in inductors then")
    for node, volts in _started(circuit):
        yield dialect.start(node, volts)


def _started(circuit: Circuit) -> list[tuple[str, float]]:
    """Nodes of the cells, and where they start (V)."""
    assert circuit.start is not None
    return [(cell_node(name), volts) for name, volts in zip(circuit.probes, circuit.start.tolist(), strict=True)]


def _kicked(law: Law, start: FloatArray | None) -> float:
    """By how many of the slowest time constants later a start is as far away as its noise."""
    if start is None:
        return 0.0
    variance = np.maximum(law.voltage_covariance.diagonal(), 0.0)
    away = float(np.abs(start - law.voltage_mean).max(initial=0.0))
    noise = float(np.sqrt(variance.max(initial=0.0)))
    return float(np.log(max(1.0, away / noise))) if noise > 0 else 0.0


def _analysis(circuit: Circuit, law: Law, times: Timing, seed: int, dialect: Dialect) -> Iterator[str]:
    """What it measures when run by itself: the variances, by ``.noise`` and in ``.tran``."""
    if not circuit.sources:
        return
    count = len(circuit.probes)
    shown = count if count <= _MOST_ANALYSED else _ANALYSED
    probes = circuit.probes[:shown]
    settle = (5 + _kicked(law, circuit.start)) * times.slowest
    settle += 0.0 if circuit.ramp is None else circuit.ramp.duration
    samples = _STANDALONE_SAMPLES * 8 / max(8, count)
    step, stop = sample_time(circuit, times), max(samples * times.sample_time, 20 * times.slowest)
    white = under_white_noise(law)
    if circuit.clocked is not None:
        stop = max(stop, _PERIODS * circuit.clocked.period)
    yield from dialect.section("analysis when run by itself; a tool that checks this netlist runs its own")
    if shown < count:
        yield dialect.comment(f"It measures the first {shown} of {count} cells.")
    yield from dialect.analysis(
        Measurement(
            probes=probes,
            nodes=probed_nodes(circuit)[:shown],
            variance=white.voltage_covariance.diagonal()[:shown].tolist(),
            mean=white.voltage_mean[:shown].tolist(),
            held=normal_samples(law).voltage_covariance.diagonal()[:shown].tolist(),
            source=noise_element(circuit.sources[0].name),
            low=times.low,
            high=times.high,
            per_decade=max(times.per_decade, 50),
            sample_time=step,
            settle=settle,
            stop=settle + stop,
            seed=seed,
            method=method(law, times),
            moving=_moving(circuit),
            from_start=bool(law.sde.conserved) or circuit.start is not None,
            tolerances=tolerances(circuit.temperature or ROOM_TEMPERATURE, law, times, seed),
            starts=[] if circuit.start is None else _started(circuit),
        )
    )


def closing(
    device: Device, does: LangevinDynamics, prediction: NetworkPrediction, seed: int, dialect: Dialect
) -> Iterator[str]:
    """What runs the transient with noise, and says mean and variance of x."""
    times = does.timing
    vectors = probe_vectors(does.circuit)[:SHOWN]
    count = len(vectors)
    ramp = does.circuit.ramp
    settle = 10 * times.slowest + (0.0 if ramp is None else ramp.duration)
    mean: list[float | None] = [None] * count
    variance: list[float | None] = [None] * count
    if prediction.mean is not None and prediction.covariance is not None:
        variances, means = prediction.covariance.diagonal()[:count], prediction.mean[:count]
        variance = variances.tolist()
        mean = np.where(np.abs(means) > ROUNDING * np.sqrt(variances), means, 0.0).tolist()
    yield from dialect.section("analysis when run by itself; a tool that checks this netlist runs its own")
    yield from dialect.network_analysis(
        NetworkMeasurement(
            variables=device.readout.variables[:count],
            vectors=vectors,
            gain=device.readout.matrix.diagonal()[:count].tolist(),
            offset=device.readout.offset[:count].tolist(),
            mean=mean,
            variance=variance,
            sample_time=times.sample_time,
            settle=settle,
            stop=settle + SAMPLES * times.sample_time,
            limit=times.sample_time / 4,
            seed=seed,
            tolerances=network_tolerances(does, seed),
            moving=_moving(does.circuit),
        )
    )
