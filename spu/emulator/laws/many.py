"""Exact laws of many boards at once: means and covariances of a device whose elements have other values in each.

Boards of one device differ in numbers only. For the kinds of circuits that `spu.emulator.laws.draws` knows compiled
loops solve for several boards side by side, and say how well; what they do not tell, and all boards of other circuits,
is solved one board at a time (`spu.predict`). How boards are cut into pieces, and how many threads there are, changes
no bit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, InputError
from spu.base.threads import available_threads
from spu.circuit.circuit import Circuit
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.variation import Elements, elements_of, varied
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.equations.monomials import factored
from spu.emulator.laws.draws import FAMILIES, Family
from spu.emulator.predict import predict_linear

__all__ = ["ManyLaws", "laws_of_draws"]


@dataclass(frozen=True, eq=False)
class ManyLaws:
    """Stationary statistics of d boards.

    Attributes
    ----------
    voltage_mean, voltage_covariance:
        (d, n) V, (d, n, n) V^2, of each board's cells; not a number where it has no law.
    stable:
        (d,) whether it has one.
    mean, covariance:
        (d, p), (d, p, p), problem units.
    why:
        Why a board has no law, by its number.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> laws = spu.laws_of_draws(device, [[1.0, 1.0], [2.0, 1.0]])
    >>> ratio = laws.voltage_covariance[0] / laws.voltage_covariance[1]
    >>> laws.stable.all(), round(float(ratio.item()), 9)
    (np.True_, 2.0)
    """

    voltage_mean: Annotated[FloatArray, "d n"]
    voltage_covariance: Annotated[FloatArray, "d n n"]
    mean: Annotated[FloatArray, "d p"]
    covariance: Annotated[FloatArray, "d p p"]
    stable: Annotated[NDArray[np.bool_], "d"]
    why: dict[int, str] = field(default_factory=dict)


def laws_of_draws(device: Device, factors: Annotated[ArrayLike, "d e"], elements: Elements | None = None) -> ManyLaws:
    """Exact stationary means and covariances of many boards of a device.

    Parameters
    ----------
    device:
        Of linear cells; of an ensemble the statistics are those of all programmings in equal shares.
    factors:
        (d, e) what each board's elements are multiplied by, in the order of `elements_of`; positive.
    elements:
        Of the device, where they are known already.

    Raises
    ------
    InputError
        If factors are not positive and finite, or not as many as there are elements.
    UsageError
        If the device is not linear.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> elements = spu.elements_of(device)
    >>> factors = spu.draw_factors(elements, spu.Tolerance(cell={"conductance": 0.05}), 3, seed=1)
    >>> laws = spu.laws_of_draws(device, factors, elements)
    >>> laws.covariance.shape, laws.mean.shape
    ((3, 2, 2), (3, 2))
    """
    elements = elements_of(device) if elements is None else elements
    given = np.ascontiguousarray(factors, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != len(elements) or not (given > 0).all() or not np.isfinite(given).all():
        raise InputError(f"factors of many boards are positive numbers, a row of {len(elements)} for each board")
    family = family_of(device, elements)
    found = _nothing(device, len(given))
    left = np.arange(len(given))
    if family is not None and len(given):
        left = _side_by_side(family, given, found)
        _read(device, found)
        left = np.union1d(left, _cancelled(device, found))
    for k in left.tolist():
        try:
            law = predict_linear(varied(device, given[k], elements))
        except CircuitError as error:
            found.why[k] = error.message
            for array in (found.voltage_mean, found.voltage_covariance, found.mean, found.covariance):
                array[k] = np.nan
            found.stable[k] = False
            continue
        found.voltage_mean[k], found.voltage_covariance[k] = law.voltage_mean, np.asarray(law.voltage_covariance)
        found.mean[k], found.covariance[k] = law.mean, np.asarray(law.covariance)
        found.stable[k] = True
    return found


CERTAIN = 1e-10
"""Estimated relative error up to which the law of a board is taken from the loops."""

_PIECE = 256
"""Boards that a thread takes at once."""

_CANCELS = 1e-5
"""Share of its terms that is left of a variance, below which it is read off the law in more digits than voltages have."""


def _nothing(device: Device, count: int) -> ManyLaws:
    """Room for the laws of so many boards."""
    n, p = len(device.cell_names), len(device.readout.variables)
    shapes = ((n,), (n, n), (p,), (p, p))
    return ManyLaws(*(np.full((count, *shape), np.nan) for shape in shapes), np.zeros(count, dtype=bool))


_SAID = ("temperature", "nodes", "instances", "sources", "probes", "probe_nodes", "readout", "hash", "problem")
_SAID += ("content", "scales", "ramp", "start")
"""What of a circuit stationary laws are known to hang on, or not to."""


def _plain(circuit: Circuit) -> bool:
    """Whether a circuit is its elements, and nothing more is said of it."""
    said = all(each.name in _SAID or getattr(circuit, each.name) in (None, (), "") for each in fields(circuit))
    return said and not circuit.ramped and type(dynamics(circuit)) is LinearDynamics


def family_of(device: Device, elements: Elements) -> Family | None:
    """The kind of a device's circuit for the compiled loops, kept with it; None where it is of none."""
    kept = device.kept
    if "family" not in kept:
        kept["family"] = _family(device, elements)
    found: Family | None = kept["family"]
    return found


def _family(device: Device, elements: Elements) -> Family | None:
    if device.programmings or not len(elements) or not _plain(lower(device)):
        return None
    terms = factored(device, elements)
    if terms is None:
        return None
    for kind in FAMILIES:
        family = kind.of(terms)
        if family is not None and _agrees(device, family, len(elements)):
            return family
    return None


def _agrees(device: Device, family: Family, count: int) -> bool:
    """Whether the loops find the law of the device itself."""
    try:
        law = predict_linear(device)
    except CircuitError:
        return False
    mean, covariance, error = family.laws(np.ones((1, count)))
    if not error[0] <= CERTAIN:
        return False
    spread = np.sqrt(law.voltage_covariance.diagonal())
    near = np.abs(covariance[0] - law.voltage_covariance) <= 1e-9 * np.outer(spread, spread)
    return bool(near.all() and (np.abs(mean[0] - law.voltage_mean) <= 1e-9 * (np.abs(mean[0]) + spread)).all())


def _side_by_side(family: Family, factors: FloatArray, into: ManyLaws) -> NDArray[np.int64]:
    """Fill in the laws in volts; returns the numbers of those that are not known well enough."""
    starts = range(0, len(factors), _PIECE)
    error = np.empty(len(factors))

    def solve(start: int) -> None:
        piece = slice(start, start + _PIECE)
        into.voltage_mean[piece], into.voltage_covariance[piece], error[piece] = family.laws(factors[piece])

    threads = min(available_threads(), len(starts))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(solve, starts))
    else:
        for start in starts:
            solve(start)
    known = error <= CERTAIN
    into.stable[:] = known
    return np.flatnonzero(~known)


def _read(device: Device, found: ManyLaws) -> None:
    """Problem units out of volts."""
    T = device.readout.matrix.toarray()
    np.matmul(found.voltage_mean, T.T, out=found.mean)
    np.add(found.mean, device.readout.offset, out=found.mean)
    np.matmul(T @ found.voltage_covariance, T.T, out=found.covariance)


def _cancelled(device: Device, found: ManyLaws) -> NDArray[np.int64]:
    """Boards on which variables are the small differences of large voltages."""
    T = abs(device.readout.matrix)
    if (np.diff(T.indptr) <= 1).all():
        return np.empty(0, dtype=np.int64)
    spread = np.sqrt(np.einsum("dii->di", found.voltage_covariance)) @ T.T
    variance = np.einsum("dii->di", found.covariance)
    return np.flatnonzero((variance < _CANCELS * spread**2).any(axis=1))
