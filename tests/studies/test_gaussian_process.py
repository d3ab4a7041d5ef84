"""Regression by a Gaussian process: the posterior, the hyperparameters, and the device that samples it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import multivariate_normal, norm

import spu
from spu.cli import cli
from spu.studies import gaussian_process as module

ROOT = Path(__file__).resolve().parents[2]
NILE = ROOT / "examples" / "nile.csv"

ALARM = 1e-7
"""Of each statistical assertion; a band that is 2 % too wide is seen nearly always."""


@pytest.fixture(scope="module")
def found():
    return spu.gaussian_process(NILE, points=10, samples=20_000, seed=3)


def test_the_data_are_those_that_everybody_has():
    """Durbin and Koopman (2001) state the mean of the hundred; the break is where they have it, in 1899."""
    year, volume = np.loadtxt(NILE, delimiter=",", skiprows=2).T
    assert len(year) == 100 and (year == 1871 + np.arange(100)).all()
    assert volume.mean() == 919.35 and (volume.min(), volume.max()) == (456, 1370)
    assert volume[year < 1899].mean() == pytest.approx(1097.75) and volume[year >= 1899].mean() == pytest.approx(
        849.97, abs=0.01
    )


@pytest.mark.parametrize("kernel", list(module.KERNELS))
def test_the_posterior_is_that_of_the_joint_law(kernel):
    """By the precision of the joint Gaussian of observations and function: no formula in common."""
    rng = np.random.default_rng(1)
    x, at = np.sort(rng.uniform(0, 5, 12)), np.array([0.3, 2.2, 7.0])
    y = np.sin(x) + 0.1 * rng.normal(size=12)
    found = spu.gaussian_process((x, y), at=at, kernel=kernel, signal=1.3, length=0.8, noise=0.2, samples=200)
    both = np.append(x, at)
    r = np.abs(both[:, None] - both) / 0.8
    shape = np.exp(-(r**2) / 2) if kernel == "squared-exponential" else (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)
    joint = 1.3**2 * shape + np.diag(np.append(np.full(12, 0.04), np.zeros(3)))
    precision = np.linalg.inv(joint)
    covariance = np.linalg.inv(precision[12:, 12:])
    mean = y.mean() - covariance @ precision[12:, :12] @ (y - y.mean())
    assert np.allclose(found.mean, mean, atol=1e-8) and np.allclose(found.covariance, covariance, atol=1e-8)
    known = multivariate_normal(np.zeros(12), joint[:12, :12]).logpdf(y - y.mean())
    assert found.log_likelihood == pytest.approx(known, rel=1e-9) and found.fitted == ()
    inside = []
    for k in range(12):  # leaving one out, by doing so
        rest = np.delete(np.arange(12), k)
        C = joint[np.ix_(rest, rest)]
        says = joint[k, rest] @ np.linalg.solve(C, (y - y.mean())[rest])
        spread = np.sqrt(joint[k, k] - joint[k, rest] @ np.linalg.solve(C, joint[rest, k]))
        inside.append(abs(y[k] - y.mean() - says) <= module.BAND * spread)
    assert found.held_out == pytest.approx(np.mean(inside))


def test_hyperparameters_are_where_the_likelihood_is_largest(found):
    assert found.fitted == ("signal", "length", "noise") and found.centre == 919.35
    given = {"signal": found.signal, "length": found.length, "noise": found.noise}
    for name in given:
        for factor in (0.97, 1.03):
            moved = {**given, name: given[name] * factor}
            assert spu.gaussian_process(NILE, points=2, samples=100, **moved).log_likelihood < found.log_likelihood
    assert all(value == float(f"{value:.4g}") for value in given.values())
    partly = spu.gaussian_process(NILE, points=2, samples=100, length=20.0)
    assert partly.fitted == ("signal", "noise") and partly.length == 20.0


def test_the_band_is_calibrated(found):
    """Means, deviations and coverage of the samples within their own error bars; functions of the posterior."""
    count = len(found.at)
    far = norm.isf(ALARM / 2 / count)
    assert found.law_error < 1e-9 and found.jitter == 0
    assert (np.abs(found.sampled_mean - found.mean) < far * found.mean_error).all()
    assert (np.abs(found.sampled_deviation - found.deviation) < far * found.deviation_error).all()
    assert abs(found.coverage - 0.95) < norm.isf(ALARM / 2) * max(found.coverage_error, 0.002)
    assert found.relative_error < 2 * found.expected_relative_error
    white = np.linalg.solve(np.linalg.cholesky(found.covariance), (found.paths - found.mean).T)
    assert (np.abs(white) < norm.isf(ALARM / 2 / white.size)).all() and found.paths.shape == (6, count)
    device = found.device
    assert device.hash == found.hash and spu.check(device, levels=["ideal", "ac"]).verdict == "pass"


def test_a_device_of_another_covariance_is_seen(monkeypatch):
    made = module.compile_problem

    def wider(problem, *rest, **options):
        other = spu.GaussianSampling(covariance=1.1 * problem.target_covariance, mean=problem.target_mean)
        return made(other, *rest, **options)

    monkeypatch.setattr(module, "compile_problem", wider)
    found = spu.gaussian_process(NILE, points=10)
    assert found.law_error > 0.05
    assert abs(found.coverage - 0.95) > norm.isf(ALARM / 2) * found.coverage_error
    far = np.abs(found.sampled_deviation - found.deviation) / found.deviation_error
    assert far.max() > norm.isf(ALARM / 2)


def test_a_smooth_process_is_held_with_a_stated_jitter():
    found = spu.gaussian_process(NILE, kernel="squared-exponential", length=30.0, points=16, samples=2000)
    assert found.jitter > 0 and found.condition == pytest.approx(1e4, rel=1e-6)
    assert found.jitter < 1e-3 * np.diag(found.covariance).max()
    assert "is added to the covariance's diagonal" in str(found)


def test_the_verb(tmp_path):
    words = ["regress", str(NILE), "--points", "6", "--samples", "2000"]
    options = ["-o", str(tmp_path / "gp.json"), "--plot", str(tmp_path / "gp.png"), "--json"]
    done = CliRunner().invoke(cli, [*words, *options])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["names"] == ["year", "volume"] and said["observations"] == 100 and len(said["paths"]) == 6
    assert spu.Device.read(tmp_path / "gp.json").hash == said["hash"]
    assert (tmp_path / "gp.png").read_bytes()[:4] == b"\x89PNG"
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 0 and f"hash {said['hash']}" in again.stdout


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("data", {}, "data are two arrays"),
        (([1.0, 2.0], [1.0, 2.0]), {}, "3 to 2000 observations are wanted"),
        (([1.0, 2.0, 3.0], [1.0, 2.0]), {}, "as many finite numbers"),
        (([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), {}, "that differ in x and in y"),
        (([1.0, 2.0, 3.0], ["a", 2.0, 3.0]), {}, "data are two arrays"),
        (None, {"kernel": "cubic"}, "kernel is squared-exponential or matern-32"),
        (None, {"points": 0}, "points must be from 1 to 256"),
        (None, {"at": [1.0, 1.0]}, "different finite numbers"),
        (None, {"length": -1.0}, "length must be positive"),
        (None, {"samples": "many"}, "samples must be a whole number"),
    ],
)
def test_wrong_use_is_one_line(given, options, message):
    data = NILE if given is None else 3 if given == "data" else given
    with pytest.raises(spu.SpuError) as refused:
        spu.gaussian_process(data, **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("page", ["gaussian_process.md", "natural_gradient.md"])
def test_the_pages_code_runs(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "howto" / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {"spu": spu})
