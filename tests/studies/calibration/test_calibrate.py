"""Boards calibrated from emulated records: the truth within the errors, other boards told apart, wrong models seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import chdtrc

import spu
from spu.base.errors import InputError, NumericalFailure, OptionError, UsageError
from spu.cli import cli
from spu.studies.calibration.records import record_of

INTERVAL = 2e-7


def device(resonant: bool = False, **tolerance) -> spu.Device:
    """Two cells with a coupler, whose capacitances and conductances are uncertain."""
    stated = tolerance or {"cell": {"capacitance": 0.05, "conductance": 0.05}}
    made = spu.Device(temperature=300.0, tolerance=spu.Tolerance(**stated))
    for name in "ab":
        more = {"inductance": 1e-5} if resonant else {}
        made.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20, **more)
    made.add_coupler("a", "b", **({"capacitance": 3e-10} if resonant else {"conductance": 4e-4}))
    return made


def drawn(design: spu.Device, seed: int) -> tuple[spu.Device, np.ndarray]:
    """A board, and the logarithms of its factors."""
    elements = spu.elements_of(design)
    factors = spu.draw_factors(elements, design.tolerance, 1, seed=seed)[0]
    return spu.varied(design, factors, elements), np.log(factors)


def record(board: spu.Device, samples: int, seed: int, interval: float = INTERVAL) -> spu.Simulation:
    return spu.simulate(board, samples=samples, trajectories=1, interval=interval, seed=seed)


def logs(found: spu.Calibration) -> np.ndarray:
    return np.log([each.value / each.nominal for each in found.values])


def truth(found: spu.Calibration, design: spu.Device, factors: np.ndarray) -> np.ndarray:
    elements = spu.elements_of(design)
    return np.array([factors[elements.number(each.name)] for each in found.elements])


@pytest.fixture(scope="module")
def boards():
    """Twenty scattered boards of two cells, each with what its record of 2000 samples told."""
    design = device()
    found = []
    for seed in range(20):
        board, factors = drawn(design, seed)
        found.append((spu.calibrate(design, record(board, 2000, 500 + seed)), factors))
    return design, found


def test_the_truth_is_as_far_as_the_errors_say(boards):
    """All squares of deviations, in the stated covariance, are a chi square of 80: false alarms 1e-3 on each side."""
    design, found = boards
    total = 0.0
    for each, factors in found:
        off = logs(each) - truth(each, design, factors)
        total += off @ np.linalg.solve(each.covariance, off)
        errors = [value.standard_error / value.value for value in each.elements]
        np.testing.assert_allclose(errors, np.sqrt(each.covariance.diagonal()), rtol=1e-9)
    count = 4 * len(found)
    assert 1e-3 < chdtrc(count, total) < 1 - 1e-3


def test_the_model_explains_its_records_and_tolerances_the_boards(boards):
    """P-values of 20 boards: their mean is half, to 4 standard deviations (false alarms 6e-5 each)."""
    _, found = boards
    bound = 4 / np.sqrt(12 * len(found))
    for p in (
        [each.goodness.tests[0].p_value for each, _ in found],
        [each.goodness.tests[1].p_value for each, _ in found],
        [each.goodness.tests[2].p_value for each, _ in found],
        [each.differs.within for each, _ in found],
    ):
        assert abs(np.mean(p) - 0.5) < bound
    assert sum(each.goodness.fits for each, _ in found) >= 18  # at one in a hundred, false alarms 1e-3


def test_a_board_as_designed_is_not_told_apart_and_another_is(boards):
    design, _ = boards
    same = [spu.calibrate(design, record(design, 1000, seed)).differs for seed in range(10)]
    assert abs(np.mean([each.p_value for each in same]) - 0.5) < 4 / np.sqrt(120)  # false alarms 6e-5
    one, other = drawn(design, 1)[0], drawn(design, 2)[0]
    run = record(other, 8000, 1)
    apart = spu.calibrate(one, run, fit=["cell.capacitance", "cell.conductance"]).differs
    assert apart.differs and apart.test == "likelihood ratio" and apart.freedom == 4
    assert spu.calibrate(other, run, fit=["cell.capacitance", "cell.conductance"]).differs.p_value > 1e-3


def test_where_a_board_differs_is_told():
    """Conductances are half as much again: these are needed, capacitances not, and no tolerance explains them."""
    design = device()
    board = spu.varied(design, [1.0, 1.0, 1.5, 1.5, 1.0, 1.0, 1.0])
    differs = spu.calibrate(design, record(board, 4000, 3)).differs
    where = {each.kind: each for each in differs.kinds}
    assert differs.differs and not differs.within_tolerance
    assert where["cell.conductance"].needed < 1e-6 and where["cell.conductance"].within < 1e-6
    assert where["cell.capacitance"].needed > 1e-3 and where["cell.capacitance"].within > 1e-3  # false alarms 2e-3


def test_the_same_answer_from_elsewhere():
    """The design is another one, 20 % off in every value that is sought: the answer is the same."""
    design = device(resonant=True)
    board, _ = drawn(design, 5)
    run = record(board, 3000, 9)
    elsewhere = spu.varied(design, np.where(np.arange(9) < 4, [1.2, 0.8, 0.85, 1.2, 1, 1, 1, 1, 1], 1.0))
    names = ["capacitance", "conductance"]
    one, other = spu.calibrate(design, run, fit=names), spu.calibrate(elsewhere, run, fit=names)
    for a, b in zip(one.elements, other.elements, strict=True):
        assert abs(a.value - b.value) < 5e-3 * a.standard_error


def test_what_the_record_does_not_tell_is_said():
    """Impedances all larger and currents all smaller are the same voltages: one factor is not told."""
    design = device(cell={})
    design.temperature = 0.0
    _, factors = drawn(device(), 4)
    found = spu.calibrate(design, record(spu.varied(design, np.exp(factors)), 2000, 1))
    assert len(found.unidentified) == 1
    assert found.unidentified[0].powers == pytest.approx(
        {
            **{f"capacitance of {name}": 1.0 for name in "ab"},
            **{f"conductance of {name}": 1.0 for name in ("a", "b", "a-b")},
            **{f"noise of {name}": 2.0 for name in "ab"},
        },
        rel=1e-3,
    )
    assert "all cell.conductance x f, all cell.noise x f^2" in found.unidentified[0].words
    assert all(np.isinf(each.standard_error) for each in found.elements)
    assert json.loads(json.dumps(found.to_dict()["unidentified"]))[0]["words"] in " ".join(str(found).split())
    # What is told of the ratio is as exact as with the noise known.
    known = spu.calibrate(design, record(spu.varied(design, np.exp(factors)), 2000, 1), fit=["conductance"])
    assert all(np.isfinite(each.standard_error) for each in known.elements)


def test_a_prior_says_the_rest():
    """Without information the errors are those of the tolerance; with it, less than either."""
    design = device(cell={"capacitance": spu.Spread(0.03, process=0.1), "noise": 0.02})
    board, _ = drawn(design, 2)
    found = spu.calibrate(design, record(board, 1500, 3), fit=["capacitance", "noise", "conductance of a"], prior=True)
    errors = {each.name: each.standard_error / each.value for each in found.elements}
    assert not found.unidentified and found.prior and found.differs.test == "score"
    assert all(errors[f"capacitance of {name}"] < np.hypot(0.03, 0.1) for name in "ab")
    assert all(errors[f"noise of {name}"] < 0.02 for name in "ab")
    with pytest.raises(OptionError, match="prior is of stated tolerances, and the device has none"):
        spu.calibrate(device(cell={}), record(board, 500, 3), prior=True)


def test_the_readout_is_fitted_with_the_board():
    """Gain, band and noise of the channels, from a record that an emulated readout made."""
    design = device(cell={"conductance": 0.05})
    board, _ = drawn(design, 7)
    interval, band = 5e-8, 1.5e6
    v = np.asarray(record(board, 16_000, 4, interval / 4).readouts[0])
    rms = v.std()
    seen, state, pole = np.empty_like(v), v[0], np.exp(-2 * np.pi * band * interval / 4)
    for t, row in enumerate(v):
        state = pole * state + (1 - pole) * row
        seen[t] = state
    rng = np.random.default_rng(0)
    y = 1.1 * seen[::4] + 0.1 * rms * rng.standard_normal(seen[::4].shape) + 3e-5
    names = ["conductance of a", "conductance of b", "readout.gain", "readout.band", "readout.noise"]
    found = spu.calibrate(
        design, {"voltages": y, "interval": interval}, fit=names, noise=0.08 * rms, band=[1e6, 2e6], gain=1.0
    )
    expected = {"readout.gain": 1.1, "readout.band": band, "readout.noise": 0.1 * rms}
    for each in found.readout:
        assert abs(each.value - expected[each.kind]) < 4 * each.standard_error < 0.5 * each.value, each
    assert found.goodness.fits
    # The pole left out of the model is seen in what is left.
    wrong = spu.calibrate(design, {"voltages": y, "interval": interval}, fit=names[:3] + names[4:], noise=0.08 * rms)
    assert not wrong.goodness.fits and wrong.goodness.tests[0].p_value < 1e-6


def test_clipping_is_seen():
    design = device()
    v = np.asarray(record(design, 4000, 4).readouts[0])
    clipped = np.clip(v, -1.7 * v.std(), 1.7 * v.std())
    found = spu.calibrate(design, {"voltages": clipped, "interval": INTERVAL})
    assert not found.goodness.fits and found.goodness.tests[2].p_value < 1e-6
    assert "does NOT explain the record" in str(found)


def test_spectra_of_long_records_say_the_same_as_paths():
    design = device()
    board, _ = drawn(design, 3)
    run = record(board, 20_000, 2)
    exact, whittle = spu.calibrate(design, run), spu.calibrate(design, run, method="whittle")
    errors = np.sqrt(exact.covariance.diagonal())
    assert (np.abs(logs(exact) - logs(whittle)) < 0.5 * errors).all()  # its tapers leave out a tenth of the record
    np.testing.assert_allclose(np.sqrt(whittle.covariance.diagonal()), errors, rtol=0.1)
    assert whittle.goodness.fits and whittle.method == "whittle"
    with pytest.raises(InputError, match="spectra want 200"):
        spu.calibrate(design, record(board, 100, 2), method="whittle")


def test_measured_spectra_and_independent_samples():
    """Spectra drawn from their law (complex Wishart), and samples that do not know of each other."""
    design = device()
    board, factors = drawn(design, 6)
    frequencies = np.geomspace(2e4, 3e6, 60)
    density = spu.spectrum(board, frequencies).density
    rng, averages = np.random.default_rng(1), 200
    z = (rng.standard_normal((60, 2, averages)) + 1j * rng.standard_normal((60, 2, averages))) / np.sqrt(2)
    y = np.linalg.cholesky(density) @ z
    measured = y @ np.conj(np.swapaxes(y, 1, 2)) / averages
    arrays = {"frequencies": frequencies, "density": measured, "averages": averages}
    independent = spu.simulate(board, samples=20_000, independent=True, seed=1)
    for given in (arrays, independent):
        found = spu.calibrate(design, given, fit=["cell.conductance"] if given is independent else None)
        # with capacitances as they are on the board, for samples tell one figure a pair
        off = logs(found) - truth(found, design, factors)
        if given is arrays:
            assert chdtrc(len(off), off @ np.linalg.solve(found.covariance, off)) > 1e-3  # false alarms 1e-3
            assert found.goodness.fits and found.heard is not None
        assert found.method == "wishart"


def test_files_are_read_alike(tmp_path):
    v = np.random.default_rng(0).standard_normal((50, 2))
    time = np.arange(50) * INTERVAL
    np.savez(tmp_path / "a.npz", voltages=v, interval=INTERVAL, names=["a", "b"])
    np.savez(tmp_path / "t.npz", voltages=v, times=time)
    np.savetxt(tmp_path / "a.csv", np.column_stack([time, v]), delimiter=",", header="time,a,b", comments="")
    np.savetxt(tmp_path / "r.csv", v, delimiter=";", header="a;b", comments="", fmt="%.17g")
    found = [
        record_of(tmp_path / "a.npz"),
        record_of(tmp_path / "t.npz"),
        record_of(tmp_path / "a.csv"),
        record_of(tmp_path / "r.csv", rate=1 / INTERVAL),
    ]
    for each in found:
        np.testing.assert_allclose(each.paths[0][0], v)
        assert each.interval == pytest.approx(INTERVAL)
    assert [each.names for each in found] == [("a", "b"), None, ("a", "b"), ("a", "b")]


def test_segments_are_cut_where_rows_are_missing(tmp_path):
    v = np.arange(20.0).reshape(10, 2)
    v[4] = np.nan
    found = record_of({"voltages": v, "interval": 1.0})
    assert [each.shape for each in found.paths] == [(1, 4, 2), (1, 5, 2)]
    text = "time,segment,a\n" + "".join(f"{t % 3},{t // 3},{t}.5\n" for t in range(9))
    (tmp_path / "s.csv").write_text(text)
    found = record_of(tmp_path / "s.csv")
    assert found.paths[0].shape == (3, 3, 1) and found.interval == 1.0


REFUSED = [
    ({"voltages": np.zeros((9, 3)), "interval": 1e-7}, {}, "3 channels and the device 2 cells"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7, "names": ["a", "c"]}, {}, "'c', which is none of the device's"),
    ({"voltages": np.zeros((9, 2))}, {}, "nothing says when samples were taken"),
    ({"voltages": np.zeros((9, 2)), "times": [0, 1, 2, 3, 4, 5, 6, 7, 9]}, {}, "not at equal distances"),
    ({"voltages": np.zeros((9, 2)), "interval": 0}, {"rate": -1.0}, "rate must be a positive number"),
    ({"voltages": np.ones((3, 2)), "interval": 1e-7}, {"fit": ["capacitance"]}, None),
    ({"voltages": np.ones((1, 2)), "interval": 1e-7}, {}, "cannot tell 4 unknowns"),
    ({"nothing": 1}, {}, "a record has voltages, readouts or density"),
    ({"density": np.ones((2, 2, 2)), "frequencies": [1.0, 2.0]}, {}, "there is no averages"),
    ({"density": np.ones((2, 2, 1)), "frequencies": [1.0, 2.0], "averages": 1}, {}, "density must be"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"fit": ["resistance"]}, "no element 'resistance'"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"fit": ["readout.noise"]}, "noise is sought and not given"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"fit": ["readout.band"]}, "band is sought and not given"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"method": "best"}, "method 'best'"),
    ({"voltages": np.zeros((9, 2))}, {"independent": True, "method": "exact"}, "has no meaning for independent"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"gain": [1.0, 2.0, 3.0]}, "gain must be"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"noise": "loud"}, "noise must be"),
    ({"voltages": np.zeros((9, 2)), "interval": 1e-7}, {"unit": "mV"}, "a record is in volts or in problem units"),
]


@pytest.mark.parametrize(("given", "options", "said"), [each for each in REFUSED if each[2]])
def test_records_that_do_not_fit_are_refused(given, options, said):
    with pytest.raises((InputError, UsageError), match=said):
        spu.calibrate(device(), given, **options)


def test_a_channel_that_the_design_holds_still_is_refused():
    held = spu.compile([[2.0, -0.5], [-0.5, 1.0]], architecture="rc-resistive").clamped({"x1": 0.0})
    with pytest.raises(InputError, match="x1 is silent in the design"):
        spu.calibrate(held, {"voltages": np.zeros((9, 2)), "interval": 1e-7})


def test_the_verb(tmp_path):
    design = device()
    board, _ = drawn(design, 3)
    design.write(tmp_path / "device.json")
    run = record(board, 1500, 2)
    np.savez(tmp_path / "measured.npz", voltages=run.readouts[0], interval=INTERVAL)
    base = ["calibrate", str(tmp_path / "device.json"), str(tmp_path / "measured.npz")]
    output = ["-o", str(tmp_path / "board.json"), "--plot", str(tmp_path / "p.svg")]
    done = CliRunner().invoke(cli, [*base, *output, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    expected = spu.calibrate(design, run)
    assert [each["value"] for each in found["elements"]] == [each.value for each in expected.elements]
    assert set(found["elements"][0]) >= {"name", "value", "standard_error", "nominal"}
    assert found["goodness"]["fits"] and found["differs"]["differs"] and found["unidentified"] == []
    written = spu.Device.read(tmp_path / "board.json")
    assert [each.value for each in expected.elements[:2]] == pytest.approx(
        [cell.values["capacitance"] for cell in written.cells], rel=1e-12
    )
    done = CliRunner().invoke(cli, [*base, "--fit", "conductance,readout.noise", "--noise", "1e-7"])
    assert done.exit_code == 0 and "readout.noise of a" in done.stdout and "explain the record" in done.stdout
    done = CliRunner().invoke(cli, [*base, "-o", str(tmp_path / "measured.npz")])
    assert done.exit_code == 2 and "a device is written as .json" in done.output
    assert str(expected) and expected.plot() and "capacitance of a" in expected._repr_html_()


def test_a_fit_that_does_not_come_to_rest_is_named(monkeypatch):
    monkeypatch.setattr("spu.studies.calibration.fit.MOST_STEPS", 1)
    design = device()
    with pytest.raises(NumericalFailure, match="after 1 steps the likelihood still rises: seek fewer elements"):
        spu.calibrate(design, record(drawn(design, 1)[0], 400, 1))


def test_samples_slower_than_the_ringing_are_warned_of():
    design = device(resonant=True)
    for interval, warned in ((1e-7, False), (2e-6, True)):
        found = spu.calibrate(design, record(design, 400, 1, interval), fit=["conductance"])
        assert bool(found.warnings) is warned
    assert "rings at 1.5" in found.warnings[0] or "rings at 1.6" in found.warnings[0]


def test_a_converter_says_its_noise():
    """Samples of 4 bits of a device whose converter has them: steps are noise that the model knows."""
    design = device().at_detail(spu.Detail(readout={"full_scale": 4e-4, "bits": 4, "sample_noise": 2e-5}))
    v = np.asarray(record(device(), 5000, 5).readouts[0])
    step, rng = 8e-4 / 16, np.random.default_rng(2)
    y = (np.floor((v + 2e-5 * rng.standard_normal(v.shape)) / step) + 0.5) * step
    found = spu.calibrate(design, {"voltages": y, "interval": INTERVAL}, fit=["capacitance", "readout.noise"])
    for each in found.readout:
        assert each.nominal == pytest.approx(np.hypot(2e-5, step / np.sqrt(12)))
        assert abs(each.value - each.nominal) < 4 * each.standard_error < each.nominal
    assert found.goodness.fits


def test_noise_of_a_clock_is_refused():
    held = device().at_detail(spu.Detail(noise={"clock": 1e7}))
    with pytest.raises(UsageError, match="a board is calibrated: worked out for white noise only"):
        spu.calibrate(held, {"voltages": np.zeros((9, 2)), "interval": 1e-7})


def test_noise_that_was_taken_for_far_too_small_is_found():
    """Where the search begins the record tells nothing of so little noise; its slope does."""
    design = device()
    v = np.asarray(record(design, 1500, 5).readouts[0])
    noise = 0.3 * v.std()
    y = v + noise * np.random.default_rng(3).standard_normal(v.shape)
    found = spu.calibrate(
        design, {"voltages": y, "interval": INTERVAL}, fit=["readout.noise"], noise=1e-4 * float(v.std())
    )
    assert found.differs is None and not found.unidentified
    for each in found.readout:
        assert abs(each.value - noise) < 4 * each.standard_error < 0.5 * noise
