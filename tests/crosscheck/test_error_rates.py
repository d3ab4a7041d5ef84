"""What a check says of its own errors: p-values, false-alarm rates, and the smallest deviation that it finds.

Statistical assertions are made at 1e-8 each, about 1e-6 for the file. A Kolmogorov-Smirnov test over 300 p-values
then finds a distribution function that is off by 0.19 anywhere, one over 1500 by 0.085; scores of 1000 runs show a
standard deviation that is off by a tenth.
"""

import json
import re
import shutil
import time

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom, chi2, kstest, norm

import spu
from spu.base.errors import UsageError
from spu.cli import cli
from spu.crosscheck.context import FALSE_ALARM, Context
from spu.crosscheck.levels import noise as transient
from spu.crosscheck.levels import recording
from spu.crosscheck.statistics.sampled import SampledLaw
from spu.crosscheck.statistics.tails import Mixture, threshold, wishart_p
from spu.crosscheck.statistics.whiteness import LAGS, Sums, battery, smallest_level
from spu.device.lower import lower
from spu.emulator.laws.propagate import respond, responses
from spu.folder import write_folder
from tests.crosscheck.test_crosscheck import COMPILED, algebraic, loops

CHANCE = 1e-8
RATE = FALSE_ALARM / transient.KINDS


def _uniform(p_values):
    return kstest(p_values, "uniform").pvalue > CHANCE


def _standard(scores):
    """Whether scores are standard normal, in law and in their spread."""
    spread = chi2.cdf((scores**2).sum(), len(scores))
    return _uniform(norm.sf(scores)) and CHANCE < spread < 1 - CHANCE


def _nearly_always(seen, runs):
    """Whether ``seen`` of ``runs`` may be 99 %: fewer than this are seen by chance once in 1e8."""
    return seen >= binom.ppf(CHANCE, runs, 0.99)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("devices")
    for name, make in COMPILED.items():
        write_folder(root / name, make())
    return root


@pytest.fixture
def copy(folders, tmp_path):
    return lambda name: shutil.copytree(folders / name, tmp_path / name)


# --- tails ---------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [3.0, 10.0, 400.0])
def test_saddlepoint_tails_of_one_chi_squared(freedom):
    values = chi2.isf([1e-14, 1e-9, 1e-3, 0.4, 0.6, 0.999, 1 - 1e-9], freedom)
    mixture = Mixture(np.full((len(values), 1), 2.0), np.array([[freedom]]))
    assert mixture.mean == pytest.approx(2 * freedom)
    score = mixture.normal(2 * values)
    assert norm.sf(score[:4]) == pytest.approx(chi2.sf(values[:4], freedom), rel=0.05)
    assert norm.cdf(score[4:]) == pytest.approx(chi2.cdf(values[4:], freedom), rel=0.05)
    for wanted in (-5.0, -1.0, 0.0, 2.0, 6.0):
        assert mixture.normal(mixture.quantile(wanted)) == pytest.approx(wanted, abs=1e-6)
    assert mixture.normal(np.full(len(values), -1.0)) == pytest.approx(-np.inf)


def test_saddlepoint_of_weights_of_both_signs():
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((1, 20))
    draws = (weights * rng.chisquare(1.0, (1500, 20))).sum(axis=1)
    mixture = Mixture(np.repeat(weights, 1500, axis=0), np.array([[1.0]]))
    assert _uniform(norm.sf(mixture.normal(draws)))


def test_the_product_of_two_normals_in_closed_form():
    # Half of a chi-squared less half of another, two degrees of freedom each: a Laplace distribution.
    mixture = Mixture(np.array([[0.5, -0.5]]), np.array([[2.0]]))
    for value in (0.5, 3.0, 20.0):
        assert norm.sf(mixture.normal(np.array([value]))) == pytest.approx(0.5 * np.exp(-value), rel=0.12)


@pytest.mark.parametrize(("width", "count"), [(1, 30), (4, 60), (10, 14)])
def test_the_likelihood_ratio_of_a_whole_matrix_is_calibrated(width, count):
    rng = np.random.default_rng(2)
    samples = rng.standard_normal((1500, count, width))
    assert _uniform([wishart_p(x.T @ x, count) for x in samples])


# --- whiteness -----------------------------------------------------------------------------


def _white(rng, count=8000, width=4):
    return rng.standard_normal((count, width))


def _battery(x):
    sums = Sums(x.shape[1])
    sums.add(x)
    return {test.name: test for test in battery(sums, [f"s{k}" for k in range(x.shape[1])])}


@pytest.mark.parametrize(("count", "runs"), [(100, 1500), (8192, 300)])
def test_p_values_of_white_numbers_are_uniform(count, runs):
    rng = np.random.default_rng(3)
    found = [_battery(_white(rng, count, 3)) for _ in range(runs)]
    for name in found[0]:
        assert _uniform([each[name].p_value for each in found]), name


def test_runs_add_up_and_do_not_reach_into_one_another():
    rng = np.random.default_rng(4)
    a, b = _white(rng, 500, 2), _white(rng, 300, 2)
    both = Sums(2)
    both.add(a)
    both.add(b)
    for lag in range(LAGS + 1):
        expected = sum(x[lag:].T @ x[: len(x) - lag] for x in (a, b))
        assert both.products[lag] == pytest.approx(expected, abs=1e-9)
        assert both.pairs[lag] == 800 - 2 * lag


@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_off_by_the_stated_size_is_detected(sign):
    rng = np.random.default_rng(5)
    size, runs, seen, half = smallest_level(4000, 4, RATE), 300, 0, 0
    for _ in range(runs):
        noise = _white(rng, 4000)
        for scale in (1.0, 0.5):
            changed = noise * np.where(np.arange(4) == 2, 1 + sign * scale * size, 1.0)
            sums = Sums(4)
            sums.products[0], sums.count, sums.pairs[:] = changed.T @ changed, 4000, 4000
            test = battery(sums, ["a", "b", "c", "d"])[0]
            caught = test.p_value < RATE and test.where == "c"
            seen, half = (seen + caught, half) if scale == 1.0 else (seen, half + caught)
    assert _nearly_always(seen, runs)
    assert not _nearly_always(half, runs)  # what is stated is about the smallest


def _mean(noise):
    noise[:, 2] += 0.1


def _red(noise):
    noise[1:, 2] += 0.1 * noise[:-1, 2]


def _red_far(noise):
    noise[LAGS:, 2] += 0.1 * noise[:-LAGS, 2]


def _shared(noise):
    noise[:, 2] += 0.1 * noise[:, 1]


def _shared_late(noise):
    noise[1:, 2] += 0.1 * noise[:-1, 1]


def _uniform_numbers(noise):
    noise[:, 2] = np.sqrt(12) * (norm.cdf(noise[:, 2]) - 0.5)


def _skew(noise):
    noise[:, 2] = (noise[:, 2] + 0.1 * (noise[:, 2] ** 2 - 1)) / np.sqrt(1.02)


def _all_alike(noise):
    noise += 0.02 * noise.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("spoil", "kind", "where"),
    [
        (_mean, "mean", "s2"),
        (_red, "lagged correlation", "s2 with itself 1 sample before"),
        (_red_far, "lagged correlation", f"s2 with itself {LAGS} samples before"),
        (_shared, "correlation", "s1 with s2"),
        (_shared_late, "lagged correlation", "s2 with s1 1 sample before"),
        (_uniform_numbers, "normality", "s2"),
        (_skew, "normality", "s2"),
        (_all_alike, "covariance matrix", "all together"),
    ],
)
def test_what_is_not_white_is_found_where_it_is(spoil, kind, where):
    rng = np.random.default_rng(6)
    for _ in range(5):
        noise = _white(rng, 16_000)
        spoil(noise)
        found = _battery(noise)[kind]
        assert found.p_value < RATE and found.where == where


# --- the law under sampled and held noise ---------------------------------------------------

DEVICES = {
    "rlc": lambda: COMPILED["rlc"]().device,
    "transconductor": lambda: COMPILED["transconductor"]().device,
    "loops": loops,
    "algebraic": algebraic,
}


def _sampled(name, rms=1e-6):
    context = Context(lower(DEVICES[name]()), None, None, None)
    law = SampledLaw(context.law.dense, context.timing.sample_time, rms, context.timing.slowest)
    return law, [context.circuit.probes[k] for k in law.heard]


def _paths(law, rng, count, runs):
    """(runs, count, h) normalised voltages at the sample instants, stationary from the first on."""
    values, vectors = np.linalg.eigh(law.state_covariance)
    root = vectors * np.sqrt(values.clip(0))
    z = rng.standard_normal((runs, len(root))) @ root.T
    left = law.dense.H[law.heard] / law.rms_voltages[law.heard, None]
    paths = np.empty((runs, count, len(left)))
    for k in range(count):
        paths[:, k] = z @ left.T
        z = z @ law.transition.T + rng.standard_normal((runs, law.push.shape[1])) @ law.push.T
    return paths


def _scores(law, i, j, count, values):
    """Normal scores of one entry's values; the law is smooth, so a grid of it will do."""
    grid = np.linspace(values.min(), values.max(), 300)
    one = law.entry_law(np.array([i]), np.array([j]), count, 1)
    return np.interp(values, grid, Mixture(np.repeat(one.weights, len(grid), axis=0), one.freedom[:1]).normal(grid))


@pytest.mark.parametrize("name", ["rlc", "loops", "algebraic"])
def test_p_values_of_a_correct_device_are_uniform(name):
    law, names = _sampled(name)
    count, runs = 2500, 1000
    paths = _paths(law, np.random.default_rng(7), count, runs)
    covariances = np.einsum("rki,rkj->rij", paths, paths) / count
    means = paths.mean(axis=1)
    h = len(names)
    rows, cols = np.triu_indices(h)
    for i, j in zip(rows, cols, strict=True):
        assert _standard(_scores(law, i, j, count, covariances[:, i, j])), (names[i], names[j])
    spread = np.sqrt(np.diag(law.mean_covariance(count)))
    for k in range(h):
        assert _standard(means[:, k] / spread[k]), names[k]
    filtered = law.innovations(max(1, min(round(law.slowest / law.interval), count // 64)))
    kinds = {}
    for r in range(300):
        sums = Sums(filtered.width)
        sums.add(filtered.of(paths[r]))
        tests = battery(sums, [str(k) for k in range(filtered.width)])
        tests += [test for test in law.test_means(means[r], count, 1, names) if test.tests == 1]
        for test in tests:
            kinds.setdefault(test.name, []).append(test.p_value)
    for kind, p_values in kinds.items():
        assert _uniform(p_values), kind
    # Kinds whose members depend on one another: at most the stated rate. At 0.2 for each of the two:
    entries = [test for r in range(100) for test in law.test_entries(covariances[r], count, 1, names)]
    assert sum(test.p_value < 0.2 for test in entries) <= binom.isf(CHANCE, len(entries), 0.2)


@pytest.mark.parametrize("name", ["rlc", "transconductor"])
def test_a_variance_off_by_the_stated_size_is_found(name):
    law, names = _sampled(name)
    count, runs = 6000, 300
    paths = _paths(law, np.random.default_rng(8), count, runs)
    variances = (paths**2).mean(axis=1)
    size = law.smallest_variance(count, 1, RATE)
    limit = threshold(RATE / len(names))

    def seen(change):
        return np.sum(np.abs(_scores(law, 1, 1, count, variances[:, 1] * (1 + change))) > limit)

    # The larger of both directions is stated; neither is missed.
    assert _nearly_always(seen(size[1]), runs) and _nearly_always(seen(-size[1]), runs)
    half = seen(0.5 * size[1])
    assert not _nearly_always(half, runs)


def test_the_plan_has_the_samples_that_it_needs_and_no_more():
    law, _ = _sampled("rlc")
    for change in (0.5, 0.05):
        count = law.samples_for(change, RATE)
        assert 0.98 * change <= law.smallest_variance(count, 1, RATE).max() <= change
        # Runs of their own, each after its burn-in, are worth what one long one is.
        assert law.smallest_variance(count // 4, 4, RATE).max() == pytest.approx(change, rel=0.05)


def test_effective_samples_follow_from_the_spectrum():
    # One RC cell: R(l) = r^l, so the variance's variance is (2/N) (1 + r^2)/(1 - r^2), but for the ends.
    device = spu.Device(temperature=0.0)
    device.add_cell("a", capacitance=2e-9, conductance=5e-4, noise=4e-20)
    context = Context(lower(device), None, None, None)
    law = SampledLaw(context.law.dense, 1e-6, 1e-6, context.timing.slowest)
    ratio = np.exp(-1e-6 * 5e-4 / 2e-9)
    count = 10_000
    ends = ratio**2 / (1 - ratio**2) ** 2 / count
    exact = count / ((1 + ratio**2) / (1 - ratio**2) - 2 * ends)
    assert law.effective_samples(count, 3) == pytest.approx(3 * exact, rel=1e-6)


def test_sampled_covariance_is_that_of_a_train_of_held_pulses():
    """Brute force: the variance is the sum of squares of the responses to each source's pulse at each age."""
    law, _ = _sampled("rlc")
    sources = law.push.shape[1]
    ages = int(40 * law.slowest / law.interval)
    expected = np.zeros_like(law.covariance)
    for source in range(sources):
        pulse = np.zeros((ages + 1, sources))
        pulse[0, source] = law.rms
        path = respond(law.dense, pulse, law.interval, hold=True) - law.dense.H @ law.dense.mean
        expected += path[1:].T @ path[1:]
    assert law.covariance == pytest.approx(expected, rel=1e-9, abs=1e-12 * expected.max())


def test_sampled_covariance_of_one_cell_in_closed_form():
    device = spu.Device(temperature=0.0)
    device.add_cell("a", capacitance=2e-9, conductance=5e-4, noise=4e-20)
    context = Context(lower(device), None, None, None)
    interval, rms = 1e-6, 1e-4
    law = SampledLaw(context.law.dense, interval, rms, context.timing.slowest)
    decay = np.exp(-interval * 5e-4 / 2e-9)
    current = np.sqrt(4e-20) / 1e-9 * rms  # the unit source is 1 nV/sqrt(Hz)
    expected = (1 - decay) ** 2 / (1 - decay**2) * (current / 5e-4) ** 2
    assert law.covariance.item() == pytest.approx(expected, rel=1e-12)
    assert law.transition.item() == pytest.approx(decay, rel=1e-12)


def test_responses_of_several_laws_are_those_of_each():
    contexts = [Context(lower(DEVICES[name]()), None, None, None) for name in ("loops", "loops")]
    laws = [contexts[0].law, contexts[1].perturbed[3].law]
    noise = np.random.default_rng(9).standard_normal((50, len(contexts[0].circuit.sources)))
    for hold in (True, False):
        found = responses(laws, noise, 1e-7, hold=hold, from_zero=False)
        for law, path in zip(laws, found, strict=True):
            expected = respond(law.dense, noise, 1e-7, hold=hold)
            assert path == pytest.approx(expected, rel=1e-9, abs=1e-12 * np.abs(expected).max())


# --- with ngspice --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "level"), [("rlc", "ac"), ("resistive", "op"), ("rlc", "replay"), ("rlc", "noise")])
@pytest.mark.sampled(2)
def test_the_hardest_element_changed_by_the_stated_size_is_seen(copy, monkeypatch, name, level):
    """No chance is involved but at level noise, and there the path decides: one change each is proof."""
    monkeypatch.setattr(transient, "TRANSIENT_SAMPLES", 2048)
    folder = copy(name)
    deck = (folder / "device.cir").read_text()
    stated = spu.check(folder, levels=[level]).levels[level]
    assert stated.verdict == "pass"
    key, _, instance = stated.detects["hardest"].partition(" of ")
    for factor, verdicts in ((1.1, ("fail", "inconclusive")), (0.2, ("pass",))):
        size = factor * stated.detects["element_worst"]
        changed, count = re.subn(
            rf"(?m)^({instance} .*\b{key}=)(\S+)", lambda m, size=size: f"{m[1]}{{{1 + size!r}*{m[2]}}}", deck
        )
        assert count == 1
        (folder / "device.cir").write_text(changed)
        found = spu.check(folder, levels=[level]).levels[level]
        assert found.verdict in verdicts, (factor, found.message)


@pytest.mark.parametrize(("name", "factor"), [("rlc", 0.5), ("rlc", 3.0), ("resistive", 4.0)])
def test_other_sample_times_are_predicted_and_pass(copy, name, factor):
    folder = copy(name)
    deck = (folder / "device.cir").read_text()
    changed, count = re.subn(r"(?m)^(\.param ts=)(\S+)", lambda m: f"{m[1]}{factor * float(m[2])!r}", deck)
    assert count == 1
    (folder / "device.cir").write_text(changed)
    found = spu.check(folder, levels=["noise"])
    assert found.verdict == "pass", found.levels["noise"].message
    row = next(
        c for c in found.comparisons if c.between == ("emulator", "ngspice transient") and c.quantity == "covariance"
    )
    assert row.within
    # To first order the bias goes with the square of w ts.
    bias = found.levels["noise"].data["covariance"]["sampling_bias"]
    usual = {"rlc": 5.6e-3, "resistive": 9.6e-4}[name]
    assert bias == pytest.approx(usual * factor**2, rel=0.25)
    assert row.unexplained < 5 * row.scatter


def test_samples_so_coarse_that_they_say_nothing_are_not_called_a_pass(copy, monkeypatch):
    monkeypatch.setattr(transient, "TRANSIENT_SAMPLES", 512)
    folder = copy("rlc")
    deck = (folder / "device.cir").read_text()
    changed = re.sub(r"(?m)^(\.param ts=)(\S+)", lambda m: f"{m[1]}{12 * float(m[2])!r}", deck)
    (folder / "device.cir").write_text(changed)
    level = spu.check(folder, levels=["noise"]).levels["noise"]
    assert level.verdict == "inconclusive" and "holds its noise samples" in level.message


def test_finite_steps_fall_with_the_step_limit_and_are_told_from_the_rest(folders, monkeypatch):
    monkeypatch.setattr(transient, "TRANSIENT_SAMPLES", 2048)
    steps = []
    for limit in (6, 24):
        monkeypatch.setattr(recording, "STEP_LIMITS", (limit,))
        found = spu.check(folders / "rlc", levels=["noise"])
        assert found.verdict == "pass"
        rows = [c for c in found.comparisons if c.between[1] == "ngspice transient" and c.quantity == "covariance"]
        assert [row.between[0] for row in rows] == ["emulator", "ideal"]
        steps.append(rows[0].predicted["finite steps"])
        assert rows[0].unexplained == pytest.approx(rows[1].unexplained, rel=1e-6)
    assert steps[1] < steps[0] / 2


def test_detect_takes_the_samples_that_it_needs_in_runs_that_fit_into_memory(folders, monkeypatch):
    monkeypatch.setattr(transient, "MOST_NUMBERS", 300_000)
    told = []
    found = spu.check(folders / "resistive", levels=["noise"], detect=0.4, progress=told.append).levels["noise"]
    assert found.data["runs"] >= 3 and found.verdict == "pass"
    assert found.detects["variance"] == pytest.approx(0.4, rel=0.03)
    assert found.data["samples"] > 1.4 * transient.TRANSIENT_SAMPLES
    assert any("40 %" in words for words in told), told


def test_a_budget_is_kept_and_says_what_it_bought(folders):
    started = time.perf_counter()
    found = spu.check(folders / "resistive", levels=["noise"], budget=4.0).levels["noise"]
    assert time.perf_counter() - started < 20  # others may want the machine
    assert found.verdict == "pass" and found.data["samples"] >= transient.PILOT
    assert found.detects["variance"] > 0


def test_detect_and_budget_exclude_one_another(folders):
    with pytest.raises(UsageError, match="exclude"):
        spu.check(folders / "rlc", detect=0.1, budget=1.0)
    with pytest.raises(UsageError, match="detect"):
        spu.check(folders / "rlc", detect=-0.1)
    with pytest.raises(UsageError, match="inverse square"):
        spu.check(folders / "rlc", levels=["noise"], detect=1e-6)
    for options in (["--detect", "2%", "--budget", "5s"], ["--detect", "two"], ["--budget", "-3s"], ["--budget", "5d"]):
        result = CliRunner().invoke(cli, ["check", str(folders / "rlc"), *options])
        assert result.exit_code == 2, result.output


def test_json_states_the_error_rates_and_the_comparisons(folders):
    result = CliRunner().invoke(cli, ["check", str(folders / "resistive"), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    rates = {name: level["false_alarm_rate"] for name, level in found["levels"].items()}
    assert rates == {"ideal": 0.0, "answer": 0.0, "op": 0.0, "ac": 0.0, "replay": 0.0, "noise": FALSE_ALARM}
    detects = {name: level["detects"] for name, level in found["levels"].items()}
    assert detects.pop("answer")["spectrum"] == 1e-5
    assert all(found["element"] < 0.05 for found in detects.values())
    pairs = [(row["quantity"], *row["between"]) for row in found["comparisons"]]
    # A linear system's answer is the mean: it comes first.
    assert pairs[:3] == [("mean", "ideal", "emulator"), ("mean", "emulator", "ngspice"), ("mean", "ideal", "ngspice")]
    assert {pair[0] for pair in pairs[5:]} == {"covariance"} and len(pairs) == 10
    assert all(row["within"] for row in found["comparisons"])


def test_a_changed_deck_shows_in_the_comparison_that_it_touches(copy):
    folder = copy("rlc")
    deck = (folder / "device.cir").read_text()
    (folder / "device.cir").write_text(re.sub(r"(xcell_x2 .* c=)(\S+)", r"\1{1.03*\2}", deck))
    found = spu.check(folder, levels=["ideal", "ac"])
    within = {row.between: row.within for row in found.comparisons if row.quantity == "covariance"}
    assert within == {("ideal", "emulator"): True, ("emulator", "ngspice"): False, ("ideal", "ngspice"): False}
