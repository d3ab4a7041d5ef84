"""Yields of devices whose boards are known: rates, contributions, worst cases, what a yield needs, kept studies."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from killing import killed_at
from scipy.stats import norm

import spu
from spu.base.errors import OptionError, UsageError
from spu.base.files import plain
from spu.folder import read_folder
from spu.studies.yields.boards import Boards
from spu.studies.yields.metrics import metric_of
from spu.studies.yields.slopes import contributions, derivatives, differences, exact_derivatives
from spu.studies.yields.spread import Variables
from spu.studies.yields.worst_case import worst_case

A = [[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]]
QUICK = {"distance": False}


def capacitor(sigma=0.02, **more):
    """One cell: its voltage has the variance kT/C, whatever its conductance is."""
    device = spu.Device(temperature=300.0, tolerance=spu.Tolerance(cell={"capacitance": spu.Spread(sigma, **more)}))
    device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    return device


def chain():
    return spu.compile(spu.GaussianSampling(precision=A))


TOLERANCE = spu.Tolerance(
    cell={"capacitance": spu.Spread(0.01, process=0.02), "conductance": 0.03}, coupler={"capacitance": 0.02}
)


# --- rates ---------------------------------------------------------------------------------


def test_the_yield_is_the_share_of_boards_and_its_interval_holds_the_truth():
    """A variance is within a limit where the capacitance is: of 40 studies at most 7 miss a truth at 95 % (1e-5)."""
    device = capacitor()
    nominal = spu.predict(device).covariance[0, 0]
    truth = norm.cdf((1 - 1 / 1.03) / 0.02)
    found = [spu.yields(device, 1.03 * nominal, "variance out", draws=300, seed=seed, **QUICK) for seed in range(40)]
    assert sum(each.interval[0] <= truth <= each.interval[1] for each in found) >= 33
    assert np.mean([each.rate for each in found]) == pytest.approx(truth, abs=5 * np.sqrt(truth * (1 - truth) / 12_000))
    assert all(each.rate == np.mean(each.values <= 1.03 * nominal) for each in found)


def test_limits_on_both_sides_and_below():
    device = capacitor()
    nominal = spu.predict(device).covariance[0, 0]
    both = spu.yields(device, (0.98 * nominal, 1.02 * nominal), "variance out", draws=400, **QUICK)
    inside = (both.values >= 0.98 * nominal) & (both.values <= 1.02 * nominal)
    assert both.rate == inside.mean() and 0.5 < both.rate < 0.9
    low = spu.yields(device, (0.98 * nominal, None), "variance out", draws=400, **QUICK)
    assert low.rate == (low.values >= 0.98 * nominal).mean()
    margin = spu.yields(device, 0.97 / 1e-6, "stability-margin", draws=50, **QUICK)
    assert (margin.low, margin.high) == (0.97 / 1e-6, None)
    assert margin.rate == (margin.values >= 0.97e6).mean()


def test_boards_without_a_law_are_bad_and_named():
    device = spu.compile([[1.0, 0.9], [0.9, 1.0]], architecture="rc-transconductor")
    found = spu.yields(device, 10.0, tolerance="coupler.transconductance=10%", draws=100, **QUICK)
    assert 0 < len(found.unstable) < 50
    assert np.isnan(found.values[list(found.unstable)]).all()
    assert not found.good[list(found.unstable)].any()
    assert found.quantiles[0.99] == np.inf
    assert json.loads(json.dumps(plain(found.to_dict())))["quantiles"]["0.99"] is None
    assert f"{len(found.unstable)} boards, bad: {found.unstable[0]}, {found.unstable[1]}" in " ".join(
        str(found).split()
    )
    margins = spu.yields(device, 0.0, "stability-margin", tolerance="coupler.transconductance=10%", draws=100, **QUICK)
    assert np.flatnonzero(~margins.good).tolist() == list(found.unstable)


def test_quantiles_are_those_of_the_boards():
    found = spu.yields(capacitor(), 0.05, draws=200, **QUICK)
    values = np.sort(found.values)
    assert found.quantiles[0.5] == values[99] and found.quantiles[0.95] == values[189]


# --- derivatives and contributions ---------------------------------------------------------


@pytest.mark.parametrize("name", ["variance x1", "covariance x1 x2", "mean x1", "relative-error", "time-constant"])
@pytest.mark.parametrize("made", ["chain", "system"])
def test_derivatives_equal_finite_differences(name, made):
    if made == "chain":
        device = spu.compile(spu.GaussianSampling(precision=A, mean=[1.0, -0.5, 0.0]), "ideal")
    else:
        device = spu.compile(spu.LinearSystem(A, [1.0, 2.0, 0.5]), architecture="rc-transconductor")
    elements = spu.elements_of(device)
    tolerance = spu.Tolerance(
        cell=dict.fromkeys(("capacitance", "conductance", "inductance", "noise", "bias"), 0.01),
        coupler={"capacitance": 0.01, "transconductance": 0.01},
    )
    variables = Variables(elements, tolerance)
    board = spu.draw_factors(elements, tolerance, 1, seed=4)[0]
    metric = metric_of(device, name)
    found = derivatives(device, metric, variables, board)
    for k in range(len(elements)):
        step = 1e-5
        ends = np.repeat(board[None], 2, axis=0)
        ends[:, k] *= np.exp([step, -step])
        up, down = metric.values(Boards(device, elements, ends))
        scale = max(np.abs(found).max(), 1e-3 * abs(metric.values(Boards(device, elements, board[None]))[0]))
        assert found[k] == pytest.approx((up - down) / (2 * step), abs=1e-6 * scale), elements.names[k]


@pytest.mark.parametrize("name", ["variance x1", "covariance x1 x2", "time-constant", "relative-error", "kl"])
def test_sensitivities_predict_the_spread_of_small_tolerances(name):
    """A tenth of the tolerance, so that second order is a per cent; five standard errors of 1500 boards."""
    device = chain()
    metric = metric_of(device, name)
    small = TOLERANCE.scaled(0.1)
    spreads = contributions(device, metric, Variables(spu.elements_of(device), small))
    draws = 300 if name == "time-constant" else 1500
    found = spu.yields(device, 1.0, name, tolerance=small, draws=draws, **QUICK)
    value, error = found.spread
    assert abs(value - spreads.first_order) < 5 * error + 0.01 * value
    assert sum(each.share for each in spreads.contributions) == pytest.approx(1.0)
    assert found.spreads.contributions == spreads.contributions


def test_shares_of_an_error_are_those_of_its_mean_square():
    """One element at a time, the others as they are made for: their mean squares are the shares."""
    device, draws = chain(), 400
    elements = spu.elements_of(device)
    found = spu.yields(device, 0.1, tolerance=TOLERANCE.scaled(0.1), draws=10, **QUICK).spreads
    whole = found.first_order**2
    factors = spu.draw_factors(elements, TOLERANCE.scaled(0.1), draws, seed=2)
    metric = metric_of(device, "relative-error")
    for each in found.contributions:
        if each.element.startswith("process"):
            continue
        alone = np.ones_like(factors)
        k = elements.number(each.element)
        sigma = elements.sigmas(TOLERANCE.scaled(0.1))[0][k]
        alone[:, k] = 1 + sigma * np.random.default_rng(k).standard_normal(draws)
        square = metric.values(Boards(device, elements, alone)) ** 2
        assert square.mean() / whole == pytest.approx(each.share, abs=6 * square.std() / whole / np.sqrt(draws) + 1e-9)


@pytest.mark.parametrize("name", ["variance x1", "covariance x1 x2", "deviation x2", "correlation x1 x2", "mean x3"])
def test_one_adjoint_gives_what_differences_give(name):
    device = spu.compile(spu.LinearSystem(A, [1.0, 2.0, 0.5]), architecture="rc-transconductor")
    variables = Variables(spu.elements_of(device), spu.Tolerance(cell={"capacitance": 0.1, "conductance": 0.1}))
    metric = metric_of(device, name)
    found = exact_derivatives(device, metric, variables)
    by_differences = differences(device, variables, np.ones(len(variables.elements)), metric.values)
    assert found == pytest.approx(by_differences, abs=1e-9 * max(np.abs(found).max(), 1e-3))
    assert found.any() or name == "mean x3"


def test_a_process_is_named_by_its_quantity():
    device = chain()
    found = spu.yields(device, 0.1, tolerance=TOLERANCE, draws=10, **QUICK)
    names = [each.element for each in found.spreads.contributions]
    assert "process capacitance" in names and "conductance of x2" in names
    # All capacitances together: the covariance scales as their inverse; of the cells alone it does not.
    alone = spu.yields(
        device,
        0.1,
        tolerance=spu.Tolerance(
            cell={"capacitance": spu.Spread(process=0.01)}, coupler={"capacitance": spu.Spread(process=0.01)}
        ),
        draws=10,
        **QUICK,
    )
    assert [(each.element, each.share) for each in alone.spreads.contributions] == [("process capacitance", 1.0)]
    assert alone.spreads.first_order == pytest.approx(0.01)


def test_inductances_leave_the_covariance_untouched():
    """With equal noise: published."""
    device = spu.compile(A)
    found = spu.yields(device, 1e-9, tolerance="cell.inductance=10%", draws=50, **QUICK)
    assert found.values.max() < 1e-12 and found.rate == 1.0 and found.spreads.first_order < 1e-12


@pytest.mark.parametrize(
    ("quality", "percents"), [(3.0, {1: 0.52, 5: 2.6, 10: 5.3}), (10.0, {1: 0.43, 5: 2.1, 10: 4.1})]
)
def test_published_scatter_of_resistors(quality, percents):
    """4 alike cells, couplers a quarter of the own capacitance, all to all; errors after the best common factor."""
    own, inductance = 1e-9, 1e-5
    total = own * (1 + 3 * 0.25)
    conductance = np.sqrt(total / inductance) / quality
    device = spu.Device()
    for name in "abcd":
        device.add_cell(name, capacitance=own, conductance=conductance, inductance=inductance, noise=4e-20)
    for k, a in enumerate("abcd"):
        for b in "abcd"[k + 1 :]:
            device.add_coupler(a, b, capacitance=0.25 * own)
    for percent, published in percents.items():
        found = spu.yields(device, 0.1, "rescaled-error", tolerance=f"cell.conductance={percent}%", draws=1000, **QUICK)
        # The published means are of 300 draws and two digits: 3 % each and rounding.
        assert 100 * found.values.mean() == pytest.approx(published, rel=0.1)


# --- worst cases ---------------------------------------------------------------------------


def test_the_worst_case_of_one_element_is_known():
    device = capacitor(0.02)
    nominal = spu.predict(device).covariance[0, 0]
    variables = Variables(spu.elements_of(device), device.tolerance)
    found = worst_case(device, metric_of(device, "variance out"), variables, None, 1.05 * nominal)
    assert found.distance == pytest.approx((1 - 1 / 1.05) / 0.02, rel=1e-9)
    assert found.direction == (("capacitance of out", pytest.approx(-found.distance)),)
    # Of two limits the nearer one; of an error either side.
    both = worst_case(device, metric_of(device, "variance out"), variables, 0.97 * nominal, 1.05 * nominal)
    assert both.limit == 0.97 * nominal and both.distance == pytest.approx((1 / 0.97 - 1) / 0.02, rel=1e-9)
    error = worst_case(device, metric_of(device, "relative-error"), variables, None, 0.05)
    assert error.distance == pytest.approx((1 - 1 / 1.05) / 0.02, rel=1e-9)


@pytest.mark.parametrize(("distribution", "distance"), [("uniform", None), ("lognormal", None), ("normal", None)])
def test_distances_count_what_is_as_rare(distribution, distance):
    """The share of boards beyond the limit is that of a normal variable beyond the distance, of one element."""
    device = capacitor(0.02, distribution=distribution)
    limit = 1.02
    nominal = spu.predict(device).covariance[0, 0]
    variables = Variables(spu.elements_of(device), device.tolerance)
    found = worst_case(device, metric_of(device, "variance out"), variables, None, limit * nominal)
    needed = 1 - 1 / limit
    if distribution == "normal":
        rare = norm.sf(needed / 0.02)
    elif distribution == "uniform":
        rare = 0.5 * (1 - needed / (0.02 * np.sqrt(3)))
    else:
        width = np.sqrt(np.log1p(0.02**2))
        rare = norm.cdf((np.log(1 - needed) + width**2 / 2) / width)
    assert norm.sf(found.distance) == pytest.approx(rare, rel=1e-8)


def test_the_worst_case_is_the_nearest_of_many():
    """On the sphere of its distance no board of many misses the limit, and a little outside along it one does."""
    device = chain()
    variables = Variables(spu.elements_of(device), TOLERANCE)
    for name, limit in (("relative-error", 0.05), ("variance x1", 0.65), ("kl", 2e-3)):
        metric = metric_of(device, name)
        found = worst_case(device, metric, variables, None, limit)
        assert found.settled and metric.values(
            Boards(device, variables.elements, found.factors[None])
        ) == pytest.approx(limit)
        points = np.random.default_rng(1).standard_normal((3000, len(variables)))
        points *= 0.999 * found.distance / np.linalg.norm(points, axis=1)[:, None]
        assert (metric.values(Boards(device, variables.elements, variables.factors(points))) < limit).all()
        beyond = np.zeros(len(variables))
        for element, sigmas in found.direction:
            beyond[variables.names.index(element)] = 1.01 * sigmas
        assert metric.values(Boards(device, variables.elements, variables.factors(beyond[None])))[0] > limit


def test_a_device_that_misses_the_limit_itself():
    device = capacitor(0.02)
    nominal = spu.predict(device).covariance[0, 0]
    found = spu.yields(device, 0.96 * nominal, "variance out", draws=60)
    assert found.worst_case.distance == pytest.approx(-(1 / 0.96 - 1) / 0.02, rel=1e-9)
    assert "on the good side" in str(found)
    far = spu.yields(device, 10 * nominal, "variance out", draws=60)
    assert far.worst_case.distance is None and far.rate == 1.0
    assert "no board within 8 standard deviations is at the limit" in str(far)


# --- what a yield needs --------------------------------------------------------------------


def test_the_wanted_tolerance_gives_the_wanted_yield():
    device = capacitor(0.02)
    found = spu.yields(device, 0.03, draws=500, wanted=0.9, **QUICK)
    scale = found.wanted.scale
    at, beyond = (
        spu.yields(device, 0.03, tolerance=device.tolerance.scaled(each), draws=500, **QUICK).rate
        for each in (scale, 1.01 * scale)
    )
    assert at >= 0.9 > beyond - 0.004
    assert found.wanted.sure < scale
    # Of a normal element 90 % lie within 1.645 standard deviations.
    assert scale == pytest.approx(0.03 / 1.645 / 0.02, rel=0.1)
    assert "of which the problem is compiled anew" in found.wanted.why


def test_a_yield_that_no_tolerance_gives():
    device = capacitor(0.02)
    nominal = spu.predict(device).covariance[0, 0]
    found = spu.yields(device, 0.96 * nominal, "variance out", draws=100, wanted=0.9, **QUICK)
    assert found.wanted.scale is None
    assert "the device as it is made for misses the limit itself" in str(found)


PRECISION = [[2.0, -0.7, -0.31], [-0.7, 1.6, -0.43], [-0.31, -0.43, 1.9]]


def test_bits_that_a_yield_needs(monkeypatch):
    """Couplers of 4 bits leave an error that no tolerance is to blame for; compiled anew with one more it is less."""
    monkeypatch.setattr("spu.studies.yields.yield_study._SCANNED_BITS", 1)
    hardware = replace(spu.load_hardware("spu8-4bit"), tolerance=spu.Tolerance(cell={"capacitance": 1e-5}))
    device = spu.compile(spu.GaussianSampling(precision=PRECISION), hardware)
    own = spu.predict(device).relative_error
    found = spu.yields(device, 0.6 * own, hardware=hardware, draws=60, wanted=0.9, scan=True, **QUICK)
    assert found.rate == 0.0 and found.wanted.scale is None
    assert found.wanted.bits == 1
    tried = {point.more_bits: point for point in found.wanted.tried}
    assert tried[0].rate == found.rate and tried[0].nominal == pytest.approx(own)
    assert tried[1].rate >= 0.9 and tried[1].nominal < 0.6 * own
    scanned = [point.more_bits for point in found.scan if point.nominal is not None]
    assert scanned == [-1, 0, 1]
    assert found.bits == (6, 4)
    assert "bits       7 and 5, at the stated tolerance" in str(found) and "5 and 3 bits" in str(found)


def test_a_scan_is_of_the_same_boards():
    device = capacitor(0.02)
    found = spu.yields(device, 0.03, draws=200, scan=True, **QUICK)
    by_scale = {point.scale: point for point in found.scan}
    assert by_scale[1.0].rate == found.rate
    rates = [point.rate for point in found.scan]
    assert rates == sorted(rates, reverse=True) and rates[0] == 1.0


# --- kept studies, workers -----------------------------------------------------------------


def study(directory=None, **more):
    return spu.yields(chain(), 0.05, tolerance=TOLERANCE, draws=700, directory=directory, **QUICK, **more)


def test_workers_change_no_bit(tmp_path):
    here, there = study(), study(tmp_path / "kept", cluster="local:2")
    assert (here.values == there.values).all() and here.to_dict() == there.to_dict()


@pytest.mark.parametrize("step", [8, 14])
def test_a_killed_study_goes_on(tmp_path, step):
    """Killed while it writes pieces; what is there is kept, and the rest has the same numbers."""
    assert killed_at(step, lambda: study(tmp_path / "out"))
    found = study(tmp_path / "out")
    assert (found.values == study().values).all()
    table = (tmp_path / "out" / "boards.csv").read_text().splitlines()
    assert table[0] == "board,relative-error,good" and len(table) == 701
    assert float(table[5].split(",")[1]) == found.values[4]


def test_another_limit_does_no_board_again(tmp_path, monkeypatch):
    study(tmp_path / "out")
    monkeypatch.setattr("spu.studies.yields.sampling._measured", None)
    other = spu.yields(chain(), 0.02, tolerance=TOLERANCE, draws=700, directory=tmp_path / "out", **QUICK)
    assert other.draws == 700


# --- the worst boards ----------------------------------------------------------------------


def test_the_worst_boards_are_written_and_checked(tmp_path):
    found = spu.yields(
        chain(), 0.03, tolerance=TOLERANCE, draws=60, directory=tmp_path / "out", netlists=2, check=True, **QUICK
    )
    order = np.argsort(-found.values)
    assert [board.number for board in found.netlists] == order[:2].tolist()
    for board in found.netlists:
        folder = read_folder(board.folder)
        assert spu.predict(folder).relative_error == pytest.approx(board.value, rel=1e-9)
        assert not folder.device.tolerance
        assert folder.netlist is not None
        assert board.verdict == "pass" and board.levels["ac"] == "pass"
    assert found.confirmed
    assert "not checked" not in str(found) and "pass" in str(found)
    # Again: the same folders, left as they are.
    again = spu.yields(chain(), 0.03, tolerance=TOLERANCE, draws=60, directory=tmp_path / "out", netlists=2, **QUICK)
    assert [board.folder for board in again.netlists] == [board.folder for board in found.netlists]


def test_boards_without_a_problem_are_written_too(tmp_path):
    found = spu.yields(capacitor(), 0.03, draws=20, directory=tmp_path / "out", netlists=1, **QUICK)
    (board,) = found.netlists
    folder = read_folder(board.folder)
    assert folder.netlist is not None and folder.posed is None
    nominal = spu.predict(capacitor()).covariance[0, 0]
    assert abs(spu.predict(folder).covariance[0, 0] / nominal - 1) == pytest.approx(board.value)
    assert spu.check(board.folder, levels=["answer"]).verdict == "pass"
    spu.yields(capacitor(), 0.03, draws=20, directory=tmp_path / "out", netlists=1, **QUICK)


def test_an_edited_board_is_not_written_over(tmp_path):
    given = {"tolerance": TOLERANCE, "draws": 20, "directory": tmp_path / "out", "netlists": 1, **QUICK}
    (board,) = spu.yields(chain(), 0.03, **given).netlists
    file = read_folder(board.folder).netlist
    file.write_text(file.read_text().replace("1e-05", "2e-05"))
    spu.yields(chain(), 0.03, **given)
    assert "2e-05" in file.read_text()


# --- what is said, and refused -------------------------------------------------------------


def test_texts_fit_and_show_themselves():
    found = spu.yields(chain(), 0.03, tolerance=TOLERANCE, draws=80, wanted=0.9, scan=True)
    assert max(map(len, str(found).splitlines())) <= 100
    html = found._repr_html_()
    assert "<table" in html and "<svg" in html and "process capacitance" in html
    assert len(found.plot().axes) == 4
    data = json.loads(json.dumps(plain(found.to_dict()), allow_nan=False))
    assert data["yield"] == found.rate and data["interval"] == list(found.interval)
    assert {"draws", "quantiles", "contributions", "predicted", "worst_case_distance", "wanted"} <= set(data)
    assert set(data["contributions"][0]) == {"element", "share", "effect"}
    assert repr(found).startswith("Yield(metric='relative-error', rate=")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no tolerance is stated for this device: state it in the hardware's [tolerance]"),
        (
            {"tolerance": "coupler.inductance=1%"},
            "the tolerance is of 'coupler.inductance', and the device has no such",
        ),
        ({"tolerance": "capacitance=1%"}, "tolerance 'capacitance=1%': it reads as cell.capacitance=1%"),
        ({"tolerance": "cell.capacitance=x"}, "'x' is no number, as 1% or 0.01"),
        ({"tolerance": "cell.capacity=1%"}, "tolerance.cell has no quantity 'capacity'"),
        ({"tolerance": "cell.capacitance.sigma=1%"}, "tolerance.cell.capacitance has no key 'sigma'"),
        ({"tolerance": TOLERANCE, "draws": 0}, "draws is 0: it must be 1 or more"),
        ({"tolerance": TOLERANCE, "draws": 1.5}, "draws must be a whole number"),
        ({"tolerance": TOLERANCE, "method": "sobol"}, "method is 'sobol'"),
        ({"tolerance": TOLERANCE, "method": "latin", "draws": 30}, "20 hypercubes are drawn"),
        ({"tolerance": TOLERANCE, "confidence": 2.0}, "confidence is 2.0: a share between 0 and 1"),
        ({"tolerance": TOLERANCE, "wanted": 1.0}, "wanted is 1.0: a share between 0 and 1"),
        ({"tolerance": TOLERANCE, "check": True}, "check is of netlists that are written"),
        ({"tolerance": TOLERANCE, "netlists": 1}, "netlists are written into a folder: give one"),
        ({"tolerance": TOLERANCE, "seed": -1}, "seed must not be negative"),
        ({"hardware": "spu8"}, "hardware spu8 states no [tolerance]"),
        ({"tolerance": TOLERANCE, "limit": (2.0, 1.0)}, "limit is from 2 to 1: nothing lies between"),
        ({"tolerance": TOLERANCE, "limit": "3%"}, "limit is '3%': a number is wanted, or (low, high)"),
        ({"tolerance": TOLERANCE, "limit": (None, None)}, "a number is wanted, or (low, high)"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(spu.SpuError) as refused:
        spu.yields(chain(), **{"limit": 0.03, **QUICK, **options})
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_words_of_a_tolerance():
    found = spu.yields(
        chain(),
        0.03,
        tolerance="cell.capacitance=1%, cell.capacitance.process=5%,coupler.capacitance=0.02,"
        "cell.conductance=2%,cell.conductance.distribution=uniform",
        draws=3,
        **QUICK,
    )
    assert found.tolerance == {
        "cell": {
            "capacitance": {"mismatch": 0.01, "process": 0.05},
            "conductance": {"mismatch": 0.02, "distribution": "uniform"},
        },
        "coupler": {"capacitance": 0.02},
    }


def test_networks_and_netlists_have_no_boards():
    with pytest.raises(UsageError, match="boards of nonlinear cells have no exact law: spu compile --draw N makes one"):
        spu.yields(spu.compile(spu.ThermodynamicNetwork(units=2, J4=1.0)), 0.1)
    from spu.device.subject import circuits

    with pytest.raises(UsageError, match="boards are drawn of a device's elements"):
        spu.yields(circuits(chain())[0], 0.1)
    with pytest.raises(OptionError, match="limit"):
        spu.yields(chain(), None, tolerance=TOLERANCE)
