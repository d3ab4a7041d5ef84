"""Lyapunov equations: the answer on random problems, and what is refused."""

import json

import numpy as np
import pytest
import scipy.linalg as la

import spu
from spu.base.errors import InputError
from spu.problems.drift import noise_factor
from spu.problems.files import problem_from_dict

A = [[2.0, 1.0], [-1.0, 1.0]]
Q = [[2.0, 1.0], [1.0, 1.0]]


def stable(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    """A matrix of singular values from 1 to ``condition``, shifted until all eigenvalues lie to the right."""
    left, right = (la.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    found = left @ np.diag(np.geomspace(1.0, condition, n)) @ right
    lowest = la.eigvals(found).real.min()
    return found + max(0.0, 0.1 - lowest) * np.eye(n)


def semidefinite(rng: np.random.Generator, n: int, rank: int) -> np.ndarray:
    factor = rng.standard_normal((n, rank))
    return factor @ factor.T


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 32, 64])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_the_devices_covariance_solves_random_equations(n, condition):
    rng = np.random.default_rng(n)
    for rank in sorted({1, (n + 1) // 2, n}):
        matrix, noise = stable(rng, n, condition), semidefinite(rng, n, rank)
        problem = spu.LyapunovEquation(matrix, noise)
        wanted = la.solve_continuous_lyapunov(matrix, noise)
        size = np.linalg.norm(wanted)
        np.testing.assert_allclose(problem.target_covariance, wanted, atol=1e-9 * size)
        found = spu.compile_problem(problem).prediction
        # Both solve to rounding of the larger terms: what is left of the equation says how well.
        assert np.linalg.norm(found.covariance - wanted) < 1e-8 * size
        left = matrix @ found.covariance + found.covariance @ matrix.T - noise
        assert np.linalg.norm(left) < 1e-11 * np.linalg.norm(matrix) * size
        assert found.relative_error == pytest.approx(np.linalg.norm(found.covariance - wanted) / size, abs=1e-9)


def test_vectors_and_numbers_stand_for_diagonals():
    for given, whole in ((3.0, np.diag([3.0, 3.0])), ([1.0, 2.0], np.diag([1.0, 2.0])), (Q, np.array(Q))):
        problem = spu.LyapunovEquation(A, given)
        np.testing.assert_array_equal(problem.diffusion, whole)
        assert not problem.diffusion.flags.writeable


def test_it_is_a_kind_of_the_register():
    problem = spu.LyapunovEquation(A, Q, variables=["u", "v"])
    assert (problem.task, problem.answer, problem.variables) == ("lyapunov", "covariance", ("u", "v"))
    again = problem_from_dict(json.loads(json.dumps(problem.to_dict())))
    assert isinstance(again, spu.LyapunovEquation)
    np.testing.assert_array_equal(again.diffusion, problem.diffusion)
    np.testing.assert_array_equal(again.target_covariance, problem.target_covariance)


@pytest.mark.parametrize(
    ("matrix", "noise"),
    [
        ("[[2.0, 1.0], [-1.0, 1.0]]", "[[2.0, 1.0], [1.0, 1.0]]"),
        ("'a.csv'", "[2.0, 1.0]"),
        ("'a.csv'", "1"),
        ("'a.csv'", "'q.csv'"),
    ],
)
def test_files(tmp_path, matrix, noise):
    (tmp_path / "a.csv").write_text("u, v\n2.0, 1.0\n-1.0, 1.0\n")
    (tmp_path / "q.csv").write_text("2.0, 1.0\n1.0, 1.0\n")
    file = tmp_path / "it.toml"
    file.write_text(f"task = 'lyapunov'\nmatrix = {matrix}\ndiffusion = {noise}\n")
    problem, hardware = spu.load_problem(file)
    assert isinstance(problem, spu.LyapunovEquation) and hardware is None
    np.testing.assert_array_equal(problem.matrix, A)
    assert problem.variables == (("u", "v") if "csv" in matrix else ("x1", "x2"))


@pytest.mark.parametrize(
    ("matrix", "noise", "said"),
    [
        ([[1.0, 3.0], [-3.0, -2.0]], 1.0, "the matrix has an eigenvalue with the real part -0.5: all must have"),
        ([[0.0, 1.0], [-1.0, 0.0]], 1.0, "the matrix has an eigenvalue with the real part 0"),
        ([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], 1.0, "the matrix has shape 2 × 3: it must be square"),
        ([[1.0, np.nan], [0.0, 1.0]], 1.0, "the matrix is NaN at row 1, column 2"),
        (A, [[1.0, 2.0], [2.0, 1.0]], "the diffusion is not positive semidefinite: its smallest eigenvalue is -1"),
        (A, [-1.0, 2.0], "the diffusion is not positive semidefinite"),
        (A, [[1.0, 2.0], [0.0, 1.0]], "the diffusion is not symmetric"),
        (A, [1.0, 2.0, 3.0], "the diffusion has shape 3"),
        (A, [[1.0, np.inf], [np.inf, 1.0]], "the diffusion is infinite"),
        (A, np.inf, "the diffusion is infinite"),
        (A, 0.0, "the diffusion is zero"),
        (A, "loud", "the diffusion is not numeric"),
        (np.eye(2001), 1.0, "the matrix has 2001 rows: at most 2000"),
    ],
)
def test_wrong_use_is_one_line(matrix, noise, said):
    with pytest.raises(InputError) as caught:
        spu.LyapunovEquation(matrix, noise)
    assert said in caught.value.message
    assert len(caught.value.message.splitlines()) <= 2  # of asymmetry the figures stand below


def test_semidefinite_to_rounding_is_taken():
    rng = np.random.default_rng(1)
    noise = semidefinite(rng, 6, 2) * 1e-30
    assert la.eigvalsh(noise)[0] < 0  # by rounding
    problem = spu.LyapunovEquation(np.eye(6), noise)
    np.testing.assert_allclose(problem.target_covariance, noise / 2, rtol=1e-12, atol=1e-45)
    assert len(spu.compile(problem).noises) == 2


def test_a_source_for_each_rank():
    rng = np.random.default_rng(2)
    for n, rank in ((1, 1), (4, 1), (4, 3), (7, 7)):
        noise = semidefinite(rng, n, rank)
        factor = noise_factor(noise)
        assert factor.shape == (n, rank)
        np.testing.assert_allclose(factor @ factor.T, noise, atol=1e-13 * np.abs(noise).max())
