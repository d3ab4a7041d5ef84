"""How costs grow: powers and crossings of synthetic points, studies of small matrices, the verb."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import SpuError
from spu.base.files import plain
from spu.cli import cli
from spu.studies.algebra.scaling import FAMILIES, PUBLISHED, Point, Scaling, crossed
from spu.studies.energy import load_energy


def synthetic(sizes, conditions=(10.0,), draws=3, noise=0.0, device=(1e-3, 1.0), digital=1e-9):
    """Points whose device time is ``c n^p kappa`` and energy ``1e-6 n``, beside ``digital n^3`` operations and J."""
    rng = np.random.default_rng(1)
    points = []
    for kappa in conditions:
        for n in sizes:
            for draw in range(draws):
                luck = math.exp(noise * rng.standard_normal())
                time = device[0] * n ** device[1] * kappa * luck
                points.append(
                    Point(
                        dimension=n,
                        asked=kappa,
                        draw=draw,
                        condition=kappa,
                        device_time=time,
                        burn_in=0.0,
                        readouts=1e3,
                        interval=1e-6,
                        size=math.sqrt(n),
                        programming_time=None,
                        power=1e-9,
                        energy={"heat": 1e-15, "readout": 1e-6 * n * luck},
                        unstated=("programming",),
                        method="by hand",
                        flops=1e3 * n**3,
                        digital={"mac": digital * n**3},
                    )
                )
    return Scaling("inverse", "uniform", 0.01, "ideal", "rc", tuple(points), PUBLISHED["inverse"], load_energy())


# Powers and crossings


def test_powers_are_those_that_were_put_in():
    fits = synthetic([4, 8, 16, 32], (10.0, 100.0)).fits
    assert fits["device_time"].dimension == pytest.approx(1.0) and fits["device_time"].condition == pytest.approx(1.0)
    assert fits["absolute_time"].dimension == pytest.approx(2.0) and fits["absolute_time"].last == pytest.approx(2.0)
    assert fits["flops"].dimension == pytest.approx(3.0) and fits["flops"].condition == pytest.approx(0.0, abs=1e-9)
    assert fits["readouts"].dimension_error == pytest.approx(0.0, abs=1e-9)
    one = synthetic([4, 8, 16]).fits["device_time"]
    assert one.condition is None and one.dimension == pytest.approx(1.0)
    alone = synthetic([4], (10.0,), draws=1).fits["device_time"]
    assert alone.dimension is None and alone.dimension_error is None and alone.last is None


def test_the_interval_of_a_power_holds_it_as_often_as_it_says():
    """Of 300 sets of points 95 % have the power inside: 285 +- 5 sigma of 3.8."""
    rng = np.random.default_rng(2)
    from spu.studies.algebra.scaling import _powers

    x = np.repeat(np.log([4.0, 8, 16, 32]), 3)
    given = np.column_stack([x, np.zeros_like(x)])
    inside = 0
    for _ in range(300):
        fit = _powers(given, 1.3 * x + 0.2 * rng.standard_normal(len(x)))
        inside += abs(fit.dimension - 1.3) <= fit.dimension_error
    assert 266 <= inside <= 300


def test_a_crossing_among_the_points_is_found():
    """1e-6 n against 1e-9 n^3 J: at the root of 1000."""
    found = synthetic([8, 16, 32, 64]).crossing("energy", 10.0)
    assert found.inside and found.dimension == pytest.approx(math.sqrt(1e3), rel=1e-6)


def test_a_crossing_beyond_the_points_is_said_to_be_extrapolated():
    found = synthetic([4, 8, 16]).crossing("energy", 10.0)
    assert not found.inside and found.dimension == pytest.approx(math.sqrt(1e3), rel=1e-6)
    assert "extrapolated" in found.words
    loud = synthetic([4, 8, 16], noise=0.1).crossing("energy", 10.0)
    assert loud.low < math.sqrt(1e3) < loud.high


def test_the_interval_of_a_crossing_holds_it_as_often_as_it_says():
    """Of 300 sets 95 % have the crossing inside: 285 +- 5 sigma."""
    rng = np.random.default_rng(3)
    n = np.repeat([4.0, 8, 16, 32], 3)
    inside = 0
    for _ in range(300):
        device = 1e-4 * n * np.exp(0.3 * rng.standard_normal(len(n)))
        found, among, low, high = crossed(n, device, 1e-9 * n**3)
        assert not among and found is not None
        inside += (low or 0.0) <= math.sqrt(1e5) <= (high or math.inf)
    assert 266 <= inside <= 300


def test_where_the_device_never_gains_there_is_no_crossing():
    found = synthetic([4, 8, 16], device=(1.0, 3.5)).crossing("time", 10.0)
    assert found.dimension is None and found.words.startswith("none")
    better = synthetic([4, 8], digital=1.0).crossing("energy", 10.0)
    assert better.dimension == 4.0 and better.inside


def test_what_moves_a_crossing():
    """Energy crosses at sqrt(c): half the price of a readout brings it in by sqrt(2), half that of an operation out."""
    moved = {(row["quantity"], row["assumption"]): row for row in synthetic([8, 16, 32, 64]).moved}
    crossing = math.sqrt(1e3)
    assert moved["energy", "readout"]["at_half"] == pytest.approx(crossing / math.sqrt(2), rel=1e-5)
    assert moved["energy", "mac"]["doubled"] == pytest.approx(crossing / math.sqrt(2), rel=1e-5)
    assert moved["energy", "mac"]["at_half"] == pytest.approx(crossing * math.sqrt(2), rel=1e-5)
    # Time goes as n / speed against n^3 / rate.
    at = synthetic([8, 16, 32, 64]).crossing("time", 10.0).dimension
    assert moved["time", "device_speed"]["doubled"] == pytest.approx(at / math.sqrt(2), rel=1e-5)
    assert moved["time", "digital_rate"]["doubled"] == pytest.approx(at * math.sqrt(2), rel=1e-5)
    assert ("energy", "heat") not in moved and ("time", "code_time") not in moved
    first = synthetic([8, 16, 32, 64])
    later = replace(
        first, points=tuple(replace(point, programming_time=1e-3 * point.dimension**2) for point in first.points)
    )
    rows = {(row["quantity"], row["assumption"]): row for row in later.moved}
    assert rows["time", "code_time"]["doubled"] > rows["time", "code_time"]["at_half"]


# Matrices


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_what_they_say(family):
    rng = np.random.default_rng(0)
    matrix = FAMILIES[family][0](200, 50.0, rng)
    values = np.linalg.eigvalsh(matrix)
    assert np.array_equal(matrix, matrix.T) and values[0] > 0
    if family == "wishart":
        assert values[-1] / values[0] == pytest.approx(34.0, rel=0.15)
    else:
        assert values[-1] / values[0] == pytest.approx(50.0, rel=1e-9)


def test_a_study_plans_with_one_architecture(tmp_path):
    given = {"dimensions": [2, 4], "conditions": [5.0], "error": 0.1, "draws": 2}
    found = spu.cost_scaling("inverse", **given, directory=tmp_path)
    assert found.architecture == "rlc-capacitive-dual" and len(found.planned) == 4
    point = found.points[-1]
    again = spu.plan(spu.MatrixInverse(_matrix(found, point)), error=0.1, architecture=found.architecture)
    assert point.device_time == pytest.approx(again.device_time, rel=1e-9)
    assert point.size == pytest.approx(np.linalg.norm(again.accuracy.target), rel=1e-9)
    assert point.digital.keys() == {"mac", "memory"} and point.flops == 64
    # Pieces are kept, and gone on with.
    kept = sorted(path.name for path in (tmp_path / "study" / "pieces" / "matrices").iterdir())
    assert len(kept) == 4
    later = spu.cost_scaling("inverse", **given, directory=tmp_path)
    assert [asdict(each) for each in later.points] == [asdict(each) for each in found.points]
    with pytest.raises(SpuError, match="another study"):
        spu.cost_scaling("inverse", **{**given, "error": 0.2}, directory=tmp_path)


def _matrix(found, point):
    from spu.studies.campaign import seed_of_piece

    rng = np.random.default_rng(seed_of_piece(0, point.dimension, point.draw))
    return FAMILIES[found.family][0](point.dimension, point.asked, rng)


def test_time_goes_with_the_inverse_square_of_the_error_and_the_condition():
    """Of the slowest mode: ten times the condition takes about ten times as long; a tenth of the error, a hundred."""
    found = spu.cost_scaling("inverse", [3, 6], [10.0, 100.0], 0.01, draws=2)
    assert found.fits["device_time"].condition == pytest.approx(1.0, abs=0.3)
    rough = spu.cost_scaling("inverse", [3, 6], [10.0, 100.0], 0.1, draws=2)
    ratios = [a.device_time / b.device_time for a, b in zip(found.points, rough.points, strict=True)]
    assert np.allclose(ratios, 100.0, rtol=0.1)


def test_matrices_that_hardware_does_not_hold_are_said_and_in_no_fit():
    found = spu.cost_scaling("inverse", [2, 3], [3.0], 0.1, draws=1, hardware="spu8", architecture="rlc-capacitive")
    assert [bool(point.why) for point in found.points] == [False, True] and found.dimensions == [2]
    assert "1 of 2 matrices have no plan: hardware spu8 cannot hold this problem" in str(found)
    with pytest.raises(SpuError, match="no matrix could be planned for: hardware spu8 cannot hold") as refused:
        spu.cost_scaling("inverse", [3], [3.0], 0.1, draws=1, hardware="spu8", architecture="rlc-capacitive")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "inverses"}, "no cost is worked out of it; did you mean 'inverse'"),
        ({"family": "wigner"}, "family is 'wigner'"),
        ({"error": 0.0}, "error is 0.0: a relative error between 0 and 1"),
        ({"draws": 0}, "draws is 0: it must be 1 or more"),
        ({"dimensions": [1]}, "whole numbers from 2 to"),
        ({"dimensions": [2.5]}, "dimensions must be a whole number"),
        ({"dimensions": []}, "whole numbers from 2 to"),
        ({"conditions": [0.5]}, "numbers from 1 to 1e6"),
        ({"conditions": [math.nan]}, "numbers from 1 to 1e6"),
        ({"family": "wishart", "conditions": [1.0, 2.0]}, "are not for the family wishart"),
        ({"hardware": "nowhere"}, "nowhere"),
        ({"energy": "nowhere.toml"}, "nowhere.toml"),
    ],
)
def test_wrong_input_is_one_line(given, said):
    options = {"task": "inverse", "dimensions": [2], "conditions": [2.0]} | given
    with pytest.raises(SpuError) as found:
        spu.cost_scaling(options.pop("task"), **options)
    assert said in str(found.value) and "\n" not in str(found.value)


# What is shown


def test_it_is_said_drawn_and_json(tmp_path):
    found = synthetic([8, 16, 32, 64], (10.0, 100.0), noise=0.05)
    said = str(found)
    for words in (
        "powers of n",
        "published: device time",
        "device cheaper than digital at condition 10: n = 3",
        "in no energy",
    ):
        assert words in said
    assert "what moves the crossing, at condition 10" in said
    data = json.loads(json.dumps(plain(found.to_dict()), allow_nan=False))
    assert data["powers"]["flops"]["dimension"] == pytest.approx(3.0)
    assert data["published"]["dimension"] == 2.0 and len(data["points"]) == 24 and len(data["crossings"]) == 4
    found.plot().savefig(tmp_path / "a.png")
    replace(found, published=None, points=found.points[:1]).plot().savefig(tmp_path / "b.png")


def test_the_verb(tmp_path):
    runner = CliRunner()
    words = ["scaling", "inverse", "--dimensions", "2,3", "--conditions", "4", "--error", "10%", "--draws", "1"]
    shown = runner.invoke(cli, [*words, "-o", str(tmp_path / "study"), "--plot", str(tmp_path / "a.png")])
    assert shown.exit_code == 0, shown.output
    assert "powers of n" in shown.output and (tmp_path / "a.png").is_file()
    found = runner.invoke(cli, [*words, "--json"])
    assert json.loads(found.stdout)["error"] == pytest.approx(0.1)
    for more, said in (
        (["--error", "x"], "--error must be a positive number such as 1% or 0.01"),
        (["--dimensions", "2,x"], "--dimensions takes numbers"),
        (["--dimensions", "2.5"], "--dimensions must be a whole number"),
        (["--family", "wigner"], "--family is 'wigner'"),
        (["--restart"], "give -o DIR"),
        (["--energy", str(tmp_path / "nowhere.toml")], "nowhere.toml"),
    ):
        refused = runner.invoke(cli, [*words, *more])
        assert refused.exit_code == 2 and said in refused.output, refused.output
        assert refused.output.strip().count("\n") == 0
