"""Codes for a board that is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import InputError, UsageError
from spu.cli import cli
from spu.folder import write_folder
from spu.studies.calibration.compensate import _descend

N = 4
STRENGTHS = np.linspace(0.3, 0.45, N)
PROBLEM = spu.GaussianSampling(precision=2.0 * np.eye(N) - (1 - np.eye(N)) * np.outer(STRENGTHS, STRENGTHS))
TOLERANCE = spu.Tolerance(
    cell={"capacitance": 0.02, "conductance": 0.02, "inductance": 0.02}, coupler={"capacitance": 0.02}
)


@pytest.fixture(scope="module")
def compiled():
    return spu.compile_problem(PROBLEM, "spu8")


@pytest.fixture(scope="module")
def board(compiled):
    """Factors by name, and the board with them."""
    elements = spu.elements_of(compiled.device)
    factors = spu.draw_factors(elements, TOLERANCE, 1, seed=1)[0]
    made = spu.varied(compiled.device, factors, elements)
    made.problem = PROBLEM
    return dict(zip(elements.names, factors.tolist(), strict=True)), made


def test_codes_that_know_the_board_answer_ten_times_better(compiled, board):
    factors, made = board
    before, after = (
        spu.predict(made).relative_error,
        spu.predict(spu.compensate(compiled.device, factors)).relative_error,
    )
    assert before > 0.01 and after < 0.1 * before
    # More than gains of the readout could do: codes have changed, values that have none have not.
    found = spu.compensate(compiled.device, factors)
    assert (found.cell_columns.codes["capacitance"] != made.cell_columns.codes["capacitance"]).any()
    for key in ("conductance", "inductance", "noise"):
        np.testing.assert_array_equal(found.cell_columns.arrays[key], made.cell_columns.arrays[key])
    np.testing.assert_allclose(found.cell_columns.errors["capacitance"], made.cell_columns.errors["capacitance"])


def test_what_was_calibrated_is_enough(compiled, board):
    """A record of the board, of half a second, and the stated tolerances: the answer of the board itself is better."""
    _, made = board
    device = compiled.device
    device.tolerance = TOLERANCE
    run = spu.simulate(made, samples=40_000, trajectories=4, interval=1.3e-5, seed=3)
    found = spu.calibrate(device, run, prior=True)
    assert found.goodness.fits and not found.unidentified
    known = spu.compensate(device, found)
    # The same codes and readout on the board as it is.
    truly = spu.varied(made, np.ones(len(spu.elements_of(made))))
    for own, other in ((truly.cell_columns, known.cell_columns), (truly.coupler_columns, known.coupler_columns)):
        own.set_codes(dict(other.codes))
    truly.set_readout(known.readout.matrix, known.readout.offset, known.readout.variables)
    truly.problem = PROBLEM
    assert spu.predict(truly).relative_error < 0.65 * spu.predict(made).relative_error  # the record's own errors: 0.7 %


def test_the_verb_programs_the_folder(compiled, board, tmp_path):
    factors, made = board
    write_folder(tmp_path / "out", compiled)
    elements = [{"name": name, "value": value, "nominal": 1.0} for name, value in factors.items()]
    (tmp_path / "board.json").write_text(json.dumps({"elements": elements}))
    base = ["program", str(tmp_path / "out"), "--board"]
    done = CliRunner().invoke(cli, [*base, str(tmp_path / "board.json"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["predicted_relative_error"] < 0.1 * spu.predict(made).relative_error
    (tmp_path / "board.json").write_text('{"elements": 3}')
    done = CliRunner().invoke(cli, [*base, str(tmp_path / "board.json")])
    assert done.exit_code == 2 and "is no calibration" in done.output
    done = CliRunner().invoke(cli, [*base, str(tmp_path / "board.json"), "--start", "rest"])
    assert done.exit_code == 2 and "exactly one of them" in done.output


def test_values_relative_to_another_device_are_refused(compiled, board, tmp_path):
    """Given twice, errors would count twice; and other hardware has other parts of the same names."""
    factors, _ = board
    elements = [{"name": name, "value": value, "nominal": 1.0} for name, value in factors.items()]
    file = tmp_path / "board.json"
    device = compiled.device
    known = {"elements": elements, "device_hash": device.hash, "architecture": device.architecture}
    file.write_text(json.dumps(known))
    once = spu.compensate(device, file)
    with pytest.raises(UsageError, match="a board with values of its own"):
        spu.compensate(once, file)
    plain = spu.compile(PROBLEM, hardware="ideal")  # of no banks: values themselves are the board's
    known = {"elements": elements, "device_hash": plain.hash, "architecture": plain.architecture}
    file.write_text(json.dumps(known))
    with pytest.raises(UsageError, match="a board with values of its own"):
        spu.compensate(spu.compensate(plain, file), file)
    file.write_text(json.dumps({**known, "device_hash": device.hash}))
    with pytest.raises(UsageError, match="is rlc-capacitive, and the device rc-transconductor"):
        spu.compensate(spu.compile(PROBLEM, hardware="ota8"), file)


def test_what_has_no_answer_to_better_is_refused(compiled):
    with pytest.raises(InputError, match="the board says nothing of this device"):
        spu.compensate(compiled.device, {"capacitance of y": 1.0})
    plain = spu.Device()
    plain.add_cell("a", capacitance=1e-9, conductance=1e-3)
    with pytest.raises(UsageError, match="for a problem whose answer is a covariance"):
        spu.compensate(plain, {"capacitance of a": 1.1})


def test_codes_go_down_to_where_no_one_or_two_moves_help():
    rng = np.random.default_rng(0)
    J, r = rng.standard_normal((6, 5)), 3 * rng.standard_normal(6)
    low, high = np.full(5, 2), np.full(5, 3)
    z = _descend(J.T @ J, J.T @ r, low, high)
    assert (z >= -low).all() and (z <= high).all()

    def cost(z):
        return float(((J @ z + r) ** 2).sum())

    assert cost(z) < cost(np.zeros(5))
    steps = [sign * row for row in np.eye(5, dtype=int) for sign in (-1, 1)]
    for one in steps:
        for two in (*steps, np.zeros(5, dtype=int)):
            other = z + one + two
            if (other >= -low).all() and (other <= high).all():
                assert cost(other) >= cost(z) - 1e-9
