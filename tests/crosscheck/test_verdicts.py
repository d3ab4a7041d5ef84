"""What a check must see although no sweep and no transient does, and what it must not take for a mismatch.

The netlist of a folder is read, too, and held against the device: modes and noise outside every band, at any strength.
The other way round: decks that people draw elsewhere are right, whatever starts, waveforms and supplies they have.
"""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from linear_decks import DECKS

import spu
from spu.cli import cli
from spu.crosscheck.levels.dynamics import spectral_difference, unpaired_modes
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve
from spu.folder import read_folder, write_import
from spu.spice.reader import read_netlist
from spu.spice.reader.waveforms import at_start


def device(inductance: float | None = None) -> spu.Device:
    """Three unequal cells in a row, with biases."""
    made = spu.Device()
    more = {} if inductance is None else {"inductance": inductance}
    for k, name in enumerate("abc"):
        made.add_cell(name, capacitance=1e-9 * (1 + k), conductance=1e-3, noise=4e-20, **more)
    made.add_coupler("a", "b", conductance=3e-4)
    made.add_coupler("b", "c", conductance=2e-4)
    return made


KINDS = {"rc": device, "rlc": lambda: device(1e-5)}


def written(folder: Path, kind: str, edit) -> Path:
    """A folder with the device and its netlist, edited."""
    made = KINDS[kind]()
    made.write(folder / "device.json")
    text = spu.netlist(made)
    changed = (
        text.replace("\n.control", f"\n{edit}\n.control") if isinstance(edit, str) else re.sub(*edit, text, count=1)
    )
    assert changed != text
    (folder / "device.cir").write_text(changed)
    return folder


def answer(folder: Path):
    return spu.check(folder, levels=["answer"]).levels["answer"]


# --- what no sweep and no transient sees -------------------------------------------------------

# (what, lines, pattern of the message)
HIDDEN = [
    ("noise below the band", "rq q 0 1meg\ncq q 0 159u\ngq 0 cell_a q 0 20", "modes? at q "),
    ("the same, hardly coupled", "rq q 0 1meg\ncq q 0 159u\ngq 0 cell_a q 0 1e-12", "modes? at q "),
    ("an unstable node", "rq q 0 -1meg noisy=0\ncq q 0 1u\ngq 0 cell_a q 0 1e-12", "unstable.*q grows"),
    ("an unstable node by itself", "gq 0 q q 0 1m\nrq q 0 2k\ncq q 0 1u", "unstable.*q grows"),
    ("a crystal", "rq q 0 1g\nlq q p 8k\ncq p 0 3f\nrq2 q 0 100k\ngq 0 cell_b q 0 1e-9", "modes? at "),
    ("a crystal at a cell", "lq cell_b q 10m\ncq q p 25f\nrq p 0 20", "modes? at "),
    ("noise above the band", "rq q 0 1k\ncq q 0 1f\ngq 0 cell_c q 0 1e-6", "modes? at q "),
    ("an F source", "iq 0 q 0\nrq q s 1k\nvq s 0 0\ncq q 0 1m\nfq 0 cell_b vq 1e-3", "modes? at q "),
    ("an H source", "rq q s 1k\nvq s 0 0\ncq q 0 1m\nhq h 0 vq 1k\nrh h cell_c 1g noisy=0", "mode at q |spectrum at c"),
    ("in a subcircuit", ".subckt z o\nrq q 0 1k\ncq q 0 1\ngq 0 o q 0 1n\n.ends\nxz cell_a z", r"mode at xz\.q "),
    ("another temperature", "rq cell_a 0 1g noisy=0\nrz z 0 300k\ngq 0 cell_a z 0 1m", "variance of a"),
    ("white noise at the readout", ("(?m)^xcell_b cell_b", "rz cell_b cell_bb 1\nxcell_b cell_bb"), "white noise"),
    ("a density", (r"(?m)^(xcell_b .* sn=)(\S+)", r"\1{1.001*\2}"), "variance of b"),
    ("a bias", "iq 0 cell_b 1n", "mean of b"),
    ("a state less", (r"(?m)^  c1 a 0 .*\n", ""), "no state|white noise|derivative"),
]


@pytest.mark.parametrize(
    "kind, case",
    [("rc", case) for case in HIDDEN] + [("rlc", case) for case in HIDDEN if "mode" in case[2] or "grows" in case[2]],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_what_no_band_shows_is_found_in_the_netlist(tmp_path, case, kind):
    _, edit, words = case
    level = answer(written(tmp_path, kind, edit))
    assert level.verdict == "fail", level.message
    assert re.search(words, level.message), level.message


# (what, edit)
HARMLESS = [
    ("a comment", "* nothing"),
    ("an isolated resistor", "rz z 0 1k"),
    ("a start", ".ic v(cell_a)=5"),
    ("two resistors in parallel", (r"  r1 a 0 \{r\}\n", "  r1a a 0 {2*r}\n  r1b a 0 {2*r}\n")),
    ("two resistors in series", (r"  r1 a 0 \{r\}\n", "  r1a a m {r/2}\n  r1b m 0 {r/2}\n")),
    ("two capacitors in series", (r"  c1 a 0 \{c\}\n", "  c1a a m {2*c}\n  c1b m 0 {2*c}\n")),
]


@pytest.mark.parametrize("case", HARMLESS, ids=[case[0] for case in HARMLESS])
def test_an_equivalent_netlist_passes(tmp_path, case):
    level = answer(written(tmp_path, "rc", case[1]))
    assert level.verdict == "pass", level.message


def test_a_mode_that_no_readout_sees_is_named(tmp_path):
    # A buffer behind a cell, with a filter of its own, tells nobody.
    level = answer(written(tmp_path, "rc", "eq q 0 cell_a 0 1\nrq q p 1k\ncq p 0 1n"))
    assert level.verdict == "pass" and "mode at p " in level.message and "no readout sees" in level.message
    assert level.data["extra_modes"] == [
        {"nodes": ["p"], "time_constant": pytest.approx(1e-6), "frequency": 0.0, "seen": False}
    ]


# (what, lines, words)
MOVING = [
    ("time", "bq 0 cell_a i={1e-12*v(cell_a)*time}", "bq (line {n}) depends on time"),
    ("frequency", "bq 0 cell_a i={1e-20*v(cell_a)*hertz}", "bq (line {n}) depends on hertz"),
    ("a switch", "sq cell_a 0 cell_b 0 sw\n.model sw sw(vt=1 ron=1k roff=1e12)", "sq (line {n}) is a switch"),
    ("a pulse", "iq 0 cell_a pulse(0 1u 1 1n 1n 1 2)", "iq (line {n}) has a waveform (pulse)"),
    ("a sine", "iq 0 cell_a sin(0 1u 1k 1)", "iq (line {n}) has a waveform (sin)"),
    ("a diode", "dq cell_a 0 d\n.model d d(is=1e-30)", "only ngspice reads it"),
]


@pytest.mark.parametrize("case", MOVING, ids=[case[0] for case in MOVING])
@pytest.mark.sampled(2)
def test_what_was_not_looked_at_is_named(tmp_path, case):
    _, edit, words = case
    folder = written(tmp_path, "rc", edit)
    number = (folder / "device.cir").read_text().splitlines().index(edit.splitlines()[0]) + 1
    level = answer(folder)
    assert level.verdict == "inconclusive", level.message
    assert words.format(n=number) in level.message
    assert spu.check(folder, levels=["answer"]).exit_status == 0


def test_what_goes_by_the_temperature_is_named(tmp_path):
    level = answer(written(tmp_path, "rc", "rq cell_a 0 {1e15*temper}"))
    assert level.verdict == "inconclusive" and "temper" in level.message


def test_branches_of_a_deck_are_not_taken(tmp_path):
    level = answer(written(tmp_path, "rc", ".if (1)\nrq cell_a 0 1k\n.endif"))
    assert level.verdict == "error" and ".if" in level.message


def test_the_command_line_gives_modes(tmp_path):
    folder = written(tmp_path, "rc", HIDDEN[0][1])
    found = CliRunner().invoke(cli, ["check", str(folder), "--level", "answer", "--json"])
    assert found.exit_code == 1
    level = json.loads(found.stdout)["levels"]["answer"]
    (mode,) = level["extra_modes"]
    assert (mode["nodes"], mode["seen"]) == (["q"], True) and mode["time_constant"] == pytest.approx(159, rel=1e-6)
    assert level["detects"]["spectrum"] == 1e-5


def test_an_ensemble_reads_each_netlist(tmp_path):
    problem = spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]])
    found = spu.check(spu.compile_problem(problem, "spu8-4bit", ensemble=2).device, levels=["answer"])
    assert found.verdict == "pass" and len(found.levels["answer"].data["programmings"]) == 2


def test_lines_that_only_ngspice_reads_are_named_in_networks(tmp_path):
    from test_network_check import made

    compilation = made("rc-conductance", 2)
    spu.folder.write_folder(tmp_path / "d", compilation)
    assert answer(tmp_path / "d").verdict == "pass"
    deck = tmp_path / "d" / "device.cir"
    deck.write_text(deck.read_text().replace("\n.control", "\ngq 0 cell_a q 0 1u\n.control"))
    level = answer(tmp_path / "d")
    assert level.verdict == "inconclusive" and "gq 0 cell_a q 0 1u" in level.message


def law(text: str, tmp_path):
    (tmp_path / "x.cir").write_text(f"x\n{text}\n.end\n")
    return solve(stochastic_ode(read_netlist(tmp_path / "x.cir", probes=["a"]).circuit))


@pytest.mark.parametrize("q", [10.0, 1e3, 1e5])
def test_spectra_are_compared_within_resonances(tmp_path, q):
    """A resonance that moved by a tenth of its width, between any points of a sweep, at any quality."""
    tank = "l1 a 0 1u\nc1 a 0 {c}\nr1 a 0 {r}\n"
    r = q * 1e3**0.5  # of sqrt(L / C)
    known = law(tank.format(c=1e-9, r=r), tmp_path)
    moved = law(tank.format(c=1e-9 * (1 + 0.2 / q), r=r), tmp_path)
    difference, frequency, _ = spectral_difference(moved, known)
    assert difference > 0.05 and abs(frequency / 5.033e6 - 1) < 5 / q
    # The pole moved by a millionth of itself at the highest quality: only the spectrum tells.
    assert [len(modes) for modes in unpaired_modes(moved, known)] == ([1, 1] if q < 1e5 else [0, 0])
    assert spectral_difference(known, known)[0] < 1e-12 and unpaired_modes(known, known) == ([], [])


def test_modes_that_coincide_are_paired(tmp_path):
    critical = "l1 a 0 1u\nc1 a 0 1n\nr1 a 0 {r}\n"
    r = 0.5 * 1e3**0.5
    known, other = law(critical.format(r=r), tmp_path), law(critical.format(r=r * (1 + 1e-15)), tmp_path)
    assert unpaired_modes(other, known) == ([], [])


# --- what is no mismatch -----------------------------------------------------------------------

WAVES = {
    "sin(1 2 1k 0 0 30)": None,
    "sin(1 2 1k 1m 0 30)": None,
    "sin(1.5 0.1 1k)": None,
    "sin(1 2 1k -0.1m 100)": None,
    "pulse(2 5 0 1n 1n 1u 2u)": None,
    "pulse(2 5 -1.3u 1u 1u 1u 5u)": None,
    "pulse(2 5 -0.5u 1u 1u 1u 5u)": None,
    "pulse(2 5 -2.7u 1u 1u 1u 5u)": None,
    "pulse(2 5 -8u 1u 1u 1u 5u)": None,
    "pwl(1u 3 2u 5)": None,
    "pwl(-1u 3 1u 5)": None,
    "pwl(-2 3 -1 7)": None,
    "exp(2 5 1u 1u 5u 2u)": None,
    "exp(2 5 -1u 1u 5u 2u)": None,
    "exp(2 5 -2u 1u -1u 2u)": None,
    "sffm(1 2 10k 5 1k)": None,
    "sffm(1 2 10k 5 1k 30 60)": None,
    "am(2 1 1k 10k)": None,
    "dc 7 sin(1 2 1k)": None,
    "7 sin(1 2 1k)": None,
    "sin(1 2 1k) dc 7": None,
}


def test_a_waveform_without_dc_is_taken_at_the_start(tmp_path):
    """By ngspice's own operating point, for all waveforms at once."""
    lines = [f"v{k} n{k} 0 {wave}\nr{k} n{k} 0 1k\nc{k} n{k} 0 1n" for k, wave in enumerate(WAVES)]
    names = " ".join(f"v(n{k})" for k in range(len(WAVES)))
    text = "waves\n" + "\n".join(lines)
    (tmp_path / "op.cir").write_text(f"{text}\n.control\nop\nprint {names}\n.endc\n.end\n")
    done = subprocess.run(["ngspice", "-n", "-b", "op.cir"], cwd=tmp_path, capture_output=True, text=True, check=False)
    values = {int(n): float(v) for n, v in re.findall(r"v\(n(\d+)\) = (\S+)", done.stdout)}
    (tmp_path / "waves.cir").write_text(f"{text}\n.save {names}\n.end\n")
    read = read_netlist(tmp_path / "waves.cir", silent=[f"v{k}" for k in range(len(WAVES))])
    inputs = {row.name: row.value for row in read.inputs}
    for k, wave in enumerate(WAVES):
        assert inputs[f"v{k}"] == pytest.approx(values[k], rel=1e-5, abs=1e-6), wave


def test_waveforms_whose_start_is_not_known():
    assert at_start("pulse", [2.0, 5.0, -1.0]) is None  # lasts as long as the analysis says
    assert at_start("pwl", [0.0]) is None
    assert at_start("am", [1.0, 1.0, 1e3, 1e4, -1.0]) is None


def imported(folder: Path, text: str, **choices) -> Path:
    (folder / "drawn.cir").write_text(text)
    if not choices:
        waving = read_netlist(folder / "drawn.cir", at_start=True).waving
        choices = {"silent": [source.name for source in waving if source.element.stimulus]}
    write_import(folder / "made", read_netlist(folder / "drawn.cir", **choices))
    return folder / "made"


def verdicts(found) -> dict[str, str]:
    return {level.name: level.verdict for level in found.levels.values()}


# (deck, levels)
SOUND = [
    ("rc_ladder_with_starts", "op ac replay noise"),
    ("exp_source_offset", "op ac replay"),
    ("opamp_buffer_with_offset", "op ac"),
    ("pwl_starts_late", "op"),
    ("held_output_only", "op ac replay"),
    ("silent_circuit", "op ac replay"),
    ("microphone_electret", "op"),
    ("poly_sources", "ac"),
    ("capacitor_divider", "ac replay noise"),
    ("slow_and_fast", "op ac"),
    ("transmission_ladder", "op ac"),
    ("state_variable_filter", "op ac"),
    ("transformer_perfect_k", "ac"),
]


@pytest.mark.parametrize("case", SOUND, ids=[case[0] for case in SOUND])
@pytest.mark.sampled(2)
def test_decks_that_people_draw_pass(tmp_path, case):
    name, levels = case
    found = spu.check(imported(tmp_path, DECKS[name]), levels=levels.split())
    assert set(verdicts(found).values()) <= {"pass", "skipped"}, found.levels
    assert found.exit_status == 0


@pytest.mark.parametrize("name", DECKS)
def test_every_deck_has_a_law(tmp_path, name):
    """Ngspice runs a selection above."""
    assert solve(stochastic_ode(read_folder(imported(tmp_path, DECKS[name])).subject)).voltage_covariance.shape


@pytest.mark.parametrize("name", ["dc_far_above_noise", "slow_and_fast"])
def test_digits_that_are_lost_are_no_mismatch(tmp_path, name):
    found = spu.check(imported(tmp_path, DECKS[name]), levels=["replay"])
    assert (found.verdict, found.exit_status) == ("inconclusive", 0), found.levels
    assert "digits" in found.levels["replay"].message


def test_a_held_readout_gives_json(tmp_path):
    folder = imported(tmp_path, DECKS["held_output_only"])
    found = CliRunner().invoke(cli, ["check", str(folder), "--level", "op", "--level", "ac", "--json"])
    assert found.exit_code == 0 and json.loads(found.stdout)["verdict"] == "pass", found.output


def test_starts_are_named_and_left_out(tmp_path):
    folder = written(tmp_path, "rc", ".ic v(cell_a)=5\n.nodeset v(cell_b)=1")
    found = spu.check(folder, levels=["replay"])
    assert found.verdict == "pass" and any(".ic (line" in note for note in found.notes)


def test_a_conserved_charge_counts_what_a_supply_holds(tmp_path):
    """By hand: the node's charge is zero, C1 (v - 1) + C2 v + C4 (v - 1) = 0."""
    stats = spu.predict(read_folder(imported(tmp_path, DECKS["capacitor_divider"])).subject)
    assert stats.mean == pytest.approx([11 / 41, 1.0], rel=1e-12)


# (what, edit, verdict of level ac)
NOISE = [
    ("in parallel", HARMLESS[3][1], "pass"),
    ("in series", HARMLESS[4][1], "pass"),
    ("one of two silent", (r"  r1 a 0 \{r\}\n", "  r1a a 0 {2*r}\n  r1b a 0 {2*r} noisy=0\n"), "fail"),
    ("alike at each cell, not between them", None, "fail"),
]


@pytest.mark.parametrize("case", NOISE, ids=[case[0] for case in NOISE])
def test_noise_of_other_elements_counts_by_what_it_makes(tmp_path, case):
    _, edit, verdict = case
    if edit is None:
        # The noise of the coupler a-b, taken from it and put on both ends, one by one: no cell's own spectrum tells.
        quiet = (r"(?m)^xcoupler_r_a_b.*$", "rab cell_a cell_b {1/3e-4} noisy=0\nvtc_a_b2 q 0 0")
        folder = written(tmp_path, "rc", quiet)
    else:
        folder = written(tmp_path, "rc", edit)
    level = spu.check(folder, levels=["ac"]).levels["ac"]
    assert level.verdict == verdict, level.message


def test_a_change_of_five_percent_is_seen_in_every_deck(tmp_path):
    """Every fifteenth; the resistor is drawn by the deck's place in the list."""
    for k, name in enumerate(list(DECKS)[::15]):
        place = tmp_path / name
        place.mkdir()
        folder = read_folder(imported(place, DECKS[name]))
        groups = list(folder.subject.instances)
        places = [(g, key) for g, group in enumerate(groups) for key in group.parameters if key[0] == "r"]
        g, key = places[k % len(places)]
        groups[g] = replace(groups[g], parameters={**groups[g].parameters, key: 1.05 * groups[g].parameters[key]})
        found = spu.check(replace(folder, subject=replace(folder.subject, instances=groups)), levels=["ac"])
        assert found.verdict == "fail", (name, key, found.levels)
