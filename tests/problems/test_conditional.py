"""Conditional problems against the block formulas of covariances, never through the precision they are made by."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

import spu
from spu.base.errors import InputError
from spu.problems.files import problem_from_dict


def covariance(rng, n):
    factor = rng.standard_normal((n, n + 3))
    return factor @ factor.T / n


def schur(P, mean, held):
    """Mean and covariance given some entries, by the covariance's blocks (Rasmussen and Williams, A.6)."""
    c, f = np.array(list(held)), np.setdiff1d(np.arange(len(P)), list(held))
    x = np.array(list(held.values()))
    gain = np.linalg.solve(P[np.ix_(c, c)], P[np.ix_(c, f)]).T
    m, S = np.zeros(len(P)), np.zeros_like(P)
    m[c], m[f] = x, mean[f] + gain @ (x - mean[c])
    S[np.ix_(f, f)] = P[np.ix_(f, f)] - gain @ P[np.ix_(c, f)]
    return m, S


@pytest.mark.parametrize("given", ["precision", "covariance", "inverse"])
@pytest.mark.parametrize("n", [2, 5, 12])
def test_mean_and_covariance_are_those_of_the_blocks(n, given):
    rng = np.random.default_rng(n)
    P, mean = covariance(rng, n), rng.standard_normal(n)
    where = rng.permutation(n)[: n // 2]
    held = {int(k): float(rng.normal()) for k in where}
    names = {f"x{k + 1}": value for k, value in held.items()}
    if given == "inverse":
        mean = np.zeros(n)
        found = spu.conditional(spu.MatrixInverse(np.linalg.inv(P)), names)
    else:
        matrix = {"covariance": P} if given == "covariance" else {"precision": np.linalg.inv(P)}
        found = spu.ConditionalGaussian(**matrix, mean=mean, held=names)
    m, S = schur(P, mean, held)
    assert found.target_mean == pytest.approx(m, rel=1e-9, abs=1e-9)
    assert found.target_covariance == pytest.approx(S, rel=1e-9, abs=1e-9)
    assert found.held == {name: names[name] for name in found.variables if name in names}
    again = problem_from_dict(json.loads(json.dumps(found.to_dict())))
    assert np.array_equal(again.target_mean, found.target_mean)
    assert np.array_equal(again.target_covariance, found.target_covariance)


def test_a_large_sparse_one_stays_sparse():
    n = 2500
    A = sp.diags_array([np.full(n, 2.5), np.full(n - 1, -1.0), np.full(n - 1, -1.0)], offsets=[0, 1, -1]).tocsr()
    found = spu.ConditionalGaussian(precision=A, held={"x1000": 3.0})
    assert found.sparse and sp.issparse(found.target_covariance)
    f = np.setdiff1d(np.arange(n), [999])
    dense = A.toarray()
    inner = np.linalg.inv(dense[np.ix_(f, f)])
    assert found.target_mean[f] == pytest.approx(-inner @ dense[f, 999] * 3.0, abs=1e-12)
    got = found.target_covariance.toarray()
    assert (
        not got[999].any()
        and got[5, 6] == pytest.approx(inner[5, 6])
        and got[2000, 2000] == pytest.approx(inner[1999, 1999])
    )


def test_prescribed_unknowns_leave_their_equations_out():
    A, b = np.array([[4.0, 1, 0], [1, 3, -1], [0, -1, 2]]), np.array([1.0, 2, 3])
    found = spu.conditional(spu.LinearSystem(A, b), {"x2": -1.0})
    assert found.task == "conditional-linear" and found.answer == "mean"
    assert found.target_mean == pytest.approx([0.5, -1.0, 1.0])
    more = spu.conditional(found, {"x1": 2.0})
    assert more.held == {"x1": 2.0, "x2": -1.0} and more.target_mean == pytest.approx([2.0, -1.0, 1.0])


def test_values_near_a_far_mean_are_not_rounded_away():
    mean = np.array([1e12, 1e12])
    found = spu.ConditionalGaussian(precision=[[2.0, -1.0], [-1.0, 2.0]], mean=mean, held={"x1": 1e12 + 1.0})
    assert found.target_mean[1] - 1e12 == 0.5


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "held is None: it must be variables and their values"),
        ({}, "held is {}: it must be variables"),
        ([1.0], r"held is \[1.0\]: it must be"),
        ({"x3": 1.0}, "there is no variable 'x3'; did you mean"),
        ({"x1": float("nan")}, "x1 is nan: it must be a finite number"),
        ({"x1": True}, "x1 is True: it must be a finite number"),
        ({"x1": "1"}, "x1 is '1': it must be a finite number"),
        ({"x1": 1.0, "x2": 0.0}, "all variables: nothing is left that moves"),
    ],
)
def test_what_is_no_holding_is_refused_in_one_line(held, said):
    with pytest.raises(InputError, match=said) as caught:
        spu.ConditionalGaussian(precision=np.eye(2), held=held)
    assert "\n" not in str(caught.value)


OTHERS = {
    "network": spu.ThermodynamicNetwork(units=2),
    "lyapunov": spu.LyapunovEquation([[1.0, 0.5], [0.0, 1.0]], np.eye(2)),
    "exponential": spu.MatrixExponential([[-1.0, 0.5], [0.0, -1.0]], 1.0),
    "determinant": spu.Determinant([[2.0, -0.5], [-0.5, 1.0]]),
    "least-squares": spu.LeastSquares([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("task", OTHERS)
def test_other_problems_have_no_conditional_law(task):
    with pytest.raises(InputError, match="only a Gaussian, an inverse or a linear system"):
        spu.conditional(OTHERS[task], {"x1": 1.0})


def test_files_pose_it(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text('task = "conditional"\ncovariance = [[2, 1], [1, 1]]\nmean = [0, 3]\nheld = { x2 = 5 }\n')
    problem, _ = spu.load_problem(file)
    assert problem.target_mean == pytest.approx([2.0, 5.0])
    for held, said in (("3", "held is 3"), ("{ x9 = 1 }", "no variable 'x9'"), ('{ x1 = "a" }', "x1 is 'a'")):
        file.write_text(f'task = "conditional"\nprecision = [[2, 1], [1, 1]]\nheld = {held}\n')
        with pytest.raises(InputError, match=said):
            spu.load_problem(file)
    file.write_text('task = "conditional"\nprecision = [[2, 1], [1, 1]]\n')
    with pytest.raises(InputError, match="no held: the task 'conditional' needs"):
        spu.load_problem(file)
