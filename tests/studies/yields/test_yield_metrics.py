"""Metrics of boards: what they are by other ways, and their derivatives by differences."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest

import spu
from spu.studies.yields.boards import Boards
from spu.studies.yields.metrics import METRICS, Norm, _root_of_excess, metric_of, nominal_of

A = [[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]]
TOLERANCE = spu.Tolerance(
    cell={"capacitance": 0.05, "conductance": 0.1}, coupler={"capacitance": spu.Spread(0.02, 0.1)}
)


def boards_of(device, count=6, seed=1):
    elements = spu.elements_of(device)
    return Boards(device, elements, spu.draw_factors(elements, TOLERANCE, count, seed))


@pytest.fixture(scope="module")
def gaussian():
    return boards_of(spu.compile(spu.GaussianSampling(precision=A, mean=[1.0, -0.5, 0.0], variables=["a", "b", "c"])))


@pytest.fixture(scope="module")
def system():
    return boards_of(spu.compile(spu.LinearSystem(A, [1.0, 2.0, 0.0]), architecture="rc-resistive"))


@pytest.fixture(scope="module")
def by_hand():
    device = spu.Device(temperature=300.0)
    for name in "ab":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    device.add_coupler("a", "b", capacitance=1e-10)
    return boards_of(device)


def predictions(boards):
    return [spu.predict(boards.device_of(k)) for k in range(len(boards))]


@pytest.mark.parametrize("kind", ["gaussian", "system"])
def test_relative_errors_are_those_of_predictions(kind, request):
    boards = request.getfixturevalue(kind)
    found = metric_of(boards.device, "relative-error").values(boards)
    assert found == pytest.approx([each.relative_error for each in predictions(boards)], rel=1e-12)
    assert found.min() > 1e-3 or kind == "system"


def test_lagged_answers_are_compared_too():
    boards = boards_of(spu.compile(spu.MatrixExponential([[0.2, 1.0], [-0.7, -0.6]], 0.5)), count=3)
    found = metric_of(boards.device, "relative-error").values(boards)
    assert found == pytest.approx([each.relative_error for each in predictions(boards)], rel=1e-12)


def test_without_a_problem_boards_are_compared_with_the_device(by_hand):
    nominal = spu.predict(by_hand.device).voltage_covariance
    wanted = [
        np.linalg.norm(each.voltage_covariance - nominal) / np.linalg.norm(nominal) for each in predictions(by_hand)
    ]
    metric = metric_of(by_hand.device, "relative-error")
    assert metric.values(by_hand) == pytest.approx(wanted, rel=1e-12)
    assert metric.words == "relative error of the voltages' covariance"


def test_a_common_factor_is_no_rescaled_error(gaussian):
    device = gaussian.device
    all_noise = np.array([[1.1 if kind == "cell.noise" else 1.0 for kind in gaussian.elements.kinds]])
    louder = Boards(device, gaussian.elements, all_noise)
    assert metric_of(device, "relative-error").values(louder) == pytest.approx([0.1])
    assert metric_of(device, "rescaled-error").values(louder)[0] < 1e-12
    # The best factor by trying.
    target = device.problem.target_covariance
    factors = np.linspace(0.7, 1.3, 6001)
    wanted = [
        min(np.linalg.norm(c * each.covariance - target) for c in factors) / np.linalg.norm(target)
        for each in predictions(gaussian)
    ]
    assert metric_of(device, "rescaled-error").values(gaussian) == pytest.approx(wanted, rel=1e-4)


def test_divergences(gaussian, by_hand):
    problem = gaussian.device.problem
    wanted = [
        spu.kullback_leibler(each.mean, each.covariance, problem.target_mean, problem.target_covariance)
        for each in predictions(gaussian)
    ]
    assert metric_of(gaussian.device, "kl").values(gaussian) == pytest.approx(wanted, rel=1e-9)
    nominal = spu.predict(by_hand.device)
    wanted = [
        spu.kullback_leibler(
            each.voltage_mean, each.voltage_covariance, nominal.voltage_mean, nominal.voltage_covariance
        )
        for each in predictions(by_hand)
    ]
    assert metric_of(by_hand.device, "kl").values(by_hand) == pytest.approx(wanted, rel=1e-9)


def test_divergences_far_and_near():
    e = np.array([-0.999, -0.5, -0.011, -0.0099, -1e-9, 0.0, 1e-9, 0.0099, 0.011, 3.0])
    with localcontext(prec=60):
        exact = [float(((Decimal(x) - (1 + Decimal(x)).ln()) / 2).sqrt()) for x in e.tolist()]
    assert _root_of_excess(e) == pytest.approx(np.copysign(exact, e), rel=1e-12)
    assert _root_of_excess(np.array([-1.0, -2.0])).tolist() == [-np.inf, -np.inf]


def test_single_moments(gaussian):
    laws = predictions(gaussian)
    S = np.array([each.covariance for each in laws])
    wanted = {
        "mean a": [each.mean[0] for each in laws],
        "variance b": S[:, 1, 1],
        "deviation c": np.sqrt(S[:, 2, 2]),
        "covariance a b": S[:, 0, 1],
        "correlation a b": S[:, 0, 1] / np.sqrt(S[:, 0, 0] * S[:, 1, 1]),
    }
    for name, values in wanted.items():
        metric = metric_of(gaussian.device, name)
        assert metric.name == name and metric.unit == ""
        assert metric.values(gaussian) == pytest.approx(values, rel=1e-12)


def test_times(by_hand):
    slow = metric_of(by_hand.device, "time-constant").values(by_hand)
    assert slow == pytest.approx([each.time_constants[0] for each in predictions(by_hand)])
    margin = metric_of(by_hand.device, "stability-margin")
    assert margin.values(by_hand) == pytest.approx(1.0 / slow) and margin.fails == "below"


def test_an_unstable_board_has_a_margin_and_nothing_else():
    device = spu.compile([[1.0, 0.8], [0.8, 1.0]], architecture="rc-transconductor")
    elements = spu.elements_of(device)
    factors = np.ones((2, len(elements)))
    factors[1, [k for k, kind in enumerate(elements.kinds) if kind.startswith("coupler.")]] = 1.5
    boards = Boards(device, elements, factors)
    assert boards.laws.stable.tolist() == [True, False]
    margins = metric_of(device, "stability-margin").values(boards)
    assert margins[0] > 0 > margins[1]
    for name in ("relative-error", "rescaled-error", "kl", "variance x1"):
        found = metric_of(device, name).values(boards)
        assert np.isfinite(found[0]) and np.isnan(found[1]), name
    assert np.isnan(metric_of(device, "time-constant").values(boards)[1])


def test_margins_of_gain_and_delay():
    device = spu.compile([[1.0, 0.8], [0.8, 1.0]], architecture="rc-transconductor")
    elements = spu.elements_of(device)
    factors = np.ones((3, len(elements)))
    coupled = [k for k, kind in enumerate(elements.kinds) if kind.startswith("coupler.")]
    factors[1, coupled], factors[2, coupled] = 1.1, 1.5
    boards = Boards(device, elements, factors)
    gains = metric_of(device, "gain-margin").values(boards)
    assert gains == pytest.approx([1 / 0.8, 1 / 0.88, np.nan], nan_ok=True)
    device = spu.compile(spu.LyapunovEquation([[1.0, 4.0], [-4.0, 1.0]], np.eye(2)))
    elements = spu.elements_of(device)
    boards = Boards(device, elements, np.ones((1, len(elements))))
    assert metric_of(device, "delay-margin").values(boards)[0] == pytest.approx(spu.stability(device).delay.at)
    with pytest.raises(spu.SpuError, match="gain-margin has no meaning here: no gain of transconductors makes it"):
        metric_of(spu.compile(A), "gain-margin")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("gaussian", name) for name in ("relative-error", "rescaled-error", "kl", "mean b", "variance a")),
        *(("gaussian", name) for name in ("deviation a", "covariance a c", "correlation b c", "correlation b b")),
        *(("system", name) for name in ("relative-error", "rescaled-error", "kl")),
        *(("by_hand", name) for name in ("relative-error", "rescaled-error", "kl", "variance b")),
    ],
)
def test_adjoints_are_derivatives(kind, name, request):
    """Along a change of one element the moments' changes, weighed by the adjoint, are the metric's."""
    boards = request.getfixturevalue(kind)
    device, elements = boards.device, boards.elements
    metric = metric_of(device, name)
    step = 1e-5
    here = boards.factors[:1]
    moved = np.repeat(here, 2 * len(elements), axis=0)
    for k in range(len(elements)):
        moved[2 * k, k] *= np.exp(step)
        moved[2 * k + 1, k] *= np.exp(-step)
    around = Boards(device, elements, moved)
    adjoint = metric.adjoint(Boards(device, elements, here))
    mean, covariance = around.laws.mean, around.laws.covariance
    if adjoint.voltages:
        mean, covariance = around.laws.voltage_mean, around.laws.voltage_covariance
    weighed = mean @ adjoint.mean + (covariance * adjoint.covariance).sum(axis=(1, 2))
    values = metric.values(around)
    differences = (values[::2] - values[1::2]) / (2 * step)
    found = (weighed[::2] - weighed[1::2]) / (2 * step)
    assert found == pytest.approx(differences, rel=1e-6, abs=1e-6 * max(abs(differences).max(), 1e-9))
    assert np.array_equal(adjoint.covariance, adjoint.covariance.T)


def test_norms_are_sizes_of_their_residuals(gaussian):
    for name in ("relative-error", "rescaled-error", "kl"):
        metric = metric_of(gaussian.device, name)
        assert isinstance(metric, Norm)
        assert metric.values(gaussian) == pytest.approx(
            (metric.residuals(gaussian) ** 2).sum(axis=1) ** (metric.power / 2)
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("error", "no metric 'error'; did you mean"),
        ("", "no metric ''"),
        ("variance", "the metric 'variance' should be 'variance NAME': variance of a variable"),
        ("covariance a", "should be 'covariance NAME NAME'"),
        ("variance x9", "variance: there is no variable 'x9'"),
        ("kl a", "should be 'kl'"),
    ],
)
def test_what_is_no_metric(name, message, gaussian):
    with pytest.raises(spu.SpuError) as refused:
        metric_of(gaussian.device, name)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_an_answer_of_zero_has_no_relative_error():
    device = spu.compile(spu.LinearSystem(A, [0.0, 0.0, 0.0]))
    with pytest.raises(spu.SpuError, match="relative-error has no meaning: the mean that the problem asks for is zero"):
        metric_of(device, "relative-error")


def test_a_singular_target_has_no_divergence():
    device = spu.compile(spu.ConditionalGaussian(precision=A, held={"x2": 0.5}))
    with pytest.raises(spu.SpuError, match="kl has no meaning here"):
        metric_of(device, "kl")


def test_every_metric_has_words():
    assert all(known.words for known in METRICS.values())


def test_variables_without_a_problem_are_volts(by_hand):
    nominal = nominal_of(by_hand.device)
    assert metric_of(nominal, "variance a").unit == "V^2" and metric_of(nominal, "deviation a").unit == "V"
