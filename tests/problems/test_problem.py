"""Problems: what is taken, what is refused and with which words, and that no bytes break the readers."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spu.base.errors import InputError
from spu.base.files import key_line
from spu.base.names import check_name, check_names
from spu.problems.definite import MAX_SIZE, MAX_SPARSE_SIZE
from spu.problems.files import load_problem, problem_from_dict
from spu.problems.gaussian import GaussianSampling, LinearSystem, MatrixInverse
from spu.problems.matrix_files import _read_mtx

A = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.25], [0.5, -0.25, 2.0]])
B = np.array([1.0, -2.0, 3.0])


def random_definite(n: int, seed: int = 0) -> np.ndarray:
    q = np.random.default_rng(seed).normal(size=(n, n))
    return q @ q.T + n * np.eye(n)


# --- targets -------------------------------------------------------------------------------


def test_precision_targets():
    p = GaussianSampling(precision=A, mean=B)
    assert (p.task, p.answer, p.variables) == ("gaussian", "covariance", ("x1", "x2", "x3"))
    np.testing.assert_array_equal(p.matrix, A)
    np.testing.assert_array_equal(p.target_mean, B)
    np.testing.assert_allclose(p.target_covariance, np.linalg.inv(A), rtol=1e-13)
    assert p.condition == pytest.approx(np.linalg.cond(A), rel=1e-12)
    assert p.warnings == ()


def test_covariance_is_kept_exactly_and_inverted():
    p = GaussianSampling(covariance=A, variables=["a", "b", "c"])
    np.testing.assert_array_equal(p.target_covariance, A)
    np.testing.assert_array_equal(p.target_mean, np.zeros(3))
    np.testing.assert_allclose(p.matrix @ A, np.eye(3), atol=1e-14)
    np.testing.assert_array_equal(p.matrix, p.matrix.T)
    assert p.precision is None
    assert p.variables == ("a", "b", "c")


def test_inverse_targets():
    p = MatrixInverse(A)
    assert (p.task, p.answer) == ("inverse", "covariance")
    np.testing.assert_array_equal(p.target_mean, np.zeros(3))
    np.testing.assert_allclose(p.target_covariance, np.linalg.inv(A), rtol=1e-13)


def test_linear_targets():
    p = LinearSystem(A, B)
    assert (p.task, p.answer) == ("linear", "mean")
    np.testing.assert_allclose(p.target_mean, np.linalg.solve(A, B), rtol=1e-13)
    np.testing.assert_allclose(p.target_covariance, np.linalg.inv(A), rtol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_inverse_is_symmetric_and_accurate(n):
    a = random_definite(n)
    p = MatrixInverse(a)
    np.testing.assert_array_equal(p.target_covariance, p.target_covariance.T)
    np.testing.assert_allclose(p.target_covariance @ a, np.eye(n), atol=1e-12)


@pytest.mark.parametrize("scale", [1e-290, 1e-12, 1e290])
def test_scale_of_units_does_not_matter(scale):
    p, q = LinearSystem(A, B), LinearSystem(scale * A, B)
    assert q.condition == pytest.approx(p.condition, rel=1e-10)
    np.testing.assert_allclose(q.target_covariance * scale, p.target_covariance, rtol=1e-12)
    np.testing.assert_allclose(q.target_mean * scale, p.target_mean, rtol=1e-12)


def test_inverse_out_of_range_is_refused():
    with pytest.raises(InputError, match="range of floating point"):
        MatrixInverse([[1e-320]])


def test_condition_warning():
    assert MatrixInverse(np.diag([1.0, 1e-5])).warnings == ()
    (warning,) = MatrixInverse(np.diag([1.0, 1 / 3.2e8])).warnings
    assert "badly conditioned: condition number 3.2e+08; expect" in warning


@pytest.mark.parametrize("value", [2.0, 2, [[2.0]], np.array(2), np.array([[2]], dtype=np.int8)])
def test_one_variable(value):
    p = LinearSystem(value, 3.0)
    assert p.matrix.shape == (1, 1)
    np.testing.assert_allclose(p.target_mean, [1.5], rtol=1e-15)


@pytest.mark.parametrize("form", ["csr_array", "csc_matrix", "coo_array", "dia_array", "lil_matrix", "bsr_array"])
def test_sparse_is_dense(form):
    p = GaussianSampling(precision=getattr(scipy.sparse, form)(A))
    np.testing.assert_array_equal(p.matrix, A)


def test_sparse_with_wild_indices_is_refused_before_it_writes_anywhere():
    wild = scipy.sparse.csr_array(np.eye(3))
    wild.indices[:] = [0, 1, 10**6]
    with pytest.raises(InputError, match="not a valid sparse matrix"):
        MatrixInverse(wild)


@pytest.mark.parametrize("b", [B[:, None], B[None, :], B.tolist(), scipy.sparse.coo_array(B[:, None])])
def test_vector_as_column_row_or_list(b):
    np.testing.assert_array_equal(LinearSystem(A, b).vector, B)


def test_rounding_asymmetry_is_symmetrised_silently():
    a = A.copy()
    a[0, 1] *= 1 + 1e-12
    p = MatrixInverse(a)
    np.testing.assert_array_equal(p.matrix, p.matrix.T)
    assert a[1, 0] < p.matrix[0, 1] < a[0, 1]


def test_problem_is_a_frozen_copy():
    a = A.copy()
    p = LinearSystem(a, B)
    a[0, 0] = 99
    assert p.matrix[0, 0] == 4.0
    for array in (p.matrix, p.vector, p.target_mean, p.target_covariance):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        p.vector = B


# --- refusals ------------------------------------------------------------------------------


def changed(i: int, j: int, value: float) -> np.ndarray:
    a = A.copy()
    a[i, j] = value
    return a


@pytest.mark.parametrize(
    ("matrix", "fragment"),
    [
        (np.ones(3), "shape 3 (one-dimensional)"),
        (np.ones((2, 3)), "shape 2 × 3: it must be square"),
        (np.ones((2, 2, 2)), "shape 2 × 2 × 2"),
        (np.ones((0, 0)), "empty"),
        ([], "empty"),
        (changed(1, 2, np.nan), "NaN at row 2, column 3 (x2, x3)"),
        (changed(2, 0, -np.inf), "infinite at row 3, column 1 (x3, x1)"),
        (A + 0j, "complex"),
        ([["a", 1], [1, 2]], "entry (1, 1) is 'a'"),
        ([[2, "1"], [1, 2]], "entry (1, 2) is '1'"),
        ([[2.5, True], [True, 2]], "entry (1, 2) is True"),
        (np.eye(2, dtype=bool), "not numeric"),
        (np.array([["1"]]), "not numeric"),
        ([[10**400]], "cannot be read as an array"),
        (None, "not numeric"),
        ({}, "not numeric"),
        ([[1, 0], [0]], "row 2 does not match row 1 (1 entry against 2 entries)"),
        ([[1, 0], 3], "a single number against 2 entries"),
        (np.ma.masked_equal([[1.0, 0], [0, 1]], 0), "masked"),
        (changed(0, 2, 0.6), "0.6 at row 1, column 3 (x1, x3) but 0.5"),
        (changed(0, 2, 0.6), "relative asymmetry 0.025"),
        ([[1, 2], [2, 1]], "smallest eigenvalue -1, largest 3"),
        (-np.eye(2), "smallest eigenvalue -1, largest -1"),
        ([[1, 1], [1, 1]], "singular to working precision"),
        (np.zeros((2, 2)), "not positive definite"),
        (np.diag([1.0, 1e-17]), "smallest eigenvalue 1e-17, largest 1"),
        (np.broadcast_to(1.0, (MAX_SIZE + 1, 1)), "must be square"),
        (scipy.sparse.eye_array(MAX_SPARSE_SIZE + 1), f"at most {MAX_SPARSE_SIZE} variables"),
    ],
)
def test_refused_matrix(matrix, fragment):
    with pytest.raises(InputError) as info:
        MatrixInverse(matrix)
    assert fragment in info.value.message
    assert info.value.message.count("\n") <= 1


def test_asymmetry_tolerance_is_relative_to_the_largest_entry():
    for scale in (1e-9, 1e9):
        MatrixInverse(scale * (A + np.triu(np.full((3, 3), 1e-10), 1)))
        with pytest.raises(InputError, match="not symmetric"):
            MatrixInverse(scale * (A + np.triu(np.full((3, 3), 1e-9), 1)))


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({}, "not neither"),
        ({"precision": A, "covariance": A}, "not both"),
        ({"precision": A, "mean": [1, 2]}, "the mean has shape 2 (one-dimensional): the matrix calls for 3"),
        ({"precision": A, "mean": 1.0}, "the mean has shape"),
        ({"precision": A, "mean": [1, np.nan, 0]}, "the mean is NaN at entry 2 (x2)"),
        ({"covariance": -A}, "the covariance is not positive definite"),
        ({"precision": A, "variables": ["a", "b"]}, "2 variable names for a matrix of 3 rows"),
        ({"precision": A, "variables": "abc"}, "'abc' is not a list of names"),
        ({"precision": A, "variables": 3}, "3 is not a list of names"),
        ({"precision": A, "variables": ["a", "b", "A"]}, "'a' and 'A' cannot both name a variable"),
        ({"precision": A, "variables": ["a", "b", "a"]}, "'a' cannot name a variable twice"),
    ],
)
def test_refused_gaussian(arguments, fragment):
    with pytest.raises(InputError) as info:
        GaussianSampling(**arguments)
    assert fragment in info.value.message


def test_names_in_messages_are_the_users():
    with pytest.raises(InputError, match=r"NaN at row 2, column 3 \(v_b, v_c\)"):
        MatrixInverse(changed(1, 2, np.nan), variables=["v_a", "v_b", "v_c"])


def test_refused_vector():
    for b in (B[:2], [[1, 2], [3, 4]], np.inf * B, B * 1j, None):
        with pytest.raises(InputError, match="the vector"):
            LinearSystem(A, b)


# --- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x1", "_", "9", "A" * 64, "gnd", "0"])
def test_good_names(name):
    assert check_name(name, "a variable") == name


@pytest.mark.parametrize("name", ["", "a b", "a-b", "é", "x１", "x\n", "a.b", "A" * 65, None, 1, b"x", "\ud800"])
def test_bad_names(name):
    with pytest.raises(InputError, match="cannot name a variable") as info:
        check_name(name, "a variable", "f.csv", 7)
    assert (info.value.file, info.value.line) == ("f.csv", 7)
    assert "\n" not in info.value.message
    assert len(info.value.message) < 200


def test_bad_name_is_shown_as_repr():
    with pytest.raises(InputError, match=r"'a\\tb'"):
        check_name("a\tb", "a variable")


def test_duplicate_names():
    assert check_names(iter(["b", "a"]), "a cell") == ("b", "a")
    with pytest.raises(InputError, match="'ab' and 'aB' cannot both name a cell: SPICE ignores case"):
        check_names(["x", "ab", "aB"], "a cell")


# --- dictionaries --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem",
    [
        GaussianSampling(precision=A / 3, variables=["a", "b", "c"]),
        GaussianSampling(covariance=A / 3, mean=B / 7),
        MatrixInverse(A / 3),
        LinearSystem(A / 3, B / 7),
    ],
)
def test_dictionary_round_trip_is_exact(problem):
    d = json.loads(json.dumps(problem.to_dict(), allow_nan=False))
    assert d["format"] == "spu-problem/1"
    again = problem_from_dict(d)
    assert type(again) is type(problem)
    assert again.variables == problem.variables
    for name in ("matrix", "target_mean", "target_covariance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(problem, name))
    assert again.to_dict() == problem.to_dict()


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"format": "spu-problem/9"}, "format is 'spu-problem/9': it must be 'spu-problem/1'"),
        ({"format": None}, "format is None"),
        ({"task": "gausian"}, "did you mean 'gaussian'"),
        ({"task": None}, "no task"),
        ({"task": ["gaussian"]}, "unknown task"),
        ({"precison": 1}, "did you mean 'precision'"),
        ({3: 1}, "unknown key 3"),
        ({"vector": [1, 2, 3]}, "takes precision and covariance and mean, not vector"),
        ({"task": "inverse"}, "takes matrix, not precision"),
        ({"precision": None}, "no matrix"),
        ({"precision": "A.npy"}, "not numeric"),
        ({"precision": [[1, None], [None, 1]]}, "entry (1, 2) is None"),
        ({"variables": "xyz"}, "not a list of names"),
        ({"variables": [1, 2, 3]}, "1 cannot name a variable"),
    ],
)
def test_refused_dictionary(change, fragment):
    d = GaussianSampling(precision=A).to_dict() | change
    with pytest.raises(InputError) as info:
        problem_from_dict(d, file="p.json")
    assert fragment in info.value.message
    assert info.value.file == "p.json"


def test_dictionary_must_be_one():
    for d in ([], None, "x", 3):
        with pytest.raises(InputError, match="table of keys"):
            problem_from_dict(d)


# --- files ---------------------------------------------------------------------------------


def npy(a: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, a, **options)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def sparse_npz(a: scipy.sparse.sparray) -> bytes:
    stream = io.BytesIO()
    scipy.sparse.save_npz(stream, a)
    return stream.getvalue()


def mtx(a: object) -> bytes:
    stream = io.BytesIO()
    scipy.io.mmwrite(stream, a, precision=17)
    return stream.getvalue()


MTX = "%%MatrixMarket matrix coordinate real symmetric\n"
CSV_A = b"4,1,0.5\n1,3,-0.25\n0.5,-0.25,2\n"
TOML_A = "[[4, 1, 0.5], [1, 3, -0.25], [0.5, -0.25, 2]]"


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "variables"),
    [
        ("a.npy", npy(A), None),
        ("a.NPY", npy(A.astype(">f4")), None),
        ("a.npz", npz(anything=A), None),
        ("a.npz", npz(precision=A, variables=np.array(["p", "q", "r"])), "pqr"),
        ("a.npz", sparse_npz(scipy.sparse.csr_array(A)), None),
        ("a.npz", sparse_npz(scipy.sparse.coo_array(A)), None),
        ("a.csv", CSV_A, None),
        ("a.csv", CSV_A.replace(b",", b" ; ").replace(b"\n", b"\r\n"), None),
        ("a.csv", CSV_A.replace(b",", b"\t "), None),
        ("a.csv", b'\xef\xbb\xbf# comment\n\n p, "q",r # names\n' + CSV_A + b"\n#,,,\n", "pqr"),
        ("a.csv", b"p q r\n" + CSV_A.replace(b",", b" "), "pqr"),
        ("a.mtx", mtx(A), None),
        ("a.mtx", mtx(scipy.sparse.coo_array(A)), None),
        ("a.mtx", MTX + "3 3 6\n1 1 4\n2 1 1\n3 1 .5\n2 2 3\n3 2 -.25\n3 3 2\n", None),
        ("a.toml", f"precision = {TOML_A}", None),
        ("a.toml", f"matrix = {TOML_A}\nvariables = ['p', 'q', 'r']", "pqr"),
    ],
)
def test_matrix_file(tmp_path, name, data, variables):
    problem, hardware = load_problem(write(tmp_path, name, data))
    assert problem.task == "gaussian"
    assert hardware is None
    np.testing.assert_array_equal(problem.matrix, A)
    np.testing.assert_array_equal(problem.target_mean, np.zeros(3))
    assert problem.variables == tuple(variables or ("x1", "x2", "x3"))


@pytest.mark.parametrize(
    "matrix",
    [
        A,
        A[:2],
        np.triu(A),
        scipy.sparse.coo_array(A),
        scipy.sparse.coo_array(A[:, :1]),
        scipy.sparse.coo_array((3, 3)),
        scipy.sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [0, 0, 2])), shape=(3, 3)),
        np.arange(6).reshape(2, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("symmetry", ["AUTO", "general"])
def test_matrix_market_as_scipy_reads_it(tmp_path, matrix, symmetry):
    path = tmp_path / "a.mtx"
    scipy.io.mmwrite(path, matrix, comment="two\nlines", symmetry=symmetry)
    expected = scipy.io.mmread(path)
    expected = expected.toarray() if scipy.sparse.issparse(expected) else expected
    np.testing.assert_array_equal(_read_mtx(path), expected)


def test_matrix_market_pattern_and_foreign_comment(tmp_path):
    data = "%%matrixmarket MATRIX Coordinate Pattern General\r\n% Müller\r\n2 2 2\r\n1 1\r\n2 2\r\n"
    problem, _ = load_problem(write(tmp_path, "a.mtx", data.encode("latin-1")))
    np.testing.assert_array_equal(problem.matrix, np.eye(2))


def test_one_by_one_csv(tmp_path):
    assert load_problem(write(tmp_path, "a.csv", "2.5"))[0].matrix == [[2.5]]


def test_npz_with_mean_and_vector(tmp_path):
    path = write(tmp_path, "a.npz", npz(covariance=A, mean=B))
    problem, _ = load_problem(path)
    np.testing.assert_array_equal(problem.target_covariance, A)
    np.testing.assert_array_equal(problem.target_mean, B)
    problem, _ = load_problem(write(tmp_path, "b.npz", npz(matrix=A, vector=B)))
    assert problem.task == "linear"
    np.testing.assert_array_equal(problem.vector, B)


def test_arguments_choose_the_task(tmp_path):
    path = write(tmp_path, "a.csv", b"p,q,r\n" + CSV_A)
    assert isinstance(load_problem(path, task="inverse")[0], MatrixInverse)
    problem = load_problem(path, covariance=True)[0]
    np.testing.assert_array_equal(problem.target_covariance, A)
    problem = load_problem(path, vector=B, variables=["u", "v", "w"])[0]
    assert isinstance(problem, LinearSystem)
    assert problem.variables == ("u", "v", "w")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("b.npy", npy(B)),
        ("b.csv", b"1\n-2\n3\n"),
        ("b.csv", b"value\n1\n-2\n3\n"),
        ("b.csv", b"1,-2,3"),
        ("b.mtx", mtx(B[:, None])),
    ],
)
def test_vector_file(tmp_path, name, data):
    a, b = write(tmp_path, "a.npy", npy(A)), write(tmp_path, name, data)
    np.testing.assert_array_equal(load_problem(a, vector=b)[0].vector, B)
    np.testing.assert_array_equal(load_problem(a, task="linear", vector=str(b))[0].vector, B)
    toml = write(tmp_path, "p.toml", f"task = 'linear'\nmatrix = 'a.npy'\nvector = '{name}'")
    np.testing.assert_array_equal(load_problem(toml)[0].vector, B)


def test_toml_in_full(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "s.csv", b"p,q,r\n" + CSV_A)
    path = write(
        tmp_path,
        "p.toml",
        "task = 'gaussian'\ncovariance = 'data/s.csv'\nmean = [1, -2, 3]\nhardware = 'spu8'\n",
    )
    monkeypatch.chdir("/")  # references are relative to the TOML file
    problem, hardware = load_problem(path)
    np.testing.assert_array_equal(problem.target_covariance, A)
    np.testing.assert_array_equal(problem.target_mean, B)
    assert problem.variables == ("p", "q", "r")
    assert hardware == "spu8"


def test_toml_names_override_those_of_its_csv(tmp_path):
    write(tmp_path, "s.csv", b"p,q,r\n" + CSV_A)
    path = write(tmp_path, "p.toml", "variables = ['u', 'v', 'w']\nprecision = 's.csv'\nhardware = 'h.toml'")
    problem, hardware = load_problem(path)
    assert problem.variables == ("u", "v", "w")
    assert hardware == str(tmp_path / "h.toml")


def test_arguments_override_toml(tmp_path):
    path = write(tmp_path, "p.toml", f"task = 'gaussian'\nprecision = {TOML_A}")
    assert load_problem(path, task="inverse")[0].task == "inverse"
    assert load_problem(path, vector=B)[0].task == "linear"
    path = write(tmp_path, "q.toml", f"task = 'linear'\nmatrix = {TOML_A}\nvector = [0, 0, 0]")
    np.testing.assert_array_equal(load_problem(path, vector=B)[0].vector, B)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"task": "linear"}, "no vector"),
        ({"task": "inverse", "vector": B}, "'inverse' takes matrix, not vector"),
        ({"task": "gaussian", "vector": B}, "not vector"),
        ({"task": "inverse", "covariance": True}, "takes matrix, not covariance"),
        ({"task": "Inverse"}, "did you mean 'inverse'"),
        ({"vector": B[:2]}, "the vector has shape"),
        ({"vector": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"vector": "/"}, "directory"),
        ({"variables": ["a"]}, "1 variable names"),
    ],
)
def test_refused_arguments(tmp_path, arguments, fragment):
    with pytest.raises(InputError) as info:
        load_problem(write(tmp_path, "a.csv", CSV_A), **arguments)
    assert fragment in str(info.value)


def test_covariance_argument_contradicts_precision(tmp_path):
    with pytest.raises(InputError, match="says precision"):
        load_problem(write(tmp_path, "a.toml", f"precision = {TOML_A}"), covariance=True)


PICKLE = npy(np.array([[{}]], dtype=object), allow_pickle=True)

MALFORMED = [
    ("a.npy", b"", "empty", None),
    ("a.npy", b"junk", "not a readable NumPy file", None),
    ("a.npy", npy(A)[:-8], "not a readable NumPy file", None),
    ("a.npy", PICKLE, "never loaded", None),
    ("a.npy", npy(A + 1j), "complex", None),
    ("a.npy", npy(np.array([["a"]])), "not numeric", None),
    ("a.npy", npy(np.zeros((2, 2), dtype="f4,f4")), "not numeric", None),
    ("a.npy", npy(np.ones((2, 3))), "shape 2 × 3", None),
    ("a.npy", npz(a=A), "not a readable NumPy file", None),
    ("a.npy", npy(A).replace(b"(3, 3), }    ", b"(9999999, 9999999), }"[:13]), "not a readable", None),
    ("a.npz", b"junk", "not a zip archive", None),
    ("a.npz", b"PK\x03\x04junk", "not a readable NumPy .npz file", None),
    ("a.npz", npz(a=A)[:-30], "not a readable NumPy .npz file", None),
    ("a.npz", npz(a=A, b=A), "unknown array 'a'", None),
    ("a.npz", npz(precison=A, mean=B), "did you mean 'precision'", None),
    ("a.npz", npz(precision=A, covariance=A), "not both", None),
    ("a.npz", npz(mean=B), "no matrix", None),
    ("a.npz", npz(), "no matrix", None),
    ("a.npz", npz(precision=A, variables=np.array(["a", "b"])), "2 variable names", None),
    ("a.npz", npz(precision=A, variables=np.array([1, 2, 3])), "1 cannot name a variable", None),
    ("a.npz", npz(format=np.array(b"csr"), shape=np.array([3, 3]), data=B), "not a readable", None),
    (
        "a.npz",
        npz(
            format=np.array(b"csr"),
            shape=np.array([2, 2]),
            data=np.ones(2),
            indices=np.array([0, 10**6]),
            indptr=np.array([0, 1, 2]),
        ),
        "valid sparse matrix",
        None,
    ),
    ("a.csv", b"", "empty", None),
    ("a.csv", b"\n# nothing\n  \n", "no rows", None),
    ("a.csv", b"a,b\n", "no rows", None),
    ("a.csv", b"1,2\n3\n", "a row of 1 where line 1 has 2", 2),
    ("a.csv", b"# c\r\n\r\n1,2\r\n3,4,5\r\n", "a row of 3 where line 3 has 2", 4),
    ("a.csv", b"1,2\r2,x\r", "cannot read 'x' in column 2", 2),
    ("a.csv", b"1,\n,1\n", "cannot read '' in column 2", 1),
    ("a.csv", b"1,1_0\n1_0,1\n", "cannot read '1_0'", 1),
    ("a.csv", "1,١\n١,1\n".encode(), "cannot read '١'", 1),
    ("a.csv", b"1,5;0,0\n0,0;1,5\n", "cannot read '1,5' in column 1", 1),
    ("a.csv", b"1+2j,0\n0,1\n", "cannot read '1+2j'", 1),
    ("a.csv", b"# c\nx,x\n1,0\n0,1\n", "'x' cannot name a variable twice", 2),
    ("a.csv", b"x,y-z\n1,0\n0,1\n", "'y-z' cannot name a variable", 1),
    ("a.csv", b",y\n1,0\n0,1\n", "'' cannot name a variable", 1),
    ("a.csv", b"1,0\n0,\xff\n", "not UTF-8 text: byte 0xff", 2),
    ("a.csv", b"1,0\n0,nan\n", "NaN at row 2, column 2", None),
    ("a.csv", b"1e999", "infinite", None),
    ("a.csv", b"1,2,3", "shape 1 × 3", None),
    ("a.csv", b"\x00\x00", "cannot read '\\x00\\x00'", 1),
    ("a.mtx", b"", "empty", None),
    ("a.mtx", b"junk\n", "must begin with '%%MatrixMarket matrix'", 1),
    ("a.mtx", b"%%MatrixMarket matrix\n", "must begin with", 1),
    ("a.mtx", mtx(A + 1j), "'complex' is not taken", 1),
    ("a.mtx", MTX.replace("symmetric", "skew-symmetric"), "'skew-symmetric' is not taken", 1),
    ("a.mtx", "%%MatrixMarket matrix array pattern general\n1 1\n", "cannot be a pattern", 1),
    ("a.mtx", MTX, "size must be rows, columns and entries", None),
    ("a.mtx", MTX + "% c\n\n2 2\n1 1 1\n", "size must be rows, columns and entries", 4),
    ("a.mtx", MTX + "2 -2 1\n", "'-2' is not a whole number", 2),
    ("a.mtx", MTX + "2 2 2\n1 1 1\n", "2 entries declared but 1 there", 3),
    ("a.mtx", MTX + "2 2 1\n1 1 1\n\n2 2 1\n", "more entries than the 1 declared", 5),
    ("a.mtx", MTX + "2 2 2\n1 1 1\n3 1 1\n", "no row 3, column 1 in 2 × 2", 4),
    ("a.mtx", MTX + "2 2 2\n1 1 1\n0 1 1\n", "no row 0, column 1", 4),
    ("a.mtx", MTX + "2 2 2\n1 1 1\n-1 1 1\n", "'-1' is not a whole number", 4),
    ("a.mtx", MTX + "2 2 2\n1 1 1\n1 2 1\n", "above the diagonal", 4),
    ("a.mtx", MTX + "2 2 2\n1 1 1\n1 1\n", "an entry must be 'row column value', not '1 1'", 4),
    ("a.mtx", MTX + "2 2 2\n1 1 x\n", "not '1 1 x'", 3),
    ("a.mtx", MTX + "2 3 1\n1 1 1\n", "2 × 3 cannot be symmetric", 2),
    ("a.mtx", MTX + "2 2 9000000000\n1 1 1\n", "9000000000 entries declared but 1 there", 3),
    ("a.mtx", MTX + "9000000 9000000 1\n1 1 1\n", "at most 1000000 variables", 2),
    ("a.mtx", "%%MatrixMarket matrix array real general\n0 3\n", "empty", None),
    (
        "a.mtx",
        "%%MatrixMarket matrix array real general\n2 1\n1 2\n",
        "an entry must be 'value', not '1 2'",
        3,
    ),
    ("a.toml", b"", "empty", None),
    ("a.toml", b"\n", "no matrix", None),
    ("a.toml", b"a = 1\nprecision = [[1\n", "not valid TOML", 2),
    ("a.toml", b"x = 1\n\n]", "not valid TOML", 3),
    ("a.toml", b"precision = 1\n\xff", "not UTF-8", 2),
    ("a.toml", "precision = " + "[" * 20000, "nested too deeply", None),
    ("a.toml", "precision = " + "1" * 5000, "not valid TOML", None),
    ("a.toml", "precision = 1" + "0" * 400, "cannot be read as an array", None),
    ("a.toml", b"task = 'gaussian'\nprecison = 1\n", "did you mean 'precision'", 2),
    ("a.toml", b"precision = [\n [2, 0],\n [0, 2]\n]\n[means]\na = 1\n", "did you mean 'mean'", 5),
    ("a.toml", b"precision = 1\nmean.x = 1\n", "mean is {'x': 1}", 2),
    ("a.toml", b"precision = 1\ntask = 'lin'\n", "did you mean 'linear'", 2),
    ("a.toml", b"precision = 1\ntask = ['lin']\n", "unknown task", 2),
    ("a.toml", b"precision = true\n", "precision is True", 1),
    ("a.toml", b"precision = 2020-01-01\n", "precision is datetime", 1),
    ("a.toml", b"precision = [[1, 2], [2]]\n", "row 2 does not match", None),
    ("a.toml", b"precision = [['a']]\n", "entry (1, 1) is 'a'", None),
    ("a.toml", b"precision = [[1, true], [true, 2]]\n", "entry (1, 2) is True", None),
    ("a.toml", b"precision = nan\n", "NaN", None),
    ("a.toml", b"precision = 1\ncovariance = 1\n", "not both", None),
    ("a.toml", b"precision = 1\nmatrix = 1\n", "not matrix", None),
    ("a.toml", b"task = 'inverse'\nprecision = 1\n", "takes matrix, not precision", None),
    ("a.toml", b"task = 'inverse'\n", "no matrix", None),
    ("a.toml", b"task = 'linear'\nmatrix = 1\n", "no vector", None),
    ("a.toml", b"matrix = 1\nvector = 1\nmean = 1\n", "not mean", None),
    ("a.toml", b"\nprecision = 'b.csv'\n", "precision = 'b.csv': no such file", 2),
    ("a.toml", b"precision = '.'\n", "directory", 1),
    ("a.toml", b"precision = 'a.toml'\n", "known are .npy, .npz, .csv, .mtx", 1),
    ("a.toml", b"precision = 1\nmean = 'a.toml'\n", "known are .npy, .csv, .mtx", 2),
    ("a.toml", b"precision = 'b\\u0000.csv'\n", "precision = 'b", 1),
    ("a.toml", b"precision = ''\n", "directory", 1),
    ("a.toml", b"precision = 1\nhardware = 8\n", "hardware is 8", 2),
    ("a.toml", b"precision = 1\nvariables = 'x'\n", "variables is 'x'", 2),
    ("a.toml", b"precision = 1\n\nvariables = ['a b']\n", "'a b' cannot name a variable", 3),
    ("a.txt", b"1", "unknown extension '.txt': known are .npy, .npz, .csv, .mtx, .toml", None),
    ("a", b"1", "unknown extension ''", None),
]


@pytest.mark.parametrize(("name", "data", "fragment", "line"), MALFORMED)
def test_malformed_file(tmp_path, name, data, fragment, line):
    path = write(tmp_path, name, data)
    with pytest.raises(InputError) as info:
        load_problem(path)
    assert fragment in info.value.message
    assert info.value.file == str(path)
    if line is not None:
        assert info.value.line == line
    assert info.value.message.count("\n") <= 1


def test_error_inside_a_referenced_file_names_that_file(tmp_path):
    target = write(tmp_path, "b.csv", b"1,0\n0,x\n")
    with pytest.raises(InputError) as info:
        load_problem(write(tmp_path, "a.toml", "precision = 'b.csv'"))
    assert (info.value.file, info.value.line) == (str(target), 2)


@pytest.mark.parametrize("arrays", [{"covariance": A}, {"matrix": A, "vector": B}])
def test_referenced_npz_must_hold_the_one_matrix(tmp_path, arrays):
    write(tmp_path, "b.npz", npz(**arrays))
    with pytest.raises(InputError, match="wanted the precision alone"):
        load_problem(write(tmp_path, "a.toml", "precision = 'b.npz'"))


def test_missing_file_and_directory(tmp_path):
    for path, fragment in [
        (tmp_path / "no.csv", "no such file"),
        (tmp_path, "directory"),
        ("a\0.csv", "no such file|cannot be"),
    ]:
        with pytest.raises(InputError, match=fragment) as info:
            load_problem(path)
        assert info.value.file == str(path)


def test_unreadable_file(tmp_path, monkeypatch):
    path = write(tmp_path, "a.csv", CSV_A)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        load_problem(path)


def test_zip_bomb_is_refused_unopened(tmp_path):
    import zipfile

    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(A))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24  # uncompressed size in the central directory
    data[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="largest size"):
        load_problem(path)


# --- lines of keys -------------------------------------------------------------------------


def test_key_line():
    text = (
        "top = 1  # [not.a.table]\n"  # 1
        "matrix = [\n"  # 2
        "  [1],\n"
        "  [2]\n"
        "]\n"
        'text = """\n'  # 6
        'inner = 3"""\n'
        "\n"
        "[a.b]\n"  # 9
        "c = { d = 1, e = 2 }\n"  # 10
        "f.g = 1\n"  # 11
        '["q.r"]\n'  # 12
        "top = 2\n"  # 13
    )
    expected = {
        ("top",): 1,
        ("matrix",): 2,
        ("text",): 6,
        ("inner",): None,
        ("a",): 9,
        ("a", "b"): 9,
        ("a", "b", "c"): 10,
        ("a", "b", "c", "e"): 10,
        ("a", "b", "f", "g"): 11,
        ("q.r",): 12,
        ("q.r", "top"): 13,
        ("d",): None,
    }
    for path, line in expected.items():
        assert key_line(text, *path) == line, path
        assert key_line(text.replace("\n", "\r\n"), *path) == line, path
    assert key_line(None, "top") is None


def test_key_line_takes_linear_time():
    row = "  [" + ", ".join(["1.0"] * 300) + "],\n"
    text = "precision = [\n" + row * 300 + "]\nmistake = 1\n"
    assert key_line(text, "mistake") == 303


# --- fuzz ----------------------------------------------------------------------------------

VALID = {
    ".npy": [npy(A)],
    ".npz": [
        npz(covariance=A, mean=B, variables=np.array(["a", "b", "c"])),
        sparse_npz(scipy.sparse.csr_array(A)),
        *(sparse_npz(getattr(scipy.sparse, f"{form}_array")(A)) for form in ("coo", "csc", "bsr", "dia")),
    ],
    ".csv": [b"a,b,c\n" + CSV_A, CSV_A.replace(b",", b" ")],
    ".mtx": [mtx(A), mtx(scipy.sparse.coo_array(A)), (MTX + "2 2 2\n1 1 4\n2 2 1\n").encode()],
    ".toml": [
        f"task = 'linear'\nmatrix = {TOML_A}\nvector = [1, 2, 3]\n".encode(),
        f"covariance = {TOML_A}\nmean = 'b.csv'\nvariables = ['a', 'b', 'c']\nhardware = 'ideal'\n".encode(),
    ],
}

FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def only_input_errors(path: Path) -> None:
    try:
        problem, _ = load_problem(path)
    except InputError as error:
        assert error.file is not None
        assert all(line.isprintable() for line in error.message.split("\n"))
    else:
        assert np.isfinite(problem.target_covariance).all()


@pytest.mark.parametrize("suffix", VALID)
@pytest.mark.filterwarnings("ignore")
def test_fuzz_random_bytes(tmp_path, suffix):
    @FUZZ
    @given(st.binary(max_size=200))
    def check(data):
        for prefix in (b"", VALID[suffix][0][: len(data) // 2]):
            only_input_errors(write(tmp_path, "a" + suffix, prefix + data))

    check()


@pytest.mark.parametrize("suffix", VALID)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.sampled(2)
def test_fuzz_mutations(tmp_path, suffix):
    interesting = st.sampled_from(
        [
            b"",
            b"\n",
            b"\0",
            b"-",
            b"9",
            b"99999",
            b"nan",
            b"1e999",
            b"'",
            b"[",
            b"]]",
            b",",
            b"\xff\xfe",
            b"PK",
        ]
    )
    edit = st.tuples(
        st.floats(0, 1, exclude_max=True), st.integers(0, 4), interesting | st.binary(min_size=1, max_size=3)
    )

    @FUZZ
    @given(st.sampled_from(VALID[suffix]), st.lists(edit, min_size=1, max_size=4))
    def check(valid, edits):
        data = bytearray(valid)
        for where, cut, new in edits:
            at = int(where * len(data))
            data[at : at + cut] = new
        only_input_errors(write(tmp_path, "a" + suffix, bytes(data)))

    check()


@pytest.mark.parametrize("task", ["gaussian", "linear", "determinant", "general-linear", "ising", "bounded-quadratic"])
def test_rows_of_several_lengths_are_refused(tmp_path, task):
    """Of which numpy makes no array at all."""
    path = tmp_path / "ragged.toml"
    rows = "[[4, 1, 0.5], [1, 3, -0.25], [0.5, -0.9]]"
    keys = {"gaussian": "precision", "ising": "J", "bounded-quadratic": "A"}
    vectors = "vector = [1, 2, 3]\n" if "linear" in task else ""
    vectors = "b = [1, 2, 3]\nlower = [0, 0, 0]\nupper = [1, 1, 1]\n" if task == "bounded-quadratic" else vectors
    path.write_text(f"task = '{task}'\n{keys.get(task, 'matrix')} = {rows}\n{vectors}")
    with pytest.raises(InputError) as caught:
        load_problem(path)
    assert "ragged.toml" in str(caught.value)
