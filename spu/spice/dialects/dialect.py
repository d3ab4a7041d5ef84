"""ngspice's language, which is the base that other dialects override."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spu.spice.modules import EXPRESSIONS
from spu.spice.names import HELD

if TYPE_CHECKING:
    from spu.circuit.circuit import NoiseSource
    from spu.circuit.clocked import Clocked


def number(value: float) -> str:
    """Shortest text that reads back as the same double, in a form every SPICE takes."""
    return repr(float(value))


def noise_element(source: str) -> str:
    """The voltage source of a noise source."""
    return f"v{source}"


@dataclass(frozen=True)
class Tolerances:
    """Simulator options: temperature (degrees Celsius), seed, integration method, absolute tolerances (V, A, C)."""

    temperature: float
    seed: int
    method: str
    voltage: float
    current: float
    charge: float
    relative: str = "1e-4"


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a netlist run by itself measures, and what is expected.

    Attributes
    ----------
    probes, nodes:
        Cells measured and their nodes.
    variance, mean:
        Expected, V^2 and V; of .noise, and where noise is held
    held:
        in .tran, V^2.
    source:
        Name of an independent voltage source, which ``.noise`` wants.
    low, high, per_decade:
        The sweep: Hz, Hz, points.
    sample_time, settle, stop:
        s: between noise samples, until the start is forgotten, and the end of the transient.
    seed, method:
        Of the transient: its noise, and the integration method (``trap`` or ``gear``).
    from_start:
        Whether it starts from where nodes are said to be, or from zero: not from an operating point.
    tolerances:
        Simulator options, for dialects in which they stand with the analyses.
    moving:
        Sources that follow a ramp.
    starts:
        Nodes and the V at which they are at time zero, for such dialects, too.
    """

    probes: Sequence[str]
    nodes: Sequence[str]
    variance: Sequence[float]
    mean: Sequence[float]
    held: Sequence[float]
    source: str
    low: float
    high: float
    per_decade: int
    sample_time: float
    settle: float
    stop: float
    seed: int
    method: str
    from_start: bool
    tolerances: Tolerances
    moving: Sequence[str]
    starts: Sequence[tuple[str, float]]


@dataclass(frozen=True, eq=False)
class NetworkMeasurement:
    """What a netlist of nonlinear cells measures when it is run by itself, from zero.

    Attributes
    ----------
    variables, vectors:
        What is read, and the node each is read of, ``xcell_a.flux`` in a flattened netlist.
    gain, offset:
        Of each, x = gain v + offset.
    mean, variance:
        Expected of each, x and its square; None where no law is known.
    sample_time, settle, stop, limit:
        s: between noise samples, until the start is forgotten, the end, and the largest step.
    seed:
        Of its noise.
    tolerances:
        Of the simulator, for languages in which these stand with the analyses.
    moving:
        Sources that follow a ramp.
    """

    variables: Sequence[str]
    vectors: Sequence[str]
    gain: Sequence[float]
    offset: Sequence[float]
    mean: Sequence[float | None]
    variance: Sequence[float | None]
    sample_time: float
    settle: float
    stop: float
    limit: float
    seed: int
    tolerances: Tolerances
    moving: Sequence[str]

    def expected(self) -> Iterator[str]:
        """One line a variable: where it is read, and what to expect there."""
        for k, (variable, vector) in enumerate(zip(self.variables, self.vectors, strict=True)):
            known = "" if self.mean[k] is None else f", mean {self.mean[k]:.6e}, variance {self.variance[k]:.6e}"
            yield f"{variable} = {number(self.gain[k])} * v({vector}) + {number(self.offset[k])}{known}"


TOLERANCES = "Tolerances below the signals, which are far smaller than the defaults expect."

_CONSERVED = (
    "A loop of inductors (or a node behind capacitors) keeps its flux (charge), which no operating point",
    "can tell: for noise and ac analysis give one inductor of each loop a small series resistance.",
)


class Dialect:
    """How ngspice writes each kind of line; the base of the others.

    Attributes
    ----------
    name, program, ending:
        What users call it, what the header calls it, and the ending of its files.
    run:
        How a user runs ``{file}``, and what happens then.
    thermal_sources:
        Whether a resistor is silent in ``.tran``, so that a source must make its noise there.
    silence:
        What silences a resistor.
    reaches_inside:
        Whether an element outside of an instance can be joined to a node inside it.
    remark, behind:
        What begins a comment, on a line of its own and behind a statement.
    says_all:
        Whether it can say what SPICE has no element for, by expressions or modules (`spu.spice.modules`): nonlinear
        cells, ramps.
    reads_modules:
        Whether the files of modules lie beside its netlists.
    """

    name = "ngspice"
    program = "ngspice"
    ending = ".cir"
    run: tuple[str, ...] = (
        "Run it:      ngspice -b {file}     (no other file and no Python needed)",
        "It prints, cell by cell, the variance that the circuit's noise gives, against the expected one.",
        "Change it:   every cell and coupler is one line, xcell_NAME or xcoupler_KIND_A_B, with its values or",
        "code= at the end. Keep the original, and ask what a changed copy does to the answer:",
        "             spu check DIR --netlist COPY.cir     (DIR: the folder that spu compile wrote)",
    )
    thermal_sources = True
    silence = "noisy=0"
    reaches_inside = True
    remark = "*"
    behind = ";"
    says_all = True
    reads_modules = False

    # --- text ------------------------------------------------------------------------------

    def title(self, text: str) -> list[str]:
        """First lines of the file."""
        return [text]

    def comment(self, text: str) -> str:
        """A comment on a line of its own."""
        return f"{self.remark} {text}".rstrip()

    def section(self, text: str) -> list[str]:
        """A headline."""
        return [self.comment(""), self.comment(f"---- {text} ----")]

    def end(self) -> list[str]:
        """Last lines of the file."""
        return [".end"]

    def expression(self, text: str) -> str:
        """An expression of parameters; operators ``+ - * / **``, functions ``sqrt``, ``abs``, ``floor``, ``max``."""
        return f"{{{text}}}"

    # --- parameters and options ------------------------------------------------------------

    def parameter(self, name: str, value: float | str) -> str:
        """A parameter of the whole netlist: a number or an expression."""
        return f".param {name}={self.expression(value) if isinstance(value, str) else number(value)}"

    def options(self, chosen: Tolerances) -> list[str]:
        """Temperature, integration method, tolerances."""
        basic = f"temp={number(chosen.temperature)} seed={chosen.seed} method={chosen.method}"
        return [
            "* Tolerances below the signals, which are far smaller than the defaults expect; tighter ones make",
            "* ngspice stop with 'timestep too small' where time constants spread over many decades.",
            f".options {basic} reltol={chosen.relative}",
            f"+ vntol={chosen.voltage:.0e} abstol={chosen.current:.0e} chgtol={chosen.charge:.0e}",
        ]

    def conserved(self) -> list[str]:
        """What a circuit needs that has no single operating point."""
        return [
            "* A loop of inductors (or a node behind capacitors) keeps its flux (charge), which no operating point",
            "* can tell: .ac and .noise go without one, .tran starts from zero (uic).",
            ".options noopac",
        ]

    # --- elements --------------------------------------------------------------------------

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        """One element: its type follows from the first letter of its name, as in SPICE.

        Parameters
        ----------
        name, nodes:
            Local names, nodes in SPICE's order.
        value:
            Expression of its value, SI: ohm, F, H, A, V, S, or a ratio.
        branches:
            Elements whose currents it uses: of F and H the one that controls it, of K the two it couples.
        """
        kind = "dc " if name[0].lower() in "iv" else ""
        return " ".join([name, *nodes, *branches, kind + self._value(value)])

    def _value(self, text: str) -> str:
        """A value; a number needs no braces."""
        return text if text.isdecimal() else self.expression(text)

    def module(self, name: str, module: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
        """What SPICE has no element for, an instance of one of `spu.spice.modules`: its values are expressions."""
        return EXPRESSIONS[module](name, nodes, values)

    def modules(self, files: Sequence[Path]) -> list[str]:
        """What brings in the files of the modules that a netlist has instances of; nothing where it has expressions."""
        return []

    def waveform(self, name: str, node: str, at_dc: float, times: Sequence[float], volts: Sequence[float]) -> list[str]:
        """A voltage source over ground, of straight lines between instants."""
        points = [f"{number(t)} {number(value)}" for t, value in zip(times, volts, strict=True)]
        pairs = (f"+ {' '.join(points[k : k + 2])}" for k in range(0, len(points), 2))
        return [f"{name} {node} 0 dc {number(at_dc)} pwl(", *pairs, "+ )"]

    def silent_resistor(self, name: str, nodes: Sequence[str], value: str) -> str:
        """A resistor that makes no noise."""
        return f"{self.element(name, nodes, value)} {self.silence}"

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int, *, held: bool = False) -> list[str]:
        """A unit noise voltage on the node that bears the source's name; ``held`` ones have the period of a clock."""
        element, node = noise_element(source.name), source.name
        wave = f"dc 0 ac 0 trrandom(2 {'{tc} 0 {vc}' if held else '{ts} 0 {vn}'} 0)"
        if source.thermal:
            return [f"{element} {node} 0 {wave}"]
        return [f"{element} s_{node} 0 {wave}", f"r{node} s_{node} {node} {{rn}}"]

    def noise_headline(self) -> str:
        """What the noise sources do."""
        return "noise sources: sampled and held every ts in .tran; rn makes the same density in .noise"

    def clocked(self, clocked: Clocked) -> list[str]:
        """What the noise of a clock is, and what of it there is not here, beside parameters ``tc`` and ``vc``."""
        words = [f"{HELD} {clocked.words()}; .noise is of the white noise of the same density."]
        if not clocked.normal:
            words.append(
                "In .tran samples are normal, independent, of the same hold and rms; spu check replays the others."
            )
        return words

    def start(self, node: str, volts: float) -> str:
        """Where a node is at time zero."""
        return f".ic v({node})={number(volts)}"

    # --- subcircuits -----------------------------------------------------------------------

    def subcircuit(self, name: str, ports: Sequence[str], parameters: Mapping[str, float]) -> list[str]:
        """The opening of a subcircuit; parameters with what they are where an instance does not say."""
        return [" ".join([".subckt", name, *ports, *self._defaults(parameters)])]

    def derived(self, name: str, text: str) -> str:
        """A parameter inside a subcircuit that follows from those before it."""
        return f".param {name}={self.expression(text)}"

    def ends(self, name: str) -> str:
        """The end of a subcircuit."""
        return f".ends {name}"

    def instance(self, ports: int, template: str, parameters: Sequence[str]) -> str:
        """A format string for instances: name, nodes, values."""
        return " ".join(["{}", *["{}"] * ports, template, *self._settings(parameters)])

    def _defaults(self, parameters: Mapping[str, float]) -> list[str]:
        return [f"{name}={value!r}" for name, value in parameters.items()]

    def _settings(self, parameters: Sequence[str]) -> list[str]:
        return [f"{name}={{!r}}" for name in parameters]

    # --- analysis --------------------------------------------------------------------------

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        """What it does when run by itself: measure the variances by ``.noise``, and in ``.tran`` where it can."""
        step = number(wanted.sample_time)
        yield ".control"
        yield "set noaskquit"
        yield "set sqrnoise"
        yield "echo"
        yield "echo variances from .noise, integrated over frequency, V^2"
        for k, (probe, node, variance) in enumerate(zip(wanted.probes, wanted.nodes, wanted.variance, strict=True)):
            yield f"noise v({node}) {wanted.source} dec {wanted.per_decade} {wanted.low:.6g} {wanted.high:.6g}"
            yield f"setplot noise{2 * k + 1}"
            yield "let total = integ(onoise_spectrum)"
            yield "let found = total[length(total)-1]"
            yield f"echo RESULT noise {probe}: found $&found expected {variance:.9e}"
        yield "echo"
        yield (
            f"echo variances from .tran over {wanted.stop:.4g} s, V^2: "
            "scatter of a few per cent to tens of per cent is expected"
        )
        yield "save " + " ".join(f"v({node})" for node in wanted.nodes)
        start = " uic" if wanted.from_start else ""
        yield f"tran {step} {number(wanted.stop)} {number(wanted.settle)} {number(wanted.sample_time / 8)}{start}"
        yield "linearize"
        for probe, node, variance, centre in zip(wanted.probes, wanted.nodes, wanted.held, wanted.mean, strict=True):
            yield f"let deviation = v({node}) - mean(v({node}))"
            yield "let found = mean(deviation * deviation)"
            yield f"let centre = mean(v({node}))"
            yield f"echo RESULT tran {probe}: found $&found expected {variance:.9e} mean $&centre expected {centre:.9e}"
        yield "quit"
        yield ".endc"

    def network_analysis(self, wanted: NetworkMeasurement) -> Iterator[str]:
        """What a netlist of nonlinear cells does when run by itself: mean and variance of x from a transient."""
        yield ".control"
        yield "set noaskquit"
        yield "echo"
        yield f"echo mean and variance of x from .tran over {wanted.stop:.4g} s, which scatter"
        yield "save " + " ".join(f"v({vector})" for vector in wanted.vectors)
        yield (
            f"tran {number(wanted.sample_time)} {number(wanted.stop)} {number(wanted.settle)} "
            f"{number(wanted.limit)} uic"
        )
        yield "linearize"
        for k, (variable, vector) in enumerate(zip(wanted.variables, wanted.vectors, strict=True)):
            known = ["", ""]
            if wanted.mean[k] is not None:
                known = [f" expected {wanted.mean[k]:.6e}", f" expected {wanted.variance[k]:.6e}"]
            yield f"let x = v({vector}) * {number(wanted.gain[k])} + {number(wanted.offset[k])}"
            yield "let centre = mean(x)"
            yield "let spread = mean((x - centre) * (x - centre))"
            yield f"echo RESULT tran {variable}: mean $&centre{known[0]} variance $&spread{known[1]}"
        yield "quit"
        yield ".endc"


class Bracketed(Dialect):
    """Languages with nodes in parentheses, a master behind them, and expressions as they are: Spectre's, VACASK's."""

    remark = behind = "//"

    def end(self) -> list[str]:
        return []

    def expression(self, text: str) -> str:
        return text

    def parameter(self, name: str, value: float | str) -> str:
        return f"parameters {name}={value if isinstance(value, str) else number(value)}"

    def conserved(self) -> list[str]:
        return [
            self.comment(
                "A loop of inductors (or a node behind capacitors) keeps its flux (charge), which no operating"
            ),
            self.comment("point can tell: for noise and ac give one inductor of each loop a small series resistance."),
        ]

    def module(self, name: str, module: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
        settings = (f"{key}={value}" for key, value in values.items())
        return [" ".join([f"m{name}", f"({' '.join(nodes)})", f"spu_{module}", *settings])]

    def derived(self, name: str, text: str) -> str:
        return f"parameters {name}={text}"

    def subcircuit(self, name: str, ports: Sequence[str], parameters: Mapping[str, float]) -> list[str]:
        declared = [f"  parameters {' '.join(self._defaults(parameters))}"] if parameters else []
        return [f"subckt {name} ({' '.join(ports)})", *declared]

    def instance(self, ports: int, template: str, parameters: Sequence[str]) -> str:
        return " ".join(["{}", f"({' '.join(['{}'] * ports)})", template, *self._settings(parameters)])


class Stepped(Dialect):
    """One analysis a run, repeated for each cell: ``sel`` says which one stands on node ``probe``."""

    silence = "a transconductor each"
    says_all = False

    def silent_resistor(self, name: str, nodes: Sequence[str], value: str) -> str:
        """A transconductor controlled by its own voltage."""
        return self.element(f"g{name}", [*nodes, *nodes], f"1/({value})")

    def _defaults(self, parameters: Mapping[str, float]) -> list[str]:
        return ["params:", *super()._defaults(parameters)] if parameters else []

    def conserved(self) -> list[str]:
        return [
            self.comment(
                "A loop of inductors (or a node behind capacitors) keeps its flux (charge), which no operating"
            ),
            self.comment(
                "point can tell: for .noise and .ac give one inductor of each loop a small series resistance."
            ),
        ]

    def _probe(self, wanted: Measurement, selected: str) -> Iterator[str]:
        """A source that puts the chosen cell's voltage on node ``probe``; what to expect there."""
        for k, (probe, variance, mean) in enumerate(zip(wanted.probes, wanted.variance, wanted.mean, strict=True)):
            centre = f", mean {mean:.9e} V" if mean else ""
            yield self.comment(
                f"  sel {k + 1}: {probe}, variance {variance:.9e} V^2, rms {variance**0.5:.9e} V{centre}"
            )
        terms = [f"v({node})*max(0,1-abs({selected}-{k + 1}))" for k, node in enumerate(wanted.nodes)]
        yield from self._sum("bprobe probe 0", terms)

    def _sum(self, head: str, terms: Sequence[str]) -> Iterator[str]:
        """A behavioural voltage source of a sum, one term a line."""
        raise NotImplementedError


STRIDE = 1_000_000
"""Between the offsets of two sources in ``rand()``: more than the samples of a run."""


def expected(probe: str, variance: float, mean: float) -> str:
    """A comment that says what variance and mean to expect of a probe."""
    centre = f", mean {mean:.9e} V" if mean else ""
    return f"{probe}: variance {variance:.9e} V^2, rms {variance**0.5:.9e} V{centre}"
