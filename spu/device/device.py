"""The programmed SPU: cells, couplers, readout; its graph and its JSON file.

Values are kept as columns (one array a quantity, NaN where a cell or coupler has no such
part), apart from the wiring (names and end points), so that a large device costs arrays and
one wiring can take many programmings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spu.base.arrays import Bits, FloatArray, IntArray, frozen
from spu.base.constants import ROOM_TEMPERATURE
from spu.base.digest import Digest
from spu.base.display import Shown
from spu.base.errors import InputError
from spu.base.files import read_json, write_with
from spu.base.names import check_name, check_names, shorten
from spu.base.sparse import canonical
from spu.circuit.ramp import Ramp
from spu.circuit.readout import Readout, checked_readout
from spu.device import device_file
from spu.device.banks import Bank
from spu.device.clamping import hold
from spu.device.columns import Columns
from spu.device.device_file import FORMAT
from spu.device.imperfections import Detail
from spu.device.noises import Noises, SharedNoise
from spu.device.programming import Origin, Programming
from spu.device.quantities import CELL_PARTS, COUPLER_PARTS
from spu.device.tolerance import Tolerance
from spu.problems.network import ThermodynamicNetwork, thermodynamic

if TYPE_CHECKING:
    import networkx as nx

    from spu.circuit.scales import Scales
    from spu.problems.problem import Problem


Values = Mapping[str, "float | Sequence[float]"]


@dataclass(frozen=True)
class Cell:
    """One cell as a value: its name and ``{quantity: value}`` in SI units (see `spu.device.quantities.CELL_PARTS`).

    Examples
    --------
    >>> import spu
    >>> device = spu.Device()
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3)
    >>> device.cells
    [Cell(name='a', values={'capacitance': 1e-09, 'conductance': 0.001})]
    """

    name: str
    values: dict[str, float]


@dataclass(frozen=True)
class Coupler:
    """One coupler: its end points and ``{quantity: value}`` in SI units (see `spu.device.quantities.COUPLER_PARTS`).

    One number where both directions are equal, else ``(g_ab, g_ba)``.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device()
    >>> for name in ("a", "b"):
    ...     device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    >>> device.add_coupler("a", "b", capacitance=1e-10, transconductance=(1e-4, -1e-4))
    >>> device.couplers
    [Coupler(a='a', b='b', values={'capacitance': 1e-10, 'transconductance': (0.0001, -0.0001)})]
    """

    a: str
    b: str
    values: dict[str, float | tuple[float, float]]


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
    >>> import spu
    >>> device = spu.Device()
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    >>> device.add_cell("b", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    >>> device.add_coupler("a", "b", capacitance=2e-10)
    >>> spu.predict(device).covariance.shape
    (2, 2)
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
    tolerance: Tolerance = field(default_factory=Tolerance, repr=False)
    """How boards of it differ; see `spu.device.variation`. The device itself is as its values say."""
    origin: Origin | None = field(default=None, repr=False)
    """What it was compiled from; None of one made by hand."""
    ramp: Ramp | None = field(default=None, repr=False)
    """Factors in time on its couplers and its injected noise; what is predicted of it is at the end of them."""

    start: Annotated[FloatArray, "n"] | None = field(default=None, repr=False)
    """(n,) V of the cells at time zero (`set_start`), of linear devices; what is stationary does not hang on it."""

    def __post_init__(self) -> None:
        kelvin = self.temperature
        if isinstance(kelvin, bool) or not isinstance(kelvin, (int, float)) or not 0 <= kelvin < 1e60:
            raise InputError(f"temperature must be a number of kelvin >= 0, not {shorten(kelvin)}")
        self.temperature = float(kelvin)
        self.cell_names: list[str] = []
        self.cell_columns = Columns(tuple(CELL_PARTS.values()), "a cell")
        self.coupler_ends: IntArray = np.empty((0, 2), dtype=np.int64)
        self.coupler_columns = Columns(tuple(COUPLER_PARTS.values()), "a coupler")
        self.shared = Noises()
        """Noise sources that several cells share, as columns."""
        self._index: dict[str, int] = {}
        self._kept: tuple[tuple[Any, ...], dict[str, Any]] | None = None
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
            the flux, A/Wb^k), ``polynomial_capacitance`` (v of the charge, V/C^k). All are in
            `spu.device.quantities.CELL_PARTS`.

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
            Any of the quantities in `spu.device.quantities.COUPLER_PARTS`: ``capacitance`` (F), ``conductance`` (S)
            and ``inductance`` (H) between the cells, transconductors (S): a number ``g`` for ``G_ab = G_ba = g``,
            or a pair ``(g_ab, g_ba)``, where a current ``g_ab v_b`` leaves cell a...

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

    def add_noise(self, name: str, amplitudes: Mapping[str, float]) -> None:
        """Add a white noise source that several cells share: what it drives into them is correlated.

        Parameters
        ----------
        name:
            Letters, digits and underscores; unique among these sources even ignoring case.
        amplitudes:
            ``{cell: A/sqrt(Hz)}``, one-sided, into the cell; a negative one the other way round. The currents into
            cells a and b have the cross-density ``amplitudes[a] * amplitudes[b]``, A^2/Hz.

        Raises
        ------
        InputError
            For a bad name, an unknown cell, or a value that is no number.
        """
        self.shared.add(name, amplitudes, self._index, f"noise {shorten(name)}", None)

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
        cells: Mapping[str, Annotated[ArrayLike, "n"]],
        ends: Annotated[ArrayLike, "m 2"],
        couplers: Mapping[str, Annotated[ArrayLike, "m"]],
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
            ``{key: (m,) array}``; the two directions of transconductors (``_ab``, ``_ba``) apart.
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
        return thermodynamic(self.problem)

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
    def noises(self) -> list[SharedNoise]:
        """The noise sources that cells share, as values, in order."""
        return self.shared.values(self.cell_names)

    @property
    def readout(self) -> Readout:
        """The map to problem variables; the voltages themselves where none was given.

        Raises
        ------
        InputError
            If cells were added since it was given.
        """
        n = len(self.cell_names)
        if self._readout is not None:
            known = self._readout.matrix.shape[1]
            if known != n:
                raise InputError(f"the readout is of {known} cells and the device has {n}: set_readout says it anew")
            return self._readout
        return Readout(tuple(self.cell_names), canonical(sp.eye_array(n)), np.zeros(n))

    def set_readout(
        self,
        matrix: Annotated[ArrayLike | sp.sparray, "p n"],
        offset: float | Annotated[ArrayLike, "p"] = 0.0,
        variables: Sequence[str] | None = None,
    ) -> None:
        """Read ``x = matrix @ v + offset``: ``matrix`` (p, n) in problem units per volt, ``offset`` (p,)."""
        names = self.cell_names if variables is None else variables
        self._readout = checked_readout(matrix, offset, names, len(self.cell_names))

    def set_start(self, values: float | Annotated[ArrayLike, "p"] | None) -> None:
        """Say where the variables are at time zero: in the netlist (``.ic``), its replay, and runs with ``times``.

        Parameters
        ----------
        values:
            (p,) problem units, or one number for all; None for no start. Where cells are read in pairs they get no
            common voltage; no current flows in inductors.

        Raises
        ------
        InputError
            If they are no numbers, or no voltages give them.
        """
        if values is None:
            self.start = None
            return
        readout = self.readout
        problem = f"a start is finite numbers, one a variable ({len(readout.variables)}) or one for all"
        try:
            given = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(problem) from None
        if given.shape not in ((), readout.offset.shape) or not np.isfinite(given).all():
            raise InputError(problem)
        if self.programmings:
            raise InputError(f"a start is of one programming, and this is an ensemble of {1 + len(self.programmings)}")
        self.start = self._from_sources(readout.voltages(np.broadcast_to(given, readout.offset.shape)))

    def _from_sources(self, start: Annotated[FloatArray, "n"]) -> Annotated[FloatArray, "n"]:
        """A start (n,) V, in which what a source holds starts there."""
        if not self.cell_columns.holds("clamp"):
            return start
        level = self.cell_columns.arrays["clamp"]
        return np.where(np.isnan(level), start, level)

    def clamped(self, held: Mapping[str, float]) -> Device:
        """The device with variables held, by voltage sources at their cells.

        The other variables then have the conditional law, if theirs was that of a quadratic energy. On a device with
        inductors no constant voltage stands: there what is held is held at 0 V, which leaves the covariance right,
        and the conditional mean of the problem is added at readout.

        Parameters
        ----------
        held:
            Variables and their values, problem units: ``{"x1": 0.5}``. Of those of the readout; a problem, where the
            device has one, becomes the conditional one (`spu.conditional`).

        Raises
        ------
        InputError
            If a name or value does not fit, the variable is read of a chain of cells, or the problem has no
            conditional law.

        Examples
        --------
        >>> import spu
        >>> device = spu.compile([[2.0, -1.0], [-1.0, 2.0]], architecture="rc-resistive")
        >>> held = device.clamped({"x1": 1.0})
        >>> spu.predict(held).mean.round(9), spu.predict(held).covariance.round(9)
        (array([1. , 0.5]), array([[0. , 0. ],
               [0. , 0.5]]))
        """
        if self.network is not None:
            raise InputError("units of a network are held while it runs: simulate(device, clamp=), or its --clamp")
        if self.programmings:
            raise InputError(
                "the programmings of an ensemble have gains of their own, and a source has one voltage: hold variables "
                "of one of device.members()"
            )
        device = copy(self)
        values, device._readout, device.problem = hold(device.cell_columns, self.readout, self.problem, held)
        if device.start is not None:
            device.start = device._from_sources(device.start)
        if self.origin is not None and self.as_compiled:
            _ = device.kept
            device.compiled_from(f"{self.origin.source}, held {values!r}")
        return device

    @property
    def graph(self) -> nx.Graph:
        """A networkx graph: nodes carry ``cell`` (`Cell`), edges ``coupler`` (`Coupler`), the graph the rest."""
        import networkx as nx

        graph = nx.Graph(
            temperature=self.temperature,
            architecture=self.architecture,
            detail=self.detail,
            tolerance=self.tolerance,
            readout=self._readout,
            noises=self.noises,
            origin=self.origin,
            ramp=self.ramp,
            start=self.start,
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
        device.tolerance = graph.graph.get("tolerance", device.tolerance)
        device.origin = graph.graph.get("origin")
        device.ramp = graph.graph.get("ramp")
        device.start = graph.graph.get("start")
        for node, data in graph.nodes(data=True):
            cell = data.get("cell")
            device.add_cell(str(node), **(cell.values if cell is not None else data))
        for a, b, data in graph.edges(data=True):
            coupler = data.get("coupler")
            if coupler is None:
                device.add_coupler(str(a), str(b), **data)
            else:  # an undirected graph may hand the ends back swapped; the coupler knows its own
                device.add_coupler(coupler.a, coupler.b, **coupler.values)
        for noise in graph.graph.get("noises", ()):
            device.add_noise(noise.name, noise.amplitudes)
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
        cell_codes: Mapping[str, Annotated[IntArray, "n"]],
        coupler_codes: Mapping[str, Annotated[IntArray, "m"]],
    ) -> None:
        """Quantise: banks by quantity and codes by key; values become those of the codes."""
        self.cell_columns.banks, self.coupler_columns.banks = dict(cell), dict(coupler)
        self.cell_columns.set_codes(cell_codes)
        self.coupler_columns.set_codes(coupler_codes)

    def programmed(self, programming: Programming) -> Device:
        """The device with other codes, readout and bias: the same wiring, no ensemble."""
        device = copy(self)
        device._readout = programming.readout.copy()
        device.programmings = []
        device.cell_columns.set_codes(programming.cell_codes)
        device.coupler_columns.set_codes(programming.coupler_codes)
        device.cell_columns.arrays["bias"] = programming.bias.copy()
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
        """The programmings of an ensemble as devices of their own; the device alone where it is none."""
        if not self.programmings:
            return [self]
        kept = self.kept
        if "members" not in kept:
            found = [self.programmed(programming) for programming in (self.programming, *self.programmings)]
            for k, member in enumerate(found):
                member.origin = None
                if self.origin is not None and self.as_compiled:
                    member.compiled_from(f"{self.origin.source}, programming {k + 1}")
            for member in found:  # whoever takes a copy finds the work that was done for another
                _ = member.kept
            kept["members"] = found
        return [copy(member) for member in kept["members"]]

    def at_temperature(self, kelvin: float) -> Device:
        """The device at another temperature: its resistors' noise, and its values where their coefficients are known.

        Parameters
        ----------
        kelvin:
            0 or more; at 0 no resistor makes noise, and values are those at the reference.

        Raises
        ------
        InputError
            If it is no such number.

        Examples
        --------
        >>> import spu
        >>> device = spu.Device(detail=spu.Detail(temperature={"capacitance": 1e-3, "reference": 300.0}))
        >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3)
        >>> colder, warmer = (device.at_temperature(kelvin) for kelvin in (300.0, 400.0))
        >>> round(float((spu.predict(warmer).covariance / spu.predict(colder).covariance)[0, 0]), 6)  # kT / C
        1.212121
        """
        if isinstance(kelvin, bool) or not isinstance(kelvin, Real) or not 0 <= float(kelvin) < math.inf:
            raise InputError(f"temperature is {shorten(kelvin)}: it must be a number of kelvins, 0 or more")
        device = copy(self)
        device.temperature = float(kelvin)
        return device

    # Copies, and what is kept

    def __copy__(self) -> Device:
        """A device of its own: nothing that is done to the one is seen in the other."""
        device: Device = object.__new__(type(self))
        device.__dict__.update(self.__dict__)
        device.cell_names, device._index = list(self.cell_names), dict(self._index)
        device.coupler_ends, device.shared = self.coupler_ends.copy(), self.shared.copy()
        device.cell_columns, device.coupler_columns = self.cell_columns.copy(), self.coupler_columns.copy()
        device._readout = None if self._readout is None else self._readout.copy()
        device.detail, device.programmings = deepcopy(self.detail), deepcopy(self.programmings)
        device.start = deepcopy(self.start)
        return device

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None}

    @property
    def kept(self) -> dict[str, Any]:
        """What followed from the device as it is now, by name: its digests, its circuit, its members.

        Anybody may change a device, down to one entry of an array. So its whole state, bit by bit, is held against
        the one that things were kept for, whenever they are asked for; that costs far less than any of them. Copies
        share it until one of them changes. It does not go into a pickle.
        """
        state = self._state()
        if self._kept is None or self._kept[0] != state:
            self._kept = (frozen(state), {})
        return self._kept[1]

    def _state(self) -> tuple[Any, ...]:
        """All that a device is, so that two are equal only where not one bit differs; problems do not change."""
        return (
            self._settings(),
            _Same(self.problem),
            list(self.cell_names),
            Bits(self.coupler_ends),
            *(columns.state() for columns in (self.cell_columns, self.coupler_columns)),
            self.shared.state(),
            None if self._readout is None else self._readout.state(),
            None if self.start is None else Bits(np.asarray(self.start, dtype=np.float64)),
            *(programming.state() for programming in self.programmings),
        )

    def _settings(self) -> str:
        ramp = self.ramp.to_dict() if isinstance(self.ramp, Ramp) else self.ramp
        return repr((self.temperature, self.architecture, self.detail, self.tolerance, self.origin, self.scales, ramp))

    # The file

    def to_dict(self) -> dict[str, Any]:
        """The device file as a JSON-able dictionary (format ``spu-device/1``)."""
        return device_file.to_dict(self)

    def to_json(self) -> str:
        """The device file: one cell or coupler a line, for people and for ``diff``."""
        return "".join(device_file.pieces(self))

    def write_to(self, stream: BinaryIO) -> None:
        """Write the device file to an open stream, piece by piece."""
        device_file.write_to(self, stream)

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
        return device_file.from_dict(cls, data, file)

    # Digests

    def compiled_from(self, source: str) -> None:
        """Take the values of now for what was computed from a source (its digest): they leave the hash."""
        origin = Origin(source, self.computed)
        if origin != self.origin:
            self.origin = origin
            assert self._kept is not None  # for what the device is, but for its origin
            self._kept = ((self._settings(), *self._kept[0][1:]), {"computed": origin.values})

    @property
    def as_compiled(self) -> bool:
        """Whether all values are those that were computed when the device was compiled; False of one made by hand."""
        return self.origin is not None and self.origin.values == self.computed

    @property
    def computed(self) -> str:
        """Digest of the values that do not follow from codes, bit by bit: of parts, of readouts, of bias currents."""
        return self._computed(self.kept)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits: of topology, names, codes and settings, and of the values that were given.

        They change with any value of a device that was made by hand or edited. Of one that is as it was compiled
        the values follow from problem, hardware and version; these are in the hash in their place, so that it is
        the same on every processor.
        """
        return self._hashed(self.kept)

    @property
    def content(self) -> str:
        """The hash and more: the same only where not one bit of any value differs."""
        kept = self.kept
        return f"{self._hashed(kept)} {self._computed(kept)}"

    def _computed(self, kept: dict[str, Any]) -> str:
        if "computed" not in kept:
            kept["computed"] = self._digest_of_values()
        return str(kept["computed"])

    def _hashed(self, kept: dict[str, Any]) -> str:
        if "hash" not in kept:
            kept["hash"] = self._digest(self._computed(kept))
        return str(kept["hash"])

    def _digest_of_values(self) -> str:
        found = Digest()
        for columns in (self.cell_columns, self.coupler_columns):
            for key, array in columns.held().items():
                if not columns.follows_codes(key):
                    found.text(key)
                    found.numbers(array)
            for key, errors in columns.errors.items():
                found.text(f"errors of {key}")
                found.numbers(errors)
        if self.shared:
            found.text("shared noise")
            found.numbers(self.shared.amplitudes)
        for readout in (self._readout, *(programming.readout for programming in self.programmings)):
            if readout is not None:
                matrix = readout.matrix
                found.text("readout")
                found.numbers(matrix.indptr, matrix.indices, matrix.data, readout.offset)
        for programming in self.programmings:
            found.numbers(programming.bias)
        if self.start is not None:
            found.text("start")
            found.numbers(np.asarray(self.start, dtype=np.float64))
        if self.ramp is not None:
            found.text("ramp")
            found.numbers(self.ramp.times, self.ramp.couplers, self.ramp.noise)
        return found.hexdigest()

    def _digest(self, computed: str) -> str:
        found = Digest()
        found.text(FORMAT, repr(float(self.temperature)), self.architecture)
        if self.detail:
            found.text("detail", json.dumps(self.detail.to_dict()))
        found.text(*self.cell_names)
        found.numbers(self.coupler_ends.ravel())
        for columns in (self.cell_columns, self.coupler_columns):
            for key, array in columns.held().items():
                found.text(key)
                found.numbers(np.packbits(~np.isnan(array)))
        if self.shared:
            found.text("shared noise", *self.shared.names)
            found.numbers(self.shared.taps.ravel())
        if self._readout is not None:
            found.text("variables", *self._readout.variables)
        if self.ramp is not None:
            found.text("ramp", str(len(self.ramp.times)))
        if self.quantised:
            found.text("banks", json.dumps(device_file.banks_dict(self)))
            found.numbers(*self.cell_columns.codes.values(), *self.coupler_columns.codes.values())
        for programming in self.programmings:
            found.numbers(*programming.cell_codes.values(), *programming.coupler_codes.values())
        if self.origin is not None and self.origin.values == computed:
            found.text("compiled from", self.origin.source)
        else:
            found.text("values", computed)
        return found.hexdigest()[:12]


class _Same:
    """Equal to another one only where both hold the very same object."""

    def __init__(self, what: object) -> None:
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.what is self.what

    __hash__ = None  # type: ignore[assignment]
