"""Answers lie within their own error bars as often as these say: the study of benchmarks/, reduced.

A false alarm of all of these together, at any seeds: 1e-5 (``--level``, shared out among the tests of a command), and
mean squares beyond 5 of their standard errors, some 1e-5 each.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest

import spu

STUDY = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "algebra_calibration.py"))
SMALL = ["--largest", "6", "--condition", "100", "--level", "1e-5"]
RUNS = {"general-linear": 8, "determinant": 8}
A = [[2.0, -0.5], [-0.5, 1.0]]


@pytest.mark.parametrize("kind", STUDY["KINDS"])
def test_a_kind_is_calibrated(kind, capsys):
    assert STUDY["main"](["--runs", str(RUNS.get(kind, 16)), "--kinds", kind, *SMALL]) == 0
    assert "all within chance" in capsys.readouterr().out


def outcomes(rng, count, size):
    return [
        STUDY["Outcome"](float(z), float(rng.chisquare(4) / 4) * size**2) for z in size * rng.standard_normal(count)
    ]


@pytest.mark.parametrize("size", [0.6, 1.6])
def test_bars_that_are_off_are_seen(size):
    rng = np.random.default_rng(0)
    right, wrong = (STUDY["judge"](outcomes(rng, 200, each)) for each in (1.0, size))
    assert min(right.tests.values()) > 1e-4 and not right.far
    assert min(wrong.tests.values()) < 1e-5 and wrong.far


def test_a_bar_that_is_a_third_as_wide_fails_the_command(monkeypatch, capsys):
    monkeypatch.setitem(STUDY["KINDS"], "inverse", lambda draw: STUDY["Outcome"](3.0 * float(draw.rng.normal())))
    assert STUDY["main"](["--runs", "60", "--kinds", "inverse", *SMALL]) == 1
    assert "inverse: within" in capsys.readouterr().out
    monkeypatch.setitem(STUDY["KINDS"], "inverse", lambda draw: STUDY["Outcome"](float(draw.rng.normal())))
    assert STUDY["main"](["--runs", "60", "--kinds", "inverse", *SMALL]) == 0


def test_a_run_is_held_against_its_own_bar():
    """One run, entry by entry: what is compared is the answer, in its standard errors, at the error it states."""
    draw = STUDY["draws"]("inverse", 1, 0, 3, 10.0)[0]
    found = spu.answer(spu.MatrixInverse(A), error=0.05, seed=draw.seed, compare=True)
    every = {STUDY["outcome"](found.answer, found.standard_error, found.exact, draw, 0.05).z for _ in range(60)}
    wanted = np.unique(((np.asarray(found.answer) - found.exact) / found.standard_error).ravel())
    assert np.array(sorted(every)) == pytest.approx(wanted)
    ratio = STUDY["outcome"](found.answer, found.standard_error, found.exact, draw, 0.05).ratio
    assert ratio == pytest.approx((found.measured_error / 0.05) ** 2)


def test_intervals_of_success(capsys):
    assert STUDY["main"](["--runs", "30", "--kinds", "ising", "--few", "10", "--largest", "4", "--level", "1e-5"]) == 0
    assert "of intervals of 95 %" in capsys.readouterr().out


def test_problems_are_of_the_sizes_that_are_asked_for():
    found = STUDY["draws"]("inverse", 300, 0, 64, 1e4)
    assert {each.n for each in found} >= {2, 3} and max(each.n for each in found) > 50
    assert max(each.condition for each in found) > 5e3
    draw = found[0]
    assert np.linalg.cond(draw.definite(1e3)) == pytest.approx(1e3)
    assert {each.n for each in STUDY["draws"]("x", 50, 0, 2, 10.0)} == {2}
