"""``spu yield`` and ``spu corners`` as they are typed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.folder import write_folder

A = [[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]]
TOLERANCE = "cell.capacitance=1%,coupler.capacitance=2%,cell.capacitance.process=2%"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("yield") / "out"
    write_folder(place, spu.compile_problem(spu.GaussianSampling(precision=A)))
    return place


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_yield_is_that_of_the_function(folder, tmp_path):
    words = ("yield", folder, "--limit", "3%", "--tolerance", TOLERANCE, "--draws", 120, "--seed", 2)
    said = run(*words, "--json", "--plot", tmp_path / "yield.png")
    assert said.exit_code == 0, said.output
    data = json.loads(said.output)
    found = spu.yields(folder, 0.03, tolerance=TOLERANCE, draws=120, seed=2)
    assert data["yield"] == found.rate and data["interval"] == list(found.interval)
    assert data["worst_case_distance"] == found.worst_case.distance
    assert (tmp_path / "yield.png").stat().st_size > 10_000
    shown = run(*words)
    assert shown.exit_code == 0 and shown.stdout.startswith(f"yield              {100 * found.rate:.4g} % (95 %: ")
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_limits_on_both_sides_and_what_is_wanted(folder):
    words = ("yield", folder, "--tolerance", TOLERANCE, "--draws", 40, "--method", "latin", "--json")
    both = json.loads(run(*words, "--limit", "0.5:0.6", "--metric", "variance x1").output)
    assert both["limit"] == {"low": 0.5, "high": 0.6} and both["method"] == "latin"
    assert both["interval_is"].startswith("Korn-Graubard")
    low = json.loads(run(*words, "--limit", "50%:", "--metric", "variance x1", "--wanted", "90%").output)
    assert low["limit"] == {"low": 0.5, "high": None} and low["wanted"]["wanted"] == 0.9


def test_boards_are_kept_and_checked(folder, tmp_path):
    words = ("yield", folder, "--limit", "3%", "--tolerance", TOLERANCE, "--draws", 30, "-o", tmp_path / "boards")
    said = run(*words, "--netlists", 1, "--check", "--json")
    assert said.exit_code == 0, said.output
    data = json.loads(said.output)
    (board,) = data["netlists"]
    assert board["verdict"] == "pass"
    assert json.loads(run("predict", board["folder"], "--json").output)["relative_error"] == pytest.approx(
        board["value"]
    )
    assert run(*words).exit_code == 0  # goes on from what is kept
    other = run(*words, "--seed", 1)
    assert other.exit_code == 2 and "is of another study (seed is 0 there and 1 here)" in other.output


def test_corners(folder, tmp_path):
    words = ("corners", folder, "--tolerance", TOLERANCE, "--temperature", "250:350:3", "--metric", "variance x1")
    said = run(*words, "--json", "--plot", tmp_path / "corners.svg")
    assert said.exit_code == 0, said.output
    data = json.loads(said.output)
    assert [corner["temperature"] for corner in data["corners"]][::3] == [250.0, 300.0, 350.0]
    shown = run(*words)
    assert "worst variance x1: capacitance -3 at" in shown.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["yield", "--limit", "3%"], "no tolerance is stated for this device: state it in the hardware's [tolerance]"),
        (["yield"], "Missing option '--limit'"),
        (["yield", "--limit", "a"], "--limit takes a number or two, as in --limit 3% or 0.9:1.1, not 'a'"),
        (["yield", "--limit", "1:2:3"], "--limit takes a number or two"),
        (["yield", "--limit", ":"], "limit is (None, None): a number is wanted"),
        (["yield", "--limit", "3%", "--restart"], "--restart is for boards that are kept: give -o DIR"),
        (["yield", "--limit", "3%", "--netlists", "2"], "--netlists is for boards that are kept: give -o DIR"),
        (["yield", "--limit", "3%", "--wanted", "x"], "--wanted must be a positive number such as 95% or 0.95"),
        (["yield", "--limit", "3%", "--plot", "a.bmp"], "cannot be drawn"),
        (["corners", "--temperature", "warm"], "--temperature takes numbers"),
        (["corners"], "no tolerance is stated for this device"),
    ],
)
def test_what_is_refused(folder, words, message):
    said = run(words[0], folder, *words[1:])
    assert said.exit_code == 2
    assert message in " ".join(said.output.split())
