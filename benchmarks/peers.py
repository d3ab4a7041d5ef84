"""The peers, each at its best: one small class each, with its version, its settings and how it is prepared.

A trajectory peer is prepared once (everything that may be done before, compilation included), then ``run`` is
timed, with ``blas`` threads for linear algebra (None: as many as all have). ``sample`` returns readouts for the
correctness check and ``law`` the covariance that its recursion tends to, from its formulas: so a peer's bias is
told apart from its sampling error.
"""

from __future__ import annotations

import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.linalg as la
from harness import best_blas_threads
from machine import version
from numpy.typing import NDArray
from problems import noise_factor

import spu
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.crosscheck.context import Context
from spu.crosscheck.levels.recording import SETTLE
from spu.crosscheck.statistics.sampled import SampledLaw
from spu.device.lower import lower
from spu.emulator.laws.propagate import Step, exact_step
from spu.emulator.laws.stationary import Stationary
from spu.spice.deck import read_deck
from spu.spice.netlist import netlist
from spu.spice.simulators import find_simulator
from spu.spice.simulators.analyses import Transient

FloatArray = NDArray[np.float64]

BIAS = 0.01
"""Relative (Frobenius) error of the covariance that a method with a time step may have."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What all trajectory peers get: ``dz = A z dt + B dW`` in the project's unit of time, read every ``interval``.

    Attributes
    ----------
    A, B, H:
        (n, n) drift, (n, r) noise with r its rank, (p, n) readout.
    covariance:
        (n, n) exact, of z.
    interval:
        In the unit of time of A.
    step:
        Exact, over ``interval``.
    """

    A: FloatArray
    B: FloatArray
    H: FloatArray
    covariance: FloatArray
    interval: float
    step: Step


def problem_of(law: Stationary, interval: float) -> Problem:
    """From a law and an interval in seconds."""
    dense = law.dense
    return Problem(
        dense.A, noise_factor(dense.B), dense.H, law.covariance, interval / dense.time, exact_step(dense, interval)
    )


def missing(*packages: str) -> str:
    """Why a peer cannot run; empty if it can."""
    try:
        for package in packages:
            importlib.import_module(package)
    except ModuleNotFoundError:
        return "not installed"
    except ImportError as error:
        return f"does not load: {error}"
    return ""


def _root(covariance: FloatArray) -> FloatArray:
    """Lower Cholesky factor."""
    return np.asarray(la.cholesky(covariance, lower=True))


class NumpyExact:
    """What one writes in two lines: ``x = x @ Phi.T + z @ L.T`` for a batch."""

    name = "numpy"
    settings = "x @ Phi.T + z @ L.T, all trajectories in one product, Generator(PCG64).standard_normal(out=)"
    packages = ("numpy",)

    def __init__(self) -> None:
        self.version = version("numpy")

    def prepare(self, problem: Problem, *, count: int, steps: int, threads: int) -> None:
        """Transposes stored in the order that the products read."""
        self.problem, self.steps = problem, steps
        self.transition = np.asfortranarray(problem.step.transition).T
        self.factor = np.asfortranarray(problem.step.factor).T
        self.normals = np.empty((count, len(self.factor)))
        self.units = float(count * steps)
        self.blas = best_blas_threads(lambda: self._work(0, min(steps, 20)), threads)
        self.settings = f"{type(self).settings}; BLAS threads: {self.blas}, the faster of 1 and {threads}"

    def run(self, seed: int = 0) -> None:
        """Timed."""
        self._work(seed, self.steps)

    def _work(self, seed: int, steps: int) -> None:
        rng, x = np.random.default_rng(seed), np.zeros((len(self.normals), len(self.transition)))
        for _ in range(steps):
            rng.standard_normal(out=self.normals)
            x = x @ self.transition + self.normals @ self.factor

    def sample(self, seed: int = 0) -> FloatArray:
        """(steps, count, p) readouts from a stationary start."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((len(self.normals), len(self.transition))) @ _root(self.problem.covariance).T
        out = []
        for _ in range(self.steps):
            x = x @ self.transition + rng.standard_normal(self.normals.shape) @ self.factor
            out.append(x @ self.problem.H.T)
        return np.array(out)

    def law(self, problem: Problem) -> FloatArray:
        """(n, n) covariance that the recursion tends to."""
        return _discrete(problem.step.transition, problem.step.factor @ problem.step.factor.T)


def _discrete(transition: FloatArray, covariance: FloatArray) -> FloatArray:
    """Solve ``P = Phi P Phi^T + Q`` by doubling, which holds its digits however small a step is."""
    while np.abs(transition).max() > 1e-18:
        covariance = covariance + transition @ covariance @ transition.T
        transition = transition @ transition
        if not np.isfinite(covariance).all():
            break
    return covariance


def bias(problem: Problem, covariance: FloatArray) -> float:
    """Relative Frobenius error of the readout's covariance."""
    exact = problem.H @ problem.covariance @ problem.H.T
    return float(np.linalg.norm(problem.H @ covariance @ problem.H.T - exact) / np.linalg.norm(exact))


def substeps(problem: Problem, law: Any) -> int:
    """The fewest steps in an interval that keep the bias below `BIAS`; ``law(step)`` is a method's covariance."""
    with np.errstate(all="ignore"):

        def fine(count: int) -> bool:
            found = bias(problem, law(problem.interval / count))
            return bool(np.isfinite(found) and found <= BIAS)

        high = 1
        while not fine(high):
            high *= 2
        low = high // 2
        while high - low > max(1, high // 200):
            middle = (low + high) // 2
            low, high = (low, middle) if fine(middle) else (middle, high)
    return high


class NumpyEuler:
    """Euler-Maruyama in numpy, with the step that a 1 % bias of the covariance allows."""

    name = "numpy Euler-Maruyama"
    packages = ("numpy",)
    settings = ""

    def __init__(self) -> None:
        self.version = version("numpy")

    def _law(self, problem: Problem, step: float) -> FloatArray:
        return _discrete(np.eye(len(problem.A)) + problem.A * step, problem.B @ problem.B.T * step)

    def prepare(self, problem: Problem, *, count: int, steps: int, threads: int) -> None:
        """Choose the step."""
        self.problem, self.steps = problem, steps
        self.substeps = substeps(problem, lambda h: self._law(problem, h))
        h = problem.interval / self.substeps
        self.settings = (
            f"x += h A x + sqrt(h) B z for a batch, PCG64; bias 1 % needs {self.substeps} steps an interval "
            f"of {problem.interval:.3g} (h = {h:.3g} in units where |A| = 1)"
        )
        self.transition = np.asfortranarray(np.eye(len(problem.A)) + problem.A * h).T
        self.factor = np.asfortranarray(problem.B * np.sqrt(h)).T
        self.normals = np.empty((count, len(self.factor)))
        self.units = float(count * steps)
        x = np.zeros((count, len(problem.A)))
        self.blas = best_blas_threads(lambda: self._advance(np.random.default_rng(0), x, 20), threads)
        self.settings += f"; BLAS threads: {self.blas}, the faster of 1 and {threads}"

    def _advance(self, rng: np.random.Generator, x: FloatArray, steps: int) -> FloatArray:
        for _ in range(steps):
            rng.standard_normal(out=self.normals)
            x = x @ self.transition + self.normals @ self.factor
        return x

    def run(self, seed: int = 0) -> None:
        """Timed; units are intervals."""
        rng, x = np.random.default_rng(seed), np.zeros((len(self.normals), len(self.transition)))
        for _ in range(self.steps):
            x = self._advance(rng, x, self.substeps)

    def sample(self, seed: int = 0) -> FloatArray:
        """(steps, count, p) readouts, started in the method's own law."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((len(self.normals), len(self.transition))) @ _root(self.law(self.problem)).T
        out = []
        for _ in range(self.steps):
            x = self._advance(rng, x, self.substeps)
            out.append(x @ self.problem.H.T)
        return np.array(out)

    def law(self, problem: Problem) -> FloatArray:
        """(n, n) covariance that the recursion tends to."""
        return self._law(problem, problem.interval / self.substeps)


def _jax() -> Any:
    """JAX in double precision, as everybody else here."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


class Thermox:
    """thermox: exact Ornstein-Uhlenbeck sampling with JAX, where drift and diffusion allow it.

    Parameters
    ----------
    documented:
        The call of its documentation, ``thermox.sample(key, ts, x0, A, b, D)`` for one trajectory, arrays as
        they are. Otherwise preprocessed, compiled and vmapped, and whichever of its two scans is faster.
    """

    name = "thermox"
    packages = ("thermox", "jax")
    blas = None

    def __init__(self, *, documented: bool = False) -> None:
        self.documented = documented
        self.version = version("thermox")
        self.settings = ""

    def prepare(self, problem: Problem, *, count: int, steps: int, threads: int) -> None:  # noqa: ARG002
        """Preprocess, compile, choose the faster scan; the documented call does all that itself each time."""
        import thermox

        jax = _jax()
        self.jax, self.problem, self.count = jax, problem, count
        jnp = jax.numpy
        times = jnp.arange(steps + 1) * problem.interval
        A, D = jnp.array(-problem.A), jnp.array(problem.B @ problem.B.T)
        b = jnp.zeros(len(problem.A))
        self.units = float(count * steps)
        versions = f"jax {version('jax')} on CPU, jax_enable_x64"
        if self.documented:
            if count != 1:
                raise ValueError("the documented call runs one trajectory")
            self.call = lambda keys, x0: thermox.sample(keys[0], times, x0[0], A, b, D)[None]
            self.settings = f"thermox.sample(key, ts, x0, A, b, D), one trajectory of {steps} steps; {versions}"
            return
        drift, diffusion = thermox.preprocess(A, D)
        best = np.inf
        for associative in (True, False):

            def one(key: Any, x0: Any, associative: bool = associative) -> Any:
                return thermox.sample(key, times, x0, drift, b, diffusion, associative_scan=associative)

            call = jax.jit(jax.vmap(one))
            keys, x0 = jax.random.split(jax.random.PRNGKey(0), count), jnp.zeros((count, len(b)))
            call(keys, x0).block_until_ready()
            before = time.perf_counter()
            call(keys, x0).block_until_ready()
            if (taken := time.perf_counter() - before) < best:
                best, self.call = taken, call
                self.settings = (
                    f"preprocessed, jit(vmap) over {count} trajectories of {steps} steps, "
                    f"associative_scan={associative} (the faster); {versions}"
                )

    def run(self, seed: int = 0) -> None:
        """Timed."""
        keys = self.jax.random.split(self.jax.random.PRNGKey(seed), self.count)
        self.call(keys, np.zeros((self.count, len(self.problem.A)))).block_until_ready()

    def sample(self, seed: int = 0) -> FloatArray:
        """(steps, count, p) readouts from a stationary start."""
        start = np.random.default_rng(seed).standard_normal((self.count, len(self.problem.A)))
        keys = self.jax.random.split(self.jax.random.PRNGKey(seed), self.count)
        found = np.asarray(self.call(keys, start @ _root(self.problem.covariance).T))
        return np.asarray(np.swapaxes(found[:, 1:], 0, 1) @ self.problem.H.T)

    def law(self, problem: Problem) -> FloatArray:
        """(n, n) covariance that its recursion tends to.

        In coordinates where the diffusion matrix is 1 it takes ``int_0^h expm(-2 S s) ds`` with S the
        symmetric part of the drift for the covariance of a step, which holds for a normal drift only.
        """
        root = la.cholesky(problem.B @ problem.B.T, lower=True)
        drift = la.solve_triangular(root, -problem.A @ root, lower=True)
        rates, vectors = la.eigh((drift + drift.T) / 2)
        with np.errstate(all="ignore"):
            spread = root @ vectors * np.sqrt(-np.expm1(-2 * rates * problem.interval) / (2 * rates))
            return _discrete(problem.step.transition, spread @ spread.T)


class ThermoxLinalg:
    """thermox.linalg: a task of linear algebra by averages over one exact Ornstein-Uhlenbeck trajectory from rest.

    Parameters
    ----------
    task:
        ``solve``, ``inv`` or ``expnegm``.
    compiled:
        The same call under ``jax.jit``; otherwise as its documentation calls it, arrays as they are.
    """

    name = "thermox linalg"
    packages = ("thermox", "jax")
    blas = None

    def __init__(self, task: str, *, compiled: bool = False) -> None:
        self.task, self.compiled = task, compiled
        self.version = version("thermox")
        self.settings = ""

    def prepare(self, A: FloatArray, b: FloatArray, *, samples: int, dt: float) -> None:
        """Take the matrix, compile if that is asked for."""
        import thermox.linalg

        jax = _jax()
        self.jax = jax
        call = getattr(thermox.linalg, self.task)
        given = tuple(map(jax.numpy.array, (A, b) if self.task == "solve" else (A,)))

        def once(key: Any) -> Any:
            return call(*given, num_samples=samples, dt=dt, key=key)

        self.call = jax.jit(once) if self.compiled else once
        self.settings = (
            f"thermox.linalg.{self.task}, {samples} samples {dt:.3g} apart"
            f"{', jit' if self.compiled else ', as documented'}; jax {version('jax')} on CPU, jax_enable_x64"
        )

    def run(self, seed: int = 0) -> FloatArray:
        """Timed: the matrix in, the answer out."""
        return np.asarray(self.call(self.jax.random.PRNGKey(seed)).block_until_ready())


class Diffrax:
    """diffrax with the solver that it recommends for additive noise, fixed steps, vmapped."""

    name = "diffrax ShARK"
    packages = ("diffrax", "jax")
    blas = None
    settings = ""

    def __init__(self) -> None:
        self.version = version("diffrax")

    def _law(self, problem: Problem, h: float) -> FloatArray:
        """Covariance of its linear recursion: ShARK's two stages on ``A z``, with W ~ h and H ~ h/12."""
        one, A = np.eye(len(problem.A)), problem.A * h
        first, second = (one + A / 2) @ problem.B, (A + A @ A / 2) @ problem.B
        return _discrete(one + A + A @ A / 2, first @ first.T * h + second @ second.T * (h / 12))

    def prepare(self, problem: Problem, *, count: int, steps: int, threads: int) -> None:  # noqa: ARG002
        """Choose the step, compile."""
        import diffrax

        jax = _jax()
        self.jax, self.problem, self.count = jax, problem, count
        jnp = jax.numpy
        self.substeps = substeps(problem, lambda h: self._law(problem, h))
        h = problem.interval / self.substeps
        A, B = jnp.array(problem.A), jnp.array(problem.B)
        self.units = float(count * steps)

        def solver(saveat: Any) -> Any:
            def one(key: Any, x0: Any) -> Any:
                brownian = diffrax.UnsafeBrownianPath(shape=(B.shape[1],), key=key, levy_area=diffrax.SpaceTimeLevyArea)
                terms = diffrax.MultiTerm(
                    diffrax.ODETerm(lambda t, y, args: A @ y),  # noqa: ARG005
                    diffrax.ControlTerm(lambda t, y, args: B, brownian),  # noqa: ARG005
                )
                return diffrax.diffeqsolve(
                    terms,
                    diffrax.ShARK(),
                    t0=0.0,
                    t1=steps * problem.interval,
                    dt0=h,
                    y0=x0,
                    saveat=saveat,
                    max_steps=None,
                    adjoint=diffrax.ForwardMode(),
                ).ys

            return jax.jit(jax.vmap(one))

        self.end = solver(diffrax.SaveAt(t1=True))
        self.path = solver(diffrax.SaveAt(ts=(jnp.arange(steps) + 1) * problem.interval))
        self.settings = (
            f"ShARK (recommended for additive noise), constant steps, UnsafeBrownianPath, jit(vmap) over {count}, "
            f"last value saved; bias 1 % needs {self.substeps} steps an interval; jax {version('jax')} on CPU, x64"
        )

    def _keys(self, seed: int) -> Any:
        return self.jax.random.split(self.jax.random.PRNGKey(seed), self.count)

    def run(self, seed: int = 0) -> None:
        """Timed; units are intervals."""
        self.end(self._keys(seed), np.zeros((self.count, len(self.problem.A)))).block_until_ready()

    def sample(self, seed: int = 0) -> FloatArray:
        """(steps, count, p) readouts, started in the method's own law."""
        start = np.random.default_rng(seed).standard_normal((self.count, len(self.problem.A)))
        found = np.asarray(self.path(self._keys(seed), start @ _root(self.law(self.problem)).T))
        return np.asarray(np.swapaxes(found, 0, 1) @ self.problem.H.T)

    def law(self, problem: Problem) -> FloatArray:
        """(n, n) covariance that the recursion tends to."""
        return self._law(problem, problem.interval / self.substeps)


class Ngspice:
    """ngspice's transient analysis with noise sources: the project's netlist, in the project's child process.

    Attributes
    ----------
    interval:
        s for which a noise sample is held, and between readouts.
    burn:
        Samples left out: it starts from the operating point.
    predicted:
        (p, p) V^2: exact covariance under noise that is sampled and held so.
    """

    name = "ngspice"
    packages = ()

    def __init__(self, device: spu.Device, *, threads: int) -> None:
        self.threads = threads
        with TemporaryDirectory(prefix="spu-bench-") as scratch:
            path = Path(scratch) / "device.cir"
            path.write_text(netlist(device))
            self.context = Context(lower(device), None, None, read_deck(path), time_limit=600.0)
        self.interval = self.context.timing.sample_time
        self.burn = int(np.ceil(SETTLE * self.context.timing.slowest / self.interval))
        rms = UNIT_NOISE_DENSITY / np.sqrt(2.0 * self.interval)
        slowest = self.context.timing.slowest
        self.predicted = SampledLaw(self.context.law.dense, self.interval, rms, slowest).covariance
        # Sources are breakpoints, after which it takes small steps anyway: a finer limit costs accuracy nothing
        # and a coarser one gains no time.
        self.limit = self.context.step(self.interval, 2)
        self.settings = (
            f".tran with trrandom sources held for {self.interval:.3g} s, step limit {self.limit:.3g} s, "
            f"{threads} processes with seeds of their own"
        )
        self.version = self.context.simulator.version()

    @staticmethod
    def missing() -> str:
        """Why it cannot run; empty if it can."""
        return "" if find_simulator("ngspice").available() else "not installed"

    def _one(self, samples: int, seed: int) -> FloatArray:
        vectors = self.context.vectors
        transient = Transient(
            stop=samples * self.interval,
            limit=self.limit,
            interval=self.interval,
            vectors=vectors,
            from_zero=self.context.from_zero,
            seed=seed + 1,
        )
        assert self.context.deck is not None
        (found,) = self.context.run(self.context.deck.text(), transient)
        instants = np.arange(samples + 1) * self.interval
        at = np.clip(np.searchsorted(found["time"], instants - 1e-6 * self.interval), 0, len(found["time"]) - 1)
        return np.stack([found[vector][at] for vector in vectors], axis=1)

    def run(self, samples: int, seed: int) -> tuple[float, FloatArray]:
        """Seconds, and (samples, processes, p) readouts after the burn-in."""
        before = time.perf_counter()
        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(lambda k: self._one(samples, seed * self.threads + k), range(self.threads)))
        return time.perf_counter() - before, np.stack(found, axis=1)[self.burn + 1 :]
