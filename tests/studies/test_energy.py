"""The energy ledger: sums and ratios by hand, what is unstated in no sum, faults on their lines."""

import json
import math
import re

import numpy as np
import pytest

import spu
from spu.base.constants import BOLTZMANN
from spu.base.errors import InputError
from spu.base.files import plain
from spu.studies.energy import DEVICE, REFERENCE, SIZES, counts_of, energy_ledger, load_energy, reference_of

MINE = """
[readout]
value = { low = 1e-12, typical = 2e-12, high = 8e-12 }
unit = "J"
per = "conversion"
source = "a data sheet"

[noise]
value = 1e-6
unit = "W"
per = "source"
source = "a data sheet"

[programming]
stated = false
unit = "J"
per = "coupler"
source = "nobody"

[mac]
value = { low = 1e-13, typical = 1e-12, high = 4e-12 }
unit = "J"
per = "multiply-accumulate"
source = "a data sheet"
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    return tmp_path / "mine.toml"


def a_ledger(file, **changes):
    given = {
        "heat": [1e9, 3e9],
        "temperature": 300.0,
        "counts": {"noise": 5e-6, "readout": 10, "programming": 7, "switching": None, "bias": 0},
        "reference": {"mac": 1000},
        "assumptions": file,
    }
    return energy_ledger(**(given | changes))


def parts(price):
    return [price.low, price.typical, price.high]


# Sums


def test_sums_are_those_by_hand(mine):
    ledger = a_ledger(mine)
    kT = BOLTZMANN * 300.0
    assert [line.item for line in ledger.lines] == ["heat", "readout", "programming", "noise", "switching"]
    error = math.sqrt(2) * 1e9 * kT / math.sqrt(2)
    heat = [2e9 * kT - 2 * error, 2e9 * kT, 2e9 * kT + 2 * error]
    wanted = [h + r + 5e-12 for h, r in zip(heat, (1e-11, 2e-11, 8e-11), strict=True)]
    assert parts(ledger.total) == pytest.approx(wanted, rel=1e-12)
    assert parts(ledger.reference_total) == pytest.approx([1e-10, 1e-9, 4e-9], rel=1e-12)
    by_hand = [1e-10 / wanted[2], 1e-9 / wanted[1], 4e-9 / wanted[0]]
    assert parts(ledger.ratio) == pytest.approx(by_hand, rel=1e-12)
    assert ledger.unstated == ("programming", "switching")
    assert ledger.heat.mean == pytest.approx(2e9 * kT) and ledger.heat.error == pytest.approx(error)


def test_what_is_not_known_is_said_and_in_no_sum(mine):
    lines = {line.item: line for line in a_ledger(mine).lines}
    assert lines["programming"].missing == "price not stated" and lines["programming"].energy is None
    assert lines["switching"].missing == "price not stated, count not known"
    assert lines["switching"].source == "not in the file"
    alone = {line.item: line for line in a_ledger(mine, counts={"readout": None}).lines}
    assert alone["readout"].missing == "count not known" and alone["readout"].energy is None


def test_the_heat_of_a_model_is_in_no_sum(mine):
    ledger = a_ledger(mine, kind="model", counts={"readout": 1})
    assert ledger.total.typical == 2e-12 and ledger.unstated == ("heat",)
    assert ledger.heat.runs == 2 and "not the circuit's: in no sum" in str(ledger)
    assert "heat" not in [each.item for each in ledger.what_must_hold()]
    assert "reference / heat (of the model) alone" in str(a_ledger(mine, kind="model", heat=[1e9, 1e9]))


def test_nothing_stated_gives_no_sum_and_no_ratio(mine):
    ledger = a_ledger(mine, heat=None, counts={"programming": 3})
    assert ledger.total is None and ledger.ratio is None and ledger.heat_ratio is None
    assert "no ratio" in str(ledger)
    ledger = a_ledger(mine, reference={"mac": None})
    assert ledger.ratio is None and ledger.what_must_hold() == ()


# What a claim assumes


def test_at_the_limit_the_ratio_is_the_one_asked_for(mine, tmp_path):
    """A price that is the limit, and nothing else: the ratio follows."""
    ledger = a_ledger(mine)
    held = {each.item: each for each in ledger.what_must_hold(1e4)}
    assert set(held) == {"heat", "readout", "programming", "noise", "everything"}
    for item, each in held.items():
        if item in ("heat", "everything"):
            assert each.limit.typical == pytest.approx(1e-9 / 1e4)
            continue
        text = f'[{item}]\nvalue = {each.limit.typical!r}\nunit = "{DEVICE[item]}"\nper = "one"\nsource = "me"\n'
        (tmp_path / "at.toml").write_text(text + MINE[MINE.index("[mac]") :])
        counts = {item: each.count}
        assert a_ledger(tmp_path / "at.toml", heat=None, counts=counts).ratio.typical == pytest.approx(1e4)
    assert held["readout"].too_much == pytest.approx(2e-12 / (1e-9 / 1e4 / 10))
    assert held["programming"].stated is None and held["programming"].too_much is None
    with pytest.raises(InputError, match="positive and finite"):
        ledger.what_must_hold(0.0)


def test_the_fields_figure_is_the_heat_alone():
    """2,900 kT an image against 5e14 kT: over 1e11, and some hundreds with the cheapest list."""
    ledger = energy_ledger(heat=[2900.0] * 3, counts={"readout": 784}, reference={"mac": 2.1e6})
    assert 1e11 < ledger.heat_ratio.typical < 2e11
    assert ledger.ratio.high < 1e4
    assert ledger.what_must_hold()[-1].too_much > 1e6


# The file


def test_every_shipped_assumption_has_a_source_or_none_states_it():
    assumed = load_energy()
    assert set(assumed.items) == {*DEVICE, *REFERENCE, *SIZES}
    for item in assumed.items.values():
        assert len(item.source) > 20 and item.per
        assert (item.price is None) == ("no article" in item.source)
    assert load_energy().digest == assumed.digest


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (('unit = "W"', 'unit = "J"'), ":10: noise.unit is 'J': it must be \"W\""),
        (("typical = 2e-12", "typical = 9e-12"), ":3: readout.value goes 1e-12, 9e-12, 8e-12"),
        (("typical = 2e-12, ", ""), ":3: readout.value has no typical"),
        (("low = 1e-12", "lowest = 1e-12"), ":3: unknown key 'lowest' in readout.value; did you mean 'low'?"),
        (("low = 1e-12", "low = -1e-12"), ":3: readout.value.low is -1e-12: a finite number"),
        (("low = 1e-12", "low = nan"), ":3: readout.value.low is nan"),
        (("value = 1e-6", "value = inf"), ":9: noise.value is inf"),
        (("value = 1e-6", "value = true"), ":9: noise.value is True"),
        (("value = 1e-6\n", ""), ":8: noise: no value: give one, or stated = false"),
        (("stated = false", "stated = false\nvalue = 1.0"), ":14: programming: has a value and stated = false"),
        (("stated = false", "stated = 0"), ":15: programming.stated is 0"),
        (('source = "nobody"', ""), ":14: programming.source is missing"),
        (('source = "nobody"', 'source = " "'), ":18: programming.source is ' '"),
        (("[readout]", "[readouts]"), ":2: unknown item 'readouts'; did you mean 'readout'?"),
        (("[mac]", "joules = 1\n[mac]"), ":20: unknown key 'joules' in [programming]"),
        (("[mac]", "[mac"), ":20: not valid TOML"),
        (("[readout]", "noise = 1\n[readout]"), ": not valid TOML"),
    ],
)
def test_faults_have_their_lines(mine, edit, said):
    mine.write_text(MINE.replace(*edit, 1))
    with pytest.raises(InputError) as found:
        load_energy(mine)
    assert "\n" not in str(found.value) and said in str(found.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"counts": {"readouts": 1}}, "no item 'readouts' in a ledger; did you mean 'readout'?"),
        ({"counts": {"readout": -1}}, "counted -1 times"),
        ({"reference": {"mac": math.nan}}, "counted nan times"),
        ({"reference": {"readout": 1}}, "no item 'readout' in a ledger"),
        ({"kind": "real"}, "kind is 'real'"),
        ({"heat": [1.0, math.nan]}, "heat must be finite"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_what_a_ledger_does_not_take(mine, changes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        a_ledger(mine, **changes)


# Trained networks


def a_network(n):
    J = np.zeros((n, n))
    J[0, 1] = J[1, 0] = 0.5
    J[0, 2] = J[2, 0] = -0.5
    return spu.ThermodynamicNetwork(1.0, 0.0, 1.0, bias=[0.3] + [0.0] * (n - 1), couplings=J, units=n)


def test_counts_of_a_classifier():
    learnt = spu.TrainedNetwork(
        network=a_network(5),
        purpose="classifier",
        duration=0.2,
        step=1e-3,
        weights=np.arange(20.0).reshape(5, 4),
        outputs=[3, 4],
        classes=("0", "1"),
    )
    counts = counts_of(learnt, readouts=10, served=11, seconds=2e-7)
    assert counts == {"readout": 20, "programming": (2 + 19 + 1) / 11, "control": pytest.approx(2e-6), "input": 4}
    active = counts_of(learnt, thermal=False, seconds=1e-6)
    assert active["noise"] == pytest.approx(5e-6) and active["bias"] == pytest.approx(7e-6)
    assert counts_of(learnt, thermal=False)["bias"] is None and counts_of(learnt)["programming"] is None
    assert reference_of(learnt)[0] == {"mac": 4 * 3 + 3 * 2}


def test_counts_of_a_generator():
    def generator(n, visible):
        return spu.TrainedNetwork(
            network=a_network(n), purpose="generative", duration=2.5, step=1e-3, visible=range(visible)
        )

    assert counts_of(generator(5, 3))["readout"] == 3
    assert reference_of(generator(800, 784))[0] == {"mac": 2.1e6}
    macs, words = reference_of(generator(5, 3))
    assert macs == {"mac": None} and "nobody states one for 3 pixels" in words


# What is shown


def test_it_is_said_drawn_and_json(mine, tmp_path):
    ledger = a_ledger(mine, reference_is="a digital thing")
    said = str(ledger)
    for words in ("programming", "price not stated", "at most, for it leaves out programming, switching", "a digital"):
        assert words in said
    assert "for a ratio of 1e+10" in said and "must be less by" in said
    found = json.loads(json.dumps(plain(ledger.to_dict()), allow_nan=False))
    assert found["ratio"]["typical"] == ledger.ratio.typical and found["unstated"] == ["programming", "switching"]
    assert found["items"][0]["item"] == "heat" and found["heat"]["kind"] == "thermal" and found["ratio_is_at_most"]
    assert found["must_hold"][-1]["item"] == "everything"
    ledger.plot().savefig(tmp_path / "a.png")
    marked = [text.get_text() for text in ledger.plot().axes[0].texts]
    assert marked == ["price not stated", "price not stated, count not known"]
