"""Ledgers of devices: exact heat, counts by hand, prices that nobody states stay unstated, digital references."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import near

import spu
from spu.base.errors import InputError, SpuError
from spu.base.files import plain
from spu.device.subject import circuits
from spu.studies.energy import Price, draw_digitally, load_energy, methods, reference_of
from spu.studies.energy.devices import codes_of, loading_time, power_of

A = [[2.0, -0.5, 0.3], [-0.5, 1.5, -0.25], [0.3, -0.25, 1.0]]
b = [1.0, -2.0, 0.0]

PRICES = """
[readout]
value = 1e-12
unit = "J"
per = "conversion"
source = "me"

[supply]
value = { low = 1.0, typical = 1.2, high = 1.5 }
unit = "V"
per = "ampere"
source = "me"

[efficiency]
value = { low = 5.0, typical = 10.0, high = 25.0 }
unit = "1/V"
per = "ampere"
source = "me"

[noise]
value = 1e-6
unit = "W"
per = "source"
source = "me"

[code_time]
value = 1e-7
unit = "s"
per = "code"
source = "me"
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.toml").write_text(PRICES)
    return tmp_path / "mine.toml"


def lines_of(ledger):
    return {line.item: line for line in ledger.lines}


def rc_cell(**values):
    device = spu.Device(temperature=0.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20, **values)
    return device


# What is exact


def test_heat_is_that_of_one_cell_times_the_seconds():
    lines = lines_of(spu.energy_of(rc_cell(bias=1e-6), 2.0, 7))
    power = 4e-20 / 4e-9 + 1e-12 / 1e-3
    assert lines["heat"].energy.typical == near(2.0 * power, 1e-12) and lines["heat"].counted
    assert lines["readout"].count == 7
    assert lines["supply"].count == near(2e-6) and lines["supply"].energy is None


def test_in_equilibrium_nothing_is_taken():
    device = spu.Device(temperature=300.0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3)
    ledger = spu.energy_of(device, 1.0, 1)
    assert abs(lines_of(ledger)["heat"].energy.typical) < 1e-12 * ledger.power.losses
    assert "noise" not in lines_of(ledger) and "bias" not in lines_of(ledger)


def test_prices_are_for_what_is_taken_beyond_what_is_delivered(mine):
    """Nothing twice: the heat is in the supply's, so that all together are the supply's, the sources' and readouts'."""
    device = spu.compile(spu.LinearSystem(A, b), architecture="rc-transconductor")
    ledger = spu.energy_of(device, 1e-3, 10, assumptions=mine)
    power, lines = ledger.power, lines_of(ledger)
    current = np.nansum(np.abs(device.cell_columns.held()["bias"]))
    g = sum(each.size for each in power.elements if each.kind == "active")
    bias = Price(1.0 / 25, 1.2 / 10, 1.5 / 5).times(g * 1e-3)
    wanted = 3 * 1e-6 * 1e-3 + 1.2 * current * 1e-3 + bias.typical + 30 * 1e-12
    assert power.active > 0 and power.sources > 0
    assert ledger.total.typical == near(wanted, 1e-12)
    assert lines["bias"].energy.high == near(bias.high - power.active * 1e-3, 1e-12)
    assert set(ledger.unstated) == {"programming", "control"}


def test_shared_noise_is_one_source():
    device = rc_cell()
    device.add_cell("b", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_noise("n1", {"a": 2e-10, "b": -1e-10})
    assert lines_of(spu.energy_of(device, 1.0, 1))["noise"].count == 3
    assert codes_of(device) == 2 + 2


def test_nonlinear_cells_have_counts_and_no_heat_unless_given():
    couplings = [[0.0, 0.5], [0.5, 0.0]]
    device = spu.compile(spu.ThermodynamicNetwork(1.0, 0.0, 1.0, input=[0.3, 0.0], couplings=couplings), "neurons")
    lines = lines_of(spu.energy_of(device, 1e-6, 2))
    assert lines["heat"].energy is None and "a run books it" in lines["heat"].missing
    assert lines["noise"].count == near(2e-6) and lines["bias"].count == near(4e-6)
    assert lines_of(spu.energy_of(device, 1e-6, 2, heat=1e-18))["heat"].energy.typical == 1e-18


def test_a_ramp_counts_its_work_beside_the_heat():
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    device.ramp = spu.Ramp([0.0, 1e-6], couplers=[0.0, 1.0])
    lines = lines_of(spu.energy_of(device, 1e-6, 1, work=3e-21))
    assert lines["work"].energy.typical == 3e-21 and lines["heat"].energy.typical > 0


def test_an_ensemble_has_the_mean_power_and_loads_each_of_its_codes(mine):
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8-8bit")
    other = spu.compile([[2.0, -0.1], [-0.1, 1.0]], "spu8-8bit")
    both = device.programmed(other.programming)
    both.programmings = [other.programming]
    alone = [power_of(each).losses for each in both.members()]
    assert len(alone) == 2
    assert power_of(both).losses == near(np.mean(alone), 1e-12)
    ledger = spu.energy_of(both, 1e-3, 1, 2, assumptions=mine)
    assert lines_of(ledger)["programming"].count == 2 * 2 * codes_of(device)
    assert ledger.programming_time.typical == near(4 * codes_of(device) * 1e-7)


# Programming


@pytest.mark.parametrize("n", [2, 5])
def test_a_full_matrix_has_as_many_codes_as_its_triangle(n, mine):
    matrix = np.eye(n) * n - np.ones((n, n)) * 0.5
    device = spu.compile(matrix)
    assert codes_of(device) == n * (n + 1) // 2
    assert loading_time(device) is None
    assert loading_time(device, mine, 3).typical == near(3 * n * (n + 1) / 2 * 1e-7)
    linear = spu.compile(spu.LinearSystem(matrix, np.eye(n)[0]))
    assert codes_of(linear) == n * (n + 1) // 2 + 1
    assert codes_of(circuits(device)[0]) is None


def test_banks_turn_at_most_all_their_switches():
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8-8bit")
    switches = lines_of(spu.energy_of(device, 1.0, 1))["switching"]
    assert switches.count == 1 * 8 + 2 * 10 and switches.energy is None


# Wrong input


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seconds": -1.0}, "seconds is -1.0: a finite number, 0 or more"),
        ({"readouts": math.inf}, "readouts is inf: a finite number"),
        ({"programmings": "twice"}, "programmings is 'twice': a number is wanted"),
        ({"work": math.nan}, "work is nan: it must be finite"),
        ({"error": 2.0}, "error is 2.0: a relative error between 0 and 1"),
        ({"assumptions": "nowhere.toml"}, "nowhere.toml"),
        ({"device": A}, "a list is no device"),
    ],
)
def test_wrong_input_is_one_line(options, said):
    given = {"device": spu.compile([[2.0, -0.5], [-0.5, 1.0]]), "seconds": 1.0, "readouts": 1} | options
    with pytest.raises(SpuError) as found:
        spu.energy_of(given.pop("device"), given.pop("seconds"), given.pop("readouts"), **given)
    assert said in str(found.value) and "\n" not in str(found.value)


def test_it_is_said_drawn_and_json(mine, tmp_path):
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    ledger = spu.energy_of(device, 1e-3, 100, assumptions=mine, error=0.1)
    said = str(ledger)
    for words in ("mean power:", "noise sources) goes in", "loading the codes 300 ns", "Cholesky sampling", "Gibbs"):
        assert words in said
    found = json.loads(json.dumps(plain(ledger.to_dict()), allow_nan=False))
    assert found["power"]["imbalance"] < 1e-9 and found["programming_time"]["typical"] == near(3e-7)
    assert found["reference"]["methods"][0]["name"] == "Cholesky sampling"
    assert "loading the codes: nobody states" in str(spu.energy_of(device, 1e-3, 100))
    ledger.plot().savefig(tmp_path / "a.png")


# Digital references


def spd(n, condition=10.0, seed=0):
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    matrix = (basis * np.geomspace(1.0 / condition, 1.0, n)) @ basis.T
    return 0.5 * (matrix + matrix.T)


@pytest.mark.parametrize(
    ("task", "power"), [("linear", 3), ("inverse", 3), ("lyapunov", 3), ("exponential", 3), ("gaussian", 3)]
)
def test_direct_methods_grow_as_cubes(task, power):
    from spu.studies.algebra.scaling import POSED, kind_of

    def flops(n):
        rng = np.random.default_rng(0)
        return methods(kind_of(task).cls(*POSED[task](spd(n), rng)))[0].flops

    assert math.log2(flops(128) / flops(64)) == pytest.approx(power, abs=0.1)


def test_conjugate_gradients_go_as_the_root_of_the_condition_and_are_best_where_it_is_small():
    x = np.ones(64)
    flops = {
        kappa: next(m.flops for m in methods(spu.LinearSystem(spd(64, kappa), x), 1e-4) if "gradients" in m.name)
        for kappa in (1e2, 1e4)
    }
    assert flops[1e4] / flops[1e2] == pytest.approx(10.0, rel=0.03)
    large = spu.LinearSystem(spd(64, 2.0), x)
    assert methods(large, 0.1)[0].name == "conjugate gradients"
    assert methods(large)[0].name == "Cholesky factorisation"


def test_a_sparse_matrix_has_the_operations_of_its_own_factor():
    """A path of n nodes: a factor of 2 n - 1 entries, and n - 1 columns of two."""
    n = 3000
    path = sp.diags_array([-np.ones(n - 1), 2.5 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
    problem = spu.LinearSystem(sp.csr_array(path), np.ones(n))
    assert problem.sparse
    (best,) = [method for method in methods(problem) if "Cholesky" in method.name]
    assert best.flops == 4 * (n - 1) + 1 + 4 * (2 * n - 1) and best.words == 2 * n - 1 + 2 * n
    # A dense one, given as sparse, has all of them.
    from spu.studies.energy.counted import cholesky

    full = replace(spu.GaussianSampling(precision=spd(30)))
    object.__setattr__(full, "matrix", sp.csr_array(full.matrix))
    assert cholesky(full)[0] == 30 * 31 * 61 / 6


def test_the_exponential_squares_as_often_as_its_norm_asks_for():
    from spu.studies.energy.digital import METHODS

    def flops(norm):
        turning = np.kron(np.eye(2), [[-0.1, norm], [-norm, -0.1]])
        problem = spu.MatrixExponential(turning, 1.0)
        return METHODS["exponential"](problem, None)[0].flops

    assert (
        flops(5.0) == (6 * 2 + 8 / 3) * 64
        and flops(21.0) == (8 * 2 + 8 / 3) * 64
        and flops(0.1) == (3 * 2 + 8 / 3) * 64
    )


def test_a_kind_from_outside_has_no_reference():
    class Mine:
        task = "mine"

    assert methods(Mine()) == () and reference_of(Mine()) == ({"mac": None}, "none is stated")
    with pytest.raises(InputError, match="a relative error between 0 and 1"):
        methods(spu.MatrixInverse(spd(3)), 1.0)


# Digital samplers


@pytest.mark.parametrize("method", ["cholesky", "gibbs", "langevin"])
def test_digital_samplers_take_as_many_steps_as_their_error_says(method):
    """200 runs of the stated steps: their mean square error is the stated one.

    That of one run is spread no more than chi-square of one degree, sqrt(2): 0.5 are 5 sigma of 200 (6e-7). A Gibbs
    sweep taken for an independent sample would be off by more than that.
    """
    problem = spu.GaussianSampling(precision=spd(4, 4.0))
    error = 0.3
    known = {each.name.split()[0].lower(): each for each in spu.digital_samplers(problem, error)}[method]
    steps = round(known.samples if method == "cholesky" else float(re.match(r"[\d.e+]+", known.formula)[0]))
    h = float(known.name.split()[-1]) if method == "langevin" else None
    P, squares = problem.target_covariance, []
    for seed in range(200):
        x = draw_digitally(problem, steps, method, seed=seed, step=h)
        squares.append(np.linalg.norm(x.T @ x / steps - P) ** 2 / np.linalg.norm(P) ** 2)
    assert np.mean(squares) / error**2 == pytest.approx(1.0, abs=0.5)


def test_chains_take_what_their_lags_add_up_to():
    """Sums over lags one by one, until they are gone: the closed forms are these."""
    A = spd(5, 30.0)
    P, error = np.linalg.inv(A), 0.02
    known = {each.name.split()[0]: each for each in spu.digital_samplers(spu.GaussianSampling(precision=A), error)}
    h = float(known["Langevin"].name.split()[-1])
    lower, eye = np.tril(A), np.eye(5)
    biased = P @ np.linalg.inv(eye - h * A / 2)
    for name, step, law, share in (
        ("Gibbs", -np.linalg.solve(lower, A - lower), P, 1.0),
        ("Langevin", eye - h * A, biased, 0.5),
    ):
        R, total = law, np.trace(law) ** 2 + (law**2).sum()
        for _ in range(20000):
            R = step @ R
            total += 2 * (np.trace(R) ** 2 + np.trace(R @ R))
        steps = total / (share * error**2 * (P**2).sum())
        # The step of Langevin dynamics is given to three digits.
        assert float(known[name].formula.split()[0]) == pytest.approx(steps, rel=0.01)
    assert np.linalg.norm(biased - P) / np.linalg.norm(P) == pytest.approx(error / math.sqrt(2), rel=0.01)


def test_digital_samples_have_the_mean_and_faults_are_one_line():
    problem = spu.GaussianSampling(precision=spd(3), mean=[1.0, 2.0, 3.0])
    for method in ("cholesky", "gibbs", "langevin"):
        assert np.abs(draw_digitally(problem, 4000, method).mean(axis=0) - [1.0, 2.0, 3.0]).max() < 2.0
    with pytest.raises(InputError, match="method is 'gibs'; did you mean 'gibbs'"):
        draw_digitally(problem, 3, "gibs")
    with pytest.raises(InputError, match="digital samplers are of a Gaussian"):
        spu.digital_samplers(spu.MatrixInverse(spd(3)))


def test_shipped_sizes():
    assumed = load_energy()
    assert assumed["supply"].price is None and assumed["code_time"].price is None
    assert assumed["efficiency"].price.typical == near(1 / (8.617e-5 * 300), 1e-3)
    rate = assumed["digital_rate"].price
    assert rate.typical == pytest.approx(math.sqrt(rate.low * rate.high), rel=0.01)
