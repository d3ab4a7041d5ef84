"""Laws of many boards whose readouts go through converters: those of fine steps side by side, others one by one."""

import numpy as np
import pytest

import spu
from spu.circuit.acquisition import Acquisition
from spu.emulator.laws import converted
from spu.emulator.laws.many import family_of
from tests.helpers import near


def device(**readout):
    made = spu.Device(temperature=300.0, detail=spu.Detail(readout=readout))
    for name, conductance in (("a", 1e-3), ("b", 2e-3)):
        made.add_cell(name, capacitance=1e-9, conductance=conductance, inductance=1e-5, noise=4e-20)
    made.add_coupler("a", "b", capacitance=5e-10)
    return made


@pytest.mark.parametrize("bits", [4, 5, 6, 8, 14])
@pytest.mark.parametrize("reach", [3.0, 7.0, 8.5, 12.0])
@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.99])
def test_where_steps_are_even_they_are_what_sums_over_thresholds_give(bits, reach, correlation):
    converter = Acquisition(bits=bits, full_scale=1.0, noise=0.01)
    deviation = 1.0 / reach
    mean = np.array([0.1 * deviation, -0.02])
    covariance = deviation**2 * np.array([[1.0, correlation], [correlation, 1.0]])
    found, sure = converted.even(converter, mean[None], covariance[None])
    assert sure[0] or reach < 8.2 or bits <= 6 or abs(correlation) > 0.98
    if not sure[0]:
        return
    _, variance = converted.moments(converter, mean, covariance.diagonal())
    total = np.sqrt(covariance.diagonal() + converter.noise**2)
    both = converted.covariances(converter, tuple(mean), tuple(total), np.array([covariance[0, 1] / total.prod()]))
    assert found[0].diagonal() == near(variance, 1e-11)
    assert np.abs(found[0, 0, 1] - both[0]) < 2e-9 * total.prod()


def test_what_is_not_even_is_said():
    mean, covariance = np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.5, 1.0]]])
    for converter in (
        Acquisition(bits=8, full_scale=4.0),  # clips
        Acquisition(bits=3, full_scale=9.0),  # coarse
    ):
        assert not converted.even(converter, mean, covariance)[1][0]
    near_one = np.array([[[1.0, 1.0 - 1e-12], [1.0 - 1e-12, 1.0]]])
    assert not converted.even(Acquisition(bits=14, full_scale=9.0), mean, near_one)[1][0]
    assert converted.even(Acquisition(bits=14, full_scale=9.0), mean, covariance)[1][0]


@pytest.mark.parametrize("readout", [
    {"full_scale": 2e-3, "bits": 12, "sample_noise": 1e-6},
    {"bandwidth": 1e7, "noise": 1e-9, "full_scale": 2e-3, "bits": 10},
    {"full_scale": 3e-4, "bits": 8},  # clips: one by one
    {"full_scale": 2e-3, "bits": 3},  # coarse: one by one
])  # fmt: skip
def test_many_boards_are_as_each_alone(readout):
    made = device(**readout)
    elements = spu.elements_of(made)
    factors = np.exp(np.random.default_rng(1).uniform(-0.1, 0.1, (5, len(elements))))
    factors[:3, [elements.number(name) for name in elements.names if name.startswith("readout.")]] = 1.0
    laws = spu.laws_of_draws(made, factors)
    for k, row in enumerate(factors):
        alone = spu.predict(spu.varied(made, row))
        assert laws.voltage_covariance[k] == near(alone.voltage_covariance, 1e-9)
        assert laws.covariance[k] == near(alone.covariance, 1e-9)


def test_fine_converters_do_not_send_boards_away():
    made = device(full_scale=2e-3, bits=12)
    assert family_of(made, spu.elements_of(made)) is not None


def test_gradients_know_what_converters_add():
    made = device(full_scale=2e-3, bits=6, sample_noise=5e-6)
    elements = spu.elements_of(made)
    found = spu.gradient(made, covariance=np.diag([1.0, 2.0]))
    whole = spu.jacobian(made)
    for k, name in enumerate(elements.names):
        ends = []
        for sign in (1, -1):
            factors = np.ones(len(elements))
            factors[k] = np.exp(sign * 1e-4)
            ends.append(spu.predict(spu.varied(made, factors)).voltage_covariance)
        slope = (ends[0] - ends[1]) / 2e-4
        size = np.abs(np.diag(spu.predict(made).voltage_covariance)).max()
        assert np.abs(whole.voltage_covariance[k] - slope).max() < 1e-7 * size, name
        assert abs(found[k] - slope[0, 0] - 2 * slope[1, 1]) < 1e-7 * size, name
