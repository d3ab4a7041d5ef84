"""Level ``ac`` of large circuits: all sources at once, with random signs; and what other levels say of them."""

import itertools
import json
import re

import numpy as np
import pytest
import scipy.sparse as sp
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import spu
from spu.base.errors import UsageError
from spu.base.factor import Factor
from spu.cli import cli
from spu.crosscheck import check
from spu.crosscheck.context import Context
from spu.crosscheck.gathering import gathered, take_netlist
from spu.crosscheck.levels import combined
from spu.crosscheck.levels.sweeps import densities
from spu.crosscheck.nodal import Nodal, power_gains
from spu.device.lower import lower
from spu.emulator.laws import law as laws
from spu.folder import write_folder
from spu.spice.reader import read_netlist
from spu.spice.simulators import find_simulator, ngspice
from spu.spice.simulators.analyses import Ac, AcTogether, Decades
from spu.spice.simulators.ngspice import Ngspice
from tests.crosscheck.test_crosscheck import COMPILED

SECTIONS = 30


def chain(file, sections=SECTIONS, more=(), readouts=None):
    """RC sections behind one another, each a tenth different from the one before; noise of the resistors."""
    lines = ["* a chain of RC sections"]
    for k in range(1, sections + 1):
        before = "0" if k == 1 else f"n{k - 1}"
        lines += [f"r{k} {before} n{k} {1000 + 100 * (k % 7)}", f"c{k} n{k} 0 {1 + 0.1 * (k % 5)}n"]
    saved = " ".join(f"v({node})" for node in readouts or [f"n{sections}"])
    file.write_text("\n".join([*lines, *more, f".save {saved}", ".end", ""]))
    return file


class Tampered(Ngspice):
    """ngspice that is given other lines than the check wants it to run: those that begin with given words."""

    def __init__(self, **changed):
        self.changed = changed

    def run(self, deck, analyses, **options):
        lines = [self.changed.get(line.split(" ")[0], line) for line in deck.splitlines()]
        return super().run("\n".join(filter(None, lines)) + "\n", analyses, **options)


def settings(**more):
    """What `gathered` asks for."""
    keys = ("accuracy", "detect", "budget", "combinations")
    flags = {"include_outside": False, "ignore_control": False, "simulator": find_simulator("ngspice")}
    return {**dict.fromkeys(keys), "seed": 0, "time_limit": 300.0, **flags, **more}


def context_of(subject, folder, **more) -> Context:
    """What a check has of a subject before any level runs."""
    found = gathered(subject, settings(**more), folder)
    take_netlist(found.contexts[0], found.netlists[0], None)
    return found.contexts[0]


# --- what the words promise -------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_a_combination_shows_the_largest_deviation_with_a_half_at_least(seed, count):
    """Of deviations drawn at random, small and large, that may cancel: no fewer than half show the largest."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3)
    off = rng.normal(size=count) + 1j * rng.normal(size=count)
    if kind == 1:  # alike, so that many signs cancel
        off = rng.integers(-1, 2, count) * (1.0 + 0j)
    elif kind == 2:
        off *= 10.0 ** rng.uniform(-6, 0, count)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=count)))
    shown = np.abs(signs @ off) >= np.abs(off).max() * (1 - 1e-12)
    assert shown.mean() >= 0.5
    if np.count_nonzero(off) <= 1:
        assert shown.all()


def test_signs_are_the_seeds_and_the_circuits_not_the_netlists(tmp_path):
    context = context_of(chain(tmp_path / "a.cir"), tmp_path)
    signs = combined._signs(context, 30, 20)
    assert signs.shape == (30, 20) and set(signs.ravel()) == {-1.0, 1.0}
    assert (combined._signs(context, 30, 20) == signs).all()
    assert (combined._signs(context, 30, 5) == signs[:, :5]).all()
    context.seed = 1
    assert (combined._signs(context, 30, 20) != signs).any()
    # Two fair and independent columns differ in half of 3000 places, within six deviations.
    many = combined._signs(context, 3000, 2)
    assert abs((many[:, 0] == many[:, 1]).sum() - 1500) < 6 * np.sqrt(750)


# --- the equations ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(COMPILED))
def test_sparse_factors_give_the_transfer_functions_of_the_law(name):
    circuit = lower(COMPILED[name]().device)
    law, nodal = spu.predict(circuit).law, Nodal.of(circuit)
    frequencies = np.geomspace(1e2, 1e8, 7)
    exact = law.transfer(frequencies)
    for k, found in combined._expected(nodal, nodal.probes, frequencies, np.eye(exact.shape[2])):
        assert np.abs(found - exact[k]).max() <= 1e-10 * np.abs(exact[k]).max()
    gains = power_gains(nodal, frequencies, nodal.probes)
    assert np.abs(gains - np.abs(exact) ** 2).max() <= 1e-10 * np.abs(exact).max() ** 2
    assert np.allclose(nodal.probes @ nodal.rest, law.voltage_mean, rtol=1e-9, atol=1e-15)


def test_slopes_are_what_changed_elements_do(tmp_path):
    nodal = Nodal.of(read_netlist(chain(tmp_path / "a.cir", 4)).circuit)
    slopes = {slope.name: slope for slope in nodal.slopes(100)}
    assert set(slopes) == {f"{kind}{k} of deck" for kind in "rc" for k in range(1, 5)}
    resistor, capacitor = slopes["r2 of deck"], slopes["c3 of deck"]
    assert capacitor.E.toarray()[2, 2] == pytest.approx(1.3e-9) and not abs(capacitor.F).sum()
    assert resistor.F.toarray()[:2, :2] == pytest.approx(np.array([[1, -1], [-1, 1]]) / 1200, rel=1e-3)
    assert resistor.K.toarray()[:2, 1] == pytest.approx(-0.5 * nodal.K.toarray()[:2, 1], rel=1e-3)


def test_pivots_by_size_where_those_on_the_diagonal_vanish():
    """Voltage sources in a loop of elements without capacitance."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(40, 40)) * (rng.random((40, 40)) < 0.2)
    np.fill_diagonal(matrix, 0.0)
    matrix += np.roll(np.eye(40), 1, axis=1) * 3.0
    factor = Factor(sp.csr_array(matrix))
    right = rng.normal(size=(40, 2))
    assert np.allclose(matrix @ factor.solve(right), right)
    assert np.allclose(matrix.T @ factor.solve_transposed(right), right)


# --- ngspice ----------------------------------------------------------------------------------


def test_a_combination_is_the_sum_of_the_single_sweeps(tmp_path):
    context = context_of(chain(tmp_path / "a.cir", 8), tmp_path)
    sweep = Decades(1e2, 1e8, 4)
    signs = combined._signs(context, 8, 1)[:, 0]
    singles = [Ac(element, sweep, ("n3", "n8")) for element in context.elements]
    *each, together = context.run(
        context.deck.text(), *singles, AcTogether(context.elements, tuple(signs), sweep, ("n3", "n8"))
    )
    for node in ("n3", "n8"):
        expected = sum(sign * found[node] for sign, found in zip(signs, each, strict=True))
        assert np.abs(together[node] - expected).max() <= 1e-12 * np.abs(expected).max()


def test_long_netlists_are_made_anew_for_each_analysis(tmp_path, monkeypatch):
    context = context_of(chain(tmp_path / "a.cir", 8), tmp_path)
    sweep, ones = Decades(1e2, 1e8, 4), (1.0,) * 8
    analyses = [AcTogether(context.elements, ones, sweep, ("n8",)), Ac(context.elements[2], sweep, ("n8",))]
    analyses.append(analyses[0])
    before = context.run(context.deck.text(), *analyses)
    monkeypatch.setattr(ngspice, "LONG", 0)
    after = context.run(context.deck.text(), *analyses)
    for one, other in zip(before, after, strict=True):
        assert np.abs(one["n8"] - other["n8"]).max() <= 1e-12 * np.abs(one["n8"]).max()


def test_combinations_say_what_single_sweeps_say_of_a_correct_chain(tmp_path):
    file = chain(tmp_path / "a.cir", readouts=["n3", "n17", "n30"])
    said: list[str] = []
    found = check(file, levels=["op", "ac"], combinations=20, progress=said.append)
    assert [level.verdict for level in found.levels.values()] == ["pass", "pass"]
    level = found.levels["ac"]
    assert level.data["sweeps"]["combinations"] == 20
    assert level.data["sweeps"]["missed_with_probability"] == 2.0**-20
    assert level.data["sweeps"]["nodes"] == 33  # all nodes, and the taps of the readouts
    assert level.data["variances"] == ["n3", "n17", "n30"]
    assert level.data["worst_transfer"]["error"] < 1e-11
    assert level.data["variance_error"] < level.data["variance_tolerance"] < 2e-4
    assert level.detects["transfer"] == 1e-7
    assert 1e-7 < level.detects["source_gain"] < 1e-5
    assert 1e-7 < level.detects["element"] <= level.detects["element_worst"] < 1e-4
    assert any(
        re.search("20 sweeps of all 30 sources at once, with random signs, about [0-9]+ s", each) for each in said
    )
    single = check(file, levels=["ac"], combinations=0).levels["ac"]
    assert single.verdict == "pass" and single.data["sweeps"] == {"sources": "one by one"}


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"r11": "r11 n10 n11 1400.05"}, "transfer functions"),  # by 4e-5
        ({"c23": "c23 n23 0 1.2999e-9"}, "transfer functions"),
        ({"r9": "r9 n7 n9 1200"}, "transfer functions"),  # at another node
        ({"gspu_r4": ""}, "transfer functions"),  # a source that drives nothing
        ({"gspu_r4": "gspu_r4 n5 n4 spu_noise4 0 4.0713722372192895e-3"}, "transfer functions"),  # and the other way
        ({"c30": "c30 n30 0 1n\nrmore n30 0 1e9"}, "transfer functions"),
        ({"r12": "r12 n11 n12 1500 noisy=0"}, "density"),
        ({"c12": "c12 n12 0 1.2n\nrs stray 0 1k\ngs 0 n12 stray 0 1e-4"}, "noise the device does not have"),
    ],
)
def test_a_wrong_element_is_found(tmp_path, changed, part):
    """Each in ngspice's netlist only; the emulator's circuit is as it was read."""
    file = chain(tmp_path / "a.cir")
    simulator = Tampered(**changed)
    level = check(file, levels=["ac"], combinations=20, simulator=simulator).levels["ac"]
    assert level.verdict == "fail"
    assert part in level.message


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"r11": "r11 n10 n11 1400.05"}, "r11 of deck: 1400 expected, 1400.05 found"),
        ({"c23": "c23 n23 0 1.2999e-9"}, "c23 of deck: 1.3e-09 expected, 1.2999e-09 found"),
        ({"c7": ""}, "c7 of deck missing"),
        ({"gspu_r4": ""}, "gain of noise source r5 missing"),
        ({"gspu_r4": "gspu_r4 n5 n4 spu_noise4 0 {gain}"}, "gain of noise source r5: 1 expected, -1 found (sign)"),
        ({"r9": "r9 n7 n9 1200"}, "No single change"),
    ],
)
def test_the_element_is_named_where_currents_do_not_add_up(tmp_path, changed, says):
    """Whatever the size: by the residual of what was measured in the circuit's own equations."""
    file = chain(tmp_path / "a.cir")
    gain = next(s.origin.gain for s in read_netlist(file).circuit.sources if s.name == "r5")
    simulator = Tampered(**{key: line.format(gain=gain) for key, line in changed.items()})
    found = check(file, levels=["ac"], combinations=4, simulator=simulator)
    assert found.diagnosis is not None and found.diagnosis.lines[0].startswith(says)


def test_noise_that_other_elements_make_alike_is_no_alarm(tmp_path):
    """A resistor as two side by side: neither is the device's, but their sum is, at every node."""
    file = chain(tmp_path / "a.cir")
    split = Tampered(r12="r12 n11 n12 3000\nr12b n11 n12 3000")
    level = check(file, levels=["ac"], combinations=20, simulator=split).levels["ac"]
    assert level.verdict == "pass" and "made by other elements" in level.message
    unlike = Tampered(r12="r12 n11 n12 3000\nr12b n11 n12 3000 noisy=0")
    assert check(file, levels=["ac"], combinations=20, simulator=unlike).levels["ac"].verdict == "fail"


def test_two_errors_that_cancel_in_one_combination_are_found_by_the_next(tmp_path):
    """Two resistors side by side, with sources whose transfer functions are the same: one too strong, one too weak."""
    file = chain(tmp_path / "a.cir", 12, more=["ra n5 n6 2k", "rb n5 n6 2k"])
    context = context_of(file, tmp_path)
    names = [source.name for source in context.circuit.sources]
    a, b = names.index("ra"), names.index("rb")
    gain = float(context.circuit.sources[a].origin.gain)
    line = f"gspu_r{{k}} {' '.join(context.circuit.sources[a].origin.nodes)} spu_noise{{k}} 0 {{gain!r}}"
    changed = {f"gspu_r{k}": line.format(k=k, gain=gain * share) for k, share in ((a, 1.01), (b, 0.99))}
    seed = next(s for s in range(50) if _alike(context, s, a, b))
    options = {"levels": ["ac"], "seed": seed, "simulator": Tampered(**changed)}
    alone = check(file, combinations=1, **options).levels["ac"]
    assert alone.verdict == "pass"  # it says that a half is what it may miss
    assert alone.data["sweeps"]["missed_with_probability"] == 0.5
    assert check(file, combinations=20, **options).levels["ac"].verdict == "fail"


def _alike(context, seed, a, b):
    context.seed = seed
    signs = combined._signs(context, len(context.circuit.sources), 1)
    return signs[a, 0] == signs[b, 0]


@pytest.mark.parametrize("name", ["rlc", "resistive"])
def test_a_compiled_device_with_combinations(name, tmp_path):
    write_folder(tmp_path / "device", COMPILED[name]())
    result = CliRunner().invoke(
        cli, ["check", str(tmp_path / "device"), "--level", "ac", "--combinations", "3", "--json"]
    )
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and found["levels"]["ac"]["sweeps"]["combinations"] == 3
    deck = tmp_path / "device" / "device.cir"
    lines = deck.read_text().splitlines()
    place = next(k for k, line in enumerate(lines) if line.startswith("xcoupler"))
    before, value = lines[place].rsplit("=", 1)
    lines[place] = f"{before}={float(value) * 1.001!r}"
    deck.write_text("\n".join(lines) + "\n")
    assert check(tmp_path / "device", levels=["ac"], combinations=3).levels["ac"].verdict == "fail"


# --- when -------------------------------------------------------------------------------------


def test_many_sources_are_swept_together_by_a_rule_of_predicted_time(tmp_path):
    wide, coarse = Decades(1e-3, 1e9, 12), Decades(1e-3, 1e9, 12)
    few = context_of(chain(tmp_path / "few.cir"), tmp_path)
    assert combined.chosen(few, wide, coarse) == 0
    few.combinations = 7
    assert combined.chosen(few, wide, coarse) == 7
    many = context_of(chain(tmp_path / "many.cir", 700), tmp_path)
    assert combined.one_by_one(many, wide, coarse) > combined.ONE_BY_ONE
    assert combined.chosen(many, wide, coarse) == combined.COMBINATIONS


def test_how_often_is_refused_where_it_is_no_number(tmp_path):
    for given_ in (-1, 1.5, 1001, "many"):
        with pytest.raises(UsageError, match="combinations"):
            check(chain(tmp_path / "a.cir", 3), levels=["ac"], combinations=given_)


# --- densities that nothing hears -------------------------------------------------------------


def test_a_source_that_no_readout_hears_has_no_density():
    """300 sections away its power is below the smallest double: no alarm, and no division by zero."""
    gain = np.array([[[1.0, 1e-300]]])
    with np.errstate(divide="raise", invalid="raise"):
        found, error = densities(gain, gain * 1e-18, 0.0)
    assert error[1] == 0.0 and np.isfinite(found).all()


# --- too large for whole matrices -------------------------------------------------------------


@pytest.fixture
def small_is_large(monkeypatch):
    """Ten states count as many."""
    monkeypatch.setattr(laws, "LARGE", 10)


@pytest.mark.usefixtures("small_is_large")
def test_levels_of_a_network_too_large_for_whole_matrices(tmp_path):
    device = spu.compile(spu.GaussianSampling(precision=_grid(6)), architecture="rc-resistive")
    found = check(device)
    said = {name: level.verdict for name, level in found.levels.items()}
    assert said == {
        "ideal": "pass",
        "answer": "pass",
        "op": "pass",
        "ac": "pass",
        "replay": "skipped",
        "noise": "skipped",
    }
    assert "entry by entry" in found.levels["answer"].message
    assert "36 states are too many" in found.levels["noise"].message
    assert found.verdict == "pass" and str(found)
    json.dumps(found.levels["ac"].data)


@pytest.mark.usefixtures("small_is_large")
def test_an_edited_netlist_of_a_large_network(tmp_path):
    device = spu.compile(spu.GaussianSampling(precision=_grid(6)), architecture="rc-resistive")
    text = spu.netlist(device)
    line = next(line for line in text.splitlines() if line.startswith("xcoupler"))
    name, value = line.rsplit("=", 1)
    edited = tmp_path / "edited.cir"
    edited.write_text(text.replace(line, f"{name}={float(value) * 1.02!r}"))
    found = check(device, netlist=edited, levels=["answer", "ac"])
    assert found.levels["answer"].verdict == "fail" and found.levels["ac"].verdict == "fail"
    assert "spectra of 8 sums" in found.levels["answer"].message


def _grid(m):
    line = sp.diags_array([-np.ones(m - 1), 2.1 * np.ones(m), -np.ones(m - 1)], offsets=[-1, 0, 1])
    return sp.csr_array(sp.kron(sp.eye_array(m), line) + sp.kron(line, sp.eye_array(m)))
