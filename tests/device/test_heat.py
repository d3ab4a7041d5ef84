"""Temperature: values by their coefficients, noise of resistors, netlists, files, budgets."""

import re

import numpy as np
import pytest
from helpers import BOLTZMANN, difference, law_of, near

import spu
from spu.base.errors import InputError
from spu.device.banks import Bank
from spu.device.device import Device
from spu.spice.netlist import netlist

COEFFICIENTS = {
    "capacitance": 3e-4,
    "conductance": -1e-3,
    "inductance": 1e-3,
    "transconductance": -2e-3,
    "noise": 2e-3,
    "bias": 4e-3,
}
REFERENCE = 300.0


def board(temperature, factors=None, *, banked=False, series=False):
    """Two cells, with inductors unless they have banks; ``factors`` multiply their values, without any coefficient."""
    by = dict.fromkeys(COEFFICIENTS, 1.0) | (factors or {})
    detail = spu.Detail() if factors else spu.Detail(temperature=COEFFICIENTS | {"reference": REFERENCE})
    device = Device(temperature=temperature, detail=detail)
    for name, c, s in (("a", 1e-9, 4e-20), ("b", 1.5e-9, 3e-20)):
        noise = {"noise_voltage": s * 1e6 * by["noise"]} if series else {"noise": s * by["noise"]}
        device.add_cell(
            name,
            capacitance=c * by["capacitance"],
            conductance=1e-3 * by["conductance"],
            bias=1e-6 * by["bias"],
            **noise,
            **({} if banked else {"inductance": 1e-5 * by["inductance"]}),
        )
    device.add_coupler(
        "a",
        "b",
        capacitance=2e-10 * by["capacitance"],
        transconductance=(1e-5 * by["transconductance"], -2e-5 * by["transconductance"]),
    )
    device.add_noise("w", {"a": 1e-10 * by["noise"] ** 0.5, "b": -2e-10 * by["noise"] ** 0.5})
    if banked:
        bank = Bank(4, 1e-10 * by["capacitance"], 1e-10 * by["capacitance"])
        device.set_banks({"capacitance": bank}, {}, {"capacitance": np.array([9, 14])}, {})
    return device


def factors_at(temperature):
    return {key: 1.0 + tc * (temperature - REFERENCE) for key, tc in COEFFICIENTS.items()}


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("banked", [False, True])
@pytest.mark.parametrize("temperature", [250.0, 300.0, 380.0])
def test_values_follow_their_coefficients(temperature, banked, series):
    """As of a device whose values are multiplied by hand, at the same temperature."""
    found = law_of(board(temperature, banked=banked, series=series))
    expected = law_of(board(temperature, factors_at(temperature), banked=banked, series=series))
    assert difference(found.voltage_covariance, expected.voltage_covariance) < 1e-12
    assert found.voltage_mean == pytest.approx(expected.voltage_mean, rel=1e-12)
    assert found.voltage_mean.any() == banked  # inductors short it


def test_a_device_at_another_temperature():
    """Of a cell without injected noise ``kT / C`` of the warm capacitor; at 0 K values are those at the reference."""
    device = Device(temperature=300.0, detail=spu.Detail(temperature={"capacitance": 1e-3, "reference": 300.0}))
    device.add_cell("a", capacitance=1e-9, conductance=1e-3)
    warm = device.at_temperature(400.0)
    assert (device.temperature, warm.temperature) == (300.0, 400.0)
    assert warm.hash != device.hash
    assert law_of(warm).voltage_covariance[0, 0] == near(BOLTZMANN * 400.0 / 1.1e-9, 1e-12)
    silent = board(0.0)
    assert difference(
        law_of(silent).voltage_covariance, law_of(silent.at_detail(spu.Detail())).voltage_covariance
    ) == pytest.approx(0.0, abs=1e-15)
    for wrong in (-1.0, float("nan"), "hot", True):
        with pytest.raises(InputError, match=r"temperature is .* it must be a number of kelvins, 0 or more"):
            device.at_temperature(wrong)


def test_coefficients_that_leave_nothing_are_refused():
    with pytest.raises(InputError, match=r"at 1400 K a conductance would be -0\.1 times that at 300 K"):
        law_of(board(1400.0))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("banked", [False, True])
def test_ngspice_agrees(banked):
    found = spu.check(board(380.0, banked=banked), levels=["ac", "replay"])
    assert found.verdict == "pass", found.levels


@pytest.mark.parametrize(
    ("pattern", "new"),
    [(r"(xcell_a .*) r=\S+", r"\1 r=1000.0"), (r"(xnoise_w_a .*) an=\S+", r"\1 an=1e-10"), (r"temp=\S+", "temp=27")],
)
def test_a_value_at_the_reference_fails_at_another_temperature(tmp_path, pattern, new):
    device = board(380.0)
    device.write(tmp_path / "device.json")
    text, count = re.subn(pattern, new, netlist(device))
    assert count == 1
    (tmp_path / "device.cir").write_text(text)
    assert spu.check(tmp_path, levels=["ac"]).verdict == "fail"


def test_netlists_say_at_which_temperature_values_stand():
    said = [line for line in netlist(board(380.0)).splitlines() if "values at 380 K" in line]
    assert any("coupling capacitance (values at 380 K: 1.024 times those at the reference)" in line for line in said)
    assert any("share of a white noise" in line for line in said)
    assert "times those at the reference" not in netlist(board(300.0))


def test_budgets_name_coefficients_and_boards_vary_in_them():
    device = board(330.0)
    lines = [line.effect for line in spu.error_budget(device).lines]
    assert lines == [f"temperature.{key}" for key in COEFFICIENTS]
    names = spu.elements_of(device).names
    assert "temperature.conductance" in names
    assert "temperature.reference" not in names
    again = Device.from_dict(device.to_dict())
    assert (again.detail, again.hash) == (device.detail, device.hash)
