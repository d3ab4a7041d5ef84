"""A measure over bits and mismatch: the same boards along every curve, kept pieces, refusals."""

import numpy as np
import pytest
from test_learning_hardware import learnt

import spu
from spu.base.errors import InputError, UsageError
from spu.studies.learning.hardware import on_hardware
from spu.studies.learning.sweep import hardware_sweep

CALLS = []


def strength(board, seed):
    CALLS.append(seed)
    return float(np.abs(board.network.couplings).sum())


def test_the_grid(tmp_path):
    trained = learnt()
    CALLS.clear()
    given = {"words": "strength", "bits": (2, None), "mismatch": (0.0, 0.01, 0.02), "draws": 3, "seed": 7}
    found = hardware_sweep(trained, strength, **given, directory=tmp_path)
    assert set(CALLS) == {7}
    assert len(CALLS) == 2 * (1 + 3 + 3) + 1  # without errors all boards are one
    assert found.values.shape == (2, 3, 3)
    assert found.ideal == pytest.approx(np.abs(trained.network.couplings).sum())
    assert found.values[1, 0] == pytest.approx(found.ideal)
    assert found.values[0, 0, 0] == strength(on_hardware(trained, {"couplings": 2, "weights": 2}), 0)
    # The same draws, twice as large.
    off = found.values[1] - found.ideal
    assert off[2] == pytest.approx(2 * off[1])
    assert (found.spread[:, 0] == 0).all()
    CALLS.clear()
    again = hardware_sweep(trained, strength, **given, directory=tmp_path)
    assert not CALLS
    assert np.array_equal(again.values, found.values)
    assert "mismatch 1 %" in str(found)
    found.plot()
    assert set(found.to_dict()) == {"measure", "bits", "mismatch", "values", "mean", "spread", "ideal"}


def test_refusals():
    with pytest.raises(InputError, match="bits is 0"):
        hardware_sweep(learnt(), strength, bits=(0,))
    with pytest.raises(InputError, match="from 0 to 0"):
        hardware_sweep(learnt(), strength, mismatch=(0.5,))
    with pytest.raises(UsageError, match="draws is 0"):
        hardware_sweep(learnt(), strength, draws=0)
    assert spu.hardware_sweep is hardware_sweep
