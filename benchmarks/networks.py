"""Thermodynamic networks: Euler-Maruyama steps of a network of quartic units, by the project and by its peers."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import best_blas_threads, version
from numpy.typing import NDArray

import spu

FloatArray = NDArray[np.float64]

STEP = 1e-3
"""In units of the problem's time: that of the published runs."""


def network(n: int) -> spu.ThermodynamicNetwork:
    """N units, all to all, couplings of mixed signs that shrink with n so that all sizes move alike."""
    rng = np.random.default_rng(n)
    J = np.triu(rng.normal(size=(n, n)) / np.sqrt(n), 1)
    return spu.ThermodynamicNetwork(1.0, 0.0, 1.0, input=rng.normal(size=n), couplings=J + J.T, units=n)


class Own:
    """The project, from the compiled circuit's equation on."""

    def __init__(self, n: int, count: int, steps: int, threads: int) -> None:
        from spu.device.lower import lower
        from spu.emulator.equations.langevin import langevin

        made = spu.compile_network(network(n))
        self.equation, self.second = langevin(lower(made.device)), made.scales.time
        self.count, self.steps, self.threads = count, steps, threads
        self.units = float(count * steps)

    def run(self) -> FloatArray:
        """Timed; returns the final states in problem units."""
        from spu.emulator.runs.langevin_run import Grid, run

        step = STEP * self.second
        found = run(
            self.equation,
            grid=Grid.of(np.array([self.steps * step]), np.empty(0), lambda at: np.full(len(at), step), refined=False),
            trajectories=self.count,
            seed=0,
            scheme="euler-maruyama",
            threads=self.threads,
        )
        return self.equation.read(found.states[0])


class NumpyNetwork:
    """What one writes in a few lines: one product a step for all trajectories."""

    name = "numpy"
    packages = ("numpy",)

    def __init__(self) -> None:
        self.version = version("numpy")

    def prepare(self, n: int, *, count: int, steps: int, threads: int) -> None:
        """Arrays made beforehand."""
        self.network, self.steps = network(n), steps
        self.normals, self.pull = np.empty((2, count, n))
        self.units = float(count * steps)
        self.blas = best_blas_threads(lambda: self._work(min(steps, 5)), threads)
        self.settings = f"x @ J, in place, Generator(PCG64).standard_normal(out=); BLAS threads: {self.blas}"

    def run(self) -> FloatArray:
        """Timed."""
        return self._work(self.steps)

    def _work(self, steps: int) -> FloatArray:
        net, rng = self.network, np.random.default_rng(0)
        x, root = np.zeros_like(self.normals), np.sqrt(2 * net.kT * STEP)
        for _ in range(steps):
            rng.standard_normal(out=self.normals)
            np.matmul(x, net.couplings, out=self.pull)
            x -= STEP * (self.pull + (4 * net.J4 * x * x + 2 * net.J2) * x - net.input)
            x += root * self.normals
        return x


class DiffraxNetwork:
    """diffrax's Euler on the same equation: fixed steps, compiled, all trajectories in one batched state."""

    name = "diffrax Euler"
    packages = ("diffrax", "jax")
    blas = None

    def __init__(self) -> None:
        self.version = version("diffrax")

    def prepare(self, n: int, *, count: int, steps: int, threads: int) -> None:  # noqa: ARG002
        """Compile."""
        import diffrax
        from peers import _jax

        jax = _jax()
        net = network(n)
        J, J2, J4, field = (jax.numpy.array(a) for a in (net.couplings, net.J2, net.J4, net.input))
        root = float(np.sqrt(2 * net.kT))

        def drift(t: Any, x: Any, args: Any) -> Any:  # noqa: ARG001
            return field - x @ J - (4 * J4 * x * x + 2 * J2) * x

        def end(key: Any, x0: Any) -> Any:
            brownian = diffrax.UnsafeBrownianPath(shape=(count, n), key=key)
            noise = diffrax.WeaklyDiagonalControlTerm(lambda t, x, args: jax.numpy.full((count, n), root), brownian)  # noqa: ARG005
            return diffrax.diffeqsolve(
                diffrax.MultiTerm(diffrax.ODETerm(drift), noise),
                diffrax.Euler(),
                t0=0.0,
                t1=steps * STEP,
                dt0=STEP,
                y0=x0,
                saveat=diffrax.SaveAt(t1=True),
                max_steps=None,
                adjoint=diffrax.ForwardMode(),
            ).ys

        self._end, self._key, self._start = jax.jit(end), jax.random.PRNGKey(0), np.zeros((count, n))
        self.units = float(count * steps)
        self.settings = f"Euler, constant steps, UnsafeBrownianPath, jit, one state of {count} x {n}; on CPU, x64"

    def run(self) -> FloatArray:
        """Timed."""
        return np.asarray(self._end(self._key, self._start).block_until_ready())[0]
