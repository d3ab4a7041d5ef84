"""A trained network's device in a circuit simulator: from noise to image, or from image to answer.

The netlist of the device is run as it is written, with lines added: where each cell starts (``.ic``), for each image a
current into each cell (``iimage_NAME``: weights times pixels), and in place of the noise sources a waveform of noise.
The emulator takes the same starts, currents and waveform through the device's own equation. What is left between the
two is the simulator's: it must fall with its time step.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from spu.base.arguments import SIMULATORS_SEEDS, Seed, seed_of
from spu.base.arrays import FloatArray, IntArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.display import Result
from spu.base.errors import InputError, UsageError
from spu.base.files import write_text
from spu.base.process import scratch_folder
from spu.crosscheck.levels.paths import relative_distances
from spu.crosscheck.levels.replay import at_samples
from spu.device.lower import lower
from spu.emulator.dynamics import langevin_of
from spu.emulator.equations.langevin import Langevin
from spu.emulator.laws import langevin_response
from spu.emulator.runs.noise import REPLAY, normals
from spu.problems.trained import TrainedNetwork
from spu.spice.deck import Deck, read_deck
from spu.spice.dialects import NGSPICE
from spu.spice.dialects.dialect import noise_element, number
from spu.spice.names import cell_node, probe_vectors
from spu.spice.netlist import netlist
from spu.spice.simulators.analyses import Transient, Waveforms
from spu.spice.simulators.simulator import Simulator, find_simulator, require_dialect
from spu.studies.learning.subject import Learned, learned

__all__ = ["PATH_ERROR", "ReplayedNetwork", "replay_learned"]

PATH_ERROR = 1e-3
"""Of the worst unit's path at the finest steps, relative to its norm: more is a difference that is said."""

OVERSAMPLING = 8
"""Straight pieces from one noise sample to the next, along a cubic spline: as of level ``replay`` of the check."""

LIMITS = (16, 64)
"""Step limits: the time of a sample over these."""

FALLS = 1.15
"""What finer steps must at least divide an error by, unless it is at the `FLOOR`."""

FLOOR = 2e-5
"""Path error that is the simulator's own tolerance."""


@dataclass(frozen=True, eq=False, repr=False)
class ReplayedNetwork(Result):
    """Runs of one device in the emulator and in a simulator, under the same noise.

    Attributes
    ----------
    learned:
        What was run.
    simulator:
        What ran the netlist.
    times:
        (q,) when states are kept, in the network's time; the last is its duration.
    exact, found:
        (k, q, n) states in problem units: the emulator's, and the simulator's at its finest steps.
    coarse_error, error:
        (k,) path error of the worst unit at the coarser and at the finer steps, relative to the path's norm.
    limits:
        The two step limits, s.
    """

    learned: Learned
    simulator: str
    times: Annotated[FloatArray, "q"]
    exact: Annotated[FloatArray, "k q n"]
    found: Annotated[FloatArray, "k q n"]
    coarse_error: Annotated[FloatArray, "k"]
    error: Annotated[FloatArray, "k"]
    limits: tuple[float, float]

    in_short = ("simulator", "path_error", "falls", "same")

    @property
    def trained(self) -> TrainedNetwork:
        """What was learnt."""
        return self.learned.trained

    @property
    def path_error(self) -> float:
        """The largest of `error`."""
        return float(self.error.max())

    @property
    def falls(self) -> bool:
        """Whether finer steps make every error smaller, as far as the simulator's own tolerances let them."""
        return bool((self.error < np.maximum(self.coarse_error / FALLS, FLOOR)).all())

    @cached_property
    def images(self) -> tuple[FloatArray, FloatArray]:
        """(k, v) pixels at the end, the emulator's and the simulator's, in units of x."""
        visible = self.trained.visible
        if visible is None:
            raise UsageError("a network without visible units makes no images")
        return self.exact[:, -1, visible], self.found[:, -1, visible]

    @cached_property
    def answers(self) -> tuple[IntArray, IntArray]:
        """(k,) classes at the end, by place: the emulator's and the simulator's."""
        outputs = self.trained.outputs
        if outputs is None:
            raise UsageError("a network without outputs gives no answers")
        return self.exact[:, -1, outputs].argmax(axis=1), self.found[:, -1, outputs].argmax(axis=1)

    @property
    def same(self) -> bool:
        """Whether all answers are the same, or of images: whether none differs by more than the path error allows."""
        if self.trained.purpose == "generative":
            exact, found = self.images
            return bool(np.abs(found - exact).max() <= 10 * PATH_ERROR * np.abs(exact).max())
        if self.trained.purpose == "classifier":
            return bool(np.array_equal(*self.answers))
        return self.path_error <= PATH_ERROR

    @property
    def verdict(self) -> str:
        """``pass`` where paths and results are the same and errors fall, else ``fail``."""
        return "pass" if self.path_error <= PATH_ERROR and self.falls and self.same else "fail"

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        held: dict[str, Any] = {
            "simulator": self.simulator,
            "verdict": self.verdict,
            "runs": len(self.error),
            "path_error": self.path_error,
            "path_errors": self.error,
            "coarser_path_errors": self.coarse_error,
            "step_limits": self.limits,
            "falls": self.falls,
            "same": self.same,
        }
        if self.trained.purpose == "classifier":
            emulator, simulator = self.answers
            names = self.trained.classes
            held |= {"emulator": [names[k] for k in emulator], self.simulator: [names[k] for k in simulator]}
        return held


def replay_learned(
    subject: Any,
    images: Annotated[ArrayLike, "k m"] | None = None,
    *,
    count: int = 4,
    start: Annotated[ArrayLike, "k n"] | None = None,
    seed: Seed = 0,
    samples: int | None = None,
    simulator: str | Simulator = "ngspice",
    time_limit: float = 300.0,
    progress: Callable[[str], None] | None = None,
) -> ReplayedNetwork:
    """Run a trained network's device in the emulator and in a circuit simulator under the same noise.

    Parameters
    ----------
    subject:
        A device folder compiled of a trained network, its path, or what was compiled.
    images:
        Of a network with input weights: pixels from 0 to 1, a row an image.
    count:
        Runs, where there are no images.
    start:
        States in problem units; unless given zero for networks with inputs, and for others a draw: each unit by
        itself in equilibrium with kT, in its own potential's harmonic width.
    seed:
        Of noise and starts.
    samples:
        Independent samples of each noise source in the network's duration; unless given one in each tenth of its
        fastest time, 64 at least.
    simulator:
        As of `spu.check`.
    time_limit:
        s for each of its runs.
    progress:
        Told before each run.

    Raises
    ------
    InputError, UsageError
        If there is no device, its states are no voltages, or what is given does not fit.
    SimulatorMissing, SimulatorFailed
        If the simulator is not installed, or gives no result.

    Examples
    --------
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(couplings=[[0.0, -0.4], [-0.4, 0.0]], kT=0.1, units=2)
    >>> learnt = spu.TrainedNetwork(network=network, purpose="generative", duration=0.5, step=1e-2, visible=[0])
    >>> run = spu.replay_learned(spu.compile_problem(learnt, "neurons-6bit", draw=1), count=1, samples=40)
    >>> run.falls, run.same
    (True, True)
    """
    held = learned(subject)
    if held.device is None or held.second is None:
        raise InputError("this was not compiled: a simulator runs devices (spu compile DIR -o DEVICE)")
    circuit, chosen = lower(held.device), find_simulator(simulator)
    require_dialect(chosen, NGSPICE.name, "a trained network")
    does = langevin_of(circuit)
    equation, trained = does.equation, held.trained
    if equation.coordinate != "voltage":
        raise UsageError(
            f"the states of {held.device.architecture} are no voltages of cells: compile with --architecture "
            "rc-conductance"
        )
    number_of = seed_of(seed, SIMULATORS_SEEDS)
    own = _inputs(trained, images)
    runs = count if own is None else len(own)
    starts = _starts(held, start, runs, number_of, drawn=own is None)
    duration = trained.duration * held.second
    steps = samples or max(64, int(np.ceil(10 * duration / does.slowest)), int(np.ceil(duration / does.fastest)))
    interval = duration / steps
    piece = interval / OVERSAMPLING
    volts = equation.units
    assert held.scales is not None
    amperes = (1.0 if own is None else own) * held.scales.speedup * held.scales.energy / volts
    rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * interval)
    limits = (interval / LIMITS[0], interval / LIMITS[1])
    exact, found, errors = [], [], []
    with scratch_folder("learned") as folder:
        write_text(folder / "device.cir", netlist(held.device, seed=number_of))
        deck = read_deck(folder / "device.cir")
        for k in range(runs):
            if progress is not None:
                progress(f"{chosen.name}: run {k + 1} of {runs}")
            drawn = rms * normals(number_of, steps + 1, len(circuit.sources), purpose=REPLAY, trajectory=k + 1)
            pieces = np.arange(steps * OVERSAMPLING + 1) / OVERSAMPLING
            waveform = np.asarray(CubicSpline(np.arange(steps + 1), drawn)(pieces))
            current = None if own is None else amperes[k]
            path = _emulated(equation, current, waveform, piece, does.size, starts[k] * volts)[::OVERSAMPLING]
            scratch = folder / f"run{k}"
            scratch.mkdir()
            started = _prepared(deck, circuit.nodes, starts[k] * volts, current)
            text = chosen.driven(started, Waveforms(_elements(circuit.sources), piece, waveform), scratch)
            vectors = probe_vectors(circuit)

            def run(limit: float, text: str = text, scratch: Path = scratch, vectors: Any = vectors) -> FloatArray:
                transient = Transient(duration, limit, interval, vectors, from_zero=True)
                (seen,) = chosen.run(text, (transient,), time_limit=time_limit, folder=scratch)
                return at_samples(seen["time"], np.stack([seen[name] for name in vectors], axis=1), interval, steps)

            with ThreadPoolExecutor(2) as pool:
                coarse, fine = pool.map(run, limits)
            centre = path.mean(axis=0)
            errors.append([float(relative_distances(each, path, centre).max()) for each in (coarse, fine)])
            exact.append(path / volts)
            found.append(fine / volts)
    off = np.array(errors).reshape(-1, 2)
    times = np.asarray(np.arange(steps + 1) * interval / held.second, dtype=np.float64)
    return ReplayedNetwork(held, chosen.name, times, np.array(exact), np.array(found), off[:, 0], off[:, 1], limits)


def _inputs(trained: TrainedNetwork, images: Any) -> FloatArray | None:
    """(k, n) what images add to the inputs of the units, in problem units."""
    if images is None:
        if trained.weights is not None:
            raise UsageError(f"a {trained.purpose} network is given images: pass some")
        return None
    pixels = np.atleast_2d(np.asarray(images, dtype=np.float64))
    pixels = pixels.reshape(len(pixels), -1)
    if trained.weights is None:
        raise UsageError("this network has no input weights: it is given no images")
    return trained.inputs(trained.scaled(pixels)) - trained.network.input


def _starts(held: Learned, start: Any, runs: int, seed: int, *, drawn: bool) -> FloatArray:
    network = held.trained.network
    if start is not None:
        given = np.asarray(start, dtype=np.float64)
        if given.shape != (runs, network.n) or not np.isfinite(given).all():
            raise InputError(f"start has the shape {given.shape}: ({runs}, {network.n}) finite numbers are wanted")
        return given
    if not drawn:
        return np.zeros((runs, network.n))
    still = replace(held.equation, field=np.zeros(network.n))
    spread = np.sqrt(network.kT / np.maximum(np.diag(still.stiffness), network.kT))
    return np.asarray(spread * normals(seed, runs, network.n, purpose=REPLAY, trajectory=0))


def _emulated(
    equation: Langevin, current: FloatArray | None, waveform: FloatArray, piece: float, size: FloatArray, x: FloatArray
) -> FloatArray:
    """(k + 1, n) V at the ends of all pieces."""
    if current is not None:
        equation = replace(equation, field=equation.field + current)
        size = np.maximum(size, np.abs(current) / np.abs(np.diag(equation.stiffness)).max())
    size = np.maximum(size, np.abs(x))
    return langevin_response.respond(equation, waveform, piece, hold=False, size=size, start=x, finer=2.0)


def _prepared(deck: Deck, nodes: Any, volts: FloatArray, current: FloatArray | None) -> Deck:
    """The deck with starts and with the input currents of an image."""
    names = list(nodes)
    added = [f".ic v({cell_node(name)})={number(v)}" for name, v in zip(names, volts.tolist(), strict=True)]
    if current is not None:
        added += [
            f"iimage_{name} 0 {cell_node(name)} {number(value)}"
            for name, value in zip(names, current.tolist(), strict=True)
        ]
    return replace(deck, lines=(*deck.lines, *(replace(deck.lines[0], text=text) for text in added)))


def _elements(sources: Any) -> tuple[str, ...]:
    return tuple(noise_element(source.name).lower() for source in sources)
