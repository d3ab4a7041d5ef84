"""Reading netlists piece by piece: numbers, expressions as ngspice works them out, noise, readouts, refusals."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spu
from spu.base.errors import DeckError, NonlinearNetlist, SpuError
from spu.cli import cli
from spu.folder import write_import
from spu.spice.reader.expressions import ExpressionError, Linear, NotLinear, evaluate, parse
from spu.spice.reader.nonlinear import TAKEN
from spu.spice.reader.numbers import parse_number
from spu.spice.simulators.ngspice import Step, run

NETLISTS = Path(__file__).parents[2] / "netlists"
ELSEWHERE = Path(__file__).parents[1] / "decks"


class _NoScope:
    def parameter(self, name):
        raise ExpressionError(f"no {name}")

    def function(self, name):
        return None

    def held(self, node):
        return None

    def step(self):
        pass


def value(text):
    return evaluate(parse(text), _NoScope())


def read(tmp_path, text, **options):
    deck = tmp_path / "deck.cir"
    deck.write_text("title\n" + text + "\n.end\n")
    return spu.read_netlist(deck, **options)


# --- numbers and expressions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1k", 1e3), ("1meg", 1e6), ("1MEG", 1e6), ("1M", 1e-3), ("4.7nF", 4.7e-9), ("10uH", 1e-5), ("1F", 1e-15),
        ("2.2kOhm", 2.2e3), ("3V", 3.0), ("1e-3", 1e-3), (".5", 0.5), ("-2.5e3k", -2.5e6), ("1T", 1e12), ("5mA", 5e-3),
        ("100mHz", 0.1),
    ],
)  # fmt: skip
def test_numbers(text, number):
    assert parse_number(text) == pytest.approx(number, rel=1e-15)


@pytest.mark.parametrize("text", ["4k7", "1mil", "1A", "1x", "0x10", "1.2.3", "", "k", "1e999", "2e", "1_000", "١"])
def test_numbers_that_simulators_read_differently_are_refused(text):
    with pytest.raises(ValueError, match=r"is not a number|differently|scale factor|too large"):
        parse_number(text)


AS_NGSPICE = """-2^2|2^3^2|2**3**2|2^-1|10-3-2|100/10/2|2+3*4|(1>2)?3:4|1<2 ? 5 : 6|1==1|1!=1|!0|!3|1&&0|1||0|ln(10)
log(10)|log10(100)|exp(1)|sqrt(2)|abs(-3)|sgn(-2)|min(1,2)|max(1,2)|pow(-2,2)|pow(2,0.5)|pow(-2,3)|pwr(2,0.5)|int(2.7)
int(-2.7)|nint(2.5)|nint(3.5)|nint(-2.5)|floor(-2.5)|ceil(-2.5)|sin(1)|cos(1)|tan(1)|asin(0.5)|acos(0.5)|atan(1)
arctan(1)|sinh(1)|cosh(1)|tanh(1)|asinh(1)|acosh(2)|atanh(0.5)|1meg|1M|1MEGohm|1kohm|10pF|1F*1e15|1e3k|.5|5.|7%3|-7%3
7\\2|ternary_fcn(1,2,3)|-(-2)^2|(-2)^2|2*-3|5 - -3|sqr(3)|1k*2|2>1|2>=2|1u*1e6|3-2-1+4*2/8|2*3%4|1+2>2&&1<0||1
-3^2*2|(1+2)*(3-4)/(5+6)|sqrt(abs(-16))+min(3,max(1,2))|1>0?2>1?7:8:9"""


def test_expressions_are_worked_out_as_ngspice_does():
    texts = [text for line in AS_NGSPICE.split("\n") for text in _apart(line)]
    lines = ["title"]
    for k, text in enumerate(texts):
        lines += [f".param p{k}={{{text}}}", f"v{k} n{k} 0 dc {{p{k}}}", f"r{k} n{k} 0 1"]
    (found,) = run(
        "\n".join([*lines, ".end", ""]), [Step(("op",), "op", tuple(f"n{k}" for k in range(len(texts))))], time_limit=30
    )
    for k, text in enumerate(texts):
        assert value(text) == pytest.approx(float(found[f"n{k}"][0]), rel=1e-9, abs=1e-12), text


def _apart(text):
    """Split at single bars only: || is an operator."""
    return [part.replace("\0", "||") for part in text.replace("||", "\0").split("|")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1/0", "division by zero"), ("(-2)^3", "pow"), ("pwr(-2,0.5)", "pow"), ("sqrt(-1)", "no value"),
        ("gauss(1,2,3)", "random"), ("foo(1)", "no function 'foo'"), ("1+", "missing at the end"), ("", "missing"),
        ("min(1)", "2 arguments"), ("1 2", "not expected"), ("a[0]", "not expected"), ("exp(1000)", "no value"),
        ("1e300*1e300", "finite"), ("(" * 60 + "1" + ")" * 60, "deep"), ("4k7", "4k7"), ("v(a)*v(b)", "not linear"),
        ("1/v(a)", "not linear"), ("abs(v(a))", "not linear"), ("v(a)>0 ? 1 : 2", "not linear"), ("v(a,b,c)", "nodes"),
    ],
)  # fmt: skip
def test_expressions_that_are_refused(text, message):
    with pytest.raises(ExpressionError, match=message):
        value(text)


@given(
    st.recursive(
        st.floats(0.1, 10).map(lambda x: f"{x:.3f}") | st.sampled_from(["v(a)", "v(b)", "i(v1)", "v(a,b)"]),
        lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_linear_forms_are_exact(text):
    """Wherever an expression counts as linear, its form has the expression's value at any voltages."""
    try:
        form = value(text)
    except (NotLinear, ExpressionError):
        return
    if not isinstance(form, Linear):
        form = Linear(form)
    for a, b, i in ((0.0, 0.0, 0.0), (1.3, -0.7, 2.9), (-11.0, 5.0, 0.01)):
        python = text.replace("v(a,b)", f"({a}-({b}))").replace("v(a)", f"({a})").replace("v(b)", f"({b})")
        try:
            direct = eval(python.replace("i(v1)", f"({i})"), {"__builtins__": {}})
        except ZeroDivisionError:
            continue
        values = {("v", "a"): a, ("v", "b"): b, ("i", "v1"): i}
        found = form.constant + sum(c * values[key] for key, c in form.terms.items())
        sizes = [abs(form.constant), *(abs(c * values[key]) for key, c in form.terms.items())]
        # What cancels leaves rounding of the size that it had: 0.109 - (v + (0.109 - v)) is 0, or 1.4e-17.
        whole = text.replace("-", "+").replace("v(a,b)", f"{abs(a) + abs(b)}").replace("v(a)", f"{abs(a)}")
        whole = whole.replace("v(b)", f"{abs(b)}").replace("i(v1)", f"{abs(i)}")
        try:
            rounding = 1e-14 * eval(whole, {"__builtins__": {}})
        except ZeroDivisionError:
            continue
        assert found == pytest.approx(direct, rel=1e-9, abs=max(1e-9 * max(sizes), rounding))


# --- noise and readouts ---------------------------------------------------------------------

CELL = "r1 out 0 1k\nc1 out 0 1n\n"


def test_two_forms_of_one_noise_count_once(tmp_path):
    kt4 = 4 * 1.380649e-23 * 300.15
    density = 2 * 1e-6**2 * 1e-8
    source = "vn s 0 dc 0 trrandom(2 10n 0 1u 0)\nrn s n {rr}\ng1 0 out n 0 1m\n" + CELL.replace("1k", "1k noisy=0")
    both = read(tmp_path, f".param rr={density / kt4!r}\n{source}", probes=["out"])
    assert [(row.name, row.kind) for row in both.noise] == [("n", "trrandom")]
    assert both.noise[0].density == pytest.approx(density, rel=1e-12)
    variance = spu.predict(both.circuit).voltage_covariance[0, 0]
    assert variance == pytest.approx(density * (1e-3 * 1e3) ** 2 / (4 * 1e3 * 1e-9), rel=1e-9)
    with pytest.raises(DeckError, match=r"deck.cir:\d+: vn and rn stand for one noise.*--silent"):
        read(tmp_path, f".param rr={2 * density / kt4!r}\n{source}", probes=["out"])
    one = read(tmp_path, f".param rr={2 * density / kt4!r}\n{source}", probes=["out"], silent=["rn"])
    assert spu.predict(one.circuit).voltage_covariance[0, 0] == pytest.approx(variance, rel=1e-12)
    # Another name, another resistance: a source with a resistor of its own, both heard.
    apart = source.replace("rn s", "rsource s")
    two = read(tmp_path, f".param rr={2 * density / kt4!r}\n{apart}", probes=["out"])
    assert len(two.noise) == 2
    assert spu.predict(two.circuit).voltage_covariance[0, 0] == pytest.approx(3 * variance, rel=1e-9)
    # Behind an amplifier that loads it, the two are still one noise.
    loaded = source.replace("g1 0", "rload n 0 1e9 noisy=0\ng1 0")
    found = read(tmp_path, f".param rr={density / kt4!r}\n{loaded}", probes=["out"])
    assert len(found.noise) == 1 and any("counted once" in note for note in found.notes)
    assert spu.predict(found.circuit).voltage_covariance[0, 0] == pytest.approx(variance, rel=1e-6)


def test_thermal_noise_is_repeated_not_added(tmp_path):
    text = (NETLISTS / "by_hand.cir").read_text()
    (tmp_path / "a.cir").write_text(text)
    kinds = [row.kind for row in spu.read_netlist(tmp_path / "a.cir").noise]
    assert kinds.count("thermal") == 4 and kinds.count("trrandom") == 3
    (tmp_path / "a.cir").write_text(text.replace("temp=27.0", "temp=57.0"))
    with pytest.raises(DeckError, match=r"repeats in \.tran the noise .* but makes .* \(at 330\.15 K\)"):
        spu.read_netlist(tmp_path / "a.cir")


def test_signs_of_shared_noise_survive(tmp_path):
    shared = (
        "vn n 0 trnoise(1u 10n 0 0)\ng1 0 a n 0 1m\ng2 0 b n 0 -2m\n"
        "r1 a 0 1k noisy=0\nc1 a 0 1n\nr2 b 0 1k noisy=0\nc2 b 0 1n"
    )
    found = spu.predict(read(tmp_path, shared, probes=["a", "b"]).circuit).voltage_covariance
    assert found[0, 1] == pytest.approx(-2 * found[0, 0], rel=1e-12)
    assert found[1, 1] == pytest.approx(4 * found[0, 0], rel=1e-12)


def test_what_is_noise_can_be_chosen(tmp_path):
    deck = "v1 in 0 dc 1 ac 1\nr1 in out 1k\nc1 out 0 1n"
    base = read(tmp_path, deck, probes=["x=out"])
    assert [row.name for row in base.noise] == ["r1"] and base.inputs[0].ac
    kt = 1.380649e-23 * 300.15
    assert spu.predict(base.circuit).covariance[0, 0] == pytest.approx(kt / 1e-9, rel=1e-9)
    chosen = read(tmp_path, deck, probes=["x=out"], silent=["R1"], densities={"v1": 1e-12})
    assert [(row.name, row.unit) for row in chosen.noise] == [("v1", "V^2/Hz")]
    stats = spu.predict(chosen.circuit)
    assert stats.covariance[0, 0] == pytest.approx(1e-12 / (4 * 1e3 * 1e-9), rel=1e-9)
    assert stats.mean == pytest.approx([1.0])
    for options, message in (
        ({"silent": ["r9"]}, "there is no r9"),
        ({"silent": ["c1"]}, "makes no noise"),
        ({"densities": {"r1": 1.0}}, "only independent sources"),
        ({"densities": {"v1": -1.0}}, "cannot be negative"),
        ({"probes": ["y"]}, "there is no node 'y'"),
        ({"probes": ["out,out"]}, "against itself"),
        ({"probes": ["a=b=c"]}, "write NODE"),
    ):
        with pytest.raises(SpuError, match=message):
            read(tmp_path, deck, **{"probes": ["out"], **options})


def test_the_nodes_that_a_refusal_lists(tmp_path):
    """The deck's own first, and no more than a message holds."""
    inner = "".join(f"r{k} a{k} a{k + 1} 1\n" for k in range(60))
    deck = f".subckt s a0 a60\n{inner}.ends\nx1 in mid s\nx2 mid {'far' * 500} s\n{CELL}"
    for options in ({}, {"probes": ["nowhere"]}):
        with pytest.raises(spu.InputError, match=r"nodes: [^.]*farfar\.\.[^.]* x1\.a1.* and \d+ more$") as refusal:
            read(tmp_path, deck, **options)
        assert len(str(refusal.value)) - len(str(tmp_path)) < 350


def test_what_is_read_out(tmp_path):
    deck = f"{CELL}r2 out far 1k\nc2 far 0 1n\n"
    with pytest.raises(spu.InputError, match=r"give --probe NODE.*nodes: out, far"):
        read(tmp_path, deck)
    assert [str(p) for p in read(tmp_path, deck + ".probe v(far) V(out,far) i(v1)").probes] == [
        "far = v(far)",
        "out_far = v(out,far)",
    ]
    cells = read(tmp_path, deck.replace("far", "cell_B") + ".save v(out)")
    assert [str(p) for p in cells.probes] == ["b = v(cell_b)"] and cells.probed_by == "nodes cell_NAME"


@pytest.mark.parametrize(
    ("lines", "probes"),
    [
        (".noise v(far) v1 dec 10 1 1meg", ["far = v(far)"]),
        (".NOISE V(out, far) V1 DEC 10 1 1MEG 1", ["out_far = v(out,far)"]),
        (".print ac vdb(out) VP(far) vm(out) vr(far) vi(far) i(v1)", ["out = v(out)", "far = v(far)"]),
        (".plot ac vdb(far,out)", ["far_out = v(far,out)"]),
        (".print noise onoise_spectrum\n.noise v(far) v1 dec 1 1 10", ["far = v(far)"]),
        (".save v(out)\n.noise v(far) v1 dec 1 1 10\n.print ac vdb(far)", ["out = v(out)", "far = v(far)"]),
    ],
)
def test_readouts_stand_on_noise_lines_and_behind_vdb(tmp_path, lines, probes):
    deck = f"v1 in 0 ac 1\nr0 in out 1k\n{CELL}r2 out far 1k\nc2 far 0 1n\n{lines}"
    found = read(tmp_path, deck)
    assert [str(probe) for probe in found.probes] == probes
    assert [str(probe) for probe in spu.read_netlist(_imported(tmp_path, found)).probes] == probes


def _imported(tmp_path, found):
    write_import(tmp_path / "imported", found)
    return tmp_path / "imported" / "device.cir"


def test_a_hot_resistor(tmp_path):
    """``dtemp=``: its value follows its coefficients, and its noise its temperature (as ngspice 39 has both)."""
    k, deck = 1.380649e-23, "r1 out 0 1k dtemp=50 tc1=0.01\nr2 out 0 3k\nc1 out 0 1n"
    found = read(tmp_path, deck, probes=["out"])
    assert [row.density for row in found.noise] == pytest.approx(
        [4 * k * 350.15 / 1.5e3, 4 * k * 300.15 / 3e3], rel=1e-12
    )
    variance = spu.predict(found.circuit).voltage_covariance[0, 0]
    assert variance == pytest.approx(k * (350.15 * 2 / 3 + 300.15 / 3) / 1e-9, rel=1e-12)
    write_import(tmp_path / "made", found)
    checked = spu.check(tmp_path / "made", levels=["op", "ac"])
    assert checked.verdict == "pass", [level.message for level in checked.levels.values()]
    cold = read(tmp_path, deck.replace("dtemp=50 tc1=0.01", "dtemp=-300.15"), probes=["out"])
    assert [row.name for row in cold.noise] == ["r2"]
    with pytest.raises(DeckError, match="absolute zero"):
        read(tmp_path, deck.replace("50", "-301"), probes=["out"])
    # The noise source that stands beside it has a name of its own.
    other = read(tmp_path, deck + "\ngr1 out 0 out 0 1m", probes=["out"])
    loaded = 1 / (1 / 1.5e3 + 1 / 3e3 + 1e-3)
    density = sum(row.density for row in other.noise)
    assert spu.predict(other.circuit).voltage_covariance[0, 0] == pytest.approx(density * loaded / 4e-9, rel=1e-12)


def test_resistors_alone_in_a_band(tmp_path):
    found = read(
        tmp_path, "v1 in 0 2\nr1 in out 1k\nr2 out 0 3k dtemp=100\nr3 out far 1k\nr4 far 0 1meg", probes=["out", "far"]
    )
    k, total = 1.380649e-23, 1 / (1 / 1e3 + 1 / 3e3 + 1 / (1e6 + 1e3))
    stats = spu.predict(found.circuit, band=(10.0, 1010.0))
    into_out = 4 * k * (300.15 / 1e3 + 400.15 / 3e3) * total**2
    # of r3 and r4 as a divider that out loads
    low = total * (1e6 + 1e3) / (1e6 + 1e3 - total)
    from_far = 4 * k * 300.15 * (1e3 + 1e6) * (low / (low + 1e3 + 1e6)) ** 2
    assert stats.voltage_covariance[0, 0] == pytest.approx(1000.0 * (into_out + from_far), rel=1e-9)
    assert stats.voltage_covariance[0, 1] == stats.voltage_covariance[1, 0] > 0
    assert stats.voltage_mean[0] == pytest.approx(2.0 * total / 1e3, rel=1e-12)
    assert len(stats.time_constants) == 0
    write_import(tmp_path / "made", found)

    def invoke(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    told = invoke("predict", tmp_path / "made", "--band", 10, 1010)
    assert told.exit_code == 0 and "no time constants" in told.output, told.output
    assert json.loads(invoke("predict", tmp_path / "made", "--band", 10, 1010, "--json").output)["time_constants"] == []
    for words in (["predict"], ["simulate"], ["check"], ["inspect"]):
        refused = invoke(*words, tmp_path / "made")
        assert refused.exit_code == 2 and "spu predict --band F1 F2" in refused.output, refused.output
    for option, name in (("--plot", "a.png"), ("--spectrum", "a.csv")):
        refused = invoke("predict", tmp_path / "made", "--band", 1, 2, option, tmp_path / name)
        assert refused.exit_code == 2 and "flat" in refused.output
    assert invoke("predict", tmp_path / "made", "--band", 1, "inf").exit_code == 2
    silent = read(tmp_path, "v1 out 0 2\nr1 out 0 1k", probes=["out"])
    with pytest.raises(spu.CircuitError, match="no state"):
        spu.predict(silent.circuit, band=(1.0, 2.0))


def _options(verb):
    return {word for parameter in cli.get_command(None, verb).params for word in parameter.opts}


@pytest.mark.parametrize(
    "text",
    [
        CELL,
        "r1 out 0 1k\n.save v(out)",
        f"{CELL}v2 b 0 sin(0 1 1k)\nr2 b out 1k\n.save v(out)",
        f"{CELL}vn s 0 trrandom(2 10n 0 1u 0)\nrn s n 1k\ng1 0 out n 0 1m\n.save v(out)",
        f"{CELL}.include ../x.inc\n.save v(out)",
        f"{CELL}.control\nshell true\n.endc\n.save v(out)",
        f"{CELL}b1 out 0 i=white(1)\n.save v(out)",
    ],
    ids=["readout", "white", "waveform", "two forms", "include", "control", "random"],
)
def test_no_advice_names_an_option_that_the_command_lacks(tmp_path, text):
    """An option in a hint is one of the command that is named beside it, or else of the one that was run."""
    deck = tmp_path / "deck.cir"
    deck.write_text(f"title\n{text}\n.end\n")
    hints = 0
    for verb in ("predict", "simulate", "inspect", "check", "import"):
        told = CliRunner().invoke(cli, [verb, str(deck)])
        said = " ".join(told.output.split())
        if told.exit_code != 2:
            assert verb == "import" or TAKEN in said, said  # what only ngspice runs some verbs take
        for found in re.finditer(r"(?:spu (\w+) )?(--[a-z]+(?:-[a-z]+)*)", said):
            named = found[1] or ("import" if "to spu import" in said else verb)
            assert found[2] in _options(named), said
            hints += told.exit_code == 2
    assert hints


# --- structure ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d1 out 0 dm", NonlinearNetlist), ("q1 a b c qm", NonlinearNetlist),
        ("b1 out 0 v=v(out)*v(out)", NonlinearNetlist),
        ("m1 a b c d nm", NonlinearNetlist), ("g1 out 0 table {v(out)} = (0,0)", NonlinearNetlist),
        ("b1 out 0 i=white(1)", NonlinearNetlist), ("t1 a 0 b 0 z0=50", NonlinearNetlist),
        ("e1 a 0 poly(1) out 0 0 1 2", NonlinearNetlist), ("r2 out 0 {v(out)}", NonlinearNetlist),
        ("r2 out 0 1k temp=50", "temp= is not understood"), ("l2 out 0 1u Rser=1", "parasitics are elements"),
        ("r2 out 0", "has no value"), ("r2 out", "needs 2 nodes"), ("r2 out 0 {nope}", "no parameter 'nope'"),
        ("f1 out 0 vx 2", "no voltage source 'vx'"), ("k1 l1 l2 0.5", "no inductor 'l1'"), ("l2 out 0 -1u", "positive"),
        ("v2 in 0 sin(0 1 1k)", "waveform"), ("x1 out nothing", "no subcircuit"),
        (".param p=1\n.param p=2", "set twice"),
        (".if (1)", ".if is not taken"), ("v2 in 0 trnoise(1u 1n 1 1u)", "only white noise"),
        (".foo", ".foo is not taken"),
        ("v2 in 0 trrandom(1 1n 0 1u 0)", "only Gaussian"), ("r2 out 0 4k7", "4k7"), ("c2 out 0 -1n", "is negative"),
        (".subckt s a r=1\nr1 a 0 {r}\n.ends\nx1 out s rr=2", "no parameter rr; did you mean 'r'"),
        ("r2 out 0 rmod r=5\n.model rmod r(rsh=1)", "its model sets rsh"), (".options rshunt=1e6", "rshunt"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(DeckError) as caught:
        read(tmp_path, CELL + text, probes=["out"])
    assert caught.value.line is not None and caught.value.line >= 4
    if isinstance(message, str):
        assert re.search(message, caught.value.message), caught.value.message
        assert not isinstance(caught.value, NonlinearNetlist)
    else:
        assert isinstance(caught.value, message) and "only ngspice" in caught.value.message


def test_habits_of_other_tools(tmp_path):
    text = (
        ".subckt inner a PARAMS: r=1k\nR1 a 0 {r}\n.ends\n"
        "Xa OUT inner PARAMS: R={if(1>0, 2*pi*1k, 1)}\n* comment\n\nK1 La Lb Lc 0.5\n"
        "La out 0 1u\nLb b 0 1u ; comment\nLc c 0 1u // comment\nrb b 0 1\nrc c 0 1\nCx out GND 1n ic=0\n.backanno"
    )
    found = read(tmp_path, text, probes=["out"])
    assert [row.name for row in found.noise] == ["rb", "rc", "xa.r1"]
    assert sum(len(g.subcircuit.elements) for g in found.circuit.instances) == 10  # three couplings
    assert found.noise[2].density == pytest.approx(4 * 1.380649e-23 * 300.15 / (2e3 * math.pi), rel=1e-12)


def test_encodings(tmp_path):
    deck = tmp_path / "deck.net"
    text = "title\n* Widerstände\nR1 out 0 1k\nC1 out 0 1µ\n.save V(out)\n.end\n"
    plain = None
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "utf-16"):
        deck.write_bytes(text.replace("\n", "\r\n").encode(encoding))
        found = spu.predict(spu.read_netlist(deck).circuit)
        plain = found if plain is None else plain
        assert found.covariance == pytest.approx(plain.covariance, rel=1e-15)
        assert found.time_constants == pytest.approx([1e-3], rel=1e-12)


def test_import_writes_a_folder_that_the_verbs_take(tmp_path):
    (tmp_path / "part.inc").write_text(".subckt cell n\nr1 n 0 1k\nc1 n 0 1n\n.ends\n")
    deck = tmp_path / "drawn.cir"
    deck.write_text("two cells\n.include part.inc\nx1 a cell\nx2 b cell\nc12 a b 0.2n\n.save v(a) v(b)\n.end\n")
    (tmp_path / "matrix.csv").write_text("2,-0.5\n-0.5,1\n")

    def invoke(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    out = tmp_path / "out"
    made = json.loads(invoke("import", deck, "-o", out, "--problem", tmp_path / "matrix.csv", "--json").output)
    assert made["variables"] == ["a", "b"] and [row["name"] for row in made["noise"]] == ["x1.r1", "x2.r1"]
    (tmp_path / "part.inc").unlink()  # the folder stands by itself
    predicted = json.loads(invoke("predict", out, "--json").output)
    direct = 1.380649e-23 * 300.15 * np.linalg.inv([[1.2e-9, -2e-10], [-2e-10, 1.2e-9]])
    assert np.array(predicted["covariance"]) == pytest.approx(direct, rel=1e-9)
    assert predicted["target_covariance"] is not None
    assert invoke("simulate", out, "--samples", 200, "--json").exit_code == 0
    inspected = json.loads(invoke("inspect", out, "--json").output)
    assert inspected["time_constants"] == predicted["time_constants"]
    refused = invoke("program", out, "--export", tmp_path / "c.csv")
    assert refused.exit_code == 2 and "needs a device" in refused.output
    again = invoke("import", out / "device.cir", "-o", out)
    assert again.exit_code == 0, again.output
    with (out / "device.cir").open("a") as file:
        file.write("* edited\n")
    refused = invoke("import", out / "device.cir", "-o", out)
    assert refused.exit_code == 2 and "edited by hand" in refused.output
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine")
    assert invoke("import", out / "device.cir", "-o", tmp_path / "theirs").exit_code == 2
    by_name = invoke("predict", out / "device.cir", "--json")
    assert json.loads(by_name.output)["variables"] == ["a", "b"]


def test_an_imported_netlist_of_ours_is_checked_with_its_own_sources(tmp_path):
    read = spu.read_netlist(NETLISTS / "by_hand.cir")
    assert read.conventional
    write_import(tmp_path / "ours", read)
    found = spu.check(tmp_path / "ours", levels=["ac"])
    assert found.verdict == "pass", found.levels["ac"].message
    assert not any("in place of" in note for note in found.notes)


# --- fuzzing --------------------------------------------------------------------------------

WORDS = [
    *("r1", "r2", "c1", "l1", "l2", "k1", "v1", "i1", "e1", "f1", "g1", "h1", "b1", "x1", "d1", "a", "0", "gnd", "out"),
    *("1k", "1n", "4k7", "{p}", "{1+}", "'2*p'", "{v(a)}", "(", ")", ",", "=", "==", "m=2", "noisy=0", "tc1=1", "ic="),
    *("poly(1)", "value={v(a)*2}", "v=v(a)", "i={i(v1)}", "cur=", ".subckt", ".ends", ".param", ".func", ".model"),
    *(".include", ".lib", ".global", ".temp", ".options", ".save", ".control", ".endc", ".end", "+", "*", ";", "$"),
    *("//", "s", "p=1", "p={p}", "f(x)", "{x}", "v(a,out)", "params:", "dc", "ac", "trnoise(1 1n 0 0)", "1e400", "-1"),
    *("trrandom(2 1n 0 1 0)", "sin(0 1 1k)", "temp=27", "{", "}", "'", '"', "`", "\0", "\x0c", "é", "µ", "9**9**9"),
    *("?:", "\\"),
]
LINES = sorted(
    {line for path in [*ELSEWHERE.glob("*.*"), NETLISTS / "by_hand.cir"] for line in path.read_text().splitlines()}
)
_fuzz = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _only_refuses(tmp_path, text):
    deck = tmp_path / "deck.cir"
    deck.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = spu.read_netlist(deck, probes=["out"], max_instances=200)
    except SpuError as refusal:
        assert "\n" not in str(refusal)
        assert refusal.exit_status == 2
        return
    assert found.circuit.instances


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join), max_size=12))
@_fuzz
def test_decks_of_stray_words_are_read_or_refused(tmp_path, lines):
    _only_refuses(tmp_path, "\n".join(["title", "r0 out 0 1k", *lines]))


@given(
    st.lists(st.sampled_from(LINES), max_size=25),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 9), st.sampled_from([*WORDS, "", "\n"])), max_size=6),
)
@_fuzz
def test_mutated_decks_are_read_or_refused(tmp_path, lines, changes):
    text = "\n".join(["title", "r0 out 0 1k", *lines])
    for at, length, word in changes:
        at %= len(text)
        text = text[:at] + word + text[at + length :]
    _only_refuses(tmp_path, text)


@given(st.text(max_size=60))
@_fuzz
def test_any_expression_is_worked_out_or_refused(text):
    try:
        found = value(text)
    except ExpressionError as refusal:
        assert "\n" not in str(refusal)
        return
    assert isinstance(found, Linear) or math.isfinite(found)
