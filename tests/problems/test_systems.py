"""Systems of any matrix, and least squares: against numpy, what is chosen, what it costs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import spu
from spu.base.errors import InputError
from spu.problems.files import load_problem, problem_from_dict, read_problem

SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])


def of_condition(rng, m, n, condition):
    """Singular values from 1 down to 1 / condition, in any directions."""
    u = np.linalg.qr(rng.normal(size=(m, n)))[0]
    v = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return (u * np.geomspace(1.0, 1.0 / condition, n)) @ v.T


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 2), (5, 2), (8, 8), (40, 17), (64, 64)])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_the_mean_is_the_solution(m, n, condition):
    rng = np.random.default_rng(m * n)
    A, b = of_condition(rng, m, n, condition), rng.normal(size=m)
    exact = np.linalg.lstsq(A, b, rcond=None)[0]
    size = np.linalg.norm(exact)
    for problem in (spu.GeneralSystem(A, b), spu.LeastSquares(A, b)):
        assert np.linalg.norm(problem.target_mean - exact) < 1e-10 * condition * size
        # The stationary mean of the equation that is built, too.
        if isinstance(problem, spu.GeneralSystem):
            mean = problem.reads @ np.linalg.solve(problem.drift, problem.force)
            assert np.linalg.norm(mean - exact) < 1e-10 * condition**2 * size
        else:
            mean = np.linalg.solve(problem.matrix, problem.right_side)
            assert np.linalg.norm(mean - exact) < 1e-13 * condition**2 * max(size, condition)


@pytest.mark.parametrize("method", ["direct", "embedding"])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_devices_solve_them(method, n):
    rng = np.random.default_rng(n)
    A = np.eye(n) * (n + 2) + rng.normal(size=(n, n)) if method == "direct" else rng.normal(size=(n, n))
    b = rng.normal(size=n)
    problem = spu.GeneralSystem(A, b, method=method)
    made = spu.compile_problem(problem)
    assert len(made.device.cell_names) == (n if method == "direct" else 2 * n)
    found = spu.predict(made.device)
    np.testing.assert_allclose(found.mean, np.linalg.solve(A, b), rtol=1e-9)
    assert found.variables == problem.variables
    np.testing.assert_allclose(found.covariance, problem.target_covariance, atol=1e-9 * np.abs(found.covariance).max())
    least = spu.compile_problem(spu.LeastSquares(A, b))
    np.testing.assert_allclose(spu.predict(least.device).mean, np.linalg.solve(A, b), rtol=1e-7)


def test_the_method_is_chosen():
    rng = np.random.default_rng(0)
    definite = np.eye(4) * 5 + rng.normal(size=(4, 4))
    assert spu.GeneralSystem(definite, np.ones(4)).method == "direct"
    assert spu.GeneralSystem(-definite, np.ones(4)).method == "direct"  # both sides change their sign
    np.testing.assert_allclose(spu.GeneralSystem(-definite, np.ones(4)).drift, definite)
    assert spu.GeneralSystem(SWAP, [1.0, 2.0]).method == "embedding"
    assert spu.GeneralSystem(definite[:, :3], np.ones(4)).method == "embedding"
    assert spu.GeneralSystem(definite, np.ones(4), damping=1.0).method == "embedding"
    # Nearly a rotation: it would decay a thousand times slower than it turns.
    turning = np.array([[1e-3, 1.0], [-1.0, 1e-3]])
    problem = spu.GeneralSystem(turning, [1.0, 1.0])
    assert problem.method == "embedding" and problem.ways["direct"].slowest == pytest.approx(1e3)
    assert spu.GeneralSystem(turning, [1.0, 1.0], method="direct").slowest == pytest.approx(1e3)


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e3])
@pytest.mark.parametrize(("m", "n"), [(3, 3), (7, 4)])
def test_what_ways_cost_is_what_they_do(m, n, condition):
    """Slowest time constants, by eigenvalues of what is built, in units of the strongest part's."""
    A = of_condition(np.random.default_rng(3), m, n, condition)
    problem = spu.GeneralSystem(A, np.ones(m), method="embedding")
    M = problem.drift
    slow = np.abs(M).max() / np.linalg.eigvals(M).real.min()
    way = problem.ways["embedding"]
    assert (way.cells, way.condition) == (m + n, pytest.approx(condition))
    assert way.slowest == pytest.approx(slow, rel=1e-5)  # a double eigenvalue, of which half the digits are known
    assert problem.slowest == pytest.approx(condition / 0.95, rel=1e-5)  # 1 / sigma_min
    normal, G = problem.ways["normal equations"], A.T @ A
    assert (normal.cells, normal.condition) == (n, pytest.approx(condition**2))
    assert normal.slowest == pytest.approx(np.abs(G).max() / np.linalg.eigvalsh(G)[0], rel=1e-6)


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.1, 4.0])
def test_the_damping_is_that_of_the_fastest_settling(factor):
    """At any other the slowest mode is slower; noise of the mean grows with the damping."""
    A = of_condition(np.random.default_rng(4), 6, 4, 20.0)
    best = spu.GeneralSystem(A, np.ones(6))
    other = spu.GeneralSystem(A, np.ones(6), damping=factor * best.damping)
    assert best.damping == pytest.approx(1.9 / 20.0)
    assert other.slowest > best.slowest * 1.05
    expected = 2 / other.damping if factor < 1 else (other.damping + np.sqrt(other.damping**2 - 4 / 400)) * 200
    assert other.slowest == pytest.approx(expected, rel=1e-5)
    assert other.ways["embedding"].slowest == pytest.approx(
        np.abs(other.drift).max() / np.linalg.eigvals(other.drift).real.min(), rel=1e-5
    )
    for problem in (best, other):
        P = problem.target_covariance
        np.testing.assert_allclose(P, P[0, 0] * np.eye(4), atol=1e-12)
        # 2 int_0^inf R(t) dt = 2 M^-1 P of x, symmetrised
        integral = problem.reads @ np.linalg.inv(problem.drift) @ problem.reads.T * P[0, 0]
        np.testing.assert_allclose(2 * integral, 2 * problem.damping * P[0, 0] * np.linalg.inv(A.T @ A), rtol=1e-8)


@pytest.mark.parametrize("noise", [0.0, 0.1, 2.0])
def test_noise_is_as_large_as_said(noise):
    A, b = np.array([[2.0, -1.0], [0.5, 1.0]]), np.array([1.0, 3.0])
    for method in ("direct", "embedding"):
        problem = spu.GeneralSystem(A, b, method=method, noise=noise)
        rms = np.sqrt(np.mean(problem.target_mean**2))
        assert np.sqrt(np.trace(problem.target_covariance) / 2) == pytest.approx(noise * rms)
        found = spu.predict(spu.compile_problem(problem).device)
        assert np.sqrt(np.trace(found.covariance) / 2) == pytest.approx(noise * rms, abs=1e-12)
        np.testing.assert_allclose(found.mean, np.linalg.solve(A, b), rtol=1e-9)


@pytest.mark.parametrize(
    "problem",
    [
        spu.GeneralSystem([[2.0, -1.0], [0.5, 1.0]], [1.0, 3.0]),
        spu.GeneralSystem(SWAP, [1.0, 2.0]),
        spu.GeneralSystem([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 2.0, 4.0]),
        spu.LeastSquares([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 2.0, 4.0]),
    ],
    ids=["direct", "swap", "tall", "normal"],
)
def test_error_bars_are_honest(problem):
    """200 short runs: mean squares of deviations in standard errors: 1, with a deviation of 0.1; 0.5 is five of it."""
    device = spu.compile_problem(problem).device
    z = []
    for seed in range(200):
        found = spu.simulate(device, samples=200, trajectories=4, seed=seed, trace=0)
        z.append((found.mean - found.target_mean) / found.mean_error)
    squares = np.mean(np.square(z), axis=0)
    assert np.abs(squares - 1).max() < 0.5, squares


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spu.GeneralSystem([[1.0, 2.0], [2.0, 4.0]], [1, 2]), "singular .* smallest singular value is .*e-1"),
        (lambda: spu.GeneralSystem(np.ones((3, 2)), [1, 2, 3]), "rank-deficient .* smallest singular value"),
        (lambda: spu.LeastSquares(np.ones((3, 2)), [1, 2, 3]), "rank-deficient .* smallest singular value"),
        (lambda: spu.GeneralSystem(np.zeros((2, 2)), [1, 2]), "singular .* smallest singular value is 0"),
        (lambda: spu.GeneralSystem(np.ones((2, 3)), [1, 2]), "2 × 3: with fewer equations than unknowns"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2, 3]), "the vector has shape 3 .* calls for 2 entries"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, np.nan]), r"the vector is NaN at entry 2 \(row 2\)"),
        (lambda: spu.GeneralSystem([[1.0, np.inf]], [1]), "the matrix is infinite at row 1, column 2"),
        (lambda: spu.GeneralSystem(np.ones(3), [1]), "must be m × n"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2], variables=["a"]), "1 variable names for a matrix of 2 columns"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2], method="fast"), "no method 'fast'; valid: direct, embedding"),
        (lambda: spu.GeneralSystem(SWAP, [1, 2], method="direct"), "on one side .* take 'embedding'"),
        (lambda: spu.GeneralSystem(np.ones((2, 1)), [1, 2], method="direct"), "square matrix: take 'embedding'"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2], method="direct", damping=1.0), "leave it out with method"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2], damping=0), "the damping is 0: it must be positive"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2], noise=-1), "must not be negative"),
        (lambda: spu.GeneralSystem(np.eye(2), [1, 2], noise="x"), "the noise is 'x'"),
        (lambda: spu.LeastSquares(np.diag([1.0, 1e-8]), [1, 2]), "condition 1e\\+08 .* does not square it"),
        (lambda: spu.LinearSystem([[1.0, 2.0], [3.0, 4.0]], [1, 2]), "not symmetric.*GeneralSystem.*LeastSquares"),
        (lambda: spu.LinearSystem([[1.0, 2.0], [2.0, 1.0]], [1, 2]), "eigenvalue -1.*GeneralSystem.*LeastSquares"),
        (lambda: spu.LinearSystem(np.ones((3, 2)), [1, 2, 3]), "must be square.*GeneralSystem.*LeastSquares"),
    ],
)
def test_wrong_input(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in caught.value.message


def test_what_no_other_way_helps_is_refused_as_before():
    with pytest.raises(InputError) as caught:
        spu.LinearSystem([[1.0, 1.0], [1.0, 1.0]], [1, 2])
    assert "singular" in caught.value.message and "GeneralSystem" not in caught.value.message
    with pytest.raises(InputError) as caught:
        spu.MatrixInverse([[1.0, 2.0], [2.0, 1.0]])
    assert "GeneralSystem" not in caught.value.message


def test_it_is_said_what_was_taken():
    problem = spu.GeneralSystem([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 2.0, 4.0])
    ((label, said),) = problem.facts()
    assert label == "way" and said.startswith("by embedding, damped by ") and "5 cells" in said
    assert "; by normal equations (spu.LeastSquares): 2 cells, condition 8.55, slowest" in said
    made = spu.compile_problem(problem)
    assert dict(made.facts())["way"] == said
    found = made.to_dict()
    assert found["way"] == "embedding" and found["ways"]["normal equations"]["cells"] == 2
    least = spu.compile_problem(spu.LeastSquares(problem.matrix, problem.vector))
    assert "2.92 squared" in dict(least.facts())["way"] and least.to_dict()["design_condition"] < 3.0


def test_residuals_have_names_of_their_own():
    problem = spu.GeneralSystem(SWAP, [1.0, 2.0], variables=["r2", "y"])
    assert problem.names == ("rr1", "rr2", "r2", "y")


@pytest.mark.parametrize("suffix", ["npy", "csv", "mtx", "npz"])
def test_matrices_from_files_need_not_be_square(tmp_path, suffix):
    A, b = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([1.0, 2.0, 4.0])
    file = tmp_path / f"A.{suffix}"
    if suffix == "npy":
        np.save(file, A)
    elif suffix == "npz":
        np.savez(file, matrix=A, vector=b)
    elif suffix == "csv":
        file.write_text("offset,slope\n" + "\n".join(",".join(map(str, row)) for row in A.tolist()))
    else:
        from scipy.io import mmwrite

        mmwrite(file, sp.coo_array(A))
    np.save(tmp_path / "b.npy", b)
    for task in ("general-linear", "least-squares"):
        given = {} if suffix == "npz" else {"vector": tmp_path / "b.npy"}
        problem, _ = load_problem(file, task=task, **given)
        np.testing.assert_allclose(problem.target_mean, np.linalg.lstsq(A, b, rcond=None)[0])
        assert problem.variables == (("offset", "slope") if suffix == "csv" else ("x1", "x2"))
        again = problem_from_dict(problem.to_dict())
        np.testing.assert_array_equal(again.target_mean, problem.target_mean)
        assert again.choices() == problem.choices()
    for task in ("linear",) if suffix == "npz" else ("linear", "inverse", "gaussian"):
        with pytest.raises(InputError, match="must be square"):
            load_problem(file, task=task, **(given if task == "linear" else {}))


def test_toml(tmp_path):
    A = [[0.0, 1.0], [1.0, 0.5], [2.0, 2.0]]
    (tmp_path / "p.toml").write_text(
        f'task = "general-linear"\nmatrix = {A}\nvector = [1.0, 2.0, 3.0]\ndamping = 0.7\nnoise = 0.0\n'
    )
    problem = read_problem(tmp_path / "p.toml").problem
    assert (problem.damping, problem.noise, problem.method) == (0.7, 0.0, "embedding")
    (tmp_path / "l.toml").write_text(f'task = "least-squares"\ndesign = {A}\nvector = [1.0, 2.0, 3.0]\n')
    np.testing.assert_allclose(read_problem(tmp_path / "l.toml").problem.target_mean, problem.target_mean)
    (tmp_path / "bad.toml").write_text(f'task = "general-linear"\nmatrix = {A}\nvector = [1.0, 2.0]\n')
    with pytest.raises(InputError, match="the vector has shape 2"):
        read_problem(tmp_path / "bad.toml")


def test_labels_name_unknowns_and_order_equations():
    pd = pytest.importorskip("pandas")
    A = pd.DataFrame([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], index=["u", "v", "w"], columns=["offset", "slope"])
    b = pd.Series([4.0, 1.0, 2.0], index=["w", "u", "v"])
    problem = spu.GeneralSystem(A, b)
    assert problem.variables == ("offset", "slope")
    np.testing.assert_array_equal(problem.vector, [1.0, 2.0, 4.0])
    with pytest.raises(InputError, match="the vector does not have the names"):
        spu.LeastSquares(A, b.rename({"w": "x"}))
