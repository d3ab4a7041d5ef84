"""What a report shows, gathered: a check, a prediction and a short simulation, with what it takes to repeat them."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

import numpy as np
import scipy

from spu.base.arrays import FloatArray
from spu.base.version import __version__
from spu.crosscheck import Check, check
from spu.device.device import Device
from spu.emulator.laws.estimate import about_sample_mean, trajectory_error
from spu.emulator.laws.spectra import Autocovariances, compare_autocovariances
from spu.emulator.laws.stationary import Stationary
from spu.emulator.predict import Prediction, predict_linear
from spu.emulator.runs.sampling import Simulation
from spu.emulator.simulate import simulate
from spu.folder import Folder, read_folder
from spu.problems.answers import COVARIANCE
from spu.spice.netlist import netlist as written
from spu.spice.simulators import find_simulator

SAMPLES = 10_000
"""Readouts of the simulation, unless other many are asked for."""

MOST_VARIABLES = 200
"""With more, the error is not followed over the number of samples."""

_POINTS = 12  # of that curve

LAGS = 128
"""Of the simulation whose autocovariances are shown: over one slowest time constant, so that ringing is seen."""


@dataclass(frozen=True)
class Settings:
    """What was asked for; see `spu.report`."""

    netlist: Path | None = None
    levels: tuple[str, ...] | None = None
    accuracy: float | None = None
    seed: int = 0
    time_limit: float = 300.0
    samples: int = SAMPLES
    detect: float | None = None
    budget: float | None = None
    include_outside: bool = False
    ignore_control: bool = False

    def options(self, of: str) -> list[str]:
        """Those that differ from the defaults, for the command line of ``check``, ``simulate`` or ``report``."""
        words: list[str] = []
        if of != "simulate":
            words += ["--netlist", str(self.netlist)] if self.netlist is not None else []
            words += [word for level in self.levels or () for word in ("--level", level)]
            numbers = {"--accuracy": self.accuracy, "--detect": self.detect, "--budget": self.budget}
            if self.time_limit != Settings.time_limit:
                numbers["--time-limit"] = self.time_limit
            words += [word for key, value in numbers.items() if value is not None for word in (key, f"{value:g}")]
            words += ["--include-outside"] * self.include_outside + ["--ignore-control"] * self.ignore_control
        if of == "simulate" or self.samples != SAMPLES:
            words += ["--samples", str(self.samples)] if of != "check" else []
        return [*words, "--seed", str(self.seed)]


@dataclass(frozen=True, eq=False)
class Convergence:
    """The error of a simulation as it went on.

    Attributes
    ----------
    samples, found, expected:
        (k,) readouts taken, the relative error by then, and its expected root mean square.
    floor:
        What infinitely many samples would leave; 0 where the reference is the emulator's own law.
    what:
        The quantity: ``covariance`` or ``mean``.
    reference:
        What it is compared with, in words.
    """

    samples: FloatArray
    found: FloatArray
    expected: FloatArray
    floor: float
    what: str
    reference: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a report shows.

    Attributes
    ----------
    name:
        Of the folder or file.
    folder:
        What was read; None for a device that lies in no file.
    netlist:
        Text of the netlist that ngspice ran, and what it is called; None where there is none.
    autocovariances:
        Of a few telling variables, from a further simulation with readouts close together; None as `convergence`.
    convergence:
        None where the simulation cannot be followed (an ensemble, or very many variables).
    commands:
        Command lines that give the same again.
    versions, hashes:
        By what they are of.
    """

    name: str
    device: Device
    folder: Folder | None
    check: Check
    prediction: Prediction
    simulation: Simulation
    convergence: Convergence | None
    autocovariances: Autocovariances | None
    netlist: tuple[str, str] | None
    settings: Settings
    commands: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    date: str = ""


def gather(
    subject: Device | Folder | str | Path, settings: Settings, progress: Callable[[str], None] | None = None
) -> Evidence:
    """Check, predict and simulate.

    Raises
    ------
    KeyboardInterrupt
        If the simulation was interrupted: half of one is no evidence.
    SpuError
        As `spu.check`, `spu.predict` and `spu.simulate`.
    """
    folder = None
    if not isinstance(subject, Device):
        folder = subject if isinstance(subject, Folder) else read_folder(subject)
    device = folder.device if folder is not None else subject
    assert isinstance(device, Device)
    said = progress or (lambda _: None)
    checked = check(
        folder or device,
        netlist=settings.netlist,
        levels=settings.levels,
        accuracy=settings.accuracy,
        seed=settings.seed,
        time_limit=settings.time_limit,
        detect=settings.detect,
        budget=settings.budget,
        include_outside=settings.include_outside,
        ignore_control=settings.ignore_control,
        progress=progress,
    )
    said("prediction")
    prediction = predict_linear(device)
    said("simulation")
    run = _whole(cast(Simulation, simulate(device, samples=settings.samples, seed=settings.seed, trace=1)))
    return Evidence(
        _name(folder),
        device,
        folder,
        checked,
        prediction,
        run,
        convergence(prediction, run),
        _autocovariances(device, prediction, settings),
        _netlist(folder, device, settings),
        settings,
        _commands(folder, settings),
        _versions(),
        _hashes(folder, device, settings),
        datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )


def convergence(prediction: Prediction, run: Simulation) -> Convergence | None:
    """Follow the relative error of the answer over the readouts of a simulation.

    After ``k`` readouts of each trajectory it is expected to be the root of the predicted error and the sampling
    error squared (`spu.emulator.laws.estimate.about_sample_mean`), as the one is fixed and the other has mean zero.
    """
    law = prediction.law
    variables = len(prediction.variables)
    if not isinstance(law, Stationary) or variables > MOST_VARIABLES or len(prediction.laws) > 1:
        return None
    if run.readouts is None or run.trace != 1 or not run.interval:
        return None
    path, steps = run.readouts, run.readouts.shape[1]
    answer, target, floor = prediction.answer, prediction.covariance, prediction.relative_error
    reference = "the exact answer"
    if answer is None or floor is None or run.target_mean is None or run.target_covariance is None:
        answer, floor = COVARIANCE, 0.0
        reference = "what the emulator predicts (there is no problem to compare with)"
    else:
        target = answer.of(run.target_mean, run.target_covariance)
    size = float(np.linalg.norm(np.asarray(target)))
    transform = law.sde.readout.matrix.toarray()
    counts = np.unique(np.geomspace(min(steps, max(1, -(-100 // run.trajectories))), steps, _POINTS).astype(int))
    found, expected = [], []
    for k in counts.tolist():
        readouts = path[:, :k].reshape(-1, variables)
        mean = readouts.mean(axis=0)
        moments = mean, (readouts - mean).T @ (readouts - mean) / len(readouts)
        taken = {"steps": k, "interval": run.interval, "count": run.trajectories, "transform": transform}
        error = trajectory_error(law, **taken)
        error = about_sample_mean(law, error, transform @ law.voltage_covariance @ transform.T, **taken)
        scatter = np.asarray(answer.error(np.sqrt(error.mean_variance), np.sqrt(error.covariance_variance)))
        found.append(answer.distance(answer.of(*moments), target) or 0.0)
        expected.append(float(np.hypot(np.linalg.norm(scatter) / size, floor)))
    samples = counts.astype(np.float64) * run.trajectories
    return Convergence(samples, np.array(found), np.array(expected), floor, answer.name, reference)


def _whole(run: Simulation) -> Simulation:
    """A simulation that ctrl-C has not cut short: half of one is no evidence."""
    if not run.complete:
        raise KeyboardInterrupt
    return run


def _autocovariances(device: Device, prediction: Prediction, settings: Settings) -> Autocovariances | None:
    if not isinstance(prediction.law, Stationary) or len(prediction.variables) > MOST_VARIABLES:
        return None
    interval = float(prediction.time_constants[0]) / LAGS
    # As many readouts as the other has, and so a sixteenth of its device time.
    run = simulate(device, samples=settings.samples, interval=interval, seed=settings.seed, lags=LAGS, trace=0)
    run = _whole(cast(Simulation, run))
    assert run.autocovariance is not None
    return compare_autocovariances(prediction.laws, run.autocovariance, interval, run.samples)


def _name(folder: Folder | None) -> str:
    if folder is None:
        return "device"
    return folder.path.name if folder.directory is None else folder.directory.resolve().name


def _netlist(folder: Folder | None, device: Device, settings: Settings) -> tuple[str, str] | None:
    file = settings.netlist or (folder.netlist if folder is not None else None)
    if file is not None:
        return file.name, file.read_text(encoding="utf-8", errors="replace")
    return None if folder is not None else ("device.cir", written(device, seed=settings.seed))


def _commands(folder: Folder | None, settings: Settings) -> tuple[str, ...]:
    if folder is None:
        return ()
    place = str(folder.path if folder.directory is None else folder.directory)
    verbs = [("check", settings.options("check")), ("predict", [])]
    verbs += [("simulate", settings.options("simulate")), ("report", settings.options("report"))]
    return tuple(shlex.join(["spu", verb, place, *options]) for verb, options in verbs)


def _versions() -> dict[str, str]:
    return {
        "spu": __version__,
        "ngspice": find_simulator("ngspice").version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _hashes(folder: Folder | None, device: Device, settings: Settings) -> dict[str, str]:
    found = {"device": device.hash}
    files = [settings.netlist] if settings.netlist is not None else []
    if folder is not None:
        beside = [folder.directory / "problem.json"] if folder.directory is not None else []
        files += [file for file in (folder.path, folder.netlist, *beside) if file is not None and file.is_file()]
    for file in files:
        found[f"{file.name} (SHA-256)"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found
