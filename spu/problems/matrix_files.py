"""Matrices and vectors from ``.npy``, ``.npz``, ``.csv`` and ``.mtx`` files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spu.base.array_files import parsing, read_npy, read_npz
from spu.base.arrays import AnyMatrix, FloatArray
from spu.base.errors import InputError
from spu.base.files import check_file, key_line, read_bytes, read_text
from spu.base.names import check_names, shorten, suggest
from spu.problems.definite import DENSE_SIZE, MAX_SIZE, MAX_SPARSE_SIZE

_LINE_END = re.compile(r"\r\n|\r|\n")

MATRIX_KEYS = ("precision", "covariance", "matrix")

VECTOR_KEYS = ("mean", "vector")

NPZ_KEYS = (*MATRIX_KEYS, *VECTOR_KEYS, "variables")

MATRIX_SUFFIXES = (".npy", ".npz", ".csv", ".mtx")

VECTOR_SUFFIXES = (".npy", ".csv", ".mtx")


@contextmanager
def located(file: str | Path | None, text: str | None = None, key: str = "") -> Iterator[None]:
    """Add the place to errors that have none; the line is that of a key of the TOML text, if given."""
    try:
        yield
    except InputError as error:
        if error.file is not None or file is None:
            raise
        raise InputError(error.message, file=file, line=key_line(text, key)) from error


# --- files ---------------------------------------------------------------------------------


def read_matrix(path: str | Path) -> AnyMatrix:
    """Read the one matrix of a ``.npy``, ``.npz``, ``.csv`` or ``.mtx`` file.

    Raises
    ------
    InputError
        If the file cannot be read or holds anything else.
    """
    return cast(AnyMatrix, read_named_matrix(path).values)


def read_named_matrix(path: str | Path) -> Table:
    """`read_matrix`, with the names that head its columns, where there are any."""
    where = Path(path)
    check_file(where)
    suffix = known_suffix(where, MATRIX_SUFFIXES)
    if suffix != ".npz":
        return read_table(where, suffix)
    arrays = read_archive(where)
    if len(arrays) != 1:
        raise InputError(f"holds {', '.join(arrays)}: wanted one matrix", file=where)
    return Table(next(iter(arrays.values())))


class Table(NamedTuple):
    """Numbers read from a file; `names` head the columns, if there is such a row."""

    values: Any
    names: tuple[str, ...] | None = None
    line: int | None = None  # of the names


def known_suffix(path: Path, known: Sequence[str]) -> str:
    """The suffix of a path, in lower case; others are refused."""
    suffix = path.suffix.lower()
    if suffix not in known:
        raise InputError(f"unknown extension {shorten(path.suffix)}: known are {', '.join(known)}", file=path)
    return suffix


def read_vector(path: Path) -> Any:
    """Read the one vector of a file."""
    check_file(path)
    return read_table(path, known_suffix(path, VECTOR_SUFFIXES)).values


def read_table(path: Path, suffix: str) -> Table:
    """Read the one array of a file."""
    if suffix == ".csv":
        return _read_csv(path)
    if suffix == ".npy":
        return Table(read_npy(path))
    return Table(_read_mtx(path))


def _read_csv(path: Path) -> Table:
    split = None
    names: tuple[str, ...] | None = None
    names_line = None
    rows: list[FloatArray] = []
    width = first = 0
    for number, raw in enumerate(_LINE_END.split(read_text(path)), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if first == 0:
            split = next((mark for mark in ";," if mark in line), None)
        cells = [cell.strip().strip('"') for cell in line.split(split)]
        if first == 0:
            first, width = number, len(cells)
            if width > MAX_SIZE:
                raise InputError(f"a row of {width} entries: at most {MAX_SIZE} are taken", file=path, line=number)
            # The letter tells names from numbers in a foreign notation, such as 1,5 for 1.5.
            lettered = any(character.isalpha() or character == "_" for character in line)
            if lettered and all(_number(cell) is None for cell in cells):
                names, names_line = tuple(cells), number
                continue
        if len(cells) != width:
            raise InputError(
                f"a row of {len(cells)} where line {first} has {width}: all rows must be of one length",
                file=path,
                line=number,
            )
        row = []
        for column, cell in enumerate(cells, start=1):
            value = _number(cell)
            if value is None:
                raise InputError(
                    f"cannot read {shorten(cell)} in column {column} as a number (such as -1.5e-9)",
                    file=path,
                    line=number,
                )
            row.append(value)
        if len(rows) == MAX_SIZE:
            raise InputError(f"more than {MAX_SIZE} rows: at most so many are taken", file=path, line=number)
        rows.append(np.array(row))
    if not rows:
        raise InputError("holds no rows of numbers", file=path)
    return Table(np.array(rows), names, names_line)


def _number(cell: str) -> float | None:
    """Read a number; not as freely as `float`, which takes 1_000 and the digits of all scripts."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _read_mtx(path: Path) -> AnyMatrix:
    """Read a real, general or symmetric, Matrix Market file into a (rows, columns) array.

    A coordinate file of more than `DENSE_SIZE` rows or columns gives a CSR array.

    `scipy.io.mmread` would do, but its parser (SciPy 1.17) kills the interpreter on some
    malformed files, such as an array of 0 rows, or symmetric data that are not square.
    """
    # Latin-1 because it takes any byte: names of authors in comments are in any encoding.
    lines = _LINE_END.split(read_bytes(path).decode("latin-1"))
    body = (
        (number, line.split())
        for number, line in enumerate(lines[1:], start=2)
        if line.strip() and not line.startswith("%")
    )
    number = 1
    try:
        sparse, pattern, symmetric = _mtx_banner(lines[0])

        number, cells = next(body, (len(lines), []))
        size = [_whole(cell) for cell in cells]
        if len(size) != 2 + sparse:
            raise ValueError(f"the size must be {'rows, columns and entries' if sparse else 'rows and columns'}")
        rows, columns = size[:2]
        if max(rows, columns) > (most := MAX_SPARSE_SIZE if sparse else MAX_SIZE):
            raise ValueError(f"{rows} × {columns} where at most {most} variables are taken")
        if symmetric and rows != columns:
            raise ValueError(f"{rows} × {columns} cannot be symmetric")
        stored = rows * (rows + 1) // 2 if symmetric else rows * columns
        declared = size[2] if sparse else stored

        layout = ["row", "column"] * sparse + ["value"] * (not pattern)
        places, values = _mtx_columns(lines[number:], len(layout), sparse, pattern)
        limits = (rows, columns)
        if places is None or values is None or not _mtx_sound(places, limits, symmetric) or len(values) > declared:
            # Something is wrong with an entry: find out which and what.
            for count, (number, cells) in enumerate(body, start=1):  # noqa: B007 (the except clause tells the line)
                _mtx_entry(cells, layout, limits, sparse, symmetric)
                if count > declared:
                    raise ValueError(f"more entries than the {declared} declared")
            raise ValueError("its entries cannot be read")
        if len(values) < declared:
            number = max([number, *(place for place, _ in body)])  # the last one
            raise ValueError(f"{declared} entries declared but {len(values)} there")
    except ValueError as error:
        raise InputError(f"is not a readable Matrix Market file: {error}", file=path, line=number) from error

    if not sparse and not symmetric:
        return values.reshape((rows, columns), order="F")
    if sparse and max(rows, columns) > DENSE_SIZE:
        if symmetric:
            off = places[:, 0] != places[:, 1]
            places = np.concatenate([places, places[off][:, ::-1]])
            values = np.concatenate([values, values[off]])
        with np.errstate(over="ignore", invalid="ignore"):
            return sp.csr_array(sp.coo_array((values, (places[:, 0], places[:, 1])), shape=(rows, columns)))
    a = np.zeros((rows, columns))
    if sparse:
        with np.errstate(over="ignore", invalid="ignore"):  # refused later, with their place
            np.add.at(a, (places[:, 0], places[:, 1]), values)  # entries given in parts add up
    else:
        a.T[np.triu_indices(rows)] = values  # columns of the lower triangle
    return a + np.tril(a, -1).T if symmetric else a


def _mtx_columns(
    lines: list[str], width: int, sparse: bool, pattern: bool
) -> tuple[npt.NDArray[np.int64] | None, FloatArray | None]:
    """(m, 2) places counted from 0 and (m,) values of all entries at once; None where any is malformed."""
    text = "\n".join(line for line in lines if not line.startswith("%")) + "\n"
    # Words a line, counted all at once: there may be millions of lines.
    codes = np.frombuffer(text.encode("latin-1"), dtype=np.uint8)
    blank = (codes == 32) | (codes == 9) | (codes == 10)
    if ((codes < 33) & ~blank).any() or (codes > 126).any():
        return None, None
    begun = np.cumsum(~blank & np.concatenate([[True], blank[:-1]]))
    words = np.diff(begun[codes == 10], prepend=0)
    if not np.isin(words, (0, width)).all():
        return None, None
    cells = text.split()
    columns = [cells[k::width] for k in range(width)]
    count = len(columns[0])
    places = np.zeros((count, 2), dtype=np.int64)
    if sparse and count:
        for k in range(2):
            digits = "".join(columns[k])
            if not digits.isdigit() or max(map(len, columns[k])) > 18:
                return None, None
            places[:, k] = np.fromiter(map(int, columns[k]), dtype=np.int64, count=count)
        places -= 1
    if pattern:
        return places, np.ones(count)
    if "_" in text:  # which float would take
        return None, None
    try:
        return places, np.fromiter(map(float, columns[-1]), dtype=np.float64, count=count)
    except ValueError:
        return None, None


def _mtx_sound(places: npt.NDArray[np.int64], limits: tuple[int, int], symmetric: bool) -> bool:
    """Whether all places lie in the matrix and, of a symmetric one, not above the diagonal."""
    inside = not len(places) or (places.min() >= 0 and (places < np.array(limits)).all())
    return bool(inside and not (symmetric and (places[:, 0] < places[:, 1]).any()))


def _mtx_entry(cells: list[str], layout: list[str], limits: tuple[int, int], sparse: bool, symmetric: bool) -> None:
    """Refuse one malformed entry."""
    if len(cells) != len(layout) or ("value" in layout and _number(cells[-1]) is None):
        raise ValueError(f"an entry must be '{' '.join(layout)}', not {shorten(' '.join(cells))}")
    if sparse:
        i, j = _whole(cells[0]), _whole(cells[1])
        if not (1 <= i <= limits[0] and 1 <= j <= limits[1]):
            raise ValueError(f"no row {i}, column {j} in {limits[0]} × {limits[1]}")
        if symmetric and i < j:
            raise ValueError(f"row {i}, column {j} is above the diagonal of a symmetric matrix")


def _mtx_banner(line: str) -> tuple[bool, bool, bool]:
    """Parse the first line of a Matrix Market file: whether it is sparse, a pattern, symmetric."""
    words = line.lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError("it must begin with '%%MatrixMarket matrix' and three words")
    layout, kind, symmetry = words[2:]
    for word, known in (
        (layout, ("coordinate", "array")),
        (kind, ("real", "double", "integer", "pattern")),
        (symmetry, ("general", "symmetric")),
    ):
        if word not in known:
            raise ValueError(f"{shorten(word)} is not taken; {suggest(word, known)}")
    if (layout, kind) == ("array", "pattern"):
        raise ValueError("an array cannot be a pattern")
    return layout == "coordinate", kind == "pattern", symmetry == "symmetric"


def _whole(cell: str) -> int:
    """Read a whole number, 0 or more, of a sensible length."""
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 18):
        raise ValueError(f"{shorten(cell)} is not a whole number")
    return int(cell)


def read_archive(path: Path) -> dict[str, Any]:
    """Read the arrays of an ``.npz`` file, by name."""
    arrays: dict[str, Any] = {**read_npz(path)}
    keys = set(arrays)
    if {"format", "shape", "data"} <= keys:
        with parsing(path, "NumPy .npz"):
            if max(map(int, arrays["shape"].ravel()), default=0) > MAX_SPARSE_SIZE:
                raise InputError(f"has more than {MAX_SPARSE_SIZE} rows or columns", file=path)
            return {"matrix": sp.load_npz(path)}
    if len(arrays) == 1 and not keys & set(NPZ_KEYS):
        return {"matrix": next(iter(arrays.values()))}
    for key in arrays:
        if key not in NPZ_KEYS:
            raise InputError(f"unknown array {shorten(key)}; {suggest(key, NPZ_KEYS)}", file=path)
    if "variables" in arrays:
        with located(path):
            names = np.asarray(arrays["variables"])
            arrays["variables"] = check_names(np.atleast_1d(names).ravel().tolist(), "a variable")
    return arrays
