"""The elements of a device as one vector of values: what varies between boards, and what a measurement tells.

Corners, yield, sensitivities and calibration all speak of the same list (`elements_of`): one entry for each physical
part of each cell and coupler, then one for each imperfection (`spu.device.imperfections`), whose value is shared by all
its instances. A board is this vector times factors (`varied`).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.device.device import Device
from spu.device.imperfections import key_of
from spu.device.tolerance import Spread, Tolerance, checked_draw

__all__ = ["METHODS", "Elements", "draw_factors", "elements_of", "varied"]

METHODS = ("plain", "latin")
"""How boards are drawn: independently, or as a Latin hypercube (each element's values in as many equally likely strata
as there are boards, one in each; McKay, Beckman and Conover, Technometrics 21, 239, 1979)."""


@dataclass(frozen=True, eq=False)
class Group:
    """Elements of one quantity, or of one direction of it.

    Attributes
    ----------
    kind, quantity:
        ``cell``, ``coupler``, ``shared`` (amplitudes of noise that cells share) or ``detail``, and what it is there
        (``table.key`` of a detail).
    keys:
        Columns that one element is: several of a polynomial quantity.
    rows:
        (k,) numbers of the cells, couplers or places where shared noise drives a cell; empty for a detail.
    """

    kind: str
    quantity: str
    keys: tuple[str, ...]
    rows: IntArray

    @property
    def name(self) -> str:
        """``cell.conductance``."""
        return f"{self.kind}.{self.quantity}"

    def __len__(self) -> int:
        return 1 if self.kind == "detail" else len(self.rows)


@dataclass(frozen=True, eq=False)
class Elements:
    """All elements of a device, in a fixed order: of cells by quantity, of couplers by quantity, shared noise, details.

    Attributes
    ----------
    names:
        (e,) as people call them: ``conductance of x1``, ``transconductance_ab of x1-x2``, ``node.capacitance``.
    values:
        (e,) SI, of the device as it is; the first coefficient that is not zero of a polynomial one.
    groups:
        What they are, in the order of the elements.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(tolerance=spu.Tolerance(cell={"conductance": 0.01}))
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> elements = spu.elements_of(device)
    >>> elements.kinds
    ('cell.capacitance', 'cell.conductance', 'cell.noise')
    >>> elements.sigmas(device.tolerance)[0].tolist()
    [0.0, 0.01, 0.0]
    """

    names: tuple[str, ...]
    values: Annotated[FloatArray, "e"]
    groups: tuple[Group, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def slices(self) -> list[slice]:
        """Where the elements of each group stand."""
        ends = np.cumsum([0, *(len(group) for group in self.groups)]).tolist()
        return [slice(*pair) for pair in pairwise(ends)]

    @property
    def kinds(self) -> tuple[str, ...]:
        """(e,) the name of each element's group."""
        return tuple(group.name for group in self.groups for _ in range(len(group)))

    def spreads(self, tolerance: Tolerance) -> list[Spread]:
        """(g,) what is stated for each group."""
        tables = {part: getattr(tolerance, part) for part in ("cell", "coupler", "shared", "detail")}
        return [tables[group.kind].get(group.quantity, Spread()) for group in self.groups]

    def sigmas(self, tolerance: Tolerance) -> tuple[Annotated[FloatArray, "e"], Annotated[FloatArray, "e"]]:
        """Standard deviations of relative errors: of each element's own, and of what it shares with its quantity.

        Raises
        ------
        InputError
            As `Spread.sigmas`.
        """
        own, shared = np.zeros(len(self)), np.zeros(len(self))
        for where, spread in zip(self.slices, self.spreads(tolerance), strict=True):
            own[where], shared[where] = spread.sigmas(self.values[where]), spread.process
        return own, shared

    def number(self, name: str) -> int:
        """Where an element of that name stands.

        Raises
        ------
        InputError
            If there is none.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise InputError(f"no element {shorten(name)}; {suggest(name, self.names)}") from None


def elements_of(device: Device) -> Elements:
    """List the elements of a device.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device()
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> elements = spu.elements_of(device)
    >>> elements.names
    ('capacitance of a', 'conductance of a', 'noise of a')
    >>> varied = spu.varied(device, [1.1, 1.0, 1.0])
    >>> f"{varied.cells[0].values['capacitance']:.3g}"
    '1.1e-09'
    """
    groups: list[Group] = []
    names: list[str] = []
    values: list[FloatArray] = []
    both = (
        ("cell", device.cell_columns, device.cell_names),
        ("coupler", device.coupler_columns, device.coupler_labels),
    )
    for kind, columns, labels in both:
        for part in columns.parts.values():
            held = [key for key in part.keys if columns.holds(key)]
            for keys in [tuple(held)] if part.polynomial and held else [(key,) for key in held]:
                table = np.nan_to_num(np.array([columns.arrays[key] for key in keys]))
                rows = np.flatnonzero(table.any(axis=0))
                if not len(rows):
                    continue
                groups.append(Group(kind, part.quantity, keys, rows))
                called = part.quantity if part.polynomial or len(part.keys) == 1 else keys[0]
                names += [f"{called} of {labels[row]}" for row in rows.tolist()]
                first = (table[:, rows] != 0).argmax(axis=0)
                values.append(table[first, rows])
    if device.shared:
        shared = device.shared
        groups.append(Group("shared", "amplitude", ("amplitude",), np.arange(len(shared.taps))))
        pairs = shared.taps.tolist()
        names += [f"amplitude of {shared.names[source]} into {device.cell_names[cell]}" for source, cell in pairs]
        values.append(shared.amplitudes.copy())
    for effect in device.detail.effects:
        if not key_of(effect).varies:
            continue
        value = device.detail.number(effect)
        groups.append(Group("detail", effect, (effect,), np.empty(0, dtype=np.int64)))
        names.append(effect)
        values.append(np.array([value]))
    return Elements(tuple(names), np.concatenate([*values, np.empty(0)]), tuple(groups))


def varied(device: Device, factors: Annotated[ArrayLike, "e"], elements: Elements | None = None) -> Device:
    """The same device with the value of each element multiplied.

    Values that are those of codes keep them: their factors stand beside the codes (``errors`` of the device file), so
    that a board that is programmed anew errs as before. In an ensemble all programmings are of the same board.

    Parameters
    ----------
    device:
        Unchanged.
    factors:
        (e,) positive, in the order of `elements_of`.
    elements:
        Of the device, where they are known already.

    Raises
    ------
    InputError
        If there are not as many, or one is not positive and finite.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(tolerance=spu.Tolerance(cell={"conductance": 0.01}))
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> board = spu.varied(device, [1.0, 1.1, 1.0])
    >>> round(board.cells[0].values["conductance"], 6)
    0.0011
    """
    elements = elements_of(device) if elements is None else elements
    given = np.asarray(factors, dtype=np.float64)
    if given.shape != (len(elements),) or not np.isfinite(given).all() or (given <= 0).any():
        raise InputError(f"factors of a device's elements are {len(elements)} positive numbers")
    made = copy(device)
    detail = device.detail
    for group, where in zip(elements.groups, elements.slices, strict=True):
        factor = given[where]
        if (factor == 1.0).all():
            continue
        if group.kind == "detail":
            detail = detail.scaled(group.quantity, float(factor[0]))
            continue
        if group.kind == "shared":
            made.shared.amplitudes *= factor
            continue
        columns = made.cell_columns if group.kind == "cell" else made.coupler_columns
        for key in group.keys:
            if group.quantity in columns.banks:
                errors = columns.errors.get(key, np.zeros(len(columns)))
                errors[group.rows] = (1.0 + errors[group.rows]) * factor - 1.0
                columns.errors[key] = errors
            else:
                columns.arrays[key][group.rows] *= factor
    for columns in (made.cell_columns, made.coupler_columns):
        for quantity in columns.banks:  # both directions of a pair have errors, or neither
            keys = columns.parts[quantity].keys
            if any(key in columns.errors for key in keys):
                columns.errors.update({key: columns.errors.get(key, np.zeros(len(columns))) for key in keys})
        if columns.errors:
            columns.set_codes(dict(columns.codes))
    made.detail = detail
    return made


def draw_factors(
    elements: Elements, tolerance: Tolerance, draws: int, seed: int = 0, method: str = "plain", *, first: int = 0
) -> Annotated[FloatArray, "draws e"]:
    """Draw many boards: factors for `varied`.

    Parameters
    ----------
    elements:
        Of the device.
    tolerance:
        How they spread; those of which nothing is stated have factors of 1.
    draws:
        How many boards.
    seed:
        0 or more. The same seed gives the same boards; of ``plain`` ones the first are the same whatever their number.
    method:
        One of `METHODS`.
    first:
        Number of the first one: of ``plain`` boards, which may be drawn piece by piece.

    Returns
    -------
    (draws, e) ndarray
        ``(1 + process) (1 + mismatch)``.

    Raises
    ------
    InputError
        For a method that is none, pieces of a hypercube, or as `Spread.sigmas`.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(tolerance=spu.Tolerance(cell={"conductance": 0.01}))
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> factors = spu.draw_factors(spu.elements_of(device), device.tolerance, 3, seed=1)
    >>> factors.shape, bool((factors[:, [0, 2]] == 1).all()), bool((abs(factors[:, 1] - 1) < 0.05).all())
    ((3, 3), True, True)
    """
    if method not in METHODS:
        raise InputError(f"method {shorten(method)}; {suggest(method, METHODS)}")
    if method != "plain" and first:
        raise InputError(f"the boards of a {method} sample are drawn together: first is 0")
    seed = checked_draw(seed)
    factors = np.ones((draws, len(elements)))
    spreads = elements.spreads(tolerance)
    quantities = sorted(
        {group.quantity for group, spread in zip(elements.groups, spreads, strict=True) if spread.process}
    )
    shared = dict(zip(quantities, _uniforms(draws, len(quantities), seed, 0, method, first).T, strict=True))
    for number, (group, where, spread) in enumerate(zip(elements.groups, elements.slices, spreads, strict=True)):
        if spread.mismatch:
            u = _uniforms(draws, len(group), seed, number + 1, method, first)
            factors[:, where] *= 1.0 + spread.errors(u, spread.sigmas(elements.values[where]))
        if spread.process:
            factors[:, where] *= 1.0 + spread.errors(shared[group.quantity], spread.process)[:, None]
    return factors


def _uniforms(draws: int, count: int, seed: int, number: int, method: str, first: int) -> FloatArray:
    """(draws, count) in (0, 1)."""
    stream = np.random.PCG64(np.random.SeedSequence([seed, number]))  # as default_rng has it
    made = np.random.Generator(stream.advance(first * count))
    u = made.random((draws, count))
    if method == "latin":
        strata = made.permuted(np.tile(np.arange(draws), (count, 1)), axis=1).T
        u = (strata + u) / draws
    return np.clip(u, 2.0**-53, 1.0 - 2.0**-53)


def called(elements: Elements, names: Sequence[str]) -> IntArray:
    """(k,) numbers of the elements that names mean: of single ones, of groups (``cell.conductance``), of quantities.

    Raises
    ------
    InputError
        For a name that means none.
    """
    kinds = elements.kinds
    found: dict[int, None] = {}
    for name in names:
        same = [k for k, (own, kind) in enumerate(zip(elements.names, kinds, strict=True)) if name in _words(own, kind)]
        if not same:
            known = [*dict.fromkeys(kinds), *elements.names]
            raise InputError(f"no element {shorten(name)}; {suggest(name, known)}")
        found.update(dict.fromkeys(same))
    return np.array(list(found), dtype=np.int64)


def _words(name: str, kind: str) -> Any:
    return (name, kind, kind.partition(".")[2])
