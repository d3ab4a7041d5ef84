"""Log determinants by work: Bennett's estimate against numpy, its error bar, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import spu
from spu.base.errors import UsageError
from spu.studies.algebra.determinant import bennett, jarzynski


def _definite(n: int, condition: float, seed: int) -> np.ndarray:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    return np.asarray((basis * np.geomspace(1.0, condition, n)) @ basis.T)


CASES = [
    (2, 1.0, None),
    (2, 30.0, None),
    (3, 20.0, "rlc-capacitive-dual"),
    (4, 1e4, "rc-transconductor"),
    (6, 100.0, "rc-transconductor"),
]


@pytest.mark.parametrize(("n", "condition", "architecture"), CASES)
def test_log_determinants_lie_within_their_error_bars(n: int, condition: float, architecture: str | None) -> None:
    """At 5 standard errors: a false alarm in 2e6; sees half a kT in 400 pairs of a kT each."""
    device = spu.compile(spu.Determinant(_definite(n, condition, n)), architecture=architecture)
    found = spu.log_determinant(device, 400, seed=1)
    exact = np.linalg.slogdet(device.problem.matrix)[1]
    assert found.exact == pytest.approx(exact, rel=1e-12)
    assert abs(found.log_determinant - exact) < 5 * found.standard_error + 1e-9
    assert found.standard_error < 0.2 and found.systematic == pytest.approx(0.0, abs=1e-8)
    assert found.warnings == ()
    assert found.device_time == pytest.approx(400 * (2 * device.ramp.duration + found.burn_in))
    assert found.readouts == 800 * found.jumps


def test_error_bars_are_honest() -> None:
    """z-scores of 300 seeds are those of a normal: Kolmogorov-Smirnov at 1e-6; bars off by a factor of 2 are seen."""
    device = spu.compile(spu.Determinant(_definite(3, 20.0, 4)), architecture="rc-transconductor")
    runs = [spu.log_determinant(device, 60, seed=seed) for seed in range(300)]
    z = np.array([(found.log_determinant - found.exact) / found.standard_error for found in runs])
    assert stats.kstest(z, "norm").pvalue > 1e-6
    assert stats.kstest(2.0 * z, "norm").pvalue < 1e-6


def test_a_ramp_too_fast_has_a_wide_bar_and_says_so() -> None:
    device = spu.compile(spu.Determinant(_definite(4, 1e4, 1)), architecture="rc-transconductor")
    slow = spu.log_determinant(device, 100, seed=1)
    device.ramp = spu.Ramp(device.ramp.times / 1000, couplers=device.ramp.couplers)
    found = spu.log_determinant(device, 100, seed=1)
    assert found.estimate.hurried and "too fast for its error bar" in found.warnings[0]
    assert found.standard_error > 10 * slow.standard_error
    assert abs(found.log_determinant - found.exact) < 2 * found.standard_error
    with pytest.raises(UsageError, match="too fast for its error bar"):
        spu.log_determinant(device, error=0.01)


def test_bennetts_ratio_of_gaussian_works() -> None:
    """Works N(F + s^2/2, s^2) and N(-F + s^2/2, s^2) obey Crooks; at 5 errors, also where forward runs are fewer."""
    F, s = 3.0, 2.0
    rng = np.random.default_rng(7)
    for forward, backward in ((2000, 2000), (500, 3000)):
        f, b = F + s**2 / 2 + s * rng.normal(size=forward), -F + s**2 / 2 + s * rng.normal(size=backward)
        found = bennett(f, b)
        assert abs(found.free_energy - F) < 5 * found.standard_error < 0.5
        assert bennett(b, f).free_energy == pytest.approx(-found.free_energy, abs=1e-9)
        alone, bar = jarzynski(f)
        assert abs(alone - F) < 5 * max(bar, found.standard_error) and bar > found.standard_error
    apart = bennett(1e4 + rng.normal(size=50), 1e4 + rng.normal(size=50))  # nothing overflows, and the bar is wide
    assert apart.hurried and np.isfinite(apart.free_energy) and apart.standard_error > 5e3
    with pytest.raises(UsageError, match="two forward and two backward"):
        bennett([1.0], [1.0, 2.0])


def test_time_or_error_instead_of_runs() -> None:
    device = spu.compile(spu.Determinant([[2.0, -0.5], [-0.5, 1.0]]))
    pair = spu.log_determinant(device, 2).device_time / 2
    found = spu.log_determinant(device, time=20.5 * pair)
    assert found.trajectories == 20 and found.device_time <= 20.5 * pair
    found = spu.log_determinant(device, error=0.01, seed=3)
    assert found.standard_error == pytest.approx(0.01, rel=0.2)
    # Run number b hangs on the seed and b alone.
    assert found.forward[:100].tolist() == spu.log_determinant(device, 100, seed=3).forward.tolist()


def test_wrong_use_is_said_in_one_line() -> None:
    device = spu.compile(spu.Determinant([[2.0, -0.5], [-0.5, 1.0]]))
    for options, said in (
        ({"trajectories": 1}, "whole number from 2 on"),
        ({"error": -1.0}, "number above 0"),
        ({"time": 1e-12}, "too short"),
        ({"trajectories": 5, "error": 0.1}, "both say how many runs"),
    ):
        with pytest.raises(UsageError, match=said):
            spu.log_determinant(device, **options)
    with pytest.raises(UsageError, match="no ramp of its couplers"):
        spu.log_determinant(spu.compile([[2.0, -0.5], [-0.5, 1.0]]))
    with pytest.raises(spu.InputError, match="not positive definite"):
        spu.Determinant([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(spu.InputError, match="at most 512"):
        spu.Determinant(np.eye(513))


def test_thermal_noise_on_top_of_a_pseudo_potential_is_warned_of() -> None:
    device = spu.compile(spu.Determinant([[2.0, -0.9], [-0.9, 1.0]]), architecture="rc-resistive")
    device.temperature = 3e5
    found = spu.log_determinant(device, 100, seed=1)
    assert any("not one temperature" in warning for warning in found.warnings)
    assert abs(found.systematic) > 1e-3
    physical = spu.compile(spu.Determinant([[2.0, -0.9], [-0.9, 1.0]]), architecture="rlc-capacitive")
    physical.temperature = 3e5  # of every resistor alike: heat, and still one temperature
    assert spu.log_determinant(physical, 100, seed=1).warnings == ()


def test_a_determinant_without_couplers_is_a_product() -> None:
    device = spu.compile(spu.Determinant([[2.0, 0.0], [0.0, 3.0]]))
    found = spu.log_determinant(device, seed=1)
    assert found.log_determinant == pytest.approx(np.log(6.0), abs=1e-9) and found.standard_error == 0.0


def test_the_result_says_itself() -> None:
    found = spu.log_determinant(spu.compile(spu.Determinant([[2.0, -0.5], [-0.5, 1.0]])), 200, seed=1)
    text = str(found)
    for words in ("ln det", "exact", "of own parts", "one side alone", "dissipated", "readouts"):
        assert words in text
    assert found.to_dict()["hurried"] is False and found.mean_work is not None
    found.plot()
