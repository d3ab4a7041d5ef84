"""The programmed SPU: cells, couplers, readout; its graph and its JSON file.

Values are kept as columns (one array a quantity, NaN where a cell or coupler has no such
part), apart from the wiring (names and end points), so that a large device costs arrays and
one wiring can take many programmings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import ROOM_TEMPERATURE
from spu.base.digest import Digest
from spu.base.display import Shown
from spu.base.errors import InputError
from spu.base.files import read_json, write_with
from spu.base.names import check_name, check_names, shorten
from spu.base.sparse import canonical, is_diagonal, to_fields
from spu.circuit.readout import Readout
from spu.device.banks import BANKED, Bank, bank_from_dict
from spu.device.columns import Columns
from spu.device.device_file import (
    FEW,
    KEYS,
    apart,
    json_object,
    nested_numbers,
    sparse_numbers,
    take_codes,
    with_codes,
)
from spu.device.imperfections import Detail, detail_from_dict
from spu.device.quantities import CELL_PARTS, COUPLER_PARTS
from spu.problems.network import ThermodynamicNetwork

if TYPE_CHECKING:
    import networkx as nx

    from spu.circuit.scales import Scales
    from spu.problems.problem import Problem


Values = Mapping[str, "float | Sequence[float]"]

FORMAT = "spu-device/1"


@dataclass(frozen=True)
class Cell:
    """One cell as a value: its name and ``{quantity: value}`` in SI units (see `spu.device.quantities.CELL_PARTS`)."""

    name: str
    values: dict[str, float]


@dataclass(frozen=True)
class Coupler:
    """One coupler: its end points and ``{quantity: value}`` in SI units (see `spu.device.quantities.COUPLER_PARTS`).

    A transconductance is one number where both directions are equal, else ``(g_ab, g_ba)``.
    """

    a: str
    b: str
    values: dict[str, float | tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Programming:
    """A further setting of the banks of one wiring.

    Attributes
    ----------
    cell_codes, coupler_codes:
        Codes by key, (n,) and (m,), as `Columns.codes`.
    readout:
        The map that goes with them.
    bias:
        (n,) A, bias currents; NaN where there are none.
    """

    cell_codes: dict[str, IntArray]
    coupler_codes: dict[str, IntArray]
    readout: Readout
    bias: FloatArray


@dataclass(frozen=True)
class Origin:
    """What a device was compiled from, and which values it was given then.

    Computed values differ in their last bits from processor to processor, so they are not in a compiled device's
    hash. They are, as all given values are, once one of them is not what was computed.

    Attributes
    ----------
    source:
        Digest of the problem and of what it was compiled with.
    values:
        Digest of the computed values, bit by bit (`Device.computed`).
    """

    source: str
    values: str

    def to_dict(self) -> dict[str, str]:
        """As the device file holds it."""
        return {"source": self.source, "values": self.values}


def _origin_from_dict(data: Any, file: str | None) -> Origin:
    data = json_object(data, "compiled", ("source", "values"), file)
    for key in ("source", "values"):
        if not isinstance(data.get(key), str):
            raise InputError(f'"compiled" needs {key}, a text, not {shorten(data.get(key))}', file=file)
    return Origin(data["source"], data["values"])


@dataclass(eq=False)
class Device(Shown):
    """A programmed SPU: cells joined by couplers, at a temperature, with a readout.

    Parameters
    ----------
    temperature:
        K. Every conductance makes thermal noise ``4kT/R``; 0 silences it.
    architecture:
        What `spu.compile` chose, for information.
    detail:
        What is not ideal about its parts.

    Examples
    --------
    >>> device = Device()
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    >>> device.add_cell("b", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    >>> device.add_coupler("a", "b", capacitance=2e-10)
    """

    temperature: float = ROOM_TEMPERATURE
    architecture: str | None = None
    problem: Problem | None = field(default=None, repr=False)
    """What the device was compiled for; kept in ``problem.json``, not in the device file."""
    scales: Scales | None = field(default=None, repr=False)
    """How the circuit holds the units of a thermodynamic network."""
    _readout: Readout | None = field(default=None, repr=False)
    detail: Detail = field(default_factory=Detail)
    """What is not ideal about its parts; see `spu.device.imperfections`."""
    origin: Origin | None = field(default=None, repr=False)
    """What it was compiled from; None of one made by hand."""

    def __post_init__(self) -> None:
        kelvin = self.temperature
        if isinstance(kelvin, bool) or not isinstance(kelvin, (int, float)) or not 0 <= kelvin < 1e60:
            raise InputError(f"temperature must be a number of kelvin >= 0, not {shorten(kelvin)}")
        self.temperature = float(kelvin)
        self.cell_names: list[str] = []
        self.cell_columns = Columns(CELL_PARTS, "a cell")
        self.coupler_ends: IntArray = np.empty((0, 2), dtype=np.int64)
        self.coupler_columns = Columns(COUPLER_PARTS, "a coupler")
        self._index: dict[str, int] = {}
        self.programmings: list[Programming] = []
        """Further programmings of an ensemble, the second to the last; the device itself holds the first."""

    # Building

    def add_cell(self, name: str, **values: float) -> None:
        """Add a cell.

        Parameters
        ----------
        name:
            Letters, digits and underscores; unique even ignoring case (ngspice ignores it).
        **values:
            Any of ``capacitance`` (F), ``conductance`` (S), ``inductance`` (H), all to ground,
            ``noise`` (A^2/Hz, one-sided, injected) and ``bias`` (A, into the cell). Nonlinear ones, each of
            three coefficients: ``polynomial_conductance`` (i of v, A/V^k), ``polynomial_inductance`` (i of
            the flux, A/Wb^k), ``polynomial_capacitance`` (v of the charge, V/C^k).

        Raises
        ------
        InputError
            For a bad name or value.
        """
        check_name(name, "a cell")
        if name.lower() in self._index:
            raise InputError(f"there is already a cell named {self.cell_names[self._index[name.lower()]]!r}")
        self._append_cell(name, self.cell_columns.row(values, f"cell {name}"))

    def _append_cell(self, name: str, row: Mapping[str, float]) -> None:
        self._index[name.lower()] = len(self.cell_names)
        self.cell_names.append(name)
        self.cell_columns.extend(1, row)

    def add_coupler(self, a: str, b: str, **values: float | tuple[float, float]) -> None:
        """Couple two cells.

        Parameters
        ----------
        a, b:
            Names of two different cells; each pair has one coupler, which may hold several kinds.
        **values:
            Any of ``capacitance`` (F), ``conductance`` (S), ``inductance`` (H) between the
            cells, and ``transconductance`` (S): a number ``g`` for ``G_ab = G_ba = g``, or a pair
            ``(g_ab, g_ba)``, where a current ``g_ab v_b`` leaves cell a; ``crossed_inductance`` (H), behind
            an ideal transformer.

        Raises
        ------
        InputError
            For an unknown cell, a pair that is coupled already, or a bad value.
        """
        ends = self._ends(a, b, f"coupler {a}-{b}")
        if len(self.coupler_ends) and (np.sort(self.coupler_ends, axis=1) == sorted(ends)).all(axis=1).any():
            raise InputError(f"cells {a} and {b} are already coupled; give one coupler all its kinds")
        row = self.coupler_columns.row(values, f"coupler {a}-{b}")
        self.coupler_ends = np.concatenate([self.coupler_ends, [ends]])
        self.coupler_columns.extend(1, row)

    def _ends(self, a: Any, b: Any, where: str, file: str | None = None) -> list[int]:
        ends = []
        for name in (a, b):
            if not isinstance(name, str) or name.lower() not in self._index:
                raise InputError(f"{where}: there is no cell {name!r}", file=file)
            ends.append(self._index[name.lower()])
        if ends[0] == ends[1]:
            raise InputError(f"{where}: a coupler joins two different cells", file=file)
        return ends

    @classmethod
    def from_arrays(
        cls,
        names: Sequence[str],
        cells: Mapping[str, ArrayLike],
        ends: ArrayLike,
        couplers: Mapping[str, ArrayLike],
        *,
        temperature: float = ROOM_TEMPERATURE,
        readout: Readout | None = None,
        architecture: str | None = None,
    ) -> Device:
        """Build a device from whole columns, as the compiler does.

        Parameters
        ----------
        names:
            n cell names.
        cells:
            ``{key: (n,) array}``; NaN where a cell has no such part.
        ends:
            (m, 2) indices of coupled cells.
        couplers:
            ``{key: (m,) array}``; ``transconductance_ab`` and ``transconductance_ba`` apart.
        temperature, readout, architecture:
            As in the class.
        """
        device = cls(temperature=temperature, architecture=architecture)
        check_names(names, "a cell")
        device.cell_names = list(names)
        device._index = {name.lower(): k for k, name in enumerate(names)}
        device.cell_columns.extend(len(device.cell_names), cells)
        device.coupler_ends = np.asarray(ends, dtype=np.int64).reshape(-1, 2)
        device.coupler_columns.extend(len(device.coupler_ends), couplers)
        device._readout = readout
        return device

    # Looking

    @property
    def network(self) -> ThermodynamicNetwork | None:
        """`problem`, where that is a thermodynamic network."""
        return self.problem if isinstance(self.problem, ThermodynamicNetwork) else None

    @property
    def cells(self) -> list[Cell]:
        """The cells as values, in order."""
        return self.first_cells()

    def first_cells(self, limit: int | None = None) -> list[Cell]:
        """The first ``limit`` cells as values; all of them without a limit."""
        return [Cell(name, self.cell_columns.values(k)) for k, name in enumerate(self.cell_names[:limit])]

    @property
    def couplers(self) -> list[Coupler]:
        """The couplers as values, in order."""
        return self.first_couplers()

    def first_couplers(self, limit: int | None = None) -> list[Coupler]:
        """The first ``limit`` couplers as values; all of them without a limit."""
        names = self.cell_names
        return [
            Coupler(names[a], names[b], self.coupler_columns.values(k))
            for k, (a, b) in enumerate(self.coupler_ends[:limit].tolist())
        ]

    @property
    def readout(self) -> Readout:
        """The map to problem variables; the voltages themselves where none was given."""
        if self._readout is not None:
            return self._readout
        n = len(self.cell_names)
        return Readout(tuple(self.cell_names), canonical(sp.eye_array(n)), np.zeros(n))

    def set_readout(
        self, matrix: ArrayLike | sp.sparray, offset: ArrayLike = 0.0, variables: Sequence[str] | None = None
    ) -> None:
        """Read ``x = matrix @ v + offset``: ``matrix`` (p, n) in problem units per volt, ``offset`` (p,)."""
        array = canonical(matrix if sp.issparse(matrix) else np.atleast_2d(np.asarray(matrix, dtype=np.float64)))
        names = tuple(variables) if variables is not None else tuple(self.cell_names)
        check_names(names, "a variable")
        if array.shape != (len(names), len(self.cell_names)):
            raise InputError(
                f"the readout matrix is {array.shape[0]}x{array.shape[1]}; {len(names)} variables "
                f"and {len(self.cell_names)} cells need {len(names)}x{len(self.cell_names)}"
            )
        shift = np.broadcast_to(np.asarray(offset, dtype=np.float64), (len(names),)).copy()
        if not (np.isfinite(array.data).all() and np.isfinite(shift).all()):
            raise InputError("the readout must be finite")
        self._readout = Readout(names, array, shift)

    @property
    def graph(self) -> nx.Graph:
        """A networkx graph: nodes carry ``cell`` (`Cell`), edges ``coupler`` (`Coupler`), the graph the rest."""
        import networkx as nx

        graph = nx.Graph(
            temperature=self.temperature,
            architecture=self.architecture,
            detail=self.detail,
            readout=self._readout,
            origin=self.origin,
        )
        graph.add_nodes_from((cell.name, {"cell": cell}) for cell in self.cells)
        graph.add_edges_from((coupler.a, coupler.b, {"coupler": coupler}) for coupler in self.couplers)
        return graph

    @classmethod
    def from_graph(cls, graph: nx.Graph, *, temperature: float | None = None) -> Device:
        """Build a device from a graph as `graph` returns it.

        Nodes carry ``cell`` (a `Cell`) or plain attributes (``capacitance=...``), edges
        ``coupler`` or plain attributes.
        """
        if temperature is None:
            temperature = graph.graph.get("temperature", ROOM_TEMPERATURE)
        device = cls(temperature=temperature, architecture=graph.graph.get("architecture"))
        device._readout = graph.graph.get("readout")
        device.detail = graph.graph.get("detail", device.detail)
        device.origin = graph.graph.get("origin")
        for node, data in graph.nodes(data=True):
            cell = data.get("cell")
            device.add_cell(str(node), **(cell.values if cell is not None else data))
        for a, b, data in graph.edges(data=True):
            coupler = data.get("coupler")
            if coupler is None:
                device.add_coupler(str(a), str(b), **data)
            else:  # an undirected graph may hand the ends back swapped; the coupler knows its own
                device.add_coupler(coupler.a, coupler.b, **coupler.values)
        return device

    # Banks and ensembles

    @property
    def quantised(self) -> bool:
        """Whether any value is that of a bank."""
        return bool(self.cell_columns.banks or self.coupler_columns.banks)

    @property
    def coupler_labels(self) -> list[str]:
        """``a-b`` for each coupler, as messages and tables name it."""
        return [f"{self.cell_names[a]}-{self.cell_names[b]}" for a, b in self.coupler_ends.tolist()]

    def set_banks(
        self,
        cell: Mapping[str, Bank],
        coupler: Mapping[str, Bank],
        cell_codes: Mapping[str, IntArray],
        coupler_codes: Mapping[str, IntArray],
    ) -> None:
        """Quantise: banks by quantity and codes by key; values become those of the codes."""
        self.cell_columns.banks, self.coupler_columns.banks = dict(cell), dict(coupler)
        self.cell_columns.set_codes(cell_codes)
        self.coupler_columns.set_codes(coupler_codes)

    def programmed(self, programming: Programming) -> Device:
        """The device with other codes, readout and bias: the same wiring, no ensemble."""
        device = replace(self, _readout=programming.readout)
        device.cell_names, device._index, device.coupler_ends = self.cell_names, self._index, self.coupler_ends
        for own, its in ((device.cell_columns, self.cell_columns), (device.coupler_columns, self.coupler_columns)):
            own.arrays, own.banks = dict(its.arrays), dict(its.banks)
        device.cell_columns.set_codes(programming.cell_codes)
        device.coupler_columns.set_codes(programming.coupler_codes)
        device.cell_columns.arrays["bias"] = programming.bias
        return device

    def at_detail(self, detail: Detail) -> Device:
        """The device, with all its programmings, at another level of detail."""
        device = copy(self)
        device.detail = detail
        return device

    @property
    def programming(self) -> Programming:
        """What the device itself is set to: the first programming."""
        return Programming(
            dict(self.cell_columns.codes),
            dict(self.coupler_columns.codes),
            self.readout,
            self.cell_columns.arrays["bias"],
        )

    def members(self) -> list[Device]:
        """The programmings of an ensemble as devices; the device alone where it is none."""
        if not self.programmings:
            return [self]
        found = [self.programmed(programming) for programming in (self.programming, *self.programmings)]
        for k, member in enumerate(found):
            member.origin = None
            if self.origin is not None and self.as_compiled:
                member.compiled_from(f"{self.origin.source}, programming {k + 1}")
        return found

    # The file

    def to_dict(self) -> dict[str, Any]:
        """The device file as a JSON-able dictionary (format ``spu-device/1``)."""
        data: dict[str, Any] = {"format": FORMAT, "temperature": self.temperature}
        if self.architecture is not None:
            data["architecture"] = self.architecture
        if self.origin is not None:
            data["compiled"] = self.origin.to_dict()
        if self.detail:
            data["detail"] = self.detail.to_dict()
        if self.quantised:
            data["banks"] = self._banks_dict()
        data["cells"] = [
            {"name": cell.name, **self._codes_dict(self.cell_columns, k), **cell.values}
            for k, cell in enumerate(self.cells)
        ]
        data["couplers"] = [
            {"a": coupler.a, "b": coupler.b, **self._codes_dict(self.coupler_columns, k), **coupler.values}
            for k, coupler in enumerate(self.couplers)
        ]
        if self._readout is not None:
            data["readout"] = self._readout_dict(self._readout)
        if self.programmings:
            data["programmings"] = [self._programming_dict(programming) for programming in self.programmings]
        return data

    def _banks_dict(self) -> dict[str, Any]:
        both = {"cell": self.cell_columns, "coupler": self.coupler_columns}
        return {
            part: {quantity: bank.to_dict() for quantity, bank in columns.banks.items()}
            for part, columns in both.items()
            if columns.banks
        }

    @staticmethod
    def _codes_dict(columns: Columns, index: int) -> dict[str, Any]:
        return {"codes": columns.code_row(index)} if columns.banks else {}

    def _programming_dict(self, programming: Programming) -> dict[str, Any]:
        """A further programming: its codes in the order of cells and couplers, one list a key."""
        data: dict[str, Any] = {}
        for part, codes in (("cell_codes", programming.cell_codes), ("coupler_codes", programming.coupler_codes)):
            if codes:
                data[part] = {key: array.tolist() for key, array in codes.items()}
        data["readout"] = self._readout_dict(programming.readout)
        if not np.isnan(programming.bias).all():
            data["bias"] = np.nan_to_num(programming.bias).tolist()
        return data

    @staticmethod
    def _readout_dict(readout: Readout) -> dict[str, Any]:
        matrix = readout.matrix
        given: dict[str, Any] = {"variables": list(readout.variables)}
        if is_diagonal(matrix):
            given["gain"] = matrix.diagonal().tolist()
        elif matrix.shape[0] * matrix.shape[1] > max(FEW, 4 * matrix.nnz):
            given["matrix"] = to_fields(matrix)
        else:
            given["matrix"] = matrix.toarray().tolist()
        return {**given, "offset": readout.offset.tolist()}

    def compiled_from(self, source: str) -> None:
        """Take the values of now for what was computed from a source (its digest): they leave the hash."""
        self.origin = Origin(source, self.computed)

    @property
    def as_compiled(self) -> bool:
        """Whether all values are those that were computed when the device was compiled; False of one made by hand."""
        return self.origin is not None and self.origin.values == self.computed

    @property
    def computed(self) -> str:
        """Digest of the values that do not follow from codes, bit by bit: of parts, of readouts, of bias currents."""
        found = Digest()
        for columns in (self.cell_columns, self.coupler_columns):
            for key, array in columns.arrays.items():
                if not np.isnan(array).all() and not columns.follows_codes(key):
                    found.text(key)
                    found.numbers(array)
        for readout in (self._readout, *(programming.readout for programming in self.programmings)):
            if readout is not None:
                matrix = readout.matrix
                found.text("readout")
                found.numbers(matrix.indptr, matrix.indices, matrix.data, readout.offset)
        for programming in self.programmings:
            found.numbers(programming.bias)
        return found.hexdigest()

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits: of topology, names, codes and settings, and of the values that were given.

        They change with any value of a device that was made by hand or edited. Of one that is as it was compiled
        the values follow from problem, hardware and version; these are in the hash in their place, so that it is
        the same on every processor.
        """
        return self._hash(self.computed)

    @property
    def content(self) -> str:
        """The hash and more: the same only where not one bit of any value differs."""
        computed = self.computed
        return f"{self._hash(computed)} {computed}"

    def _hash(self, computed: str) -> str:
        found = Digest()
        found.text(FORMAT, repr(self.temperature), self.architecture)
        if self.detail:
            found.text("detail", json.dumps(self.detail.to_dict()))
        found.text(*self.cell_names)
        found.numbers(self.coupler_ends.ravel())
        for columns in (self.cell_columns, self.coupler_columns):
            for key, array in columns.arrays.items():
                there = ~np.isnan(array)
                if there.any():
                    found.text(key)
                    found.numbers(np.packbits(there))
        if self._readout is not None:
            found.text("variables", *self._readout.variables)
        if self.quantised:
            found.text("banks", json.dumps(self._banks_dict()))
            found.numbers(*self.cell_columns.codes.values(), *self.coupler_columns.codes.values())
        for programming in self.programmings:
            found.numbers(*programming.cell_codes.values(), *programming.coupler_codes.values())
        if self.origin is not None and self.origin.values == computed:
            found.text("compiled from", self.origin.source)
        else:
            found.text("values", computed)
        return found.hexdigest()[:12]

    def _json(self) -> Iterator[str]:
        """The text of the device file in pieces of many lines: one cell or coupler a line."""
        yield f'{{\n  "format": "{FORMAT}",\n  "temperature": {json.dumps(self.temperature)}'
        if self.architecture is not None:
            yield f',\n  "architecture": {json.dumps(self.architecture)}'
        if self.origin is not None:
            yield f',\n  "compiled": {json.dumps(self.origin.to_dict())}'
        if self.detail:
            yield f',\n  "detail": {json.dumps(self.detail.to_dict())}'
        if self.quantised:
            yield f',\n  "banks": {json.dumps(self._banks_dict())}'
        names = [json.dumps(name) for name in self.cell_names]
        yield ',\n  "cells": ['
        yield from self.cell_columns.json(*with_codes(self.cell_columns, ["name"], [names]))
        yield "]"
        a, b = self.coupler_ends.T.tolist()
        yield ',\n  "couplers": ['
        ends = [[names[k] for k in a], [names[k] for k in b]]
        yield from self.coupler_columns.json(*with_codes(self.coupler_columns, ["a", "b"], ends))
        yield "]"
        if self._readout is not None:
            yield f',\n  "readout": {json.dumps(self._readout_dict(self._readout))}'
        if self.programmings:
            lines = (f"    {json.dumps(self._programming_dict(programming))}" for programming in self.programmings)
            yield ',\n  "programmings": [\n' + ",\n".join(lines) + "\n  ]"
        yield "\n}\n"

    def to_json(self) -> str:
        """The device file: one cell or coupler a line, for people and for ``diff``."""
        return "".join(self._json())

    def write_to(self, stream: BinaryIO) -> None:
        """Write the device file to an open stream, piece by piece."""
        for piece in self._json():
            stream.write(piece.encode())

    def write(self, path: str | Path) -> None:
        """Write the device file, whole or not at all."""
        write_with(Path(path), self.write_to)

    @classmethod
    def read(cls, path: str | Path) -> Device:
        """Read a device file.

        Raises
        ------
        InputError
            Naming the file and the place in it.
        """
        return cls.from_dict(read_json(Path(path)), file=str(path))

    @classmethod
    def from_dict(cls, data: Any, *, file: str | None = None) -> Device:
        """Build a device from the dictionary of a device file; errors name ``file``."""
        data = json_object(data, "a device file", KEYS, file)
        if data.get("format") != FORMAT:
            raise InputError(f'"format" must be "{FORMAT}", not {data.get("format")!r}', file=file)
        temperature = data.get("temperature", ROOM_TEMPERATURE)
        architecture = data.get("architecture")
        if not (architecture is None or isinstance(architecture, str)):
            raise InputError(f"architecture must be a string, not {architecture!r}", file=file)
        try:
            device = cls(temperature=temperature, architecture=architecture)
            device.detail = detail_from_dict(data.get("detail", {}))
        except InputError as error:
            raise InputError(error.message, file=file) from None
        if "compiled" in data:
            device.origin = _origin_from_dict(data["compiled"], file)
        device._read_banks(data.get("banks", {}), file)
        cells, cell_codes = apart(data.get("cells"), device.cell_columns)
        couplers, coupler_codes = apart(data.get("couplers", []), device.coupler_columns)
        device._read_cells(cells, file)
        device._read_couplers(couplers, file)
        if device.cell_columns.banks:
            where = [f"cells[{k}] ({name})" for k, name in enumerate(device.cell_names)]
            take_codes(device.cell_columns, cell_codes, where, file)
        if device.coupler_columns.banks:
            where = [f"couplers[{k}] ({name})" for k, name in enumerate(device.coupler_labels)]
            take_codes(device.coupler_columns, coupler_codes, where, file)
        if "readout" in data:
            device._read_readout(data["readout"], file)
        device._read_programmings(data.get("programmings", []), file)
        return device

    def _read_banks(self, data: Any, file: str | None) -> None:
        both = {"cell": self.cell_columns, "coupler": self.coupler_columns}
        for part, banks in json_object(data, "banks", tuple(both), file).items():
            for quantity, described in json_object(banks, f"banks.{part}", BANKED[part], file).items():
                both[part].banks[quantity] = bank_from_dict(described, quantity, f"banks.{part}.{quantity}: ", file)

    def _read_programmings(self, rows: Any, file: str | None) -> None:
        if not isinstance(rows, list):
            raise InputError('"programmings" must be a list', file=file)
        if rows and not self.quantised:
            raise InputError('"programmings" are codes, and this device has no "banks"', file=file)
        for k, row in enumerate(rows):
            where = f"programmings[{k}]"
            data = json_object(row, where, ("cell_codes", "coupler_codes", "readout", "bias"), file)
            cell, coupler = (
                self._programmed_codes(data.get(key, {}), columns, f"{where}.{key}", labels, file)
                for key, columns, labels in (
                    ("cell_codes", self.cell_columns, self.cell_names),
                    ("coupler_codes", self.coupler_columns, self.coupler_labels),
                )
            )
            bias = np.array(self.cell_columns.arrays["bias"])
            if "bias" in data:
                bias = nested_numbers(data["bias"], 1, f"{where}.bias", file)
                if bias.shape != (len(self.cell_names),) or not np.isfinite(bias).all():
                    raise InputError(f"{where}.bias needs {len(self.cell_names)} finite numbers", file=file)
            first = self._readout
            if "readout" in data:
                self._read_readout(data["readout"], file)
            its = self.readout
            self._readout = first
            if its.variables != self.readout.variables:
                raise InputError(f"{where}.readout has other variables than the device's", file=file)
            self.programmings.append(Programming(cell, coupler, its, np.where(bias != 0, bias, np.nan)))

    @staticmethod
    def _programmed_codes(
        data: Any, columns: Columns, where: str, labels: Sequence[str], file: str | None
    ) -> dict[str, IntArray]:
        bank_of = {key: bank for quantity, bank in columns.banks.items() for key in columns.parts[quantity].keys}
        if not isinstance(data, dict) or data.keys() != bank_of.keys():
            raise InputError(f"{where} must be an object with {', '.join(bank_of) or 'nothing'}", file=file)
        for key, codes in data.items():
            if not isinstance(codes, list) or len(codes) != len(labels):
                raise InputError(f"{where}.{key} must be a list of {len(labels)} codes", file=file)
            for label, code in zip(labels, codes, strict=True):
                bank_of[key].check_code(code, f"{where}.{key} of {label}", file)
        return {key: np.array(data[key], dtype=np.int64) for key in bank_of}

    def _read_cells(self, rows: Any, file: str | None) -> None:
        if not isinstance(rows, list) or not rows:
            raise InputError('"cells" must be a list with at least one {"name": ...}', file=file)
        names, columns = self._quick_cells(rows) or self._careful_cells(rows, file)
        self.cell_names = names
        self._index = {name.lower(): k for k, name in enumerate(names)}
        self.cell_columns.extend(len(rows), columns)

    def _quick_cells(self, rows: list[Any]) -> tuple[list[str], dict[str, FloatArray]] | None:
        """Names and columns of all cells at once; None where one is not plainly right."""
        if not all(type(row) is dict and type(row.get("name")) is str for row in rows):
            return None
        names, columns = [row["name"] for row in rows], self.cell_columns.read(rows, ("name",))
        try:
            check_names(names, "a cell")
        except InputError:
            return None
        return None if columns is None else (names, columns)

    def _careful_cells(self, rows: list[Any], file: str | None) -> tuple[list[str], dict[str, FloatArray]]:
        """The same cell by cell, naming the one that is wrong."""
        names, columns = [], {key: np.full(len(rows), np.nan) for key in self.cell_columns.keys}
        for k, row in enumerate(rows):
            where = f"cells[{k}]"
            if not isinstance(row, dict) or not isinstance(row.get("name"), str):
                raise InputError(f'{where} must be an object with a "name"', file=file)
            names.append(check_name(row["name"], where, file=file))
            values = {key: value for key, value in row.items() if key != "name"}
            for key, value in self.cell_columns.row(values, f"{where} ({row['name']})", file).items():
                columns[key][k] = value
        check_names(names, "a cell", file=file)
        return names, columns

    def _read_couplers(self, rows: Any, file: str | None) -> None:
        if not isinstance(rows, list):
            raise InputError('"couplers" must be a list', file=file)
        self.coupler_ends, columns = self._quick_couplers(rows) or self._careful_couplers(rows, file)
        self.coupler_columns.extend(len(rows), columns)

    def _quick_couplers(self, rows: list[Any]) -> tuple[IntArray, dict[str, FloatArray]] | None:
        """Ends and columns of all couplers at once; None where one is not plainly right."""
        if not all(type(row) is dict and type(row.get("a")) is type(row.get("b")) is str for row in rows):
            return None
        try:
            ends = np.array([[self._index[row[end].lower()] for end in "ab"] for row in rows], dtype=np.int64)
        except KeyError:
            return None
        ends = ends.reshape(-1, 2)
        pairs = np.sort(ends, axis=1) @ [len(self.cell_names), 1]
        if (ends[:, 0] == ends[:, 1]).any() or len(np.unique(pairs)) < len(pairs):
            return None
        columns = self.coupler_columns.read(rows, ("a", "b"))
        return None if columns is None else (ends, columns)

    def _careful_couplers(self, rows: list[Any], file: str | None) -> tuple[IntArray, dict[str, FloatArray]]:
        """The same coupler by coupler, naming the one that is wrong."""
        columns = {key: np.full(len(rows), np.nan) for key in self.coupler_columns.keys}
        ends: list[list[int]] = []
        seen: dict[tuple[int, ...], int] = {}
        for k, row in enumerate(rows):
            where = f"couplers[{k}]"
            if not isinstance(row, dict) or not {"a", "b"} <= row.keys():
                raise InputError(f'{where} must be an object with "a" and "b"', file=file)
            where = f"{where} ({row['a']}-{row['b']})"
            pair = self._ends(row["a"], row["b"], where, file)
            ends.append(pair)
            first = seen.setdefault(tuple(sorted(pair)), k)
            if first != k:
                raise InputError(f"{where}: these cells are already coupled by couplers[{first}]", file=file)
            values = {key: value for key, value in row.items() if key not in ("a", "b")}
            for key, value in self.coupler_columns.row(values, where, file).items():
                columns[key][k] = value
        return np.array(ends, dtype=np.int64).reshape(-1, 2), columns

    def _read_readout(self, data: Any, file: str | None) -> None:
        data = json_object(data, "readout", ("variables", "gain", "matrix", "offset"), file)
        if ("gain" in data) == ("matrix" in data):
            raise InputError('readout needs either "gain" (one number a cell) or "matrix"', file=file)
        if "gain" in data:
            matrix: Any = sp.diags_array(nested_numbers(data["gain"], 1, "readout.gain", file))
        elif isinstance(data["matrix"], dict):
            matrix = sparse_numbers(data["matrix"], "readout.matrix", file)
        else:
            matrix = nested_numbers(data["matrix"], 2, "readout.matrix", file)
        variables = data.get("variables", self.cell_names)
        if not isinstance(variables, list) or not all(isinstance(name, str) for name in variables):
            raise InputError("readout.variables must be a list of names", file=file)
        offset = nested_numbers(data.get("offset", [0.0] * len(variables)), 1, "readout.offset", file)
        if offset.shape != (len(variables),):
            raise InputError(f"readout.offset has {len(offset)} numbers for {len(variables)} variables", file=file)
        try:
            self.set_readout(matrix, offset, variables)
        except InputError as error:
            raise InputError(error.message, file=file) from None
