"""Keys of levels of detail: what values each kind takes, what it needs, and what is kept with what."""

import json

import pytest

import spu
from spu.base.errors import InputError
from spu.device.device import Device
from spu.device.imperfections import TABLES, Key, detail_from_dict


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """One key of each kind, beside those that there are."""
    monkeypatch.setitem(
        TABLES,
        "readout",
        {
            "offset": Key("V", "offset", "signed"),
            "bits": Key("", "bits", "whole"),
            "duty": Key("", "duty cycle", "fraction"),
            "law": Key("", "law", "word", choices=("even", "odd")),
            "swing": Key("V", "swing", needs=("bits",), setting=True),
            "slope": Key("1/V", "slope", needs=("offset",)),
        },
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"offset": True}, r"readout\.offset must be a number in V, not True"),
        (
            {"offset": float("inf")},
            r"readout\.offset is inf: it must be zero or a number of either sign \(V\), and",
        ),
        ({"bits": 2.5}, r"readout\.bits is 2\.5: it must be a whole number, 1 or more"),
        ({"bits": 0}, r"readout\.bits is 0: it must be a whole number"),
        ({"bits": "8"}, r"readout\.bits must be a number, not '8'"),
        ({"duty": 1.5}, r"readout\.duty is 1\.5: it must be at most 1"),
        ({"duty": 0}, r"readout\.duty is 0: it must be positive, and finite"),
        ({"law": "evne"}, r"readout\.law is 'evne': did you mean 'even'"),
        ({"law": 3}, r"readout\.law is 3: "),
        ({"swing": 1.0}, r"readout\.swing means nothing without bits"),
        ({"slope": 1.0}, r"readout\.slope means nothing without offset"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(values, says):
    with pytest.raises(InputError, match=says):
        spu.Detail(readout=values)


def test_every_kind_survives_files_and_is_shown():
    values = {"offset": -1e-3, "bits": 8, "duty": 0.5, "law": "odd", "swing": 2.0}
    device = Device(detail=spu.Detail(readout=values))
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    again = Device.from_dict(json.loads(device.to_json()))
    assert again.detail == device.detail
    assert again.hash == device.hash
    assert isinstance(again.detail["readout.bits"], int)
    shown = [TABLES["readout"][key].shown(value) for key, value in values.items()]
    assert shown == ["-1 mV", "8", "0.5", "odd", "2 V"]
    assert detail_from_dict({"readout": {"offset": 0}}).number("readout.offset") == 0.0


def test_settings_are_kept_with_what_they_are_of():
    detail = spu.Detail(readout={"bits": 8, "swing": 2.0, "offset": 1e-3, "slope": 2.0})
    assert detail.only(["readout.bits"]).to_dict() == {"readout": {"bits": 8, "swing": 2.0}}
    assert detail.only(["readout.offset"]).to_dict() == {"readout": {"offset": 1e-3}}
    with pytest.raises(InputError, match="slope means nothing without offset"):
        detail.only(["readout.slope"])


def test_only_what_can_be_a_little_larger_varies():
    detail = spu.Detail(readout={"bits": 8, "swing": 2.0, "offset": 1e-3, "law": "even"})
    device = Device(detail=detail)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    names = spu.elements_of(device).names
    assert [name for name in names if name.startswith("readout")] == ["readout.offset"]
    with pytest.raises(InputError, match=r"tolerance\.detail has no quantity 'readout\.bits'"):
        spu.Tolerance(detail={"readout.bits": spu.Spread(process=0.1)})
