"""From a device to its circuit: subcircuits, instances, noise sources, probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import GROUND
from spu.base.errors import InputError
from spu.base.names import shorten
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, NoiseSource, Subcircuit, mapped
from spu.circuit.elements import AmplifierNoise, NoiseCurrent, NoiseVoltage, SharedNoiseCurrent
from spu.circuit.ramp import Ramp
from spu.device.build import Realisation, code_of, error_of, node_parasitics, realise, switched
from spu.device.columns import Columns
from spu.device.device import Device
from spu.device.heat import at_heat, heat, heated
from spu.device.imperfections import Detail
from spu.device.noise_clock import clocked_of, refuse_clocked
from spu.device.noise_shaping import in_series, shaped, shapes
from spu.device.quantities import Figure, Part
from spu.device.readout_chain import acquisition_of, chain, chained


def lower(device: Device) -> Circuit:
    """Lower a device to its circuit.

    Every cell is one instance on a node that bears its name, every coupler one instance per
    kind it holds. Cells with the same parts share a subcircuit. The circuit is kept with the device (`Device.kept`)
    until that changes, and shares no array with it.

    Raises
    ------
    InputError
        If the device has no cells.
    """
    kept = device.kept
    if "circuit" not in kept:
        kept["circuit"] = _lowered(device)
    circuit: Circuit = kept["circuit"]
    return circuit


def _lowered(device: Device) -> Circuit:
    if not device.cell_names:
        raise InputError("the device has no cells")
    sources: Lazy[NoiseSource] = Lazy()
    kelvin = float(device.temperature)
    count = len(device.cell_names)
    cells = Lazy.of(list(device.cell_names))
    detail, ramp = device.detail, device.ramp
    ends = device.coupler_ends
    names = coupler_names(device)
    if ramp is not None and not isinstance(ramp, Ramp):
        raise InputError(f"the ramp of a device must be a spu.Ramp, not {shorten(ramp)}")
    if ramp is not None and device.start is not None:
        raise InputError(
            "a ramp begins where the circuit rests, and the device has a start of its own: set device.ramp or "
            "device.start to None"
        )
    if "source" in detail.noise:
        raise InputError(
            "detail.noise.source is what a compiler builds: cells of a device have noise, a current, or noise_voltage"
        )
    itself = np.arange(count)[:, None]
    groups, sources = _group("cell", device.cell_columns, itself, cells, detail, kelvin, sources, ramp)
    for part in device.coupler_columns.parts.values():
        columns = device.coupler_columns.of(part)
        if not columns.held() and not columns.banks:
            continue
        found, sources = _group("coupler", columns, ends, names, detail, kelvin, sources, ramp)
        groups += found
    if shapes(detail) and any(not element.linear for group in groups for element in group.subcircuit.elements):
        raise InputError(
            "noise of nonlinear cells is white: bandwidth and 1/f noise are of linear cells; leave them out of "
            "device.detail.noise"
        )
    if device.shared:
        found, sources = _shared(device, sources)
        groups += found
    start = _start(device, groups)
    probed = _probed(groups, count)
    if detail.readout:
        _refuse_nonlinear_readouts(groups)
    if chained(detail):
        if start is not None:
            raise InputError(
                "a start says where cells are, and readouts with a bandwidth, offset, gain error or crosstalk are "
                "elsewhere: set_start(None), or leave these out of device.detail"
            )
        amplifiers, sources = chain(detail, cells, probed, sources)
        groups.append(amplifiers)
        inside = sum(len(group.names) * len(group.subcircuit.internal_nodes) for group in groups[:-1])
        probed = count + inside + np.arange(count)
    clocked = clocked_of(detail)
    if clocked is not None:
        refuse_clocked(groups, ramp)
        if acquisition_of(detail):
            raise InputError(
                "what a converter reads under held noise (noise.clock) is no Gaussian law's: leave noise.clock out of "
                "device.detail, or sampling_rate, jitter, sample_noise, full_scale and bits of its readout"
            )
    for group in groups:
        for array in (group.nodes, *group.parameters.values(), *(group.settings or {}).values()):
            array.flags.writeable = False
    content = device.content
    return Circuit(
        temperature=kelvin,
        nodes=cells,
        instances=groups,
        sources=sources,
        probes=cells,
        probe_nodes=np.column_stack([probed, np.full(count, GROUND)]),
        readout=device.readout.copy(),
        hash=content.split()[0],
        problem=device.problem,
        content=content,
        scales=device.scales,
        ramp=ramp,
        start=start,
        clocked=clocked,
        acquisition=acquisition_of(detail),
    )


def _refuse_nonlinear_readouts(groups: list[Instances]) -> None:
    if any(not element.linear for group in groups for element in group.subcircuit.elements):
        raise InputError(
            "what [readout] says of amplifiers and converters is of linear cells, and these are not: leave "
            "detail.readout out"
        )


def _start(device: Device, groups: list[Instances]) -> FloatArray | None:
    """(n,) V of the cells at time zero.

    Raises
    ------
    InputError
        If they are no such numbers, or cells are not linear.
    """
    if device.start is None:
        return None
    start, count = np.array(device.start, dtype=np.float64), len(device.cell_names)
    if start.shape != (count,) or not np.isfinite(start).all():
        raise InputError(f"the start of a device is {count} finite numbers, V of each cell: set_start says it anew")
    if device.ramp is not None:
        raise InputError("a device has a start or a ramp, not both: a ramp begins at rest; set_start(None)")
    if any(not element.linear for group in groups for element in group.subcircuit.elements):
        raise InputError("a start of the device itself is of linear cells: networks take it as an option, start=")
    start.flags.writeable = False
    return start


def _ramped(template: Subcircuit, detail: Detail) -> Subcircuit:
    """The same template, its elements with the factors of the ramp that they follow.

    Raises
    ------
    InputError
        If couplers are not what one factor multiplies.
    """
    coupler = template.name.startswith("coupler")
    elements = []
    for element in template.elements:
        injected = isinstance(element, (NoiseCurrent, NoiseVoltage)) and not isinstance(element, AmplifierNoise)
        factor = "noise" if injected else "couplers" if coupler and element.value not in template.constants else ""
        if factor == "couplers" and (detail.switch or detail.inductor or detail.transconductor):
            raise InputError(
                "a ramp multiplies what a coupler is, which has no meaning for one of switched units, of inductors "
                "with parasitics or of transconductors that are not ideal: set device.ramp = None, or device.detail = "
                "spu.Detail()"
            )
        elements.append(replace(element, factor=factor))
    return replace(template, elements=tuple(elements))


def _probed(groups: list[Instances], count: int) -> IntArray:
    """The node that shows each cell: its own, or the sense node of its nonlinear inductor or capacitor."""
    nodes = np.arange(count)
    following = count
    for group in groups:
        senses = {element.sense for element in group.subcircuit.elements}
        for node in group.subcircuit.internal_nodes:
            if node in senses:
                nodes[group.nodes[:, 0]] = np.arange(following, following + len(group.names))
            following += len(group.names)
    return nodes


def coupler_names(device: Device) -> Lazy[str]:
    """``a_b``, with a number behind where two pairs would read the same (a_b + c, a + b_c)."""
    cells, ends = list(device.cell_names), device.coupler_ends
    if len({name.count("_") for name in cells}) <= 1:  # the middle one separates: no two read the same
        return Lazy((len(ends), partial(_pair_name, cells, ends.copy())))
    return Lazy.of(_apart([(cells[a], cells[b]) for a, b in ends.tolist()]))


def _apart(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """``a_b`` for each pair, with a number behind where two would read the same."""
    names: list[str] = []
    seen: set[str] = set()
    for a, b in pairs:
        base = name = f"{a}_{b}"
        again = 1
        while name.lower() in seen:
            again += 1
            name = f"{base}_{again}"
        seen.add(name.lower())
        names.append(name)
    return names


def _group(
    kind: str,
    columns: Columns,
    ends: IntArray,
    names: Lazy[str],
    detail: Detail,
    kelvin: float,
    sources: Lazy[NoiseSource],
    ramp: Ramp | None,
) -> tuple[list[Instances], Lazy[NoiseSource]]:
    """Instances of one subcircuit for each combination of parts that occurs; the sources with theirs added."""
    parts, thermal = list(columns.parts.values()), kelvin > 0
    parasitics = node_parasitics(detail) if kind == "cell" else None
    # One bit a part, the first one highest.
    code = np.zeros(len(ends), dtype=np.int64)
    arrays = columns.held()
    for part in parts:
        code *= 2
        if switched(columns.banks.get(part.quantity), detail):
            code += 1
        elif part.keys[0] in arrays:
            code += ~np.isnan(arrays[part.keys[0]])
    groups: list[Instances] = []
    heats = {quantity: heat(detail, quantity, kelvin) for quantity in columns.parts}
    banks = {quantity: heated(bank, heats[quantity]) for quantity, bank in columns.banks.items()}
    for combination in np.flatnonzero(np.bincount(code, minlength=1)):
        held = [part for k, part in enumerate(reversed(parts)) if combination >> k & 1][::-1]
        if not held:
            continue
        members = np.flatnonzero(code == combination)
        own, count = names.take(members), len(members)
        rows = slice(None) if count == len(ends) else members
        several = sum(part.quantity in columns.banks for part in held) > 1
        made = [
            realise(
                part,
                banks.get(part.quantity),
                detail,
                f"_{part.letter}" if several else "",
                erring=part.keys[0] in columns.errors,
            )
            for part in held
        ]
        for part, each in zip(held, made, strict=True):
            if heats[part.quantity] != 1:
                each.meaning += at_heat(kelvin, heats[part.quantity])
        made = [shaped(each, detail) for each in in_series(held, made, own)]
        made = [each if thermal else each.silenced() for each in (*made, *([parasitics] if parasitics else []))]
        letters = "".join(part.letter for part in held)
        template = _subcircuit(f"{kind}_{letters}", made, ends.shape[1])
        if ramp is not None:
            template = _ramped(template, detail)
        ramped = {e.noise_port for e in template.elements if e.factor and ramp is not None and ramp.counts(e.factor)}
        absent = np.broadcast_to(np.nan, count)
        values: dict[str, FloatArray | IntArray] = {
            key: np.array(arrays[key][rows]) * heats[part.quantity] if key in arrays else absent
            for part in parts
            for key in part.keys
        }
        values |= {code_of(key): np.array(codes[rows]) for key, codes in columns.codes.items()}
        values |= {error_of(key): np.array(errors[rows]) for key, errors in columns.errors.items()}
        ports: list[IntArray] = []
        injected = {part.injected_port for part in held}
        for port, is_thermal in (entry for each in made for entry in each.ports.items()):
            if port in ramped:  # no resistor makes it: a current that follows the ramp does
                is_thermal = False
            prefix = port if kind == "cell" else f"{port}c"  # tc_a_b: no cell's t_NAME can read the same
            ports.append(np.arange(len(sources), len(sources) + count))
            sources += _noise_sources(prefix, own, is_thermal, port in injected)
        settings = {name: convert(values) for each in made for name, convert in each.parameters.items()}
        parameters = _resolved(template, settings, count)
        instance_names = mapped(f"x{kind}_{{}}" if kind == "cell" else f"x{kind}_{letters}_{{}}", own)
        nodes = np.array(ends[rows])
        if ports:
            nodes = np.column_stack([nodes, *ports])
        figures = _figures(held, values) if template.codes else ()
        groups.append(Instances(template, instance_names, nodes, parameters, settings, figures))
    return groups, sources


def _figures(held: Sequence[Part], values: Mapping[str, FloatArray | IntArray]) -> list[tuple[Figure, FloatArray]]:
    """What instances are, for people: each part's figures, and the values that they show."""
    found = []
    for part in held:
        for key, figure in zip(part.keys, part.table, strict=False):
            found.append((figure, np.asarray(values[key], dtype=np.float64)))
    return found


SHARED = Subcircuit(
    "shared_noise",
    ("a", "n"),
    ("an",),
    (SharedNoiseCurrent("gs", ("0", "a"), "an", "n"),),
    "share of a white noise that drives several cells: amplitude into this one, A/sqrt(Hz), of either sign",
)
"""What a noise source that cells share drives into one of them."""


def _shared(device: Device, sources: Lazy[NoiseSource]) -> tuple[list[Instances], Lazy[NoiseSource]]:
    """Instances for each place where a shared source drives a cell; the sources with these added."""
    shared = device.shared
    numbers, cells = shared.taps.T
    kelvin = float(device.temperature)
    louder = heat(device.detail, "noise", kelvin) ** 0.5
    made = shaped(Realisation(list(SHARED.elements), {"an": itemgetter("an")}, ports={"n": False}), device.detail)
    template = replace(_subcircuit(SHARED.name, [made], 1), meaning=f"{SHARED.meaning}{made.meaning}")
    if louder != 1:
        template = replace(template, meaning=f"{template.meaning}{at_heat(kelvin, louder)}")
    template = template if device.ramp is None else _ramped(template, device.detail)
    pairs = [(shared.names[source], device.cell_names[cell]) for source, cell in shared.taps.tolist()]
    names = mapped("xnoise_{}", Lazy.of(_apart(pairs)))
    columns = [cells]
    for port in made.ports:
        columns.append(len(sources) + numbers)
        sources += _noise_sources(f"w{port[1:]}", Lazy.of(list(shared.names)), False, port == "n")
    settings: dict[str, FloatArray | IntArray] = {"an": shared.amplitudes * louder}
    parameters = _resolved(template, settings, len(numbers))
    return [Instances(template, names, np.column_stack(columns), parameters, settings)], sources


def _resolved(template: Subcircuit, settings: dict[str, Any], count: int) -> dict[str, FloatArray]:
    """(count,) values of all elements, out of what instances set."""
    known: dict[str, Any] = {**settings, **template.constants}
    for name, expression in template.derived.items():
        known[name] = expression(known)
    needed = dict.fromkeys(name for element in template.elements for name in element.parameters)
    return {name: np.broadcast_to(np.asarray(known[name], dtype=np.float64), (count,)) for name in needed}


def _noise_sources(prefix: str, names: Lazy[str], thermal: bool, clocked: bool) -> Lazy[NoiseSource]:
    return Lazy((len(names), partial(_noise_source, prefix, names, thermal, clocked)))


def _noise_source(prefix: str, names: Lazy[str], thermal: bool, clocked: bool, k: int) -> NoiseSource:
    return NoiseSource(f"{prefix}_{names[k]}", thermal, clocked=clocked)


def _pair_name(cells: list[str], ends: IntArray, k: int) -> str:
    return f"{cells[ends[k, 0]]}_{cells[ends[k, 1]]}"


def _subcircuit(name: str, made: list[Realisation], ends: int) -> Subcircuit:
    """One template out of what its parts add.

    Raises
    ------
    InputError
        If two of them use one name: in a netlist they would be one thing.
    """
    seen: dict[tuple[str, str], Realisation] = {}
    for each in made:
        inner = {node for element in each.elements for node in element.nodes} - {"0", *"ab"[:ends]}
        values = {*each.parameters, *each.derived}
        named = {"element": {e.name for e in each.elements}, "node": inner, "parameter": values, "port": {*each.ports}}
        for what, mine in named.items():
            for word in sorted(mine):
                other = seen.setdefault((what, word.lower()), each)
                if other is not each:
                    raise InputError(f"{name}: both {other.meaning} and {each.meaning} have the {what} {word}")
    return Subcircuit(
        name=name,
        ports=(*["a", "b"][:ends], *(port for each in made for port in each.ports)),
        parameters=tuple(key for each in made for key in each.parameters),
        elements=tuple(element for each in made for element in each.elements),
        meaning=", ".join(each.meaning for each in made),
        constants={key: value for each in made for key, value in each.constants.items()},
        derived={key: value for each in made for key, value in each.derived.items()},
        codes={key: ends for each in made for key, ends in each.codes.items()},
    )
