"""Many trajectories, or one long one, streamed: which way to step, over threads, and what is counted.

Nothing here grows with time: a run holds the present state of every trajectory and sums. The work is
cut into tiles (groups of trajectories) and chunks (steps at a time) by rules that look at the
problem and the number of trajectories only, every tile keeps its own sums, and these are added in
order at the end: threads change no bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.kernels.door import Precision
from spu.base.threads import available_threads, one_blas_thread
from spu.emulator.laws.modes import Modes
from spu.emulator.laws.propagate import Step, exact_step, factor, step_law
from spu.emulator.laws.stationary import Stationary
from spu.emulator.runs import kernels
from spu.emulator.runs.kernels import DenseStep, ModalStep, Tile
from spu.emulator.runs.noise import BLOCK, key_of

_ROUND = 0.1
"""Seconds of work between looks at the clock and at ctrl-C."""

_INDEPENDENT_TILES, _DRAWS = 16, 64
"""Independent draws: how many tiles, and how many draws side by side."""


@dataclass(frozen=True, eq=False)
class Method:
    """A way of drawing samples.

    Attributes
    ----------
    name:
        ``dense``, ``modal`` or ``independent``.
    why:
        What it does, and why it was chosen, in a few words.
    start, step:
        The law of the first readout and of every further one (`spu.emulator.runs.kernels`).
    rows, drawn, observed:
        Sizes of a state, of its noise, and of what is observed of it.
    lift:
        (p, observed): probes from observed rows; None where these are the probes.
    precision:
        Of states and products; ``single`` of dense steps only (`spu.emulator.runs.single`).
    at:
        (rows,) where the state is before the first readout is drawn by ``start``; at zero unless given.
    """

    name: str
    why: str
    start: DenseStep | ModalStep
    step: DenseStep | ModalStep
    rows: int
    drawn: int
    observed: int
    lift: FloatArray | None = None
    precision: Precision = "double"
    at: FloatArray | None = None


def choose_method(law: Stationary, interval: float, name: str | None = None, precision: Precision = "double") -> Method:
    """The way to step from readout to readout, ``interval`` seconds apart: by modes if there are any.

    ``name`` forces ``modal``, for which the law must have modes (`Stationary.modes`), or ``dense``; modes are stepped
    in double precision.
    """
    if name != "dense" and law.modes is not None:
        return modal_method(law.modes, interval)
    return replace(dense_method(law, interval), precision=precision)


def from_rest(how: Method, law: Stationary, wait: float) -> Method:
    """The same way, but for the first readout: ``wait`` seconds after all capacitors and inductors were empty.

    By modes only where the law has no mean; else all states are to be stepped together.
    """
    dense = law.dense
    if isinstance(how.start, ModalStep):
        modes = law.modes
        assert modes is not None and not dense.mean.any()
        return replace(how, start=ModalStep(how.start.transition, modal_root(modes, wait), how.start.shown))
    first = exact_step(dense, wait, law.covariance)
    start = DenseStep(np.hstack([first.transition, first.factor]), how.start.observe, len(dense.A))
    return replace(how, start=start, drawn=max(how.drawn, first.factor.shape[1]), at=-dense.mean)


def dense_method(law: Stationary, interval: float) -> Method:
    """Exact propagation of all states together."""
    dense = law.dense
    step = exact_step(dense, interval, law.covariance)
    why = f"exact steps of all {len(dense.A)} states together, as the circuit's matrices do not commute"
    return method_of_steps(factor(law.covariance), step, dense.H, why)


def method_of_steps(start: FloatArray, step: Step, observe: FloatArray, why: str = "") -> Method:
    """Exact propagation by a given step (n states), from a start with the factor (n, k), seen by (p, n)."""
    n, seen = len(start), np.ascontiguousarray(observe)
    first = DenseStep(start, seen, 0)
    every = DenseStep(np.hstack([step.transition, step.factor]), seen, n)
    return Method(
        "dense", why, first, every, rows=n, drawn=max(start.shape[1], step.factor.shape[1]), observed=len(seen)
    )


def modal_method(modes: Modes, interval: float) -> Method:
    """Exact propagation mode by mode: two states each, or two modes of one state."""
    n, drift = len(modes.variance), modes.drift()
    order = drift.shape[1]
    Q = np.zeros_like(drift)
    Q[:, 0, 0] = modes.noise / modes.capacitance**2
    transition, covariance = step_law(drift, Q, interval)
    stationary = modes.variance[:, None, None] * np.eye(order)
    roots = [_small_roots(each) for each in (stationary, covariance)]
    transitions = [np.zeros_like(drift), transition]
    if order == 1:
        transitions, roots = [_paired(each) for each in transitions], [_paired(each) for each in roots]
    systems, shown = len(roots[0]), 3 - order
    lift = modes.probes
    if systems * shown > n:
        lift = np.column_stack([lift, np.zeros(len(lift))])
    start, step = (
        ModalStep(np.ascontiguousarray(each), root, shown) for each, root in zip(transitions, roots, strict=True)
    )
    return Method(
        "modal",
        f"exact steps of {n} independent modes, as the circuit's matrices commute",
        start,
        step,
        rows=2 * systems,
        drawn=BLOCK,
        observed=systems * shown,
        lift=np.ascontiguousarray(lift),
    )


def modal_root(modes: Modes, wait: float) -> FloatArray:
    """Roots as in a `ModalStep`, of the noise that the modes have gathered ``wait`` seconds after they were at zero."""
    drift = modes.drift()
    Q = np.zeros_like(drift)
    Q[:, 0, 0] = modes.noise / modes.capacitance**2
    root = _small_roots(step_law(drift, Q, wait)[1])
    return _paired(root) if drift.shape[1] == 1 else root


def _small_roots(covariance: FloatArray) -> FloatArray:
    """Lower triangular square roots of (k, 1, 1) or (k, 2, 2) positive semidefinite matrices."""
    root = np.zeros_like(covariance)
    root[:, 0, 0] = np.sqrt(covariance[:, 0, 0])
    if covariance.shape[1] == 2:
        root[:, 1, 0] = covariance[:, 1, 0] / np.where(root[:, 0, 0] > 0, root[:, 0, 0], 1.0)
        root[:, 1, 1] = np.sqrt(np.maximum(covariance[:, 1, 1] - root[:, 1, 0] ** 2, 0.0))
    return root


def _paired(single: FloatArray) -> FloatArray:
    """Systems of one state (k, 1, 1) as systems of two that do not touch each other."""
    values = np.zeros(len(single) + len(single) % 2)
    values[: len(single)] = single[:, 0, 0]
    pairs = np.zeros((len(values) // 2, 2, 2))
    pairs[:, 0, 0], pairs[:, 1, 1] = values[::2], values[1::2]
    return pairs


def independent_method(law: Stationary) -> Method:
    """Independent draws of the probes from the stationary law."""
    root = _root(law.voltage_covariance)
    probes, drawn = root.shape
    step = DenseStep(root, np.eye(probes), 0)
    why = "independent draws from the stationary law: no time passes"
    return Method("independent", why, step, step, rows=probes, drawn=drawn, observed=probes)


def _root(covariance: FloatArray) -> FloatArray:
    """A factor of a covariance, by Cholesky where it is definite: several times cheaper."""
    try:
        return np.ascontiguousarray(la.cholesky(covariance, lower=True))
    except la.LinAlgError:
        return np.ascontiguousarray(factor(covariance))


@dataclass(frozen=True, eq=False)
class Sums:
    """What a run has counted, about the mean of the law.

    Attributes
    ----------
    readouts:
        Of each trajectory (of the first, where they differ).
    samples:
        In all.
    total:
        (p,) sum of the probes' deviations, V.
    products:
        (lags + 1, p, p) sums of ``y(k) y(k - l apart)^T``, V^2, and how many pairs (lags + 1,) went into each.
    pairs:
        See ``products``.
    kept:
        (trajectories, kept, p) every so-manieth readout's deviation, V.
    ends:
        (states, trajectories) where they are at the end, or of draws the last ones.
    counted_total, counted_products:
        What was counted before it was lifted to the probes (`Method.lift`); the same where it was not.
    """

    readouts: int
    samples: int
    total: FloatArray
    products: FloatArray
    pairs: NDArray[np.int64]
    kept: FloatArray
    ends: FloatArray
    counted_total: FloatArray
    counted_products: FloatArray

    @property
    def mean(self) -> FloatArray:
        """(p,) sample mean of the deviations, V."""
        return self.total / self.samples

    @property
    def autocovariance(self) -> FloatArray:
        """(lags + 1, p, p) about the sample mean, V^2; entry 0 is the covariance (divided by the count)."""
        counts = np.maximum(self.pairs, 1)[:, None, None]
        return self.products / counts - np.outer(self.mean, self.mean)


def tile_width(trajectories: int) -> int:
    """Trajectories of a tile: enough for efficient products, few enough that threads share the work."""
    return max(32, min(128, trajectories // 16 // 8 * 8))


def run(
    method: Method,
    *,
    trajectories: int,
    steps: int,
    seed: int,
    lags: int = 0,
    apart: int = 1,
    every: int = 0,
    count: bool = True,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Sums:
    """Run trajectories and count.

    Parameters
    ----------
    method:
        How to step.
    trajectories, steps:
        How many, and readouts of each; for independent draws ``steps`` are shared among the trajectories.
    seed:
        Of the noise.
    lags, apart:
        So many autocovariances beside the covariance, at every multiple of so many readouts.
    every:
        Keep every so-manieth readout of each trajectory; 0 keeps none.
    count:
        False steps only: nothing is observed.
    threads:
        At most so many; all processors unless given. They change no bit of the result.
    progress:
        Called with readouts done and wanted.
    interrupted:
        Asked now and then; True ends the run with what there is.
    """
    observed = method.observed if count else 0
    tiles, lengths, chunk = _tiles(method, trajectories, steps, (lags, apart), every, observed)
    threads = min(len(tiles), threads or available_threads())
    if method.at is not None:
        for tile in tiles:
            tile.state[:, : method.rows] = method.at[:, None]
    start, step = (kernels.drivers(tiles, law, key_of(seed), method.precision) for law in (method.start, method.step))
    wanted = sum(tile.width * length for tile, length in zip(tiles, lengths, strict=True))
    done = 0
    with parallel(threads) as each:

        def advance(drive: list[kernels.Drive], until: int) -> None:
            def one(number: int) -> None:
                many = min(until, lengths[number]) - done
                if many > 0:
                    drive[number](done, many, every)

            each(one, range(len(tiles)))

        advance(start, 1)
        done = 1
        for more in rounds(max(lengths) - 1, chunk, interrupted):
            advance(step, 1 + more)
            done = 1 + more
            if progress is not None:
                progress(_so_far(tiles, lengths, done), wanted)
    return _gather(method, tiles, lengths, done, (lags, apart), every, observed)


def _tiles(
    method: Method, trajectories: int, steps: int, lags: tuple[int, int], every: int, observed: int
) -> tuple[list[Tile], list[int], int]:
    """Tiles, the readouts that each of their trajectories is to take, and the steps of a chunk."""
    shares: list[tuple[tuple[int, int, int, int, int], int, int]] = []  # address, width, length
    if method.name == "independent":
        # Draw number k * width + b of its tile is column b of step k.
        width = _DRAWS
        each = max(1, -(-(steps // width) // _INDEPENDENT_TILES))
        for first in range(0, steps // width, each):
            length = min(each, steps // width - first)
            shares.append(((first * width, 0, width, 1, 0), width, length))
        if steps % width:
            shares.append(((steps - steps % width, 0, 1, 1, 0), 1, steps % width))
    else:
        width = tile_width(trajectories)
        shares += [
            ((0, first, 1, 0, 1), min(width, trajectories - first), steps) for first in range(0, trajectories, width)
        ]
    modal = isinstance(method.step, ModalStep)
    # The same for all tiles, so that rounds end where chunks do.
    chunk = max(1, min(1024 // shares[0][1], max(length for _, _, length in shares)))
    noise = 0 if modal else -(-method.drawn // BLOCK) * BLOCK
    tiles = [
        kernels.new_tile(
            address,
            rows=method.rows + noise,
            drawn=noise,
            observed=observed,
            width=width,
            chunk=chunk,
            lags=lags[0],
            apart=lags[1],
            kept=_kept(address, width, length, every),
            precision=method.precision,
        )
        for address, width, length in shares
    ]
    return tiles, [length for _, _, length in shares], chunk


def _kept(address: Sequence[int], width: int, length: int, every: int) -> tuple[int, int]:
    """Rows and columns of what a tile keeps: trajectories by readouts, or one row of draws."""
    if not every:
        return width, 0
    if address[3]:
        first, last = address[0], address[0] + width * length
        return 1, -(-last // every) - -(-first // every)
    return width, -(-length // every)


def rounds(total: int, chunk: int, interrupted: Callable[[], bool]) -> Iterator[int]:
    """Cut ``total`` steps into rounds that take about as long as one wants to wait: yields where each ends.

    Every round but the last is a whole number of chunks, so that its length changes no bit.
    """
    done, size = 0, chunk
    while done < total and not interrupted():
        started = time.perf_counter()
        done = min(total, done + size)
        yield done
        if time.perf_counter() - started < _ROUND:
            size *= 4


@contextmanager
def parallel(threads: int) -> Iterator[Callable[[Callable[[int], None], range], None]]:
    """A parallel ``for``, with BLAS held to one thread: tiles are what is shared out."""
    with one_blas_thread():
        if threads == 1:

            def one_by_one(work: Callable[[int], None], numbers: range) -> None:
                for number in numbers:
                    work(number)

            yield one_by_one
            return
        with ThreadPoolExecutor(threads) as pool:

            def side_by_side(work: Callable[[int], None], numbers: range) -> None:
                for done in [pool.submit(work, number) for number in numbers]:
                    done.result()

            yield side_by_side


def _so_far(tiles: list[Tile], lengths: list[int], done: int) -> int:
    return sum(tile.width * min(done, length) for tile, length in zip(tiles, lengths, strict=True))


def _gather(
    method: Method, tiles: list[Tile], lengths: list[int], done: int, lags: tuple[int, int], every: int, observed: int
) -> Sums:
    """Add up the sums of all tiles, in order, and lift them to the probes."""
    taken = [min(done, length) for length in lengths]
    total, products = np.zeros(observed), np.zeros((lags[0] + 1, observed, observed))
    for tile in tiles:
        total += tile.total
        products += tile.products
    # The loops leave one triangle alone.
    products[0] = np.tril(products[0]) + np.tril(products[0], -1).T
    pairs = np.array(
        [
            sum(tile.width * max(0, many - lag * lags[1]) for tile, many in zip(tiles, taken, strict=True))
            for lag in range(lags[0] + 1)
        ]
    )
    kept = np.empty((0, 0, observed))
    if every:
        shapes = [
            _kept(tile.address.tolist(), tile.width, many, every) for tile, many in zip(tiles, taken, strict=True)
        ]
        parts = [tile.kept[:, : shape[1]] for tile, shape in zip(tiles, shapes, strict=True)]
        kept = np.concatenate(parts, axis=1 if method.name == "independent" else 0)  # one row of draws, or many
    ends = np.concatenate([tile.states(method.rows) for tile, many in zip(tiles, taken, strict=True) if many], axis=1)
    counted = total, products
    if method.lift is not None and observed:
        lift = method.lift
        total, products, kept = lift @ total, lift @ products @ lift.T, kept @ lift.T
    return Sums(taken[0], int(pairs[0]), total, products, pairs, kept, ends, *counted)
