"""Boards by number of linear cells: one draw of every element, beside the device as it is made for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import OptionError
from spu.cli import cli
from spu.folder import read_folder

A = [[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]]
TOLERANCE = spu.Tolerance(
    cell={"capacitance": 0.01, "conductance": spu.Spread(0.02, process=0.05)},
    coupler={"capacitance": 0.03},
    detail={"node.capacitance": spu.Spread(process=0.1)},
)


def hardware(name="spu8", **changes):
    return replace(spu.load_hardware(name), tolerance=TOLERANCE, **changes)


def test_every_element_has_an_error_of_its_own():
    built = hardware(detail=spu.Detail(node={"capacitance": 1e-12}))
    whole = spu.compile_problem(spu.GaussianSampling(precision=A), built)
    made = spu.compile_problem(spu.GaussianSampling(precision=A), built, draw=3)
    elements = spu.elements_of(whole.device)
    ratio = spu.elements_of(made.device).values / elements.values
    kinds = np.array(elements.kinds)
    for kind in ("cell.capacitance", "cell.conductance", "coupler.capacitance", "detail.node.capacitance"):
        off = np.abs(ratio[kinds == kind] - 1)
        assert (off > 0).all() and off.max() < 0.4, kind
    assert (ratio[np.isin(kinds, ["cell.noise", "cell.inductance"])] == 1).all()
    assert whole.device.tolerance == TOLERANCE and not made.device.tolerance
    assert made.prediction.relative_error == pytest.approx(spu.predict(made.device).relative_error)


def test_a_board_has_its_number_for_ever():
    """The same number is the same board; the element of a cell is the same whatever else is coupled."""
    one, same, other = (spu.compile(A, hardware(), draw=draw) for draw in (1, 1, 2))
    assert one.hash == same.hash != other.hash
    fewer = spu.compile(np.array(A)[:2, :2], hardware(), draw=1)
    whole, smaller = spu.compile(A, hardware()), spu.compile(np.array(A)[:2, :2], hardware())
    for quantity in ("capacitance", "conductance"):
        error = one.cell_columns.arrays[quantity][:2] / whole.cell_columns.arrays[quantity][:2]
        assert fewer.cell_columns.arrays[quantity] / smaller.cell_columns.arrays[quantity] == pytest.approx(error)


def test_codes_keep_their_errors():
    built = hardware("spu8-8bit")
    board = spu.compile(A, built, draw=5, ensemble=2)
    whole = spu.compile(A, built, ensemble=2)
    assert board.cell_columns.codes["capacitance"].tolist() == whole.cell_columns.codes["capacitance"].tolist()
    first, second = (member.cell_columns.errors["capacitance"] for member in board.members())
    assert (first == second).all() and first.all()


def test_what_is_said_of_a_board():
    made = spu.compile_problem(spu.GaussianSampling(precision=A), hardware(), draw=3)
    assert made.decided()["draw"] == 3
    assert ("board", "number 3") in [(label, text.partition(":")[0]) for label, text in made.facts()]
    *_, device, board = made.explain()
    assert (device.name, board.name) == ("device", "board")
    assert device.covariance_relative_error < 1e-6 < board.covariance_relative_error
    assert board.covariance_relative_error == made.prediction.covariance_relative_error


@pytest.mark.parametrize(
    "posed",
    [
        spu.LinearSystem(A, [1.0, 2.0, 0.5]),
        spu.ConditionalGaussian(precision=A, mean=[1.0, 0.0, -1.0], held={"x2": 0.5}),
        spu.LyapunovEquation([[1.0, 2.0], [-2.0, 1.5]], [[1.0, 0.2], [0.2, 1.0]]),
        spu.Determinant(A),
    ],
    ids=lambda posed: posed.task,
)
def test_all_linear_problems_have_boards(posed):
    built = replace(
        spu.load_hardware("ideal"), tolerance=spu.Tolerance(cell={"capacitance": 0.02, "conductance": 0.02})
    )
    whole = spu.compile_problem(posed, built)
    made = spu.compile_problem(posed, built, draw=1)
    assert made.prediction.relative_error > 1e-4 > whole.prediction.relative_error
    assert made.ideal.relative_error == pytest.approx(whole.ideal.relative_error, abs=1e-12)
    assert made.device.problem is made.problem and made.device.hash != whole.device.hash


def test_a_board_without_a_law_is_refused():
    tolerance = spu.Tolerance(coupler={"transconductance": 0.2})
    built = replace(spu.load_hardware("ideal"), architectures=("rc-transconductor",), tolerance=tolerance)
    matrix = [[1.0, 0.97], [0.97, 1.0]]

    def refusal(draw):
        try:
            spu.compile(matrix, built, draw=draw)
        except spu.Unrealizable as error:
            return draw, str(error), error.details
        return None

    found = [each for each in map(refusal, range(8)) if each is not None]
    assert 0 < len(found) < 8
    for draw, said, details in found:
        assert said.startswith(f"board {draw} has no stationary law: ") and details == {"draw": draw}


def test_without_a_tolerance_nothing_is_drawn():
    with pytest.raises(OptionError, match="draw means nothing of spu8, which states no"):
        spu.compile(A, "spu8", draw=1)


def test_the_command_line_draws_a_board(tmp_path):
    text = tmp_path / "bench.toml"
    text.write_text(
        'name = "bench"\ntemperature = 300.0\narchitectures = ["rlc-capacitive"]\n[cell]\n'
        "capacitance = { nominal = 1e-9 }\nconductance = { nominal = 1e-3 }\ninductance = { nominal = 1e-5 }\n"
        "noise = { nominal = 4e-20 }\n[tolerance.cell]\ncapacitance = 0.02\n"
    )
    np.savetxt(tmp_path / "a.csv", A, delimiter=",")
    words = ["compile", str(tmp_path / "a.csv"), "--hardware", str(text), "--draw", "2", "-o", str(tmp_path / "out")]
    said = CliRunner().invoke(cli, [*words, "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.output)["draw"] == 2
    shown = CliRunner().invoke(cli, [*words, "--explain"])
    assert (
        "board            number 2: every element has an error of its own; without any the error would be"
        in shown.output
    )
    folder = read_folder(tmp_path / "out")
    assert folder.compiled["draw"] == 2
    assert spu.check(tmp_path / "out", levels=["ideal", "answer"]).verdict == "pass"
