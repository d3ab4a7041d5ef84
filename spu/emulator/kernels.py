"""Compiled loops: a tile of trajectories stepped through time and counted, without storing the path.

A *tile* is a fixed group of trajectories. Arrays have a row for each state and a column for each
trajectory, and where several steps are held at once their columns follow one another: column
``k * width + b`` is trajectory ``b`` at step ``k``. Noise for all steps of a chunk is drawn and
coloured in one product; then each step adds ``transition @ previous`` to its columns.

Tiles, chunks and the order of every sum depend on the problem and the number of trajectories
only, never on threads, so the bits of a result do not either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic, overload
from numpy.typing import NDArray

from spu.emulator.noise import BLOCK, WIDTH, fill_normals, fma

FloatArray = NDArray[np.float64]
WordArray = NDArray[np.uint64]

_kernel = njit(nogil=True, cache=True, error_model="numpy")
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


@_kernel
def _multiply(blas, a, b, first_b, beta, c, first_c, n):  # type: ignore[no-untyped-def]
    """``c[:, first_c:][:, :n] = a @ b[:, first_b:][:, :n] + beta c``, row by row in memory."""
    m, k = a.shape
    from_b, into_c = b.ctypes.data + 8 * first_b, c.ctypes.data + 8 * first_c
    _dgemm(blas[0], _PLAIN, _PLAIN, n, m, k, from_b, b.shape[1], a.ctypes.data, k, beta, into_c, c.shape[1])


# --- chunks: noise to states ----------------------------------------------------------------


class Tile(NamedTuple):
    """A group of trajectories: where they are, and what has been counted of them.

    Attributes
    ----------
    origin:
        (2,) step and trajectory of its first column, unsigned.
    state:
        (rows, width) states where the run has come to.
    path, drawn:
        (rows, columns), (drawn, columns): states and noise of a chunk; by modes, of one block at a time.
    steps, trajectories, words:
        (columns,), (columns,), (2, WIDTH) unsigned: scratch of the generator.
    seen:
        (observed, (lags + 1) steps * width) observed rows, the latest earlier steps in front.
    total, products:
        (observed,), (lags + 1, observed, observed): sums of ``y`` and of ``y(k) y(k - l)^T``.
    kept:
        (width, kept, observed) every so-manieth readout.
    """

    origin: WordArray
    state: FloatArray
    path: FloatArray
    drawn: FloatArray
    steps: WordArray
    trajectories: WordArray
    words: WordArray
    seen: FloatArray
    total: FloatArray
    products: FloatArray
    kept: FloatArray


class DenseStep(NamedTuple):
    """``x' = transition @ x + root @ normals``, seen as ``observe @ x``.

    (n, n) or, where each draw is independent, (0, n); (n, r); (observed, n).
    """

    transition: FloatArray
    root: FloatArray
    observe: FloatArray


class ModalStep(NamedTuple):
    """Independent systems of two states each: states ``2 k`` and ``2 k + 1`` belong to system ``k``.

    (systems, 2, 2) both; of each system the first ``shown`` states are observed.
    """

    transition: FloatArray
    root: FloatArray
    shown: int


@_kernel
def _address(tile, first, count):  # type: ignore[no-untyped-def]
    """Write down step and trajectory of the columns of ``count`` steps from ``first`` on."""
    width = tile.state.shape[1]
    for k in range(count):
        for b in range(width):
            tile.steps[k * width + b] = tile.origin[0] + _U(first + k)
            tile.trajectories[k * width + b] = tile.origin[1] + _U(b)


@_kernel
def dense_chunk(blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    """All noise of the chunk is coloured in one product; then the steps follow one another in place."""
    transition, root, observe = law
    width = tile.state.shape[1]
    columns = count * width
    blocks = (root.shape[1] + BLOCK - 1) // BLOCK
    fill_normals(
        tile.drawn[: BLOCK * blocks], _FIRST, key, tile.steps[:columns], tile.trajectories[:columns], tile.words
    )
    _multiply(blas, root, tile.drawn, 0, 0.0, tile.path, 0, columns)
    if len(transition):
        _multiply(blas, transition, tile.state, 0, 1.0, tile.path, 0, width)
        for k in range(1, count):
            _multiply(blas, transition, tile.path, (k - 1) * width, 1.0, tile.path, k * width, width)
    tile.state[:] = tile.path[:, columns - width : columns]
    if len(tile.total):
        _multiply(blas, observe, tile.path, 0, 0.0, tile.seen, tile.seen.shape[1] - tile.path.shape[1], columns)


@_kernel
def modal_chunk(_blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    """A system goes through all steps of the chunk in place of its noise, in the nearest cache."""
    transition, root, shown = law
    width = tile.state.shape[1]
    columns = count * width
    history = tile.seen.shape[1] - tile.path.shape[1]
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


@_kernel
def _advance(transition, root, a, b, x, y):  # type: ignore[no-untyped-def]
    """``(x, y) = transition @ (a, b) + root @ (x, y)`` for each column."""
    t00, t01, t10, t11 = transition[0, 0], transition[0, 1], transition[1, 0], transition[1, 1]
    r00, r01, r10, r11 = root[0, 0], root[0, 1], root[1, 0], root[1, 1]
    for i in range(len(x)):
        first = fma(t00, a[i], fma(t01, b[i], fma(r00, x[i], r01 * y[i])))
        y[i] = fma(t10, a[i], fma(t11, b[i], fma(r10, x[i], r11 * y[i])))
        x[i] = first


# --- counting -------------------------------------------------------------------------------


@_kernel
def _count(blas, tile, count):  # type: ignore[no-untyped-def]
    """Add the chunk's readouts to the sums, and make them the history of the next chunk."""
    width = tile.state.shape[1]
    columns, history = count * width, tile.seen.shape[1] - tile.path.shape[1]
    observed = len(tile.total)
    data, stride = tile.seen.ctypes.data, tile.seen.shape[1]
    new = data + 8 * history
    for i in range(observed):
        tile.total[i] += tile.seen[i, history : history + columns].sum()
    products = tile.products.ctypes.data
    _dsyrk(blas[1], _UPPER, _TRANSPOSED, observed, columns, new, stride, products, observed)
    for lag in range(1, len(tile.products)):
        old, into = new - 8 * lag * width, products + 8 * lag * observed * observed
        _dgemm(blas[0], _TRANSPOSED, _PLAIN, observed, observed, columns, old, stride, new, stride, 1.0, into, observed)
    if history:
        for i in range(observed):
            for j in range(history):  # forwards: the new place lies before the old one
                tile.seen[i, j] = tile.seen[i, j + columns]


@_kernel
def _keep(tile, first, count, every):  # type: ignore[no-untyped-def]
    """Keep the readouts whose number is a multiple of ``every``, wherever the tile begins."""
    width = tile.state.shape[1]
    history = tile.seen.shape[1] - tile.path.shape[1]
    origin = np.int64(tile.origin[0])
    before = (origin + every - 1) // every
    k = -(origin + first) % every
    while k < count:
        for b in range(width):
            for i in range(len(tile.total)):
                tile.kept[b, (origin + first + k) // every - before, i] = tile.seen[i, history + k * width + b]
        k += every


def _chunk(blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    """Step one chunk: which way is decided by the type of the law, when `drive` is compiled."""
    raise NotImplementedError


@overload(_chunk)
def _choose_chunk(blas, tile, law, key, count):  # type: ignore[no-untyped-def]
    if law.instance_class is ModalStep:
        return lambda blas, tile, law, key, count: modal_chunk(blas, tile, law, key, count)
    return lambda blas, tile, law, key, count: dense_chunk(blas, tile, law, key, count)


@_kernel
def drive(blas, tile, law, key, first, steps, every):  # type: ignore[no-untyped-def]
    """Take ``steps`` steps, of which the first is number ``first``; keep every ``every``-th readout (0: none)."""
    most = tile.path.shape[1] // tile.state.shape[1]
    done = 0
    while done < steps:
        count = min(most, steps - done)
        _address(tile, first + done, count)
        _chunk(blas, tile, law, key, count)
        if len(tile.total):
            if every:
                _keep(tile, first + done, count, every)
            _count(blas, tile, count)
        done += count


def new_tile(
    origin: tuple[int, int],
    *,
    rows: int,
    path: int,
    drawn: int,
    observed: int,
    width: int,
    chunk: int,
    lags: int,
    kept: int,
) -> Tile:
    """Allocate a tile at rest that takes ``chunk`` steps at a time (arguments as the sizes in `Tile`)."""
    columns = chunk * width
    return Tile(
        origin=np.array(origin, dtype=np.uint64),
        state=np.zeros((rows, width)),
        path=np.empty((path, columns)),
        drawn=np.empty((-(-drawn // BLOCK) * BLOCK, columns)),
        steps=np.empty(columns, dtype=np.uint64),
        trajectories=np.empty(columns, dtype=np.uint64),
        words=np.empty((2, WIDTH), dtype=np.uint64),
        seen=np.zeros((observed, lags * width + columns)),
        total=np.zeros(observed),
        products=np.zeros((lags + 1, observed, observed)),
        kept=np.empty((width, kept, observed)),
    )
