"""Classifiers: their gradient, training that is the same whatever does it, and what is said of answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.cli import classify as classify_verb
from spu.cli import train_classifier as train_verb
from spu.studies.learning import classifier, guides
from spu.studies.learning.classify import wilson
from spu.studies.learning.optimiser import Adam
from spu.studies.learning.pathwise import Setting, slope_of_batch

DIGITS = "examples/digits8.npz"


def one_by_one(function, items):
    return [function(item) for item in items]


@pytest.fixture(scope="module")
def digits(request):
    return spu.read_images(request.config.rootpath / DIGITS)


@pytest.fixture(scope="module")
def reader(digits):
    return spu.train_classifier(digits.at(np.arange(1300)), hidden=32, epochs=15, batch=50)


@pytest.mark.parametrize("name", ["couplings", "weights", "bias"])
def test_the_gradient_of_a_batch(name):
    """Of the whole loss, on the same noise, against central differences."""
    setting = Setting(hidden=5, classes=("a", "b", "c"), pixels=4, shape=None, precision="double")
    random = np.random.default_rng(1)
    inputs, labels = random.normal(size=(11, 4)), random.integers(3, size=11)
    parameters = setting.first()
    found = slope_of_batch(setting, parameters, inputs, labels, 3, one_by_one).gradient[name]
    size = 1e-5
    for place in (
        ((0, 1), (2, 6), (6, 7)) if name == "couplings" else ((0, 0), (4, 3)) if name == "weights" else ((7,),)
    ):
        values = []
        for sign in (1, -1):
            moved = {key: value.copy() for key, value in parameters.items()}
            moved[name][place] += sign * size
            if name == "couplings":
                moved[name][place[::-1]] += sign * size
            values.append(slope_of_batch(setting, moved, inputs, labels, 3, one_by_one).loss)
        assert found[place] == pytest.approx((values[0] - values[1]) / (2 * size), rel=1e-6, abs=1e-8)


def test_the_gradient_of_a_teacher():
    random = np.random.default_rng(2)
    sizes = ((4, 5), (3, 4), (2, 3))
    layers = guides.Layers(tuple(random.normal(size=s) for s in sizes), tuple(random.normal(size=s[0]) for s in sizes))
    inputs, labels = random.normal(size=(7, 5)), random.integers(2, size=7)
    _, slope = guides.slope_of_teacher(layers, inputs, labels)
    for k in range(3):
        values = []
        for sign in (1, -1):
            matrices = [each.copy() for each in layers.matrices]
            matrices[k][1, 2] += sign * 1e-6
            values.append(guides.slope_of_teacher(guides.Layers(tuple(matrices), layers.biases), inputs, labels)[0])
        assert slope.matrices[k][1, 2] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-9)


def test_the_quadratic_loss_is_solved():
    """No step within the allowed lowers it: its slope there, outputs at their weight, is zero."""
    setting = Setting(hidden=4, classes=("a", "b"), pixels=3, shape=None)
    random = np.random.default_rng(3)
    features = random.normal(size=(200, 10))
    normal = guides.Normal(features.T @ features, random.normal(size=(6, 200)) @ features)
    rows = guides.solved(setting, normal, np.zeros((6, 10)))
    left = np.array([1.0] * 4 + [guides._OUTPUTS] * 2)[:, None] * (normal.aims - rows @ normal.gram)
    pairs = left[:, :6] + left[:, :6].T
    np.fill_diagonal(pairs, 0.0)
    assert np.abs(pairs).max() < 1e-3 and np.abs(left[:4, 6:]).max() < 1e-3
    assert not rows[4:, 6:9].any() and not np.diag(rows[:, :6]).any() and (rows[:, :6] == rows[:, :6].T).all()


def test_it_learns(reader, digits):
    found = spu.classify(reader, digits.at(np.arange(1300, 1797)), average=[1, 10], kT=[1.0, 0.0])
    assert found.best.accuracy > 0.9 and found.best.average == 10
    assert found.readings[-1].kT == 0 and found.readings[-1].accuracy > 0.88
    assert found.confusion.sum() == 497 and np.trace(found.confusion) == found.best.right


def test_guides_teach(digits):
    learnt = spu.train_classifier(digits.at(np.arange(1300)), method="guide", hidden=32, epochs=40, batch=50)
    assert learnt.measured["teacher_accuracy_in_training"] > 0.99
    assert spu.classify(learnt, digits.at(np.arange(1300, 1797)), average=10).best.accuracy > 0.88


def same(one, other):
    return (one.network.couplings == other.network.couplings).all() and (one.weights == other.weights).all()


def test_the_same_bits_whatever_does_it(digits):
    small = digits.at(np.arange(200))
    options = {"hidden": 8, "epochs": 2, "batch": 70}
    one = spu.train_classifier(small, **options)
    assert same(one, spu.train_classifier(small, threads=1, **options))
    assert same(one, spu.train_classifier(small, cluster="local:2", **options))


def test_it_goes_on_where_it_was(digits, tmp_path, monkeypatch):
    small = digits.at(np.arange(200))
    options = {"hidden": 8, "epochs": 3, "batch": 50, "shift": 1}
    whole = spu.train_classifier(small, **options)
    (tmp_path / "out").mkdir()
    taken = []

    def stopped(self, *given, then=Adam.stepped):
        taken.append(1)
        if len(taken) == 8:
            raise KeyboardInterrupt
        return then(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(classifier, "_CHECKPOINT", 0.0)
        patch.setattr(Adam, "stepped", stopped)
        with pytest.raises(KeyboardInterrupt):
            spu.train_classifier(small, directory=tmp_path / "out", **options)
    taken.clear()
    monkeypatch.setattr(
        Adam, "stepped", lambda self, *given, then=Adam.stepped: (taken.append(1), then(self, *given))[1]
    )
    again = spu.train_classifier(small, directory=tmp_path / "out", **options)
    assert same(whole, again) and 0 < len(taken) < 12
    assert same(whole, spu.load_trained(tmp_path / "out"))
    with pytest.raises(spu.InputError, match="rate"):
        spu.train_classifier(small, directory=tmp_path / "out", rate=0.01, **options)


def test_boards(reader, digits):
    """Rounded and off by a little it still knows digits, and each draw is another board."""
    some = digits.at(np.arange(1300, 1797))
    found = spu.classify(reader, some, bits=[None, 6, 1], mismatch=[0.0, 0.05], draws=2)
    by = {(each.bits, each.mismatch): each for each in found.readings}
    assert by[6, 0.0].accuracy > by[None, 0.0].accuracy - 0.03 and by[1, 0.0].accuracy < by[None, 0.0].accuracy - 0.1
    assert by[None, 0.05].spread is not None and by[None, 0.0].spread is None and by[None, 0.05].images == 2 * 497


def test_training_for_a_board(digits):
    """Awareness pays where rounding is coarse."""
    options = {"hidden": 16, "epochs": 8, "batch": 50}
    some, others = digits.at(np.arange(1300)), digits.at(np.arange(1300, 1797))
    plain, aware = (spu.train_classifier(some, bits=bits, **options) for bits in (None, 2))
    right = [spu.classify(each, others, bits=2, average=4).best.accuracy for each in (plain, aware)]
    assert right[1] > right[0]


def test_wilson():
    """Against the roots of (p - q)^2 = z^2 q (1 - q)/n."""
    for right, count in ((0, 10), (7, 10), (950, 1000), (10, 10)):
        p, z = right / count, 1.959963984540054
        roots = np.sort(np.roots([1 + z * z / count, -2 * p - z * z / count, p * p]).real)
        assert wilson(right, count) == pytest.approx(roots, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1], {}, "2 labels for 4 images"),
        ([0, 2, 0, 2], {}, "no image of class 1"),
        ([0, 0, 0, 0], {}, "all images are of class 0"),
        (None, {}, "no labels"),
        ([0, 1, 0, 1], {"method": "magic"}, "method is 'magic'"),
        ([0, 1, 0, 1], {"rate": -1.0}, "rate must be positive"),
        ([0, 1, 0, 1], {"step": 1.0}, "step is 1"),
        ([0, 1, 0, 1], {"shift": 5}, "shift is 5"),
        ([0, 1, 0, 1], {"method": "guide", "bits": 6}, "guide knows no board"),
        ([0, 1, 0, 1], {"rate": 1e6, "epochs": 200}, "the loss is not finite at batch"),
    ],
)
def test_what_training_refuses(labels, options, message):
    pixels = np.random.default_rng(4).random((4, 2, 2))
    with pytest.raises(spu.SpuError) as refused:
        spu.train_classifier(pixels, labels, hidden=2, **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [11] * 3}, "a label is 11"),
        ({"images": np.zeros((3, 4, 4))}, "4x4 pixels, and the network was trained with 8x8"),
        ({"average": 0}, "average must be 1"),
        ({"times": 0.0}, "times must be positive"),
        ({"kT": -1.0}, "kT must be 0 or more"),
        ({"draws": 0}, "draws must be 1"),
    ],
)
def test_what_classifying_refuses(reader, options, message):
    with pytest.raises(spu.SpuError) as refused:
        spu.classify(reader, **{"images": np.zeros((3, 8, 8)), **options})
    assert message in str(refused.value)


def test_a_device_answers_by_its_own_equation(reader, digits):
    some = digits.at(np.arange(1300, 1500))
    device = spu.compile_problem(reader)
    found = spu.classify(device, some, kT=0.0)
    assert found.device and (found.answers == spu.classify(reader, some, kT=0.0).answers).mean() > 0.98
    with pytest.raises(spu.SpuError, match="not for devices"):
        spu.classify(device, some, bits=4)


def test_from_files_to_answers(tmp_path, digits):
    np.savez(tmp_path / "some.npz", images=digits.pixels[:200], labels=digits.labels[:200])
    out, some = str(tmp_path / "out"), str(tmp_path / "some.npz")
    runner = CliRunner()
    done = runner.invoke(train_verb.command, [some, "-o", out, "--hidden", "16", "--epochs", "20", "--batch", "20"])
    assert done.exit_code == 0 and "trained.npz" in done.output
    options = ["--times", "0.1,0.2", "--average", "1,3", "--bits", "4", "--plot", str(tmp_path / "a.png")]
    done = runner.invoke(classify_verb.command, [out, some, *options, "-o", str(tmp_path / "a.csv")])
    assert done.exit_code == 0 and "95 % interval" in done.output
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 201
    done = runner.invoke(classify_verb.command, [out, some, "--json"])
    said = json.loads(done.output)
    assert said["readings"][0]["accuracy"] > 0.8 and np.sum(said["confusion"]) == 200
