"""`simulate`, `predict` and `spectrum` over the whole domain of linear devices, against a law of the tests' own.

Devices and runs are drawn at random (`benchmarks/domain_cases.py`): every architecture, method, ensemble, wiring and
level of detail, 1 to 1,000 trajectories, sizes around tiles, intervals from a thousandth of the fastest time constant
to thirty of the slowest. `benchmarks/domain_law.py` derives the law from the values of the parts, with no code of the
package; `benchmarks/domain_checks.py` says which tests are made, with exact null laws. `benchmarks/domain.py` runs
thousands of the same.

Of its runs, the first `FEW` are in ``make test`` and all of them in ``make test-long``.

False alarms of the whole file: below 1e-7. About 2,500 p-values at 1e-11 each, and 30 Kolmogorov-Smirnov tests at
1e-9 each. What they find, with which numbers, is in `test_planted_errors`.
"""

import functools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg as la
from helpers import BOLTZMANN, Nodal, difference, near, random_device
from scipy.stats import chi2, kstest

import spu

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from domain import by_kind, one_each, run_seed  # noqa: E402
from domain_cases import FAMILIES, Refused, draw, own_law  # noqa: E402
from domain_checks import BOUNDED, Process, Result, hold, process_of, run_case  # noqa: E402
from quadratic_forms import tails, two_sided  # noqa: E402

CHANCE, KS_CHANCE = 1e-11, 1e-9
RUNS = 220
FEW = 100
PART = 20


# What the tests are made of


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 1000, 100_000])
@pytest.mark.parametrize("chance", [1e-14, 1e-9, 1e-4, 0.3, 0.49])
def test_tails_of_a_single_chi_squared(freedom, chance):
    weight, count = np.array([0.7]), np.array([freedom])
    assert tails(0.7 * chi2.isf(chance, freedom), weight, count)[1] == near(chance, 1e-6)
    assert tails(0.7 * chi2.ppf(chance, freedom), weight, count)[0] == near(chance, 1e-6)
    assert tails(-0.7 * chi2.isf(chance, freedom), -weight, count)[0] == near(chance, 1e-6)


def test_tails_of_mixtures_in_closed_form():
    """Of exponentials with different weights, and of the difference of two."""
    w = np.array([1.0, 0.5, 0.2])
    for q in (0.1, 1.0, 5.0, 40.0, 200.0):
        shares = [np.prod([a / (a - b) for b in w if b != a]) for a in w]
        expected = sum(share * np.exp(-q / (2 * a)) for a, share in zip(w, shares, strict=True))
        assert tails(q, w, np.full(3, 2))[1] == near(expected, 1e-6)
        assert tails(q, np.array([1.0, -1.0]), np.array([2, 2]))[1] == near(0.5 * np.exp(-q / 2), 1e-6)


def test_p_values_of_mixtures_are_uniform():
    rng = np.random.default_rng(0)
    w, f = rng.standard_normal(20) * 10.0 ** rng.uniform(-2, 0, 20), rng.integers(1, 4, 20)
    drawn = (w * rng.chisquare(f, (500, 20))).sum(axis=1)
    assert kstest([two_sided(q, w, f) for q in drawn], "uniform").pvalue > KS_CHANCE


def test_the_law_of_one_cell():
    """kT/C from the resistor's own noise, S R / 4 C from the injected one, and the bias across the resistor."""
    device = spu.Device(temperature=300)
    device.add_cell("a", capacitance=2e-9, conductance=1e-3, noise=4e-20, bias=3e-7)
    law = own_law(device)
    assert law.covariance[0, 0] == near(BOLTZMANN * 300 / 2e-9 + 4e-20 / 1e-3 / 4 / 2e-9, 1e-12)
    assert law.centre[0] == near(3e-4, 1e-12)
    assert law.lagged(2e-6, 2)[1, 0, 0] / law.covariance[0, 0] == near(np.exp(-1.0), 1e-12)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_the_law_of_a_network_is_that_of_kronecker_products(temperature):
    device = random_device(np.random.default_rng(5), 5, temperature=temperature, transconductors=True)
    nodal = Nodal(device)
    law = own_law(device)
    assert difference(law.covariance, nodal.covariance()) < 1e-9
    assert difference(law.spectrum(1e5), nodal.spectrum(1e5)) < 1e-9


# The machinery finds what it is to find, and nothing else


def reference(rng: np.random.Generator, process: Process, count: int, steps: int, fault: str = "") -> np.ndarray:
    """Paths (T, S, p) by plain numpy, with an error planted."""
    n = len(process.P)
    transition = process.transition.T if fault == "transposed" else process.transition
    root = _root(process.P)
    noise = _root(process.P - process.transition @ process.P @ process.transition.T)
    noise = noise * (1.02 if fault == "loud" else 1.0)
    z = root @ rng.standard_normal((n, count))
    if fault == "from rest":
        z = np.zeros((n, count))
    paths = np.empty((count, steps, len(process.H)))
    for k in range(steps):
        if k:
            normals = rng.standard_normal((n, count))
            if fault == "shared":
                normals[:, 3] = normals[:, 5]
            z = transition @ z + noise @ normals
        if fault == "mixed" and k == steps // 2:
            z = z[:, np.roll(np.arange(count), 1)]
        paths[:, k] = (process.H @ z).T + process.centre
    return paths


def _root(P: np.ndarray) -> np.ndarray:
    values, vectors = la.eigh((P + P.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _processes():
    """A ring that turns one way: in a reciprocal network transposed steps turn currents round, and nobody sees it."""
    device = spu.Device(temperature=300.0)
    for k in range(3):
        device.add_cell(f"c{k}", capacitance=(1 + k) * 1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("l", capacitance=1e-9, conductance=5e-4, inductance=1e-6)
    for k in range(3):
        device.add_coupler(f"c{k}", f"c{(k + 1) % 3}", conductance=2e-4, transconductance=(8e-4, -8e-4))
    device.add_coupler("c0", "l", capacitance=5e-10)
    law = own_law(device)
    fast, slow = 1.0 / np.abs(law.poles).max(), (-1.0 / law.poles.real).max()
    return {share: process_of(law, interval) for share, interval in (("short", 0.3 * fast), ("long", 0.5 * slow))}


PLANTED = [
    # error, interval, trajectories, readouts of each
    ("transposed", "short", 8, 40),
    ("transposed", "long", 64, 40),
    ("loud", "short", 1000, 80),
    ("loud", "long", 1000, 80),
    ("mixed", "short", 8, 40),
    ("mixed", "long", 512, 40),
    ("shared", "short", 16, 80),
    ("shared", "long", 16, 80),
    ("from rest", "short", 33, 5),
    ("from rest", "long", 33, 5),
]


@pytest.mark.parametrize(("fault", "interval", "count", "steps"), PLANTED)
def test_planted_errors(fault, interval, count, steps):
    """Each is found at 1e-11 with the trajectories and readouts given."""
    paths = reference(np.random.default_rng(1), _processes()[interval], count, steps, fault)
    p_values, _ = hold(np.random.default_rng(2), _processes()[interval], paths)
    assert min(p_values.values()) < CHANCE


def test_nothing_is_found_where_nothing_is_planted():
    """p-values of a right sampler are uniform, with 1 to 40 trajectories of 1 to 60 readouts."""
    processes = list(_processes().values())
    found: dict[str, list[float]] = {}
    for seed in range(200):
        rng = np.random.default_rng([seed, 3])
        process = processes[seed % 2]
        paths = reference(rng, process, int(rng.integers(1, 41)), int(rng.integers(1, 61)))
        p_values, faults = hold(rng, process, paths)
        assert not faults
        for kind, p in p_values.items():
            found.setdefault(kind, []).append(p)
    for kind, values in found.items():
        assert min(values) > CHANCE
        if kind not in BOUNDED:
            assert kstest(values, "uniform").pvalue > KS_CHANCE, kind


# The package


@functools.cache
def part(first: int) -> list[Result]:
    """The runs of `PART` seeds; made again where another process of pytest made them."""
    return [run_seed(seed) for seed in range(first, first + PART)]


@pytest.mark.parametrize(
    "first", [pytest.param(at, marks=[] if at < FEW else pytest.mark.long) for at in range(0, RUNS, PART)]
)
def test_random_runs(first):
    """No contradiction, and no p-value that is no chance; a case is seen again by ``benchmarks/domain.py --case N``."""
    for result in part(first):
        assert not result.faults, f"case {result.seed}, {result.text}"
        low = {kind: p for kind, p in result.p_values.items() if not p > CHANCE}
        assert not low, f"case {result.seed}, {result.text}"


@pytest.mark.parametrize(
    "first", [0, PART, *(pytest.param(at, marks=pytest.mark.long) for at in range(2 * PART, RUNS, PART))]
)
def test_random_runs_in_single_precision(first):
    """The same runs, of dense steps and in single precision, against the same law."""
    ran = 0
    for seed in range(first, first + PART):
        try:
            case = draw(seed)
        except Refused:
            continue
        if case.sparse or "independent" in case.options:
            continue
        result = run_case(replace(case, options=case.options | {"method": "dense", "precision": "single"}))
        assert not result.faults, f"case {seed}, {result.text}"
        assert all(p > CHANCE for p in result.p_values.values()), f"case {seed}, {result.text}"
        ran += 1
    assert ran > PART // 2


@pytest.mark.parametrize("runs", [FEW, pytest.param(RUNS, marks=pytest.mark.long)])
def test_p_values_are_uniform(runs):
    """Over all runs, kind by kind, and over one p-value a run."""
    ran = [result for first in range(0, runs, PART) for result in part(first) if result.method]
    assert len(ran) > 0.7 * runs
    assert {result.family for result in ran} >= {name for name, (_, weight) in FAMILIES.items() if weight >= 0.5}
    assert {result.method for result in ran} == {"dense", "modal", "midpoint", "independent"}
    for kind, values in by_kind(ran).items():
        if kind not in BOUNDED:
            assert kstest(values, "uniform").pvalue > KS_CHANCE, kind
    assert kstest(one_each(ran), "uniform").pvalue > KS_CHANCE


def test_the_command_replays_a_case():
    command = [sys.executable, str(BENCHMARKS / "domain.py"), "--case", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_seed(2).text == done.stdout.splitlines()[0]
