"""Trained networks as hardware holds them: codes, ranges, a draw for each element."""

import numpy as np
import pytest

import spu
from spu.base.errors import InputError, UsageError
from spu.device.tolerance import Tolerance, errors
from spu.studies.learning.hardware import on_hardware, rounded


def learnt(n=6, m=4, seed=0, kT=0.3):
    rng = np.random.default_rng(seed)
    J = np.triu(rng.normal(size=(n, n)), 1)
    network = spu.ThermodynamicNetwork(
        rng.uniform(0.5, 1.5, n),
        rng.normal(scale=0.2, size=n),
        1.0,
        input=rng.normal(size=n),
        bias=rng.normal(size=n),
        couplings=J + J.T,
        kT=kT,
    )
    return spu.TrainedNetwork(
        network=network,
        purpose="classifier",
        duration=0.2,
        step=1e-3,
        weights=rng.normal(size=(n, m)),
        outputs=[n - 2, n - 1],
        classes=("no", "yes"),
    )


def test_nothing_asked_is_the_network():
    trained = learnt()
    made = on_hardware(trained)
    assert np.array_equal(made.network.couplings, trained.network.couplings)
    assert np.array_equal(made.weights, trained.weights)
    assert made.network.reciprocal


def test_codes_are_symmetric_and_ties_go_towards_zero():
    values = np.array([-3.0, -2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.4, 2.6, 3.0])
    assert rounded(values, 2).tolist() == [-3, -2, -1, 0, 0, 0, 1, 2, 3, 3]
    assert np.array_equal(rounded(-values, 2), -rounded(values, 2))
    assert rounded([0.4, -9.0], 2, limit=3.0).tolist() == [0.0, -3.0]
    assert rounded([0.0, 0.0], 3).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bits", [1, 2, 6, 12])
def test_each_kind_has_its_own_range_and_half_a_step_at_most_is_lost(bits):
    trained = learnt()
    made = on_hardware(trained, bits=bits)
    field = trained.network.input - trained.network.bias
    for found, real in (
        (made.network.couplings, trained.network.couplings),
        (made.weights, trained.weights),
        (made.network.input - made.network.bias, field),
    ):
        lsb = np.abs(real).max() / (2**bits - 1)
        codes = found / lsb
        assert codes == pytest.approx(np.round(codes), abs=1e-9)
        assert np.abs(found - real).max() <= lsb * (0.5 + 1e-5)
        assert np.abs(found).max() == pytest.approx(np.abs(real).max(), rel=1e-12)
    assert made.network.reciprocal


def test_bits_by_name_leave_the_others_real():
    trained = learnt()
    made = on_hardware(trained, bits={"couplings": 3}, limits={"couplings": 10.0})
    assert np.array_equal(made.weights, trained.weights)
    codes = made.network.couplings / (10.0 / 7)
    assert codes == pytest.approx(np.round(codes), abs=1e-12)


def test_a_coupling_is_two_elements():
    trained = learnt(n=40, m=30)
    made = on_hardware(trained, mismatch=0.02, seed=3)
    off = made.network.couplings / np.where(trained.network.couplings != 0, trained.network.couplings, 1.0) - 1.0
    off = off[trained.network.couplings != 0]
    both = made.network.couplings / np.where(made.network.couplings != 0, made.network.couplings.T, np.nan)
    assert not made.network.reciprocal
    # 1,560 elements: six standard errors of a standard deviation, a false alarm in 1e9.
    assert off.std() == pytest.approx(0.02, rel=6 / np.sqrt(2 * 1560))
    assert np.nanstd(both - 1.0) == pytest.approx(0.02 * np.sqrt(2), rel=0.2)
    ratio = made.weights / trained.weights - 1.0
    assert ratio.std() == pytest.approx(0.02, rel=6 / np.sqrt(2 * 1200))
    own = made.network.J2 / trained.network.J2
    assert own == pytest.approx(made.network.J4 / trained.network.J4)
    assert not np.allclose(own, 1.0)


def test_a_draw_hangs_on_the_seed_and_on_the_place():
    assert np.array_equal(errors(0.1, 5, "cell.bias", (4,)), errors(0.1, 5, "cell.bias", (4,)))
    assert not np.array_equal(errors(0.1, 5, "cell.bias", (4,)), errors(0.1, 6, "cell.bias", (4,)))
    assert not np.array_equal(errors(0.1, 5, "cell.bias", (4,)), errors(0.1, 5, "cell.noise", (4,)))
    trained = learnt()
    fewer = trained.network.couplings.copy()
    fewer[0, 1] = fewer[1, 0] = 0.0
    network = trained.network
    other = spu.ThermodynamicNetwork(network.J2, network.J3, network.J4, couplings=fewer)
    one, two = (
        on_hardware(each, mismatch=0.05, seed=1).network.couplings for each in (trained, trained.with_network(other))
    )
    keep = fewer != 0
    assert np.array_equal(one[keep], two[keep])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bits": 0}, "bits is 0"),
        ({"bits": {"coupling": 6}}, "bits has no 'coupling'; did you mean 'couplings'?"),
        ({"bits": 4, "limits": {"couplings": -1.0}}, "a limit is -1.0"),
        ({"mismatch": -0.1}, "mismatch is -0.1"),
        ({"mismatch": 0.3}, "from 0 to 0.2"),
        ({"mismatch": Tolerance(cell={"capacitance": 0.01})}, "no network of one mobility"),
        ({"mismatch": 0.1, "seed": -1}, "seed is -1"),
    ],
)
def test_refusals(given, words):
    with pytest.raises((InputError, UsageError)) as caught:
        on_hardware(learnt(), **given)
    assert words in str(caught.value)
