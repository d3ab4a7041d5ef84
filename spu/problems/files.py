"""Problems from files: a bare matrix, or a TOML file that names its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spu.base.errors import InputError
from spu.base.files import check_file, key_line, parse_toml, read_toml
from spu.base.names import check_names, first_line, shorten, suggest
from spu.base.sparse import from_fields
from spu.problems.gaussian import GaussianSampling, LinearSystem, MatrixInverse
from spu.problems.matrix_files import (
    MATRIX_KEYS,
    MATRIX_SUFFIXES,
    NPZ_KEYS,
    VECTOR_KEYS,
    VECTOR_SUFFIXES,
    Table,
    known_suffix,
    located,
    read_archive,
    read_table,
    read_vector,
)
from spu.problems.problem import FORMAT, TAKES, QuadraticProblem

__all__ = ["TASKS", "load_problem", "problem_from_dict"]


TASKS = ("gaussian", "inverse", "linear")

_DICT_KEYS = ("format", "task", "variables", *MATRIX_KEYS, *VECTOR_KEYS)

_TOML_KEYS = ("task", *MATRIX_KEYS, *VECTOR_KEYS, "variables", "hardware")


def problem_from_dict(d: Mapping[str, Any], file: str | Path | None = None) -> QuadraticProblem:
    """Restore a problem from what `Problem.to_dict` gave.

    Parameters
    ----------
    d:
        The dictionary, for instance parsed from JSON.
    file:
        Where it was read, for the messages.

    Raises
    ------
    InputError
        If the dictionary is not a valid problem.
    """
    if not isinstance(d, Mapping):
        raise InputError(f"a problem must be a table of keys, not {shorten(d)}", file=file)
    for key in d:
        if key not in _DICT_KEYS:
            raise InputError(f"unknown key {shorten(key)}; {suggest(key, _DICT_KEYS)}", file=file)
    if d.get("format") != FORMAT:
        raise InputError(f"format is {shorten(d.get('format'))}: it must be {FORMAT!r}", file=file)
    given = _Given({key: _sparse(d[key], key, file) for key in NPZ_KEYS if d.get(key) is not None}, task=d.get("task"))
    if given.task is None:
        raise InputError(f"no task; {suggest('', TASKS)}", file=file)
    with located(file):
        _require_task(given.task)
        return _assemble(given, given.task)


def _sparse(value: Any, key: str, file: str | Path | None) -> Any:
    """Restore a sparse matrix from what `_plain` made of it; anything else is given back."""
    if not isinstance(value, Mapping):
        return value
    try:
        return from_fields(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{key} is not a readable sparse matrix: {first_line(error)}", file=file) from error


@dataclass
class _Given:
    """What a problem file says, before anything is made of it."""

    values: dict[str, Any]  # keys of _NPZ_KEYS
    task: Any = None
    hardware: str | None = None
    text: str | None = field(default=None, repr=False)  # the TOML text, to find lines in


def load_problem(
    path: str | Path,
    *,
    task: str | None = None,
    covariance: bool = False,
    vector: Any = None,
    variables: Iterable[str] | None = None,
) -> tuple[QuadraticProblem, str | None]:
    """Read a problem from a file; arguments override what the file says.

    Parameters
    ----------
    path:
        A matrix as ``.npy``, ``.npz`` (one array, arrays named by the keys below, or one
        written by `scipy.sparse.save_npz`), ``.csv`` (separated by commas, semicolons or white
        space; ``#`` starts a comment; names may head the columns) or ``.mtx`` (Matrix
        Market); or a problem as ``.toml`` with the keys ``task``, ``precision``,
        ``covariance``, ``matrix``, ``mean``, ``vector``, ``variables`` and ``hardware``,
        where matrices and vectors are lists or file names relative to the TOML file.
    task : {"gaussian", "inverse", "linear"}, optional
        If neither argument nor file says: "linear" with a vector, otherwise "gaussian".
    covariance:
        Whether the matrix of a Gaussian is its covariance, not its precision.
    vector : (n,) array_like, str or Path, optional
        Right-hand side of a linear system, or the ``.npy``, ``.csv`` or ``.mtx`` file that
        holds it as one column or one row.
    variables : sequence of str, optional
        Names of the variables.

    Returns
    -------
    problem : QuadraticProblem
        The problem.
    hardware : str or None
        The hardware that a TOML file names: a preset, or the path of another TOML file
        (a relative one is taken from the folder of the problem's).

    Raises
    ------
    InputError
        If a file cannot be read or does not hold a valid problem, whatever its bytes; the
        error names the file and, where known, the line.
    """
    if task is not None:
        _require_task(task)
    given = _read_problem(path)
    if task is None and vector is not None:
        task = "linear"
    if isinstance(vector, (str, Path)):
        vector = read_vector(Path(vector))

    with located(path, given.text, "task"):
        if given.task is not None:
            _require_task(given.task)
    with located(path):
        values = given.values
        if task is not None and task != "gaussian" and "precision" in values and "matrix" not in values:
            # The matrix whose inverse is the covariance: whoever asks for another task of
            # the same file means that one.
            values["matrix"] = values.pop("precision")
        if covariance:
            if "precision" in values:
                raise InputError("the matrix is to be read as a covariance but the file says precision")
            if "matrix" in values:
                values.setdefault("covariance", values.pop("matrix"))
        if vector is not None:
            values["vector"] = vector
        if variables is not None:
            values["variables"] = variables
        chosen = task or given.task or ("linear" if "vector" in values else "gaussian")
        return _assemble(given, chosen), given.hardware


def _require_task(task: object) -> None:
    if task not in TASKS:
        raise InputError(f"unknown task {shorten(task)}; {suggest(task, TASKS)}")


def _assemble(given: _Given, task: str) -> QuadraticProblem:
    """Make a problem of the values given, refusing any that the task has no use for."""
    values = dict(given.values)
    if task == "gaussian" and "matrix" in values and not {"precision", "covariance"} & values.keys():
        values["precision"] = values.pop("matrix")
    takes = TAKES[task]
    for key in (*MATRIX_KEYS, *VECTOR_KEYS):
        if key in values and key not in takes:
            raise InputError(f"the task {task!r} takes {' and '.join(takes)}, not {key}")
    if task == "gaussian":
        if not {"precision", "covariance"} & values.keys():
            raise InputError("no matrix: the task 'gaussian' needs precision or covariance")
        return GaussianSampling(**values)
    for key in takes:
        if key not in values:
            raise InputError(f"no {key}: the task {task!r} needs {' and '.join(takes)}")
    return MatrixInverse(**values) if task == "inverse" else LinearSystem(**values)


def _read_problem(path: str | Path) -> _Given:
    where = Path(path)
    # A missing file is reported as missing, whatever its extension.
    check_file(where)
    suffix = known_suffix(where, (*MATRIX_SUFFIXES, ".toml"))
    if suffix == ".toml":
        return _read_toml(where)
    if suffix == ".npz":
        return _Given(read_archive(where))
    return _Given(_named_matrix("matrix", where, read_table(where, suffix)))


def _named_matrix(key: str, path: Path, table: Table) -> dict[str, Any]:
    """Give a matrix under its key, with the names of its columns checked where they stand."""
    if table.names is None:
        return {key: table.values}
    return {key: table.values, "variables": check_names(table.names, "a variable", path, table.line)}


def _read_toml(path: Path) -> _Given:
    text = read_toml(path)
    document = parse_toml(text, path)
    for key in document:
        if key not in _TOML_KEYS:
            raise InputError(
                f"unknown key {shorten(key)}; {suggest(key, _TOML_KEYS)}", file=path, line=key_line(text, key)
            )

    def wrong(key: str, wanted: str) -> InputError:
        return InputError(
            f"{key} is {shorten(document[key])}: it must be {wanted}", file=path, line=key_line(text, key)
        )

    hardware = document.get("hardware")
    if hardware is not None:
        if not isinstance(hardware, str) or not hardware:
            raise wrong("hardware", "a preset or the path of a .toml file")
        if hardware.lower().endswith(".toml"):
            hardware = str(path.parent / hardware)

    values: dict[str, Any] = {}
    for key in (*MATRIX_KEYS, *VECTOR_KEYS):
        if key not in document:
            continue
        entry = document[key]
        if isinstance(entry, str):
            values.update(_read_reference(path, key, entry, text))
        elif isinstance(entry, (list, int, float)) and not isinstance(entry, bool):
            values[key] = entry
        else:
            raise wrong(key, "a list of numbers or the name of a file")
    if "variables" in document:
        if not isinstance(document["variables"], list):
            raise wrong("variables", "a list of names")
        with located(path, text, "variables"):
            values["variables"] = check_names(document["variables"], "a variable")
    return _Given(values, document.get("task"), hardware, text)


def _read_reference(path: Path, key: str, name: str, text: str) -> dict[str, Any]:
    """Read the matrix or vector file that a TOML key names."""
    target = path.parent / name
    try:
        known = MATRIX_SUFFIXES if key in MATRIX_KEYS else VECTOR_SUFFIXES
        check_file(target)
        suffix = known_suffix(target, known)
    except InputError as error:
        # The mistake is in the name, not in the file it does not lead to.
        message = f"{key} = {shorten(name)}: {error.message}"
        raise InputError(message, file=path, line=key_line(text, key)) from error
    if key in VECTOR_KEYS:
        return {key: read_table(target, suffix).values}
    if suffix != ".npz":
        return _named_matrix(key, target, read_table(target, suffix))
    arrays = read_archive(target)
    if len(arrays) != 1 or not arrays.keys() <= {"matrix", key}:
        raise InputError(f"holds {', '.join(arrays)}: wanted the {key} alone", file=target)
    return {key: next(iter(arrays.values()))}
