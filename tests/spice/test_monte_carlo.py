"""Netlists that carry their own Monte Carlo: what ngspice draws is the tolerance that the device states."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kstest

import spu
from spu.base.errors import DeckError, InputError, OptionError
from spu.cli import cli
from spu.device.variation import elements_of, varied
from spu.folder import write_folder

A = [[2.0, -0.5, 0.1], [-0.5, 1.0, 0.2], [0.1, 0.2, 1.5]]
BOARDS = 400
SIGMAS = 5 / np.sqrt(2 * BOARDS)
"""Five standard deviations of a standard deviation that so many normal draws give, relative."""


def board(hardware="spu8", **tolerance):
    device = spu.compile(A, hardware=hardware)
    device.tolerance = spu.Tolerance(**tolerance)
    return device


@pytest.fixture(scope="module")
def device():
    """Banks and plain values, area-scaled and not, own and shared draws, all distributions."""
    return board(
        cell={
            "capacitance": spu.Spread(0.01, process=0.1, at=1e-9),
            "conductance": spu.Spread(0.05),
            "noise": spu.Spread(0.1, distribution="lognormal"),
            "inductance": spu.Spread(0.02, process=0.03, distribution="uniform"),
        },
        coupler={"capacitance": spu.Spread(0.02, process=0.05)},
    )


def ngspice(text, folder):
    file = folder / "deck.cir"
    file.write_text(text)
    done = subprocess.run(
        ["ngspice", "-n", "-b", file],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout + done.stderr


def values_of_boards(text, quantities, folder, boards=BOARDS, switch=1):
    """What ngspice holds of elements on each board: (boards, k)."""
    body = text.partition("\n.control")[0]
    asked = [f"print @{name}[{key}]" for name, key in quantities]
    control = [
        ".control",
        "set noaskquit",
        "set numdgt=15",
        "setplot const",
        "let board = 1",
        f"alterparam montecarlo={switch}",
        f"while const.board < {1 + boards}",
        "setseed $&const.board",
        "reset",
        "op",
        *asked,
        "destroy all",
        "setplot const",
        "let board = board + 1",
        "end",
        "quit",
        ".endc",
        ".end",
    ]
    said = ngspice("\n".join([body, *control, ""]), folder)
    found = re.findall(r"^@\S+ = (\S+)$", said, re.MULTILINE)
    return np.array(found, dtype=float).reshape(boards, len(quantities))


CELLS = [f"xcell_x{k}" for k in (1, 2, 3)]
PAIRS = ["x1_x2", "x1_x3", "x2_x3"]
QUANTITIES = [
    *((f"c.{cell}.c1", "capacitance") for cell in CELLS),
    *((f"r.{cell}.r1", "resistance") for cell in CELLS),
    *((f"l.{cell}.l1", "inductance") for cell in CELLS),
    *((f"g.{cell}.gn", "gain") for cell in CELLS),
    *((f"c.xcoupler_c_{pair}.c1", "capacitance") for pair in PAIRS),
]


@pytest.fixture(scope="module")
def drawn(device, tmp_path_factory):
    """Factors on all elements, as `varied` takes them, by what they are of."""
    folder = tmp_path_factory.mktemp("drawn")
    text = spu.netlist(device, monte_carlo=BOARDS)
    found = values_of_boards(text, QUANTITIES, folder)
    nominal = values_of_boards(text, QUANTITIES, folder, boards=1, switch=0)
    factors = found / nominal[0]
    factors[:, 3:6] **= -1  # conductances
    factors[:, 9:12] **= 2  # densities
    names = ("capacitance", "conductance", "inductance", "noise", "coupling")
    return {name: factors[:, 3 * k : 3 * k + 3] for k, name in enumerate(names)}


def test_a_process_is_one_draw_of_all_elements_and_mismatch_each_ones_own(device, drawn):
    """Of normal draws: cells and couplers err together by their own standard deviations."""
    logs = {name: np.log(each) for name, each in drawn.items()}
    common = np.cov(np.hstack([logs["capacitance"], logs["coupling"]]).T)
    off = common[~np.eye(6, dtype=bool)].reshape(6, 5)
    # The covariance of two elements is that of their process; within five standard errors.
    cells, couplers = 0.1**2, 0.05**2
    assert np.allclose(off[:3, :2], cells, rtol=2 * SIGMAS) and np.allclose(off[3:, 3:], couplers, rtol=2 * SIGMAS)
    assert np.allclose(off[:3, 2:], 0.1 * 0.05, rtol=2 * SIGMAS)
    own = np.sqrt(np.diff(drawn["coupling"] / drawn["coupling"].mean(axis=1)[:, None], axis=1).var(axis=0))
    assert np.allclose(own, 0.02 * np.sqrt(2), rtol=SIGMAS * 1.5)
    resistors = np.corrcoef(drawn["conductance"].T)
    assert np.abs(resistors[~np.eye(3, dtype=bool)]).max() < 5 / np.sqrt(BOARDS)
    assert np.allclose(drawn["conductance"].std(axis=0), 0.05, rtol=SIGMAS)


def test_a_small_element_errs_more_by_the_root_of_its_area(device, drawn):
    values = np.array([cell.values["capacitance"] for cell in device.cells])
    sigma = 0.01 * np.sqrt(1e-9 / values)
    ratio = np.log(drawn["capacitance"])
    for a, b in [(0, 1), (0, 2), (1, 2)]:  # the process drops out of a ratio
        assert np.isclose((ratio[:, a] - ratio[:, b]).std(), np.hypot(sigma[a], sigma[b]), rtol=SIGMAS)


def test_distributions(drawn):
    """Each fails a right netlist once in a million."""
    width = np.sqrt(np.log1p(0.1**2))
    noise = (np.log(drawn["noise"]) + width**2 / 2) / width
    assert min(kstest(noise[:, k], "norm").pvalue for k in range(3)) > 1e-6 / 3
    inductance = drawn["inductance"]
    assert inductance.max() <= (1 + 0.02 * np.sqrt(3)) * (1 + 0.03 * np.sqrt(3))
    assert inductance.min() >= (1 - 0.02 * np.sqrt(3)) * (1 - 0.03 * np.sqrt(3))
    assert np.allclose(inductance.std(axis=0), np.hypot(0.02, 0.03), rtol=SIGMAS)
    assert np.allclose(inductance.mean(axis=0), 1.0, atol=5 * 0.036 / np.sqrt(BOARDS))


def test_what_a_board_measures_is_its_exact_law(device, drawn, tmp_path):
    """Board by board: the elements that ngspice drew, in the emulator; again with the same seeds, and with others."""
    text = spu.netlist(device, monte_carlo=4, seed=2)
    said = ngspice(text, tmp_path)
    measured = np.array(re.findall(r"BOARD \d+ x\d: variance (\S+)", said), dtype=float).reshape(4, 3)
    assert re.findall(r"BOARD (\d+) x1", said) == ["3", "4", "5", "6"]
    elements = elements_of(device)
    for number, variances in enumerate(measured, start=2):
        factors = np.ones(len(elements))
        for kind, name in [
            ("cell.capacitance", "capacitance"),
            ("cell.conductance", "conductance"),
            ("cell.inductance", "inductance"),
            ("cell.noise", "noise"),
            ("coupler.capacitance", "coupling"),
        ]:
            factors[[k for k, each in enumerate(elements.kinds) if each == kind]] = drawn[name][number]
        exact = spu.predict(varied(device, factors)).voltage_covariance.diagonal()
        assert np.allclose(variances, exact, rtol=5e-4)
    means = np.array(re.findall(r"RESULT boards x\d: mean (\S+) deviation (\S+) nominal (\S+)", said), dtype=float)
    assert np.allclose(means[:, 0], measured.mean(axis=0), rtol=1e-5)
    assert np.allclose(means[:, 1], measured.std(axis=0), rtol=1e-3)
    assert np.allclose(means[:, 2], spu.predict(device).voltage_covariance.diagonal(), rtol=1e-6)
    again = ngspice(text, tmp_path)
    assert re.findall(r"BOARD.*", again) == re.findall(r"BOARD.*", said)


def test_with_the_switch_at_0_it_is_the_nominal_circuit(device, tmp_path):
    file = tmp_path / "boards.cir"
    file.write_text(spu.netlist(device, monte_carlo=5))
    found = spu.check(device, netlist=file, levels=["answer", "ac", "replay", "noise"])
    assert found.verdict == "pass", found
    assert np.array_equal(
        spu.predict(file).voltage_covariance, spu.predict(read_back(device, tmp_path)).voltage_covariance
    )


def read_back(device, folder):
    file = folder / "nominal.cir"
    file.write_text(spu.netlist(device))
    return file


def test_with_the_switch_at_1_any_run_draws_and_the_reader_says_so(device, tmp_path):
    text = spu.netlist(device, monte_carlo=5).replace(".param montecarlo=0", ".param montecarlo=1")
    (tmp_path / "boards.cir").write_text(text)
    with pytest.raises(DeckError, match="agauss draws a random number"):
        spu.read_netlist(tmp_path / "boards.cir")


@pytest.mark.parametrize("line", ["alterparam montecarlo=2", "alterparam c=1", "alterparam montecarlo=1 c=2"])
def test_other_changes_of_parameters_are_refused_as_before(device, tmp_path, line):
    text = spu.netlist(device, monte_carlo=5).replace("alterparam montecarlo=1", line)
    (tmp_path / "boards.cir").write_text(text)
    with pytest.raises(DeckError, match="alterparam changes the circuit"):
        spu.read_netlist(tmp_path / "boards.cir")


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: spu.compile(A), {}, InputError, "nothing of this device has a tolerance"),
        (
            lambda: spu.compile(spu.ThermodynamicNetwork(units=2), hardware="neurons-6bit"),
            {},
            InputError,
            "is of linear cells",
        ),
        (lambda: board(cell={"conductance": 0.1}), {"dialect": "xyce"}, OptionError, "monte_carlo is not for xyce"),
        (lambda: board(cell={"conductance": 0.1}), {"monte_carlo": 0}, OptionError, "boards from 1 to 100000, not 0"),
        (lambda: board(cell={"conductance": 0.1}), {"monte_carlo": 1.5}, spu.SpuError, "monte_carlo must be a whole"),
        (
            lambda: board(
                cell={"capacitance": spu.Spread(process=0.1)},
                coupler={"capacitance": spu.Spread(process=0.1, distribution="uniform")},
            ),
            {},
            InputError,
            "one draw, normal in one place and uniform in another",
        ),
    ],
)
def test_what_is_refused(make, options, error, message):
    with pytest.raises(error, match=message):
        spu.netlist(make(), **{"monte_carlo": 3, **options})


def test_a_netlist_that_was_read_has_no_boards(device, tmp_path):
    with pytest.raises(OptionError, match="monte_carlo is not for a netlist that was read"):
        spu.netlist(read_back(device, tmp_path), monte_carlo=3)


def test_details_and_both_directions_of_a_coupler(tmp_path):
    """An imperfection's value has a process alone; each transconductor errs by itself."""
    device = spu.compile(spu.LyapunovEquation([[1.0, 2.0], [-2.0, 1.5]], np.eye(2)))
    device = device.at_detail(spu.Detail(node={"capacitance": 1e-12}))
    device.tolerance = spu.Tolerance(
        coupler={"transconductance": 0.05}, detail={"node.capacitance": spu.Spread(process=0.1)}
    )
    text = spu.netlist(device, monte_carlo=3)
    (names,) = [line.split()[0] for line in text.splitlines() if line.startswith("xcoupler")]
    own = re.search(r"\.subckt coupler.*?\.ends", text, re.DOTALL)[0]
    gains = re.findall(r"^\s+(g\w+) .*\{\S*_mc", own, re.MULTILINE)
    assert len(gains) == 2
    asked = [("c.xcell_x1.cpar", "capacitance"), ("c.xcell_x2.cpar", "capacitance")]
    asked += [(f"g.{names}.{gain}", "gain") for gain in gains]
    found = values_of_boards(text, asked, tmp_path)
    assert np.array_equal(found[:, 0], found[:, 1])
    assert np.isclose(found[:, 0].std() / 1e-12, 0.1, rtol=SIGMAS)
    relative = found[:, 2:].std(axis=0) / abs(found[:, 2:].mean(axis=0))
    assert np.allclose(relative, 0.05, rtol=SIGMAS)
    assert abs(np.corrcoef(found[:, 2], found[:, 3])[0, 1]) < 5 / np.sqrt(BOARDS)


def test_the_command_line(device, tmp_path):
    compilation = spu.compile_problem(spu.GaussianSampling(precision=A), "spu8")
    compilation.device.tolerance = device.tolerance
    write_folder(tmp_path / "out", compilation)
    words = ["export", str(tmp_path / "out"), "--monte-carlo", "2", "--seed", "4"]
    done = CliRunner().invoke(cli, [*words, "-o", str(tmp_path / "boards.cir")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "boards.cir").read_text()
    assert "let first = 5\nlet boards = 2\n" in text
    assert CliRunner().invoke(cli, words).stdout == text
    refused = CliRunner().invoke(cli, [*words, "--dialect", "ltspice"])
    assert refused.exit_code == 2 and "--monte-carlo is not for ltspice" in refused.stderr


def test_noise_that_cells_share_errs_place_by_place(tmp_path):
    device = spu.Device(tolerance=spu.Tolerance(shared={"amplitude": spu.Spread(0.05, process=0.1)}))
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    device.add_noise("n1", {"a": 2e-10, "b": -1e-10})
    text = spu.netlist(device, monte_carlo=2)
    asked = [(f"g.{line.split()[0]}.gs", "gain") for line in text.splitlines() if line.startswith("xnoise")]
    found = values_of_boards(text, asked, tmp_path) / values_of_boards(text, asked, tmp_path, boards=1, switch=0)
    assert found.shape == (BOARDS, 2)
    assert np.allclose(found.std(axis=0), np.hypot(0.1, 0.05), rtol=SIGMAS)
    assert np.isclose(np.cov(found.T)[0, 1], 0.1**2, rtol=2 * SIGMAS)


def test_a_value_that_is_no_power_of_its_factor_is_refused():
    """The temperature's coefficients of a detail, say: `1 + alpha (T - T0)` of alpha."""
    detail = spu.Detail(temperature={"capacitance": 1e-3, "reference": 200.0})
    device = spu.compile(A, "spu8").at_detail(detail)
    device.tolerance = spu.Tolerance(detail={"temperature.capacitance": spu.Spread(process=0.1)})
    with pytest.raises(
        InputError, match=r"temperature\.capacitance: the netlist's parameter \w+ of \w+ is no power of it"
    ):
        spu.netlist(device, monte_carlo=2)
