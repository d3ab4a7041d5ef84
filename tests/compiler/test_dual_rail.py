"""Signed couplings on passive parts: two cells a variable, straight and crossed couplers, read as differences."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import Nodal, difference, disconnected, frustrated, m_matrix, near, off_diagonal, weak_links

import spu
from spu.compiler import compile_problem
from spu.compiler.layout import rail_names
from spu.emulator.results import common_mode

IDEAL = spu.load_hardware("ideal")
DUAL = ("rlc-capacitive-dual", "rc-resistive-dual")
TRIANGLE = np.array([[2.0, 0.5, -0.6], [0.5, 2.0, -0.7], [-0.6, -0.7, 1.5]])


def radius(A: np.ndarray) -> float:
    """Spectral radius of the scaled off-diagonals, from its definition."""
    root = np.sqrt(np.diag(A))
    return float(np.abs(np.linalg.eigvals(np.abs(off_diagonal(A)) / np.outer(root, root))).max())


def wishart(rng: np.random.Generator, n: int, ratio: int) -> np.ndarray:
    X = rng.standard_normal((n, n * ratio))
    return X @ X.T / (n * ratio)


@pytest.mark.parametrize(("n", "ratio"), [(4, 2), (8, 2), (8, 10), (16, 10), (32, 100)])
def test_dual_rails_hold_exactly_the_h_matrices(n, ratio):
    rng = np.random.default_rng(n + ratio)
    for _ in range(12):
        A = wishart(rng, n, ratio)
        problem = spu.GaussianSampling(precision=A)
        for architecture in DUAL:
            try:
                made = compile_problem(problem, architecture=architecture)
            except spu.Unrealizable as refusal:
                assert radius(A) >= 1
                assert refusal.details["rho"] == pytest.approx(radius(A), rel=1e-9)
                continue
            assert radius(A) < 1
            assert made.prediction.relative_error < 1e-8
            assert made.margin > 0
        made = compile_problem(problem, architecture="rc-transconductor")
        assert made.prediction.relative_error < 1e-8


@pytest.mark.parametrize("architecture", DUAL)
@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_the_modes_are_those_of_the_circuit(architecture, temperature):
    """Nodal matrices of the device itself: differential mode the scaled matrix, common mode its comparison matrix."""
    hardware = replace(IDEAL, temperature=temperature)
    made = compile_problem(spu.GaussianSampling(precision=TRIANGLE), hardware, architecture=architecture)
    assert made.device.cell_names == ["x1_p", "x1_n", "x2_p", "x2_n", "x3_p", "x3_n"]
    for item in [*made.device.cells, *made.device.couplers]:
        assert all(value > 0 for quantity, value in item.values.items() if quantity != "bias")
        assert "transconductance" not in item.values
    kinds = {(c.a[-1] == c.b[-1], c.a.split("_")[0], c.b.split("_")[0]) for c in made.device.couplers}
    assert kinds == {(False, "x1", "x2"), (True, "x1", "x3"), (True, "x2", "x3")}
    nodal = Nodal(made.device)
    N = nodal.C if architecture.startswith("rlc") else nodal.G
    half = np.sqrt(0.5)
    minus, plus = (np.kron(np.eye(3), [half, sign * half]) for sign in (-1.0, 1.0))
    assert minus @ N @ plus.T == pytest.approx(np.zeros((3, 3)), abs=1e-12 * np.abs(N).max())
    D = minus @ N @ minus.T
    gain = abs(made.device.readout.matrix).max(axis=1).toarray().ravel()
    back = D / np.outer(gain, gain)
    assert back / back[0, 0] == near(TRIANGLE / TRIANGLE[0, 0])
    comparison = np.diag(np.diag(D)) - np.abs(off_diagonal(D))
    assert plus @ N @ plus.T == near(comparison, 1e-11)
    common = made.prediction.common_mode
    covariance = nodal.covariance()
    assert common.variance == near(np.diag(plus @ covariance @ plus.T) / 2, 1e-6)
    assert common.differential_variance == near(np.diag(minus @ covariance @ minus.T) / 2, 1e-6)
    assert (common.variance > common.differential_variance).all()
    if architecture.startswith("rlc") or temperature == 0:
        assert made.prediction.relative_error < 1e-12
    else:  # as rc-resistive: (kT/c) I, on the difference of two cells twice
        extra = np.diag(gain**2) * 2 * 1.380649e-23 * temperature / 1e-9
        found = made.prediction.covariance - np.linalg.inv(TRIANGLE)
        assert found == pytest.approx(extra, rel=1e-6, abs=1e-12)


def test_common_mode_of_a_simulation_is_the_predicted_one():
    device = spu.compile(spu.GaussianSampling(precision=TRIANGLE))
    run = spu.simulate(device, samples=200_000, independent=True, seed=1)
    expected = spu.predict(device).common_mode
    assert run.common_mode.variance == near(expected.variance, 0.03)
    assert run.common_mode.differential_variance == near(expected.differential_variance, 0.03)


def test_no_common_mode_without_pairs():
    device = spu.compile(spu.GaussianSampling(precision=m_matrix(np.random.default_rng(0), 4)))
    assert spu.predict(device).common_mode is None
    by_hand = spu.Device()
    for name in "ab":
        by_hand.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    by_hand.set_readout([[1.0, -1.0], [1.0, 1.0], [1.0, -2.0]], variables=["d", "s", "u"])
    assert common_mode(by_hand.readout, np.array([3.0, 1.0]), np.diag([1.0, 3.0])).variables == ("d",)
    found = common_mode(by_hand.readout, np.array([3.0, 1.0]), np.array([[2.0, 0.5], [0.5, 3.0]]))
    assert (found.variance, found.differential_variance) == (near(np.array([1.5])), near(np.array([1.0])))
    assert (found.mean, found.differential_mean) == (near(np.array([2.0])), near(np.array([1.0])))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_disconnected_and_weakly_linked(sign):
    rng = np.random.default_rng(5)
    for A in (disconnected(rng, 9), weak_links(rng, 5, 1e-8)):
        signed = np.diag(np.diag(A)) + sign * off_diagonal(A)
        made = compile_problem(spu.GaussianSampling(precision=signed), architecture="rlc-capacitive-dual")
        assert made.prediction.relative_error < 1e-9


def test_linear_system_has_opposite_biases():
    made = compile_problem(spu.LinearSystem(TRIANGLE, [1.0, -2.0, 0.5]))
    assert made.architecture == "rc-resistive-dual"
    bias = [cell.values["bias"] for cell in made.device.cells]
    assert bias[::2] == [-b for b in bias[1::2]]
    assert made.prediction.mean == near(np.linalg.solve(TRIANGLE, [1.0, -2.0, 0.5]), 1e-11)
    assert made.prediction.common_mode.mean == pytest.approx(np.zeros(3), abs=1e-18)
    assert not made.device.readout.offset.any()


def test_a_floating_common_mode_is_refused():
    """Rows that couplers use up: positive definite, for the signs are frustrated, but the common mode is singular."""
    A = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 2.0]])
    with pytest.raises(spu.Unrealizable, match="common mode would float"):
        spu.compile(spu.GaussianSampling(precision=A), architecture="rlc-capacitive-dual")
    assert compile_problem(spu.GaussianSampling(precision=A)).architecture == "rc-transconductor"


def test_twice_the_cells_are_needed():
    hardware = replace(IDEAL, max_cells=5)
    with pytest.raises(spu.Unrealizable, match="3 variables need 6 cells; hardware ideal has 5: 1 missing"):
        spu.compile(spu.GaussianSampling(precision=TRIANGLE), hardware, architecture="rlc-capacitive-dual")
    assert spu.compile(spu.GaussianSampling(precision=TRIANGLE), replace(IDEAL, max_cells=6)).architecture == DUAL[0]


def test_rail_names():
    assert rail_names(("a", "a_p")) == ("a_p", "a_n", "a_p_p", "a_p_n")
    long = tuple(("v" * 63) + tail for tail in "ab")
    found = rail_names(long)
    assert len({name.lower() for name in found}) == 4
    assert max(map(len, found)) <= 64
    made = compile_problem(spu.GaussianSampling(precision=TRIANGLE[:2, :2], variables=long), architecture=DUAL[0])
    assert made.prediction.variables == long


@pytest.mark.parametrize("architecture", DUAL)
def test_ngspice_agrees_on_both_rails(architecture):
    problem = spu.GaussianSampling(precision=TRIANGLE, mean=[1.0, 0.5, -2.0])
    device = spu.compile(problem, replace(IDEAL, temperature=300.0), architecture=architecture)
    found = spu.check(device, accuracy=1e-3)  # resistors at 300 K add (kT/c) I
    assert found.verdict == "pass", {name: level.message for name, level in found.levels.items()}
    assert found.levels["ac"].verdict == found.levels["replay"].verdict == "pass"


def test_the_file_keeps_a_wide_readout_sparse(tmp_path):
    A = frustrated(np.random.default_rng(0), 40) + 5 * np.eye(40)
    device = spu.compile(spu.GaussianSampling(precision=A))
    device.write(tmp_path / "device.json")
    again = spu.Device.read(tmp_path / "device.json")
    assert again.hash == device.hash
    assert set(device.to_dict()["readout"]["matrix"]) == {"shape", "indptr", "indices", "data"}
    damaged = device.to_dict()
    damaged["readout"]["matrix"]["indices"][0] = 80
    with pytest.raises(spu.InputError, match=r"readout.matrix is not a readable sparse matrix"):
        spu.Device.from_dict(damaged)


def signed_grid(k: int) -> sp.csr_array:
    """The Laplacian of a k x k grid with random signs, shifted."""
    rng = np.random.default_rng(0)
    line = sp.diags_array([-np.ones(k - 1), 2.05 * np.ones(k), -np.ones(k - 1)], offsets=[-1, 0, 1])
    grid = sp.csr_array(sp.kronsum(line, line))
    upper = sp.csr_array(sp.triu(grid, 1))
    upper.data = upper.data * rng.choice([-1.0, 1.0], len(upper.data))
    return sp.csr_array(upper + upper.T + sp.diags_array(grid.diagonal()))


LEAST = {"rlc-capacitive-dual": 46, "rc-resistive-dual": 56}
"""Sides of grids that have just more states than dense matrices are made of: two cells of one or of two states each."""


@pytest.mark.parametrize(
    ("architecture", "side"),
    [*LEAST.items(), *(pytest.param(name, 60, marks=pytest.mark.long) for name in DUAL)],
)
def test_large_sparse_networks(architecture, side):
    """More states than dense matrices are made of: covariances of cells read together are known all the same."""
    A = signed_grid(side)
    made = compile_problem(spu.GaussianSampling(precision=A), architecture=architecture)
    assert made.prediction.relative_error < 1e-12
    expected = np.linalg.inv(np.diag(A.diagonal()) - np.abs(off_diagonal(A.toarray())))
    common = made.prediction.common_mode
    gain = abs(made.device.readout.matrix).max(axis=1).toarray().ravel()
    assert common.variance * 4 * gain**2 == near(np.diag(expected), 1e-9)
    run = spu.simulate(made.device, samples=2000, independent=True, seed=3)
    assert run.covariance_relative_error < 2 * run.expected_relative_error
    assert run.expected_relative_error < 2 * run.covariance_relative_error
    target = made.prediction.target_covariance.diagonal()
    assert run.mean / np.sqrt(target) == pytest.approx(np.zeros(side * side), abs=6 / np.sqrt(2000))
    spread = (run.covariance.diagonal() - target) / run.covariance_error.diagonal()
    assert 0.9 < spread.std() < 1.1
    assert (run.mean / run.mean_error).std() == pytest.approx(1.0, abs=0.2)


def test_three_hundred_cells_all_to_all():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 300))
    A = off_diagonal(X + X.T)
    A = A / np.abs(A).sum(axis=1).max() * 0.9 + np.eye(300)
    made = compile_problem(spu.GaussianSampling(precision=A))
    assert made.architecture == "rlc-capacitive-dual"
    assert made.prediction.relative_error < 1e-8
    assert len(made.device.coupler_ends) == 300 * 299


def test_kullback_leibler():
    rng = np.random.default_rng(2)
    S, S0 = (m_matrix(rng, 5, 30.0) for _ in range(2))
    m, m0 = rng.standard_normal((2, 5))
    plain = (
        np.trace(np.linalg.solve(S0, S))
        - 5
        - np.log(np.linalg.det(S) / np.linalg.det(S0))
        + (m - m0) @ np.linalg.solve(S0, m - m0)
    ) / 2
    assert spu.kullback_leibler(m, S, m0, S0) == near(plain, 1e-9)
    assert spu.kullback_leibler(m0, S0, m0, S0) == pytest.approx(0.0, abs=1e-25)
    # One variable of variance 1 + e: (e - log(1 + e)) / 2, about e^2 / 4 however small.
    assert spu.kullback_leibler(np.zeros(1), np.array([[1 + 1e-7]]), np.zeros(1), np.eye(1)) == near(2.5e-15, 1e-5)
    assert difference(np.array([spu.kullback_leibler(m0, 4 * S0, m0, S0)]), np.array([5 * (3 - np.log(4)) / 2])) < 1e-12
