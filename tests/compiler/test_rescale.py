"""Scalings chosen for the hardware's ranges where the flattest one does not fit them."""

import time
from dataclasses import replace

import numpy as np
import pytest
from helpers import frustrated, m_matrix, off_diagonal

import spu
from spu.base.sparse import canonical
from spu.compiler import compile_problem
from spu.compiler.rescale import _Search
from spu.device.hardware import Range

IDEAL = spu.load_hardware("ideal")


def ranged(cell: tuple[float, float], coupler: tuple[float, float], quantity: str = "capacitance") -> spu.Hardware:
    names = ("rlc-capacitive", "rlc-capacitive-dual") if quantity == "capacitance" else ("rc-resistive",)
    middle = float(np.sqrt(cell[0] * min(cell[1], 1.0)))
    return replace(
        IDEAL,
        architectures=names,
        cell={**IDEAL.cell, quantity: Range(middle, *cell)},
        coupler={quantity: Range(None, *coupler)},
    )


def in_range(device: spu.Device, hardware: spu.Hardware, quantity: str = "capacitance") -> None:
    for columns, part in ((device.cell_columns, hardware.cell), (device.coupler_columns, hardware.coupler)):
        values = columns.arrays[quantity]
        values = values[~np.isnan(values)]
        assert values.min() >= part[quantity].min * (1 - 1e-9)
        assert values.max() <= part[quantity].max * (1 + 1e-9)


@pytest.mark.parametrize("quantity", ["capacitance", "conductance"])
def test_another_scaling_fits(quantity):
    """Dominant, so not scaled at first, with cells a thousand times apart; scaled alike, all parts are alike."""
    base = m_matrix(np.random.default_rng(0), 8, 10.0)
    d = np.geomspace(1.0, 30.0, 8)
    A = d[:, None] * (base + 3 * np.eye(8)) * d
    A[np.diag_indices(8)] += np.abs(off_diagonal(A)).sum(axis=1)
    wide, narrow = ranged((1e-12, np.inf), (0.0, np.inf), quantity), ranged((5e-10, 2e-8), (1e-12, 1e-8), quantity)
    problem = spu.GaussianSampling(precision=A)
    loose = compile_problem(problem, wide)
    assert loose.scale_spread == 1.0
    values = loose.device.cell_columns.arrays[quantity]
    assert values.max() / values.min() > 40  # what the narrow range cannot hold
    made = compile_problem(problem, narrow)
    in_range(made.device, narrow, quantity)
    assert made.prediction.relative_error < 1e-9
    assert made.scale_spread > 1
    fit = next(step for step in made.explain() if step.name == "fit")
    assert fit.data["rescaled"]
    assert not next(step for step in loose.explain() if step.name == "fit").data["rescaled"]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_scaling_can_hold_is_held(seed):
    """Ranges around the values of a device that some scaling gives: they fit, whatever the first scaling was."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 12))
    A = frustrated(rng, n) if seed % 2 else m_matrix(rng, n, 30.0)
    A = np.diag(np.abs(off_diagonal(A)).sum(axis=1) * rng.uniform(1.2, 2.0, n)) + off_diagonal(A)
    d = np.exp(rng.normal(0.0, 1.5, n))
    A = A / np.outer(d, d)
    M = d[:, None] * A * d * 1e-9  # what the hardware is made for
    own = np.diag(M) - np.abs(off_diagonal(M)).sum(axis=1)
    edges = np.abs(M[np.triu_indices(n, 1)])
    edges = edges[edges > 0]
    hardware = ranged((own.min() * 0.999, own.max() * 1.001), (edges.min() * 0.999, edges.max() * 1.001))
    made = compile_problem(spu.GaussianSampling(precision=A), hardware)
    in_range(made.device, hardware)
    assert made.prediction.relative_error < 1e-9


def test_gradients_of_the_constraints():
    rng = np.random.default_rng(4)
    A = frustrated(rng, 5) + np.eye(5)
    search = _Search(canonical(A), 0.5, Range(min=0.1, max=3.0), Range(min=0.01, max=2.0))
    u = rng.normal(0.0, 0.3, 5)
    gradients = search.gradients(u).toarray()
    assert gradients.shape == (2 * 10 + 2 * 5, 5)  # both limits of couplers, then of cells
    for k in range(5):
        step = 1e-6 * np.eye(5)[k]
        slope = (search.residuals(u + step) - search.residuals(u - step)) / 2e-6
        assert gradients[:, k] == pytest.approx(slope, abs=1e-7)


def test_contradicting_elements_are_named_where_no_scaling_helps():
    hardware = ranged((1e-9, 1.1e-9), (1e-12, 2e-12))
    A = np.array([[2.0, -1.0], [-1.0, 2.0]])  # symmetric: own part and coupler are as large, however scaled
    with pytest.raises(
        spu.Unrealizable, match="coupler x1-x2 would be 1e-09 F when cell x1 is at its minimum"
    ) as caught:
        spu.compile(spu.GaussianSampling(precision=A), hardware)
    assert {"element", "value", "range", "unit"} <= caught.value.details.keys()


def test_hundreds_of_cells_in_seconds():
    rng = np.random.default_rng(0)
    n = 200
    X = off_diagonal(rng.standard_normal((n, n)))
    X = X + X.T
    A = X + np.diag(np.abs(X).sum(axis=1) * 1.5)
    d = np.exp(rng.normal(0.0, 0.7, n))
    A = A / np.outer(d, d)
    M = d[:, None] * A * d / A.max()
    own = np.diag(M) - np.abs(off_diagonal(M)).sum(axis=1)
    hardware = ranged((own.min() * 0.9, own.max() * 1.1), (0.0, np.abs(off_diagonal(M)).max() * 1.1))
    started = time.perf_counter()
    made = compile_problem(spu.GaussianSampling(precision=A), hardware)
    assert time.perf_counter() - started < 60
    in_range(made.device, hardware)
