"""Ising energies, QUBOs and programmes within bounds: conventions, counting, what cells make of spins, wrong input."""

import itertools
import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import spu
from spu.base.errors import InputError
from spu.problems.files import problem_from_dict, read_problem
from spu.problems.ising import BoundedQuadratic, Ising


def instance(n, seed, whole=False, fields=True):
    """Random symmetric couplings, and fields, of numbers or of -1, 0 and 1."""
    rng = np.random.default_rng([n, seed])
    J = np.triu(rng.choice([-1.0, 0.0, 1.0], size=(n, n)) if whole else rng.normal(size=(n, n)), 1)
    return J + J.T, fields * (rng.integers(-2, 3, n) if whole else rng.normal(size=n))


def every(n, low=-1.0):
    return np.array([*itertools.product([low, 1.0], repeat=n)])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("whole", [False, True])
def test_ground_states_by_the_definition(n, whole):
    """One pair at a time, one state at a time."""
    J, h = instance(n, 3, whole)
    h[0] += 0.25
    problem = spu.Ising(J, h)
    energies = np.array(
        [
            -sum(J[i, j] * s[i] * s[j] for i in range(n) for j in range(i)) - sum(h[i] * s[i] for i in range(n))
            for s in every(n)
        ]
    )
    assert problem.cost(every(n)) == pytest.approx(energies, abs=1e-12)
    found = problem.ground()
    assert found.energy == pytest.approx(energies.min(), abs=1e-12)
    right = {tuple(s) for s in every(n)[energies < energies.min() + 1e-9]}
    assert {tuple(s) for s in found.states} == right


def test_the_network_is_the_energy_and_wells():
    """V at states of the cells, from the formula of the page."""
    J, h = instance(4, 1)
    problem = spu.Ising(J, h, depth=0.7)
    x = np.random.default_rng(0).normal(size=(20, 4))
    size = np.sqrt(((J**2).sum(axis=1) + h**2).mean())
    energy = -0.5 * np.einsum("bi,ij,bj->b", x, J, x) - x @ h
    assert problem.energy(x) == pytest.approx((0.7 * ((x**2 - 1) ** 2 - 1)).sum(axis=1) + energy / size)
    assert problem.scale == pytest.approx(1 / size) and problem.kT == 1.0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("depth", [0.1, 0.5])
def test_whether_the_lowest_minimum_is_a_ground_state(seed, depth):
    """By descent from every state; shallow wells spoil some."""
    J, h = instance(6, seed, fields=seed % 2 == 0)
    problem = spu.Ising(J, h, depth=depth)
    found = problem.ground()
    ends = []
    for s in every(6):
        end = minimize(
            lambda x: float(problem.energy(x)), s, jac=lambda x: -problem.force(x), method="L-BFGS-B", tol=1e-12,
            bounds=[(0, None) if k > 0 else (None, 0) for k in s],
        )  # fmt: skip
        ends.append(end.fun)
    ends = np.array(ends)
    costs = problem.cost(every(6))
    lowest = every(6)[ends < ends.min() + 1e-7]
    right = bool((problem.cost(lowest) < costs.min() + problem.tolerance).all())
    assert found.assured is right
    if not right:
        assert any((found.spoiled_by == s).all() for s in lowest)


def test_both_verdicts_occur():
    verdicts = {spu.Ising(*instance(6, seed, fields=seed % 2 == 0), depth=0.1).ground().assured for seed in range(6)}
    assert verdicts == {True, False}


@pytest.mark.parametrize("n", [1, 3, 6])
def test_a_qubo_is_an_ising_problem(n):
    """The same costs of all bits, the same ground states; symmetric or not."""
    Q = np.random.default_rng(n).normal(size=(n, n))
    for matrix in (Q, np.triu(Q), (Q + Q.T) / 2):
        problem = spu.QUBO(matrix)
        bits = every(n, 0.0)
        costs = np.einsum("bi,ij,bj->b", bits, matrix, bits)
        assert problem.cost(bits) == pytest.approx(costs, abs=1e-12)
        ising = Ising(problem.J, problem.h)
        assert ising.cost(2 * bits - 1) + problem.offset == pytest.approx(costs, abs=1e-12)
        found = problem.ground()
        assert found.energy == pytest.approx(costs.min(), abs=1e-12)
        assert found.states == pytest.approx(bits[[int(costs.argmin())]])
        assert problem.decode([0.3] * n) == pytest.approx(1.0) and problem.decode([-0.3] * n) == pytest.approx(0.0)


def programme(n, seed, extra=2):
    rng = np.random.default_rng([n, seed])
    M = rng.normal(size=(n + extra, n))
    lower = -rng.uniform(0.1, 1.0, n)
    return M.T @ M, 3 * rng.normal(size=n), lower, lower + rng.uniform(0.2, 2.0, n)


def solved(A, b, lower, upper):
    bounds = list(zip(lower, upper, strict=True))
    found = minimize(
        lambda x: 0.5 * x @ A @ x - b @ x,
        (lower + upper) / 2,
        jac=lambda x: A @ x - b,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
    )
    return found.x


@pytest.mark.parametrize("n", [1, 4, 9])
def test_the_gap_bounds_what_is_left(n):
    """Of any state within the bounds: its cost, and how far it is from the answer."""
    for seed in range(5):
        given = programme(n, seed)
        problem = spu.BoundedQuadratic(*given)
        x = solved(*given)
        states = problem.decode(np.random.default_rng(seed).normal(size=(50, n)))
        assert (states >= given[2]).all() and (states <= given[3]).all()
        assert (problem.gap(states) >= problem.cost(states) - problem.cost(x) - 1e-9).all()
        assert (problem.distance(states) >= np.linalg.norm(states - x, axis=1) - 1e-6).all()
        assert problem.gap(x) < 1e-6 and problem.gap(states).max() > 0.1


def at_rest(problem, y, input):
    """Where the noiseless network comes to rest, by scipy."""
    found = solve_ivp(lambda _, y: problem.force(y, input), (0, 30), y, method="LSODA", rtol=1e-9, atol=1e-10)
    return found.y[:, -1]


def test_corrected_inputs_lead_to_the_answer():
    """By rests of the noiseless network: what walls cost, and that it goes."""
    for seed in range(4):
        given = programme(6, seed, extra=6)
        problem, x = spu.BoundedQuadratic(*given), solved(*given)
        y, input, borne, left = np.zeros(6), problem.input, np.zeros(6), []
        for _ in range(25):
            y = at_rest(problem, y, input)
            left.append(np.abs(problem.decode(y) - x).max())
            input, borne = problem.corrected(y, input, borne)
        assert left[0] > 3e-3 and left[-1] < 1e-4, left
        pulls = problem.A @ x - problem.b
        assert (np.sign(np.round(borne, 6)) == -np.sign(np.round(pulls, 3))).all()


J2 = [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spu.Ising([[0, 1], [2, 0]]), "J is not symmetric: 1 in row 1, column 2, and 2 the other way"),
        (lambda: spu.Ising([[1, 1], [1, 0]]), "J has 1 on the diagonal, in row 1"),
        (lambda: spu.Ising([[0, 1, 0], [1, 0, 0]]), "J is 2 x 3: it must be square"),
        (lambda: spu.Ising(J2, h=[1, 2, 3]), "h has 3 entries, and J is 2 x 2"),
        (lambda: spu.Ising([[0, 0], [0, 0]]), "all couplings and fields are zero"),
        (lambda: spu.Ising(J2, depth=0), "depth is 0.0: wells must be deeper"),
        (lambda: spu.Ising(J2, by="luck"), "by is 'luck': an optimisation is annealed by noise or by couplings"),
        (lambda: spu.Ising(J2, duration=-1), "duration is -1.0: it must be positive"),
        (lambda: spu.Ising([[0, float("nan")], [1, 0]]), "J must be finite"),
        (lambda: spu.Ising(np.ones((21, 21)) - np.eye(21)).ground(), "21 spins have 2\\^21 states: all are counted of"),
        (lambda: spu.QUBO([[1, 2]]), "Q is 1 x 2: it must be square"),
        (lambda: spu.QUBO([[0.0]]), "all couplings and fields are zero"),
        (lambda: spu.BoundedQuadratic(J2, 0, 0, 1), "A is not positive semidefinite: its smallest eigenvalue is -1"),
        (lambda: spu.BoundedQuadratic(np.eye(2), 0, [0, 1], [1, 1]), "bounds of x2 are crossed: lower 1, upper 1"),
        (lambda: spu.BoundedQuadratic(np.eye(2), [1, 2, 3], 0, 1), "b has 3 entries, and A is 2 x 2"),
        (lambda: spu.BoundedQuadratic(np.eye(2), 0, 0, np.inf), "upper must be finite"),
        (lambda: spu.BoundedQuadratic(np.eye(2), 0, 0, 1, wall=-1), "wall is -1.0: it must be positive"),
    ],
)
def test_wrong_input_is_one_line(make, words):
    with pytest.raises(InputError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)


def problems():
    J, h = instance(3, 0)
    return [
        spu.Ising(J, h, depth=0.4, by="couplings", duration=12.0, variables=["a", "b", "c"]),
        spu.QUBO(np.triu(J) + np.diag(h)),
        spu.BoundedQuadratic(*programme(3, 1), wall=0.1),
    ]


@pytest.mark.parametrize("problem", problems(), ids=lambda each: each.task)
def test_files_and_dictionaries_hold_it(problem, tmp_path):
    held = json.loads(json.dumps(problem.to_dict()))
    again = problem_from_dict(held)
    assert type(again) is type(problem) and again.to_dict() == problem.to_dict()
    lines = [f"{key} = {json.dumps(value)}" for key, value in held.items() if key != "format"]
    file = tmp_path / "problem.toml"
    file.write_text("\n".join([*lines, 'hardware = "neurons"']) + "\n")
    read = read_problem(file)
    assert read.problem.to_dict() == problem.to_dict() and read.hardware == "neurons"


def test_matrix_files_are_couplings_unless_said_otherwise(tmp_path):
    np.savetxt(tmp_path / "J.csv", J2, delimiter=",")
    assert read_problem(tmp_path / "J.csv", task="ising").problem.J.tolist() == J2
    assert read_problem(tmp_path / "J.csv", task="qubo").problem.Q.tolist() == J2


def test_folders_keep_problem_and_ramp(tmp_path):
    from spu.folder import read_folder, write_folder

    for problem in problems():
        made = spu.compile_problem(problem)
        write_folder(tmp_path / problem.task, made)
        folder = read_folder(tmp_path / problem.task)
        assert type(folder.device.problem) is type(problem)
        assert folder.device.ramp.to_dict() == made.device.ramp.to_dict()
        assert folder.device.hash == made.device.hash
        ramp, second = made.device.ramp, made.scales.time
        assert ramp.duration == pytest.approx(problem.duration * second)
        assert ramp.end == ((1.0, 0.0) if problem.by == "noise" else (1.0, 1.0))


def test_a_programme_of_one_number():
    """The answer is a bound or between, and both are found."""
    for b, answer in ((5.0, 1.0), (0.3, 0.3), (-5.0, -1.0)):
        problem = BoundedQuadratic([[1.0]], b, -1.0, 1.0)
        assert problem.gap([answer]) == pytest.approx(0.0, abs=1e-12)
        assert problem.gap([answer - np.sign(b) * 0.1]) > 0.0
