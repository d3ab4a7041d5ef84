"""The one place where the benchmark calls the project's kernels: when their interface changes, change this file only.

Everything else speaks of a `Sampler` built once from a law (or a step) and run many times.
"""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

import spu
from spu.base.kernels import library
from spu.device.lower import lower
from spu.emulator.dynamics import all_linear, device_law, forget_laws
from spu.emulator.equations.langevin import Langevin, langevin, langevin_of_network
from spu.emulator.laws.propagate import Step
from spu.emulator.laws.stationary import Stationary
from spu.emulator.runs import langevin_run
from spu.emulator.runs.noise import BLOCK, fill_normals, key_of
from spu.emulator.runs.run import (
    Method,
    dense_method,
    independent_method,
    method_of_steps,
    modal_method,
    run,
)
from spu.emulator.runs.sampling import Sampling, simulate_linear
from spu.problems.problem import LinearProblem

FloatArray = NDArray[np.float64]

VERSION = spu.__version__

KERNELS = library.text("processor_class")
"""Which of the project's kernels run here."""

_PRECISION = "precision" in inspect.signature(langevin_run.run).parameters

PRECISIONS = ("double", "single") if _PRECISION else ("double",)
"""In which networks can be stepped."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (p,) and covariance (p, p) of the probes' deviations from the law's mean."""

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, eq=False)
class Sampler:
    """Exact trajectories of one law at one interval, prepared."""

    method: Method
    size: int
    """States, d."""
    rank: int
    """Normals a step and trajectory, r."""

    def run(self, *, steps: int, count: int, seed: int, threads: int) -> None:
        """Advance ``count`` trajectories by ``steps``, keeping nothing: the state update alone, for timing."""
        run(self.method, trajectories=count, steps=steps, seed=seed, threads=threads, count=False)

    def moments(self, *, steps: int, count: int, seed: int, threads: int) -> Moments:
        """Moments of the probes over ``count`` trajectories of ``steps`` readouts, storing no trajectory."""
        sums = run(self.method, trajectories=count, steps=steps, seed=seed, threads=threads)
        return Moments(sums.mean, sums.autocovariance[0])

    def record(self, *, steps: int, count: int, seed: int, threads: int) -> FloatArray:
        """The probes' deviations themselves, (steps, count, p)."""
        return np.swapaxes(
            run(self.method, trajectories=count, steps=steps, seed=seed, threads=threads, every=1).kept, 0, 1
        )


def sampler(law: Stationary, interval: float) -> Sampler:
    """Prepare exact trajectories of a law's probes, all states together, ``interval`` seconds apart."""
    method = dense_method(law, interval)
    return Sampler(method, method.rows, method.step.matrix.shape[1] - method.rows)


def sampler_of_step(step: Step) -> Sampler:
    """The same from a given step whose stationary covariance is the unit matrix; the probes are the states."""
    unit = np.eye(len(step.transition))
    return Sampler(method_of_steps(unit, step, unit), len(unit), step.factor.shape[1])


def modal_sampler(device: spu.Device, interval: float) -> Sampler:
    """Trajectories of a nominal SPU, one 2 x 2 step a mode, ``interval`` seconds apart; probes are its voltages."""
    modes = device_law(device).modes
    assert modes is not None
    return Sampler(modal_method(modes, interval), 2 * len(modes.variance), 2 * len(modes.variance))


def independent_samples(law: Stationary, *, samples: int, seed: int, threads: int) -> FloatArray:
    """Independent draws of the probes from the stationary law, (samples, p), V."""
    drawn = run(independent_method(law), trajectories=1, steps=samples, seed=seed, threads=threads, every=1)
    return drawn.kept[0] + law.voltage_mean


def normals(count: int, seed: int, threads: int) -> None:
    """Generate ``count`` standard normals with the project's own generator on so many threads, keeping none."""
    key, columns = key_of(seed), np.arange(4096, dtype=np.uint64)

    def share(number: int) -> None:
        out = np.empty((4 * BLOCK, len(columns)))
        who = np.full(len(columns), number, dtype=np.uint64)
        for first in range(0, count // threads, out.size):
            fill_normals(out, np.uint64(0), key, columns + np.uint64(first), who)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))


def simulate(
    device: spu.Device, *, samples: int, interval: float, trajectories: int, seed: int, threads: int
) -> object:
    """The public way to moments: everything from the device to covariance and error bars."""
    forget_laws(device)
    return spu.simulate(
        device, samples=samples, interval=interval, trajectories=trajectories, seed=seed, threads=threads, trace=0
    )


def predict(device: spu.Device) -> spu.Prediction:
    """The public prediction, of a device that was never seen before."""
    forget_laws(device)
    return spu.predict(device)


def compile_and_predict(precision: FloatArray) -> spu.Prediction:
    """From a precision matrix that was never seen before to the prediction: no files."""
    return spu.predict(spu.compile(spu.GaussianSampling(precision=precision), hardware="ideal"))


def law_of(device: spu.Device) -> Stationary:
    """The stationary law of a device."""
    return device_law(device)


class NetworkRun:
    """Euler-Maruyama steps of a network's equation.

    Parameters
    ----------
    equation, step:
        In the equation's own units.
    precision:
        One of `PRECISIONS`.
    """

    def __init__(self, equation: Langevin, step: float, precision: str) -> None:
        self.equation, self.step = equation, step
        self.options: dict[str, Any] = {"precision": precision} if _PRECISION else {}

    @classmethod
    def compiled(cls, network: spu.ThermodynamicNetwork, step: float, precision: str) -> NetworkRun:
        """From the circuit that it is compiled to; the step is in units of the problem's time."""
        made = spu.compile_network(network)
        return cls(langevin(lower(made.device)), step * made.scales.time, precision)

    @classmethod
    def of_equation(cls, network: spu.ThermodynamicNetwork, step: float, precision: str) -> NetworkRun:
        """From the network itself, in its own units, without any circuit."""
        made = cls(langevin_of_network(network), step, precision)
        made.options["ghosts"] = False  # as those do whose steps are known to do
        return made

    def run(self, *, count: int, steps: int, seed: int, threads: int) -> FloatArray:
        """(count, n) final states, in the problem's units, of trajectories that start at zero."""
        grid = langevin_run.Grid.of(
            np.array([steps * self.step]), np.empty(0), lambda at: np.full(len(at), self.step), refined=False
        )
        found = langevin_run.run(
            self.equation,
            grid=grid,
            trajectories=count,
            seed=seed,
            scheme="euler-maruyama",
            threads=threads,
            **self.options,
        )
        return self.equation.read(found.states[0])


class Linalg:
    """A task of linear algebra by one trajectory of a compiled device, from rest; units of its drift are those of A.

    Parameters
    ----------
    task:
        ``solve``, ``inv`` or ``expnegm``, of a symmetric positive definite A.
    A, b:
        (n, n) and (n,).
    samples:
        Readouts, ``dt`` (1) apart in units of the drift.
    threads:
        At most.
    """

    dt = 1.0

    def __init__(self, task: str, A: FloatArray, b: FloatArray, *, samples: int, threads: int) -> None:
        self.task, self.A, self.b, self.samples, self.threads = task, A, b, samples, threads
        self.exact = {
            "solve": lambda: np.linalg.solve(A, b),
            "inv": lambda: np.linalg.inv(A),
            "expnegm": lambda: la.expm(-A),
        }[task]()
        # White noise of density 1 in all coordinates, as thermox.linalg.solve has it: the covariance is A^-1 / 2.
        self.noise = float(np.sqrt(np.trace(np.linalg.inv(A)) / 2 / len(A)) / np.sqrt(np.mean(self.exact**2)))
        device = self._device()
        self.unit = (
            float(spu.predict(device).time_constants.max() * np.linalg.eigvalsh(A)[0])
            if device.scales is None
            else device.scales.time
        )

    def _device(self) -> spu.Device:
        if self.task == "solve":
            return spu.compile(spu.GeneralSystem(self.A, self.b, method="direct", noise=self.noise))
        if self.task == "inv":
            return spu.compile(spu.MatrixInverse(self.A), architecture="rc-transconductor")
        return spu.compile(spu.MatrixExponential(-self.A, 1.0))

    def run(self, seed: int = 0) -> tuple[float, float]:
        """From the matrix to the answer: its relative error, and the one that is expected."""
        device = self._device()
        interval = self.dt * self.unit
        how = Sampling(
            samples=self.samples,
            interval=interval,
            trajectories=1,
            seed=seed,
            trace=0,
            threads=self.threads,
            burn_in=interval,
        )
        assert isinstance(device.problem, LinearProblem)
        made = simulate_linear(all_linear(device, "no answer"), device.problem, how)
        answer = device.problem.kind.answer
        found = device.problem.solution(answer.of(*made.moments_for(answer)))
        assert made.expected_relative_error is not None
        return self.error(found), made.expected_relative_error

    def error(self, found: FloatArray) -> float:
        """Relative, Frobenius."""
        return float(np.linalg.norm(found - self.exact) / np.linalg.norm(self.exact))
