"""Pictures of potentials: they reach as far as the units are found, with all wells and the barriers between them."""

from pathlib import Path

import numpy as np
import pytest

import spu
from spu.reports.pictures.networks import draw_potentials

NEURONS = Path(__file__).resolve().parents[2] / "examples" / "neurons.toml"


def drawn(network):
    """The panel of the potentials, and its curves by name."""
    axes = draw_potentials(network).axes[0]
    return axes, {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def alone(*, kT=1.0, **potential):
    count = len(next(iter(potential.values())))
    return spu.ThermodynamicNetwork(**potential, couplings=np.zeros((count, count)), kT=kT)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("input", [0.0, 2.0])
def test_wells_and_barriers_are_seen_whatever_the_size(scale, input):
    """V = 6 x^2 ((x / s)^2 / 4 - 1) / s^2 and a tilt: wells about 1.4 s out, 6 kT below the barrier."""
    network = alone(J2=[-6.0 / scale**2], J4=[3.0 / scale**4], input=[input / scale])
    axes, curves = drawn(network)
    low, high = axes.get_xlim()
    assert -3 * scale < low < -1.2 * scale and 1.2 * scale < high < 3 * scale
    x, V = curves["x1"].get_data()
    inside = (x > -0.8 * scale) & (x < 0.8 * scale)
    bottom, top = axes.get_ylim()
    assert V[inside].max() < top and bottom < V.min() < 0.1 and top < 25
    (wells,) = (line for line in axes.lines if line.get_marker() == "o")
    assert len(wells.get_xdata()) == 2 and np.all(np.abs(wells.get_ydata()) < top)


def test_the_range_is_that_of_the_law():
    network = alone(J2=[0.5, 50.0], J4=[0.0, 0.0], input=[10.0, 0.0])
    low, high = drawn(network)[0].get_xlim()  # a deviation of 1 about 10, and one of 0.1 about 0: 8 kT are 4 of them
    assert -0.5 < low < -0.3 and 13.9 < high < 14.5


def test_units_that_only_their_couplings_hold_are_shown_where_they_are():
    network = spu.ThermodynamicNetwork(
        J2=[0.0, 2.0], J4=[1.0, 0.0], input=[0.0, 1.0], couplings=[[0.0, 0.5], [0.5, 0.0]]
    )
    axes, curves = drawn(network)
    low, high = axes.get_xlim()
    assert -3 < low < -0.8 and 0.8 < high < 4 and set(curves) == {"x1", "x2"}


def test_potentials_alike_are_one_curve():
    axes, curves = drawn(alone(J2=[1.0, 1.0, 2.0], J4=[1.0, 1.0, 1.0]))
    assert set(curves) == {"x1 and 1 alike", "x3"} and axes.get_legend() is not None


def test_neurons_and_a_cold_network():
    axes, _ = drawn(spu.load_network(NEURONS).network)
    low, high = axes.get_xlim()
    assert 2 < high - low < 5 and axes.get_ylim()[1] < 12
    axes, _ = drawn(alone(J2=[-1.0], J4=[1.0], input=[0.1], kT=0.0))
    assert 0.3 < axes.get_ylim()[1] < 1.5 and axes.get_xlim()[1] < 2
