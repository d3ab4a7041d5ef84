"""Results: one vocabulary, labelled arrays, what is printed and what is drawn."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import UsageError
from spu.base.files import plain
from spu.cli import cli
from spu.device.imperfections import Detail
from spu.folder import write_folder
from spu.reports.pictures.results import PICTURES
from spu.reports.texts import TEXTS
from spu.studies.activation import activation_curve

PATHS = {"output", "plot", "spectrum", "readouts", "times"}
"""Keys of the command line's JSON that say where a file is, or what lies in it."""

FOLDERS = ("linear", "network")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Compiled folders of a linear device and of a network, by name."""
    base = tmp_path_factory.mktemp("results")
    precision = [[2.0, -0.5], [-0.5, 1.0]]
    linear = spu.compile_problem(spu.GaussianSampling(precision=precision, variables=["left", "right"]))
    network = spu.ThermodynamicNetwork(1.0, 0.0, 1.0, input=[2.0, 0.0], units=2)
    write_folder(base / "linear", linear)
    write_folder(base / "network", spu.compile_network(network, "neurons"))
    return base


@pytest.fixture(scope="module")
def runs(made):
    """A short run of each, with all that may be booked."""
    return {
        "linear": spu.simulate(made / "linear", samples=600, trajectories=3, seed=5, lags=2),
        "network": spu.simulate(made / "network", times=[0.1, 0.5], trajectories=40, seed=5, heat=True),
    }


def command(*words: object) -> str:
    found = CliRunner().invoke(cli, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    return found.stdout


def timeless(text: str) -> str:
    """Without how long it took."""
    return re.sub(r"took [0-9.]+ \w+", "took", text)


# --- one vocabulary ------------------------------------------------------------------------


def test_readouts_are_trajectory_readout_variable(runs):
    assert runs["linear"].readouts.shape == (3, 200, 2)
    assert runs["network"].readouts.shape == (40, 2, 2)
    for run in runs.values():
        trajectories, readouts, variables = run.readouts.shape
        assert (run.trajectories, len(run.times), len(run.variables)) == (trajectories, readouts, variables)
        assert (run.samples, run.seed, run.complete) == (trajectories * readouts, 5, True)
        assert run.warnings == ()
    assert runs["linear"].time_step is None and runs["network"].time_step > 0


def test_the_old_shapes_are_views(runs):
    linear, network = runs["linear"], runs["network"]
    assert np.array_equal(linear.samples_kept[200:400], linear.readouts[1])
    assert np.shares_memory(linear.samples_kept, linear.readouts)
    assert np.array_equal(network.states, np.swapaxes(network.readouts, 0, 1))
    assert network.states.flags.c_contiguous  # moments add up in the order in which they always did
    assert network.step == network.time_step


def test_times_are_those_of_the_readouts_that_are_kept(made):
    run = spu.simulate(made / "linear", samples=600, trajectories=2, interval=1e-6, trace=100)
    assert run.times == pytest.approx(np.array([1, 101, 201]) * 1e-6)
    assert spu.simulate(made / "linear", samples=100, trace=0).times is None
    independent = spu.simulate(made / "linear", samples=100, independent=True)
    assert independent.readouts.shape == (1, 100, 2) and independent.times is None


def test_an_ensemble_has_its_trajectories_one_programming_after_another():
    board = replace(spu.load_hardware("spu8"), temperature=0.0)
    device = spu.compile_problem(spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]]), board, ensemble=2).device
    run = spu.simulate(device, samples=400, trajectories=2)
    assert run.programmings == 2 and run.readouts.shape == (4, 100, 2)
    first = spu.simulate(device.members()[0], samples=200, trajectories=2, interval=run.interval)
    assert np.array_equal(run.readouts[:2], first.readouts)

    def stop(done: int, total: int) -> None:  # once the second programming is at work
        if done > total // 2:
            raise_interrupt()

    cut = spu.simulate(device, samples=400_000, trajectories=2, trace=1000, progress=stop)
    assert not cut.complete and cut.readouts.shape[0] == 4
    assert np.isfinite(cut.readouts[:2]).all() and np.isnan(cut.readouts[2:, -1]).all()
    assert np.isfinite(cut.samples_kept).all() and len(cut.samples_kept) < cut.readouts[..., 0].size
    assert len(cut.to_arviz().posterior.chain) == 2


def test_a_run_that_read_nothing_is_no_result(made):
    """Ctrl-C before the first of the times: there is nothing to tell, and no error of ours."""
    with pytest.raises(KeyboardInterrupt, match="before the first time"):
        spu.simulate(made / "network", trajectories=2, times=[1e4], progress=lambda *_: raise_interrupt())


def raise_interrupt() -> None:
    """As ctrl-C does."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGINT)


def test_a_result_says_the_seed_that_was_drawn(made):
    for name in FOLDERS:
        run = spu.simulate(made / name, trajectories=2, seed=None)
        assert isinstance(run.seed, int)
        again = spu.simulate(made / name, trajectories=2, seed=run.seed)
        assert np.array_equal(run.readouts, again.readouts)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_file_holds_what_the_result_holds(made, tmp_path, runs, name):
    options = {
        "linear": ["--samples", 600, "--trajectories", 3, "--lags", 2],
        "network": ["--times", "0.1,0.5", "--trajectories", 40, "--heat"],
    }[name]
    file = tmp_path / "all.npz"
    said = json.loads(command("simulate", made / name, *options, "--seed", 5, "-o", file, "--json"))
    run = runs[name]
    with np.load(file) as data:
        assert np.array_equal(data["readouts"], run.readouts) and np.array_equal(data["times"], run.times)
        key, name = {"linear": ("samples", "samples_kept"), "network": ("states", "states")}[name]
        assert np.array_equal(data[key], getattr(run, name))
        assert np.isnan(data["time_step"]) if run.time_step is None else data["time_step"] == run.time_step
        assert {"variables", "trajectories", "seed", "complete", "device_hash"} < set(data.files)
        assert said["readouts"] == {"npz": str(file), "key": "readouts"}
    assert said["time_step"] == run.time_step


@pytest.mark.parametrize("name", FOLDERS)
def test_to_dict_is_what_json_prints(made, tmp_path, runs, name):
    options = {
        "linear": ["--samples", 600, "--trajectories", 3, "--lags", 2],
        "network": ["--times", "0.1,0.5", "--trajectories", 40, "--heat"],
    }[name]
    unsaid = json.loads(command("simulate", made / name, *options, "--no-output", "--json"))
    assert unsaid["readouts"] is None and unsaid["output"] is None
    printed = json.loads(command("simulate", made / name, *options, "--seed", 5, "-o", tmp_path / "a.npz", "--json"))
    mine = plain(runs[name].to_dict())
    for each in (printed, mine):
        del each["seconds"]
    assert {k: v for k, v in printed.items() if k not in PATHS} == {k: v for k, v in mine.items() if k not in PATHS}
    printed = json.loads(command("predict", made / name, "--json"))
    assert {k: v for k, v in printed.items() if k not in PATHS} == plain(spu.predict(made / name).to_dict())
    check = spu.check(made / name, levels=["ideal"])
    printed, mine = json.loads(command("check", made / name, "--level", "ideal", "--json")), plain(check.to_dict())
    for each in (printed, mine):
        del each["levels"]["ideal"]["seconds"]
        for own in each["simulators"]:
            own["levels"]["ideal"].pop("seconds", None)  # the same level, unless it was taken out above
    assert {k: v for k, v in printed.items() if k not in PATHS} == mine


# --- what is printed -----------------------------------------------------------------------


def coupling(board, seed):
    """A measure of a board."""
    return board.network.couplings[0, 1]


def of_learning():
    """What learning comes to, of the smallest networks."""
    network = spu.ThermodynamicNetwork(couplings=[[0.0, -0.4], [-0.4, 0.0]], kT=0.1, units=2)
    recalls = spu.TrainedNetwork(network=network, purpose="generative", duration=0.5, step=1e-2, visible=[0])
    tells = spu.TrainedNetwork(
        network=network,
        purpose="classifier",
        duration=0.2,
        step=1e-2,
        weights=np.eye(2),
        outputs=[0, 1],
        classes=("left", "right"),
    )
    crosses = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[1, 0, 1], [0, 1, 0], [1, 0, 1]]])
    generation = spu.generate(spu.train_generative(crosses, hidden=6, step=5e-3), images=4)
    few = {"layers": (2, 2), "population": 4, "keep": 2, "points": 4, "trajectories": 4, "step": 0.1}
    shown = spu.Images(pixels=np.array([[[0.0, 0.2]], [[0.9, 1.0]], [[0.8, 0.1]]]), labels=[0, 1, 1])
    stepped = spu.natural_gradient(shown, steps=1, trajectories=3)
    return [
        generation,
        generation.ledger,
        spu.classify(tells, np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), [0, 1]),
        spu.evolve(generations=2, until=None, **few),
        spu.replay_learned(spu.compile_problem(recalls, "neurons-6bit", draw=1), count=1, samples=40),
        stepped,
        stepped.step,
        spu.hardware_sweep(recalls, coupling, bits=(2, None), mismatch=(0.0, 0.05), draws=2),
    ]


def feedback(**transconductor) -> spu.Device:
    """Two cells that amplifiers couple."""
    device = spu.Device(temperature=300.0, detail=Detail(transconductor=transconductor))
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-12, conductance=1e-6)
    device.add_coupler("a", "b", transconductance=5e-7)
    return device


def results(made, runs) -> dict[str, object]:
    """One of every kind, by its name."""
    device = spu.Device()
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    found = [
        *runs.values(),
        *(spu.predict(made / name) for name in FOLDERS),
        spu.spectrum(made / "linear"),
        spu.relaxation(made / "linear", start=[1.0, 0.0], times=[0.0, 1e-6]),
        spu.simulate(made / "linear", start="rest", times=[0.0, 1e-6], trajectories=9),
        spu.check(made / "linear", levels=["ideal"]),
        spu.check_many([made / "linear"], levels=["ideal"]),
        spu.characterise(made / "linear", spu.Specification([spu.Requirement("error", "relative-error", maximum=1.0)])),
        spu.error_budget(device.at_detail(Detail(node={"capacitance": 1e-12}))),
        spu.answer(made / "linear", error=0.5, compare=True),
        spu.plan(made / "linear", error=0.5),
        spu.bill_of_materials(made / "linear"),
        spu.cost_scaling("linear", dimensions=[2, 3, 4], draws=1),
        spu.log_determinant(spu.compile(spu.Determinant([[2.0, -0.5], [-0.5, 1.0]])), 20),
        spu.anneal(spu.Ising([[0, 1], [1, 0]]), runs=3),
        spu.gaussian_process((np.arange(5.0), np.arange(5.0) ** 2), points=3, samples=200),
        spu.stability(feedback()),
        spu.yields(made / "linear", 0.1, draws=20, tolerance="cell.conductance=1%"),
        spu.corners(made / "linear", tolerance="cell.conductance=1%", temperatures=[300.0]),
        spu.calibrate(device, spu.simulate(device, samples=300, trajectories=1, seed=1), fit=["conductance"]),
        spu.predict(feedback(linear_range=1e-3)),
        activation_curve(made / "network", unit="x2", times=[0.1]),
        *of_learning(),
    ]
    return {type(each).__name__: each for each in found}


@pytest.mark.parametrize("name", FOLDERS)
def test_str_is_what_the_command_line_prints(made, name):
    assert str(spu.predict(made / name)) + "\n" == command("predict", made / name)
    run = spu.simulate(made / name)
    printed = timeless(command("simulate", made / name, "--no-output"))
    assert printed == timeless(str(run)) + "\n\nsamples not written (-o FILE.npz writes them)\n"
    check = str(spu.check(made / name, levels=["ideal"]))
    printed = command("check", made / name, "--level", "ideal")
    assert [line.split()[:3] for line in printed.splitlines()] == [line.split()[:3] for line in check.splitlines()]


def test_every_kind_of_result_says_and_draws_itself(made, runs):
    from matplotlib.figure import Figure

    found = results(made, runs)
    kinds = {kind.__name__ for kind in TEXTS}
    assert kinds == {kind.__name__ for kind in PICTURES} == set(found)
    for kind, result in found.items():
        assert "\n" in str(result) and str(result) != repr(result), kind
        assert repr(result).startswith(f"{kind}(") and "\n" not in repr(result) and len(repr(result)) < 300, kind
        assert isinstance(result.plot(), Figure), kind
        assert result._repr_html_(), kind
        json.dumps(plain(result.to_dict()))


def test_spectrum_and_budget_in_words(made, runs):
    found = results(made, runs)
    variances = np.diag(spu.predict(made / "linear").covariance)
    for name, variance in zip(("left", "right"), variances, strict=True):
        (line,) = [line for line in str(found["Spectrum"]).splitlines() if line.split()[:1] == [name]]
        assert line.split()[-1] == f"{variance:.4g}"
    assert "error budget of the covariance" in str(found["Budget"])


def test_a_check_without_covariances_has_no_picture(made):
    with pytest.raises(UsageError, match="no picture"):
        replace(spu.check(made / "linear", levels=["ideal"]), covariances={}).plot()


def test_a_unit_has_an_activation_curve_and_a_linear_cell_has_none(made):
    assert activation_curve(made / "linear") is None
    with pytest.raises(UsageError, match="unit is not for linear devices"):
        activation_curve(made / "linear", unit="left")
    with pytest.raises(UsageError, match="no unit 'x9'"):
        activation_curve(made / "network", unit="x9")


# --- labelled arrays -----------------------------------------------------------------------


def test_a_simulation_as_a_dataset(made, runs):
    linear, network = (runs[name].to_xarray() for name in FOLDERS)
    assert linear.readouts.dims == network.readouts.dims == ("trajectory", "readout", "variable")
    run = runs["linear"]
    assert np.array_equal(linear.readouts.sel(variable="right"), run.readouts[:, :, 1])
    assert linear.covariance.sel(variable="left", variable_="right") == run.covariance[0, 1]
    assert np.array_equal(linear.readouts.sel(time=run.times[7]).values, run.readouts[:, 7])
    assert (linear.time.attrs["units"], network.time.attrs["units"]) == ("s", "problem time")
    assert (linear.readouts.attrs["units"], linear.voltage_covariance.attrs["units"]) == ("problem units", "V^2")
    assert (linear.attrs["seed"], linear.attrs["complete"], "time_step" in linear.attrs) == (5, 1, False)
    assert linear.lag.values == pytest.approx(run.interval * np.arange(3))
    assert np.array_equal(linear.autocovariance, run.autocovariance)
    run = runs["network"]
    assert np.array_equal(network["mean"].sel(time=0.5), run.mean[1])
    assert np.array_equal(network.heat, run.heat) and network.heat.dims == ("trajectory",)
    assert network.device_time.values == pytest.approx(run.device_times)
    assert network.attrs["time_step"] == run.time_step


def test_datasets_can_be_written(runs, tmp_path):
    import xarray

    for name, run in runs.items():
        run.to_xarray().reset_index("time").to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        with xarray.open_dataset(tmp_path / f"{name}.nc", engine="h5netcdf") as again:
            assert np.array_equal(again.readouts, run.readouts)


def test_predictions_and_spectra_as_datasets(made):
    found, exact = spu.predict(made / "linear"), spu.predict(made / "linear").to_xarray()
    assert exact.target_covariance.sel(variable="left", variable_="left") == found.target_covariance[0, 0]
    assert exact.time_constants.attrs["units"] == "s" and exact.attrs["relative_error"] == found.relative_error
    network = spu.predict(made / "network").to_xarray()
    assert set(network.data_vars) == {"mean", "covariance", "third", "fourth", "rest", "time_constants"}
    spectrum = spu.spectrum(made / "linear", [1e3, 1e5])
    labelled = spectrum.to_xarray()
    assert labelled.density.dims == ("frequency", "variable", "variable_")
    one = labelled.density.sel(frequency=1e5, variable="left", variable_="right")
    assert one == spectrum.density[1, 0, 1]
    assert labelled.density.attrs["units"] == "problem units^2/Hz"


def test_a_sparse_covariance_is_the_list_of_its_entries(monkeypatch):
    import spu.emulator.laws.law

    monkeypatch.setattr(spu.emulator.laws.law, "LARGE", 4)
    chain = 2.1 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1)
    found = spu.predict(spu.compile(spu.GaussianSampling(precision=chain)))
    labelled = found.to_xarray()
    entries = zip(
        labelled.covariance_row.values, labelled.covariance_column.values, labelled.covariance.values, strict=True
    )
    known = {(row, column): value for row, column, value in entries}
    assert known["x2", "x3"] == found.covariance[1, 2] and ("x1", "x5") not in known


def test_arviz_has_a_chain_for_each_trajectory(made, runs):
    arviz = pytest.importorskip("arviz")
    for name, run in runs.items():
        posterior = run.to_arviz().posterior
        assert posterior.readouts.dims == ("chain", "draw", "variable"), name
        assert np.array_equal(posterior.readouts, run.readouts)
    worth = arviz.ess(runs["linear"].to_arviz())
    assert float(worth.readouts.sel(variable="left")) > 100
    with pytest.raises(UsageError, match="no readouts were kept"):
        spu.simulate(made / "linear", samples=100, trace=0).to_arviz()


@pytest.mark.parametrize(("package", "asked"), [("xarray", "to_xarray"), ("arviz", "to_arviz"), ("matplotlib", "plot")])
def test_a_missing_package_is_one_line_that_says_what_to_install(runs, monkeypatch, package, asked):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs {package}, which is not installed: pip install ") as refused:
        getattr(runs["linear"], asked)()
    assert "\n" not in str(refused.value)


def test_nothing_optional_is_imported_by_the_package():
    import subprocess

    code = "import sys, spu; spu.simulate; spu.check; sys.exit(bool({'xarray', 'arviz', 'pandas'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the command line's options ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("network", ["predict", "--band", 1, 2], "--band is not for networks"),
        ("network", ["predict", "--spectrum", "s.csv"], "there are no spectra of networks"),
        ("network", ["predict", "--unit", "x9"], "no unit 'x9'"),
        ("network", ["simulate", "--lags", 2], "--lags is not for networks"),
        ("network", ["simulate", "--trace", 2], "--trace is not for networks"),
        ("network", ["simulate", "--independent"], "--independent is not for networks"),
        ("linear", ["predict", "--unit", "left"], "--unit is not for linear devices"),
        ("linear", ["predict", "--times", 1], "--times is not for linear devices"),
        ("linear", ["simulate", "--inputs", "none.csv"], "--inputs is not for linear devices"),
        ("linear", ["simulate", "--start", 0], "--start needs times at which it is read"),
        ("linear", ["simulate", "--times", 1], "--times is not for linear devices"),
        ("linear", ["simulate", "--start", 0, "--times", 1, "--lags", 2], "--lags is not for relaxations"),
        ("linear", ["simulate", "--scheme", "heun"], "--scheme is not for linear devices"),
    ],
)
def test_options_without_meaning_are_refused_before_any_work(made, monkeypatch, name, words, said):
    for place in (
        *("spu.emulator.laws.law.stationary", "spu.emulator.predict.network_prediction"),
        *("spu.emulator.predict.predicted", "spu.emulator.runs.relaxation.run", "spu.emulator.runs.sampling.run"),
    ):
        monkeypatch.setattr(place, lambda *_, **__: pytest.fail("work was done"))
    verb, *options = words
    found = CliRunner().invoke(cli, [verb, str(made / name), *map(str, options), "--json"])
    assert found.exit_code == 2
    assert said in json.loads(found.stdout)["error"]["message"]


def test_inputs_may_lie_in_a_file(made, tmp_path):
    (tmp_path / "inputs.csv").write_text("time,x2\n0,0\n0.1,3\n")
    options = {"times": [0.2], "trajectories": 10}
    from_file = spu.simulate(made / "network", inputs=tmp_path / "inputs.csv", **options)
    given = spu.simulate(made / "network", inputs=([0, 0.1], [[2, 0], [2, 3]]), **options)
    assert np.array_equal(from_file.readouts, given.readouts)
