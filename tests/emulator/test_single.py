"""Linear runs in single precision: against double precision on the same noise, what is predicted of their rounding,
the same bits everywhere, and what is refused.

Statistical assertions: seeds are fixed and were not chosen. Over random laws and runs, against a law of the tests' own:
`test_domain`.
"""

import dataclasses
import json

import numpy as np
import pytest
import scipy.linalg as la
from click.testing import CliRunner
from helpers import T, law_of, random_device, rc_pair, rlc_pair
from test_guard import PLANTS
from test_run import DEVICES, chain, scattered

import spu
from spu.base.errors import InternalError, UsageError
from spu.base.kernels.library import available
from spu.cli import cli
from spu.emulator.runs import kernels
from spu.emulator.runs.run import dense_method, run
from spu.emulator.runs.single import MOST_BIAS, SHARE_OF_ERROR, UNIT, bias_of, rounded
from spu.folder import write_folder
from tests.base.kernels.test_library import run_as

A = [[2.0, -0.5], [-0.5, 1.5]]


def cells(n: int) -> spu.Device:
    """n states: cells with no inductors, all different."""
    return random_device(np.random.default_rng(n), n, temperature=T, inductors=False, transconductors=n % 2 == 0)


def both(law, interval):
    how = dense_method(law, interval)
    return how, dataclasses.replace(how, precision="single")


def chain_noise(matrix, covariance):
    """Variances of what rounding adds to ``matrix @ b``, b of this covariance: term by term, as it is defined."""
    found = np.zeros(len(matrix))
    for i, row in enumerate(matrix):
        for k in np.flatnonzero(row):
            part = row[: k + 1]
            found[i] += UNIT**2 / 3.0 * (part @ covariance[: k + 1, : k + 1] @ part)
    return np.diag(found)


def differences(law, how, steps):
    """(steps, p) root mean square of the readouts' differences between both formats on the same noise."""
    n, P, H = how.rows, law.covariance, how.step.observe
    L0, move, L = how.start.matrix, how.step.matrix[:, :n], how.step.matrix[:, n:]
    dL0, dM, dL, dH = (rounded(each) - each for each in (L0, move, L, H))
    eye = np.eye(L.shape[1])
    wide = la.block_diag(P, eye)
    # d = x_32 - x: its covariance with x, and its own.
    normals = UNIT**2 / 3.0
    C = dL0 @ L0.T
    D = dL0 @ dL0.T + chain_noise(L0, np.eye(L0.shape[1])) + normals * np.diag((L0**2).sum(axis=1))
    new = chain_noise(how.step.matrix, wide) + normals * np.diag((L**2).sum(axis=1))
    found = []
    for _ in range(steps):
        seen = H @ D @ H.T + dH @ P @ dH.T + dH @ C.T @ H.T + H @ C @ dH.T + chain_noise(H, P)
        found.append(np.sqrt(np.maximum(np.diag(seen), 0.0)))
        through = move @ C @ dM.T
        D = move @ D @ move.T + through + through.T + dM @ P @ dM.T + dL @ dL.T + new
        C = move @ C @ move.T + dM @ P @ move.T + dL @ L.T
    return np.array(found)


@pytest.mark.parametrize("interval", [1e-3, 0.03, 1.0, 30.0])
@pytest.mark.parametrize(
    ("n", "trajectories"),
    [(1, 1), (2, 15), (3, 31), (5, 32), (15, 33), (16, 100), (17, 1), (32, 31), (33, 33), (70, 100)],
)
def test_paths_differ_by_rounding(n, trajectories, interval):
    """On the same noise, readout by readout: by as much as rounding of matrices, sums and normals comes to.

    Roundings grow with the very state that they round, so that their tails are those of products of Gaussians: 16 times
    the root mean square is allowed, and that itself is seen to be right.
    """
    law = law_of(cells(n))
    how, single = both(law, interval * law.time_constants[0])
    options = {"trajectories": trajectories, "steps": 40, "seed": n, "every": 1}
    gap = run(single, **options).kept - run(how, **options).kept
    expected = differences(law, how, 40)
    assert (np.abs(gap) <= 16.0 * expected).all()
    if gap.size > 2000:
        rms = np.sqrt((gap**2).mean(axis=(0, 2)) / (expected**2).mean(axis=1))
        assert 0.4 < rms.mean() < 1.2  # a rounding is less than its bound


@pytest.mark.parametrize("trajectories", [1, 31, 33])
def test_the_kernel_rounds_as_numpy_does(trajectories):
    """A single state: every operation is known, so every bit is."""
    law = law_of(cells(1))
    how, single = both(law, law.time_constants[0])
    found = run(single, trajectories=trajectories, steps=30, seed=2, every=1).kept[:, :, 0]
    phi, root = (np.float64(np.float32(each)) for each in how.step.matrix[0])
    start, seen = (np.float64(np.float32(each[0, 0])) for each in (how.start.matrix, how.step.observe))
    for t in range(trajectories):
        xi = spu.emulator.runs.noise.normals(2, 30, 1, trajectory=t)[:, 0].astype(np.float32).astype(np.float64)
        # A product of two floats is exact in double precision; so is, to be rounded once, what is added to it.
        x = np.float32(start * xi[0])
        for k in range(30):
            if k:
                x = np.float32(root * xi[k] + np.float64(np.float32(phi * np.float64(x))))
            y = np.float32(seen * np.float64(x))
            assert abs(found[t, k] - y) <= np.spacing(np.float32(abs(y)))  # rounding twice, once in 2^29


@pytest.mark.parametrize("name", ["dense RLC", "dense RC", "non-reciprocal", "modal RLC"])
@pytest.mark.parametrize(("interval", "share"), [(0.01, 0.3), (0.1, 0.1), (1.0, 0.1), (30.0, 0.1)])
def test_the_bias_is_as_predicted(name, interval, share):
    """Of covariances and autocovariances, on the same noise, where most of chance cancels."""
    law = law_of(DEVICES[name])
    how, single = both(law, interval * law.time_constants[0])
    options = {"trajectories": 64, "steps": 2000, "seed": 1, "lags": 2}
    one, two = run(single, **options), run(how, **options)
    predicted = bias_of(law, how, 2000, 2).products
    found = (one.products - two.products) / one.pairs[:, None, None]
    size = np.sqrt(np.diag(law.voltage_covariance))
    unit = np.outer(size, size)
    assert np.abs((found - predicted) / unit).max() < share * np.abs(predicted / unit).max()
    assert 1e-9 < np.abs(predicted / unit).max() < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 64, 1000])
def test_the_mean_bias_is_a_sum(steps):
    """By doubling as one by one."""
    law = law_of(rlc_pair(T))
    how, _ = both(law, 0.05 * law.time_constants[0])
    n, P = how.rows, law.covariance
    move, root, start = rounded(how.step.matrix[:, :n]), rounded(how.step.matrix[:, n:]), rounded(how.start.matrix)
    eye = np.eye(root.shape[1])
    normals = UNIT**2 / 3.0
    S = start @ start.T + chain_noise(how.start.matrix, np.eye(start.shape[1]))
    S += normals * np.diag((how.start.matrix**2).sum(axis=1))
    noise = chain_noise(how.step.matrix, la.block_diag(P, eye)) + normals * np.diag(
        (how.step.matrix[:, n:] ** 2).sum(axis=1)
    )
    total = np.zeros_like(S)
    for _ in range(steps):
        total += S
        S = move @ S @ move.T + root @ root.T + noise
    found = bias_of(law, how, steps).states
    assert np.abs(total / steps - P - found).max() < 1e-3 * np.abs(found).max() + 1e-14 * np.abs(P).max()


def test_a_law_that_is_off_by_per_cents_is_predicted():
    """Where single precision is no good by far: 1e-6 of the time constant, and much beyond what is accepted."""
    device = spu.Device()
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("b", capacitance=1.3e-9, conductance=0.9e-3, noise=3e-20)
    device.add_coupler("a", "b", capacitance=2e-10)
    law = law_of(device)
    how, _ = both(law, 1e-6 * law.time_constants[0])
    predicted = bias_of(law, how, 10_000_000).states
    n = how.rows
    move, root = rounded(how.step.matrix[:, :n]), rounded(how.step.matrix[:, n:])
    P = la.solve_discrete_lyapunov(move, root @ root.T)
    off = P - law.covariance
    assert np.abs(off).max() > 1e-3 * law.covariance.max()
    assert np.abs(predicted - off).max() < 0.1 * np.abs(off).max()


# Bits


BITS = """
import hashlib, sys
import numpy as np
import spu
from spu.emulator.runs.run import dense_method
found = hashlib.sha256()
for n in (1, 5, 20):
    draw = np.random.default_rng(n)
    device = spu.Device(temperature=300.0)
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-9 * draw.uniform(0.9, 1.1), conductance=1e-3, inductance=1e-5)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=2e-10)
    for count in (1, 15, 31, 32, 33, 100):
        run = spu.simulate(
            device, samples=60 * count, trajectories=count, lags=1, method="dense", precision="single", threads=THREADS
        )
        for each in (run.readouts, run.covariance, run.mean, run.autocovariance):
            found.update(np.ascontiguousarray(each).tobytes())
print(found.hexdigest())
"""


def test_the_same_bits_on_every_processor_and_for_any_threads():
    found = {
        (name, threads): run_as(name, BITS.replace("THREADS", str(threads)))
        for name in available()
        for threads in ((1, 2, 5) if name == available()[0] else (1,))
    }
    assert len(set(found.values())) == 1, found


def test_a_trajectory_does_not_depend_on_its_neighbours():
    law = law_of(scattered(5))
    _, how = both(law, law.time_constants[0])
    whole = run(how, trajectories=100, steps=30, seed=4, every=1).kept
    for count in (1, 15, 31, 32, 33):
        assert np.array_equal(run(how, trajectories=count, steps=30, seed=4, every=1).kept, whole[:count])


# The guard


def test_no_false_alarms(judged):
    """From a thousandth of the fastest to thirty of the slowest time constant, few and many states and trajectories."""
    found = judged
    devices = [rlc_pair(T), rc_pair(), DEVICES["non-reciprocal"], scattered(5), scattered(35), cells(1), cells(40)]
    for number, device in enumerate(devices):
        law = law_of(device)
        fast, slow = 1.0 / np.abs(law.poles).max(), law.time_constants[0]
        for interval in (1e-3 * fast, 0.05 * fast, slow, 30.0 * slow):
            for count, steps in ((1, 300), (15, 40), (33, 1), (100, 100)):
                spu.simulate(
                    device,
                    samples=count * steps,
                    trajectories=count,
                    interval=interval,
                    seed=number,
                    lags=number % 3,
                    method="dense",
                    precision="single",
                )
    assert len(found) == 112
    # Bounds of p-values: no more are below a than a binomial of uniform ones allows, once in 1e9.
    assert min(found) > 1e-11 and sum(p < 0.1 for p in found) < 40


def test_floats_meet_by_chance(judged):
    """Of 20,000 floats some are equal, and that is no alarm; of 2,000 equal ones it is."""
    found = judged
    device = cells(1)
    run = spu.simulate(device, samples=20_000, trajectories=20_000, interval=1.0, precision="single", method="dense")
    assert len(np.unique(run.readouts)) < 20_000 and found[-1] > 1e-3
    assert len(np.unique(spu.simulate(device, samples=20_000, trajectories=20_000, method="dense").readouts)) == 20_000


@pytest.mark.parametrize("name", ["dense RLC", "non-reciprocal"])
@pytest.mark.parametrize("plant", [name for name in PLANTS if name != "transposed"])
def test_planted_errors_are_caught(name, plant, monkeypatch):
    law = law_of(DEVICES[name])
    monkeypatch.setattr(kernels, "drivers", PLANTS[plant]())
    options = {"samples": 96_000, "trajectories": 64, "interval": 0.3 * law.time_constants[0], "lags": 2, "threads": 1}
    with pytest.raises(InternalError, match="a run is not of its circuit's law"):
        spu.simulate(DEVICES[name], **options, precision="single")


# What a user meets


def test_what_a_result_says():
    device = scattered(3)
    single = spu.simulate(device, samples=5000, seed=3, lags=1, precision="single")
    double = spu.simulate(device, samples=5000, seed=3, lags=1)
    assert (single.precision, double.precision, double.precision_error) == ("single", "double", None)
    assert 1e-9 < single.precision_error < 1e-6
    size = np.sqrt(np.diag(double.covariance))
    gap = np.abs(single.covariance - double.covariance) / np.outer(size, size)
    assert 0 < gap.max() < 2 * single.precision_error
    assert np.abs(single.readouts - double.readouts).max() < 1e-5 * size.max()
    assert (single.covariance_error >= double.covariance_error).all()
    assert single.to_dict()["precision"] == "single"
    assert "single precision: covariances off by at most" in str(single) and "precision" not in str(double)
    assert single.to_xarray().attrs["precision"] == "single"


def test_the_bias_is_in_the_error_bar():
    law = law_of(rlc_pair(T))
    options = {"samples": 3000, "trajectories": 3, "interval": 1e-3 * law.time_constants[0]}
    single = spu.simulate(rlc_pair(T), **options, precision="single")
    double = spu.simulate(rlc_pair(T), **options)
    transform = law.sde.readout.matrix.toarray()
    how, _ = both(law, options["interval"])
    off = transform @ bias_of(law, how, 1000).products[0] @ transform.T
    assert np.allclose(single.covariance_error**2, double.covariance_error**2 + off**2, rtol=1e-12, atol=0)


def test_an_ensemble_says_the_worst():
    board = dataclasses.replace(spu.load_hardware("spu8"), temperature=0.0)
    device = spu.compile_problem(spu.GaussianSampling(precision=A), board, ensemble=2).device
    options = {"trajectories": 2, "method": "dense", "precision": "single"}
    whole = spu.simulate(device, samples=400, **options)
    each = [spu.simulate(one, samples=200, interval=whole.interval, **options) for one in device.members()]
    assert whole.precision_error == max(run.precision_error for run in each)


def test_what_is_large_or_small_is_no_trouble():
    """Floats reach from 1e-45 to 3e38: what is beyond is refused, and what is near loses digits as predicted."""
    refused = 0
    for noise, g in (
        (1e-59, 1e-3),
        (1e-59, 1e4),
        (1e-59, 1e12),
        (1e-59, 1e20),
        (1e30, 1e-3),
        (1e59, 1e3),
        (1e59, 1e-12),
    ):
        device = spu.Device(temperature=0.0)
        device.add_cell("a", capacitance=1e-6 * g, conductance=g, noise=noise)
        device.add_cell("b", capacitance=2e-6 * g, conductance=g, noise=noise)
        device.add_coupler("a", "b", conductance=0.1 * g)
        try:
            run = spu.simulate(device, samples=20_000, seed=1, precision="single", method="dense")
        except UsageError as error:
            assert "in single precision the " in str(error)
            refused += 1
            continue
        exact = spu.predict(device).covariance
        assert (np.abs(run.covariance - exact) < 7 * run.covariance_error).all()
    assert refused == 2


def far_apart() -> spu.Device:
    """Two cells, one a million times slower."""
    device = spu.Device()
    device.add_cell("fast", capacitance=1e-9, conductance=1.0, noise=4e-20)
    device.add_cell("slow", capacitance=1e-9, conductance=1e-6, noise=4e-20)
    device.add_coupler("fast", "slow", capacitance=1e-10)
    return device


REFUSED = [
    ({"precision": "half"}, "precision is double or single, not 'half'"),
    ({"precision": 32}, "precision is double or single, not 32"),
    ({"independent": True}, "precision single is of runs in time"),
    ({"method": "modal"}, "precision single saves nothing by modes"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_is_refused_before_any_work(options, message, monkeypatch):
    device = spu.compile(A)

    def worked(*_, **__):
        raise AssertionError("work was done before it was refused")

    monkeypatch.setattr("spu.emulator.laws.law.stationary", worked)
    monkeypatch.setattr("spu.emulator.runs.sampling.run", worked)
    with pytest.raises(UsageError) as refused:
        spu.simulate(device, **{"precision": "single", **options})
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_what_the_law_decides(monkeypatch):
    def ran(*_, **__):
        raise AssertionError("it ran before it was refused")

    monkeypatch.setattr("spu.emulator.runs.sampling.run", ran)
    monkeypatch.setattr("spu.emulator.runs.sampling.run_large", ran)
    with pytest.raises(UsageError, match=r"saves nothing by modes.*ask for method dense"):
        spu.simulate(chain(4), precision="single")
    law = law_of(far_apart())
    with pytest.raises(UsageError) as refused:
        spu.simulate(far_apart(), samples=1000, interval=1e-3 / np.abs(law.poles).max(), precision="single")
    said = str(refused.value)
    assert "in single precision the " in said and "would be off by" in said and "take a longer interval" in said
    assert f"{MOST_BIAS:g} at most" in said and "\n" not in said
    with pytest.raises(UsageError) as refused:
        spu.simulate(scattered(3), samples=1e13, precision="single", trace=0)
    said = str(refused.value)
    assert "of its standard error" in said and "take double precision" in said and f"{SHARE_OF_ERROR:g} at most" in said
    monkeypatch.setattr("spu.emulator.laws.law.LARGE", 0)
    with pytest.raises(UsageError, match="precision single is for networks small enough for dense matrices"):
        spu.simulate(chain(4), precision="single", method=None)


def test_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scattered(3).write("dense.json")
    chain(3).write("modal.json")
    found = CliRunner().invoke(cli, ["simulate", "dense.json", "--samples", "500", "--precision", "single", "--json"])
    said = json.loads(found.stdout)
    assert found.exit_code == 0 and said["precision"] == "single" and 0 < said["precision_error"] < 1e-6
    found = CliRunner().invoke(cli, ["simulate", "dense.json", "--samples", "500", "--json"])
    assert (json.loads(found.stdout)["precision"], json.loads(found.stdout)["precision_error"]) == ("double", None)
    found = CliRunner().invoke(cli, ["simulate", "modal.json", "--precision", "single", "--json"])
    assert found.exit_code == 2
    assert json.loads(found.stdout)["error"]["message"].startswith("--precision single saves nothing by modes")


# Networks


@pytest.fixture(scope="module")
def neurons() -> spu.Device:
    couplings = np.zeros((5, 5))
    couplings[0, 1] = couplings[1, 0] = 0.4
    couplings[2, 3] = couplings[3, 2] = -0.3
    return spu.compile(spu.ThermodynamicNetwork(-1.0, 0.0, 1.0, input=[0.3, 0, 0, -0.2, 0], couplings=couplings))


@pytest.mark.parametrize("count", [1, 15, 31, 32, 33, 100])
def test_a_network_follows_double_precision_on_the_same_noise(neurons, count):
    options = {"times": [0.1, 1.0], "trajectories": count, "step": 0.01, "seed": 2}
    single, double = (spu.simulate(neurons, **options, precision=each) for each in ("single", "double"))
    gap = np.abs(single.readouts - double.readouts).max()
    # A hundred steps, each of a few roundings of coordinates of a size of one, in wells that part by a few times.
    assert 0 < gap < 1e-4
    assert np.abs(single.readouts - double.readouts).mean() < 100 * 2.0**-24
    assert (single.precision, double.precision) == ("single", "double")
    assert single.to_dict()["precision"] == "single" and "in single precision; the last" in str(single)
    assert "precision" not in str(double)


def test_a_network_has_its_law_in_single_precision():
    """The run is held against the exact law where that is known (`checked`), and here against double precision."""
    alone = spu.compile(spu.ThermodynamicNetwork(-1.0, 0.0, 1.0, input=[0.3, 0.0, -0.2]))
    options = {"times": [5.0], "trajectories": 4000, "start": "equilibrium"}
    single, double = (
        spu.simulate(alone, **options, precision=each, seed=seed) for each, seed in (("single", 1), ("double", 2))
    )
    assert single.checked > 0
    error = np.hypot(single.mean_error, double.mean_error)
    assert (np.abs(single.mean - double.mean) < 6 * error).all()
    error = np.hypot(single.variance_error, double.variance_error)
    assert (np.abs(single.variance - double.variance) < 6 * error).all()


def test_networks_that_are_not_for_floats(neurons, monkeypatch):
    def stepped(*_, **__):
        raise AssertionError("it ran before it was refused")

    monkeypatch.setattr("spu.emulator.runs.langevin_run._require_finite", stepped)
    with pytest.raises(UsageError, match="precision single is not for heat and work") as refused:
        spu.simulate(neurons, precision="single", heat=True)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="double precision would do, or larger steps") as refused:
        spu.simulate(neurons, precision="single", step=1e-12, times=[1e-3], trajectories=2)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="precision is double or single"):
        spu.simulate(neurons, precision="float32")


def test_a_network_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "net", spu.compile_problem(spu.ThermodynamicNetwork(units=2)))
    options = ["simulate", "net", "--no-output", "--times", "0.1", "--trajectories", "20", "--json"]
    said = json.loads(CliRunner().invoke(cli, [*options, "--precision", "single"]).stdout)
    assert said["precision"] == "single"
    assert json.loads(CliRunner().invoke(cli, options).stdout)["precision"] == "double"
    refused = CliRunner().invoke(cli, [*options, "--precision", "single", "--heat"])
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["error"]["message"].startswith("--precision single is not for heat")
