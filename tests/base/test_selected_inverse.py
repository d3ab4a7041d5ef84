"""Factors by supernodes, and inverses on a pattern, against dense ones."""

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from spu.base import memory, selected_inverse
from spu.base.errors import OutOfMemory
from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky, Supernodes
from spu.base.sparse import canonical


def grid(rows: int, columns: int) -> sp.csr_array:
    """The pattern of a grid, with ones."""
    line = [sp.diags_array([np.ones(m - 1), np.ones(m - 1)], offsets=[-1, 1], shape=(m, m)) for m in (rows, columns)]
    return canonical(sp.kron(line[0], sp.eye_array(columns)) + sp.kron(sp.eye_array(rows), line[1]))


def star(n: int) -> sp.csr_array:
    ends = np.arange(1, n)
    half = sp.coo_array((np.ones(n - 1), (np.zeros(n - 1, dtype=int), ends)), shape=(n, n))
    return canonical(half + half.T)


def scattered(n: int, density: float) -> sp.csr_array:
    half = sp.random_array((n, n), density=density, rng=np.random.default_rng(n))
    return canonical(half + half.T)


PATTERNS = {
    "one": sp.csr_array((1, 1)),
    "apart": sp.csr_array((7, 7)),
    "chain": grid(1, 60),
    "grid": grid(17, 19),
    "two grids": canonical(sp.block_diag([grid(5, 6), grid(4, 4)])),
    "star": star(900),  # whose hub has more entries than an order looks at
    "sparse": scattered(150, 0.01),
    "denser": scattered(150, 0.1),
    "full": scattered(130, 1.0),  # columns of several supernodes at their widest
}


def definite(name: str, seed: int = 0) -> sp.csr_array:
    """Random entries of both signs on a pattern, and a diagonal that is a little more than they are."""
    upper = canonical(sp.triu(PATTERNS[name], 1))
    upper.data = np.random.default_rng(seed).standard_normal(len(upper.data))
    both = upper + upper.T
    return canonical(both + sp.diags_array(abs(both).sum(axis=1) + 0.1))


@pytest.mark.parametrize("name", PATTERNS)
def test_factor_and_inverse(name):
    A = definite(name)
    n = A.shape[0]
    Z = np.linalg.inv(A.toarray())
    factor = SparseCholesky(A)
    b = np.random.default_rng(1).standard_normal((n, 21))
    found = factor.solve(b)
    assert np.abs(found - Z @ b).max() < 1e-12 * np.abs(Z @ b).max()
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(A.toarray())[1], rel=1e-12, abs=1e-12)
    half = factor.sample_solve(np.eye(n))
    assert np.abs(half @ half.T - Z).max() < 1e-12 * np.abs(Z).max()
    inverse = factor.selected_inverse()
    rows, columns = A.nonzero()
    assert np.array_equal(np.transpose(inverse.nonzero()), np.transpose([rows, columns]))
    assert np.abs(inverse.data - Z[rows, columns]).max() < 1e-12 * np.abs(Z).max()
    assert abs(inverse - inverse.T).max() == 0


@pytest.mark.parametrize("name", ["grid", "denser"])
def test_each_side_is_solved_for_as_if_alone(name):
    """Bit by bit, whatever stands beside it; and again from a pickle."""
    A = definite(name)
    factor = SparseCholesky(A)
    b = np.random.default_rng(1).standard_normal((A.shape[0], 19))
    found, drawn = factor.solve(b), factor.sample_solve(b)
    for k in (0, 7, 8, 16, 18):
        assert np.array_equal(factor.solve(b[:, k]), found[:, k])
        assert np.array_equal(factor.sample_solve(b[:, k]), drawn[:, k])
    assert np.array_equal(pickle.loads(pickle.dumps(factor)).solve(b), found)
    assert np.array_equal(factor.solve(np.asfortranarray(b)), found)
    assert factor.solve(b[:, :0]).shape == (A.shape[0], 0)


def test_further_entries_of_the_inverse():
    A = definite("grid")
    pattern = canonical(abs(A) @ abs(A) > 0)
    Z = np.linalg.inv(A.toarray())
    found = SparseCholesky(A, pattern).selected_inverse()
    assert np.array_equal(found.indices, pattern.indices)
    assert np.abs(found.data - Z[pattern.nonzero()]).max() < 1e-12 * np.abs(Z).max()


@pytest.mark.parametrize("name", PATTERNS)
def test_supernodes(name):
    """Every column once, in an order of the rows; rows rising, those of a child in its parent's; none beyond."""
    A = definite(name)
    n, found = A.shape[0], Supernodes.of(A)
    assert np.array_equal(np.sort(found.order), np.arange(n))
    assert np.array_equal(found.place[found.order], np.arange(n))
    assert found.starts[0] == 0 and found.starts[-1] == n and (np.diff(found.starts) > 0).all()
    for s, up in enumerate(found.parent):
        rows = found.rows[found.row_starts[s] : found.row_starts[s + 1]]
        assert (np.diff(rows) > 0).all()
        if up < 0:
            assert not len(rows)
            continue
        assert found.starts[s + 1] <= rows[0] < found.starts[up + 1] and rows[-1] < n
        theirs = found.rows[found.row_starts[up] : found.row_starts[up + 1]]
        assert set(rows) <= {*range(found.starts[up], found.starts[up + 1]), *theirs}


def test_matrices_that_are_not_definite():
    A = definite("grid").tolil()
    A[5, 5] = -1.0
    with pytest.raises(NotPositiveDefinite) as found:
        SparseCholesky(canonical(A))
    assert (found.value.index, found.value.pivot) == (5, -1.0)
    chain = canonical(sp.diags_array([-np.ones(9), 2 * np.ones(10), -np.ones(9)], offsets=[-1, 0, 1]))
    chain[3, 3] = 0.5
    with pytest.raises(NotPositiveDefinite) as found:
        SparseCholesky(chain)
    assert found.value.pivot < 0
    with pytest.raises(NotPositiveDefinite) as found:
        SparseCholesky(canonical([[1.0, 1.0], [1.0, 1.0]]))
    assert found.value.index is None


def test_a_factor_that_does_not_fit_is_refused(monkeypatch):
    """Before anything of its size is made, in one line with both sizes and what would do."""
    monkeypatch.setattr(selected_inverse, "_LARGE_FACTOR", 1000)
    A = definite("grid")
    assert memory.available() > 1e8
    SparseCholesky(A)
    monkeypatch.setattr(memory, "available", lambda: 20_000)
    with pytest.raises(OutOfMemory, match=r"^the factor of a sparse matrix of 323 rows takes .* GB are free: fewer "):
        SparseCholesky(A)


def test_memory_of_a_grid():
    """90,000 cells, bytes for each: what the factor keeps, and most while it is made and while it is inverted."""
    line = sp.diags_array([-np.ones(299), 2.1 * np.ones(300), -np.ones(299)], offsets=[-1, 0, 1])
    A = canonical(sp.kron(line, sp.eye_array(300)) + sp.kron(sp.eye_array(300), line))
    tracemalloc.start()
    factor = SparseCholesky(A)
    left, most = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    inverse = factor.selected_inverse()
    inverting = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    n = A.shape[0]
    assert left / n < 450 and most / n < 550 and inverting / n < 750
    assert np.abs(A.multiply(inverse).sum(axis=1) - 1.0).max() < 1e-12
