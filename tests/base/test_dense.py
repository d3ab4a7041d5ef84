"""Dense matrices: their factors, their inverses, and what is sparse about them."""

import numpy as np
import pytest
import scipy.sparse as sp

from spu.base.cholesky import cholesky, half_solve, inverse, solve
from spu.base.sparse import canonical, diagonal_places, off_diagonal, scaled


def definite(n: int) -> np.ndarray:
    draw = np.random.default_rng(n).standard_normal((n, 2 * n))
    return draw @ draw.T / n


@pytest.mark.parametrize("n", [1, 2, 7, 90])
def test_factor_and_inverse(n):
    A = definite(n)
    given = A.copy()
    factor = cholesky(A)
    assert (given == A).all() and (np.triu(factor, 1) == 0).all()
    assert np.abs(factor @ factor.T - A).max() < 1e-14 * n * np.abs(A).max()
    found = inverse(factor)
    assert (found == found.T).all()
    assert np.abs(A @ found - np.eye(n)).max() < 1e-12
    b = np.random.default_rng(1).standard_normal((n, 3))
    assert np.abs(A @ solve(factor, b) - b).max() < 1e-12
    assert np.abs(factor @ half_solve(factor, b) - b).max() < 1e-12


def test_no_factor_of_what_is_not_positive_definite():
    assert cholesky(np.array([[1.0, 2.0], [2.0, 1.0]])) is None
    assert cholesky(np.zeros((2, 2))) is None


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (4, 4), (3, 5)])
@pytest.mark.parametrize("zeros", [0.0, 0.4, 1.0])
def test_a_dense_matrix_made_sparse(shape, zeros):
    draw = np.random.default_rng(4)
    dense = np.where(draw.random(shape) < zeros, 0.0, draw.standard_normal(shape))
    for given in (dense, np.asfortranarray(dense), dense[::-1]):
        found, expected = canonical(given), sp.csr_array(given)
        fresh = sp.csr_array((found.data, found.indices, found.indptr), shape=shape)
        assert fresh.has_canonical_format and found.shape == shape
        assert np.array_equal(found.indptr, expected.indptr) and np.array_equal(found.indices, expected.indices)
        assert np.array_equal(found.data, expected.data) and not np.shares_memory(found.data, given)


def test_what_is_off_the_diagonal():
    draw = np.random.default_rng(5)
    for stored in (0.2, 0.7, 1.0):
        dense = np.where(draw.random((6, 6)) < stored, draw.standard_normal((6, 6)), 0.0)
        a = canonical(dense)
        off = off_diagonal(a)
        assert np.array_equal(off.toarray(), dense - np.diag(np.diag(dense)))
        fresh = sp.csr_array((off.data, off.indices, off.indptr), shape=off.shape)
        assert fresh.has_canonical_format and off.data.all()
        assert np.array_equal(a.data[diagonal_places(a)], np.diag(dense)[np.diag(dense) != 0])
        left = draw.standard_normal(6)
        assert np.array_equal(scaled(a, left, np.ones(6)).toarray(), left[:, None] * dense)
        same = scaled(a, np.ones(6), np.ones(6))
        assert np.array_equal(same.toarray(), dense) and not np.shares_memory(same.data, a.data)
