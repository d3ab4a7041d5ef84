"""What simulators write differently: ngspice, LTspice, Xyce, Spectre.

`spu.spice.netlist` is the one writer. It asks a `Dialect` for each kind of line; the base class
writes ngspice's, and the others override what differs:

==================  ====================  ====================  ====================  ====================
what                ngspice               LTspice               Xyce                  Spectre
==================  ====================  ====================  ====================  ====================
comment             ``*``, ``;`` behind   as ngspice            as ngspice            ``//``
expression          ``{e}``               ``{e}``               ``{e}``               ``e``
``.subckt``         ``name=value``        ``params:`` first     ``params:`` first     ``parameters`` line
instance            ``x a b s c=1``       as ngspice            ``params:`` first     ``x (a b) s c=1``
element             letter says which     as ngspice            as ngspice            master behind nodes
silent resistor     ``noisy=0``           a VCCS onto itself    a VCCS onto itself    ``isnoisy=no``
inductor            as written            ``Rser=0 Rpar=1e15``  as written            as written
resistors' noise    ``.noise`` only       ``.noise`` only       ``.noise`` only       ``tran``, too
noise in ``.tran``  ``trrandom``          ``rand()``            a file                ``noisefmax=``
options             ``.options``          ``.options``          one package a line    ``options``
analysis            ``.control`` block    ``.step``, ``.meas``  ``.step``             ``noise``, ``tran``
==================  ====================  ====================  ====================  ====================

The rules that the three others rest on, and where they are documented:

LTspice (its help, pages of the names given)
    *.SUBCKT*: parameters behind ``params:``. *.PARAM*: expressions in braces. *R*: no parameter silences
    it (``noiseless`` does, users report, but is not documented). *G*: linear form. *L*: an inductor
    without ``Rser`` gets 1 milliohm, one without ``Rpar`` gets damping. *B*: ``rand(x)`` is uniform on 0
    to 1, one number for each integer part of x; sampled and held every ``ts`` that is white noise of
    density ``ts/6`` at low frequency. *.NOISE*: needs an independent source; one analysis a run.
    *.STEP param*, *.MEAS NOISE ... INTEG V(onoise)*: the rms over the sweep.
Xyce (Reference Guide, 2.1 and 2.3)
    *.SUBCKT* and *X*: ``PARAMS:``. *R*: no parameter silences it. *G*: linear form. *.PARAM*: constants;
    *.GLOBAL_PARAM*: what ``.STEP`` may change; reserved are Time, Freq, Vt, Temp, GMIN. *.NOISE*: one
    output; the integrals go to stdout. *V*: ``PWL FILE "name"``. *.OPTIONS DEVICE TEMP*, *TIMEINT*.
Spectre (Circuit Simulator Reference and Components Reference)
    ``name (nodes) master parameter=value``; ``subckt``, ``parameters``, ``ends``; names are case-sensitive;
    *resistor* ``isnoisy``; *vccs* ``gm``; *vcvs* ``gain``; *cccs* ``gain probe``; *ccvs* ``rm probe``;
    *mutual_inductor* ``coupling ind1 ind2``; *noise*: any number of analyses, each with its output nodes;
    *tran* ``noisefmax noiseseed``: all noise of the elements, up to that frequency.

Names are those of the device behind a prefix (``cell_``, ``x``): letters, digits and underscores, the
letter of the element first, never a number, different by more than case. Every dialect takes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spu.errors import InputError
from spu.names import shorten, suggest

if TYPE_CHECKING:
    from spu.circuit import NoiseSource


def number(value: float) -> str:
    """Shortest text that reads back as the same double, in a form every SPICE takes."""
    return repr(float(value))


def noise_element(source: str) -> str:
    """The voltage source of a noise source."""
    return f"v{source}"


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a netlist run by itself measures, and what is expected.

    Attributes
    ----------
    probes, nodes:
        Cells measured and their nodes.
    variance, mean:
        Expected, V^2 and V.
    source:
        Name of an independent voltage source, which ``.noise`` wants.
    low, high, per_decade:
        The sweep: Hz, Hz, points.
    sample_time, settle, stop:
        s: between noise samples, until the start is forgotten, and the end of the transient.
    seed, method:
        Of the transient: its noise, and the integration method (``trap`` or ``gear``).
    conserved:
        Whether there is no operating point to start from.
    """

    probes: Sequence[str]
    nodes: Sequence[str]
    variance: Sequence[float]
    mean: Sequence[float]
    source: str
    low: float
    high: float
    per_decade: int
    sample_time: float
    settle: float
    stop: float
    seed: int
    method: str
    conserved: bool


@dataclass(frozen=True)
class Tolerances:
    """Simulator options: temperature (degrees Celsius), seed, integration method, absolute tolerances (V, A, C)."""

    temperature: float
    seed: int
    method: str
    voltage: float
    current: float
    charge: float


_TOLERANCES = "Tolerances below the signals, which are far smaller than the defaults expect."


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
    remark, behind:
        What begins a comment, on a line of its own and behind a statement.
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
    remark = "*"
    behind = ";"

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
        return [
            "* Tolerances below the signals, which are far smaller than the defaults expect; tighter ones make",
            "* ngspice stop with 'timestep too small' where time constants spread over many decades.",
            f".options temp={number(chosen.temperature)} seed={chosen.seed} method={chosen.method} reltol=1e-4",
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
        return " ".join([name, *nodes, *branches, kind + self.expression(value)])

    def silent_resistor(self, name: str, nodes: Sequence[str], value: str) -> str:
        """A resistor that makes no noise."""
        return f"{self.element(name, nodes, value)} {self.silence}"

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int) -> list[str]:
        """A unit noise voltage on the node that bears the source's name."""
        element, node = noise_element(source.name), source.name
        wave = "dc 0 ac 0 trrandom(2 {ts} 0 {vn} 0)"
        if source.thermal:
            return [f"{element} {node} 0 {wave}"]
        return [f"{element} s_{node} 0 {wave}", f"r{node} s_{node} {node} {{rn}}"]

    def noise_headline(self) -> str:
        """What the noise sources do."""
        return "noise sources: sampled and held every ts in .tran; rn makes the same density in .noise"

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
        start = " uic" if wanted.conserved else ""
        yield f"tran {step} {number(wanted.stop)} {number(wanted.settle)} {number(wanted.sample_time / 8)}{start}"
        yield "linearize"
        for probe, node, variance, centre in zip(
            wanted.probes, wanted.nodes, wanted.variance, wanted.mean, strict=True
        ):
            yield f"let deviation = v({node}) - mean(v({node}))"
            yield "let found = mean(deviation * deviation)"
            yield f"let centre = mean(v({node}))"
            yield f"echo RESULT tran {probe}: found $&found expected {variance:.9e} mean $&centre expected {centre:.9e}"
        yield "quit"
        yield ".endc"


class _Stepped(Dialect):
    """One analysis a run, repeated for each cell: ``sel`` says which one stands on node ``probe``."""

    silence = "a transconductor each"

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


class LTspice(_Stepped):
    """LTspice (help of XVII)."""

    name = "ltspice"
    program = "LTspice"
    ending = ".ltspice.cir"
    run = (
        "Run it:      LTspice -b {file}     (or open it; no other file needed)",
        "For each step its log gives the rms of one cell by .noise, to be compared with the list at the end.",
    )
    amplitude = 12.0
    """Inverse variance of ``rand()``, uniform on 0 to 1."""

    def options(self, chosen: Tolerances) -> list[str]:
        """No seed: the offsets in ``rand()`` are."""
        return [
            self.comment(_TOLERANCES),
            f".options temp={number(chosen.temperature)} method={chosen.method} reltol=1e-4",
            f"+ vntol={chosen.voltage:.0e} abstol={chosen.current:.0e} chgtol={chosen.charge:.0e}",
        ]

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        """As ngspice's, with inductors that are inductors only."""
        line = super().element(name, nodes, value, branches)
        return f"{line} Rser=0 Rpar=1e15" if name[0].lower() == "l" else line

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int) -> list[str]:
        """``rand()`` sampled and held; a source of its own for ``.ac`` and ``.noise`` in series."""
        element, node = noise_element(source.name), source.name
        offset = (number_of_it + 1) * _STRIDE + seed % _STRIDE
        behind = node if source.thermal else f"s_{node}"
        lines = [
            f"b{node} b_{node} 0 V={{vn*sqrt({self.amplitude:g})}}*(rand(time/{{ts}}+{offset})-0.5)",
            f"{element} {behind} b_{node} dc 0 ac 0",
        ]
        return lines if source.thermal else [*lines, f"r{node} s_{node} {node} {{rn}}"]

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        yield "* Expected of each cell:"
        yield from self._probe(wanted, "{sel}")
        yield f".step param sel 1 {len(wanted.nodes)} 1"
        yield f".noise v(probe) {wanted.source} dec {wanted.per_decade} {wanted.low:.6g} {wanted.high:.6g}"
        yield ".meas noise found_rms integ v(onoise)"
        yield "* LTspice runs one analysis: for the transient put a * before the two lines .step and .noise, and take"
        yield "* that before .tran away. The variance is rms^2 - mean^2; a few per cent of scatter are expected."
        start = " uic" if wanted.conserved else ""
        step = number(wanted.sample_time / 8)
        yield f"* .tran 0 {number(wanted.stop)} {number(wanted.settle)} {step}{start}"
        for probe, node in zip(wanted.probes, wanted.nodes, strict=True):
            yield f".meas tran mean_{probe} avg v({node})"
            yield f".meas tran rms_{probe} rms v({node})"

    def _sum(self, head: str, terms: Sequence[str]) -> Iterator[str]:
        yield f"{head} V={terms[0]}"
        yield from (f"+ +{term}" for term in terms[1:])


_STRIDE = 1_000_000
"""Between the offsets of two sources in ``rand()``: more than the samples of a run."""


class Xyce(_Stepped):
    """Xyce (7 and later)."""

    name = "xyce"
    program = "Xyce"
    ending = ".xyce.cir"
    run = (
        "Run it:      Xyce {file}     (no other file needed)",
        "It prints, for each step, the total output noise of one cell (V^2), to be compared with the list at the end.",
    )

    def options(self, chosen: Tolerances) -> list[str]:
        return [
            self.comment(_TOLERANCES),
            f".options device temp={number(chosen.temperature)}",
            f".options timeint method={chosen.method} reltol=1e-4 abstol={chosen.voltage:.0e}",
        ]

    def _settings(self, parameters: Sequence[str]) -> list[str]:
        return ["params:", *super()._settings(parameters)] if parameters else []

    def noise_headline(self) -> str:
        return "noise sources: rn makes the noise in .noise; for .tran, replay samples (see the end)"

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int) -> list[str]:
        element, node = noise_element(source.name), source.name
        if source.thermal:
            return [f"{element} {node} 0 dc 0 ac 0"]
        return [f"{element} s_{node} 0 dc 0 ac 0", f"r{node} s_{node} {node} {{rn}}"]

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        yield "* Expected of each cell:"
        yield from self._probe(wanted, "sel")
        yield ".global_param sel=1"
        yield f".step sel 1 {len(wanted.nodes)} 1"
        yield f".noise v(probe) {wanted.source} dec {wanted.per_decade} {wanted.low:.6g} {wanted.high:.6g}"
        yield ".print noise onoise"
        step = number(wanted.sample_time)
        yield "* Xyce makes no noise in .tran. To replay some, write files of lines 'time, volts', one sample of rms vn"
        yield f'* every ts, append  pwl file "NAME.csv"  to each source {wanted.source}..., and instead of the lines'
        yield "* .step, .noise and .print noise run"
        start = " uic" if wanted.conserved else ""
        yield f"* .tran {step} {number(wanted.stop)} {number(wanted.settle)} {number(wanted.sample_time / 8)}{start}"
        yield f"* .print tran v({wanted.nodes[0]})"

    def _sum(self, head: str, terms: Sequence[str]) -> Iterator[str]:
        yield f"{head} v={{{terms[0]}"
        yield from (f"+ +{term}" for term in terms[1:])
        yield "+ }"


def _expected(probe: str, variance: float, mean: float) -> str:
    centre = f", mean {mean:.9e} V" if mean else ""
    return f"{probe}: variance {variance:.9e} V^2, rms {variance**0.5:.9e} V{centre}"


_MASTERS: Mapping[str, tuple[str, str]] = {
    "r": ("resistor", "r"),
    "c": ("capacitor", "c"),
    "l": ("inductor", "l"),
    "i": ("isource", "dc"),
    "v": ("vsource", "dc"),
    "g": ("vccs", "gm"),
    "e": ("vcvs", "gain"),
    "f": ("cccs", "gain"),
    "h": ("ccvs", "rm"),
    "k": ("mutual_inductor", "coupling"),
}
"""Spectre's masters of SPICE's element letters, and the parameter that holds the value."""


class Spectre(Dialect):
    """Spectre's own language."""

    name = "spectre"
    program = "Spectre"
    ending = ".spectre.scs"
    run = (
        "Run it:      spectre {file}     (no other file needed)",
        "The noise analysis of a cell integrates to its variance, the transient's waveforms have it.",
    )
    thermal_sources = False
    silence = "isnoisy=no"
    remark = behind = "//"

    def title(self, text: str) -> list[str]:
        return [f"// {text}", "simulator lang=spectre", "global 0"]

    def end(self) -> list[str]:
        return []

    def expression(self, text: str) -> str:
        return text

    def parameter(self, name: str, value: float | str) -> str:
        return f"parameters {name}={value if isinstance(value, str) else number(value)}"

    def options(self, chosen: Tolerances) -> list[str]:
        """Temperature and tolerances; the method stands with ``tran``."""
        return [
            self.comment(_TOLERANCES),
            f"simulatorOptions options temp={number(chosen.temperature)} reltol=1e-4 "
            f"vabstol={chosen.voltage:.0e} iabstol={chosen.current:.0e}",
        ]

    def conserved(self) -> list[str]:
        return [
            self.comment(
                "A loop of inductors (or a node behind capacitors) keeps its flux (charge), which no operating"
            ),
            self.comment("point can tell: for noise and ac give one inductor of each loop a small series resistance."),
        ]

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        letter = name[0].lower()
        master, key = _MASTERS[letter]
        around = f"({' '.join(nodes)})"
        if letter == "k":
            return f"{name} {master} {key}={value} ind1={branches[0]} ind2={branches[1]}"
        probes = [f"probe={branch}" for branch in branches]
        return " ".join([name, around, master, f"{key}={value}", *probes])

    def noise_headline(self) -> str:
        return "noise sources: rn makes the noise in noise and tran; the voltage source is for ac"

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int) -> list[str]:
        element, node = noise_element(source.name), source.name
        return [f"{element} (s_{node} 0) vsource dc=0 mag=0", f"r{node} (s_{node} {node}) resistor r=rn"]

    def derived(self, name: str, text: str) -> str:
        return f"parameters {name}={text}"

    def subcircuit(self, name: str, ports: Sequence[str], parameters: Mapping[str, float]) -> list[str]:
        declared = [f"  parameters {' '.join(self._defaults(parameters))}"] if parameters else []
        return [f"subckt {name} ({' '.join(ports)})", *declared]

    def ends(self, name: str) -> str:
        return f"ends {name}"

    def instance(self, ports: int, template: str, parameters: Sequence[str]) -> str:
        return " ".join(["{}", f"({' '.join(['{}'] * ports)})", template, *self._settings(parameters)])

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        sweep = f"start={wanted.low:.6g} stop={wanted.high:.6g} dec={wanted.per_decade}"
        yield self.comment("Expected of each cell: out^2 (V^2/Hz) integrated over frequency")
        for probe, node, variance, mean in zip(wanted.probes, wanted.nodes, wanted.variance, wanted.mean, strict=True):
            yield self.comment(f"  {_expected(probe, variance, mean)}")
            yield f"noise_{probe} ({node} 0) noise {sweep}"
        yield self.comment("Noise up to 1/(2 ts), as of samples every ts; a few per cent of scatter are expected.")
        step = wanted.sample_time
        skip = " skipdc=yes" if wanted.conserved else ""
        yield (
            f"transient tran stop={number(wanted.stop)} outputstart={number(wanted.settle)} "
            f"maxstep={number(step / 8)} strobeperiod={number(step)} \\"
        )
        method = {"gear": "gear2only"}.get(wanted.method, wanted.method)
        yield f"  method={method} noisefmax={number(1 / (2 * step))} noiseseed={wanted.seed + 1}{skip}"
        yield "save " + " ".join(wanted.nodes)


DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (Dialect(), LTspice(), Xyce(), Spectre())}
"""Dialects by name; ngspice is what ``device.cir`` is written in and `spu.check` runs."""

NGSPICE = DIALECTS["ngspice"]


def find_dialect(name: str) -> Dialect:
    """The dialect of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    found = DIALECTS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"no dialect {shorten(name)}: {suggest(name, DIALECTS)}")
    return found
