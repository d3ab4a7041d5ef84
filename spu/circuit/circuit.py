"""From a device to subcircuits, instances and noise sources: the one circuit behind both back ends.

A `Circuit` holds no device. It is subcircuits (templates of `spu.circuit.elements`), instances of
them as columns (names, nodes, parameter arrays), independent unit noise sources on nodes of
their own, and what is read out. The emulator stamps it (`spu.circuit.stamps`), the netlist prints it
(`spu.spice.netlist`). Names are made as they are read (`spu.base.sequences.Lazy`): half a million
couplers cost arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.errors import CircuitError
from spu.base.expressions import Expression
from spu.base.sequences import Lazy
from spu.circuit.acquisition import Acquisition
from spu.circuit.clocked import Clocked
from spu.circuit.elements import Element, Inductor, MutualInductance
from spu.circuit.ramp import Ramp
from spu.circuit.readout import Readout
from spu.circuit.scales import Scales
from spu.circuit.stamps import Stamps

if TYPE_CHECKING:
    from spu.problems.problem import Problem


@dataclass(frozen=True)
class Subcircuit:
    """A named template: ports (electrical first, then noise), parameters, elements.

    Attributes
    ----------
    parameters:
        Those that instances give values.
    constants:
        Those that have one value for all instances, and
    derived:
        those that follow from others, each of which stands before it.
    codes:
        Parameters that are the code of a bank: name -> least and greatest.

    Raises
    ------
    CircuitError
        If an element uses the branch of another that is not there, or is of another kind.
    """

    name: str
    ports: tuple[str, ...]
    parameters: tuple[str, ...]
    elements: tuple[Element, ...]
    meaning: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    derived: Mapping[str, Expression] = field(default_factory=dict)
    codes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {element.name: element for element in self.elements}
        for element in self.elements:
            for name in element.branches:
                if name not in kinds:
                    raise CircuitError(f"{element.name} of {self.name} names {name}, which is not an element there")
                inductor = isinstance(kinds[name], Inductor)
                if isinstance(element, MutualInductance):
                    if not inductor:
                        raise CircuitError(f"{element.name} of {self.name} couples {name}, which is no inductor")
                elif inductor or not kinds[name].has_branch:
                    # As SPICE has it: the current of an inductor is not to be had there.
                    raise CircuitError(
                        f"{element.name} of {self.name} uses the current of {name}, which is no voltage source: "
                        "put one of 0 V in series"
                    )

    @property
    def internal_nodes(self) -> tuple[str, ...]:
        """Local nodes that are neither ports nor ground, in order of appearance."""
        found: dict[str, None] = {}
        outside = {"0", *self.ports}
        for element in self.elements:
            for node in element.nodes:
                if node not in outside:
                    found[node] = None
        return tuple(found)


class Shown(Protocol):
    """How a value is shown: under which heading, in which unit, by how many digits, and what of it."""

    @property
    def heading(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def digits(self) -> int: ...

    @property
    def shown(self) -> Callable[[float], float]: ...


@dataclass(frozen=True, eq=False)
class Instances:
    """All instances of one subcircuit: k names, (k, ports) nodes, ``{parameter: (k,)}`` values.

    ``parameters`` has the values of all elements; ``settings`` what stands in a netlist, a line each: the
    subcircuit's ``parameters``, of which its constants and derived ones make the rest. None where these are the same.
    ``figures`` says for people what codes stand for: how a value is shown, and (k,) values.

    ``nodes`` holds numbers of circuit nodes for electrical ports (-1 is ground) and numbers of
    noise sources for noise ports.
    """

    subcircuit: Subcircuit
    names: Lazy[str]
    nodes: IntArray
    parameters: dict[str, FloatArray]
    settings: dict[str, FloatArray | IntArray] | None = None
    figures: Sequence[tuple[Shown, FloatArray]] = ()


@dataclass(frozen=True)
class Origin:
    """Where a noise source sits in the netlist that it was read from.

    Attributes
    ----------
    gain:
        A or V that it makes there for each volt of the unit source.
    element:
        The independent source that makes it in ``.tran``, ``x1.i1``; empty where only a resistor makes it.
    nodes:
        Of such a resistor, as ngspice flattens them: its noise current flows from the first to the second.
    resistor:
        The resistor that makes it in ``.noise``, ``x1.r1``; empty where ``.noise`` is deaf to it.
    stated:
        Whether the netlist itself says how strong it is (a user may have said it instead).
    """

    gain: float
    element: str = ""
    nodes: tuple[str, str] = ("0", "0")
    resistor: str = ""
    stated: bool = True


@dataclass(frozen=True)
class NoiseSource:
    """An independent white noise voltage of unit density (`UNIT_NOISE_DENSITY`).

    ``thermal`` ones carry the noise of a resistor that ``.noise`` already knows about; ``clocked`` ones are white no
    more where the circuit has a clock (`Circuit.clocked`). Those of a netlist that was read know their ``origin``.
    """

    name: str
    thermal: bool
    origin: Origin | None = None
    clocked: bool = False


@dataclass(frozen=True, eq=False)
class Circuit:
    """What both back ends take.

    Attributes
    ----------
    temperature:
        K.
    nodes:
        Names of the electrical nodes but ground.
    instances:
        One `Instances` a subcircuit.
    sources:
        The noise sources.
    probes:
        Names of what is read out, (p,) and their nodes, (p, 2) with -1 for ground.
    readout:
        From the p probe voltages to problem variables.
    hash:
        Of what it was made from, a device or a netlist: circuits with the same one are alike, but for last bits.
    content:
        The same to the last bit; empty where the hash says that, too.
    problem:
        What it is meant to compute, where that is known.
    scales:
        How it holds that problem's units, where it is a thermodynamic network.
    clocked:
        What makes its injected noise (`NoiseSource.clocked`); None where that is white.
    start:
        (p,) V of the probes at time zero, where transients begin; None where that is not said.
    ramp:
        Factors in time of its elements that have one (`Element.factor`). All that is said of the circuit as it stands
        (`flatten`, the equations, the laws) is at its end; `frozen` gives the others.
    acquisition:
        How its readouts are taken; None of whoever reads voltages as they are. The equations and laws are of the
        voltages at the converter.
    from_netlist:
        Whether it was read from a netlist, and nodes are called as there; those of a device are called as its cells.
    """

    temperature: float
    nodes: Lazy[str]
    instances: list[Instances]
    sources: Lazy[NoiseSource]
    probes: Lazy[str]
    probe_nodes: IntArray
    readout: Readout
    hash: str
    problem: Problem | None = None
    content: str = ""
    scales: Scales | None = None
    ramp: Ramp | None = None
    start: FloatArray | None = None
    acquisition: Acquisition | None = None
    clocked: Clocked | None = None
    from_netlist: bool = False

    def frozen(self, couplers: float = 1.0, noise: float = 1.0) -> Circuit:
        """The circuit as it stands while the factors of its ramp have these values; kept with it.

        Raises
        ------
        CircuitError
            If an element cannot have another strength.
        """
        name = f"frozen at {couplers!r}, {noise!r}"
        if name not in self.kept:
            self.kept[name] = self.at(couplers, noise)
        found: Circuit = self.kept[name]
        return found

    def at(self, couplers: float, noise: float) -> Circuit:
        """The same, not kept: for whoever takes many."""
        name = f"frozen at {couplers!r}, {noise!r}"
        content = self.content and f"{self.content} {name}"
        return replace(self, ramp=Ramp.constant(couplers, noise), hash=f"{self.hash} {name}", content=content)

    @property
    def ramped(self) -> bool:
        """Whether anything of it varies in time."""
        return self.ramp is not None and any(self.ramp.varies(name) for name in ("couplers", "noise"))

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What followed from it so far, by name: a circuit does not change, so that it is worked out once."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "kept"}

    def members(self) -> list[Circuit]:
        """Itself: a circuit has one programming (as `Device.members`, for whoever takes either)."""
        return [self]

    @property
    def reads_inside(self) -> bool:
        """Whether what is read are nodes inside instances: sense nodes, or outputs of readouts."""
        return bool((self.probe_nodes >= len(self.nodes)).any())

    @property
    def nonlinear(self) -> bool:
        """Whether any element is not linear, or couples fluxes: see `spu.emulator.equations.langevin`."""
        return any(not element.linear for group in self.instances for element in group.subcircuit.elements)

    def flatten(self) -> Iterator[FlatElements]:
        """Every element over all its instances, with global nodes; internal nodes and branches get numbers."""
        factors = {} if self.ramp is None else dict(zip(("couplers", "noise"), self.ramp.end, strict=True))
        next_node, next_branch = len(self.nodes), 0
        for group in self.instances:
            template = group.subcircuit
            count = len(group.names)
            local: dict[str, IntArray] = {"0": np.full(count, GROUND, dtype=np.int64)}
            for k, port in enumerate(template.ports):
                local[port] = group.nodes[:, k]
            for node in template.internal_nodes:
                local[node] = np.arange(next_node, next_node + count)
                next_node += count
            own: dict[str, IntArray] = {}
            for element in template.elements:
                if element.has_branch:
                    own[element.name] = np.arange(next_branch, next_branch + count)
                    next_branch += count
            for element in template.elements:
                names = (element.name, *element.branches) if element.has_branch else element.branches
                yield FlatElements(
                    element,
                    group,
                    [local[node] for node in element.nodes],
                    None if element.noise_port is None else local[element.noise_port],
                    [own[name] for name in names],
                    factors.get(element.factor, 1.0),
                )

    def node_names(self) -> Lazy[str]:
        """Names of all nodes, internal ones after the circuit's own, as ngspice flattens them."""
        names = Lazy.of(self.nodes)
        for group in self.instances:
            for node in group.subcircuit.internal_nodes:
                names += mapped(f"{{}}.{node}", group.names)
        return names


@dataclass(frozen=True, eq=False)
class FlatElements:
    """One element of a subcircuit over all its instances; ``factor`` times as strong as its parameters say."""

    element: Element
    group: Instances
    nodes: list[IntArray]
    noise: IntArray | None
    branches: list[IntArray]
    factor: float = 1.0

    @property
    def values(self) -> FloatArray:
        """(k,) values, SI; of an element with several coefficients (k, c)."""
        names = self.element.parameters
        if len(names) > 1:
            found = np.column_stack([self.group.parameters[name] for name in names])
        else:
            found = self.group.parameters[names[0]]
        return found if self.factor == 1.0 else self.element.at(found, self.factor)


def mapped(form: str, names: Sequence[str]) -> Lazy[str]:
    """Each name put into a format string."""
    return Lazy((len(names), partial(_form, form, names)))


def _form(form: str, names: Sequence[str], k: int) -> str:
    return form.format(names[k])


def stamp_circuit(circuit: Circuit) -> tuple[Stamps, Lazy[str]]:
    """Stamp every element of a circuit; returns the stamps and the names of all unknowns."""
    nodes = circuit.node_names()
    names = mapped("v({})", nodes)
    elements = list(circuit.flatten())
    branches = [flat for flat in elements if flat.element.has_branch]
    currents = [mapped(f"i({flat.element.name} of {{}})", flat.group.names) for flat in branches]
    names = Lazy.joined([names, *currents])
    stamps = Stamps(len(nodes), len(names) - len(nodes), len(circuit.sources), circuit.temperature)
    for each in _bundled(elements):
        each.element.stamp(stamps, each.nodes, each.noise, each.values, each.branches)
    return stamps, names


_MANY = 256
"""Elements of one kind that a subcircuit of a single instance has, from which on they are stamped together."""


@dataclass(frozen=True, eq=False)
class _Bundle:
    """Elements of one kind, as if they were instances of one; what `FlatElements` gives to a stamp."""

    element: Element
    nodes: list[IntArray]
    noise: IntArray | None
    values: FloatArray
    branches: list[IntArray]


def _bundled(elements: Sequence[FlatElements]) -> Iterator[FlatElements | _Bundle]:
    """The elements, those of long flat netlists by their kinds: thousands of arrays of one number take their time."""
    kinds: dict[tuple[object, ...], list[FlatElements]] = {}
    for flat in elements:
        element = flat.element
        alone = len(flat.group.names) == 1 and element.linear
        kind = (id(flat.group), type(element), flat.noise is None, len(element.parameters), len(flat.branches))
        kinds.setdefault(kind if alone else (id(flat),), []).append(flat)
    for many in kinds.values():
        if len(many) < _MANY or any(np.iscomplexobj(values) for values in many[0].group.parameters.values()):
            yield from many
            continue
        yield _Bundle(
            many[0].element,
            [np.concatenate(ends) for ends in zip(*(flat.nodes for flat in many), strict=True)],
            None if many[0].noise is None else np.concatenate([flat.noise for flat in many if flat.noise is not None]),
            np.concatenate([flat.values for flat in many]),
            [np.concatenate(own) for own in zip(*(flat.branches for flat in many), strict=True)],
        )
