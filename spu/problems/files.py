"""Problems from files and dictionaries: each as its kind says that it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from spu.base.errors import InputError
from spu.base.files import check_file, parse_toml, read_toml
from spu.base.names import check_names, first_line, shorten, suggest
from spu.base.sparse import from_fields
from spu.problems import (  # noqa: F401 - they register their kinds
    conditional,
    determinant,
    exponential,
    gaussian,
    ising,
    lyapunov,
    network,
    systems,
)
from spu.problems.kinds import KINDS, Document, Kind, ProblemFile, kind_of
from spu.problems.matrix_files import (
    MATRIX_KEYS,
    MATRIX_SUFFIXES,
    VECTOR_KEYS,
    VECTOR_SUFFIXES,
    Table,
    known_suffix,
    located,
    read_archive,
    read_table,
    read_vector,
)
from spu.problems.problem import FORMAT, Problem

__all__ = ["load_problem", "problem_from_dict", "read_document", "read_problem"]


def problem_from_dict(d: Mapping[str, Any], file: str | Path | None = None) -> Problem:
    """Restore a problem of any kind from what `Problem.to_dict` gave.

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
    kind = _known(d.get("task"))
    if kind is not None and kind.restore is not None:
        return cast(Problem, kind.restore(d, file))
    keys = (*_matrices(kind), *_vectors(kind), *_values(kind))
    known = ("format", "task", "variables", *keys)
    for key in d:
        if key not in known:
            raise InputError(f"unknown key {shorten(key)}; {suggest(key, known)}", file=file)
    if d.get("format") != FORMAT:
        raise InputError(f"format is {shorten(d.get('format'))}: it must be {FORMAT!r}", file=file)
    plain = _values(kind)
    given = {key: d[key] for key in (*keys, "variables") if d.get(key) is not None}
    values = {key: value if key in plain else _sparse(value, key, file) for key, value in given.items()}
    if d.get("task") is None:
        raise InputError(f"no task; {suggest('', sorted(KINDS))}", file=file)
    with located(file):
        return _assemble(kind_of(d["task"]), values)


def _known(task: object) -> Kind | None:
    """The kind of a task, None for what is none."""
    return KINDS.get(task) if isinstance(task, str) else None


# What a file may say that is read by its keys: a key of another kind is known, and refused in better words.


def _matrices(kind: Kind | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*MATRIX_KEYS, *(kind.matrices if kind else ())]))


def _vectors(kind: Kind | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*VECTOR_KEYS, *(kind.vectors if kind else ())]))


def _values(kind: Kind | None) -> tuple[str, ...]:
    return kind.values if kind else ()


def _sparse(value: Any, key: str, file: str | Path | None) -> Any:
    """Restore a sparse matrix from what `_plain` made of it; anything else is given back."""
    if not isinstance(value, Mapping):
        return value
    try:
        return from_fields(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{key} is not a readable sparse matrix: {first_line(error)}", file=file) from error


def load_problem(
    path: str | Path,
    *,
    task: str | None = None,
    covariance: bool = False,
    vector: Annotated[Any, "n"] | str | Path | None = None,
    variables: Iterable[str] | None = None,
) -> tuple[Problem, str | None]:
    """Read a problem from a file; arguments override what the file says.

    Parameters
    ----------
    path:
        A matrix as ``.npy``, ``.npz`` (one array, arrays named by the keys below, or one
        written by `scipy.sparse.save_npz`), ``.csv`` (separated by commas, semicolons or white
        space; ``#`` starts a comment; names may head the columns) or ``.mtx`` (Matrix
        Market); or a problem as ``.toml`` with the keys ``task``, ``precision``,
        ``covariance``, ``matrix``, ``mean``, ``vector``, ``variables`` and ``hardware``,
        where matrices and vectors are lists or file names relative to the TOML file; or, with
        ``task = "network"``, those of `spu.load_network`.
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
    problem : Problem
        The problem.
    hardware : str or None
        The hardware that a TOML file names: a preset, or the path of another TOML file
        (a relative one is taken from the folder of the problem's).

    Raises
    ------
    InputError
        If a file cannot be read or does not hold a valid problem, whatever its bytes; the
        error names the file and, where known, the line.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("precision.csv").write_text('''left, right
    ... 2.0, -0.5
    ... -0.5, 1.0
    ... ''')
    >>> problem, hardware = spu.load_problem("precision.csv")
    >>> problem.variables, problem.task, hardware
    (('left', 'right'), 'gaussian', None)
    """
    found = read_problem(path, task=task, covariance=covariance, vector=vector, variables=variables)
    return found.problem, found.hardware


def read_problem(
    path: str | Path,
    *,
    task: str | None = None,
    covariance: bool = False,
    vector: Any = None,
    variables: Iterable[str] | None = None,
) -> ProblemFile:
    """`load_problem`, with all that the file names: the architecture, too."""
    kind = None if task is None else kind_of(task)
    where = Path(path)
    # A missing file is reported as missing, whatever its extension.
    check_file(where)
    suffix = known_suffix(where, (*MATRIX_SUFFIXES, ".toml"))
    document = read_document(where) if suffix == ".toml" else None
    posed = None if document is None else document.values.get("task")
    kind = kind or _known(posed)
    if kind is not None and kind.read is not None:
        if document is None:
            raise InputError(f"the task {kind.task!r} is posed by a .toml file, not by a matrix alone", file=path)
        if covariance or vector is not None or variables is not None:
            message = f"the task {kind.task!r} is posed by its file: no covariance, vector or variables can be given"
            raise InputError(message, file=path)
        return kind.read(document)
    hardware = None
    if document is not None:
        values, hardware = _read_keys(document, kind)
    elif suffix == ".npz":
        values = read_archive(where)
    else:
        values = _named_matrix("matrix", where, read_table(where, suffix))
    if isinstance(vector, (str, Path)):
        vector = read_vector(Path(vector))

    if posed is not None and document is not None:
        with located(path, document.text, "task"):
            kind_of(posed)
    with located(path):
        asked = kind if task is not None else KINDS["linear"] if vector is not None else None
        other = asked is not None and "precision" not in asked.matrices
        if other and "precision" in values and "matrix" not in values:
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
        chosen = asked or kind or KINDS["linear" if "vector" in values else "gaussian"]
        return ProblemFile(_assemble(chosen, values), hardware)


def read_document(path: Path) -> Document:
    """Parse a ``.toml`` file.

    Raises
    ------
    InputError
        If it cannot be read, or is not valid TOML, with the line.
    """
    text = read_toml(path)
    return Document(path, text, parse_toml(text, path))


def _assemble(kind: Kind, values: dict[str, Any]) -> Problem:
    """Make a problem of the values given, refusing any that its kind has no use for."""
    given, task = dict(values), kind.task
    of_matrix = {*kind.matrices} & given.keys()
    if "matrix" in given and "matrix" not in kind.matrices and not of_matrix:
        of_matrix = {kind.matrices[0]}
        given[kind.matrices[0]] = given.pop("matrix")
    for key in given:
        if key not in (*kind.keys, "variables"):
            raise InputError(f"the task {task!r} takes {' and '.join(kind.keys)}, not {key}")
    if not of_matrix and len(kind.matrices) > 1:
        raise InputError(f"no matrix: the task {task!r} needs {' or '.join(kind.matrices)}")
    needed = [key for key in kind.keys if key not in (*kind.optional, *(kind.matrices if of_matrix else ()))]
    for key in needed:
        if key not in given:
            raise InputError(f"no {key}: the task {task!r} needs {' and '.join(kind.keys)}")
    return cast(Problem, kind.cls(**given))


def _named_matrix(key: str, path: Path, table: Table) -> dict[str, Any]:
    """Give a matrix under its key, with the names of its columns checked where they stand."""
    if table.names is None:
        return {key: table.values}
    return {key: table.values, "variables": check_names(table.names, "a variable", path, table.line)}


def _read_keys(document: Document, kind: Kind | None) -> tuple[dict[str, Any], str | None]:
    """The values of a file that is read by its keys, and the hardware that it names."""
    matrices, vectors, given = _matrices(kind), _vectors(kind), document.values
    known = ("task", *matrices, *vectors, *_values(kind), "variables", "hardware")
    for key in given:
        if key not in known:
            raise document.refuse(f"unknown key {shorten(key)}; {suggest(key, known)}", key)

    def wrong(key: str, wanted: str) -> InputError:
        return document.refuse(f"{key} is {shorten(given[key])}: it must be {wanted}", key)

    hardware = document.hardware("a preset or the path of a .toml file")
    values: dict[str, Any] = {key: given[key] for key in _values(kind) if key in given}
    for key in kind.tables if kind else ():
        if isinstance(given.get(key), str):
            values[key] = _read_reference(document, key, given[key], MATRIX_SUFFIXES)[key]
    for key in (*matrices, *vectors):
        if key not in given:
            continue
        entry = given[key]
        if isinstance(entry, str):
            suffixes = MATRIX_SUFFIXES if key in matrices else VECTOR_SUFFIXES
            values.update(_read_reference(document, key, entry, suffixes))
        elif isinstance(entry, (list, int, float)) and not isinstance(entry, bool):
            values[key] = entry
        else:
            raise wrong(key, "a list of numbers or the name of a file")
    if "variables" in given:
        if not isinstance(given["variables"], list):
            raise wrong("variables", "a list of names")
        with located(document.path, document.text, "variables"):
            values["variables"] = check_names(given["variables"], "a variable")
    return values, hardware


def _read_reference(document: Document, key: str, name: str, suffixes: tuple[str, ...]) -> dict[str, Any]:
    """Read the matrix or vector file that a TOML key names; only matrices come with names, or as ``.npz``."""
    target = document.path.parent / name
    try:
        check_file(target)
        suffix = known_suffix(target, suffixes)
    except InputError as error:
        # The mistake is in the name, not in the file it does not lead to.
        raise document.refuse(f"{key} = {shorten(name)}: {error.message}", key) from error
    if suffixes is VECTOR_SUFFIXES:
        return {key: read_table(target, suffix).values}
    if suffix != ".npz":
        return _named_matrix(key, target, read_table(target, suffix))
    arrays = read_archive(target)
    if len(arrays) != 1 or not arrays.keys() <= {"matrix", key}:
        raise InputError(f"holds {', '.join(arrays)}: wanted the {key} alone", file=target)
    return {key: next(iter(arrays.values()))}
