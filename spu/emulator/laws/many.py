"""Exact laws of many boards at once: means and covariances of a device whose elements have other values in each.

Boards of one device differ in numbers only. For the kinds of circuits that `spu.emulator.laws.draws` knows compiled
loops solve for several boards side by side, and say how well; what they do not tell, and all boards of other circuits,
is solved one board at a time (`spu.predict`). How boards are cut into pieces, and how many threads there are, changes
no bit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spu.base.arrays import FloatArray, IntArray, Matrix
from spu.base.errors import CircuitError, InputError, UsageError
from spu.base.threads import available_threads
from spu.circuit.circuit import Circuit
from spu.circuit.readout import Readout
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.variation import Elements, elements_of, varied
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.equations.monomials import Factors, factored
from spu.emulator.laws.converted import even
from spu.emulator.laws.draws import FAMILIES, Family
from spu.emulator.laws.large import LARGE
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
    readout:
        From voltages to problem variables.
    why:
        Why a board has no law, by its number.
    read:
        Mean and covariance in problem units of boards where they do not follow from those in volts.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> laws = spu.laws_of_draws(device, [[1.0, 1.0], [2.0, 1.0]])
    >>> ratio = laws.voltage_covariance[0] / laws.voltage_covariance[1]
    >>> laws.stable.tolist(), round(float(ratio.item()), 9)
    ([True, True], 2.0)
    """

    voltage_mean: Annotated[FloatArray, "d n"]
    voltage_covariance: Annotated[FloatArray, "d n n"]
    stable: Annotated[NDArray[np.bool_], "d"]
    readout: Readout
    why: dict[int, str] = field(default_factory=dict)
    read: dict[int, tuple[Annotated[FloatArray, "p"], Annotated[FloatArray, "p p"]]] = field(
        default_factory=dict, repr=False
    )

    @cached_property
    def mean(self) -> Annotated[FloatArray, "d p"]:
        """(d, p) problem units."""
        found = self.voltage_mean @ self.readout.matrix.toarray().T + self.readout.offset
        for k, (mean, _) in self.read.items():
            found[k] = mean
        return np.asarray(found)

    @cached_property
    def covariance(self) -> Annotated[FloatArray, "d p p"]:
        """(d, p, p) problem units."""
        T, P = self.readout.matrix, self.voltage_covariance
        if (np.diff(T.indptr) == 1).all():  # each variable is one cell
            found = P[:, T.indices[:, None], T.indices] * np.outer(T.data, T.data)
        else:
            across = T.toarray().T
            half = np.ascontiguousarray((P @ across).transpose(0, 2, 1))
            found = half @ across
        for k, (_, covariance) in self.read.items():
            found[k] = covariance
        return found


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
    known = family_of(device, elements)
    count, cells = len(given), len(device.cell_names)
    found = ManyLaws(
        np.empty((count, cells)), np.empty((count, cells, cells)), np.zeros(count, dtype=bool), device.readout.copy()
    )
    left = np.arange(count) if known is None else _side_by_side(*known, given, found)
    acquisition = lower(device).acquisition
    if known is not None and acquisition is not None and acquisition.converts:
        read, sure = even(acquisition, found.voltage_mean, found.voltage_covariance)
        found.voltage_covariance[:] = read
        sure &= (given[:, _of_converters(elements)] == 1.0).all(axis=1)
        left = np.union1d(left, np.flatnonzero(~sure))
    for k in left.tolist():
        try:
            law = predict_linear(varied(device, given[k], elements))
        except CircuitError as error:
            found.why[k] = error.message
            found.voltage_mean[k], found.voltage_covariance[k], found.stable[k] = np.nan, np.nan, False
            found.read.pop(k, None)
            continue
        found.voltage_mean[k], found.voltage_covariance[k] = law.voltage_mean, _dense(law.voltage_covariance)
        found.read[k] = law.mean, _dense(law.covariance)
        found.stable[k] = True
    return found


def _dense(matrix: Matrix) -> FloatArray:
    """All entries of a covariance.

    Raises
    ------
    UsageError
        If not all are known.
    """
    if not isinstance(matrix, np.ndarray):
        raise UsageError(f"laws of many boards are whole covariances: devices of up to {LARGE} states have them")
    return matrix


CERTAIN = 1e-10
"""Estimated relative error up to which the law of a board is taken from the loops."""

_PIECE = 256
"""Boards that a thread takes at once."""

_CANCELS = 1e-5
"""Share of its terms that is left of a variance, below which voltages have too few digits to read it off."""


def _of_converters(elements: Elements) -> IntArray:
    """Numbers of the elements that are the converters' own."""
    return np.array([k for k, name in enumerate(elements.names) if name in CONVERTERS], dtype=np.int64)


CONVERTERS = ("readout.full_scale", "readout.sample_noise")
"""Elements on which readings at one instant hang, and no element of the circuit."""

_SAID = (
    *("temperature", "nodes", "instances", "sources", "probes", "probe_nodes", "readout", "hash", "problem"),
    *("content", "scales", "ramp", "start"),
)
"""What of a circuit stationary laws are known to hang on, or not to."""


def plain(circuit: Circuit) -> bool:
    """Whether a circuit is its elements, and nothing more is said of it than how readouts are sampled."""
    known = (*_SAID, "acquisition", "from_netlist")
    said = all(each.name in known or getattr(circuit, each.name) in (None, (), "") for each in fields(circuit))
    return said and not circuit.ramped and type(dynamics(circuit)) is LinearDynamics


def family_of(device: Device, elements: Elements) -> tuple[Family, Factors] | None:
    """The kind of a device's circuit for the compiled loops, and what enters them, kept; None where it is of none."""
    kept = device.kept
    if "family" not in kept:
        kept["family"] = _family(device, elements)
    found: tuple[Family, Factors] | None = kept["family"]
    return found


def _family(device: Device, elements: Elements) -> tuple[Family, Factors] | None:
    if device.programmings or not len(elements) or not plain(lower(device)):
        return None
    terms = factored(device, elements)
    if terms is None:
        return None
    for kind in FAMILIES:
        family = kind.of(terms)
        if family is not None and _agrees(device, family, len(elements)):
            return family, terms.factors
    return None


def _agrees(device: Device, family: Family, count: int) -> bool:
    """Whether the loops find the law of the device itself."""
    try:
        law = predict_linear(device)
    except CircuitError:
        return False
    p = len(law.voltage_mean)
    mean, covariance, error = np.empty((1, p)), np.empty((1, p, p)), np.empty(1)
    family.solver()(np.ones((1, count)), mean, covariance, error)
    if not error[0] <= CERTAIN:
        return False
    acquisition = lower(device).acquisition
    if acquisition is not None and acquisition.converts:
        covariance, sure = even(acquisition, mean, covariance)
        if not sure[0]:
            return False
    spread = np.sqrt(law.voltage_covariance.diagonal())
    near = np.abs(covariance[0] - law.voltage_covariance) <= 1e-9 * np.outer(spread, spread)
    return bool(near.all() and (np.abs(mean[0] - law.voltage_mean) <= 1e-9 * (np.abs(mean[0]) + spread)).all())


def _side_by_side(family: Family, factors: Factors, given: FloatArray, into: ManyLaws) -> IntArray:
    """Fill in the laws in volts; returns the numbers of boards of which this way does not tell enough."""
    count, entering = len(given), factors.of(given)
    starts = iter(range(0, count, _PIECE))
    error = np.empty(count)
    mean, covariance = into.voltage_mean, into.voltage_covariance

    def work() -> None:
        solve = family.solver()
        for start in starts:  # shared: who is done takes the next
            piece = slice(start, start + _PIECE)
            solve(entering[piece], mean[piece], covariance[piece], error[piece])

    threads = min(available_threads(), -(-count // _PIECE))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            for each in [pool.submit(work) for _ in range(threads)]:
                each.result()
    else:
        work()
    known = (error <= CERTAIN) & (given[:, ~factors.known] == 1.0).all(axis=1)
    T = into.readout.matrix
    if (np.diff(T.indptr) > 1).any():  # differences of large voltages may be small
        rows = T.toarray()
        spread = np.sqrt(np.einsum("dii->di", covariance)) @ np.abs(rows).T
        variance = np.einsum("pi,dip->dp", rows, covariance @ rows.T)
        known &= (variance >= _CANCELS * spread**2).all(axis=1)
    into.stable[:] = known
    return np.flatnonzero(~known)
