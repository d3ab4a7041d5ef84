"""Training steps of a device that relaxes: from gradient descent to natural gradient by the time it is given.

A model of n parameters has the gradient g of its loss and the Fisher matrix F of its predictions. A device of cells of
first order obeys ``dx = (g - F x) dt + noise``; it starts at ``x(0) = g`` and is read after a time t:

    x(t) = F^-1 g + exp(-F t) (g - F^-1 g) .

Along an eigenvector of F with the eigenvalue f that is ``g (1 + (1/f - 1)(1 - exp(-f t)))``: g at t = 0, the natural
gradient ``F^-1 g`` at long t, and in between the natural gradient along stiff directions already and the gradient along
soft ones (Donatella et al., arXiv 2405.13817). The model here is softmax regression on small images. Its loss has F as
its second derivative, so that the long-time step is Newton's, damped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import scipy.linalg as la
from numpy.typing import ArrayLike
from scipy.special import log_softmax
from scipy.stats import chi2

from spu.base.arguments import SIMULATORS_SEEDS, Seed, is_number, numbers, seed_of, whole
from spu.base.arrays import FloatArray, IntArray
from spu.base.display import Result
from spu.base.errors import InputError, OptionError, SimulatorMissing, UsageError
from spu.base.files import write_text
from spu.base.process import scratch_folder
from spu.compiler import compile_problem
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.lower import lower
from spu.emulator.relaxation import relaxation
from spu.emulator.runs.sampling import member_seed
from spu.emulator.simulate import simulate
from spu.problems.images import Images, read_images
from spu.problems.systems import NOISE, GeneralSystem
from spu.spice.deck import read_deck
from spu.spice.dialects import NGSPICE
from spu.spice.dialects.dialect import noise_element
from spu.spice.names import probe_vectors
from spu.spice.netlist import netlist
from spu.spice.simulators.analyses import Transient, Waveforms
from spu.spice.simulators.simulator import Simulator, find_simulator, require_dialect

__all__ = ["NaturalGradient", "OneStep", "SoftmaxModel", "natural_gradient"]

MOST = 64
"""Parameters: a cell each, all coupled to all."""

SETTLED = 16.0
"""Slowest time constants after which a device is read where natural gradient is wanted: what is left is 1e-7."""

LIMITS = (64, 256)
"""Step limits of a simulator's transients: the time of reading over these."""


@dataclass(frozen=True, eq=False)
class SoftmaxModel:
    """Softmax regression: ``p(c | x) ~ exp(w_c . x)`` for C classes, of which the last has the weights 0.

    Parameters
    ----------
    inputs:
        (m, d); the last column is 1, for the bias.
    labels:
        (m,) from 0 to C - 1.
    classes:
        C.

    Examples
    --------
    >>> import numpy as np
    >>> from spu.studies.learning.natural import SoftmaxModel
    >>> model = SoftmaxModel(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([0, 1]), 2)
    >>> model.size, round(model.loss(np.zeros(2)), 4)
    (2, 0.6931)
    >>> model.gradient(np.zeros(2))
    array([0.25, 0.  ])
    """

    inputs: Annotated[FloatArray, "m d"]
    labels: Annotated[IntArray, "m"]
    classes: int

    @property
    def size(self) -> int:
        """How many parameters: d for each class but the last."""
        return (self.classes - 1) * self.inputs.shape[1]

    def _scores(self, theta: FloatArray) -> FloatArray:
        weights = theta.reshape(self.classes - 1, -1)
        return np.column_stack([self.inputs @ weights.T, np.zeros(len(self.inputs))])

    def probabilities(self, theta: Annotated[FloatArray, "n"]) -> Annotated[FloatArray, "m c"]:
        """(m, C) of the classes."""
        return np.exp(log_softmax(self._scores(theta), axis=1))

    def loss(self, theta: Annotated[FloatArray, "n"]) -> float:
        """Mean of ``-log p`` of the labels."""
        chosen = log_softmax(self._scores(theta), axis=1)[np.arange(len(self.labels)), self.labels]
        return float(-chosen.mean())

    def accuracy(self, theta: Annotated[FloatArray, "n"]) -> float:
        """Share of the labels that have the largest probability."""
        return float((self._scores(theta).argmax(axis=1) == self.labels).mean())

    def gradient(self, theta: Annotated[FloatArray, "n"]) -> Annotated[FloatArray, "n"]:
        """(n,) derivative of the loss."""
        off = self.probabilities(theta)
        off[np.arange(len(self.labels)), self.labels] -= 1.0
        return np.asarray((off[:, :-1].T @ self.inputs / len(self.labels)).ravel())

    def fisher(self, theta: Annotated[FloatArray, "n"]) -> Annotated[FloatArray, "n n"]:
        """(n, n) mean over inputs of the covariance, under the model's own predictions, of the gradient of log p."""
        p = self.probabilities(theta)[:, :-1]
        count, d = self.classes - 1, self.inputs.shape[1]
        found = np.zeros((count, d, count, d))
        for a in range(count):
            for b in range(a + 1):
                weights = p[:, a] * ((a == b) - p[:, b])
                found[a, :, b] = found[b, :, a] = (self.inputs * weights[:, None]).T @ self.inputs / len(p)
        return found.reshape(self.size, self.size)


@dataclass(frozen=True, eq=False, repr=False)
class OneStep(Result):
    """The first step: what the device shows after each time, by the formula, emulated and in a simulator.

    Attributes
    ----------
    times, device_times:
        (q,) in units of the problem's time and in s, the last one for ever.
    gradient, natural:
        (n,) g and F^-1 g.
    ideal:
        (q, n) the formula, by an eigenvalue problem.
    exact:
        (q, n) the mean of the device's own law.
    emulated, error:
        (q, n) means over trajectories, and their standard errors.
    chance:
        (q,) probability that chance makes emulated and ideal differ as much, over all n parameters; 1 at t = 0.
    simulated:
        (q, n) of the netlist in a circuit simulator, from its ``.ic``, at the finer steps; None where none ran.
    simulator:
        What ran it.
    coarse_error, simulator_error:
        (q,) how far the simulator is from the device's law, relative, at step limits of 1/64 and 1/256 of the time.
    hash, seed, trajectories:
        Of the device, and of its runs.
    """

    times: Annotated[FloatArray, "q"]
    device_times: Annotated[FloatArray, "q"]
    gradient: Annotated[FloatArray, "n"]
    natural: Annotated[FloatArray, "n"]
    ideal: Annotated[FloatArray, "q n"]
    exact: Annotated[FloatArray, "q n"]
    emulated: Annotated[FloatArray, "q n"]
    error: Annotated[FloatArray, "q n"]
    chance: Annotated[FloatArray, "q"]
    simulated: Annotated[FloatArray, "q n"] | None
    simulator: str | None
    coarse_error: Annotated[FloatArray, "q"] | None
    simulator_error: Annotated[FloatArray, "q"] | None
    hash: str
    seed: int
    trajectories: int

    in_short = ("times", "relative_error", "simulator_error")

    @property
    def law_error(self) -> float:
        """Of the device's own law against the formula, relative, Frobenius: what hardware costs."""
        return _relative(self.exact, self.ideal)

    @property
    def relative_error(self) -> Annotated[FloatArray, "q"]:
        """(q,) of the emulated step against the ideal one, relative."""
        return np.array([_relative(a, b) for a, b in zip(self.emulated, self.ideal, strict=True)])

    @property
    def expected_relative_error(self) -> Annotated[FloatArray, "q"]:
        """(q,) root mean square of what noise alone makes of it."""
        return np.sqrt((self.error**2).sum(axis=1)) / np.linalg.norm(self.ideal, axis=1)

    @property
    def falls(self) -> bool | None:
        """Whether finer steps bring the simulator nearer at all times, as far as its own tolerances (2e-5) let them."""
        if self.simulator_error is None or self.coarse_error is None:
            return None
        return bool((self.simulator_error < np.maximum(self.coarse_error / 1.15, 2e-5)).all())

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        keys = (
            *("times", "device_times", "gradient", "natural", "ideal", "exact", "emulated", "error", "chance"),
            *("simulated", "simulator", "coarse_error", "simulator_error", "falls", "law_error", "relative_error"),
            *("expected_relative_error", "hash", "seed", "trajectories"),
        )
        return {key: getattr(self, key) for key in keys} | {"times": _times_for_json(self.times)}


@dataclass(frozen=True, eq=False, repr=False)
class NaturalGradient(Result):
    """Training of a small model by a device's relaxation.

    Attributes
    ----------
    model, data:
        What was trained, and on what (`Images.to_dict`).
    damping, rate, noise:
        What is added to the diagonal of F; the factor on steps; the noise about the natural gradient, relative.
    times:
        (q,) how long the device relaxes, in units of the problem's time; infinity is read when it has settled.
    loss, emulated_loss:
        (q, steps + 1) by exact arithmetic, and by the emulated device.
    accuracy, emulated_accuracy:
        (q,) on the training data, at the end.
    parameters:
        (q, n) the emulated ones at the end.
    device_time:
        (q,) s of the device in all: steps times trajectories times how long each was.
    step:
        The first step, looked at closely.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> pixels = np.random.default_rng(0).random((40, 2, 2))
    >>> labels = (pixels.mean(axis=(1, 2)) > 0.5).astype(int)
    >>> found = spu.natural_gradient(spu.Images(pixels=pixels, labels=labels), steps=3, simulator=None)
    >>> found.loss.shape, bool(found.loss[-1, -1] < found.loss[0, -1])
    ((4, 4), True)
    """

    model: SoftmaxModel
    data: dict[str, Any]
    classes: tuple[str, ...]
    damping: float
    rate: float
    noise: float
    hardware: str
    times: Annotated[FloatArray, "q"]
    loss: Annotated[FloatArray, "q k"]
    emulated_loss: Annotated[FloatArray, "q k"]
    accuracy: Annotated[FloatArray, "q"]
    emulated_accuracy: Annotated[FloatArray, "q"]
    parameters: Annotated[FloatArray, "q n"]
    device_time: Annotated[FloatArray, "q"]
    step: OneStep

    in_short = ("classes", "times", "damping", "rate")

    @cached_property
    def steps(self) -> int:
        """How many."""
        return self.loss.shape[1] - 1

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        keys = (
            *("data", "classes", "damping", "rate", "noise", "hardware", "steps", "times", "loss", "emulated_loss"),
            *("accuracy", "emulated_accuracy", "device_time"),
        )
        held = {key: getattr(self, key) for key in keys}
        return held | {
            "times": _times_for_json(self.times),
            "parameters": self.model.size,
            "step": self.step.to_dict(),
        }


def natural_gradient(
    images: Images | str | Path,
    *,
    classes: Iterable[int] | None = None,
    times: Annotated[ArrayLike, "q"] | None = None,
    steps: int = 8,
    rate: float = 1.0,
    damping: float = 0.01,
    noise: float = NOISE,
    trajectories: int = 100,
    hardware: str | Hardware = "ideal",
    seed: Seed = 0,
    simulator: str | Simulator | None = "ngspice",
    time_limit: float = 300.0,
    progress: Callable[[str], None] | None = None,
) -> NaturalGradient:
    """Train softmax regression on images with steps that a device makes by relaxing from the gradient.

    In each step the device is compiled anew for the model's Fisher matrix and gradient.

    Parameters
    ----------
    images:
        With labels, or a file of them (`spu.read_images`). Pixels are averaged in blocks until the model has at most
        64 parameters.
    classes:
        Labels that are told apart; all that there are unless given.
    times:
        (q,) when the device is read, in units of the problem's time, rising from 0; infinity is read after 16 of
        the slowest time constants. Unless given 0 (gradient descent), one over the largest eigenvalue of the first
        Fisher matrix, one over the root of the largest and the smallest, and infinity (natural gradient).
    steps:
        Of training, for each time.
    rate:
        Factor on every step: ``theta - rate x(t)``.
    damping:
        Added to the diagonal of the Fisher matrix, > 0: a device's slowest time constant is at most one over it.
    noise:
        Standard deviation of the device's fluctuations about the natural gradient, relative to its size.
    trajectories:
        Relaxations that are averaged for a step.
    hardware:
        What can be built, as `spu.compile` takes it.
    seed:
        Of the noise.
    simulator:
        Runs the netlist of the first step from its ``.ic``, as of `spu.check`; None for none. Where ngspice is not
        installed there is none either.
    time_limit:
        s for each of its runs.
    progress:
        Told before each time of reading.

    Raises
    ------
    InputError, UsageError
        If there are no labels, no two classes, too many parameters, or numbers make no sense.
    Unrealizable
        If the hardware holds no such device.

    Examples
    --------
    >>> import numpy as np
    >>> import spu
    >>> pixels = np.random.default_rng(0).random((40, 2, 2))
    >>> labels = (pixels.mean(axis=(1, 2)) > 0.5).astype(int)
    >>> found = spu.natural_gradient(spu.Images(pixels=pixels, labels=labels), steps=1, simulator=None)
    >>> bool(found.step.law_error < 1e-5), bool((found.step.chance > 1e-6).all())
    (True, True)
    """
    model, chosen = _posed(images, classes)
    for name, value in (("rate", rate), ("damping", damping), ("noise", noise)):
        least = 0.0 if name == "noise" else np.nextafter(0.0, 1.0)
        if not (is_number(value) and least <= value < np.inf):
            raise OptionError(name, f"must be positive, not {value!r}")
    for name, count in (("steps", steps), ("trajectories", trajectories)):
        found = whole(name, count)
        if found is None or found < 1:
            raise OptionError(name, f"must be 1 or more, not {count!r}")
    number = seed_of(seed, SIMULATORS_SEEDS)
    first = model.fisher(np.zeros(model.size)) + damping * np.eye(model.size)
    instants = _instants(times, first)
    step = _first_step(model, first, instants, hardware, noise, trajectories, number, simulator, time_limit, progress)
    rows = []
    for k, t in enumerate(instants):
        if progress is not None:
            progress(f"training with a device that is read at t = {t:g} ({k + 1} of {len(instants)})")
        rows.append(_trained(model, float(t), steps, rate, damping, noise, trajectories, hardware, number))
    loss, emulated, theta, parameters, seconds = (list(column) for column in zip(*rows, strict=True))
    return NaturalGradient(
        model,
        chosen.to_dict(),
        tuple(chosen.name(label) for label in chosen.counts),
        float(damping),
        float(rate),
        float(noise),
        hardware if isinstance(hardware, str) else hardware.name,
        instants,
        np.array(loss),
        np.array(emulated),
        np.array([model.accuracy(each) for each in theta]),
        np.array([model.accuracy(each) for each in parameters]),
        np.array(parameters),
        np.array(seconds),
        step,
    )


def _posed(images: Images | str | Path, classes: Iterable[int] | None) -> tuple[SoftmaxModel, Images]:
    """The model, and the images in blocks as coarse as it needs."""
    held = images if isinstance(images, Images) else read_images(images)
    if held.labels is None:
        raise InputError("these images have no labels, and there is nothing to learn", file=held.source or None)
    chosen = held if classes is None else held.of_classes(classes)
    known = sorted(chosen.counts)
    if len(known) < 2:
        raise InputError("two classes or more are wanted", file=held.source or None)
    rows, columns = chosen.shape
    for block in range(1, min(rows, columns) + 1):
        if rows % block or columns % block:
            continue
        count = (len(known) - 1) * (rows // block * (columns // block) + 1)
        if count <= MOST:
            break
    else:
        raise UsageError(
            f"{len(known)} classes have more than {MOST} parameters at any size of the images: choose fewer classes"
        )
    chosen = chosen.coarser(block)
    assert chosen.labels is not None
    inputs = np.column_stack([chosen.flat, np.ones(len(chosen))])
    return SoftmaxModel(inputs, np.searchsorted(known, chosen.labels), len(known)), chosen


def _instants(times: ArrayLike | None, fisher: FloatArray) -> FloatArray:
    values = la.eigvalsh(fisher)
    if times is None:
        return np.array([0.0, 1.0 / values[-1], 1.0 / np.sqrt(values[0] * values[-1]), np.inf])
    problem = "times are numbers that rise from 0 or more, of which the last may be infinite"
    found = np.atleast_1d(numbers(times, problem))
    if found.ndim != 1 or not len(found) or np.isnan(found).any() or (found < 0).any() or (np.diff(found) <= 0).any():
        raise UsageError(problem)
    return found


def _ideal(F: FloatArray, g: FloatArray, t: float) -> FloatArray:
    """The formula."""
    values, vectors = la.eigh(F)
    along = vectors.T @ g
    left = np.exp(-values * t) if np.isfinite(t) else np.zeros(len(values))
    return np.asarray(vectors @ (along / values + left * (along - along / values)))


def _read_at(F: FloatArray, t: float) -> float:
    """When the device is read for a time that may be infinite, in units of the problem's time."""
    return t if np.isfinite(t) else SETTLED / float(la.eigvalsh(F)[0])


def _device(F: FloatArray, g: FloatArray, noise: float, hardware: str | Hardware) -> Device:
    """The device of a step: ``dx = (g - F x) dt`` and noise, that starts at g."""
    device = compile_problem(GeneralSystem(F, g, method="direct", noise=noise), hardware).device
    device.set_start(g)
    return device


def _trained(
    model: SoftmaxModel,
    t: float,
    steps: int,
    rate: float,
    damping: float,
    noise: float,
    trajectories: int,
    hardware: str | Hardware,
    seed: int,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float]:
    """Losses by exact arithmetic and emulated, both parameters at the end, and the device's time, s."""
    ideal = emulated = np.zeros(model.size)
    losses, sampled, seconds = [model.loss(ideal)], [model.loss(emulated)], 0.0
    eye = damping * np.eye(model.size)
    for k in range(steps):
        ideal = ideal - rate * _ideal(model.fisher(ideal) + eye, model.gradient(ideal), t)
        F, g = model.fisher(emulated) + eye, model.gradient(emulated)
        if t == 0:  # what the device is set to is what it shows
            shown = g
        else:
            run: Any = simulate(
                _device(F, g, noise, hardware),
                times=_read_at(F, t),
                trajectories=trajectories,
                seed=member_seed(seed, k + 1),
            )
            shown, seconds = run.mean[0], seconds + trajectories * run.device_time
        emulated = emulated - rate * shown
        losses.append(model.loss(ideal))
        sampled.append(model.loss(emulated))
    return np.array(losses), np.array(sampled), ideal, emulated, seconds


def _first_step(
    model: SoftmaxModel,
    F: FloatArray,
    instants: FloatArray,
    hardware: str | Hardware,
    noise: float,
    trajectories: int,
    seed: int,
    simulator: str | Simulator | None,
    time_limit: float,
    progress: Callable[[str], None] | None,
) -> OneStep:
    """The first step of all times from one device, in one run."""
    g = model.gradient(np.zeros(model.size))
    device = _device(F, g, noise, hardware)
    read = np.array([_read_at(F, float(t)) for t in instants])
    order = np.argsort(read, kind="stable")
    run: Any = simulate(device, times=read[order], trajectories=trajectories, seed=seed)
    back = np.argsort(order, kind="stable")
    law = relaxation(device, times=read[order])
    ideal = np.array([_ideal(F, g, float(t)) for t in instants])
    exact, emulated, error = law.mean[back], run.mean[back], run.mean_error[back]
    chance = np.array(
        [_chance(a - b, P / trajectories) for a, b, P in zip(emulated, ideal, law.covariance[back], strict=True)]
    )
    seconds = law.device_times[back]
    simulated = coarse = fine = name = None
    if simulator is not None:
        chosen = find_simulator(simulator)
        require_dialect(chosen, NGSPICE.name, "the first step")
        if progress is not None:
            progress(f"{chosen.name}: the first step")
        try:
            simulated, coarse, fine = _simulated(device, chosen, seconds, exact, seed, time_limit)
            name = chosen.name
        except SimulatorMissing:
            if progress is not None:
                progress(f"{chosen.name} is not installed: the first step is not run in it")
    return OneStep(
        instants,
        seconds,
        g,
        np.asarray(la.solve(F, g, assume_a="pos")),
        ideal,
        exact,
        emulated,
        error,
        chance,
        simulated,
        name,
        coarse,
        fine,
        device.hash,
        seed,
        trajectories,
    )


def _chance(off: FloatArray, covariance: FloatArray) -> float:
    """Probability of a deviation (n,) that is as far in its covariance (n, n); 1 of none where there is none."""
    if not covariance.any():
        return 1.0
    return float(chi2.sf(off @ la.solve(covariance, off, assume_a="pos"), len(off)))


def _simulated(
    device: Device, simulator: Simulator, seconds: FloatArray, exact: FloatArray, seed: int, time_limit: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The netlist as it is written, its noise sources held at zero volts, from its own ``.ic`` to each time (q,), s.

    Returns what the variables are then, at the finer steps, and the errors (q,) at the coarser and at the finer ones.
    """
    circuit = lower(device)
    vectors = probe_vectors(circuit)
    elements = tuple(noise_element(source.name).lower() for source in circuit.sources)
    found, errors = exact.copy(), np.zeros((2, len(seconds)))
    with scratch_folder("natural") as folder:
        write_text(folder / "device.cir", netlist(device, seed=seed))
        silence = Waveforms(elements, float(seconds.max()) or 1.0, np.zeros((3, len(elements))))
        text = simulator.driven(read_deck(folder / "device.cir"), silence, folder)
        for k, stop in enumerate(seconds.tolist()):
            if stop == 0:
                continue
            limits = [stop / limit for limit in LIMITS]
            transients = [Transient(stop, limit, limit, vectors, from_zero=True) for limit in limits]
            for row, each in enumerate(transients):
                (seen,) = simulator.run(text, (each,), time_limit=time_limit, folder=folder)
                volts = np.array([seen[name][-1] for name in vectors])
                found[k] = device.readout.matrix @ volts + device.readout.offset
                errors[row, k] = _relative(found[k], exact[k])
    return found, errors[0], errors[1]


def _relative(found: FloatArray, known: FloatArray) -> float:
    size = float(np.linalg.norm(known))
    return float(np.linalg.norm(found - known)) / size if size > 0 else float(np.linalg.norm(found - known))


def _times_for_json(times: Sequence[float] | FloatArray) -> list[float | str]:
    """JSON has no infinity."""
    return [float(t) if np.isfinite(t) else "infinite" for t in times]
