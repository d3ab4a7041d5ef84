"""The register of kinds of problem, and kinds that are added from outside of the package."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import spu
from spu.base.errors import InputError, Unrealizable
from spu.compiler import compile_problem
from spu.crosscheck import check
from spu.crosscheck.levels import answer as answer_level
from spu.device.device import Device
from spu.folder import read_folder, write_folder
from spu.problems.answers import COVARIANCE, LAGGED, LAW, MEAN, Answer
from spu.problems.files import problem_from_dict, read_problem
from spu.problems.gaussian import LinearSystem, MatrixInverse
from spu.problems.kinds import KINDS, Kind, kind_of, register
from spu.problems.network import ThermodynamicNetwork
from spu.studies.budget import error_budget

A = np.array([[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]])


class Trace(Answer):
    name = "trace of the inverse"

    def of(self, mean, covariance):
        return np.array([covariance.trace()])

    def error(self, mean_error, covariance_error):
        return np.array([np.linalg.norm(covariance_error.diagonal())])  # as if variances scattered independently


class InverseTrace(MatrixInverse):
    """The trace of the inverse of a matrix: another answer of the same samples."""

    task = "trace"


class InverseColumn(LinearSystem):
    """One column of the inverse of a matrix: the same answer of another system, posed by a number."""

    task = "column"

    def __init__(self, matrix, column, variables=None):
        if not isinstance(column, int) or not 1 <= column <= len(matrix):
            raise InputError(f"column is {column!r}: it must be a number from 1 to {len(matrix)}")
        super().__init__(matrix, np.eye(len(matrix))[column - 1], variables)
        self._set(column=column)


@pytest.fixture
def added():
    before = dict(KINDS)
    register(Kind("trace", InverseTrace, Trace(), "find the trace of an inverse", "has the inverse of this matrix A"))
    register(Kind("column", InverseColumn, MEAN, "find a column of an inverse", values=("column",), beside="vector"))
    yield
    KINDS.clear()
    KINDS.update(before)


def test_what_is_there():
    answers = {task: kind.answer for task, kind in KINDS.items()}
    assert answers == {
        "gaussian": COVARIANCE,
        "inverse": COVARIANCE,
        "linear": MEAN,
        "network": LAW,
        "conditional": COVARIANCE,
        "conditional-linear": MEAN,
        "lyapunov": COVARIANCE,
        "exponential": LAGGED,
        "general-linear": MEAN,
        "least-squares": MEAN,
        "ising": LAW,
        "qubo": LAW,
        "bounded-quadratic": LAW,
    }
    assert all(kind_of(task) is kind and kind.cls.task == task and kind.words for task, kind in KINDS.items())
    assert MatrixInverse(A).kind is KINDS["inverse"]
    network = ThermodynamicNetwork(units=2)
    assert (network.kind, network.answer) == (KINDS["network"], "law")


@pytest.mark.parametrize("task", [None, 3, ["gaussian"], "gausian"])
def test_no_such_kind(task):
    with pytest.raises(InputError, match="unknown task"):
        kind_of(task)


def test_a_task_has_one_kind(added):
    with pytest.raises(ValueError, match="there is a kind of problem for the task 'trace': InverseTrace"):
        register(Kind("trace", InverseTrace, Trace(), "find it"))
    with pytest.raises(ValueError, match=r"MatrixInverse\.task is 'inverse': it must be 'other'"):
        register(Kind("other", MatrixInverse, COVARIANCE, "find it"))


def test_the_answer_of_a_network_is_its_moments():
    network = ThermodynamicNetwork([1.0, 2.0], J4=[0.5, 1.0], input=[1.0, 0.0])
    target = LAW.target(network)
    mean, covariance = network.moments()
    assert target == pytest.approx([*mean, *covariance.ravel()])
    assert LAW.distance(LAW.of(mean, covariance), target) == 0
    assert LAW.distance(LAW.of(mean, covariance + 0.1), target) == pytest.approx(0.2 / np.linalg.norm(target))


def test_answers_on_a_pattern():
    """Of large sparse problems entries are known on a pattern only, of the answer and of its target."""
    n = 2500
    from scipy.sparse import diags_array

    problem = MatrixInverse(diags_array([-np.ones(n - 1), 4 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr())
    target = COVARIANCE.target(problem)
    assert COVARIANCE.distance(1.1 * target, target) == pytest.approx(0.1)
    assert COVARIANCE.expected(target, target, 0.1 * target) == pytest.approx(0.1)
    assert MEAN.distance(np.ones(n), MEAN.target(problem)) is None  # the target is zero
    assert MEAN.expected(np.ones(n), MEAN.target(problem), np.ones(n)) is None


@pytest.mark.parametrize("problem", [InverseTrace(A), InverseColumn(A, 2, ["u", "v", "w"])], ids=["trace", "column"])
def test_a_kind_from_outside_is_written_and_read_back(added, tmp_path, problem):
    data = json.loads(json.dumps(problem.to_dict()))
    assert data["task"] == problem.task
    again = problem_from_dict(data)
    assert type(again) is type(problem) and again.variables == problem.variables
    assert (again.matrix == problem.matrix).all() and (again.target_mean == problem.target_mean).all()
    with pytest.raises(InputError, match="not vector"):
        problem_from_dict({**data, "vector": [1, 2, 3]})
    with pytest.raises(InputError, match="unknown key 'colum'"):
        problem_from_dict({**data, "colum": 1})

    np.save(tmp_path / "a.npy", A)
    file = tmp_path / "problem.toml"
    column = "column = 2\n" if problem.task == "column" else ""
    file.write_text(f'task = "{problem.task}"\nmatrix = "a.npy"\n{column}hardware = "spu8"\n')
    read = read_problem(file)
    assert type(read.problem) is type(problem) and read.hardware == "spu8"
    assert (read.problem.target_mean == problem.target_mean).all()
    assert type(spu.load_problem(tmp_path / "a.npy", task="trace")[0]) is InverseTrace

    write_folder(tmp_path / "out", compile_problem(problem, "ideal", architecture="rc-resistive"))
    folder = read_folder(tmp_path / "out")
    assert type(folder.problem) is type(problem)
    assert check(folder, levels=["ideal"]).verdict == "pass"


def test_what_its_class_refuses_names_the_file(added, tmp_path):
    file = tmp_path / "problem.toml"
    file.write_text(f'task = "column"\nmatrix = {A.tolist()}\ncolumn = 7\n')
    with pytest.raises(InputError) as info:
        spu.load_problem(file)
    assert str(info.value) == f"{file}: column is 7: it must be a number from 1 to 3"
    file.write_text(f'task = "column"\nmatrix = {A.tolist()}\n')
    with pytest.raises(InputError, match="no column: the task 'column' needs matrix and column"):
        spu.load_problem(file)


def test_the_trace_of_an_inverse_is_predicted_and_checked(added):
    problem = InverseTrace(A)
    device = spu.compile(problem, architecture="rlc-capacitive")
    found = spu.predict(device)
    assert problem.answer == "trace of the inverse" and found.relative_error < 1e-9

    # A capacitance ten per cent too large: the error of the answer is its own, not that of the covariance.
    data = device.to_dict()
    data["cells"][0]["capacitance"] *= 1.1
    device = Device.from_dict(data)
    device.problem = problem
    changed = spu.predict(device)
    exact = np.trace(np.linalg.inv(A))
    assert changed.relative_error == pytest.approx(abs(np.trace(changed.covariance) - exact) / exact, rel=1e-9)
    assert 0.01 < changed.relative_error < 0.9 * changed.covariance_relative_error
    level = check(device, levels=["ideal"]).levels["ideal"]
    assert level.verdict == "fail" and level.error == changed.relative_error
    assert "its trace of the inverse misses the problem's by" in level.message


def test_an_answer_from_outside_has_its_own_error_bars_budget_and_words(added):
    problem = InverseTrace(A)
    device = spu.compile(problem, "spu8")
    run = spu.simulate(device, samples=20_000, independent=True, seed=1)
    exact = np.trace(np.linalg.inv(A))
    bar = np.linalg.norm(run.covariance_error.diagonal()) / exact
    assert run.expected_relative_error == pytest.approx(bar)
    assert run.relative_error < spu.predict(device).relative_error + 5 * bar
    budget = error_budget(device)
    assert budget.answer == "trace of the inverse"
    assert budget.relative_error == pytest.approx(spu.predict(device).relative_error)
    assert "It has the inverse of this matrix A:" in spu.netlist(device)


def test_an_answer_in_the_mean_must_be_held_by_the_circuit(added):
    problem = InverseColumn(A, 2)
    with pytest.raises(Unrealizable, match="bias currents"):
        compile_problem(problem, architecture="rlc-capacitive")
    found = spu.predict(spu.compile(problem))
    assert found.mean == pytest.approx(np.linalg.inv(A)[:, 1]) and found.relative_error < 1e-9


def test_an_answer_of_which_nothing_is_known_is_no_match():
    """What ngspice did not measure is NaN; an answer of which all is, is off without bound, not by nothing."""
    problem = MatrixInverse(A)
    inverse = np.linalg.inv(A)
    assert answer_level._error(problem, SimpleNamespace(mean=None, covariance=1.01 * inverse)) == pytest.approx(0.01)
    partly = np.where(np.eye(3) > 0, 1.01 * inverse, np.nan)
    assert answer_level._error(problem, SimpleNamespace(mean=None, covariance=partly)) == pytest.approx(0.01)
    nothing = np.full((3, 3), np.nan)
    assert answer_level._error(problem, SimpleNamespace(mean=None, covariance=nothing)) == np.inf


def test_a_network_is_loaded_like_any_problem(tmp_path):
    file = tmp_path / "net.toml"
    file.write_text('task = "network"\nunits = 2\nhardware = "neurons"\narchitecture = "rlc-flux"\n')
    problem, hardware = spu.load_problem(file)
    assert isinstance(problem, ThermodynamicNetwork) and (problem.n, hardware) == (2, "neurons")
    assert read_problem(file).architecture == spu.load_network(file).architecture == "rlc-flux"
    again = problem_from_dict(json.loads(json.dumps(problem.to_dict())))
    assert isinstance(again, ThermodynamicNetwork) and (again.J4 == problem.J4).all()
    with pytest.raises(InputError, match="posed by its file: no covariance, vector or variables"):
        spu.load_problem(file, variables=["a", "b"])
    np.save(tmp_path / "a.npy", A)
    with pytest.raises(InputError, match=r"the task 'network' is posed by a \.toml file"):
        spu.load_problem(tmp_path / "a.npy", task="network")
    with pytest.raises(InputError, match="unknown key 'units'"):
        spu.load_problem(file, task="inverse")
