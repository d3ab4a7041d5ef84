"""The injected noise, chosen so that every cell lies between the readout's noise and its full swing."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import m_matrix, near

import spu
from spu.compiler import compile_problem
from spu.device.hardware import Range, ReadoutRange
from spu.device.hardware_file import hardware_from_dict

IDEAL = spu.load_hardware("ideal")
A = np.array([[2.0, -0.5, -0.3], [-0.5, 1.0, 0.0], [-0.3, 0.0, 1.5]])


def with_readout(floor: float, swing: float, crest: float = 4.0, noise: Range | None = None, **other) -> spu.Hardware:
    readout = ReadoutRange(noise_floor=floor, full_swing=swing, crest=crest)
    cell = {**IDEAL.cell, "noise": noise or Range(4e-20, 4e-24, 4e-16)}
    return replace(IDEAL, cell=cell, readout=readout, **other)


@pytest.mark.parametrize("architecture", ["rlc-capacitive", "rc-resistive", "rlc-capacitive-dual", "rc-transconductor"])
@pytest.mark.parametrize("temperature", [0.0, 300.0])
@pytest.mark.parametrize(("floor", "swing"), [(1e-3, 1.0), (1e-6, 1e-4), (1e-5, 1e-2), (5e-5, 0.5)])
def test_levels_lie_between_floor_and_swing(architecture, temperature, floor, swing):
    hardware = with_readout(floor, swing, temperature=temperature)
    problem = spu.GaussianSampling(precision=A, mean=[1.0, 0.0, -3.0])
    made = compile_problem(problem, hardware, architecture=architecture)
    stats = spu.predict(made.device)
    rms = np.sqrt(np.diag(stats.voltage_covariance))
    peak = np.abs(stats.voltage_mean) + 4 * rms
    assert rms.min() >= floor * (1 - 1e-12)
    assert peak.max() <= swing * (1 + 1e-12)
    found = made.levels
    assert found.floor_headroom == pytest.approx(20 * np.log10(rms.min() / floor), abs=1e-9)
    assert found.clipping_headroom == pytest.approx(20 * np.log10(swing / peak.max()), abs=1e-9)
    assert made.device.cell_names[int(np.argmin(rms))] == found.quietest
    assert made.device.cell_names[int(np.argmax(peak))] == found.loudest
    assert {cell.values["noise"] for cell in made.device.cells} == {found.noise}
    # As near to the nominal noise as can be: at an edge, unless nominal.
    if found.noise != 4e-20:
        assert min(abs(found.floor_headroom), abs(found.clipping_headroom)) < 1e-6
    if architecture.startswith("rlc") or temperature == 0:
        assert made.prediction.relative_error < 1e-9


def test_nominal_noise_where_it_fits():
    made = compile_problem(spu.GaussianSampling(precision=A), with_readout(1e-6, 1.0))
    assert made.levels.noise == made.levels.nominal_noise == 4e-20
    assert compile_problem(spu.GaussianSampling(precision=A)).levels is None


def test_impossible_levels_are_refused_with_numbers():
    problem = spu.GaussianSampling(precision=np.diag([1.0, 1e4]))
    with pytest.raises(spu.Unrealizable, match="no level lies between noise floor and full swing") as caught:
        spu.compile(problem, with_readout(1e-4, 1e-3), architecture="rlc-capacitive")
    details = caught.value.details
    least, most = details["noise_needed"]
    # S = 4 g kT_eff, rms^2 = kT_eff / c: the quiet cell must be above, four times the loud one below.
    assert least == near(4e-3 * 1e-4**2 * 1e-9, 1e-6)
    assert most == near(4e-3 * (1e-3 / 4) ** 2 * 1e-13, 1e-6)
    assert (details["quietest"], details["loudest"]) == ("x2", "x1")
    narrow = with_readout(1e-3, 1.0, noise=Range(4e-20, 1e-20, 1e-19))
    with pytest.raises(spu.Unrealizable, match="outside its range 1e-20 to 1e-19"):
        spu.compile(spu.GaussianSampling(precision=A), narrow)


def test_heat_alone_may_be_too_loud():
    hardware = with_readout(1e-9, 1e-7, temperature=300.0)
    with pytest.raises(spu.Unrealizable, match="the resistors' own noise alone is too loud"):
        spu.compile(spu.GaussianSampling(precision=A), hardware, architecture="rlc-capacitive")


def test_spu8_has_levels_to_spare():
    made = compile_problem(spu.GaussianSampling(precision=m_matrix(np.random.default_rng(0), 8, 20.0)), "spu8")
    assert made.levels.noise == 4e-20
    assert made.levels.floor_headroom > 6
    assert made.levels.clipping_headroom > 6
    assert next(step for step in made.explain() if step.name == "levels").data["noise"] == 4e-20


def test_hardware_files_with_a_readout(tmp_path):
    hardware = with_readout(1e-6, 1e-3, 5.0)
    assert hardware_from_dict(hardware.to_dict()) == hardware
    base = (
        'name = "x"\ntemperature = 0\narchitectures = ["rc-resistive"]\n[cell]\ncapacitance = {nominal = 1e-9}\n'
        "conductance = {nominal = 1e-3}\nnoise = {nominal = 4e-20}\n[readout]\n"
    )
    for lines, message in (
        ("noise_floor = 1e-6\n", "no readout.full_swing"),
        ("noise_floor = 1e-6\nfull_swing = 3e-6\n", r"hw.toml:10: readout: full_swing 3e-06 V leaves nothing above"),
        ("noise_floor = 0\nfull_swing = 3e-6\n", r"hw.toml:9: readout: noise_floor is 0: it must be positive"),
        ("noise_flor = 1\nfull_swing = 3e-6\n", r"unknown key 'noise_flor' in \[readout\]; did you mean 'noise_floor'"),
    ):
        (tmp_path / "hw.toml").write_text(base + lines)
        with pytest.raises(spu.InputError, match=message):
            spu.load_hardware(tmp_path / "hw.toml")
