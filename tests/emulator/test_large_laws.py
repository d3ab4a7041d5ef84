"""Laws and runs of large sparse networks, on networks small enough to be solved in full beside them.

Statistical assertions: variances over N draws are compared at 7 standard deviations, N large enough that
they are nearly Gaussian; a test looks at no more than 30 of them, so each raises below 1e-9 false alarms.
"""

import json

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from helpers import Nodal, T, difference, law_of, near, random_device

import spu
from spu.base.distances import relative_error
from spu.base.errors import CircuitError, UsageError
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.large import Midpoint, sparse_stationary
from spu.emulator.runs import run as rounds
from spu.emulator.runs.large_run import count_pairs, run_large
from spu.emulator.runs.noise import normals

SIGMAS = 7.0


def grid(m: int, shift: float = 0.3) -> sp.csr_array:
    """The Laplacian of an m x m grid plus a multiple of the unit matrix."""
    line = sp.diags_array([-np.ones(m - 1), 2 * np.ones(m), -np.ones(m - 1)], offsets=[-1, 0, 1])
    eye = sp.eye_array(m)
    return sp.csr_array(sp.kron(line, eye) + sp.kron(eye, line) + shift * sp.eye_array(m * m))


def compiled(architecture: str, *, temperature: float = 0.0, mean: bool = False, m: int = 4) -> Device:
    problem = spu.GaussianSampling(precision=grid(m).toarray(), mean=np.linspace(-1, 1, m * m) if mean else None)
    device = spu.compile(problem, architecture=architecture)
    device.temperature = temperature
    return device


def rc_with_shunts() -> Device:
    """RC cells with an inductor each, coupled by resistors: G couples, C and Gamma are multiples of 1."""
    device = Device(temperature=0)
    for k in range(6):
        device.add_cell(
            f"c{k}", capacitance=1e-9, conductance=1e-3 * (1 + k % 3), inductance=2e-5, noise=4e-20, bias=1e-6 * k
        )
    for k in range(5):
        device.add_coupler(f"c{k}", f"c{k + 1}", conductance=5e-4)
    return device


DEVICES = {
    "rlc": lambda: compiled("rlc-capacitive"),
    "rlc warm": lambda: compiled("rlc-capacitive", temperature=T),
    "rc": lambda: compiled("rc-resistive", mean=True),
    "rc warm": lambda: compiled("rc-resistive", temperature=T, mean=True),
    "transconductors": lambda: compiled("rc-transconductor", mean=True),
    "shunts": rc_with_shunts,
}


@pytest.fixture
def small_is_large(monkeypatch):
    """Networks of more than ten states go the way of large ones."""
    monkeypatch.setattr("spu.emulator.laws.law.LARGE", 10)


def sparse_law(device):
    return sparse_stationary(stochastic_ode(lower(device)))


# The law


@pytest.mark.parametrize("name", DEVICES)
def test_the_law_is_that_of_all_states(name):
    device = DEVICES[name]()
    found, full = sparse_law(device), law_of(device)
    assert found.voltage_mean == near(full.voltage_mean, rel=1e-10) or not full.voltage_mean.any()
    known = found.voltage_covariance.tocoo()
    exact = full.voltage_covariance
    assert np.abs(known.data - exact[known.coords]).max() < 1e-11 * np.abs(exact).max()
    pairs = np.array([[device._index[end.lower()] for end in (c.a, c.b)] for c in device.couplers])
    assert (found.voltage_covariance[pairs[:, 0], pairs[:, 1]] != 0).all()  # every coupled pair is there
    assert difference(found.state_variance, full.state_variance) < 1e-10
    slowest, fastest = found.time_constants
    assert slowest == near(full.time_constants[0], rel=1e-3)
    assert fastest == near(full.time_constants[-1], rel=1e-3)


@pytest.mark.parametrize("name", DEVICES)
def test_draws_have_the_law(name):
    """Put through the unit matrix, `draw` shows its own square root."""
    device = DEVICES[name]()
    found, full = sparse_law(device), law_of(device)
    mean = found.draw(np.zeros((found.normals, 1)))
    root = found.draw(np.eye(found.normals)) - mean
    to_state = full.dense.to_state
    exact = to_state @ full.covariance @ to_state.T
    scale = np.sqrt(np.diag(exact))
    assert np.abs((root @ root.T - exact) / np.outer(scale, scale)).max() < 1e-10
    rest = to_state @ full.dense.mean
    assert np.abs((mean[:, 0] - rest) / scale).max() < 1e-9 * max(1.0, np.abs(rest / scale).max())


def scattered(quantity: str) -> Device:
    device = compiled("rlc-capacitive")
    device.cell_columns.arrays[quantity][3] *= 1.01
    return device


@pytest.mark.parametrize("quantity", ["conductance", "noise"])
def test_no_closed_form_is_no_law(quantity):
    with pytest.raises(CircuitError, match="no closed form is known"):
        sparse_law(scattered(quantity))


def test_other_kinds_without_a_closed_form():
    with pytest.raises(CircuitError, match="not all of one kind"):
        device = compiled("rlc-capacitive")
        device.cell_columns.arrays["inductance"][0] = np.nan
        sparse_law(device)
    with pytest.raises(CircuitError, match="inductances differ or couple"):
        device = compiled("rlc-capacitive")
        device.cell_columns.arrays["inductance"][0] *= 2
        sparse_law(device)
    with pytest.raises(CircuitError, match="differ from cell to cell"):
        device = compiled("rc-transconductor")
        device.coupler_columns.arrays["transconductance_ab"] *= 0.9
        sparse_law(device)
    unstable = compiled("rc-transconductor")
    unstable.coupler_columns.arrays["transconductance_ab"] *= 40
    unstable.coupler_columns.arrays["transconductance_ba"] *= 40
    with pytest.raises(CircuitError, match="unstable: the conductance matrix is not positive definite"):
        sparse_law(unstable)


# The implicit midpoint


def linear_map(sde, step):
    """The rule as matrices: x' = M x + N n + c."""
    rule = Midpoint(sde, step)
    n, m = sde.E.shape[0], rule.normals
    offset = rule.advance(np.zeros((n, 1)), np.zeros((m, 1)))
    M = rule.advance(np.eye(n), np.zeros((m, n))) - offset
    N = rule.advance(np.zeros((n, m)), np.eye(m)) - offset
    return M, N, offset[:, 0]


@pytest.mark.parametrize("steps", [0.01, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("name", [*DEVICES, "scattered", "non-reciprocal"])
def test_midpoint_keeps_the_stationary_law_at_any_step(name, steps):
    """Also of equations without a closed form: the rule itself needs none."""
    if name == "scattered":
        device = random_device(np.random.default_rng(1), 5, temperature=T)
    elif name == "non-reciprocal":
        device = random_device(np.random.default_rng(3), 4, temperature=T, transconductors=True)
    else:
        device = DEVICES[name]()
    law = law_of(device)
    M, N, offset = linear_map(law.sde, steps * law.time_constants[-1])
    to_state = law.dense.to_state
    P = to_state @ law.covariance @ to_state.T
    scale = np.sqrt(np.diag(P))
    kept = M @ P @ M.T + N @ N.T
    assert np.abs((kept - P) / np.outer(scale, scale)).max() < 1e-9
    mean = to_state @ law.dense.mean
    assert np.abs((M @ mean + offset - mean) / scale).max() < 1e-9 * max(1.0, np.abs(mean / scale).max())


def test_midpoint_turns_each_mode_by_its_own_factor():
    """``(1 + p h / 2) / (1 - p h / 2)``: near exp(p h) for small steps, and not for large ones."""
    law = law_of(DEVICES["rlc"]())
    for steps, near_exact in ((0.1, True), (3.0, False)):
        h = steps / np.abs(law.poles).max()
        found = la.eigvals(linear_map(law.sde, h)[0])
        expected = (1 + law.poles * h / 2) / (1 - law.poles * h / 2)
        gaps = np.abs(found[:, None] - expected)
        assert gaps.min(axis=1).max() < 1e-6  # nearly equal modes: eigenvalues to a root of rounding
        exact = np.exp(law.poles * h)
        assert (np.abs(expected - exact).max() < 1e-3) == near_exact


def test_sums_over_a_pattern():
    rng = np.random.default_rng(0)
    y, pattern = rng.standard_normal((6, 5)), grid(2, 1.0)
    y = y[:4]
    products = np.ones(len(pattern.data))
    count_pairs(y, pattern.indptr.astype(np.int64), pattern.indices.astype(np.int64), products)
    expected = (y @ y.T)[pattern.tocoo().coords] + 1.0
    assert np.abs(products - expected).max() < 1e-12


# Runs


def by_hand(law, midpoint, *, trajectories, steps, substeps, seed):
    """The run written out with dense matrices and `normals`: (trajectories, steps, probes) deviations."""
    out = []
    for k in range(trajectories):
        first = normals(seed, 1, law.normals, trajectory=k)
        x = law.draw(first.T)
        noise = normals(seed, 1 + steps * substeps, midpoint.normals, trajectory=k)
        path = []
        for step in range(steps):
            for u in range(substeps if step else 0):
                x = midpoint.advance(x, noise[1 + (step - 1) * substeps + u][:, None])
            path.append((law.nodal.probes @ x[: law.coupling.n])[:, 0] + law.sde.y0 - law.voltage_mean)
        out.append(path)
    return np.array(out)


@pytest.mark.parametrize("name", ["rlc", "rc warm", "shunts"])
def test_a_run_is_what_it_says(name):
    law = sparse_law(DEVICES[name]())
    midpoint = Midpoint(law.sde, 0.3 * law.time_constants[1])
    size = {"trajectories": 19, "steps": 5, "seed": 4}
    found = run_large(law, midpoint=midpoint, substeps=3, every=2, **size)
    y = by_hand(law, midpoint, substeps=3, **size)
    assert found.samples == 95
    assert np.abs(found.kept - y[:, ::2]).max() < 1e-12 * np.abs(y).max()
    assert found.mean == pytest.approx(y.mean(axis=(0, 1)), rel=1e-9, abs=1e-12 * np.abs(y).max())
    P = np.einsum("kti,ktj->ij", y, y) / 95 - np.outer(y.mean(axis=(0, 1)), y.mean(axis=(0, 1)))
    coo = found.covariance.tocoo()
    assert np.abs(coo.data - P[coo.coords]).max() < 1e-12 * np.abs(P).max()
    assert found.mean_error == near(y.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(19), rel=1e-9)
    scatter = (y**2).mean(axis=1).var(axis=0, ddof=1).sum() / 19
    assert found.effective_samples == near(2 * (found.covariance.diagonal() ** 2).sum() / scatter, rel=1e-9)


def test_same_bits_for_any_threads_and_rounds(monkeypatch):
    law = sparse_law(DEVICES["rlc"]())
    midpoint = Midpoint(law.sde, 0.3 * law.time_constants[1])
    runs = []
    for threads, patience in ((1, 0.1), (2, 0.1), (3, 1e9), (2, 0.0)):
        monkeypatch.setattr(rounds, "_ROUND", patience)
        options = {"trajectories": 40, "steps": 20, "seed": 1, "every": 3, "threads": threads}
        runs.append(run_large(law, midpoint=midpoint, substeps=2, **options))
        runs[-1] = (runs[-1], run_large(law, midpoint=None, **options | {"steps": 150}))
    for pair in runs[1:]:
        for found, first in zip(pair, runs[0], strict=True):
            assert np.array_equal(found.kept, first.kept)
            assert np.array_equal(found.covariance.data, first.covariance.data)
            assert np.array_equal(found.mean, first.mean)


def test_an_interrupted_run_counts_what_it_took():
    law = sparse_law(DEVICES["rlc"]())
    midpoint = Midpoint(law.sde, 0.3 * law.time_constants[1])
    looks = iter([False, False, True])
    options = {"trajectories": 20, "seed": 1, "midpoint": midpoint, "every": 1}
    some = run_large(law, steps=1000, interrupted=lambda: next(looks), **options)
    taken = some.samples // 20
    assert 1 <= taken < 1000
    whole = run_large(law, steps=taken, **options)
    assert np.array_equal(some.kept, whole.kept)
    assert np.array_equal(some.covariance.data, whole.covariance.data)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("name", ["rlc", "rlc warm", "rc", "rc warm", "transconductors"])
@pytest.mark.parametrize("independent", [True, False])
def test_simulate_finds_the_law(name, independent):
    """16 variances and 24 covariances at 4,000 samples: what is off by 25 % would show."""
    device = DEVICES[name]()
    exact = law_of(device)
    run = spu.simulate(device, samples=4000, trajectories=None if independent else 100, independent=independent, seed=8)
    assert (run.method, run.complete, run.samples) == ("independent" if independent else "midpoint", True, 4000)
    P = exact.voltage_covariance
    coo = run.voltage_covariance.tocoo()
    assert len(coo.data) == 16 + 2 * 24
    effective = run.effective_samples
    assert effective == 4000 if independent else effective > 1000
    i, j = coo.coords
    sigma = np.sqrt((P[i, i] * P[j, j] + P[i, j] ** 2) / effective)
    assert (np.abs(coo.data - P[i, j]) / sigma).max() < SIGMAS
    assert (np.abs(run.voltage_mean - exact.voltage_mean) / np.sqrt(np.diag(P) / effective)).max() < SIGMAS
    assert (SIGMAS * sigma / np.sqrt(P[i, i] * P[j, j])).max() < 0.35
    sigmas, a, b, count = run.worst_deviation()
    assert (
        sigmas < SIGMAS
        and count == 16 + 24
        and (a, b) in set(zip(*(index.tolist() for index in coo.coords), strict=True))
    )


@pytest.mark.usefixtures("small_is_large")
def test_predict_knows_coupled_pairs():
    problem = spu.GaussianSampling(precision=grid(4).toarray())
    device = spu.compile(problem)
    found = spu.predict(device)
    assert isinstance(found.covariance, sp.csr_array)
    assert found.relative_error < 1e-13
    assert len(found.time_constants) == 2
    coo = found.covariance.tocoo()
    assert difference(coo.data, np.linalg.inv(grid(4).toarray())[coo.coords]) < 1e-12
    with pytest.raises(UsageError, match="band"):
        spu.predict(device, band=(1.0, 2.0))
    for wrong in ({"lags": 3}, {"method": "dense"}):
        with pytest.raises(UsageError, match="small enough"):
            spu.simulate(device, samples=10, **wrong)
    assert spu.check(device, levels=["ideal"]).verdict == "pass"
    assert "device" in spu.netlist(device)
    half = spu.simulate(device, samples=64, trajectories=32, step=1e-9)
    assert half.time_step == near(half.interval / round(half.interval / 1e-9))
    # One trajectory says nothing of its own error: the bound that follows from the slowest mode does.
    alone = spu.simulate(device, samples=4, trajectories=1)
    assert 0 < alone.effective_samples <= 4
    assert (alone.mean_error >= np.sqrt(found.covariance.diagonal() / 4)).all() and np.isfinite(alone.mean_error).all()
    assert alone.worst_deviation()[0] > 0


def differences(kind: str) -> Device:
    """A chain whose variables share cells: differences of neighbours, sums over five cells, pairs far apart."""
    n = 16
    device = Device(temperature=0)
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=2e-9 * (1 + k % 3))
    eye = np.eye(n)
    rows = {
        "neighbours": eye[:-1] - eye[1:],
        "windows": np.array([eye[k : k + 5].sum(axis=0) for k in range(0, n - 4, 2)]),
        "far": eye[:8] - eye[8:],
        "mixed": np.vstack([eye[:4], eye[4:8] - 2 * eye[9:13], eye[13:14] + eye[15:]]),
    }[kind]
    device.set_readout(rows, variables=[f"x{k}" for k in range(len(rows))])
    return device


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("kind", ["neighbours", "windows", "far", "mixed"])
def test_what_is_known_of_variables_that_share_cells_is_right(kind):
    """Entries with a part that is not known had counted it as zero: wrong by anything, and of either sign."""
    device = differences(kind)
    T = device.readout.matrix.toarray()
    exact = T @ Nodal(device).covariance() @ T.T
    for found in (spu.predict(device), spu.simulate(device, samples=5000, independent=True, seed=1)):
        known = found.covariance.tocoo()
        i, j = known.coords
        coupled = abs(T) @ (Nodal(device).C != 0) @ abs(T).T > 0  # cells shared, or coupled
        assert set(zip(*np.nonzero(coupled), strict=True)) <= set(zip(i, j, strict=True))
        scale = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))[i, j]
        error = np.abs(known.data - exact[i, j]) / scale
        if isinstance(found, spu.Prediction):
            assert error.max() < 1e-12
        else:  # at most sqrt(2 / N) each
            assert error.max() < SIGMAS * np.sqrt(2 / 5000)
            assert set(zip(*found.covariance_error.tocoo().coords, strict=True)) == set(zip(i, j, strict=True))


def test_two_sparse_matrices_are_compared_on_what_both_know():
    a = sp.csr_array(np.array([[1.0, 5.0], [0.0, 2.0]]))
    b = sp.csr_array(np.array([[1.0, 0.0], [7.0, 2.0]]))
    assert relative_error(a, b) == 0.0


def test_a_step_is_for_large_networks_only():
    with pytest.raises(UsageError, match="steps are exact here"):
        spu.simulate(DEVICES["rlc"](), samples=10, step=1e-9)


@pytest.mark.usefixtures("small_is_large")
def test_the_command_line(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from spu.cli import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spu.folder.arrays.MAX_ROWS", 8)
    np.savetxt("a.csv", grid(4).toarray(), delimiter=",")

    def run(*words: str) -> str:
        result = CliRunner().invoke(cli, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout

    run("compile", "a.csv", "-o", "out")
    found = json.loads(run("predict", "out", "--json"))
    assert found["covariance"]["sparse"] == "csr"
    with np.load(found["covariance"]["npz"]) as data:
        parts = [data[f"covariance.{part}"] for part in ("data", "indices", "indptr")]
    covariance = sp.csr_array(tuple(parts), shape=found["covariance"]["shape"])
    coo = covariance.tocoo()
    assert difference(coo.data, np.linalg.inv(grid(4).toarray())[coo.coords]) < 1e-12
    text = run("predict", "out")
    assert "coupled cells only" in text
    found = json.loads(run("simulate", "out", "--samples", "100", "--json"))
    assert (found["method"], found["samples"], found["trajectories"]) == ("midpoint", 128, 32)
    assert found["time_step"] > 0
    text = run("simulate", "out", "--samples", "100", "--independent")
    assert "standard errors" in text and "method: " not in text
    text = run("simulate", "out", "--samples", "100")
    assert "correlations in time only as far as the time step resolves them" in text
    assert "time constants" in run("inspect", "out")


def test_independent_draws_are_thinned_by_their_number_over_all_tiles():
    law = sparse_stationary(stochastic_ode(lower(compiled("rlc-capacitive"))))
    settings = {"trajectories": 1, "steps": 203, "seed": 4, "midpoint": None}
    whole = run_large(law, every=1, **settings).kept
    for every in (2, 7, 60, 300):
        assert (run_large(law, every=every, **settings).kept == whole[:, ::every]).all()
