"""The elements of a device as a vector, and boards that are drawn."""

import numpy as np
import pytest

import spu
from spu.base.errors import InputError
from spu.device.tolerance import MOST
from spu.device.variation import METHODS, called, draw_factors, elements_of, varied
from tests.helpers import near


def two_cells(**more):
    device = spu.Device(**more)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    device.add_cell("b", capacitance=2e-9, conductance=2e-3, inductance=1e-5, noise=4e-20)
    device.add_coupler("a", "b", capacitance=2e-10, transconductance=(1e-4, -1e-4))
    return device


def test_every_part_is_an_element_and_pairs_are_two():
    device = two_cells(detail=spu.Detail(node={"capacitance": 1e-11}))
    elements = elements_of(device)
    assert elements.names[-4:] == (
        "capacitance of a-b",
        "transconductance_ab of a-b",
        "transconductance_ba of a-b",
        "node.capacitance",
    )
    assert len(elements) == 4 * 2 + 3 + 1 == len(elements.kinds)
    assert elements.values[elements.number("transconductance_ba of a-b")] == -1e-4


def test_each_factor_multiplies_its_value_and_nothing_else():
    device = two_cells(detail=spu.Detail(node={"capacitance": 1e-11}))
    elements = elements_of(device)
    for k in range(len(elements)):
        factors = np.ones(len(elements))
        factors[k] = 1.5
        changed = elements_of(varied(device, factors))
        assert changed.values == near(elements.values * factors, 1e-15), elements.names[k]
    assert elements_of(device).values == near(elements.values, 1e-16)


def test_codes_stay_and_their_values_err():
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8")
    elements = elements_of(device)
    factors = np.linspace(0.9, 1.1, len(elements))
    board = varied(device, factors)
    for mine, made in ((device.cell_columns, board.cell_columns), (device.coupler_columns, board.coupler_columns)):
        for key, codes in mine.codes.items():
            assert (codes == made.codes[key]).all()
    assert elements_of(board).values == near(elements.values * factors, 1e-14)
    again = spu.Device.from_dict(board.to_dict())
    assert elements_of(again).values == near(elements.values * factors, 1e-14)
    twice = varied(board, factors)
    assert elements_of(twice).values == near(elements.values * factors**2, 1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("distribution", ["normal", "uniform", "lognormal"])
def test_draws_have_the_stated_spread(method, distribution):
    device = two_cells()
    spread = spu.Spread(0.05, process=0.1, distribution=distribution)
    tolerance = spu.Tolerance(cell={"capacitance": spread}, coupler={"capacitance": spread})
    elements = elements_of(device)
    draws = 20_000
    factors = draw_factors(elements, tolerance, draws, 3, method)
    which = called(elements, ["capacitance"])
    rest = np.setdiff1d(np.arange(len(elements)), which)
    assert len(which) == 3
    assert (factors[:, rest] == 1).all()
    errors = factors[:, which] - 1
    # Of 20,000: five standard errors of a mean are 4e-3, of a standard deviation 2.5 % at most (9 false alarms in 1e6).
    assert np.abs(errors.mean(axis=0)).max() < 4e-3
    assert errors.std(axis=0) == pytest.approx(np.sqrt(0.05**2 + 0.1**2 + 0.005**2), rel=0.025)
    together = np.corrcoef(errors.T)[np.triu_indices(3, 1)]
    assert together == pytest.approx(0.1**2 / (0.1**2 + 0.05**2), abs=0.025)


def test_the_first_plain_boards_do_not_hang_on_how_many_there_are():
    elements = elements_of(two_cells())
    tolerance = spu.Tolerance(cell={"conductance": spu.Spread(0.01, process=0.02)})
    few, many = (draw_factors(elements, tolerance, draws, 7) for draws in (3, 50))
    assert (few == many[:3]).all()
    assert (draw_factors(elements, tolerance, 3, 8) != few).any()


def test_a_latin_hypercube_has_one_board_in_each_stratum():
    elements = elements_of(two_cells())
    tolerance = spu.Tolerance(cell={"conductance": spu.Spread(0.01, distribution="uniform")})
    column = draw_factors(elements, tolerance, 100, 1, "latin")[:, elements.number("conductance of b")]
    places = (column - 1) / (0.01 * np.sqrt(3)) / 2 + 0.5
    assert sorted(np.floor(places * 100).astype(int)) == list(range(100))


def test_small_elements_match_worse():
    spread = spu.Spread(0.01, at=1e-9)
    tolerance = spu.Tolerance(cell={"capacitance": spread})
    own, shared = elements_of(two_cells()).sigmas(tolerance)
    assert own[:2] == near([0.01, 0.01 / np.sqrt(2)], 1e-12)
    assert not shared.any()
    with pytest.raises(InputError, match="beyond 0\\.2"):
        spread.sigmas([1e-12])


def test_no_draw_takes_a_sign():
    spread = spu.Spread(0.2)
    assert spread.errors(np.array([2.0**-53, 1 - 2.0**-53]), 0.2) == near([-0.2 * MOST, 0.2 * MOST], 1e-12)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: spu.Spread(0.3), "mismatch is 0.3: it must be a relative standard deviation from 0 to 0.2"),
        (lambda: spu.Spread(0.1, distribution="gauss"), "distribution 'gauss'"),
        (lambda: spu.Spread(0.1, at=0.0), "at is 0.0: it must be a positive value"),
        (lambda: spu.Tolerance(cell={"resistance": 0.1}), "tolerance.cell has no quantity 'resistance'"),
        (lambda: spu.Tolerance(cell={"conductance": {"sigma": 0.1}}), "tolerance.cell.conductance has no key 'sigma'"),
        (lambda: spu.Tolerance(detail={"node.capacitance": 0.1}), "it has process, no mismatch"),
        (lambda: varied(two_cells(), [1.0]), "factors of a device's elements are 10 positive numbers"),
        (lambda: varied(two_cells(), -np.ones(11)), "factors of a device's elements"),
        (lambda: draw_factors(elements_of(two_cells()), spu.Tolerance(), 3, 0, "sobol"), "method 'sobol'"),
    ],
)
def test_what_cannot_be_is_named(made, said):
    with pytest.raises(InputError) as found:
        made()
    assert said.replace("are 10", "are 11") in str(found.value)


def test_files_keep_a_tolerance():
    tolerance = spu.Tolerance(
        cell={"capacitance": spu.Spread(0.01, process=0.1, distribution="uniform", at=1e-9), "noise": 0.02},
        detail={"node.capacitance": spu.Spread(process=0.1)},
    )
    device = two_cells(tolerance=tolerance)
    again = spu.Device.from_dict(device.to_dict())
    assert again.tolerance == tolerance
    assert again.hash == two_cells().hash  # it changes nothing of what the device is


def test_boards_are_drawn_piece_by_piece():
    elements = elements_of(two_cells())
    tolerance = spu.Tolerance(
        cell={"conductance": 0.02, "capacitance": spu.Spread(0.01, 0.05, "uniform")},
        coupler={"capacitance": spu.Spread(0.01, 0.05)},
    )
    whole = draw_factors(elements, tolerance, 20, 7)
    assert (draw_factors(elements, tolerance, 6, 7, first=11) == whole[11:17]).all()
    with pytest.raises(spu.InputError, match="the boards of a latin sample are drawn together: first is 0"):
        draw_factors(elements, tolerance, 6, 7, "latin", first=11)


def test_tolerances_are_scaled():
    given = spu.Tolerance(
        cell={"conductance": 0.02, "capacitance": spu.Spread(0.01, 0.05, "uniform", at=1e-12)},
        detail={"node.capacitance": spu.Spread(process=0.1)},
    )
    assert given.scaled(2.0).to_dict() == {
        "cell": {
            "conductance": 0.04,
            "capacitance": {"mismatch": 0.02, "process": 0.1, "distribution": "uniform", "at": 1e-12},
        },
        "detail": {"node": {"capacitance": {"process": 0.2}}},
    }
    with pytest.raises(spu.InputError, match="must be a relative standard deviation from 0 to"):
        given.scaled(3.0)
