"""The check with VACASK: correct devices, netlists with one thing changed, and what is refused.

VACASK really runs. Each change is one that ngspice's netlist is tried with, too (`test_crosscheck.NETLISTS`), in
VACASK's language.
"""

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from engines import needs_vacask
from helpers import T, frustrated, m_matrix, random_device
from test_crosscheck import COMPILED, algebraic, behind_capacitors, loops

import spu
from spu.base.errors import UsageError
from spu.cli import cli
from spu.folder import write_folder

pytestmark = needs_vacask

CLOSE = 1e-5
"""Of a covariance: between emulator and simulator."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The compiled devices, each in its folder with its netlist for VACASK; not to be changed."""
    root = tmp_path_factory.mktemp("devices")
    for name, make in COMPILED.items():
        write_folder(root / name, make(), dialects=["vacask"])
    return root


@pytest.fixture
def changed(folders, tmp_path):
    """``changed(name, pattern, replacement)``: a folder of one's own, with one thing changed in its netlist."""

    def make(name, pattern, replacement):
        folder = shutil.copytree(folders / name, tmp_path / name)
        file = folder / "device.vacask.sim"
        before = file.read_text()
        after, count = re.subn(pattern, replacement, before, count=1)
        assert count == 1 and after != before, "the pattern of this case does not fit the netlist"
        file.write_text(after)
        return folder

    return make


def verdicts(found):
    return {level.name: (level.verdict, level.message) for level in found.levels.values()}


# --- correct devices -----------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_device_passes_every_level_that_vacask_serves(folders, name):
    found = spu.check(folders / name, simulator="vacask")
    said = verdicts(found)
    assert (found.verdict, found.exit_status, found.notes) == ("pass", 0, ()), said
    assert said["op"][0] == ("skipped" if name == "rlc" else "pass")
    assert said["ac"][0] == said["replay"][0] == "pass", said
    assert said["noise"][0] == "skipped" and "samples no netlist declares" in said["noise"][1]
    assert said["answer"][0] == "skipped" and "reads ngspice's language" in said["answer"][1]
    ideal = found.covariances["ideal"]
    assert np.linalg.norm(found.covariances["vacask"] - ideal) < CLOSE * np.linalg.norm(ideal)
    errors = list(found.levels["replay"].data["path_errors"].values())
    assert errors[1] < errors[0] / 4  # of second order in the step


@pytest.mark.parametrize("make", [loops, behind_capacitors, algebraic])
def test_a_device_built_by_hand(make):
    found = spu.check(make(), simulator="vacask", levels=["op", "ac", "replay"])
    said = verdicts(found)
    assert found.exit_status == 0 and said["replay"][0] == "pass", said
    if make is algebraic:
        assert said["op"][0] == said["ac"][0] == "pass", said
    else:
        assert said["op"][0] == said["ac"][0] == "skipped" and "without a single operating point" in said["ac"][1]


def every_architecture(seed):
    """A correct random device: compiled in each architecture in turn, or scattered values."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 6))
    match seed % 6:
        case 0:
            return random_device(rng, n, temperature=T, transconductors=True)
        case 1:
            return random_device(rng, n, temperature=0.0, inductors=False, transconductors=True)
        case 2:
            return spu.compile(spu.GaussianSampling(precision=m_matrix(rng, n, 10.0)), "spu8")
        case 3:
            return spu.compile(spu.LinearSystem(matrix=m_matrix(rng, n), vector=rng.normal(size=n)))
        case 4:
            matrix = frustrated(rng, n) + 2 * np.eye(n)
            return spu.compile(spu.GaussianSampling(precision=matrix), architecture="rlc-capacitive-dual")
    return spu.compile(
        spu.GaussianSampling(precision=frustrated(rng, n), mean=rng.normal(size=n)), architecture="rc-transconductor"
    )


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.sampled(10)
def test_no_false_alarm(seed):
    found = spu.check(every_architecture(seed), simulator="vacask", levels=["op", "ac"])
    said = verdicts(found)
    assert said["ac"][0] == "pass" and said["op"][0] in ("pass", "skipped"), said


# --- one thing changed ---------------------------------------------------------------------

STRAY = r"(?m)^// ---- noise sources"
MORE = "{}\n// ---- noise sources"

# (reason, device, level that should see it, pattern, replacement, pattern that the message holds)
NETLISTS = [
    # Values on instance lines.
    ("a cell's capacitance", "rlc", "ac", r"(xcell_x2 .* c=)(\S+)", r"\1 1.03*\2", "x2"),
    ("a cell's resistance", "rlc", "ac", r"(xcell_x2 .* r=)(\S+)", r"\1 1.03*\2", "x2"),
    ("an inductance", "rlc", "ac", r"(xcell_x2 .* l=)(\S+)", r"\1 1.03*\2", "x2"),
    ("an injected density", "rlc", "ac", r"(xcell_x2 .* sn=)(\S+)", r"\1 1.03*\2", "n_x2"),
    ("a coupler", "rlc", "ac", r"(xcoupler_c_x1_x3 .* c=)(\S+)", r"\1 1.03*\2", "x[13]"),
    ("the weakest coupler", "rlc", "ac", r"(xcoupler_c_x1_x2 .* c=)(\S+)", r"\1 1.03*\2", "x[12]"),
    ("a resistor", "resistive", "op", r"(xcoupler_r_x1_x3 .* r=)(\S+)", r"\1 1.03*\2", "x[13]"),
    ("the weakest resistor", "resistive", "op", r"(xcoupler_r_x1_x2 .* r=)(\S+)", r"\1 1.03*\2", "x[12]"),
    ("a resistor, in ac", "resistive", "ac", r"(xcoupler_r_x1_x3 .* r=)(\S+)", r"\1 1.03*\2", "x[13]"),
    ("a cell's resistor", "resistive", "ac", r"(xcell_x3 .* r=)(\S+)", r"\1 1.03*\2", "x3"),
    ("a cell's capacitor", "resistive", "ac", r"(xcell_x1 .* c=)(\S+)", r"\1 1.03*\2", "x1"),
    ("a bias", "resistive", "op", r"(xcell_x3 .* ib=)(\S+)", r"\1 1.03*\2", "x3"),
    ("a bias turned round", "resistive", "op", r"(xcell_x3 .* ib=)(\S+)", r"\1 -\2", "x3"),
    ("one direction", "transconductor", "ac", r"(xcoupler_g_x1_x3 .* gab=)(\S+)", r"\1 1.03*(\2)", "x[13]"),
    ("other direction", "transconductor", "op", r"(xcoupler_g_x1_x3 .* gba=)(\S+)", r"\1 1.03*(\2)", "x[13]"),
    ("a weak direction", "transconductor", "ac", r"(xcoupler_g_x1_x2 .* gba=)(\S+)", r"\1 1.03*(\2)", "x[12]"),
    ("a sign", "transconductor", "op", r"(xcoupler_g_x1_x3 .* gab=)(\S+)", r"\1 -(\2)", "x[13]"),
    ("a value left out", "transconductor", "ac", r"(xcoupler_g_x1_x3 .*) gba=\S+", r"\1", "x[13]"),
    ("a density", "transconductor", "ac", r"(xcell_x2 .* sn=)(\S+)", r"\1 1.03*\2", "n_x2"),
    # Wiring.
    ("couplers swapped", "rlc", "ac", r"(cell_x1 cell_x2)(\) .*\n.*)(cell_x1 cell_x3)", r"\3\2\1", "x[123]"),
    ("a coupler moved", "rlc", "ac", r"(xcoupler_c_x1_x3 \()cell_x1", r"\1cell_x2", "x[123]"),
    ("noise ports swapped", "rlc", "ac", r"t_x1 n_x1\) cell", "n_x1 t_x1) cell", "[tn]_x1"),
    ("one source for two cells", "resistive", "ac", r"(xcell_x2 \(cell_x2) n_x2", r"\1 n_x1", "n_x[12]"),
    ("a grounded cell", "resistive", "ac", r"(xcell_x2) \(cell_x2", r"\1 (0", "x2"),
    ("a node renamed", "resistive", "ac", r"(xcell_x2) \(cell_x2", r"\1 (cell_y2", "x2"),
    ("a node renamed everywhere", "resistive", "ac", r"(?s)(.*)", lambda m: m[1].replace("cell_x2", "cell_y2"), "x2"),
    (
        "a transconductor moved",
        "transconductor",
        "ac",
        r"(xcoupler_g_x1_x3 \(cell_x1) cell_x3",
        r"\1 cell_x2",
        "x[123]",
    ),
    ("a transconductor turned", "transconductor", "ac", r"gab \(a 0 b 0\)", "gab (0 a b 0)", "x[123]"),
    # Missing and superfluous elements.
    ("no coupler", "rlc", "ac", r"xcoupler_c_x1_x3.*\n", "", "x[13]"),
    ("no weak coupler", "rlc", "ac", r"xcoupler_c_x1_x2.*\n", "", "x[12]"),
    ("no cell", "rlc", "ac", r"xcell_x2.*\n", "", "x2"),
    ("a cell doubled", "resistive", "ac", r"xcell_x2(.*\n)", r"xcell_x2\1xcell_bis\1", "x2"),
    (
        "an inductor doubled",
        "rlc",
        "ac",
        r"xcell_x2(.*\n)",
        r"xcell_x2\1xcell_bis\1",
        "no operating point.*xcell_bis:l1",
    ),
    ("a coupler doubled", "resistive", "ac", r"xcoupler_r_x2_x3(.*\n)", r"xcoupler_r_x2_x3\1xagain\1", "x[23]"),
    ("two in one", "resistive", "ac", r"c1 \(a 0\) capacitor c=c", "c1 (a 0) capacitor c=c $mfactor=1.03", ""),
    ("no inductor", "rlc", "ac", r"  l1 \(a 0\) .*\n", "", ""),
    ("no injected noise", "resistive", "ac", r"  gn .*\n", "", ""),
    ("no noise source", "rlc", "ac", r"vn_x2 .*\n", "", "n_x2"),
    ("a source doubled", "rlc", "ac", r"(vn_x2 .*\n)", r"\1\1", "vn_x2"),
    ("a source cut short", "rlc", "ac", r"(vn_x2 \(\S+ \S+) .*", r"\1)", "vn_x2"),
    ("no thermal source", "rlc", "ac", r"vt_x2 .*\n", "", "t_x2"),
    ("no noise resistor", "resistive", "ac", r"rn_x2 .*\n", "", "n_x2"),
    ("a stray capacitor", "rlc", "ac", STRAY, MORE.format("cstray (cell_x2 0) capacitor c=1e-12"), "x2"),
    ("a stray resistor", "resistive", "op", STRAY, MORE.format("rstray (cell_x2 0) resistor r=1e6 noisy=0"), "x2"),
    ("a stray noise", "resistive", "ac", STRAY, MORE.format("rstray (cell_x2 0) resistor r=1e9"), ""),
    ("a stray bias", "resistive", "op", STRAY, MORE.format("istray (0 cell_x2) isource dc=1e-9"), "x2"),
    (
        "a buffer",
        "rlc",
        "ac",
        STRAY,
        MORE.format("estray (q 0 cell_x1 0) vcvs gain=1\ncq (q cell_x2) capacitor c=1e-12"),
        "x2",
    ),
    (
        "a transformer",
        "rlc",
        "ac",
        r"  l1 (\(a 0\) .*\n)",
        "  l1 \\1  l2 (q 0) inductor l=1e-6\n  k () mutual k=0.3 "
        'ind1="l1" ind2="l2"\n  rq (q 0) resistor r=1 noisy=0\n',
        "",
    ),
    # Inside subcircuits.
    ("every capacitor", "resistive", "ac", r"c1 \(a 0\) capacitor c=", "c1 (a 0) capacitor c=1.03*", ""),
    ("every inductor", "rlc", "ac", r"l1 \(a 0\) inductor l=", "l1 (a 0) inductor l=1.03*", ""),
    ("every thermal noise", "rlc", "ac", r"gain=sqrt\(kt4/r\)", "gain=1.03*sqrt(kt4/r)", "t_x"),
    ("noise inside out", "rlc", "ac", r"gn \(0 a n 0\)", "gn (a 0 n 0)", "n_x"),
    ("a bias drawn", "resistive", "op", r"ib \(0 a\)", "ib (a 0)", "x"),
    ("noise of a cold resistor", "resistive", "ac", r" noisy=0", "", ""),
    ("a hot resistor silenced", "rlc", "ac", r"(  r1 \(a 0\) resistor r=r)", r"\1 noisy=0", "t_x"),
    ("a default", "resistive", "ac", r"(xcell_x2 .*) c=\S+", r"\1", ""),
    # Noise sources.
    ("one source's density", "rlc", "ac", r"(rn_x2 \(s_n_x2 n_x2\) resistor r=)rn", r"\1rn*1.03", "n_x2"),
    ("a source silenced", "rlc", "ac", r"(rn_x2 \(s_n_x2 n_x2\) resistor r=rn)", r"\1 noisy=0", "n_x2"),
    ("a loaded source", "rlc", "ac", STRAY, MORE.format("cstray (n_x2 0) capacitor c=1e-9"), "n_x2"),
    ("hotter", "rlc", "ac", r"temp=27\S*", "temp=30", ""),
    # Parameters.
    ("density of all", "resistive", "ac", r"(parameters rn=)(.*)", r"\1 1.03*\2", "n_x"),
    ("scale of all", "resistive", "ac", r"(parameters en=)(.*)", r"\1 1.03*\2", ""),
    ("thermal scale", "rlc", "ac", r"(parameters kt4=)(.*)", r"\1 1.03*\2", "t_x"),
    ("in replay", "rlc", "replay", r"(xcell_x2 .* c=)(\S+)", r"\1 1.03*\2", "x2"),
]


def test_there_are_sixty():
    assert len(NETLISTS) >= 60 and len({case[0] for case in NETLISTS}) == len(NETLISTS)


@pytest.mark.parametrize("case", NETLISTS, ids=[f"{case[1]}-{case[0]}" for case in NETLISTS])
@pytest.mark.sampled(6)
def test_one_thing_changed_in_the_netlist_is_seen(changed, case):
    _, name, level, pattern, replacement, place = case
    found = spu.check(changed(name, pattern, replacement), levels=[level], simulator="vacask")
    said = found.levels[level]
    assert said.verdict in ("fail", "error") and found.exit_status in (1, 2), said.message
    assert re.search(place, said.message), said.message
    assert "\n" not in said.message


SAME = [
    ("other comments", r"// Run it:.*", "// hello"),
    ("capitals", r"xcell_x1 ", "XCELL_X1 "),
    ("a coupler's ends", r"(xcoupler_c_x1_x3) \((\S+) (\S+)\)", r"\1 (\3 \2)"),
    ("a line broken", r"\(cell_x1 t_x1 n_x1\)", "(cell_x1 // a word in between\n  t_x1 n_x1)"),
    ("no block of commands", r"(?s)\ncontrol\n.*", "\n"),
    ("an isolated resistor", STRAY, MORE.format("rstray (elsewhere 0) resistor r=1k")),
]


@pytest.mark.parametrize("case", SAME, ids=[case[0] for case in SAME])
def test_what_changes_nothing_passes(changed, case):
    _, pattern, replacement = case
    found = spu.check(changed("rlc", pattern, replacement), levels=["ac"], simulator="vacask")
    assert found.exit_status == 0, found.levels["ac"].message


def test_ngspice_and_vacask_measure_the_same(folders):
    """Transfer functions and covariance, by programs of other people on other mathematics."""
    found = {name: spu.check(folders / "rlc", levels=["ac"], simulator=name) for name in ("ngspice", "vacask")}
    covariances = [found[name].covariances[name] for name in found]
    assert np.linalg.norm(covariances[0] - covariances[1]) < 2e-6 * np.linalg.norm(covariances[0])


# --- what is run, and what is refused ------------------------------------------------------


def test_where_there_is_no_netlist_for_it_one_is_written(tmp_path):
    write_folder(tmp_path / "d", COMPILED["rlc"]())
    found = spu.check(tmp_path / "d", levels=["ac"], simulator="vacask")
    assert found.verdict == "pass" and any("no device.vacask.sim in the folder" in note for note in found.notes)
    assert not (tmp_path / "d" / "device.vacask.sim").exists()


def test_an_edited_netlist_is_measured(folders, tmp_path):
    text = (folders / "rlc" / "device.vacask.sim").read_text()
    copy = tmp_path / "copy.vacask.sim"
    copy.write_text(re.sub(r"(xcell_x2 .* c=)(\S+)", r"\1 1.03*\2", text, count=1))
    run = CliRunner().invoke(
        cli,
        ["check", str(folders / "rlc"), "--simulator", "vacask", "--netlist", str(copy), "--level", "answer", "--json"],
    )
    assert run.exit_code == 1, run.output
    changes = json.loads(run.stdout)["changes"]
    assert changes["source"] == "vacask" and "ngspice's language" in changes["why"]
    (edit,) = changes["edits"]
    assert edit["name"] == "xcell_x2" and edit["line"]
    same = tmp_path / "same.vacask.sim"
    same.write_text(text)
    judged = spu.check(folders / "rlc", simulator="vacask", netlist=same, accuracy=1e-3)
    assert judged.verdict == "pass" and not judged.changes.edits, verdicts(judged)


def test_netlists_of_other_languages_are_refused(folders, tmp_path):
    with pytest.raises(UsageError, match=r"ends in .vacask.sim"):
        spu.check(folders / "rlc", simulator="vacask", netlist=folders / "rlc" / "device.cir")
    with pytest.raises(UsageError, match="in the language of vacask by its ending"):
        spu.check(folders / "rlc", netlist=folders / "rlc" / "device.vacask.sim")
    with pytest.raises(UsageError, match="takes vacask's"):
        spu.check(spu.read_netlist(folders / "rlc" / "device.cir"), simulator="vacask")


def test_a_start_is_replayed_from_the_list_of_the_transient(tmp_path):
    compiled = spu.compile_problem(spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]]))
    compiled.device.set_start([3.0, -1.0])
    write_folder(tmp_path / "d", compiled, dialects=["vacask"])
    found = spu.check(tmp_path / "d", simulator="vacask", levels=["replay"])
    assert found.verdict == "pass" and "from its start" in found.levels["replay"].message
    file = tmp_path / "d" / "device.vacask.sim"
    elsewhere = re.sub(r'(ic=\{"cell_x1", )([^,]+)', lambda m: m[1] + repr(1.1 * float(m[2])), file.read_text())
    file.write_text(elsewhere)
    again = spu.check(tmp_path / "d", simulator="vacask", levels=["replay"])
    assert again.verdict == "fail", again.levels["replay"].message


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (
            r"(?m)^control$",
            r'ix (0 cell_x1) isource dc=0 type="pulse" val0=0 val1=1e-3 delay=1 rise=1n width=1\ncontrol',
        ),
        (r"(?m)^(vn_x1 \(.*\) vsource dc=0 mag=0)$", r'\1 type="sine" ampl=1e-3 freq=1e6'),
    ],
)
def test_a_wave_in_the_folders_own_netlist_is_not_passed_over(tmp_path, pattern, replacement):
    """What it does begins after replay has ended, or is replaced by what is replayed."""
    write_folder(tmp_path / "d", spu.compile_problem([[2.0, -0.5], [-0.5, 1.0]]), dialects=["vacask"])
    file = tmp_path / "d" / "device.vacask.sim"
    text, count = re.subn(pattern, replacement, file.read_text(), count=1)
    assert count == 1
    file.write_text(text)
    found = spu.check(tmp_path / "d", simulator="vacask", levels=["answer", "op"])
    assert found.levels["answer"].verdict == found.verdict == "inconclusive"
    assert "has a waveform" in found.levels["answer"].message
