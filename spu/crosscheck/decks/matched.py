"""Noise sources of an edited netlist that are called otherwise than the device's: which is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import scipy.sparse as sp

from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit
from spu.emulator.equations.linear import stochastic_ode
from spu.spice.names import cell_node
from spu.spice.reader import ReadNetlist


def matched(circuit: Circuit, read: ReadNetlist) -> ReadNetlist | None:
    """A netlist as it was read, with its noise sources in the order of a device's, and of their signs.

    Sources are one where both are thermal, or both are not, and they drive the same cells: whatever their strength,
    which is what a check is about. None where that leaves a source over or is not sure.
    """
    own = {cell_node(name).lower(): name for name in circuit.nodes}
    theirs = _driven(read.circuit, [row.kind == "thermal" for row in read.noise], {name: name for name in own})
    kinds = [source.thermal for source in circuit.sources]
    ours = _driven(circuit, kinds, {name: node for node, name in own.items()})
    if theirs is None or ours is None or ours.keys() != theirs.keys():
        return None
    order, sources, rows = [], [], []
    for key, (number, sign) in sorted(ours.items(), key=lambda entry: entry[1][0]):
        found, other = theirs[key]
        source = read.circuit.sources[found]
        if source.origin is None:
            return None
        if sign != other:
            source = replace(source, origin=replace(source.origin, gain=-source.origin.gain))
        order.append(number)
        sources.append(source)
        rows.append(read.noise[found])
    assert order == list(range(len(circuit.sources)))
    changed = replace(read.circuit, sources=Lazy.of(sources))
    return replace(read, circuit=changed, noise=tuple(rows))


_Key = tuple[bool, frozenset[str]]


def _driven(circuit: Circuit, thermal: Sequence[bool], cells: Mapping[str, str]) -> dict[_Key, tuple[int, int]] | None:
    """Number and sign of each source, by whether it is thermal and the cells that it drives; None if two are alike.

    The sign is that of its current into the first of them.
    """
    sde = stochastic_ode(circuit)
    drives = sp.csc_array(sde.K)
    found: dict[_Key, tuple[int, int]] = {}
    for k, hot in enumerate(thermal):
        span = slice(*drives.indptr[k : k + 2])
        names = [sde.state_names[row] for row in drives.indices[span].tolist()]
        values = dict(zip(names, drives.data[span].tolist(), strict=True))
        at = {cells.get(name[2:-1]): value for name, value in values.items() if value}
        if not at or None in at or not all(name.startswith("v(") for name in names):
            return None
        key = (hot, frozenset(str(name) for name in at))
        if key in found:
            return None
        found[key] = (k, 1 if at[min(at, key=str)] > 0 else -1)
    return found
