"""Compiled loops: a tile of trajectories stepped through time and counted, without storing the path.

A *tile* is a fixed group of trajectories. Arrays have a row for each state and a column for each
trajectory. Observed rows of a chunk of steps are collected side by side, column ``k * width + b`` being
trajectory ``b`` at step ``k``, so that sums are few large products.

Tiles, chunks and the order of every sum depend on the problem and the number of trajectories
only, never on threads, so the bits of a result do not either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic, overload
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.compiled import address as address_of
from spu.base.compiled import compiled, declare, floats, inner, output_address, words
from spu.emulator.runs.numba_noise import BLOCK, WIDTH, fill_normals, fma

WordArray = NDArray[np.uint64]

_U = np.uint64

_FIRST = _U(0)


# --- BLAS -----------------------------------------------------------------------------------
# Addresses are passed at run time: compiled code that is cached on disk must not hold any.


def blas_addresses() -> WordArray:
    """Addresses of dgemm and dsyrk, (2,), from SciPy's public Cython interface."""
    module = "scipy.linalg.cython_blas"
    return np.array([get_cython_function_address(module, name) for name in ("dgemm", "dsyrk")], dtype=np.uint64)


def _pass_by_reference(builder: Any, values: Any) -> list[Any]:
    """Fortran takes pointers."""
    return [cgutils.alloca_once_value(builder, value) for value in values]


def _call_fortran(builder: Any, address: Any, arguments: list[Any]) -> None:
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)


@intrinsic
def _dgemm(_context, address, trans_a, trans_b, m, n, k, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def]
    """``C = op(A) op(B) + beta C`` in Fortran's order; matrices as addresses."""
    size, pointer = types.int32, types.intp
    signature = types.void(
        types.uint64,
        *(types.int8, types.int8, size, size, size, pointer, size, pointer, size, types.float64, pointer, size),
    )

    def generate(_cg: Any, builder: Any, _sig: Any, args: Any) -> Any:
        address, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc = args
        one = ir.Constant(ir.DoubleType(), 1.0)
        ta, tb, m, n, k, alpha, lda, ldb, beta, ldc = _pass_by_reference(
            builder, (ta, tb, m, n, k, one, lda, ldb, beta, ldc)
        )
        to = ir.DoubleType().as_pointer()
        a, b, c = (builder.inttoptr(each, to) for each in (a, b, c))
        _call_fortran(builder, address, [ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc])
        return _cg.get_dummy_value()

    return signature, generate


@intrinsic
def _dsyrk(_context, address, uplo, trans, n, k, a, lda, c, ldc):  # type: ignore[no-untyped-def]
    """One triangle of ``C = op(A) op(A)^T + C`` in Fortran's order; matrices as addresses."""
    size, pointer = types.int32, types.intp
    signature = types.void(types.uint64, types.int8, types.int8, size, size, pointer, size, pointer, size)

    def generate(_cg: Any, builder: Any, _sig: Any, args: Any) -> Any:
        address, uplo, trans, n, k, a, lda, c, ldc = args
        one = ir.Constant(ir.DoubleType(), 1.0)
        uplo, trans, n, k, alpha, lda, beta, ldc = _pass_by_reference(builder, (uplo, trans, n, k, one, lda, one, ldc))
        to = ir.DoubleType().as_pointer()
        a, c = (builder.inttoptr(each, to) for each in (a, c))
        _call_fortran(builder, address, [uplo, trans, n, k, alpha, a, lda, beta, c, ldc])
        return _cg.get_dummy_value()

    return signature, generate


_PLAIN, _TRANSPOSED, _UPPER = np.int8(ord("N")), np.int8(ord("T")), np.int8(ord("U"))

LANES = 8
"""Columns that `_tile_product` takes at once: two vectors of four, or one of eight."""

_SMALL = 8192
"""Entries of a matrix up to which products are our own: BLAS is made for larger ones."""


def _tile_product(rows: int) -> Any:
    """Make the innermost product: ``C = A B`` for A (rows, k), B (k, LANES), all as addresses.

    The sums stay in registers, one vector a row; A is read one number at a time, B one vector.
    """

    @intrinsic
    def product(_context, a, stride_a, b, stride_b, c, stride_c, k):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.intp] * 7)

        def generate(cg: Any, builder: Any, _sig: Any, args: Any) -> Any:
            a, stride_a, b, stride_b, c, stride_c, k = args
            number, vector = ir.DoubleType(), ir.VectorType(ir.DoubleType(), LANES)
            kind = ir.FunctionType(vector, [vector] * 3)
            fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f64")
            undefined = ir.Constant(vector, ir.Undefined)
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

            def at(base: Any, offset: Any, what: Any) -> Any:
                byte = builder.add(base, builder.mul(offset, ir.Constant(offset.type, 8)))
                return builder.inttoptr(byte, what.as_pointer())

            def row(stride: Any, number: int) -> Any:
                return builder.mul(stride, ir.Constant(stride.type, number))

            sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * LANES)) for _ in range(rows)]
            for each in sums:  # alloca_once_value stores at the top of the function, which may be outside a loop
                builder.store(ir.Constant(vector, [0.0] * LANES), each)
            with cgutils.for_range(builder, k) as loop:
                right = builder.load(at(b, builder.mul(loop.index, stride_b), vector), align=8)
                for r, each in enumerate(sums):
                    left = builder.load(at(a, builder.add(loop.index, row(stride_a, r)), number), align=8)
                    spread = builder.insert_element(undefined, left, ir.Constant(ir.IntType(32), 0))
                    spread = builder.shuffle_vector(spread, undefined, lanes)
                    builder.store(builder.call(fused, [spread, right, builder.load(each)]), each)
            for r, each in enumerate(sums):
                builder.store(builder.load(each), at(c, row(stride_c, r), vector), align=8)
            return cg.get_dummy_value()

        return signature, generate

    return product


_four_rows, _one_row = _tile_product(4), _tile_product(1)


@inner
def _dot(a, b):  # type: ignore[no-untyped-def]
    """``a @ b[:, 0]`` in four sums, so that one addition need not wait for the other."""
    s0 = s1 = s2 = s3 = 0.0
    fours = len(a) // 4 * 4
    for q in range(0, fours, 4):
        s0 = fma(a[q], b[q, 0], s0)
        s1 = fma(a[q + 1], b[q + 1, 0], s1)
        s2 = fma(a[q + 2], b[q + 2, 0], s2)
        s3 = fma(a[q + 3], b[q + 3, 0], s3)
    for q in range(fours, len(a)):
        s0 = fma(a[q], b[q, 0], s0)
    return (s0 + s1) + (s2 + s3)


@inner
def multiply(blas, a, b, c, first_c, n):  # type: ignore[no-untyped-def]
    """``c[:, first_c : first_c + n] = a @ b[:, :n]``; n is a multiple of `LANES`, or one."""
    m, k = a.shape
    from_a, from_b, into_c = address_of(a), address_of(b), output_address(c) + 8 * first_c
    stride_b, stride_c = b.shape[1], c.shape[1]
    if m * k > _SMALL:
        _dgemm(blas[0], _PLAIN, _PLAIN, n, m, k, from_b, stride_b, from_a, k, 0.0, into_c, stride_c)
        return
    if n == 1:
        for i in range(m):
            c[i, first_c] = _dot(a[i], b)
        return
    for j in range(0, n, LANES):
        fours = m // 4 * 4
        for i in range(0, fours, 4):
            _four_rows(from_a + 8 * i * k, k, from_b + 8 * j, stride_b, into_c + 8 * (i * stride_c + j), stride_c, k)
        for i in range(fours, m):
            _one_row(from_a + 8 * i * k, k, from_b + 8 * j, stride_b, into_c + 8 * (i * stride_c + j), stride_c, k)


# --- chunks: noise to states ----------------------------------------------------------------


class Tile(NamedTuple):
    """A group of trajectories: where they are, and what has been counted of them.

    Attributes
    ----------
    address:
        (5,) unsigned: step and trajectory of the first column; by how much the step grows from step to step
        and from column to column, and the trajectory from column to column.
    state:
        (rows, width) states where the run has come to and, where all are stepped together, noise below.
    drawn:
        (noise, columns) noise of a chunk, where the tile is a single trajectory.
    path:
        (states, width) the next states; by modes (BLOCK, columns), a few modes at all steps of a chunk.
    steps, trajectories, words:
        (columns,), (columns,), (2, WIDTH) unsigned: scratch of the generator.
    seen:
        (observed, lags * width + columns) observed rows, the latest earlier steps in front.
    total, products:
        (observed,), (lags + 1, observed, observed): sums of ``y`` and of ``y(k) y(k - l)^T``.
    kept:
        (width, kept, observed) every so-manieth readout; of draws (1, kept, observed).
    """

    address: WordArray
    state: FloatArray
    drawn: FloatArray
    path: FloatArray
    steps: WordArray
    trajectories: WordArray
    words: WordArray
    seen: FloatArray
    total: FloatArray
    products: FloatArray
    kept: FloatArray


class DenseStep(NamedTuple):
    """``x' = matrix @ (x, normals)``, seen as ``observe @ x'``.

    (n, carried + r), (observed, n); ``carried`` is n, or 0 for draws that forget.
    """

    matrix: FloatArray
    observe: FloatArray
    carried: int


class ModalStep(NamedTuple):
    """Independent systems of two states each: states ``2 k`` and ``2 k + 1`` belong to system ``k``.

    (systems, 2, 2) both; of each system the first ``shown`` states are observed.
    """

    transition: FloatArray
    root: FloatArray
    shown: int


declare(
    Tile,
    address=words(5),
    state=floats("state rows", "width", written=True),
    drawn=floats("drawn rows", "columns", written=True),
    path=floats("path rows", "path columns", written=True),
    steps=words("columns", written=True),
    trajectories=words("columns", written=True),
    words=words(2, WIDTH, written=True),
    seen=floats("observed", "seen columns", written=True),
    total=floats("observed", written=True),
    products=floats("lags+1", "observed", "observed", written=True),
    kept=floats("kept rows", "kept columns", "observed", written=True),
)


declare(DenseStep, matrix=floats("n", "n and noise"), observe=floats("all observed", "n"))


declare(ModalStep, transition=floats("systems", 2, 2), root=floats("systems", 2, 2))


def _misfit(_blas: WordArray, tile: Tile, law: DenseStep | ModalStep, *_: object) -> str | None:
    """What is wrong between the sizes of a tile and of the law that steps it, or None."""
    width, columns = tile.state.shape[1], len(tile.steps)
    if width < 1 or (width % LANES and width != 1) or columns < width or columns % width:
        return (
            f"{columns} columns of tiles {width} wide: a width is 1 or a multiple of {LANES}, and divides the columns"
        )
    if tile.seen.shape[1] != (len(tile.products) - 1) * width + columns:
        return f"{tile.seen.shape[1]} columns of what is seen, for {columns} and {len(tile.products) - 1} lags"
    if isinstance(law, ModalStep):
        rows, path, observed = 2 * len(law.root), (BLOCK, max(columns, tile.path.shape[1])), law.shown * len(law.root)
        fits = tile.state.shape[0] == rows and law.shown in (1, 2)
    else:
        n, across = law.matrix.shape
        noise = -(-(across - law.carried) // BLOCK) * BLOCK
        rows, path, observed = law.carried + noise, (n, width), len(law.observe)
        fits = law.carried in (0, n) and across >= law.carried and tile.state.shape[0] >= max(rows, n)
        fits = fits and (width > 1 or tile.drawn.shape[0] >= noise)
    if not fits or tile.path.shape != path or len(tile.total) not in (0, observed):
        return (
            f"a law of {rows} rows and {observed} observed does not fit a tile with {tile.state.shape[0]} rows of "
            f"states, {tile.drawn.shape[0]} of noise, a path of {tile.path.shape} and {len(tile.total)} observed"
        )
    return None


@inner
def _history(tile):  # type: ignore[no-untyped-def]
    """Columns of `Tile.seen` that belong to earlier chunks."""
    return (len(tile.products) - 1) * tile.state.shape[1]


@inner
def _write_addresses(tile, first, count):  # type: ignore[no-untyped-def]
    """Write down step and trajectory of the columns of ``count`` steps from ``first`` on."""
    width = tile.state.shape[1]
    for k in range(count):
        step = tile.address[0] + _U(first + k) * tile.address[2]
        for b in range(width):
            tile.steps[k * width + b] = step + _U(b) * tile.address[3]
            tile.trajectories[k * width + b] = tile.address[1] + _U(b) * tile.address[4]


@inner
def dense_chunk(blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    """States and noise lie in one array, so that a step is one product; it stays in the nearest cache."""
    matrix, observe, carried = law
    width = tile.state.shape[1]
    blocks = (matrix.shape[1] - carried + BLOCK - 1) // BLOCK
    noise = tile.state[carried : carried + BLOCK * blocks]
    alone = width == 1  # then columns of the generator are steps, and noise is drawn ahead
    if alone:
        ahead = tile.drawn[: BLOCK * blocks]
        fill_normals(ahead, _FIRST, key, tile.steps[:count], tile.trajectories[:count], tile.words)
    for k in range(count):
        columns = slice(k * width, (k + 1) * width)
        if alone:
            noise[:, 0] = ahead[:, k]
        else:
            fill_normals(noise, _FIRST, key, tile.steps[columns], tile.trajectories[columns], tile.words)
        multiply(blas, matrix, tile.state, tile.path, 0, width)
        tile.state[: len(tile.path)] = tile.path
        if len(tile.total):
            multiply(blas, observe, tile.path, tile.seen, _history(tile) + k * width, width)


@inner
def modal_chunk(_blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    """A system goes through all steps of the chunk in place of its noise, in the nearest cache."""
    transition, root, shown = law
    width = tile.state.shape[1]
    columns = count * width
    history = _history(tile)
    systems = len(transition)
    for block in range((2 * systems + BLOCK - 1) // BLOCK):
        fill_normals(tile.path, _U(block), key, tile.steps[:columns], tile.trajectories[:columns], tile.words)
        for row in range(0, BLOCK, 2):
            system = (BLOCK * block + row) // 2
            if system >= systems:
                break
            x, y = tile.path[row], tile.path[row + 1]
            a, b = tile.state[2 * system], tile.state[2 * system + 1]
            for k in range(count):
                here = slice(k * width, (k + 1) * width)
                _advance(transition[system], root[system], a, b, x[here], y[here])
                a, b = x[here], y[here]
            tile.state[2 * system] = a
            tile.state[2 * system + 1] = b
            if len(tile.total):
                for each in range(shown):
                    tile.seen[shown * system + each, history : history + columns] = tile.path[row + each, :columns]


@inner
def _advance(transition, root, a, b, x, y):  # type: ignore[no-untyped-def]
    """``(x, y) = transition @ (a, b) + root @ (x, y)`` for each column."""
    t00, t01, t10, t11 = transition[0, 0], transition[0, 1], transition[1, 0], transition[1, 1]
    r00, r01, r10, r11 = root[0, 0], root[0, 1], root[1, 0], root[1, 1]
    for i in range(len(x)):
        first = fma(t00, a[i], fma(t01, b[i], fma(r00, x[i], r01 * y[i])))
        y[i] = fma(t10, a[i], fma(t11, b[i], fma(r10, x[i], r11 * y[i])))
        x[i] = first


# --- counting -------------------------------------------------------------------------------


@inner
def _count(blas, tile, count):  # type: ignore[no-untyped-def]
    """Add the chunk's readouts to the sums, and make them the history of the next chunk."""
    width = tile.state.shape[1]
    columns, history = count * width, _history(tile)
    observed = len(tile.total)
    data, stride = address_of(tile.seen), tile.seen.shape[1]
    new = data + 8 * history
    for i in range(observed):
        tile.total[i] += tile.seen[i, history : history + columns].sum()
    products = output_address(tile.products)
    _dsyrk(blas[1], _UPPER, _TRANSPOSED, observed, columns, new, stride, products, observed)
    for lag in range(1, len(tile.products)):
        old, into = new - 8 * lag * width, products + 8 * lag * observed * observed
        _dgemm(blas[0], _TRANSPOSED, _PLAIN, observed, observed, columns, old, stride, new, stride, 1.0, into, observed)
    if history:
        for i in range(observed):
            for j in range(history):  # forwards: the new place lies before the old one
                tile.seen[i, j] = tile.seen[i, j + columns]


@inner
def _keep(tile, first, count, every):  # type: ignore[no-untyped-def]
    """Keep the readouts of each trajectory, or of draws those in all, whose number is a multiple of ``every``."""
    width, history = tile.state.shape[1], _history(tile)
    origin = np.int64(tile.address[0])
    draws = tile.address[3] > _FIRST  # numbered from column to column, not from step to step
    for k in range(count):
        for b in range(width):
            number = origin + (first + k) * width + b if draws else first + k
            if number % every == 0:
                place = number // every - ((origin + every - 1) // every if draws else 0)
                kept = tile.kept[0 if draws else b, place]
                for i in range(len(tile.total)):
                    kept[i] = tile.seen[i, history + k * width + b]


def _chunk(blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    """Step one chunk: which way is decided by the type of the law, when `drive` is compiled."""
    raise NotImplementedError


@overload(_chunk)
def _choose_chunk(blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    if law.instance_class is ModalStep:
        return lambda blas, tile, law, key, count: modal_chunk(blas, tile, law, key, count)
    return lambda blas, tile, law, key, count: dense_chunk(blas, tile, law, key, count)


@compiled(_misfit, blas=words(2), key=words(2))
def drive(blas, tile, law, key, first, steps, every):  # type: ignore[no-untyped-def]
    """Take ``steps`` steps, of which the first is number ``first``; keep every ``every``-th readout (0: none)."""
    most = len(tile.steps) // tile.state.shape[1]
    done = 0
    while done < steps:
        count = min(most, steps - done)
        _write_addresses(tile, first + done, count)
        _chunk(blas, tile, law, key, count)
        if len(tile.total):
            if every:
                _keep(tile, first + done, count, every)
            _count(blas, tile, count)
        done += count


def new_tile(
    address: tuple[int, int, int, int, int],
    *,
    state: int,
    drawn: int,
    path: tuple[int, int],
    observed: int,
    width: int,
    chunk: int,
    lags: int,
    kept: tuple[int, int],
) -> Tile:
    """Allocate a tile at rest that takes ``chunk`` steps at a time (arguments as the sizes in `Tile`)."""
    columns = chunk * width
    return Tile(
        address=np.array(address, dtype=np.uint64),
        state=np.zeros((state, width)),
        drawn=np.empty((drawn if width == 1 else 0, columns)),
        path=np.zeros(path),
        steps=np.empty(columns, dtype=np.uint64),
        trajectories=np.empty(columns, dtype=np.uint64),
        words=np.empty((2, WIDTH), dtype=np.uint64),
        seen=np.zeros((observed, lags * width + columns)),
        total=np.zeros(observed),
        products=np.zeros((lags + 1, observed, observed)),
        kept=np.empty((*kept, observed)),
    )
