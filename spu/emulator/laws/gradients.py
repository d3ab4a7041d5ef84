"""How means and covariances of a linear device change with the values of all its elements, exactly.

A figure of a law is a function of the voltages' mean and covariance; what it changes by with the logarithm of each
element (`spu.elements_of`) follows from its derivatives by these, W and w. The covariance's own derivative solves
``A dP + dP A^T + N = 0`` with the same A for all elements (`spu.emulator.laws.sensitivity`). For one figure that is not
solved element by element: with the adjoint ``A^T Y + Y A + H^T W H = 0``, solved once, ``<W, H dP H^T> = <Y, N>``.

Where the equations have no derivative (doubles do not resolve them; an exact cancellation would go), and of ensembles
and circuits whose law is not that of their elements alone, differences are taken: central ones of two steps, so that
the error is of the fourth order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.circuit.circuit import Circuit
from spu.circuit.stamps import Entries
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.variation import Elements, elements_of, varied
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.equations.descriptor import Coincidence
from spu.emulator.equations.monomials import Terms, factored, powers_of_parameters
from spu.emulator.laws.converted import even
from spu.emulator.laws.many import CONVERTERS, plain
from spu.emulator.laws.reach import hushed
from spu.emulator.laws.sensitivity import Derivative, Lyapunov, Perturbed, Rederived, Reduced, changes
from spu.emulator.laws.stationary import Stationary
from spu.emulator.predict import predict_linear

__all__ = ["LawJacobian", "gradient", "jacobian"]

_STEPS = (1e-3, 2e-3)
"""Of the logarithm of an element where differences are taken."""


@dataclass(frozen=True, eq=False)
class LawJacobian:
    """Derivatives of a device's law by the logarithms of its e elements.

    Attributes
    ----------
    names:
        (e,) of the elements.
    voltage_mean, voltage_covariance:
        (e, n) V, (e, n, n) V^2.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> found = spu.jacobian(device)
    >>> found.names
    ('capacitance of out', 'conductance of out')
    >>> variance = spu.predict(device).voltage_covariance
    >>> (found.voltage_covariance[:, 0, 0] / variance[0, 0]).round(9).tolist()
    [-1.0, 0.0]
    """

    names: tuple[str, ...]
    voltage_mean: Annotated[FloatArray, "e n"]
    voltage_covariance: Annotated[FloatArray, "e n n"]


def jacobian(device: Device, elements: Elements | None = None) -> LawJacobian:
    """Derivatives of the voltages' mean and covariance by the logarithm of every element.

    Parameters
    ----------
    device:
        Of linear cells.
    elements:
        Of the device, where they are known already.

    Raises
    ------
    CircuitError
        If the device has no stationary law.
    UsageError
        If it is not linear.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> found = spu.jacobian(device)
    >>> found.voltage_covariance.shape == (len(found.names), 2, 2)
    True
    """
    elements = elements_of(device) if elements is None else elements
    made = _derivatives(device, elements)
    n = len(device.cell_names)
    mean, covariance = np.empty((len(elements), n)), np.empty((len(elements), n, n))
    for k, each in enumerate(made.found):
        if each is None:
            mean[k], covariance[k] = _difference(device, elements, k)
        else:
            assert made.law is not None and made.solver is not None
            _, mean[k], covariance[k] = changes(made.law, made.solver, each)
            covariance[k] += np.eye(n) * made.steps.get(elements.names[k], 0.0)
    return LawJacobian(elements.names, mean, covariance)


def gradient(
    device: Device,
    covariance: Annotated[ArrayLike, "n n"] | None = None,
    mean: Annotated[ArrayLike, "n"] | None = None,
    elements: Elements | None = None,
) -> Annotated[FloatArray, "e"]:
    """Derivatives of one figure by the logarithm of every element, by one adjoint equation for all.

    Parameters
    ----------
    device:
        Of linear cells.
    covariance, mean:
        (n, n) 1/V^2 and (n,) 1/V: the figure's derivatives by the entries of the voltages' covariance, each taken as a
        variable of its own, and by their mean; zero unless given.
    elements:
        Of the device, where they are known already.

    Returns
    -------
    (e,) ndarray
        In the order of `elements_of`.

    Raises
    ------
    InputError
        If the derivatives are not of that shape.
    CircuitError, UsageError
        As `jacobian`.

    Examples
    --------
    The thermal noise of an RC cell is kT/C:

    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> variance = spu.predict(device).voltage_covariance[0, 0]
    >>> spu.gradient(device, covariance=[[1.0 / variance]]).round(9).tolist()
    [-1.0, 0.0]
    """
    elements = elements_of(device) if elements is None else elements
    n = len(device.cell_names)
    W = np.zeros((n, n)) if covariance is None else np.asarray(covariance, dtype=np.float64)
    w = np.zeros(n) if mean is None else np.asarray(mean, dtype=np.float64)
    if W.shape != (n, n) or w.shape != (n,) or not (np.isfinite(W).all() and np.isfinite(w).all()):
        raise InputError(f"derivatives of a figure by the law of {n} cells are finite: {n}x{n} and {n} of them")
    W = (W + W.T) / 2
    made = _derivatives(device, elements)
    law, solver = made.law, made.solver
    found = np.empty(len(elements))
    if law is not None and solver is not None:
        dense, P = law.dense, solver.covariance
        Y = solver.adjoint(hushed(dense.H.T @ W @ dense.H, solver.quiet))
        seen = P @ dense.H.T @ W
        YP, YB = Y @ P, Y @ dense.B
    for k, each in enumerate(made.found):
        if each is None:
            moved = _difference(device, elements, k)
            found[k] = w @ moved[0] + (W * moved[1]).sum()
            continue
        # <Y, N> of N = rows (A P + B B_0^T) and its transpose
        change = ((each.rows.T @ YP) * each.A).sum() + ((each.rows.T @ YB) * each.B).sum()
        found[k] = w @ each.voltage_mean + 2.0 * (change + (each.H * seen.T).sum())
        found[k] += float(np.trace(W)) * made.steps.get(elements.names[k], 0.0)
    return found


@dataclass(frozen=True, eq=False)
class _Derivatives:
    """Of a device's equation, by element, None where there is none; with its law and what solves for changes of it."""

    law: Stationary | None
    solver: Lyapunov | None
    found: list[Derivative | None]
    steps: Mapping[str, float] = field(default_factory=dict)
    """V^2, of the variance that converters add to each reading, by the logarithm of an element's value, by its name."""


def _derivatives(device: Device, elements: Elements) -> _Derivatives:
    """Kept with the device."""
    kept = device.kept
    if "derivatives" not in kept:
        kept["derivatives"] = _derived(device, elements)
    found: _Derivatives = kept["derivatives"]
    return found


def _derived(device: Device, elements: Elements) -> _Derivatives:
    nothing = _Derivatives(None, None, [None] * len(elements))
    circuit = lower(device)
    predict_linear(device)  # refuses what has no law
    if device.programmings or not plain(circuit):
        return nothing
    found = dynamics(circuit)
    assert isinstance(found, LinearDynamics)
    law = found.law
    if not isinstance(law, Stationary) or law.precise is not None or law.unresolved is not None:
        return nothing
    solver = Lyapunov.of(law)
    if solver is None:
        return nothing
    steps: dict[str, float] = {}
    converter = circuit.acquisition
    if converter is not None and converter.converts:
        if not even(converter, law.voltage_mean[None], np.asarray(law.voltage_covariance)[None])[1][0]:
            return nothing
        added = (converter.step**2 / 6.0, 2.0 * converter.noise**2)
        steps = dict(zip(CONVERTERS, added, strict=True))
    origin = law.sde.origin
    if origin is not None and origin.elimination is not None:
        terms = factored(device, elements)
        if terms is None:
            return nothing
        reduced = Reduced(law)
        changed = {name: _by_element(each, terms.factors.slopes) for name, each in terms.terms.items()}
        known = terms.factors.known.tolist()
        return _Derivatives(
            law,
            solver,
            [
                reduced.derived({name: each[k] for name, each in changed.items()}) if known[k] else None
                for k in range(len(elements))
            ],
            steps,
        )
    read = powers_of_parameters(device, elements)
    if read is None:
        return nothing
    rederived, factors = Rederived(law), read[1]
    made = [
        _or_none(rederived, Perturbed(name, _Changed(circuit, each, float(slope)), (0, "", 0))) if known else None
        for name, each, slope, known in zip(elements.names, read[0], factors.slopes, factors.known, strict=True)
    ]
    return _Derivatives(law, solver, made, steps)


def _or_none(rederived: Rederived, parameter: Perturbed) -> Derivative | None:
    """A derivative, where there is one."""
    try:
        return rederived(parameter)
    except Coincidence:
        return None


def _by_element(terms: Terms, slopes: FloatArray) -> list[Entries]:
    """Derivatives of a matrix by the logarithm of each element: rows, columns and values of entries."""
    places: list[list[int]] = [[] for _ in slopes]
    powers: list[list[float]] = [[] for _ in slopes]
    for term, monomial in enumerate(terms.monomials):
        for element, power in monomial:
            places[element].append(term)
            powers[element].append(power * slopes[element])
    where = [np.array(each, dtype=np.int64) for each in places]
    return [
        (terms.rows[at], terms.columns[at], terms.values[at] * np.array(power))
        for at, power in zip(where, powers, strict=True)
    ]


def _difference(device: Device, elements: Elements, k: int) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the mean (n,) and the covariance (n, n) by one element, from laws of changed devices."""

    def slope(step: float) -> tuple[FloatArray, FloatArray]:
        ends = []
        for sign in (1.0, -1.0):
            factors = np.ones(len(elements))
            factors[k] = np.exp(sign * step)
            law = predict_linear(varied(device, factors, elements))
            ends.append((law.voltage_mean, np.asarray(law.voltage_covariance)))
        (a, A), (b, B) = ends
        return (a - b) / (2 * step), (A - B) / (2 * step)

    (small, Small), (wide, Wide) = (slope(step) for step in _STEPS)
    return (4 * small - wide) / 3, (4 * Small - Wide) / 3


@dataclass(frozen=True, eq=False)
class _Changed:
    """A circuit with one element multiplied by a factor, which may be complex.

    ``powers`` are those of the factor in each parameter: by number of the group and key, (k,) over its instances;
    ``slope`` as of `spu.emulator.equations.monomials.Factors`.
    """

    circuit: Circuit
    powers: dict[tuple[int, str], FloatArray]
    slope: float

    def __call__(self, factor: complex) -> Circuit:
        instances = list(self.circuit.instances)
        for (number, key), powers in self.powers.items():
            group = instances[number]
            # To first order in what is far below rounding.
            values = group.parameters[key] * (1.0 + powers * self.slope * (factor - 1.0))
            instances[number] = replace(group, parameters={**group.parameters, key: values})
        return replace(self.circuit, instances=instances)
