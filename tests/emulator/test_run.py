"""Runs: the kernels against plain numpy, bits, memory, interrupts, autocovariances, and long runs against theory.

Statistical assertions: the covariances of long runs are worth more than 20000 independent samples, so that
an entry is Gaussian to a skewness of sqrt(8 / 20000) = 0.02, and 7 standard deviations are allowed: with the
skewness below 1e-10 an entry. No test looks at more than 500 entries, and they correlate: below 5e-8 each, and
below 3e-7 for this file. Whole matrices are tested by chi-square at a rate of 1e-9. Seeds are fixed and were not
chosen; what deviation would be caught is asserted beside it.
"""

import dataclasses
import functools
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg as la
from click.testing import CliRunner
from helpers import KT, T, difference, law_of, random_device, rc_pair, rlc_pair
from scipy import stats

import spu
from spu.base.errors import UsageError
from spu.cli import cli
from spu.device.device import Device
from spu.emulator.laws.estimate import about_sample_mean, trajectory_error
from spu.emulator.runs import run as run_module
from spu.emulator.runs.noise import normals
from spu.emulator.runs.run import (
    choose_method,
    dense_method,
    independent_method,
    modal_method,
    run,
    tile_width,
)

SIGMAS = 7.0
RATE = 1e-9


def chain(n: int, *, inductors: bool = True, temperature: float = T) -> Device:
    """Equal cells on a ring with a tail, coupled by capacitors (RLC) or resistors (RC): matrices commute."""
    device = Device(temperature=temperature)
    for k in range(n):
        more = {"inductance": 1e-5} if inductors else {}
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20, **more)
    for a, b in [(k, k + 1) for k in range(n - 1)] + ([(0, n - 2)] if n > 3 else []):
        value = 1e-10 * (1 + (3 * a + b) % 5)
        device.add_coupler(f"c{a}", f"c{b}", **({"capacitance": value} if inductors else {"conductance": 1e6 * value}))
    if not inductors:
        # Thermal noise of the couplers does commute with the conductances: it is a multiple of them.
        assert law_of(device).modes is not None
    return device


DEVICES = {
    "dense RLC": rlc_pair(T),
    "dense RC": rc_pair(),
    "non-reciprocal": random_device(np.random.default_rng(3), 5, temperature=T, transconductors=True),
    "modal RLC": chain(4),
    "modal RLC, odd": chain(3, temperature=0.0),
    "modal RC": chain(4, inductors=False),
    "modal RC, odd": chain(5, inductors=False, temperature=0.0),
}


def method_of(name: str, interval: float = 0.3):
    """As `simulate` chooses it; ``interval`` in units of the slowest time constant."""
    law = law_of(DEVICES[name])
    how = choose_method(law, interval * law.time_constants[0])
    assert how.name == ("modal" if name.startswith("modal") else "dense")
    return law, how


def scattered(n: int = 3) -> Device:
    """RLC cells with 10 % of scatter: nothing commutes, and states are few."""
    draw = np.random.default_rng(7)
    device = Device(temperature=T)
    for k in range(n):
        values = {"capacitance": 1e-9, "conductance": 1e-3, "inductance": 1e-5, "noise": 4e-20}
        device.add_cell(f"c{k}", **{key: value * draw.uniform(0.9, 1.1) for key, value in values.items()})
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=2e-10)
    return device


@pytest.mark.parametrize("interval", [1e-3, 0.03, 0.1, 1.0])
@pytest.mark.parametrize(("trajectories", "n"), [(1, 3), (64, 3), (1, 40)])
def test_short_intervals_are_right(interval, trajectories, n):
    """A scattered network at intervals below its fastest time: the parts of a step come in every memory order.

    12,000 readouts reach 8 standard deviations once in 1e11 runs.
    """
    law = law_of(scattered(n))
    how = dense_method(law, interval / np.abs(law.poles).max())
    found = run(how, trajectories=trajectories, steps=60, seed=1, every=1)
    y = plain_dense(how, trajectories=trajectories, steps=60, seed=1)
    assert np.abs(found.kept - y).max() < 1e-11 * np.abs(y).max()
    assert np.abs(y).max() < 8 * np.sqrt(np.diag(law.voltage_covariance).max())


# The kernels against plain numpy


def parts(step) -> tuple[np.ndarray, np.ndarray]:
    """Transition and noise factor of a dense step."""
    return step.matrix[:, : step.carried], step.matrix[:, step.carried :]


def plain_dense(how, *, trajectories, steps, seed):
    """Every readout (trajectories, steps, p), one trajectory and one step after another."""
    out = np.empty((trajectories, steps, len(how.step.observe)))
    (_, start), (transition, root) = parts(how.start), parts(how.step)
    width = max(start.shape[1], root.shape[1])
    for t in range(trajectories):
        xi = normals(seed, steps, width, trajectory=t)
        x = start @ xi[0, : start.shape[1]]
        out[t, 0] = how.step.observe @ x
        for k in range(1, steps):
            x = transition @ x + root @ xi[k, : root.shape[1]]
            out[t, k] = how.step.observe @ x
    return out


def plain_modal(how, *, trajectories, steps, seed):
    systems, shown = len(how.step.root), how.step.shown
    out = np.empty((trajectories, steps, len(how.lift)))
    for t in range(trajectories):
        xi = normals(seed, steps, 2 * systems, trajectory=t).reshape(steps, systems, 2)
        x = np.einsum("sij,sj->si", how.start.root, xi[0])
        out[t, 0] = how.lift @ x[:, :shown].ravel()
        for k in range(1, steps):
            x = np.einsum("sij,sj->si", how.step.transition, x) + np.einsum("sij,sj->si", how.step.root, xi[k])
            out[t, k] = how.lift @ x[:, :shown].ravel()
    return out


def plain_sums(y: np.ndarray, lags: int):
    """Sum, products and pairs of (trajectories, steps, p) readouts."""
    steps = y.shape[1]
    products = [np.einsum("tki,tkj->ij", y[:, lag:], y[:, : max(0, steps - lag)]) for lag in range(lags + 1)]
    return y.sum(axis=(0, 1)), np.array(products), [len(y) * max(0, steps - lag) for lag in range(lags + 1)]


def assert_sums(found, y, lags, scale):
    total, products, pairs = plain_sums(y, lags)
    assert found.samples == y.shape[0] * y.shape[1] and found.readouts == y.shape[1]
    assert found.pairs.tolist() == pairs
    assert np.abs(found.total - total).max() < 1e-12 * scale * found.samples
    assert np.abs(found.products - products).max() < 1e-12 * scale**2 * found.samples


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(
    ("trajectories", "steps", "lags", "every"),
    [
        (1, 1, 2, 1),  # fewer readouts than lags
        (1, 700, 3, 7),  # chunks of 512 where modal
        (3, 250, 0, 1),
        (70, 40, 5, 3),  # tiles of 32, 32 and 6; chunks of 16 where modal
        (33, 1100, 1, 1101),  # several chunks where dense, and a tile of one
    ],
)
def test_kernels_against_numpy(name, trajectories, steps, lags, every, monkeypatch):
    _, how = method_of(name)
    plain = plain_modal if how.name == "modal" else plain_dense
    y = plain(how, trajectories=trajectories, steps=steps, seed=4)
    scale = np.abs(y).max()
    found = run(how, trajectories=trajectories, steps=steps, seed=4, lags=lags, every=every)
    assert found.kept.shape == (trajectories, -(-steps // every), y.shape[2])
    assert np.abs(found.kept - y[:, ::every]).max() < 1e-12 * scale
    assert_sums(found, y, lags, scale)
    monkeypatch.setattr(run_module, "_ROUND", 0.0)  # one chunk a round
    again = run(how, trajectories=trajectories, steps=steps, seed=4, lags=lags, every=every)
    for key in ("total", "products", "kept"):
        assert np.array_equal(getattr(found, key), getattr(again, key)), key


def test_chunks_are_cut_as_the_tests_think():
    """The sizes above do cut runs into several tiles and chunks, the last of them partial."""
    assert [tile_width(n) for n in (1, 33, 600, 1024, 10_000)] == [32, 32, 32, 64, 128]
    for name, steps in (("modal RLC", 40), ("dense RLC", 600)):
        _, how = method_of(name)
        tiles, lengths, chunk = run_module._tiles(how, 70, steps, (2, 1), 1, how.observed)
        assert [tile.width for tile in tiles] == [32, 32, 6]
        assert lengths == 3 * [steps]
        assert chunk == 32 and steps % chunk


def test_no_observation_steps_on():
    """`count=False` counts nothing, and asks nothing."""
    _, how = method_of("modal RLC")
    found = run(how, trajectories=3, steps=50, seed=4, count=False)
    assert found.samples == 150 and found.total.size == 0


def test_a_silent_circuit_is_silent():
    """Without noise a factor has no columns: nothing is added to a state that must start at zero, not at rubbish."""
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3)
    device.add_cell("b", capacitance=2e-9, conductance=2e-3)
    device.add_coupler("a", "b", conductance=1e-3)
    law = law_of(device)
    for how in (dense_method(law, 1e-7), independent_method(law)):
        found = run(how, trajectories=1, steps=1000, seed=0, every=1)
        assert not found.total.any() and not found.products.any() and not found.kept.any()


@pytest.mark.parametrize("name", [name for name in DEVICES if name.startswith("dense") or name == "non-reciprocal"])
def test_dense_steps_start_and_stay_in_the_stationary_law(name):
    """The law of the first readout, and of every further one (of modes: `test_modal_step_laws`)."""
    law, how = method_of(name)
    (nothing, start), (transition, root), observe = parts(how.start), parts(how.step), how.step.observe
    assert not nothing.size
    assert difference(start @ start.T, law.covariance) < 1e-12
    assert difference(observe @ law.covariance @ observe.T, law.voltage_covariance) < 1e-12
    after = transition @ law.covariance @ transition.T + root @ root.T
    assert difference(after, law.covariance) < 1e-12
    how = independent_method(law)
    assert difference(how.step.matrix @ how.step.matrix.T, law.voltage_covariance) < 1e-12


# Bits


@pytest.mark.parametrize("name", ["dense RLC", "modal RLC", "modal RC, odd", "independent"])
def test_bits_do_not_depend_on_threads_or_rounds(name, monkeypatch):
    law = law_of(DEVICES["dense RLC" if name == "independent" else name])
    independent = name == "independent"
    how = independent_method(law) if independent else method_of(name)[1]
    options = {"trajectories": 1, "steps": 9000} if independent else {"trajectories": 100, "steps": 1200}
    first = run(how, **options, seed=3, every=5, lags=2, threads=1)
    for threads, seconds in ((2, None), (3, None), (1, 0.0), (2, 1e9), (3, 0.0)):
        monkeypatch.setattr(run_module, "_ROUND", 0.1 if seconds is None else seconds)
        again = run(how, **options, seed=3, every=5, lags=2, threads=threads)
        assert again.samples == first.samples
        for key in ("total", "products", "pairs", "kept"):
            assert np.array_equal(getattr(first, key), getattr(again, key)), (threads, seconds, key)


def test_bits_of_simulate_do_not_depend_on_threads():
    first, again = (spu.simulate(chain(8), samples=20_000, lags=3, seed=2, threads=n) for n in (1, 3))
    for key in ("mean", "covariance", "autocovariance", "readouts"):
        assert np.array_equal(getattr(first, key), getattr(again, key)), key


@pytest.mark.parametrize("name", DEVICES)
def test_a_trajectory_does_not_depend_on_its_neighbours(name):
    """Bit by bit; what is lifted from modes to probes goes through BLAS, and is equal to rounding."""
    _, how = method_of(name, 0.05)
    many = run(how, trajectories=300, steps=100, seed=6, every=1).kept
    scale = np.abs(many).max() if how.lift is not None else 0.0
    for count in (1, 5, 40):
        few = run(how, trajectories=count, steps=100, seed=6, every=1).kept
        assert np.abs(few - many[:count]).max() <= 1e-12 * scale
    longer = run(how, trajectories=5, steps=1000, seed=6, every=1).kept
    assert np.abs(longer[:, :100] - many[:5]).max() <= 1e-12 * scale
    assert len(np.unique(many)) == many.size  # and no two trajectories are alike


# Independent draws


@pytest.mark.parametrize("samples", [1, 100, 256, 257, 1000, 20_000])
def test_independent_draws_are_in_order(samples):
    """Draw k is the root times the normals of step k, however the draws are shared among tiles."""
    law = law_of(DEVICES["non-reciprocal"])
    how = independent_method(law)
    y = normals(5, samples, how.step.matrix.shape[1]) @ how.step.matrix.T
    scale = np.abs(y).max()
    found = run(how, trajectories=1, steps=samples, seed=5, every=1)
    assert found.samples == samples
    assert np.abs(found.kept[0] - y).max() < 1e-12 * scale
    assert np.abs(found.total - y.sum(axis=0)).max() < 1e-12 * scale * samples
    assert np.abs(found.products[0] - y.T @ y).max() < 1e-12 * scale**2 * samples


@pytest.mark.parametrize("every", [2, 3, 7, 300, 30_000])
def test_independent_draws_are_kept_at_equal_distances(every):
    """Every so-manieth of all, not of each tile."""
    how = independent_method(law_of(DEVICES["dense RLC"]))
    for samples in (1000, 5003):
        whole = run(how, trajectories=1, steps=samples, seed=5, every=1).kept
        assert np.array_equal(run(how, trajectories=1, steps=samples, seed=5, every=every).kept, whole[:, ::every])


# Interrupts


class After:
    """Says yes when it is asked for the n-th time."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("rounds", [0, 1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_run_is_a_shorter_run(name, rounds, threads, monkeypatch):
    """Every sum is that of a run of exactly as many steps, its last steps included."""
    monkeypatch.setattr(run_module, "_ROUND", 0.0)
    _, how = method_of(name)
    options = {"trajectories": 70, "seed": 8, "lags": 3, "every": 4, "threads": threads}
    cut = run(how, steps=6000, interrupted=After(rounds), **options)
    assert 1 <= cut.readouts < 6000 and cut.samples == 70 * cut.readouts
    assert (cut.readouts == 1) == (rounds == 0)
    short = run(how, steps=cut.readouts, **options)
    assert short.pairs.tolist() == cut.pairs.tolist()
    assert cut.kept.shape == short.kept.shape
    scale = np.abs(short.kept).max()
    assert np.abs(cut.total - short.total).max() < 1e-12 * scale * cut.samples
    assert np.abs(cut.products - short.products).max() < 1e-12 * scale**2 * cut.samples
    assert np.abs(cut.kept - short.kept).max() < 1e-12 * scale


def test_interrupted_independent_draws_are_counted(monkeypatch):
    """Tiles are cut short: what was drawn is counted, and nothing else."""
    monkeypatch.setattr(run_module, "_ROUND", 0.0)
    how = independent_method(law_of(DEVICES["dense RLC"]))
    cut = run(how, trajectories=1, steps=1_000_000, seed=8, every=1, interrupted=After(1))
    assert 0 < cut.samples < 1_000_000 and cut.kept.shape[1] == cut.samples
    assert_sums(
        dataclasses.replace(cut, readouts=cut.samples),
        cut.kept,
        0,
        np.abs(cut.kept).max(),
    )


def test_progress_is_told():
    _, how = method_of("modal RLC")
    told = []
    run(how, trajectories=70, steps=3000, seed=0, progress=lambda done, wanted: told.append((done, wanted)))
    assert told[-1] == (210_000, 210_000)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {wanted for _, wanted in told} == {210_000}


# Memory


MEMORY = """
    import resource, sys
    sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
    import spu
    from helpers import T, rlc_pair, rc_pair
    from tests.emulator.test_run import chain

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)

    runs = [(rlc_pair(T), {{}}), (chain(3), {{}}), (rlc_pair(T), {{"trajectories": 1, "lags": 2}}),
            (rlc_pair(T), {{"independent": True}})]
    for device, options in runs:
        spu.simulate(device, samples=100_000, trace=0, **options)
    before = peak()
    for device, options in runs:
        done = spu.simulate(device, samples=10_000_000, trace=0, **options)
        assert done.readouts is None and 10_000_000 <= done.samples < 10_001_000
    print(peak() - before)
"""


def test_memory_does_not_grow_with_time():
    """Peak memory (MiB) of 1e7 readouts over that of 1e5, in a process of its own; two columns would be 160."""
    tests = str(Path(__file__).parents[1])
    script = textwrap.dedent(MEMORY).format(tests=tests)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 8.0


# Long runs against theory


def autocovariances(law, interval: float, upto: int) -> np.ndarray:
    """R(l) for l = 0..upto by powers of one step of the nodal drift's exponential, (upto + 1, p, p)."""
    step = la.expm(law.dense.A * (interval / law.dense.time))
    current, out = law.covariance @ law.dense.H.T, []
    for _ in range(upto + 1):
        out.append(law.dense.H @ current)
        current = step @ current
    return np.array(out)


def bartlett(R: np.ndarray, shift: int, steps: int, count: int) -> np.ndarray:
    """Variance of the mean over ``steps - shift`` pairs of ``y_i(t + shift) y_j(t)``, over all lags of both signs."""
    reach, pairs = len(R) - 1 - shift, steps - shift
    both = np.concatenate([np.swapaxes(R[:0:-1], 1, 2), R])  # R(-l) = R(l)^T
    middle = len(R) - 1
    total = 0.0
    for lag in range(-min(reach, pairs - 1), min(reach, pairs - 1) + 1):
        own = np.diag(both[middle + lag])
        crossed = both[middle + lag + shift] * both[middle + lag - shift].T
        total = total + (1 - abs(lag) / pairs) * (np.outer(own, own) + crossed)
    return total / (pairs * count)


@pytest.mark.parametrize("name", ["dense RLC", "dense RC", "non-reciprocal", "modal RLC", "modal RC"])
@pytest.mark.parametrize("method", ["modal", "dense"])
def test_autocovariance(name, method):
    """`simulate(lags=...)` at six lags against the law, entry by entry, by both methods.

    400000 readouts a quarter of the slowest time constant apart: correlations off by 0.05 are caught.
    """
    device = DEVICES[name]
    law = law_of(device)
    if method == "modal" and law.modes is None:
        with pytest.raises(UsageError, match="commute"):
            spu.simulate(device, samples=100, method="modal")
        return
    interval = 0.25 * law.time_constants[0]
    lags, count = 6, 40
    found = spu.simulate(
        device, samples=400_000, interval=interval, trajectories=count, lags=lags, seed=12, method=method, trace=0
    )
    assert found.method == method and found.autocovariance.shape == (lags + 1, len(law.sde.probes), len(law.sde.probes))
    assert np.array_equal(found.autocovariance[0], found.covariance)
    R = autocovariances(law, interval, 80)
    assert np.abs(R[-1]).max() < 1e-8 * np.abs(R[0]).max()
    assert difference(R[: lags + 1], law.autocovariance(np.arange(lags + 1) * interval)) < 1e-10
    size = np.sqrt(np.outer(np.diag(R[0]), np.diag(R[0])))
    for lag in range(lags + 1):
        sigma = np.sqrt(bartlett(R, lag, 10_000, count))
        assert (np.abs(found.autocovariance[lag] - R[lag]) / sigma).max() < SIGMAS, lag
        assert (SIGMAS * sigma / size).max() < 0.05
    # Sides are not mixed up: of a non-reciprocal device R(l) is not symmetric, by more than is allowed.
    if name == "non-reciprocal":
        assert (np.abs(R[1] - R[1].T) / sigma).max() > 2 * SIGMAS


def test_lags_choose_an_interval_that_shows_the_decay():
    """Up to three of the longest time constants, or a time constant each where there are few; what is given holds."""
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture="rc-resistive")
    slowest = law_of(device).slowest
    for lags, interval, samples in ((1, slowest, 10_000), (3, slowest, 10_000), (30, slowest / 10, 100_000)):
        run = spu.simulate(device, lags=lags, seed=1, trace=0)
        assert math.isclose(run.interval, interval, rel_tol=1e-9) and samples <= run.samples < samples + 64
    assert "30 lags reach over 3 of the longest time constant" in " ".join(str(run).split())
    R = run.autocovariance
    assert np.abs(R[-1]).max() < 0.1 * R[0].max()  # e^-3, and what 1,000 time constants leave of chance
    run = spu.simulate(device, lags=30, interval=slowest, seed=1, trace=0)
    assert run.interval == slowest and run.samples < 10_064
    run = spu.simulate(device, lags=30, samples=5000, seed=1, trace=0)
    assert (
        math.isclose(run.interval, slowest / 10, rel_tol=1e-9) and run.samples < 5064 and len(run.autocovariance) == 31
    )
    run = spu.simulate(spu.compile_problem([[2.0, -0.5], [-0.5, 1.0]], "spu8", ensemble=2), lags=30, seed=1, trace=0)
    assert 1 - 1e-9 <= 30 * run.interval / max(law.slowest for law in run.laws) <= 3 + 1e-9 and run.samples >= 100_000


def test_lags_of_what_rings_show_how_it_rings():
    """Eight readouts a period, as long as the lags reach over one time constant."""
    device = rlc_pair()
    law = law_of(device)
    pole = law.poles[np.argmax(law.poles.real)]
    period, slowest = 2 * np.pi / abs(pole.imag), law.slowest
    assert slowest > 4 * period
    many, few = (spu.simulate(device, lags=lags, samples=2000, seed=1, trace=0).interval for lags in (2000, 8))
    assert math.isclose(many, min(3 * slowest / 2000, period / 8), rel_tol=1e-9) and math.isclose(
        few, slowest / 8, rel_tol=1e-9
    )
    middle = int(10 * slowest / period)
    assert math.isclose(
        spu.simulate(device, lags=middle, samples=2000, seed=1, trace=0).interval, period / 8, rel_tol=1e-9
    )


@functools.cache
def large_law(n: int):
    """Of unequal cells, unequally coupled, most of them with inductors: nothing commutes."""
    return law_of(random_device(np.random.default_rng(n), n, temperature=T))


def whitened(covariance: np.ndarray, P: np.ndarray) -> np.ndarray:
    """``W P_hat W^T - 1`` with ``W P W^T = 1``."""
    root = np.linalg.inv(np.linalg.cholesky(P))
    return root @ covariance @ root.T - np.eye(len(P))


def assert_wishart(covariance, P, samples) -> float:
    """Deviations of N independent Gaussian samples, whitened, as one chi-square of p (p + 1) / 2 degrees of freedom.

    Its variance exceeds chi-square's own by terms of the order p / N, which the bound (1e-9 for
    chi-square) has to spare here: it is doubled in units of its distance from the mean.
    """
    deviation = whitened(covariance, P)
    p = len(P)
    weights = samples * (np.tril(deviation, -1) ** 2).sum() + samples / 2 * (np.diag(deviation) ** 2).sum()
    freedom = p * (p + 1) // 2
    low, high = stats.chi2(freedom).ppf(RATE), stats.chi2(freedom).isf(RATE)
    assert freedom - 2 * (freedom - low) < weights < freedom + 2 * (high - freedom)
    return 2 * (high - freedom)


@pytest.mark.parametrize(("n", "samples"), [(2, 2_000_000), (16, 1_000_000), (200, 60_000)])
def test_the_whole_covariance_of_independent_readouts(n, samples):
    """Dense steps of 40 of the slowest time constants, so that readouts are independent, against Lyapunov.

    An error E of the whole covariance adds N |E|^2 / 2 (whitened) to a chi-square of n (n + 1) / 2 degrees of freedom:
    caught are relative errors of 0.9 % in one direction at n = 2, of 2.3 % at 16 and of 32 % at 200, or of
    2.3 % in all 200 at once.
    """
    law = large_law(n)
    how = dense_method(law, 40 * law.time_constants[0])
    found = run(how, trajectories=256, steps=-(-samples // 256), seed=31)
    P = law.voltage_covariance
    spare = assert_wishart(found.products[0] / found.samples, P, found.samples)
    caught = np.sqrt(2 * spare / found.samples)
    assert caught < {2: 0.0092, 16: 0.023, 200: 0.32}[n]
    # Its mean, as a chi-square of n degrees of freedom.
    mean = np.linalg.solve(np.linalg.cholesky(P), found.mean)
    assert stats.chi2(n).sf(found.samples * mean @ mean) > RATE


@pytest.mark.parametrize(("n", "samples"), [(2, 2_000_000), (16, 1_000_000), (200, 40_000)])
def test_correlated_long_runs(n, samples):
    """Covariance and lag 1 of dense runs, 0.5 of the slowest time constant apart, against Lyapunov and expm.

    Random directions, so that every entry counts: each is a quadratic form of known variance (Bartlett).
    """
    law = large_law(n)
    interval, count = 0.5 * law.time_constants[0], 256
    steps = -(-samples // count)
    assert law.modes is None
    found = run(dense_method(law, interval), trajectories=count, steps=steps, seed=32, lags=1)
    draw = np.random.default_rng(n)
    P = law.voltage_covariance
    W = draw.standard_normal((8, n)) / np.sqrt(np.diag(P))
    if n > 8:
        W = np.concatenate([W, np.eye(n)[:: n // 8] / np.sqrt(np.diag(P))[:, None][:: n // 8]])
    R = W @ autocovariances(law, interval, 40) @ W.T
    assert np.abs(R[-1]).max() < 1e-8 * np.abs(R[0]).max()
    for lag in (0, 1):
        sigma = np.sqrt(bartlett(R, lag, steps, count))
        deviation = W @ (found.products[lag] / found.pairs[lag]) @ W.T - R[lag]
        assert (np.abs(deviation) / sigma).max() < SIGMAS
        size = np.sqrt(np.outer(np.diag(R[0]), np.diag(R[0])))
        assert (SIGMAS * sigma / size).max() < {2: 0.02, 16: 0.02, 200: 0.07}[n]
    assert (np.abs(R[1]) / sigma).max() > 3 * SIGMAS  # there is a lag to be seen


def test_equipartition_of_a_long_modal_run():
    """A thermal network of 16 RLC cells: C P = kT, as one chi-square over 1e6 independent readouts.

    kT off by 0.25 %, or a mode off by 2.3 %, would show.
    """
    device = chain(16)
    device.cell_columns.arrays["noise"][:] = 0.0
    law = law_of(device)
    how = modal_method(law.modes, 40 * law.time_constants[0])
    found = run(how, trajectories=256, steps=4000, seed=33)
    C = np.zeros((16, 16))
    for cell, k in zip(device.cells, range(16), strict=True):
        C[k, k] = cell.values["capacitance"]
    for coupler in device.couplers:
        u = np.eye(16)[int(coupler.a[1:])] - np.eye(16)[int(coupler.b[1:])]
        C += coupler.values["capacitance"] * np.outer(u, u)
    P = KT * np.linalg.inv(C)
    spare = assert_wishart(found.products[0] / found.samples, P, found.samples)
    assert np.sqrt(2 * spare / found.samples) < 0.023
    energy = np.trace(C @ found.products[0]) / found.samples / 16
    assert abs(energy / KT - 1) < SIGMAS * math.sqrt(2 / (16 * found.samples)) < 0.0025


def test_effective_samples_of_simulate():
    """200 simulations: the mean of their squared errors is the one that each expects.

    A squared error over its expectation spreads at most as a chi-square of one degree of freedom (but for the
    kurtosis of 200 effective samples); 200 of them exceed 1.9 on average, or fall below 0.4, with a probability
    below 1e-11. Were the count of readouts taken for that of effective samples, the ratio would be 4.2.
    """
    device = spu.compile(spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]]))
    interval = 0.04 * spu.predict(device).time_constants[0]
    runs = [
        spu.simulate(device, samples=1000, interval=interval, trajectories=2, seed=seed, trace=0, threads=1)
        for seed in range(200)
    ]
    ratio = np.mean([run.relative_error**2 for run in runs]) / runs[0].expected_relative_error ** 2
    assert 0.4 < ratio < 1.9
    assert 1000 / runs[0].effective_samples > 4.0
    law, P = spu.predict(device).law, spu.predict(device).covariance
    transform = law.sde.readout.matrix.toarray()
    taken = {"steps": 500, "interval": interval, "count": 2, "transform": transform}
    error = trajectory_error(law, **taken)
    expected = (np.trace(P) ** 2 + (P**2).sum()) / runs[0].effective_samples
    assert abs(expected / error.covariance_variance.sum() - 1) < 1e-9
    claimed = about_sample_mean(law, error, P, **taken)
    assert difference(runs[0].covariance_error ** 2, claimed.covariance_variance) < 1e-9


# The command line


KEYS = {"method", "method_reason", "trace", "autocovariance", "samples", "complete", "output"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chain(3).write("modal.json")
    rlc_pair(T).write("dense.json")
    return tmp_path


def simulated(*args):
    result = CliRunner().invoke(cli, ["simulate", *map(str, args), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("file", "method", "name"),
    [("modal", None, "modal"), ("modal", "modal", "modal"), ("modal", "dense", "dense"), ("dense", None, "dense")],
)
def test_method_on_the_command_line(folder, file, method, name):
    found = simulated(f"{file}.json", "--samples", 200, *([] if method is None else ["--method", method]))
    assert set(found) >= KEYS
    assert found["method"] == name and len(found["method_reason"]) > 20
    assert found["autocovariance"] is None and found["trace"] == 0 and found["output"] is None
    text = CliRunner().invoke(cli, ["simulate", f"{file}.json", "--samples", "200", "--method", name]).stdout
    assert f"method: {name}: exact steps of" in text


def test_a_method_that_does_not_fit(folder):
    result = CliRunner().invoke(cli, ["simulate", "dense.json", "--method", "modal", "--json"])
    assert result.exit_code == 2
    assert "do not commute" in json.loads(result.stdout)["error"]["message"]


def test_lags_and_trace_on_the_command_line(folder):
    options = ["--samples", 2000, "--trajectories", 3, "--lags", 4, "--seed", 5]
    found = simulated("modal.json", *options, "-o", "all.npz", "--trace", 1)
    thin = simulated("modal.json", *options, "-o", "thin.npz", "--trace", 10)
    assert (found["trace"], thin["trace"]) == (1, 10)
    assert found["covariance"] == thin["covariance"] and found["autocovariance"] == thin["autocovariance"]
    with np.load("all.npz") as every, np.load("thin.npz") as tenth:
        assert set(every.files) - {"spu_samples"} == {
            *("samples", "variables", "interval", "trace", "seed", "trajectories", "complete", "device_hash"),
            *("autocovariance", "readouts", "times", "time_step"),
        }
        assert every["samples"].shape == (3 * 667, 3) and tenth["samples"].shape == (3 * 67, 3)
        assert np.array_equal(tenth["samples"].reshape(3, 67, 3), every["samples"].reshape(3, 667, 3)[:, ::10])
        assert np.array_equal(every["autocovariance"], np.array(found["autocovariance"]))
        assert (every["trace"], tenth["trace"], tenth["seed"], tenth["trajectories"]) == (1, 10, 5, 3)
        y = every["samples"].reshape(3, 667, 3)
        y = y - y.mean(axis=(0, 1))
        for lag in range(5):
            products = np.einsum("tki,tkj->ij", y[:, lag:], y[:, : 667 - lag]) / (3 * (667 - lag))
            # About the mean of all readouts, not of those paired: they differ by lag / steps of the mean, squared.
            assert np.abs(products - every["autocovariance"][lag]).max() < 1e-3 * np.abs(every["autocovariance"]).max()
    assert np.load("all.npz")["autocovariance"].shape == (5, 3, 3)
    simulated("modal.json", *options[:4], "-o", "plain.npz")
    with np.load("plain.npz") as plain:
        assert "autocovariance" not in plain.files


def test_trace_of_independent_samples_on_the_command_line(folder):
    options = ["dense.json", "--independent", "--samples", 1001, "--seed", 5]
    simulated(*options, "-o", "all.npz")
    simulated(*options, "-o", "thin.npz", "--trace", 10)
    with np.load("all.npz") as every, np.load("thin.npz") as tenth:
        assert np.array_equal(tenth["samples"], every["samples"][::10])


def test_threads_on_the_command_line(folder):
    one, three = (simulated("modal.json", "--samples", 30_000, "--lags", 2, "--threads", n) for n in (1, 3))
    timed = ("seconds",)
    assert {k: v for k, v in one.items() if k not in timed} == {k: v for k, v in three.items() if k not in timed}
    assert CliRunner().invoke(cli, ["simulate", "modal.json", "--threads", "0"]).exit_code == 2


def test_ctrl_c_of_a_long_run_without_trace(folder):
    """1e15 readouts would take a month: those of the first second are printed, with error bars of so many."""
    command = [sys.executable, "-c", "import spu.cli; spu.cli.main()", "simulate", "modal.json"]
    command += ["--samples", str(10**15), "--json", "--no-output", "--lags", "2"]
    terminal, theirs = pty.openpty()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    while re.search(rb"\d\d:\d\d:\d\d", shown) is None:  # the time left, known after the first readouts
        shown += os.read(terminal, 1000)
    time.sleep(1.0)  # the first round may be short
    child.send_signal(signal.SIGINT)
    stdout, _ = child.communicate(timeout=60)
    os.close(terminal)
    assert child.returncode == 130
    found = json.loads(stdout)
    assert found["complete"] is False and 0 < found["samples"] < 10**15
    assert found["samples"] % found["trajectories"] == 0
    assert np.shape(found["autocovariance"]) == (3, 3, 3)
    # The sums are whole: the covariance is the law's, to a bound of 7 sigma from its own error bars.
    exact = spu.predict(Device.read("modal.json"))
    sigmas = np.abs(np.array(found["covariance"]) - exact.covariance) / np.array(found["covariance_error"])
    assert found["effective_samples"] > 20_000
    assert sigmas.max() < SIGMAS
