"""From a trained network to a device: its couplers on codes, one drawn board, its weights, its folder."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from test_learning_hardware import learnt

import spu
from spu.base.errors import InputError, OptionError
from spu.cli import cli
from spu.compiler import compile_problem
from spu.device.banks import Bank
from spu.device.device import Device
from spu.device.hardware import Range
from spu.device.tolerance import Tolerance
from spu.emulator.equations.langevin import langevin_of_network
from spu.folder import read_folder, write_folder
from spu.studies.learning.hardware import on_hardware
from spu.studies.learning.subject import learned

SIX = spu.load_hardware("neurons-6bit")


def hardware(bits, sigma=0.0, **cell):
    bank = Range(min=-np.inf, bank=Bank(bits, 1e-4 / 2**bits, signed=True))
    tolerance = Tolerance(
        {"polynomial_conductance": sigma, "bias": sigma, **cell},
        {"transconductance": sigma},
        {"transconductance": sigma},
    )
    return replace(SIX, coupler={"transconductance": bank}, input={"transconductance": bank}, tolerance=tolerance)


@pytest.mark.parametrize("bits", range(2, 13))
@pytest.mark.parametrize("speedup", [1.0, 3.0])
def test_a_drawn_device_is_the_network_on_hardware(bits, speedup):
    trained = learnt(n=4 + bits, m=5, seed=bits)
    made = compile_problem(trained, hardware(bits, 0.02), draw=bits, speedup=speedup)
    found = learned(made).trained
    wanted = on_hardware(trained, {"couplings": bits, "weights": bits}, mismatch=0.02, seed=bits)
    for key in ("J2", "J3", "J4", "couplings", "kT", "mobility"):
        value = getattr(wanted.network, key)
        assert np.asarray(getattr(found.network, key)) == pytest.approx(value, rel=1e-12, abs=1e-12), key
    field = wanted.network.input - wanted.network.bias
    assert found.network.input - found.network.bias == pytest.approx(field, rel=1e-12, abs=1e-12)
    assert found.weights == pytest.approx(wanted.weights, rel=1e-12, abs=1e-14)
    assert not found.network.reciprocal
    other = learned(compile_problem(trained, hardware(bits, 0.02), draw=bits + 1)).trained
    assert np.abs(other.network.couplings - found.network.couplings).max() > 1e-3


def test_the_equation_is_that_of_the_network():
    trained = learnt()
    made = learned(compile_problem(trained, SIX, draw=2, speedup=2.0))
    wanted = langevin_of_network(made.trained.network)
    for key in ("field", "stiffness", "quadratic", "cubic", "mobility", "noise", "sense"):
        assert getattr(made.equation, key) == pytest.approx(getattr(wanted, key), rel=1e-9, abs=1e-9), key
    assert made.equation.readout.offset == pytest.approx(0.0)
    assert learned(trained).equation.coordinate == made.equation.coordinate


def test_capacitances_and_noise_sources_err_in_the_equation_alone(tmp_path):
    trained = learnt()
    board = learned(compile_problem(trained, hardware(6, 0.0, capacitance=0.05, noise=0.05), draw=1))
    nominal = learned(compile_problem(trained, hardware(6)))
    assert np.ptp(board.equation.mobility) > 0.02
    assert board.equation.stiffness == pytest.approx(nominal.equation.stiffness)
    assert np.array_equal(board.trained.network.couplings, trained.network.couplings)  # that of no one network
    made = compile_problem(trained, hardware(6, 0.0, capacitance=0.05, noise=0.05), draw=1)
    level = spu.check(made, levels="ideal").levels["ideal"]
    assert level.verdict == "pass"
    assert "as was said when it was compiled" in level.message
    assert spu.check(made.device, levels="ideal").levels["ideal"].verdict == "pass"
    made.device.write(tmp_path / "device.json")  # which does not hold what was said
    alone = spu.Device.read(tmp_path / "device.json")
    assert spu.check(alone, levels="ideal").levels["ideal"].verdict == "skipped"


def test_the_largest_coupling_takes_the_last_code():
    made = compile_problem(learnt(), SIX)
    codes = made.device.coupler_columns.codes["transconductance_ab"]
    assert np.abs(codes).max() == 63
    assert made.errors["couplings"][0] <= 0.5 / 63 * (1 + 1e-6)
    assert 0 < made.errors["couplings"][1] < made.errors["couplings"][0]
    said = dict(made.facts())
    assert "6 bits and a sign" in said["codes"]
    assert "of the largest coupling" in said["predicted error"]
    assert "V for s = 1" in said["inputs"]


def test_the_folder_holds_codes_errors_and_what_was_learnt(tmp_path):
    trained = learnt()
    made = compile_problem(trained, SIX, draw=4)
    write_folder(tmp_path / "board", made)
    folder = read_folder(tmp_path / "board")
    assert folder.device.hash == made.device.hash
    again, before = learned(tmp_path / "board"), learned(made)
    assert np.array_equal(again.equation.stiffness, before.equation.stiffness)
    assert np.array_equal(again.trained.weights, before.trained.weights)
    netlist = (tmp_path / "board" / "device.cir").read_text()
    line = next(line for line in netlist.splitlines() if line.startswith("xcoupler_g_x1_x2"))
    assert "code_ab=" in line
    assert "error_ba=" in line
    data = json.loads((tmp_path / "board" / "device.json").read_text())
    assert set(data["couplers"][0]) == {"a", "b", "codes", "errors", "transconductance"}
    assert spu.check(tmp_path / "board", levels="ideal").verdict == "pass"
    with pytest.raises(InputError, match="is a folder"):
        compile_problem(tmp_path / "board")


def test_a_board_that_is_programmed_anew_errs_as_before(tmp_path):
    made = compile_problem(learnt(), SIX, draw=4)
    write_folder(tmp_path / "board", made)
    table = tmp_path / "codes.csv"
    table.write_text("element,name,quantity,code\ncoupler,x1-x2,transconductance,7\n")
    said = CliRunner().invoke(cli, ["program", str(tmp_path / "board"), str(table), "--json"])
    assert said.exit_code == 0, said.output
    errors = json.loads(said.output)["coefficient_errors"]["couplings"]
    device = read_folder(tmp_path / "board").device
    bank = device.coupler_columns.banks["transconductance"]
    for key in ("transconductance_ab", "transconductance_ba"):
        error = made.device.coupler_columns.errors[key][0]
        assert device.coupler_columns.arrays[key][0] == pytest.approx(7 * bank.lsb * (1 + error))
    assert errors[0] > made.errors["couplings"][0]
    assert (tmp_path / "board" / "trained.npz").exists()
    assert spu.check(tmp_path / "board", levels="ideal").verdict == "pass"
    # One coupler on another code than was said: seen, though no further off than others are.
    data = json.loads((tmp_path / "board" / "device.json").read_text())
    data["couplers"][1]["codes"]["transconductance"] = data["couplers"][0]["codes"]["transconductance"]
    del data["couplers"][1]["transconductance"]
    (tmp_path / "board" / "device.json").write_text(json.dumps(data))
    assert spu.check(tmp_path / "board", levels="ideal").verdict == "fail"


def test_the_netlist_of_a_board_is_its_device_and_an_error_changed_in_it_is_seen(tmp_path):
    write_folder(tmp_path / "board", compile_problem(learnt(kT=0.1), SIX, draw=4))
    assert spu.check(tmp_path / "board", levels=["ideal", "answer", "op"]).verdict == "pass"
    deck = tmp_path / "board" / "device.cir"
    changed = re.sub(r"(xcoupler_g_x1_x2 .* error_ab=)\S+", r"\g<1>0.05", deck.read_text())
    assert changed != deck.read_text()
    deck.write_text(changed)
    assert spu.check(tmp_path / "board", levels=["op"]).verdict == "fail"


def test_the_command_line(tmp_path):
    (tmp_path / "learnt").mkdir()
    learnt().save(tmp_path / "learnt")
    before = (tmp_path / "learnt" / "trained.npz").read_bytes()
    words = ["compile", str(tmp_path / "learnt"), "--hardware", "neurons-6bit", "--draw", "1", "-o"]
    said = CliRunner().invoke(cli, [*words, str(tmp_path / "board"), "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    assert found["draw"] == 1
    assert found["lines"]["bits"] == 6
    assert 0 < found["coefficient_errors"]["couplings"][1] < 0.05
    shown = CliRunner().invoke(cli, [*words, str(tmp_path / "board")])
    assert "board number 1" in " ".join(shown.output.split())
    lost = CliRunner().invoke(cli, [*words, str(tmp_path / "learnt"), "--force"])
    assert lost.exit_code == 2
    assert "would lose it" in lost.output
    assert (tmp_path / "learnt" / "trained.npz").read_bytes() == before
    refused = CliRunner().invoke(cli, ["compile", str(tmp_path / "learnt"), "--draw", "1", "-o", str(tmp_path / "x")])
    assert refused.exit_code == 2
    assert "--draw means nothing of ideal" in refused.output


def test_refusals(tmp_path):
    trained = learnt()
    with pytest.raises(OptionError, match="draw means nothing of neurons, which states no"):
        compile_problem(trained, "neurons", draw=1)
    with pytest.raises(OptionError, match="draw means nothing of ideal, which states no"):
        compile_problem([[1.0]], draw=1)
    with pytest.raises(InputError, match="draw is -1"):
        compile_problem(trained, SIX, draw=-1)
    with pytest.raises(OptionError, match="each coupling of theirs goes to its nearest code"):
        compile_problem(trained, SIX, rounding="nearest")
    with pytest.raises(InputError, match="nobody trained"):
        learned(spu.compile_network(trained.network))
    data = json.loads(compile_problem(trained, SIX, draw=1).device.to_json())
    data["couplers"][0]["errors"] = {"transconductance": -2.0}
    with pytest.raises(InputError, match="must be a number above -1"):
        Device.from_dict(data)
    file = tmp_path / "bench.toml"
    file.write_text(
        'name = "bench"\ntemperature = 0\narchitectures = ["rc-conductance"]\n'
        "[cell]\ncapacitance = { nominal = 1e-12 }\nconductance = { nominal = 1e-5 }\nnoise = { nominal = 1e-20 }\n"
        "[tolerance.cell]\ncapacity = 0.1\n"
    )
    with pytest.raises(InputError, match=r"bench.toml:9: tolerance.cell has no quantity 'capacity'"):
        spu.load_hardware(file)
