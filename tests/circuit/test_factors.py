"""Factors in time."""

from __future__ import annotations

import numpy as np
import pytest

import spu
from spu.base.errors import InputError


def test_straight_lines_jumps_and_ends():
    ramp = spu.Ramp([1.0, 2.0, 2.0, 4.0], couplers=[0.0, 1.0, 3.0, 2.0], noise=[4.0, 2.0, 2.0, 0.0])
    couplers, noise = ramp.at([0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0])
    np.testing.assert_allclose(couplers, [0.0, 0.0, 0.5, 3.0, 2.5, 2.0, 2.0])
    np.testing.assert_allclose(noise, [4.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0])
    assert ramp.duration == 4.0
    again = spu.Ramp.from_dict(ramp.to_dict())
    assert again.to_dict() == ramp.to_dict()
    (only, one) = spu.Ramp([0.0], couplers=[0.25]).at([0.0, 5.0])
    np.testing.assert_allclose([only, one], [[0.25, 0.25], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("times", "factors", "words"),
    [
        ([], None, "at least one"),
        ([0.0, 1.0, 0.5], None, "must not fall"),
        ([-1.0, 1.0], None, ">= 0"),
        ([0.0, np.inf], None, "finite"),
        ([0.0, 1.0], [1.0], "2 times and 1 values"),
        ([0.0, 1.0], [1.0, -0.5], ">= 0"),
        ([0.0, 1.0], [1.0, np.nan], "finite"),
        ("soon", None, "list of numbers"),
        (0.5, None, "list of finite numbers"),
    ],
)
def test_what_is_no_ramp_is_refused(times, factors, words):
    with pytest.raises(InputError, match=words):
        spu.Ramp(times, couplers=factors)


@pytest.mark.parametrize("data", [None, [], {}, {"couplers": [1.0]}, {"times": [0.0], "cuplers": [1.0]}])
def test_a_damaged_ramp_is_refused(data):
    with pytest.raises(InputError, match=r"ramp"):
        spu.Ramp.from_dict(data)
