"""Large networks: sparse problems stay sparse, passes agree with their dense forms, files are streamed."""

import importlib
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from click.testing import CliRunner
from helpers import balanced, difference, disconnected, law_of, m_matrix, random_device, scaled
from scipy.sparse.linalg import spsolve

import spu
from spu import folder as folder_module
from spu.base.errors import InputError
from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky, selected_inverse
from spu.base.sequences import Lazy
from spu.base.sparse import canonical, is_diagonal, largest_eigenvalue, off_diagonal
from spu.circuit.readout import Readout
from spu.cli import cli
from spu.compiler.congruence import _block, _noda, congruence, own_fraction
from spu.compiler.linear import LinearPasses
from spu.compiler.passes import Options
from spu.compiler.polarity import polarity
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.folder import read_folder, write_folder
from spu.folder.arrays import spill
from spu.problems.definite import DENSE_SIZE
from spu.problems.files import load_problem, problem_from_dict
from spu.problems.gaussian import GaussianSampling, LinearSystem, MatrixInverse
from spu.spice.netlist import netlist, write_netlist

congruence_module = importlib.import_module("spu.compiler.congruence")
IDEAL = spu.load_hardware("ideal")


def _realize(problem, hardware):
    """The passes up to the device, without a prediction or a source in its hash."""
    passes = LinearPasses(problem, hardware, Options())
    passes.source = None
    return passes.realized()


def grid(k: int, own: float = 1.0) -> sp.csr_array:
    """Laplacian of a k x k grid plus ``own`` times 1."""
    path = sp.diags_array([-np.ones(k - 1), -np.ones(k - 1)], offsets=[1, -1])
    links = sp.csr_array(sp.kron(path, sp.eye_array(k)) + sp.kron(sp.eye_array(k), path))
    return sp.csr_array(links + sp.diags_array(own - np.asarray(links.sum(axis=1)).ravel()))


def random_sparse(seed: int, n: int, degree: float = 3.0) -> sp.csr_array:
    """A random symmetric positive definite matrix with entries of both signs, some of which cancel in elimination."""
    rng = np.random.default_rng(seed)
    upper = sp.random_array(
        (n, n), density=degree / n, rng=rng, data_sampler=lambda size: rng.choice([-1.0, 1.0], size)
    )
    a = sp.csr_array(sp.triu(upper, 1))
    a = sp.csr_array(a + a.T)
    return sp.csr_array(a + sp.diags_array(1.0 + np.asarray(abs(a).sum(axis=1)).ravel()))


def all_to_all(n: int, seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, (n, n))
    weights = np.triu(weights, 1) + np.triu(weights, 1).T
    return np.diag(1.0 + weights.sum(axis=1)) - weights


def run(*arguments):
    """The command line."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def big() -> GaussianSampling:
    """3600 variables: more than `DENSE_SIZE`."""
    return GaussianSampling(precision=grid(60))


# --- selected inverse ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix",
    [
        *(
            grid(1),
            grid(2),
            grid(9),
            random_sparse(0, 60),
            random_sparse(1, 200, 6.0),
            canonical(np.diag([1.0, 2.0, 3.0])),
        ),
        *(canonical(all_to_all(30)), canonical(disconnected(np.random.default_rng(0), 20))),
    ],
    ids=lambda a: f"{a.shape[0]}-{a.nnz}",
)
def test_selected_inverse(matrix):
    full = np.linalg.inv(matrix.toarray())
    found = selected_inverse(matrix)
    there = matrix.toarray() != 0
    assert found.nnz == there.sum()
    assert difference(found.toarray(), np.where(there, full, 0.0)) < 1e-13
    assert abs(found - found.T).max() == 0


def test_entries_that_cancel_are_in_the_structure():
    """Eliminating the first variable gives the pair (2, 3) exactly zero, which later steps need all the same."""
    a = np.diag([1.0, 3.0, 3.0, 5.0, 5.0])
    for i, j, value in ((0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.25), (1, 3, 1.0), (2, 4, 1.0), (3, 4, 0.5)):
        a[i, j] = a[j, i] = value
    found = selected_inverse(sp.csr_array(a)).toarray()
    assert found[a != 0] == pytest.approx(np.linalg.inv(a)[a != 0], rel=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_sparse_cholesky(seed):
    a = random_sparse(seed, 150)
    factor = SparseCholesky(a)
    dense = a.toarray()
    b = np.random.default_rng(seed).normal(size=(150, 4))
    assert difference(factor.solve(b), np.linalg.solve(dense, b)) < 1e-13
    assert difference(factor.solve(b[:, 0]), np.linalg.solve(dense, b[:, 0])) < 1e-13
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-13)
    root = factor.sample_solve(np.eye(150))
    assert difference(root @ root.T, np.linalg.inv(dense)) < 1e-13
    assert np.array_equal(factor.sample_solve(b)[:, 2], factor.sample_solve(b[:, 2]))


def test_not_positive_definite():
    a = grid(5).tolil()
    a[7, 7] = -1.0
    with pytest.raises(NotPositiveDefinite) as caught:
        SparseCholesky(a)
    assert (caught.value.index, caught.value.pivot) == (7, -1.0)
    with pytest.raises(NotPositiveDefinite, match="pivot"):
        SparseCholesky(sp.csr_array(grid(5) - 1.5 * sp.eye_array(25)))


@pytest.mark.parametrize("seed", range(4))
def test_largest_eigenvalue(seed):
    a = random_sparse(seed, 80).toarray()
    exact = np.linalg.eigvalsh(a)[-1]
    start = np.random.default_rng(seed).normal(size=80)
    assert largest_eigenvalue(a.__matmul__, start, tolerance=1e-8) == pytest.approx(exact, rel=1e-8)
    # An invariant subspace ends it at once.
    assert largest_eigenvalue(np.diag([1.0, 2.0]).__matmul__, np.array([0.0, 1.0]), tolerance=1e-8) == 2.0


# --- problems ------------------------------------------------------------------------------


def test_a_large_sparse_problem_stays_sparse(big):
    n = 3600
    assert big.sparse
    assert big.matrix is big.precision
    assert isinstance(big.matrix, sp.csr_array) and big.matrix.has_canonical_format
    # The spectrum of a grid is known in closed form.
    waves = 2.0 - 2.0 * np.cos(np.pi * np.arange(60) / 60)
    exact = (1.0 + 2.0 * waves[-1]) / 1.0
    assert big.condition == pytest.approx(exact, rel=5e-3)
    covariance = big.target_covariance
    assert covariance is big.target_covariance
    assert np.array_equal(covariance.indices, big.matrix.indices)
    for k in (0, 1777, n - 1):
        column = spsolve(big.matrix.tocsc(), np.eye(1, n, k)[0])
        members = big.matrix.indices[big.matrix.indptr[k] : big.matrix.indptr[k + 1]]
        assert covariance[[k], :].data == pytest.approx(column[members], rel=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        big.matrix.data[0] = 0.0


@pytest.mark.parametrize("form", ["csc_array", "coo_array", "dia_array", "csr_matrix", "lil_array"])
def test_every_sparse_form(form, monkeypatch):
    monkeypatch.setattr("spu.problems.definite.DENSE_SIZE", 10)
    a = random_sparse(5, 30)
    p = MatrixInverse(getattr(sp, form)(a))
    assert p.sparse
    assert np.array_equal(p.matrix.toarray(), a.toarray())
    dense = MatrixInverse(a.toarray())
    assert not dense.sparse
    assert p.condition == pytest.approx(dense.condition, rel=1e-2)
    there = a.toarray() != 0
    assert p.target_covariance.toarray()[there] == pytest.approx(dense.target_covariance[there], rel=1e-12)


@pytest.mark.parametrize("scale", [1e-290, 1e-12, 1e290])
def test_units_of_sparse_problems_do_not_matter(monkeypatch, scale):
    monkeypatch.setattr("spu.problems.definite.DENSE_SIZE", 10)
    a, b = random_sparse(6, 30), np.arange(30.0)
    p = LinearSystem(sp.csr_array(a * scale), b)
    assert p.target_mean * scale == pytest.approx(np.linalg.solve(a.toarray(), b), rel=1e-12)
    assert (p.target_covariance.diagonal() * scale) == pytest.approx(np.linalg.inv(a.toarray()).diagonal(), rel=1e-12)


def test_the_limit_between_dense_and_sparse():
    assert not MatrixInverse(sp.eye_array(DENSE_SIZE)).sparse
    assert MatrixInverse(sp.eye_array(DENSE_SIZE + 1)).sparse


def spoiled(i: int, j: int, value: float, both: bool = True) -> sp.csr_array:
    a = grid(50).tolil()
    a[i, j] = value
    if both:
        a[j, i] = value
    return sp.csr_array(a)


def wild(index: int) -> sp.csr_array:
    a = grid(50)
    a.indices[5] = index
    return a


def wild_coo() -> sp.coo_array:
    a = sp.coo_array(grid(50))
    a.row[3] = 10**6
    return a


@pytest.mark.parametrize(
    ("matrix", "fragment"),
    [
        (spoiled(10, 11, np.nan, False), "NaN at row 11, column 12 (x11, x12)"),
        (spoiled(70, 71, -np.inf), "infinite at row 71, column 72 (x71, x72)"),
        (spoiled(10, 11, -2.0, False), "-2 at row 11, column 12 (x11, x12) but -1 across the diagonal"),
        (spoiled(10, 2000, 0.5, False), "0.5 at row 11, column 2001 (x11, x2001) but 0 across the diagonal"),
        (spoiled(99, 99, -4.0), "not positive definite: elimination leaves -4 on the diagonal at entry 100 (x100)"),
        (spoiled(99, 99, 0.0), "elimination leaves 0 on the diagonal at entry 100 (x100)"),
        (spoiled(10, 11, 9.0), "not positive definite: elimination leaves -"),
        (grid(50, 0.0), "not positive definite"),
        (grid(50, 1e-14), "singular to working precision"),
        (sp.csr_array((2500, 2500)), "elimination leaves 0 on the diagonal at entry 1 (x1)"),
        (grid(50)[:2400], "shape 2400 × 2500: it must be square"),
        (grid(50) * 1j, "complex"),
        (grid(50) != 0, "not numeric"),
        (wild(10**6), "not a valid sparse matrix"),
        (wild(-1), "not a valid sparse matrix"),
        (wild_coo(), "not a valid sparse matrix"),
        (sp.csr_array(grid(50) * 1e-320), "range of floating point"),
    ],
)
def test_refused_sparse_matrix(matrix, fragment):
    with pytest.raises(InputError) as caught:
        MatrixInverse(matrix)
    assert fragment in caught.value.message
    assert caught.value.message.count("\n") <= 1


def test_refused_sizes(monkeypatch):
    monkeypatch.setattr("spu.problems.definite.MAX_SPARSE_ENTRIES", 1000)
    with pytest.raises(InputError, match="stores 12300 entries: at most 1000"):
        MatrixInverse(grid(50))


def test_a_sparse_covariance_is_refused():
    with pytest.raises(InputError, match="its inverse, the matrix to build, would be dense: give the precision"):
        GaussianSampling(covariance=grid(50))


def test_sparse_rounding_is_symmetrised():
    a = spoiled(10, 11, -1.0 - 1e-12, both=False)
    p = MatrixInverse(a)
    assert abs(p.matrix - p.matrix.T).max() == 0
    assert -1.0 - 1e-12 < p.matrix[10, 11] < -1.0


def test_sparse_dictionary_round_trip():
    for problem in (
        GaussianSampling(precision=grid(50), mean=np.arange(2500) / 7),
        LinearSystem(grid(50), np.ones(2500)),
    ):
        data = json.loads(json.dumps(problem.to_dict(), allow_nan=False))
        again = problem_from_dict(data)
        assert type(again) is type(problem)
        assert abs(again.matrix - problem.matrix).max() == 0
        assert np.array_equal(again.target_mean, problem.target_mean)
        assert again.to_dict() == problem.to_dict()
    key = "matrix"
    for change in ({"shape": [2, 2]}, {"indptr": [0]}, {"data": "x"}, {"shape": "many"}, {"indices": [10**9] * 12300}):
        with pytest.raises(InputError, match=r"sparse matrix|numeric") as caught:
            problem_from_dict({**data, key: {**data[key], **change}}, file="p.json")
        assert caught.value.file == "p.json"
    with pytest.raises(InputError, match="wanted are shape, indptr, indices, data"):
        problem_from_dict({**data, key: {"rows": []}})


@pytest.mark.parametrize("kind", ["npz", "mtx", "general.mtx"])
def test_sparse_files_stay_sparse(tmp_path, kind):
    a = grid(50) * (1.0 / 3.0)
    path = tmp_path / f"a.{kind}"
    if kind == "npz":
        sp.save_npz(path, a)
    else:
        symmetry = "general" if kind.startswith("general") else "symmetric"
        scipy.io.mmwrite(path, sp.coo_array(a), precision=17, symmetry=symmetry)
    problem, _ = load_problem(path)
    assert problem.sparse
    assert abs(problem.matrix - a).max() == 0


def test_entries_in_parts_add_up(tmp_path):
    lines = [
        "%%MatrixMarket matrix coordinate real symmetric",
        "2500 2500 2502",
        "1 1 0.5",
        "2 1 0",
        "1 1 0.5",
        "% c",
        "",
    ]
    path = tmp_path / "a.mtx"
    path.write_text("\n".join([*lines, *(f"{k} {k} 1" for k in range(2, 2501))]) + "\n")
    problem, _ = load_problem(path)
    assert problem.sparse
    assert (problem.matrix.diagonal() == 1.0).all() and problem.matrix.nnz == 2500
    path.write_text(path.read_text().replace("77 77 1\n", "77 77 1x\n"))
    with pytest.raises(InputError, match="an entry must be 'row column value', not '77 77 1x'") as caught:
        load_problem(path)
    assert caught.value.line == 83


def test_many_entries_are_read_in_time(tmp_path):
    a = all_to_all(500)
    path = tmp_path / "a.mtx"
    scipy.io.mmwrite(path, sp.coo_array(a), symmetry="symmetric", precision=17)
    started = time.perf_counter()
    problem, _ = load_problem(path)
    assert time.perf_counter() - started < 3.0  # 125,250 entries; about 0.4 s
    assert np.array_equal(problem.matrix, a)


# --- passes --------------------------------------------------------------------------------


def test_polarity_of_long_chains_and_many_components():
    """A path of 20,000 cells, and 5,000 pairs: no loop over cells or levels."""
    n = 20_000
    signs = np.where(np.random.default_rng(0).random(n) < 0.5, -1.0, 1.0)
    off = -signs[:-1] * signs[1:]
    chain = sp.diags_array([off, np.full(n, 3.0), off], offsets=[-1, 0, 1], format="csr")
    started = time.perf_counter()
    found = polarity(chain)
    assert np.array_equal(found.signs, signs * signs[0])
    pairs = sp.block_diag([sp.coo_array([[2.0, 1.0], [1.0, 2.0]])] * 5000, format="csr")
    assert np.array_equal(polarity(sp.csr_array(pairs)).signs, np.tile([1.0, -1.0], 5000))
    assert time.perf_counter() - started < 5.0
    # Closed to a ring whose signs contradict one another, the ring is the cycle.
    ring = chain.tolil()
    ring[0, n - 1] = ring[n - 1, 0] = signs[0] * signs[-1]
    cycle = polarity(sp.csr_array(ring)).frustrated
    assert len(cycle) == len(set(cycle)) == n


@pytest.mark.parametrize("kind", [m_matrix, balanced, scaled, disconnected])
@pytest.mark.parametrize("small", [1, 64])
def test_perron_by_lanczos_is_the_dense_one(monkeypatch, kind, small):
    a = kind(np.random.default_rng(7), 40, 1e3)
    dense = congruence(a)
    monkeypatch.setattr(congruence_module, "_SMALL", small)
    found = congruence(sp.csr_array(a))
    assert found.rho == pytest.approx(dense.rho, rel=1e-5)
    assert found.dominant == dense.dominant
    assert found.scale == pytest.approx(dense.scale, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_noda(seed):
    block = _block(scaled(np.random.default_rng(seed), 50, 1e4))
    exact, vectors = np.linalg.eigh(block.jacobi.toarray())
    rho, x = _noda(block.jacobi, np.ones(50))
    assert rho == pytest.approx(exact[-1], rel=1e-12)
    assert x / np.linalg.norm(x) == pytest.approx(np.abs(vectors[:, -1]), rel=1e-8)


def test_sparse_and_dense_give_one_device(monkeypatch):
    dense = _realize(GaussianSampling(precision=grid(20)), IDEAL)
    monkeypatch.setattr("spu.problems.definite.DENSE_SIZE", 10)
    problem = GaussianSampling(precision=grid(20))
    assert problem.sparse
    sparse = _realize(problem, IDEAL)
    assert sparse.device.hash == dense.device.hash
    assert (sparse.rho, sparse.architecture, sparse.realizability) == (dense.rho, dense.architecture, "m-matrix")
    assert sparse.rho < 1


def test_a_sparse_matrix_that_needs_scaling_and_flipping():
    rng = np.random.default_rng(0)
    d = np.exp(rng.normal(size=2500)) * rng.choice([-1.0, 1.0], 2500)
    a = sp.csr_array(sp.diags_array(d) @ grid(50, 0.1) @ sp.diags_array(d))
    made = _realize(GaussianSampling(precision=a), IDEAL)
    assert made.realizability == "m-matrix-after-polarity"
    assert made.scale_spread > 1
    device = made.device
    # C = (A^-1 read back)^-1 up to one factor, with C summed up from the elements.
    capacitance = stochastic_ode(lower(device)).E[:2500, :2500]
    gain = sp.diags_array(device.readout.matrix.diagonal())
    rebuilt = gain @ a @ gain
    factor = rebuilt.diagonal() / capacitance.diagonal()
    assert np.ptp(factor) < 1e-10 * factor.max()
    assert abs(rebuilt / factor.mean() - capacitance).max() < 1e-10 * abs(capacitance).max()
    assert own_fraction(rebuilt, np.ones(2500)).min() > 0


def test_linear_system_on_a_grid():
    b = np.random.default_rng(1).normal(size=2500)
    made = _realize(LinearSystem(grid(50), b), IDEAL)
    assert (made.architecture, made.mean) == ("rc-resistive", "bias")
    sde = stochastic_ode(lower(made.device))
    voltages = spsolve(sde.F.tocsc(), -sde.s)
    solution = made.device.readout.matrix @ (sde.H @ voltages)
    assert difference(solution, spsolve(grid(50).tocsc(), b)) < 1e-12


def test_all_to_all_is_fast():
    """The passes without the prediction, against one eigenvalue problem of that size."""
    problem = GaussianSampling(precision=all_to_all(1000))
    seconds = []
    for _ in range(3):
        times = [time.perf_counter()]
        device = _realize(problem, IDEAL).device
        times.append(time.perf_counter())
        circuit = lower(device)
        times.append(time.perf_counter())
        stochastic_ode(circuit)
        times.append(time.perf_counter())
        seconds.append(np.diff(times))
    assert len(device.coupler_ends) == 499_500
    # Three to ten times what they take on a machine with nothing else to do.
    assert (np.min(seconds, axis=0) < [1.0, 0.3, 1.0]).all(), seconds


def test_a_grid_of_100_000_cells():
    """From matrix to equations, in time."""
    started = time.perf_counter()
    problem = GaussianSampling(precision=grid(316))
    device = _realize(problem, IDEAL).device
    sde = stochastic_ode(lower(device))
    assert time.perf_counter() - started < 30.0  # about 3 s
    n = 316**2
    assert sde.E.shape == (2 * n, 2 * n)
    assert len(device.coupler_ends) == 2 * 316 * 315
    assert sde.state_names[0] == "v(x1)" and sde.state_names[-1] == f"i(l1 of xcell_x{n})"


# --- device, circuit, netlist --------------------------------------------------------------


def test_lazy_sequences():
    both = Lazy((3, lambda k: f"a{k}"))
    both += ["x", "y"]
    assert both == ["a0", "a1", "a2", "x", "y"] == list(both)
    assert both != ("a0",) and both != "a0"
    assert (both[-1], both[np.int64(2)], both[1:4], len(both)) == ("y", "a2", ["a1", "a2", "x"], 5)
    assert both.take(np.array([4, 0])) == ["y", "a0"]
    assert both.index("x") == 3
    with pytest.raises(IndexError):
        both[5]
    assert Lazy() == []


def test_coupler_names_that_read_the_same():
    device = Device(temperature=0)
    for name in ("a", "a_b", "b_c", "c"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    device.add_coupler("a_b", "c", capacitance=1e-10)
    device.add_coupler("a", "b_c", capacitance=1e-10)
    names = [name for group in lower(device).instances for name in group.names]
    assert names[-2:] == ["xcoupler_c_a_b_c", "xcoupler_c_a_b_c_2"]


@pytest.mark.parametrize("seed", range(4))
def test_quick_and_careful_reading_agree(monkeypatch, seed):
    device = random_device(np.random.default_rng(seed), 8, temperature=300.0, transconductors=True)
    device.add_cell("lone", capacitance=1e-9)
    device.add_coupler("c0", "lone", transconductance=2e-4)
    text = device.to_json()
    assert json.loads(text) == json.loads(json.dumps(device.to_dict()))
    quick = Device.from_dict(json.loads(text))
    monkeypatch.setattr("spu.device.device_file._quick_cells", lambda *_: None)
    monkeypatch.setattr("spu.device.device_file._quick_couplers", lambda *_: None)
    careful = Device.from_dict(json.loads(text))
    assert quick.hash == careful.hash == device.hash
    assert quick.to_json() == careful.to_json() == text


def test_zero_and_integers_in_a_file():
    rows = [
        {"a": "a", "b": "b", "conductance": 0, "transconductance": [0, 0.0]},
        {"a": "a", "b": "c", "capacitance": 1},
    ]
    cells = [{"name": name, "capacitance": 1, "noise": 0.0} for name in "abc"]
    device = Device.from_dict({"format": "spu-device/1", "cells": cells, "couplers": rows})
    assert [coupler.values for coupler in device.couplers] == [{}, {"capacitance": 1.0}]
    assert device.cells[0].values == {"capacitance": 1.0}


def test_readouts_are_sparse_whatever_is_given():
    for matrix in (np.diag([1.0, 0.0]), sp.coo_array(np.diag([1.0, 0.0])), [[1.0, 0.0], [0.0, 0.0]]):
        readout = Readout(("x", "y"), matrix, np.zeros(2))
        assert isinstance(readout.matrix, sp.csr_array) and readout.matrix.nnz == 1
    assert is_diagonal(canonical(np.diag([1.0, 0.0])))
    assert not is_diagonal(canonical([[1.0, 2.0], [0.0, 1.0]])) and not is_diagonal(canonical(np.eye(2, 3)))
    assert np.array_equal(off_diagonal(canonical([[1.0, 2.0], [2.0, 0.0]])).toarray(), [[0.0, 2.0], [2.0, 0.0]])


def test_a_long_device_file(tmp_path, monkeypatch):
    monkeypatch.setattr("spu.device.columns._CHUNK", 7)
    device = _realize(GaussianSampling(precision=grid(12)), IDEAL).device
    device.write(tmp_path / "device.json")
    assert json.loads((tmp_path / "device.json").read_text()) == json.loads(json.dumps(device.to_dict()))
    assert Device.read(tmp_path / "device.json").hash == device.hash


def test_the_netlist_in_pieces_is_the_netlist():
    device = _realize(GaussianSampling(precision=grid(5)), spu.load_hardware("ideal")).device
    stream = io.BytesIO()
    write_netlist(device, stream, seed=3)
    assert stream.getvalue().decode() == netlist(device, seed=3)


def test_a_large_netlist_measures_a_few_cells():
    def measured(k: int) -> tuple[int, int, bool]:
        text = netlist(_realize(GaussianSampling(precision=grid(k)), IDEAL).device)
        return text.count("\nnoise v("), text.count("RESULT tran"), "* It measures the first 16 of" in text

    assert measured(8) == (64, 64, False)
    assert measured(9) == (16, 16, True)


# --- folder and command line ---------------------------------------------------------------


def test_sparse_matrices_in_a_folder(tmp_path, monkeypatch):
    """A sparse problem through the folder; its prediction replaced by that of the dense one."""
    monkeypatch.setattr("spu.problems.definite.DENSE_SIZE", 10)
    monkeypatch.setattr("spu.folder.arrays.MAX_ROWS", 10)
    a = grid(5)
    made = spu.compile_problem(GaussianSampling(precision=a.toarray()))
    sparse = GaussianSampling(precision=a)
    made.device.problem = sparse
    made = replace(made, prediction=replace(made.prediction, covariance=sparse.target_covariance))
    write_folder(tmp_path / "out", made)
    data = json.loads((tmp_path / "out" / "problem.json").read_text())
    assert data["precision"] == {"npz": "problem.npz", "key": "precision", "sparse": "csr", "shape": [25, 25]}
    with np.load(tmp_path / "out" / "problem.npz") as archive:
        assert set(archive) == {"precision.indptr", "precision.indices", "precision.data"}
    folder = read_folder(tmp_path / "out")
    assert folder.problem.sparse
    assert abs(folder.problem.matrix - a).max() == 0
    assert abs(folder.compiled["statistics"]["covariance"] - sparse.target_covariance).max() == 0
    path = tmp_path / "out" / "problem.json"
    for change in ({"sparse": "coo"}, {"shape": [3, 3]}, {"shape": 4}, {"key": "other"}):
        path.write_text(json.dumps({**data, "precision": {**data["precision"], **change}}))
        with pytest.raises(InputError, match="does not hold the matrices"):
            read_folder(tmp_path / "out")


def test_small_sparse_matrices_are_written_out():
    small, large = spill({"covariance": sp.eye_array(3, format="csr")}, "x.npz")
    assert not large
    assert folder_module.plain(small) == {"covariance": np.eye(3).tolist()}


def test_a_folder_without_netlist(tmp_path, monkeypatch):
    matrix = tmp_path / "a.csv"
    np.savetxt(matrix, grid(2).toarray(), delimiter=",")
    out = tmp_path / "out"
    assert run("compile", matrix, "-o", out, "--json").exit_code == 0
    assert (out / "device.cir").exists()
    monkeypatch.setattr("spu.spice.names.MAX_INSTANCES", 3)
    result = run("compile", matrix, "-o", out, "--json")
    found = json.loads(result.stdout)
    assert found["netlist"] is None
    assert any("no netlist" in warning for warning in found["warnings"])
    assert not (out / "device.cir").exists()
    assert read_folder(out).netlist is None
    result = run("compile", matrix, "-o", out)
    assert "no netlist" in result.output


def test_inspect_of_many_couplers(tmp_path, monkeypatch):
    inspect = importlib.import_module("spu.cli.inspect")
    write_folder(tmp_path / "out", spu.compile_problem(GaussianSampling(precision=grid(7))))
    monkeypatch.setattr(inspect, "MOST_LISTED", 50)
    text = run("inspect", tmp_path / "out").output
    assert "49 cells, 84 couplers" in " ".join(text.split())
    assert "... and 64 more (all with --verbose)" in text
    picture = tmp_path / "a.png"
    result = run("inspect", tmp_path / "out", "--json", "--plot", picture)
    found = json.loads(result.stdout)
    assert (len(found["coupler_table"]), found["coupler_count"]) == (50, 84)
    assert picture.stat().st_size > 1000


def test_coarse_pictures():
    from spu.reports.pictures.figures import coarsened

    a = np.zeros((5, 5))
    a[0, 1], a[1, 0], a[4, 4], a[2, 4] = 1.0, -3.0, 2.0, -1.0
    expected = [[-3.0, 0, 0], [0, 0, -1.0], [0, 0, 2.0]]
    for matrix in (a, sp.csr_array(a)):
        assert np.array_equal(coarsened(matrix, 2), expected)


def test_importing_is_fast():
    import subprocess
    import sys

    code = "import sys, spu; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(spu.__file__).parent.parent)
    code = "import sys; from spu.cli.verbs import VERBS, cli; assert [cli.get_command(None, v) for v in VERBS]; "
    code += "assert 'numpy' not in sys.modules"  # so that --help is there at once
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(spu.__file__).parent.parent)


def test_prediction_of_a_compiled_device_is_what_the_equations_say():
    """Names made lazily, loops not looked for: the law is still that of the elements."""
    device = random_device(np.random.default_rng(5), 6, temperature=300.0)
    law = law_of(device)
    assert law.sde.state_names[:6] == [f"v(c{k})" for k in range(6)]
    assert len(law.sde.noise_names) == law.sde.K.shape[1]
