"""The program's own guard: bounds of tails against simulation, clean runs, and errors planted in every linear kernel.

A planted error either shifts the law by more than the run resolves, and the guard says so, or a comparison with plain
numpy on the same noise sees it. Clean runs may not raise: each does with a probability below 1e-9.
"""

import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import law_of
from scipy import stats

import spu
from spu.base import selected_inverse
from spu.base.errors import InternalError
from spu.cli import cli
from spu.device.device import Device
from spu.emulator.laws.large import Midpoint
from spu.emulator.laws.propagate import exact_step, factor
from spu.emulator.laws.reach import hushed, silent
from spu.emulator.runs import guard, kernels, large_run
from spu.emulator.runs import run as run_module
from spu.emulator.runs.guard import (
    Tests,
    above,
    around,
    below,
    either,
    memory_of,
    memory_of_systems,
    normal,
)
from spu.emulator.runs.run import modal_method, run
from tests.emulator.test_large_laws import DEVICES as LARGE_DEVICES
from tests.emulator.test_large_laws import small_is_large, sparse_law  # noqa: F401 - a fixture
from tests.emulator.test_run import DEVICES, chain, method_of, plain_dense, plain_modal, scattered

Tests.__test__ = False  # no test class


# Tails


@pytest.mark.parametrize(
    "weights", [[1.0], [1.0, 0.2], [0.5] * 40, [3.0, 1.0, 1.0, 0.1, 0.1], list(0.9 ** np.arange(60))]
)
def test_bounds_are_no_smaller_than_tails(weights):
    """Chi-squared tails where all weights are equal, 400,000 sums where not: a frequency to 5 sigma (1e-6)."""
    w, draws = np.array(weights), 400_000 if len(weights) < 40 else 100_000
    squares, largest, mean = np.array((w**2).sum()), np.array(w.max()), np.array(w.sum())
    q = np.sort(np.random.default_rng(3).standard_normal((draws, len(w))) ** 2 @ w)
    for x in np.linspace(0.1, 8.0, 30) * np.sqrt(2 * squares):
        upper = 1.0 - np.searchsorted(q, mean + x) / draws, above(x, squares, largest)
        lower = np.searchsorted(q, mean - x) / draws, below(x, squares, mean)
        for p, bound in (upper, lower):
            assert p - 5 * np.sqrt(p / draws) <= np.exp(bound)
    if len(set(weights)) == 1:
        exact = stats.chi2(len(w), scale=w[0])
        for x in np.linspace(0.01, 60.0, 300) * np.sqrt(squares):
            assert exact.logsf(mean + x) <= above(x, squares, largest)
            assert exact.logcdf(mean - x) <= below(x, squares, mean)
        # And are not far above: within a factor of 200 down to 1e-14.
        x = exact.isf(1e-14) - mean
        assert above(x, squares, largest) < np.log(1e-14) + np.log(200.0)


def test_bounds_of_products():
    """``sum y z`` of independent normals: weights of both signs, a half each."""
    draw = np.random.default_rng(4)
    for n in (1, 5, 50):
        q = np.abs((draw.standard_normal((200_000, n)) * draw.standard_normal((200_000, n))).sum(axis=1))
        for x in np.linspace(0.5, 8.0, 20) * np.sqrt(n):
            p = (q >= x).mean()
            assert p - 5 * np.sqrt(p / 200_000) <= np.exp(either(np.array(x), np.array(n / 2), np.array(0.5)))


def test_what_is_no_number_is_never_by_chance():
    nan, one = np.array(np.nan), np.array(1.0)
    products = either(nan, one, one)
    for log_p in (above(nan, one, one), below(nan, one, one), products, around(nan, one, one, one), normal(nan, one)):
        tests = Tests()
        tests.add(log_p, lambda _: "nan")
        assert tests.p == 0.0
        with pytest.raises(InternalError, match=r"not of its circuit's law: nan \(never by chance"):
            tests.judge()
    # Nothing may move where nothing is to: exact constants are exact.
    zero = np.array(0.0)
    assert above(one, zero, zero) == below(one, zero, zero) == normal(one, zero) == -np.inf
    assert above(zero, zero, zero) == below(zero, zero, zero) == normal(zero, zero) == 0.0


@pytest.mark.parametrize("name", ["dense RLC", "dense RC", "non-reciprocal", "modal RLC", "modal RC", "scattered"])
@pytest.mark.parametrize(("interval", "steps"), [(1e-3, 40), (0.05, 150), (0.3, 200), (2.0, 60), (1.0, 1)])
def test_memories_are_bounds(name, interval, steps):
    """Sums of squares and largest eigenvalues of whole covariance matrices over time, of random directions."""
    law = law_of(scattered(2) if name == "scattered" else DEVICES[name])
    h = interval * law.time_constants[0]
    W, back, _, _ = guard.whitener(factor(law.covariance), guard.known(law))
    G = W @ exact_step(law.dense, h).transition @ back
    directions = np.random.default_rng(2).standard_normal((4, len(G)))
    directions[0] = np.eye(len(G))[0]
    directions /= np.sqrt((directions**2).sum(axis=1))[:, None]
    memory = memory_of(G, directions, 3, steps)
    lag = np.abs(np.arange(steps)[:, None] - np.arange(steps))
    r, power = [], np.eye(len(G))
    for _ in range(steps):
        r.append((directions @ power * directions).sum(axis=1))
        power = G @ power
    for k, own in enumerate(np.array(r).T):
        values = np.linalg.eigvalsh(own[lag])
        assert values[-1] <= memory.largest[k] * (1 + 1e-9) <= steps * (1 + 1e-9)
        assert 3 * (values**2).sum() <= memory.squares[k] * (1 + 1e-9)
        assert memory.largest[k] <= memory.overall * (1 + 1e-9)
    if law.modes is not None:
        how = modal_method(law.modes, h)
        memory = memory_of_systems(how.step.transition, how.step.shown, 3, steps)
        r = law.modes.correlation(np.arange(steps) * h)
        for k in range(r.shape[1]):
            values = np.linalg.eigvalsh(r[:, k][lag])
            assert values[-1] <= memory.largest[k] * (1 + 1e-9)
            assert 3 * (values**2).sum() <= memory.squares[k] * (1 + 1e-9)


def test_memory_of_the_midpoint_is_a_bound():
    """Of every cell of a large network, whose modes are known here."""
    for name in ("rlc", "rc", "rc warm", "rlc warm"):
        law = sparse_law(LARGE_DEVICES[name]())
        for share, substeps, steps in ((0.1, 3, 30), (2.0, 1, 50), (20.0, 2, 10)):
            midpoint = Midpoint(law.sde, share * law.time_constants[1])
            memory = guard.memory_of_midpoint(law, midpoint, substeps, 2, steps)
            E, F, half = law.sde.E.toarray(), law.sde.F.toarray(), midpoint.step / 2
            step = np.linalg.matrix_power(np.linalg.solve(E - half * F, E + half * F), substeps)
            P = law_covariance(law)
            R, current = [], P
            for _ in range(steps):
                R.append(np.diag(current)[: law.coupling.n] / np.diag(P)[: law.coupling.n])
                current = step @ current
            lag = np.abs(np.arange(steps)[:, None] - np.arange(steps))
            for own in np.array(R).T[::5]:
                values = np.linalg.eigvalsh(own[lag])
                assert values[-1] <= memory.largest[0] * (1 + 1e-9)
                assert 2 * (values**2).sum() <= memory.squares[0] * (1 + 1e-9)


def law_covariance(law):
    """(states, states) of a large network's law, by drawing unit normals."""
    root = law.draw(np.eye(law.normals)) - law.draw(np.zeros((law.normals, 1)))
    return root @ root.T


# Clean runs


def test_p_values_of_clean_runs(judged):
    """250 runs of every method, 1 to 100 trajectories, 1 effective sample to thousands: p-values as rare as they say.

    Of n p-values bounded by uniform ones more than k lie below a with a binomial probability: 1e-9 for each a.
    """
    draw = np.random.default_rng(8)
    devices = {**DEVICES, "scattered": scattered(3), "chain": chain(12)}
    laws = {name: law_of(device) for name, device in devices.items()}
    for number in range(250):
        name = list(devices)[number * len(devices) // 250]  # one after another: a law is worked out once
        fastest, slowest = 1 / np.abs(laws[name].poles).max(), laws[name].time_constants[0]
        interval = np.exp(draw.uniform(np.log(1e-3 * fastest), np.log(30 * slowest)))
        count = int(draw.choice([1, 2, 3, 7, 8, 9, 16, 33, 64, 100]))
        steps = int(draw.choice([1, 2, 5, 14, 30, 100]))
        options = {"interval": interval, "trajectories": count, "lags": int(draw.choice([0, 2]))}
        if number % 10 == 9:
            options = {"independent": True}
        spu.simulate(
            devices[name], samples=count * steps, seed=number, trace=int(draw.choice([0, 1, 3])), threads=1, **options
        )
    p = np.array(judged)
    assert len(p) == 250
    for a in (1e-6, 1e-3, 0.01, 0.05, 0.2, 0.5):
        assert (p <= a).sum() <= stats.binom(250, a).isf(1e-9)


@pytest.mark.usefixtures("small_is_large")
def test_p_values_of_clean_large_runs(judged):
    draw = np.random.default_rng(9)
    for number in range(60):
        if number % 12 == 0:  # one after another: a law is worked out once
            device = LARGE_DEVICES[["rlc", "rlc warm", "rc", "rc warm", "transconductors"][number // 12]]()
            slowest = law_of(device).slowest
        count, steps = int(draw.choice([1, 2, 16, 17, 40])), int(draw.choice([1, 3, 14]))
        options = {"trajectories": count, "interval": slowest * np.exp(draw.uniform(-6, 2))}
        options = {"independent": True} if number % 6 == 5 else options
        run_ = spu.simulate(device, samples=count * steps, seed=number, **options)
        assert np.isfinite(run_.mean_error).all() and (run_.mean_error > 0).all()
        assert 0 < run_.effective_samples <= run_.samples
    p = np.array(judged)
    for a in (1e-6, 1e-3, 0.01, 0.05, 0.2, 0.5):
        assert (p <= a).sum() <= stats.binom(len(p), a).isf(1e-9)


# Planted errors


class Planted:
    """`kernels.drivers` with an error: taken one step at a time, so that it is made at every step.

    ``law`` changes what is read, ``before`` is told the number of a step, ``after`` changes the tile; the first readout
    (step 0) is left alone unless ``first``.
    """

    def __init__(self, *, law=None, counter=None, after=None, tile=None, first=False):
        self.law, self.counter, self.after, self.tile, self.first = law, counter, after, tile, first
        self.drivers = kernels.drivers

    def __call__(self, tiles, law, key, precision):
        return [self.bound(tile, law, key, precision) for tile in tiles]

    def bound(self, tile, law, key, precision):
        if self.tile is not None:
            self.tile(tile)
        starting = not (law.carried if isinstance(law, kernels.DenseStep) else law.transition.any())
        if self.law is not None and (self.first or not starting):
            law = self.law(law)
        (call,) = self.drivers([tile], law, key, precision)

        def one_by_one(first, steps, every):
            for k in range(first, first + steps):
                old = tile.state.copy()
                call(k if self.counter is None else self.counter(k), 1, every)
                if self.after is not None and (self.first or k):
                    self.after(tile, old, k)

        return one_by_one


def change(law, *, transition=None, noise=None):
    """A law with another transition or noise, whatever its kind."""
    if isinstance(law, kernels.ModalStep):
        move, root = law.transition.copy(), law.root.copy()
        move = move if transition is None else transition(move)
        return law._replace(transition=np.ascontiguousarray(move), root=root if noise is None else noise(root))
    n = law.carried
    move, root = law.matrix[:, :n].copy(), law.matrix[:, n:].copy()
    move = move if transition is None or not n else transition(move)
    return law._replace(matrix=np.ascontiguousarray(np.hstack([move, root if noise is None else noise(root)])))


def entry(matrix, factor):
    """One wrong entry: the largest."""
    matrix = matrix.copy()
    matrix.flat[np.abs(matrix).argmax()] *= factor
    return matrix


def stale(tile, old, k):
    if k % 2 == 0:
        tile.state[:, 0] = old[:, 0]


def mixed(tile, _old, _k):
    tile.state[:] = np.roll(tile.state, 1, axis=2)


def edge(tile, _old, _k):
    tile.state[-1, :, (tile.width - 1) % tile.state.shape[2]] = 0.0


def nan_at(tile, _old, k):
    if k == 7:
        tile.state[0, 0, 0] = np.nan


def counted_twice(tile, _old, k):
    if k % 10 == 0:
        tile.products[0] *= 1.02


PLANTS = {
    "transposed": lambda: Planted(law=lambda law: change(law, transition=lambda m: np.swapaxes(m, -1, -2).copy())),
    "misread as C": lambda: Planted(
        law=lambda law: change(law, transition=lambda m: np.roll(m.reshape(-1), 1).reshape(m.shape))
    ),
    "one wrong entry": lambda: Planted(law=lambda law: change(law, transition=lambda m: entry(m, 0.7))),
    "noise 1.05": lambda: Planted(law=lambda law: change(law, noise=lambda m: 1.05 * m), first=True),
    "one wrong noise": lambda: Planted(law=lambda law: change(law, noise=lambda m: entry(m, 1.2))),
    "stale block": lambda: Planted(after=stale),
    "mixed trajectories": lambda: Planted(after=mixed),
    "tile edge": lambda: Planted(after=edge),
    "repeated counter": lambda: Planted(counter=lambda k: min(k, 1)),
    "counter of pairs": lambda: Planted(counter=lambda k: k // 2),
    "same noise in all tiles": lambda: Planted(tile=lambda tile: tile.address.__setitem__(1, 0)),
    "not a number": lambda: Planted(after=nan_at),
    "counted twice": lambda: Planted(after=counted_twice),
    "sign": lambda: Planted(law=lambda law: change(law, transition=lambda m: -m)),
}

SMALL = {
    "noise 1.0001": lambda: Planted(law=lambda law: change(law, noise=lambda m: 1.0001 * m)),
    "one entry 0.9999": lambda: Planted(law=lambda law: change(law, transition=lambda m: entry(m, 0.9999))),
}


def planted_run(monkeypatch, plant, name, *, lags=2, every=0, count=64, steps=1500):
    law, _ = method_of(name)
    monkeypatch.setattr(run_module.kernels, "drivers", plant())
    device = DEVICES[name]
    try:
        return spu.simulate(
            device,
            samples=count * steps,
            interval=0.3 * law.time_constants[0],
            trajectories=count,
            lags=lags,
            trace=every,
            threads=1,
        )
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize("name", ["dense RLC", "non-reciprocal", "modal RLC", "modal RC, odd"])
@pytest.mark.parametrize("plant", PLANTS)
def test_planted_errors_are_caught(name, plant, monkeypatch):
    """96,000 readouts, with lags: whatever shifts the law by a per cent of a variance, or by 5 % of a correlation."""
    if plant == "transposed" and name != "non-reciprocal":
        return  # turns the sign of every current: of a reciprocal network it is the same law, and no guard can see it
    assert planted_run(monkeypatch, lambda: Planted(), name).samples == 96_000
    with pytest.raises(InternalError, match=r"a run is not of its circuit's law: .*please report"):
        planted_run(monkeypatch, PLANTS[plant], name)
    assert InternalError.exit_status == 70 and InternalError.kind == "internal"


@pytest.mark.parametrize("name", ["dense RLC", "modal RLC"])
@pytest.mark.parametrize("plant", PLANTS | SMALL)
def test_planted_errors_differ_from_plain_numpy(name, plant, monkeypatch):
    """All of them, and those that no run resolves: on the same noise what is kept is not what numpy finds."""
    _, how = method_of(name)
    plain = plain_modal if how.name == "modal" else plain_dense
    y = plain(how, trajectories=40, steps=60, seed=4)
    scale = np.abs(y).max()
    clean = run(how, trajectories=40, steps=60, seed=4, every=1)
    assert np.abs(clean.kept - y).max() < 1e-12 * scale
    monkeypatch.setattr(run_module.kernels, "drivers", (PLANTS | SMALL)[plant]())
    found = run(how, trajectories=40, steps=60, seed=4, every=1)
    kept = np.abs(found.kept - y).max()
    products = np.abs(found.products - clean.products).max()
    assert not kept < 1e-7 * scale or not products < 1e-7 * np.abs(clean.products).max()


@pytest.mark.parametrize("plant", ["noise 1.05", "one wrong noise", "counted twice"])
def test_planted_errors_of_independent_draws(plant, monkeypatch):
    monkeypatch.setattr(
        run_module.kernels,
        "drivers",
        PLANTS[plant]()
        if plant != "one wrong noise"
        else Planted(law=lambda law: change(law, noise=lambda m: entry(m, 1.05)), first=True),
    )
    with pytest.raises(InternalError):
        spu.simulate(DEVICES["dense RLC"], samples=200_000, independent=True, threads=1)


@pytest.mark.parametrize("count", [1, 2])
def test_planted_errors_in_few_trajectories(count, monkeypatch):
    """One trajectory, whose readouts are not independent: the guard still resolves a tenth of a variance."""
    tenth = Planted(law=lambda law: change(law, noise=lambda m: entry(m, 1.4)))  # of a variance, by its largest part
    for plant in (PLANTS["one wrong entry"], PLANTS["repeated counter"], lambda: tenth):
        with pytest.raises(InternalError):
            planted_run(monkeypatch, plant, "dense RLC", count=count, steps=40_000 // count, lags=0)


def test_the_error_of_the_wrong_order(monkeypatch):
    """Parts of a step in Fortran's order, read as C's: what made variances of 1e20 with tiny error bars."""
    device = scattered(3)

    def misread(law):
        return law._replace(matrix=np.ascontiguousarray(law.matrix.ravel(order="F").reshape(law.matrix.shape)))

    for interval in (1e-9, 3e-8):
        monkeypatch.setattr(run_module.kernels, "drivers", Planted(law=misread))
        with pytest.raises(InternalError):
            spu.simulate(device, samples=640, interval=interval, threads=1)
        monkeypatch.undo()


def test_an_error_of_our_own_on_the_command_line(monkeypatch, tmp_path):
    """Exit status 70, one JSON object, one line with the figures, and no result."""
    device = tmp_path / "device.json"
    DEVICES["dense RLC"].write(device)
    monkeypatch.setattr(run_module.kernels, "drivers", PLANTS["one wrong entry"]())
    plain = CliRunner().invoke(cli, ["simulate", str(device), "--samples", "64000", "--interval", "3e-7"])
    assert plain.exit_code == 70 and not plain.stdout
    assert plain.stderr.count("\n") == 1 and "please report" in plain.stderr
    coded = CliRunner().invoke(cli, ["simulate", str(device), "--samples", "64000", "--interval", "3e-7", "--json"])
    assert coded.exit_code == 70
    error = json.loads(coded.stdout)["error"]
    assert error["kind"] == "internal" and "a run is not of its circuit's law" in error["message"]
    assert len(error["message"]) < 400


def test_what_was_kept_is_held(monkeypatch):
    """Readouts kept under the wrong trajectory are not those of its last state."""
    gather = run_module._gather

    def shuffled(*args):
        sums = gather(*args)
        return run_module.Sums(**{**vars(sums), "kept": np.roll(sums.kept, 1, axis=0)})

    monkeypatch.setattr(run_module, "_gather", shuffled)
    for name in ("dense RLC", "modal RLC"):
        with pytest.raises(InternalError, match="what was kept of the last readouts"):
            planted_run_kept(name)


def planted_run_kept(name):
    return spu.simulate(DEVICES[name], samples=640, trajectories=64, trace=1)


# Large networks


def without_last_column(solve):
    def wrong(*factor_and_x):
        x = factor_and_x[-1]
        kept = x[:, -1].copy()
        solve(*factor_and_x)
        x[:, -1] = kept

    return wrong


def with_one_wrong_entry(solve):
    def wrong(*factor_values_x):
        *factor, values, x = factor_values_x
        solve(*factor, entry(values, -1.0), x)

    return wrong


def with_one_wrong_pivot(factorise):
    def wrong(self, data):
        values, pivots = factorise(self, data)
        return values, entry(pivots, 0.5)

    return wrong


def unsolved_last_column(solve):
    def wrong(self, right):
        x = solve(self, right)
        x[:, -1] = right[:, -1]
        return x

    return wrong


LARGE_PLANTS = {
    "noise 1.06": (large_run, "_normals", lambda draw: lambda *args: 1.06 * draw(*args)),
    "lower, tile edge": (selected_inverse, "solve_lower", without_last_column),
    "upper, tile edge": (selected_inverse, "solve_upper", without_last_column),
    "upper, one entry": (selected_inverse, "solve_upper", with_one_wrong_entry),
    "one pivot": (selected_inverse.Supernodes, "factorise", with_one_wrong_pivot),
    "solution, tile edge": (selected_inverse.SparseCholesky, "solve", unsolved_last_column),
    "pairs": (large_run, "count_pairs", lambda count: lambda y, *args: count(1.06 * y, *args)),
}


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("plant", LARGE_PLANTS)
def test_planted_errors_in_large_runs(plant, monkeypatch):
    """16 cells, 100 trajectories, 20,000 readouts: the energy of all cells resolves 8 %."""
    device = LARGE_DEVICES["rc"]()
    interval = 1.0 / np.abs(law_of(device).poles).max()
    options = {"samples": 20_000, "trajectories": 100, "seed": 3, "step": interval, "interval": interval}
    assert spu.simulate(device, **options).method == "midpoint"
    module, name, wrong = LARGE_PLANTS[plant]
    monkeypatch.setattr(module, name, wrong(getattr(module, name)))
    # Of a triangle that is unit, 7 in 100 trajectories suffer by less than the run resolves.
    if plant not in ("lower, tile edge", "upper, tile edge"):
        with pytest.raises(InternalError):
            spu.simulate(device, **options)
    if module is not selected_inverse:
        return
    # A plain solution sees it, too.
    sde = law_of(device).sde
    midpoint, draw = Midpoint(sde, interval), np.random.default_rng(1)
    E, F, K, half = sde.E.toarray(), sde.F.toarray(), sde.K.toarray(), interval / 2
    x, normals = draw.standard_normal((len(E), 16)), draw.standard_normal((midpoint.normals, 16))
    right = (E + half * F) @ x + interval * sde.s[:, None] + np.sqrt(interval) * K @ normals
    plain = np.linalg.solve(E - half * F, right)
    assert np.abs(midpoint.advance(x, normals) - plain).max() > 1e-6 * np.abs(plain).max()
    monkeypatch.undo()
    assert np.abs(midpoint.advance(x, normals) - plain).max() < 1e-12 * np.abs(plain).max()


@pytest.mark.parametrize("number", range(12))
def test_rounding_is_no_deviation(number):
    """Cells without noise, and spreads of 1e6 in every value: what a law knows to rounding only raises no alarm."""
    draw = np.random.default_rng(number)
    device = Device(temperature=0)
    for k in range(6):
        values = {"capacitance": 1e-10, "conductance": 1e-4, "inductance": 1e-5, "noise": 4e-22}
        values = {key: value * 10 ** draw.uniform(-3, 3) for key, value in values.items()}
        if k % 3 == 2:
            del values["noise"]
        device.add_cell(f"c{k}", **values)
    for k in range(1, 6):
        device.add_coupler(f"c{int(draw.integers(k))}", f"c{k}", capacitance=1e-10 * 10 ** draw.uniform(-6, 1))
    for interval in (1e-3, 0.3, 10.0):
        spu.simulate(device, samples=640, interval=interval * law_of(device).slowest, seed=number, lags=1, threads=1)


def with_silent_cells(number, n=6):
    """Equal or scattered cells, RC or RLC, in any order: two of them, coupled, without noise and apart."""
    draw = np.random.default_rng(number)
    device, alike = Device(temperature=0), number % 3 == 0
    quiet = np.sort(draw.choice(n, 2, replace=False))
    for k in range(n):
        values = {"capacitance": 1e-9, "conductance": 1e-3} | ({"inductance": 1e-5} if number % 2 else {})
        values = {key: value * (1.0 if alike else draw.uniform(0.5, 2.0)) for key, value in values.items()}
        device.add_cell(f"c{k}", **values, **({} if k in quiet else {"noise": 4e-20}))
    loud = np.setdiff1d(np.arange(n), quiet)
    for a, b in [*pairwise(loud), quiet]:
        device.add_coupler(f"c{a}", f"c{b}", capacitance=1e-10 * draw.uniform(0.1, 3.0))
    return device, quiet


@pytest.mark.parametrize(("number", "n"), [*((k, 6) for k in range(12)), (12, 140), (15, 140)])
def test_what_no_noise_reaches_is_zero(number, n, monkeypatch):
    """To the last bit, in the law, in steps, in what is drawn and in its errors; a run in which it moves is caught."""
    device, quiet = with_silent_cells(number, n)
    assert not spu.predict(device).covariance[quiet].any()
    options = {"samples": 2000, "interval": 1e-7, "trajectories": 100, "lags": 1, "threads": 1}
    for more in (options, options | {"method": "dense"}, {"samples": 2000, "independent": True}):
        found = spu.simulate(device, **more)
        for none in (found.covariance, found.covariance_error, found.mean, found.mean_error):
            assert not none[quiet].any()
    law = law_of(device)
    step = exact_step(law.dense, 1e-7, law.covariance)
    rows = law.dense.H[quiet] != 0
    assert not step.factor[rows.any(axis=0)].any()

    def leaking(law):
        matrix = law.matrix.copy()
        matrix[rows.any(axis=0), -1] = 1e-30
        return law._replace(matrix=matrix)

    monkeypatch.setattr(run_module.kernels, "drivers", Planted(law=leaking))
    with pytest.raises(InternalError, match="states that no noise reaches move"):
        spu.simulate(device, **options | {"samples": 200})


def test_reach_goes_by_direction():
    """Noise at one end of a one-way chain reaches what is behind it, however many steps, and nothing before."""
    A = np.diag(np.full(5, -1.0)) + np.diag([1.0, 0.0, 1e-300, 1.0], -1)
    B = np.zeros((5, 2))
    B[2, 1] = 1e-200
    assert silent(A, B).tolist() == [True, True, False, False, False]
    assert silent(A, np.zeros((5, 0))).all()
    P = hushed(np.ones((5, 5)), silent(A, B))
    assert not P[:2].any() and not P[:, :2].any() and P[2:, 2:].all()
