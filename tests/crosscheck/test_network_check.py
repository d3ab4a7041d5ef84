"""Netlists of nonlinear cells, and the check of emulator against ngspice: it passes what is right, and only that."""

import dataclasses
import re
import subprocess

import numpy as np
import pytest

from spu.base.errors import DeckError, InputError
from spu.compiler import compile_network
from spu.crosscheck import check
from spu.folder import read_folder, write_folder
from spu.spice.netlist import netlist
from spu.spice.simulators.ngspice import Step, run, save
from tests.problems.test_network import random_network, single_cells


def made(kind, n=3, hardware="neurons"):
    network = single_cells(n) if kind == "rc-charge" else random_network(n)
    return compile_network(network, hardware, architecture=kind)


@pytest.mark.parametrize(("kind", "hardware"), [("rc-conductance", "neurons"), ("rlc-flux", "ideal")])
def test_eight_units_of_mixed_signs_follow_one_path(kind, hardware):
    """The acceptance: path error below 1e-3, falling with the step limit, both kinds of circuit."""
    device = made(kind, 8, hardware).device
    kinds = device.coupler_columns.arrays
    if kind == "rlc-flux":
        assert (~np.isnan(kinds["inductance"])).sum() > 5
        assert (~np.isnan(kinds["crossed_inductance"])).sum() > 5
    else:
        assert np.ptp(np.sign(kinds["transconductance_ab"])) == 2
    found = check(device, levels=["ideal", "replay"])
    assert found.verdict == "pass"
    errors = list(found.levels["replay"].data["path_errors"].values())
    assert errors[-1] < 1e-3
    assert errors[-1] < errors[0]
    assert found.levels["ideal"].error < 1e-12


def test_every_level():
    found = check(made("rc-conductance", 2).device)
    assert {name: level.verdict for name, level in found.levels.items()} == {
        "ideal": "pass",
        "answer": "pass",
        "op": "pass",
        "ac": "skipped",
        "replay": "pass",
        "noise": "pass",
    }
    assert found.levels["noise"].false_alarm_rate == 1e-6
    assert set(found.means) == {"ideal", "emulator", "ngspice"}


def test_a_nonlinear_capacitor_in_both():
    found = check(made("rc-charge").device, levels=["ideal", "op", "replay"])
    assert {level.verdict for level in found.levels.values()} == {"pass"}


def changed(text: str, pattern: str, factor: float) -> str:
    """The netlist with the first number behind ``pattern`` times ``factor``."""
    found = re.compile(rf"({pattern})([-+.e0-9]+)", re.MULTILINE)
    new, count = found.subn(lambda m: f"{m[1]}{float(m[2]) * factor!r}", text, count=1)
    assert count == 1
    return new


MUTATIONS = [
    ("rc-conductance", r"^xcoupler_g_x1_x2 .* gab=", -1.0, "replay"),
    ("rc-conductance", r"^xcell_x2 .* p3=", 1.05, "replay"),
    ("rc-conductance", r"^xcell_x2 .* p2=", -1.0, "op"),
    ("rc-conductance", r"^xcell_x1 .* ib=", 1.02, "op"),
    ("rlc-flux", r"^xcell_x2 .* f3=", 1.05, "replay"),
    ("rlc-flux", r"^xcoupler_[lx]_x1_x2 .* lx?=", 1.05, "replay"),
    ("rlc-flux", r"^xcell_x1 .* c=", 3.0, "replay"),
    ("rc-charge", r"^xcell_x2 .* qs=", 1.02, "op"),
    ("rc-conductance", r"^xcell_x2 .* sn=", 1.2, "noise"),
]


@pytest.mark.parametrize(("kind", "pattern", "factor", "level"), MUTATIONS)
@pytest.mark.sampled(3)
def test_a_changed_element_is_found(kind, pattern, factor, level, tmp_path):
    compilation = made(kind, 2)
    write_folder(tmp_path / "d", compilation)
    deck = tmp_path / "d" / "device.cir"
    deck.write_text(changed(deck.read_text(), pattern, factor))
    found = check(tmp_path / "d", levels=[level])
    assert found.levels[level].verdict == "fail", found.levels[level].message
    assert found.exit_status == 1


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("vq q 0 pulse(0 1 1 1n 1n 1 2)", "new: vq q 0 pulse"),  # a second later than any run ends
        (".options rshunt=1e12", "new: rshunt=1e12"),
        (".options temp=40", "new: temp=40"),
        (".func sqrt(x) {2*x}", "new: .func sqrt"),
        (".global a", "new: .global a"),
    ],
)
def test_lines_that_no_level_sees_are_named(line, named, tmp_path):
    write_folder(tmp_path / "d", made("rc-conductance", 2))
    deck = tmp_path / "d" / "device.cir"
    deck.write_text(deck.read_text().replace("\n.subckt", f"\n{line}\n.subckt", 1))
    found = check(tmp_path / "d", levels=["answer"]).levels["answer"]
    assert found.verdict == "inconclusive"
    assert named in found.message


def test_the_first_of_two_definitions_counts(tmp_path):
    """To ngspice; a second one as the program writes it hides nothing."""
    write_folder(tmp_path / "d", made("rc-conductance", 2))
    deck = tmp_path / "d" / "device.cir"
    text = deck.read_text()
    cell = re.search(r"\.subckt (cell_\w+)(?s:.*?)\.ends.*\n", text)
    other = cell[0].replace(".ends", "b9 0 a i=max(0,v(a)-50)\n.ends")
    deck.write_text(text.replace(cell[0], other + cell[0]))
    found = check(tmp_path / "d", levels=["answer"]).levels["answer"]
    assert found.verdict == "inconclusive"
    assert "new: b9 0 a i=max(0,v(a)-50)" in found.message


def test_a_changed_device_is_found(tmp_path):
    compilation = made("rc-conductance")
    write_folder(tmp_path / "d", compilation)
    file = tmp_path / "d" / "device.json"
    value = float(compilation.device.cell_columns.arrays["polynomial_conductance_3"][1])
    file.write_text(file.read_text().replace(repr(value), repr(1.001 * value)))
    found = check(tmp_path / "d", levels=["ideal"]).levels["ideal"]
    assert found.verdict == "fail"
    assert "worst in J4" in found.message


def test_the_netlist_runs_by_itself(tmp_path):
    for kind in ("rc-conductance", "rlc-flux", "rc-charge"):
        device = made(kind, 2).device
        file = tmp_path / f"{kind}.cir"
        file.write_text(netlist(device))
        said = subprocess.run(["ngspice", "-b", str(file)], capture_output=True, text=True, timeout=120).stdout
        rows = re.findall(r"RESULT tran (\w+): mean (\S+) expected (\S+) variance (\S+) expected (\S+)", said)
        assert [row[0] for row in rows] == list(device.readout.variables)
        for _, mean, wanted, variance, spread in rows:
            # A short run: what is off by an order of magnitude shows.
            assert abs(float(mean) - float(wanted)) < 2.5 * float(spread) ** 0.5
            assert 0.1 < float(variance) / float(spread) < 4


def test_other_dialects_are_refused():
    with pytest.raises(
        InputError, match=r"nonlinear cells are written for ngspice and spectre.* only, not for ltspice"
    ):
        netlist(made("rc-conductance").device, dialect="ltspice")


def test_a_folder_keeps_network_and_scales(tmp_path):
    compilation = made("rlc-flux")
    write_folder(tmp_path / "d", compilation)
    folder = read_folder(tmp_path / "d")
    assert folder.network.to_dict() == compilation.network.to_dict()
    assert folder.device.scales == compilation.scales
    assert folder.problem is None
    problem = tmp_path / "d" / "problem.json"
    problem.write_text(problem.read_text().replace('"time"', '"tome"'))
    with pytest.raises(InputError, match="scales"):
        read_folder(tmp_path / "d")


def test_units_of_long_names():
    """Their ``save`` line would have over 1,200 characters, where PySpice passes on 1,023."""
    n = 20
    zeros = np.zeros(n)
    network = dataclasses.replace(
        random_network(2),
        J2=zeros + 1,
        J3=zeros,
        J4=zeros + 1,
        input=zeros,
        bias=zeros,
        couplings=np.zeros((n, n)),
        variables=tuple(f"unit_{k:02d}_{'of_a_long_name_' * 3}" for k in range(n)),
    )
    found = check(compile_network(network, "neurons").device, levels=["replay"])
    assert found.verdict == "pass"


def test_no_command_is_cut():
    names = [f"x{k}.{'y' * k}" for k in range(200)]
    lines = save(names)
    assert max(map(len, lines)) <= 1023
    assert " ".join(lines).replace("save ", "").split() == [f"v({name})" for name in names]
    assert save([]) == ()
    with pytest.raises(DeckError, match="1023 characters"):
        run("* t\nr1 a 0 1\n.end\n", [Step(("save " + "v(a) " * 300,))], time_limit=10.0)
