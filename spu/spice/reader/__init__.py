"""A SPICE netlist as a `Circuit`: what designers draw elsewhere, for the same equations and the same checks.

In the order of the work: `lines` (files to logical lines), `statements` (to definitions), `elaborate` with
`scopes`, `expressions` and `placed` (to elements with numbers), `noise` and `readout` (what is heard and
what is read), `build` (to templates and instances). What is not understood is refused with file and line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spu.base.display import Shown
from spu.base.errors import InputError, UsageError
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit
from spu.circuit.clocked import Clocked
from spu.circuit.elements import CurrentSource, VoltageSource
from spu.device.readout_chain import OUTPUT, READOUT
from spu.problems.problem import Problem
from spu.spice.names import HELD
from spu.spice.reader.build import build, live_nodes
from spu.spice.reader.converters import acquisition_read, without_converters
from spu.spice.reader.elaborate import Elaborated, elaborate
from spu.spice.reader.limits import MAX_INSTANCES, bytes_for
from spu.spice.reader.lines import Source, read_source
from spu.spice.reader.noise import NoiseRow, Waving, find_noise
from spu.spice.reader.readout import Probe, choose_probes
from spu.spice.reader.starts import start_of
from spu.spice.reader.statements import Program, read_program

__all__ = ["Choices", "InputRow", "ReadNetlist", "read_netlist"]


@dataclass(frozen=True)
class Choices:
    """What the user says of a netlist that it does not say itself.

    Attributes
    ----------
    probes:
        What is read out: ``NODE``, ``NODE1,NODE2``, ``NAME=NODE``; empty for what the netlist's conventions say.
    silent:
        Resistors and sources that make no noise.
    densities:
        One-sided densities (V^2/Hz, A^2/Hz) of sources that stand for white noise.
    max_instances:
        Most expansions of subcircuits; the work allowed grows with it.
    include_outside, ignore_control:
        Follow includes out of the deck's folder; go on without control blocks that do more than analyses.
    """

    probes: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    densities: Mapping[str, float] = field(default_factory=dict)
    max_instances: int = MAX_INSTANCES
    include_outside: bool = False
    ignore_control: bool = False


@dataclass(frozen=True)
class InputRow:
    """An independent source that is not noise, for the table: its constant value, and whether ``.ac`` drives it."""

    name: str
    value: float
    unit: str
    ac: bool


@dataclass(frozen=True, eq=False)
class ReadNetlist(Shown):
    """A netlist as read.

    Attributes
    ----------
    path, files:
        The deck, and all files that were read.
    title:
        Its first line.
    circuit:
        Ready for `spu.predict` and `spu.simulate`.
    noise:
        What counts as noise, in the order of ``circuit.sources``.
    inputs:
        Independent sources that are not noise.
    probes, probed_by:
        What is read out, and why that.
    notes:
        What the user should know besides.
    text:
        The deck as one self-contained file.
    choices:
        With which it was read.
    conventional:
        Whether every noise source NAME is the deck's own element vNAME, and every readout NAME its node cell_NAME,
        as in our own netlists, which a check runs as they are; to others it adds lines.
    waving:
        Independent sources whose lines say more than a constant value.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("divider.cir").write_text('''a divider
    ... r1 in out 1k
    ... r2 out 0 1k
    ... c1 out 0 1n
    ... v1 in 0 2
    ... .end
    ... ''')
    >>> found = spu.read_netlist("divider.cir", probes=["out"])
    >>> found.title, [row.name for row in found.noise], [(row.name, row.value) for row in found.inputs]
    ('a divider', ['r1', 'r2'], [('v1', 2.0)])
    """

    path: Path
    files: tuple[Path, ...]
    title: str
    circuit: Circuit
    noise: tuple[NoiseRow, ...]
    inputs: tuple[InputRow, ...]
    probes: tuple[Probe, ...]
    probed_by: str
    notes: tuple[str, ...]
    text: str
    choices: Choices
    conventional: bool
    waving: tuple[Waving, ...]

    @property
    def subject(self) -> Circuit:
        """The circuit: what is predicted, simulated and checked."""
        return self.circuit


def read_netlist(
    path: str | Path,
    *,
    probes: Sequence[str] = (),
    silent: Sequence[str] = (),
    densities: Mapping[str, float] | None = None,
    max_instances: int = MAX_INSTANCES,
    include_outside: bool = False,
    ignore_control: bool = False,
    problem: Problem | None = None,
    at_start: bool = False,
    heard: str = "",
) -> ReadNetlist:
    """Read a SPICE netlist of linear elements: R, L, C, K, V, I, E, F, G, H, linear B, and X.

    Parameters
    ----------
    path:
        A deck for ngspice, LTspice or another SPICE: ``.cir``, ``.net``...
    probes, silent, densities, max_instances, include_outside, ignore_control:
        As `Choices` says.
    problem:
        What the circuit is meant to compute.
    at_start:
        Take sources with waveforms as they are at the start, instead of refusing them.
    heard:
        ``noise`` or ``tran``: only what that analysis hears, resistors or random sources; else both, and what stands
        for one noise in each is one.

    Raises
    ------
    InputError
        If a file cannot be read, or an option names what is not there.
    DeckError
        With file and line, for what is not understood; `NonlinearNetlist`, one of these, for parts that
        only ngspice can run.
    CircuitError
        If it has no elements.

    Examples
    --------
    The noise of a low pass is kT/C, whatever its resistor:

    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("low_pass.cir").write_text('''a low pass
    ... v1 in 0 0
    ... r1 in out 1k
    ... c1 out 0 1n
    ... .end
    ... ''')
    >>> found = spu.read_netlist("low_pass.cir", probes=["out"])
    >>> f"{spu.predict(found).covariance[0, 0]:.3e} V^2"
    '4.144e-12 V^2'
    """
    if max_instances < 1:
        raise UsageError(f"max_instances must be positive, not {max_instances}")
    choices = Choices(
        tuple(probes), tuple(silent), dict(densities or {}), max_instances, include_outside, ignore_control
    )
    source = read_source(
        path,
        include_outside=include_outside,
        ignore_control=ignore_control,
        max_bytes=bytes_for(max_instances),
    )
    lines, read = without_converters(source.lines)
    program = read_program(lines, str(path))
    deck = elaborate(program, max_instances)
    noisy = find_noise(deck, choices.silent, choices.densities, at_start=at_start, heard=heard)
    nodes = [deck.node_names[k] for k in live_nodes(deck, noisy)]
    chosen = choose_probes(source, nodes, choices.probes, str(path))
    if problem is not None and problem.variables != chosen.readout.variables:
        raise UsageError(
            f"the problem's variables are {', '.join(problem.variables[:6])}, what is read out is "
            f"{', '.join(chosen.readout.variables[:6])}: name probes with spu import --probe NAME=NODE"
        )
    text = self_contained(source, Path(path))
    circuit = build(deck, noisy, chosen, _hash(text, choices), problem)
    start = start_of(source.lines, chosen.probes)
    circuit = circuit if start is None else replace(circuit, start=start)
    try:
        acquisition = acquisition_read(source.comments, read, [probe.plus for probe in chosen.probes])
    except InputError as error:
        raise InputError(error.message, file=str(path)) from None
    circuit = circuit if acquisition is None else replace(circuit, acquisition=acquisition)
    conventional = _conventional(circuit, chosen.probes, program)
    circuit, clock = _on_a_clock(circuit, noisy.table, source, conventional)
    return ReadNetlist(
        path=Path(path),
        files=tuple(source.files),
        title=source.title.strip(),
        circuit=circuit,
        noise=tuple(noisy.table),
        inputs=tuple(_inputs(deck)),
        probes=chosen.probes,
        probed_by=chosen.why,
        notes=(*noisy.notes, *chosen.notes, *clock),
        text=text,
        choices=choices,
        conventional=conventional,
        waving=tuple(noisy.waving),
    )


def _conventional(circuit: Circuit, probes: Sequence[Probe], program: Program) -> bool:
    sources = {statement.name for statement in program.top.statements if statement.name[0] == "v"}
    return all(f"v{source.name}".lower() in sources for source in circuit.sources) and all(
        probe.minus == "0" and probe.plus in (f"cell_{probe.name}".lower(), f"x{READOUT}_{probe.name}.{OUTPUT}".lower())
        for probe in probes
    )


def _on_a_clock(
    circuit: Circuit, table: Sequence[NoiseRow], source: Source, conventional: bool
) -> tuple[Circuit, tuple[str, ...]]:
    """The circuit with the clock that makes its injected noise, where the header says that one does; and what to note.

    What the netlist holds is normal samples, whatever a register or a converter makes of them in the device.
    """
    said = next((comment.partition(HELD)[2] for comment in source.comments if HELD in comment), None)
    if said is None:
        return circuit, ()
    held = [not one.thermal and row.kind == "trrandom" for one, row in zip(circuit.sources, table, strict=True)]
    periods = {row.hold for row, each in zip(table, held, strict=True) if each}
    if not conventional or len(periods) != 1:
        return circuit, ("its injected noise is held by a clock: counted as white noise of the same density",)
    sources = [replace(one, clocked=each) for one, each in zip(circuit.sources, held, strict=True)]
    (period,) = periods
    words = said.partition(";")[0].strip()
    notes = [f"its injected noise is held for {period:.4g} s by a clock, and read so"]
    if words != Clocked(1.0).words():
        notes.append(f"the header says more of it ({words}): in the netlist, and so here, samples are normal")
    return replace(circuit, sources=Lazy.of(sources), clocked=Clocked(1.0 / period)), tuple(notes)


def _inputs(deck: Elaborated) -> list[InputRow]:
    rows = []
    for expansion in deck.expansions:
        for element in expansion.elements:
            if element.kind in (VoltageSource, CurrentSource) and element.wave is None:
                unit = "V" if element.kind is VoltageSource else "A"
                rows.append(InputRow(expansion.name_of(element), element.value, unit, element.ac))
    return rows


def _hash(text: str, choices: Choices) -> str:
    said = json.dumps([choices.probes, choices.silent, sorted(choices.densities.items())])
    return hashlib.sha256(f"{said}\n{text}".encode()).hexdigest()[:12]


def self_contained(source: Source, path: Path) -> str:
    """The deck by itself: as it lies there if it is one plain file, else its logical lines."""
    if source.verbatim is not None:
        return source.verbatim
    title = source.title.strip()
    printed = [title if title and title[0] not in "*." else f"* {path.name}"]
    printed += [f"*{comment}" for comment in source.comments if not comment.startswith(("#", "ng_script"))]
    printed += [line.text for line in (*source.lines, *source.output)]
    return "\n".join([*printed, ".end", ""])
