"""KiCad projects: a second reader finds the device's circuit in them, and two of them differ where the devices do."""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from kicad_netlists import number, read_kicad, read_own
from kiutils.schematic import Schematic
from open_in_kicad import missing, opened

import spu
from spu.base.constants import BOLTZMANN
from spu.circuit.elements import (
    AmplifierNoise,
    Capacitor,
    CurrentSource,
    Inductor,
    NoiseCurrent,
    NoiseVoltage,
    Resistor,
    SharedNoiseCurrent,
    Transconductor,
    VoltageSource,
)
from spu.cli import cli
from spu.device.lower import lower
from spu.export.kicad import MOST_SHEETS, kicad_project, write_kicad

EXAMPLES = Path(__file__).parents[2] / "examples"


def devices():
    """Devices that between them have all there is: name -> device."""
    made = {
        "club8": spu.compile(EXAMPLES / "club8.toml"),
        "wine": spu.compile(EXAMPLES / "wine.toml"),
        "board": spu.compile(EXAMPLES / "club8.csv", hardware="spu8-board"),
        "by_hand": spu.Device.read(EXAMPLES / "by_hand.json"),
        "karate": spu.compile(EXAMPLES / "karate_club.mtx"),
    }
    shared = spu.Device()
    for name in "ab":
        shared.add_cell(
            name, capacitance=1e-9, conductance=1e-3, bias=1e-6, noise_voltage=1e-18, active_conductance=-1e-4
        )
    shared.add_cell("held", capacitance=2e-9, clamp=0.5)
    shared.add_noise("common", {"a": 2e-10, "b": -1e-10})
    shared.add_coupler("a", "b", conductance=1e-4, transconductance=(1e-5, -2e-5))
    made["shared"] = shared
    real = spu.Device(
        detail=spu.Detail(
            buffer={"bandwidth": 1e7, "offset": 1e-4},
            transconductor={"noise_gamma": 1.5, "output_conductance": 0.01, "offset": 1e-4},
            inductor={"series_resistance": 0.1, "capacitance": 1e-12},
            node={"capacitance": 1e-12, "conductance": 1e-7},
            noise={"bandwidth": 1e7, "flicker_corner": 1e4, "flicker_low": 1e2, "flicker_high": 1e5},
            readout={"bandwidth": 1e7, "noise": 1e-9, "gain_error": 0.01, "offset": 1e-4, "crosstalk": 1e-3},
        )
    )
    for name in "abc":
        real.add_cell(name, capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    real.add_coupler("a", "b", transconductance=(1e-5, 2e-5))
    real.add_coupler("a", "c", capacitance=1e-10, inductance=1e-4)
    made["real"] = real
    return made


@pytest.fixture(scope="module")
def made():
    return devices()


KINDS = {
    "R": Resistor,
    "C": Capacitor,
    "L": Inductor,
    "I": CurrentSource,
    "V": VoltageSource,
    "I_NOISE": NoiseCurrent,
    "V_NOISE": NoiseVoltage,
    "G": Transconductor,
}


def expected(device):
    """Values of all elements of the device's circuit by kind, name and KiCad's names of its nets."""
    if device.detail.temperature:  # drawn are the values that are stated
        device.detail = spu.Detail(**{k: v for k, v in device.detail.to_dict().items() if k != "temperature"})
    circuit = lower(device)
    own = len(circuit.nodes)
    names = [f"/cell_{name}" if k < own else name for k, name in enumerate(circuit.node_names())]
    names = [re.sub(r"^x(.*)\.(\w+)$", r"/\1/\2", name) for name in names]
    found = defaultdict(list)
    for flat in circuit.flatten():
        nodes = [["0" if k < 0 else names[k] for k in column.tolist()] for column in flat.nodes]
        element, values = flat.element, flat.values
        if isinstance(element, SharedNoiseCurrent):
            kind, values = "G", values / 1e-9
            nodes += [[f"/{circuit.sources[k].name}" for k in flat.noise.tolist()], ["0"] * len(values)]
        else:
            kind = next(name for cls in type(element).__mro__ for name, each in KINDS.items() if each is cls)
            if isinstance(element, AmplifierNoise):
                values = np.sqrt(4 * BOLTZMANN * circuit.temperature * values)
            elif isinstance(element, (NoiseCurrent, NoiseVoltage)):
                values = np.sqrt(values)
        for k, value in enumerate(values.tolist()):
            found[kind, element.name, tuple(column[k] for column in nodes)].append(value)
    return found


def compare(parts, device):
    """Hold components of a schematic against all elements of the device: kinds, names, nets and values."""
    found = defaultdict(list)
    for part in parts:
        if part.sheet != "/":
            found[part.symbol.removesuffix("_BANK"), part.fields["Element"], part.nets].append(part.value)
    wanted = expected(device)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert sorted(found[key]) == pytest.approx(sorted(values), rel=1e-6, abs=0), key


@pytest.mark.parametrize("sheets", ["kind", "each"])
@pytest.mark.parametrize("name", ["club8", "wine", "board", "by_hand", "karate", "shared", "real"])
def test_a_second_reader_finds_the_circuit(name, sheets, made, tmp_path):
    device = made[name]
    files = write_kicad(device, tmp_path / "out", sheets=sheets)
    assert {file.name for file in files} == {file.name for file in (tmp_path / "out").iterdir()}
    parts = read_kicad(tmp_path / "out" / "out.kicad_sch")
    assert len({part.reference for part in parts}) == len(parts)
    compare(parts, device)
    sources = [part for part in parts if part.sheet == "/"]
    assert [(part.nets, part.value) for part in sources] == ([(("/w_common", "0"), 1e-9)] if name == "shared" else [])


def test_codes_and_units_of_banks_are_fields(made, tmp_path):
    write_kicad(made["club8"], tmp_path / "out")
    parts = {part.reference: part for part in read_kicad(tmp_path / "out" / "out.kicad_sch")}
    coupler = parts["C1201"]
    assert coupler.sheet == "/coupler_c_member_1_member_2/"
    fields = {key: text for key, text in coupler.fields.items() if key.startswith("Bank")}
    assert fields == {
        "Bank code": "42",
        "Bank bits": "6",
        "Bank coding": "binary",
        "Bank LSB (F)": "32p",
        "Bank offset (F)": "0",
    }
    assert coupler.value == pytest.approx(42 * 32e-12, rel=1e-7)


def test_a_switched_bank_is_one_part_with_its_code(tmp_path):
    device = spu.compile(EXAMPLES / "club8.csv", hardware="spu8-switched")
    write_kicad(device, tmp_path / "out")
    parts = {part.reference: part for part in read_kicad(tmp_path / "out" / "out.kicad_sch")}
    assert len([part for part in parts.values() if part.symbol == "C_BANK"]) == 8 + 28
    bank = parts["C101"]
    code = int(bank.fields["Bank code"])
    assert code == device.cell_columns.codes["capacitance"][0]
    assert bank.value == pytest.approx(1.28e-10 + 3.2e-11 * code, rel=1e-6)
    assert bank.fields["Switch on resistance"] == "1" and bank.nets == ("/cell_member_1", "0")
    assert {part.fields["Element"] for part in parts.values() if part.sheet == "/cell_member_1/"} == {
        "c1",
        "r1",
        "l1",
        "rser",
        "cself",
        "cpar",
        "rpar",
        "gn",
    }


def test_nonlinear_parts_have_their_coefficients(tmp_path):
    device = spu.compile(spu.ThermodynamicNetwork(units=2))
    write_kicad(device, tmp_path / "out")
    parts = read_kicad(tmp_path / "out" / "out.kicad_sch")
    (first, _) = (part for part in parts if part.symbol == "B")
    (wanted,) = (value for key, value in device.cells[0].values.items() if key.startswith("polynomial_"))
    told = [number(pair.partition("=")[2]) for pair in first.fields["Value"].split()]
    assert first.nets == ("/cell_x1", "0") and len(wanted) == 3
    assert told == pytest.approx(wanted, rel=1e-6)


def test_two_exports_are_the_same_to_the_byte(made):
    device = made["club8"]
    again = spu.compile(EXAMPLES / "club8.toml")
    assert kicad_project(device, "a") == kicad_project(again, "a")


@pytest.mark.parametrize("sheets", ["kind", "each"])
def test_another_code_changes_the_lines_of_that_coupler_alone(made, sheets):
    before = kicad_project(made["club8"], "a", sheets)
    other = spu.compile(EXAMPLES / "club8.toml")
    other.coupler_columns.set_codes(
        {
            key: np.where(np.arange(len(codes)) == 3, codes + 1, codes)
            for key, codes in other.coupler_columns.codes.items()
        }
    )
    after = kicad_project(other, "a", sheets)
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert (
        changed == {"a.kicad_sch"}
        if sheets == "kind"
        else changed <= {"a.kicad_sch", "coupler_c_member_1_member_9.kicad_sch"}
    )
    moved = [
        line[1:].strip()
        for name in changed
        for line in difflib.unified_diff(before[name].splitlines(), after[name].splitlines(), lineterm="", n=0)
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert len(moved) == (4 if sheets == "kind" else 10), moved
    assert all(re.search(r'"(21|22|672p|704p)"', line) for line in moved)


def test_a_coupler_that_goes_moves_no_other(made, tmp_path):
    """Neither its designators nor its place nor its identifiers."""
    matrix = np.array(made["club8"].problem.precision)
    matrix[0, 1] = matrix[1, 0] = 0.0
    problem = spu.GaussianSampling(precision=matrix, variables=made["club8"].problem.variables)
    write_kicad(made["club8"], tmp_path / "a")
    write_kicad(spu.compile(problem, hardware="spu8"), tmp_path / "b")
    before, after = (tmp_path / name / f"{name}.kicad_sch" for name in "ab")
    placed = [
        {each.sheetName.value: (each.uuid, each.position) for each in Schematic.from_file(str(file)).sheets}
        for file in (before, after)
    ]
    assert placed[0].pop("coupler_c_member_1_member_2") and placed[0] == placed[1]
    called = [
        {(part.sheet, part.fields["Element"]): part.reference for part in read_kicad(file)} for file in (before, after)
    ]
    assert called[0].pop(("/coupler_c_member_1_member_2/", "c1")) == "C1201" and called[0] == called[1]


def test_files_appear_whole_or_not_at_all(made, tmp_path, monkeypatch):
    device = made["club8"]
    real = Path.write_text

    def failing(self, *args, **keywords):
        if self.name == "sym-lib-table":
            raise OSError(28, "No space left on device")
        return real(self, *args, **keywords)

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(spu.SpuError, match="cannot be written: No space left"):
        write_kicad(device, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "out.kicad_pcb").write_text("mine")
    with pytest.raises(spu.SpuError, match="cannot be written"):
        write_kicad(device, tmp_path / "out", force=True)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["out.kicad_pcb"]


def test_the_command_line(tmp_path, made):
    def run(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    made["club8"].write(tmp_path / "d.json")
    done = run("export", tmp_path / "d.json", "--format", "kicad", "-o", tmp_path / "board", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [Path(file).name for file in said["files"]] == [
        "board.kicad_pro",
        "board.kicad_sch",
        "cell_crln.kicad_sch",
        "coupler_c.kicad_sch",
        "spu.kicad_sym",
        "sym-lib-table",
    ]
    (tmp_path / "board" / "board.kicad_pcb").write_text("a layout")
    again = run("export", tmp_path / "d.json", "--format", "kicad", "-o", tmp_path / "board")
    assert again.exit_code == 2 and "is there already: another folder, or --force" in again.stderr
    assert run("export", tmp_path / "d.json", "--format", "kicad", "-o", tmp_path / "board", "--force").exit_code == 0
    assert (tmp_path / "board" / "board.kicad_pcb").read_text() == "a layout"
    for words, message in (
        (["--format", "kicad"], "name one with -o FOLDER"),
        (["--format", "kicad", "-o", tmp_path / "d.json", "--force"], "is a file, and a KiCad project is a folder"),
        (
            ["--format", "kicad", "-o", tmp_path / "x", "--seed", 1],
            "--seed is not for --format kicad: it is of netlist",
        ),
        (["--format", "kicad", "-o", tmp_path / "x", "--series", "E24"], "--series is not for --format kicad"),
        (["--sheets", "each"], "--sheets is not for --format netlist: it is of kicad"),
        (["--format", "bom", "--monte-carlo", 3], "--monte-carlo is not for --format bom"),
        (["--format", "kicad", "-o", tmp_path / "x", "--sheets", "all"], "--sheets is kind or each, not 'all'"),
        (["--format", "eagle"], "no format 'eagle'; valid: netlist, kicad, bom"),
        (["--format", "kicad", "-o", tmp_path / "cell_crln"], "would have two schematics of that name"),
    ):
        refused = run("export", tmp_path / "d.json", *words)
        assert refused.exit_code == 2 and message in refused.stderr, refused.stderr
        assert not (tmp_path / "x").exists()


def test_what_nobody_could_read_is_refused():
    device = spu.Device()
    for k in range(MOST_SHEETS + 1):
        device.add_cell(f"x{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    with pytest.raises(spu.InputError, match="a schematic of 501 sheets is none that anyone reads"):
        kicad_project(device, "a")


needs_kicad = pytest.mark.skipif(
    bool(missing()), reason=f"not installed: {', '.join(missing())}: schematics are not opened in KiCad"
)


@needs_kicad
@pytest.mark.parametrize(
    "name", ["club8", *(pytest.param(each, marks=pytest.mark.long) for each in ("board", "shared", "real"))]
)
def test_kicad_itself_finds_the_circuit(name, made, tmp_path):
    """Sheets of one kind share a file, and each has its own values."""
    write_kicad(made[name], tmp_path / "out")
    before = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    with opened(tmp_path / "out" / "out.kicad_sch") as editor:
        editor.export(tmp_path / "a.net")
    compare(read_own(tmp_path / "a.net"), made[name])
    assert {name: (tmp_path / "out" / name).read_text() for name in before if name != "out.kicad_pro"} == {
        name: text for name, text in before.items() if name != "out.kicad_pro"
    }


@needs_kicad
@pytest.mark.long
@pytest.mark.parametrize("name", ["club8", "board", "shared", "real"])
def test_the_electrical_rules_have_nothing_to_say(name, made, tmp_path):
    write_kicad(made[name], tmp_path / "out")
    with opened(tmp_path / "out" / "out.kicad_sch") as editor:
        editor.rules(tmp_path / "a.rpt")
    assert "ERC messages: 0  Errors 0  Warnings 0" in (tmp_path / "a.rpt").read_text()


@needs_kicad
@pytest.mark.long
def test_the_spice_netlist_that_kicad_writes_is_the_device(made, tmp_path):
    write_kicad(made["club8"], tmp_path / "out", sheets="each")
    with opened(tmp_path / "out" / "out.kicad_sch") as editor:
        editor.export(tmp_path / "a.cir", spice=True)
    own = (EXAMPLES / "club8_kicad.cir").read_text()  # which tests of imports read
    assert (tmp_path / "a.cir").read_text() == own


def test_an_imported_netlist_of_kicad_is_the_device(made):
    """Of the file that KiCad has written cells are found, and thermal noise, random sources and values are the same."""
    read = spu.read_netlist(EXAMPLES / "club8_kicad.cir")
    found, exact = spu.predict(read), spu.predict(made["club8"])
    assert found.variables == tuple(made["club8"].cell_names)
    assert found.voltage_covariance == pytest.approx(exact.voltage_covariance, rel=1e-6, abs=0)
