"""Corners: what a device does at the ends of its process is what a device of those values does."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spu
from spu.base.errors import UsageError
from spu.base.files import plain

A = [[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]]
PROCESS = spu.Tolerance(
    cell={"capacitance": spu.Spread(0.01, process=0.05), "conductance": spu.Spread(process=0.1)},
    coupler={"capacitance": spu.Spread(process=0.02)},
)


def chain():
    return spu.compile(spu.GaussianSampling(precision=A))


def test_corners_are_devices_of_those_values():
    device = chain()
    found = spu.corners(device, ["relative-error", "variance x1"], tolerance=PROCESS, sigmas=2.0)
    assert [corner.name for corner in found.corners] == [
        "nominal",
        *(f"capacitance {a}2, conductance {b}2" for a in "-+" for b in "-+"),
    ]
    elements = spu.elements_of(device)
    for corner in found.corners:
        factors = np.ones(len(elements))
        for k, kind in enumerate(elements.kinds):
            part, quantity = kind.split(".")
            process = {"cell.capacitance": 0.05, "cell.conductance": 0.1, "coupler.capacitance": 0.02}.get(kind, 0.0)
            factors[k] = 1 + process * corner.process.get(quantity, 0.0)
            assert part in ("cell", "coupler")
        law = spu.predict(spu.varied(device, factors))
        assert corner.values == pytest.approx((law.relative_error, law.covariance[0, 0]), rel=1e-9, abs=1e-12)
    errors = found.values[:, 0]
    assert found.worst["relative-error"] is found.corners[int(np.argmax(errors))]


def test_other_distributions_have_ends_as_rare():
    spread = spu.Spread(process=0.05, distribution="uniform")
    found = spu.corners(chain(), "variance x1", tolerance=spu.Tolerance(cell={"conductance": spread}))
    low, high = (corner.values[0] / found.corners[0].values[0] for corner in found.corners[1:])
    reach = 0.05 * np.sqrt(3) * (1 - 2 * 0.0013498980316301035)
    assert (low, high) == pytest.approx((1 / (1 - reach), 1 / (1 + reach)))


def test_of_many_quantities_each_goes_by_itself(monkeypatch):
    monkeypatch.setattr("spu.studies.yields.corner_study.MOST_QUANTITIES", 1)
    found = spu.corners(chain(), "variance x1", tolerance=PROCESS)
    assert [corner.name for corner in found.corners] == [
        "nominal",
        "capacitance -3",
        "capacitance +3",
        "conductance -3",
        "conductance +3",
    ]
    assert not found.combined and "each by itself" in str(found)


def test_temperatures():
    device = spu.Device(temperature=300.0, detail=spu.Detail(temperature={"capacitance": 1e-3, "reference": 300.0}))
    device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    found = spu.corners(device, "deviation out", temperatures=[350.0, 250.0, 300.0])
    assert found.temperatures == [250.0, 300.0, 350.0]
    for corner in found.corners:
        law = spu.predict(device.at_temperature(corner.temperature))
        assert corner.values[0] == pytest.approx(np.sqrt(law.covariance[0, 0]), rel=1e-9)
    assert found.curve("deviation out")["nominal"][0] == [250.0, 300.0, 350.0]
    assert str(found).startswith("no process stated: temperatures only; ")
    # With a process all corners are at each temperature.
    both = spu.corners(device, "deviation out", temperatures=[250.0, 300.0], tolerance="cell.capacitance.process=5%")
    assert len(both.corners) == 6
    assert str(both).startswith("process at 3 standard deviations, all combinations; ")
    assert both.worst["deviation out"].name == "capacitance -3" and both.worst["deviation out"].temperature == 300.0


def test_a_corner_without_a_law_is_the_worst():
    device = spu.compile([[1.0, 0.8], [0.8, 1.0]], architecture="rc-transconductor")
    found = spu.corners(device, tolerance="coupler.transconductance.process=15%")
    assert found.worst["relative-error"].name == "transconductance +3"
    assert found.worst["stability-margin"].values[-1] < 0
    data = json.loads(json.dumps(plain(found.to_dict()), allow_nan=False))
    assert data["corners"][2]["values"]["relative-error"] is None
    assert data["worst"]["relative-error"] == {"corner": "transconductance +3", "temperature": device.temperature}
    assert "-" in str(found)


def test_texts_fit_and_show_themselves():
    found = spu.corners(chain(), tolerance=PROCESS, temperatures=[250.0, 300.0])
    assert max(map(len, str(found).splitlines())) <= 110
    assert "<table" in found._repr_html_() and "<svg" in found._repr_html_()
    assert len(found.plot().axes) == 4
    assert len(spu.corners(chain(), "kl", tolerance=PROCESS).plot().axes) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no tolerance is stated for this device"),
        ({"tolerance": "cell.capacitance=1%"}, "the tolerance states no process, and only that has corners: state it"),
        ({"tolerance": PROCESS, "sigmas": 0}, "sigmas is 0: a number of standard deviations up to 4.9 is wanted"),
        ({"tolerance": PROCESS, "temperatures": [-1.0]}, "temperatures are [-1.0]: numbers of kelvin are wanted"),
        ({"tolerance": PROCESS, "temperatures": []}, "temperatures are []"),
        ({"tolerance": PROCESS, "metrics": "speed"}, "no metric 'speed'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(spu.SpuError) as refused:
        spu.corners(chain(), **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_networks_have_none():
    with pytest.raises(UsageError, match="boards of nonlinear cells have no exact law"):
        spu.corners(spu.compile(spu.ThermodynamicNetwork(units=2, J4=1.0)))
