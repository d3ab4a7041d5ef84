"""Training by reversed noising, and generation: the loss and its lowest point, laws against paths, measures by hand."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import spu
from spu.base.errors import InputError, UsageError
from spu.cli.verbs import cli
from spu.studies.learning.generate import generate
from spu.studies.learning.generative import patterns_of, train_generative
from spu.studies.learning.measures import correlations, likeness, shares, spread
from spu.studies.learning.noising import Levels, Noising, drives, unit_paths
from spu.studies.learning.quadratic import Learnt, Objective, Sums, expected, inner, solve
from spu.studies.learning.sampled import noising_paths, sampled, start_of

NOISING = Noising(duration=1.0, step=0.01)

CROSSES = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0], [1, 0, 1]]], dtype=float)

LEVELS = drives(2 * CROSSES.reshape(2, 9) - 1, 5, None)


@pytest.fixture(scope="module")
def sums():
    return expected(NOISING, LEVELS)


@pytest.fixture(scope="module")
def learnt():
    return train_generative(CROSSES, hidden=5, duration=1.0, step=0.01)


def random_learnt(seed, visible=9, hidden=5):
    random = np.random.default_rng(seed)
    within = random.standard_normal((hidden, hidden))
    within = within + within.T
    np.fill_diagonal(within, 0.0)
    biases = np.concatenate([np.zeros(visible), random.standard_normal(hidden)])
    return Learnt(random.standard_normal((visible, hidden)), within, biases)


def dense(sums: Sums) -> Sums:
    return Sums(np.empty((sums.n, 0)), np.empty(0), sums.dense(), sums.states, sums.time, sums.couplings, sums.biases)


# --- noising -------------------------------------------------------------------------------


def test_the_law_of_a_unit_is_that_of_paths_of_the_scheme():
    """Against 40,000 paths by the loops: means and squares after each step, within five standard errors."""
    levels, count = np.array([-1.0, 0.3, 1.0]), 40_000
    known = unit_paths(NOISING, levels)
    paths = noising_paths(NOISING, levels, count, 5)
    sizes, _ = NOISING.steps
    assert paths.shape == (len(sizes) + 1, count, 3)
    after = paths[1:]
    error = after.std(axis=1) / count**0.5
    assert np.all(np.abs(after.mean(axis=1) - known.mean) < 5 * error)
    error = (after**2).std(axis=1) / count**0.5
    assert np.all(np.abs((after**2).mean(axis=1) - known.square) < 5 * error)
    gaps = paths[:-1] - after + sizes[:, None, None] * NOISING.slope(after)
    assert np.all(np.abs(gaps.mean(axis=1) - known.gap) < 5 * gaps.std(axis=1) / count**0.5)


def test_a_unit_without_quartic_term_follows_the_scheme_exactly():
    """Linear: mean and variance of Euler-Maruyama by hand."""
    noising = Noising(J2=1.0, J4=0.0, duration=0.5, step=0.02, kT=0.3)
    found = unit_paths(noising, np.array([0.7]))
    mean, variance = noising.strength * 0.7 / 2, 0.3 / 2
    for t, (h, share) in enumerate(zip(*noising.steps, strict=True)):
        mean += h * (share * noising.strength * 0.7 - 2 * mean)
        variance = (1 - 2 * h) ** 2 * variance + 2 * 0.3 * h
        assert found.mean[t, 0] == pytest.approx(mean, abs=1e-10)
        assert found.square[t, 0] == pytest.approx(variance + mean**2, abs=1e-10)


def test_levels_in_between_are_interpolated_to_ten_digits():
    levels = np.linspace(-0.4, 2.9, 101)
    known = Levels.of(NOISING, levels)
    assert not known.exact
    direct = unit_paths(NOISING, levels[[3, 50, 77]])
    weights = known.weights(levels[[3, 50, 77]])
    for all_points, one in zip(known.paths, direct, strict=True):
        assert np.abs(all_points @ weights.T - one).max() < 1e-9


def test_the_field_ends_on_the_grid():
    sizes, shares_ = Noising(duration=1.0, step=0.3).steps
    assert sizes.sum() == pytest.approx(1.0)
    assert shares_.tolist() == pytest.approx([5 / 6, 0.5, 1 / 6, 0.0])


def test_starts_are_of_the_law_that_holds_them():
    start = start_of(NOISING, np.array([0.0, 1.0]), 20_000, 3)
    law = spu.unit_law(input=[0.0, 2.0], kT=0.1)
    assert np.abs(start.mean(axis=0) - law.mean).max() < 5 * (law.variance.max() / 20_000) ** 0.5
    assert np.abs(start.var(axis=0) / law.variance - 1).max() < 0.05


# --- the loss ------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_reversed_steps():
    """Of raw sampled sums, against the sum over steps written down."""
    count = 3
    paths = noising_paths(NOISING, LEVELS[0], count, 11)
    found = Objective(sampled(NOISING, LEVELS[0], count, 11, raw=True), 9, NOISING.kT)
    at = random_learnt(1)
    sizes, _ = NOISING.steps
    h, after = sizes[:, None, None], paths[1:]
    gap = paths[:-1] - after + h * NOISING.slope(after)
    coupled = gap + h * (after @ at.couplings() + at.biases)
    # The diagonal of A means nothing to the loss, since J has none.
    by_hand = ((coupled**2 - gap**2) / (4 * NOISING.kT * h)).sum() / count
    assert found.loss(at) == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize("form", ["factored", "dense"])
def test_the_gradient_is_that_of_finite_differences(sums, form):
    objective = Objective(sums if form == "factored" else dense(sums), 9, NOISING.kT)
    at, slopes = random_learnt(2), objective.gradient(random_learnt(2))
    for part, i, j in (("across", 4, 2), ("across", 0, 0), ("within", 1, 3), ("biases", 11, None)):
        ends = []
        for sign in (1, -1):
            moved = Learnt(*(each.copy() for each in at))
            array = getattr(moved, part)
            if j is None:
                array[i] += sign * 1e-3
            else:
                array[i, j] += sign * 1e-3
                if part == "within":
                    array[j, i] += sign * 1e-3
            ends.append(objective.loss(moved))
        slope = getattr(slopes, part)[i] if j is None else getattr(slopes, part)[i, j]
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(slope, rel=1e-6)


def test_the_map_is_symmetric_and_positive(sums):
    objective = Objective(sums, 9, NOISING.kT, 0.1, True)
    a, b = random_learnt(3), random_learnt(4)
    assert inner(a, objective.curve(b)) == pytest.approx(inner(objective.curve(a), b), rel=1e-12)
    assert inner(a, objective.curve(a)) > 0


def test_the_solution_is_stationary_on_the_mask(sums):
    found = solve(Objective(sums, 9, NOISING.kT), tolerance=1e-10)
    assert found.residual < 1e-9
    couplings, biases = found.learnt.couplings(), found.learnt.biases
    assert not couplings[:9, :9].any() and not np.diag(couplings).any() and not biases[:9].any()
    assert np.array_equal(couplings, couplings.T)
    left = sums.dense() @ couplings + couplings @ sums.dense()
    left += np.outer(biases, sums.states) + np.outer(sums.states, biases)
    right = -(sums.couplings + sums.couplings.T)
    mask = np.ones((14, 14), dtype=bool)
    mask[:9, :9] = False
    np.fill_diagonal(mask, False)
    assert np.abs((left - right)[mask]).max() < 1e-8 * np.abs(right[mask]).max()
    missed = couplings @ sums.states + sums.time * biases + sums.biases
    assert np.abs(missed[9:]).max() < 1e-8 * np.abs(sums.biases[9:]).max()


def test_a_ridge_makes_couplings_smaller(sums):
    free = solve(Objective(sums, 9, NOISING.kT))
    held = solve(Objective(sums, 9, NOISING.kT, 1.0))
    assert np.abs(held.learnt.across).max() < np.abs(free.learnt.across).max()
    assert held.loss > free.loss


def test_sampled_sums_approach_the_expected_ones(sums):
    few, many = ([sampled(NOISING, row, count, 20 + k) for k, row in enumerate(LEVELS)] for count in (50, 3200))
    off = ~np.eye(14, dtype=bool)

    def apart(found):
        gram = sum(each.gram for each in found) / 2 - sums.dense()
        couplings = (sum(each.couplings for each in found) / 2 - sums.couplings)[off]
        return np.linalg.norm(gram) / np.linalg.norm(sums.dense()), np.linalg.norm(couplings)

    assert apart(many)[0] < 0.01
    assert apart(many)[0] < 0.35 * apart(few)[0] and apart(many)[1] < 0.35 * apart(few)[1]


def test_the_solution_beats_descent_on_held_out_paths():
    common = {"hidden": 5, "duration": 1.0, "step": 0.01}
    solved = train_generative(CROSSES, **common)
    descended = train_generative(CROSSES, **common, method="descent", cycles=60, rate=0.02)
    held_out = [Objective(sampled(NOISING, row, 400, 900 + k), 9, NOISING.kT) for k, row in enumerate(LEVELS)]

    def loss(trained):
        network = trained.network
        at = Learnt(network.couplings[:9, 9:], network.couplings[9:, 9:], network.bias)
        return np.mean([each.loss(at) for each in held_out])

    assert loss(solved) < loss(descended) < 0.5 * loss(solved) < 0


# --- training ------------------------------------------------------------------------------


def test_what_is_kept_of_the_images_comes_back(learnt):
    pixels, labels = patterns_of(learnt)
    assert np.array_equal(pixels, CROSSES.reshape(2, 9)) and labels == ("0", "1")


def test_bits_do_not_hang_on_threads():
    common = {"hidden": 4, "duration": 0.5, "step": 0.02, "sums": "sampled", "trajectories": 5}
    one, two = (train_generative(CROSSES, **common, threads=k) for k in (1, 2))
    assert np.array_equal(one.network.couplings, two.network.couplings)
    one, two = (generate(one, images=150, threads=k) for k in (1, 2))
    assert np.array_equal(one.pixels, two.pixels)


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (CROSSES[:1], {}, "one image is no set"),
        (np.zeros((2, 3, 3)), {}, "of one grey"),
        (CROSSES * np.nan, {}, "NaN"),
        (CROSSES, {"step": 1.0}, "too large"),
        (CROSSES, {"kT": 0.0}, "kT must be positive"),
        (CROSSES, {"hidden": 0}, "hidden units"),
        (CROSSES, {"classes": [0]}, "no labels"),
        (CROSSES, {"labels": [3, 4], "classes": [3, 5]}, "no image of class 5"),
        (CROSSES, {"scaling": "log"}, "no scaling 'log'"),
        (CROSSES, {"trajectories": 0}, "trajectories must be"),
        (CROSSES, {"coarser": 2}, "do not fill"),
    ],
)
def test_refusals_are_one_line(images, options, words):
    with pytest.raises((InputError, UsageError), match=words) as refused:
        train_generative(images, **options)
    assert "\n" not in str(refused.value)


def test_unit_scaling_is_of_mean_0_and_variance_1():
    found = train_generative(CROSSES, hidden=2, duration=0.5, step=0.02, scaling="unit")
    levels = found.scaled(CROSSES)
    assert levels.mean() == pytest.approx(0.0, abs=1e-12) and levels.std() == pytest.approx(1.0)


def test_hidden_units_repeat_pixels_or_project_them():
    patterns = np.array([[1.0, -1.0], [0.5, 0.25]])
    assert drives(patterns, 3, None).tolist() == [[1, -1, 1, -1, 1], [0.5, 0.25, 0.5, 0.25, 0.5]]
    projected = drives(patterns, 4, 7)
    assert np.array_equal(projected, drives(patterns, 4, 7)) and not np.array_equal(projected, drives(patterns, 4, 8))
    assert np.array_equal(projected[:, :2], patterns)


# --- generation ----------------------------------------------------------------------------


def test_images_come_from_noise_and_untrained_networks_make_none(learnt):
    made = generate(learnt, images=200, seed=1)
    blank = generate(learnt.with_network(spu.ThermodynamicNetwork(units=14, kT=0.1)), images=200, seed=1)
    assert np.abs(made.likeness.best).mean() > np.abs(blank.likeness.best).mean() + 0.15
    assert all(share > 0.1 for share in made.balance.values())
    assert abs(blank.heat.mean()) < 5 * blank.heat.std() / 200**0.5  # without couplings the start is the law itself
    assert made.heat.mean() > 5


def test_heat_is_the_difference_of_the_networks_energies(learnt):
    made = generate(learnt, images=3)
    network = learnt.network
    start = start_of(Noising(duration=1.0, step=0.01), np.zeros(14), 3, 0)
    assert np.array_equal(made.start, start[:, :9])
    blank = learnt.with_network(spu.ThermodynamicNetwork(units=14, kT=0.1, couplings=network.couplings))
    assert not np.array_equal(generate(blank, images=3).heat, made.heat)
    # A run of no length worth the name gives off nothing; one where all units are seen shows its own energies.
    assert np.abs(generate(learnt, images=3, duration=1e-9, step=1e-9).heat).max() < 0.1


def test_single_precision_makes_the_same_images_to_rounding(learnt):
    double, single = (generate(learnt, images=20, precision=each) for each in ("double", "single"))
    assert np.abs(double.pixels - single.pixels).max() < 1e-3
    assert np.abs(double.heat - single.heat).max() < 0.1


def test_a_network_of_another_purpose_is_refused(learnt):
    other = spu.TrainedNetwork(
        network=learnt.network,
        purpose="classifier",
        duration=1.0,
        step=0.01,
        weights=np.zeros((14, 2)),
        outputs=[0],
        classes=("0",),
    )
    with pytest.raises(InputError, match="is a classifier"):
        generate(other)
    bare = spu.TrainedNetwork(
        network=learnt.network, purpose="generative", duration=1.0, step=0.01, visible=range(9), shape=(3, 3)
    )
    with pytest.raises(InputError, match="keeps no training images"):
        generate(bare)


def test_measures_by_hand():
    patterns = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    made = np.array([[0.0, 2.0, 0.0, 2.0], [0.0, 0.0, 1.0, 1.0], [3.0, 3.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    assert correlations(made, patterns)[:3].round(12).tolist() == [[1, 0], [0, -1], [0, 1]]
    found = likeness(made[:3], patterns)
    assert found.nearest.tolist() == [0, 1, 1]
    assert found.best.round(12).tolist() == [1, -1, 1] and found.signed.round(12).tolist() == [1, 0, 1]
    assert found.inverted == pytest.approx(1 / 3)
    assert found.distances == pytest.approx([0, 0, 0], abs=1e-7)
    assert likeness(made[3:], patterns).distances.tolist() == [1.0]
    assert shares(found.nearest, ["a", "b"], ["a", "b"]) == {"a": pytest.approx(1 / 3), "b": pytest.approx(2 / 3)}
    assert spread(patterns) == pytest.approx(1.0) and spread(np.vstack([patterns[0], -patterns[0]])) < 1e-7
    assert spread(patterns[:1]) is None


def test_text_and_json_say_the_same(learnt):
    made = generate(learnt, images=10)
    said = made.to_dict()
    json.dumps(spu.base.files.plain(said), allow_nan=False)
    assert f"{said['correlation']['mean']:.3f}" in str(made) and "nothing new is made" in str(made)
    made.plot()


# --- the command line ----------------------------------------------------------------------


def spoken(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    found = capsys.readouterr()
    return end.value.code or 0, found.out, found.err


@pytest.fixture
def digits(tmp_path):
    file = tmp_path / "two.npz"
    np.savez(file, images=np.concatenate([CROSSES, CROSSES]), labels=[4, 7, 4, 7])
    return file


def test_from_files_to_sheet(digits, tmp_path, capsys):
    output, sheet = tmp_path / "learnt", tmp_path / "sheet.png"
    options = ["--images-per-class", "1", "--hidden", "5", "--step", "0.01", "--duration", "1"]
    code, out, err = spoken(["train", "generative", str(digits), "-o", str(output), *options], capsys)
    assert (code, err) == (0, "") and "spu generate" in out
    arguments = ["generate", str(output), "-o", str(sheet), "--images", "12", "--json"]
    code, out, err = spoken(arguments, capsys)
    assert (code, err) == (0, "") and sheet.read_bytes().startswith(b"\x89PNG")
    said = json.loads(out)
    assert said["images"] == 12 and set(said["classes"]) == {"4", "7"} and said["heat"]["error"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give -o DIR"),
        (["-o", "x", "--cycles", "3"], "--cycles"),
        (["-o", "x", "--trajectories", "3"], "--trajectories"),
        (["-o", "x", "--method", "descent", "--sums", "expected"], "--sums"),
        (["-o", "x", "--classes", "a"], "--classes takes labels"),
        (["-o", "x", "--classes", "5"], "no image of class 5"),
        (["-o", "x", "--step", "1"], "too large"),
    ],
)
def test_bad_options_are_one_line(digits, tmp_path, capsys, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = spoken(["train", "generative", str(digits), *options], capsys)
    assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x" / "trained.npz").exists()


def test_a_folder_of_another_study_is_refused(digits, tmp_path, capsys):
    common = ["train", "generative", str(digits), "-o", str(tmp_path / "a"), "--step", "0.02", "--hidden", "3"]
    assert spoken(common, capsys)[0] == 0
    code, _, err = spoken([*common, "--kT", "0.2"], capsys)
    assert code == 2 and "another study" in err
    assert spoken([*common, "--kT", "0.2", "--restart"], capsys)[0] == 0


def test_killed_and_gone_on_with_it_is_the_same(digits, tmp_path):
    """Sampled sums in pieces: killed after the first is kept, then the same command again."""
    options = ["--sums", "sampled", "--trajectories", "30", "--hidden", "5", "--step", "0.002", "--threads", "1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def command(folder):
        begin = "from spu.cli.verbs import cli; cli.main()"
        return [sys.executable, "-c", begin, "train", "generative", str(digits), "-o", str(folder), *options]

    subprocess.run(command(whole), check=True, capture_output=True, timeout=120)
    process = subprocess.Popen(command(cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pieces = cut / "study" / "pieces" / "noising"
    until = time.monotonic() + 60
    while process.poll() is None and not list(pieces.glob("*.npz")) and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(pieces.glob("*.npz")) and not (cut / "trained.npz").exists()
    subprocess.run(command(cut), check=True, capture_output=True, timeout=120)
    one, two = (spu.load_trained(folder).network for folder in (whole, cut))
    assert np.array_equal(one.couplings, two.couplings) and np.array_equal(one.bias, two.bias)
