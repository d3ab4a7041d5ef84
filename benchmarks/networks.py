"""Thermodynamic networks: Euler-Maruyama steps of a network of quartic units, by the project and by its peers."""

from __future__ import annotations

import time
from typing import Any

import adapter
import numpy as np
from harness import best_blas_threads
from machine import version
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


def classifier() -> spu.ThermodynamicNetwork:
    """74 units, all to all: 64 hidden ones and 10 outputs, as large as what classifies 28 x 28 pixels."""
    return network(74)


def generator() -> spu.ThermodynamicNetwork:
    """1,296 units: 784 pixels without couplings among them, and 512 hidden units, at kT = 0.1."""
    J = np.array(network(1296).couplings)
    J[:784, :784] = 0.0
    return spu.ThermodynamicNetwork(1.0, 0.0, 1.0, couplings=J, kT=0.1, units=1296)


class Learning:
    """The project in a network's own units, as training and generating run it: no circuit is compiled."""

    def __init__(self, net: spu.ThermodynamicNetwork, count: int, steps: int, threads: int, precision: str) -> None:
        self.prepared = adapter.NetworkRun.of_equation(net, STEP, precision)
        self.count, self.steps, self.threads = count, steps, threads
        self.units = float(count * steps)

    def run(self) -> FloatArray:
        """Timed; returns the final states."""
        return self.prepared.run(count=self.count, steps=self.steps, seed=0, threads=self.threads)


class Own:
    """The project, from the compiled circuit's equation on; ``precision`` is one of `adapter.PRECISIONS`."""

    def __init__(self, n: int, count: int, steps: int, threads: int, precision: str = "double") -> None:
        self.prepared = adapter.NetworkRun.compiled(network(n), STEP, precision)
        self.count, self.steps, self.threads = count, steps, threads
        self.units = float(count * steps)

    def run(self) -> FloatArray:
        """Timed; returns the final states in problem units."""
        return self.prepared.run(count=self.count, steps=self.steps, seed=0, threads=self.threads)


class NumpyNetwork:
    """What one writes in a few lines: one product a step for all trajectories; in double precision unless told."""

    packages = ("numpy",)

    def __init__(self, dtype: type = np.float64) -> None:
        self.dtype: Any = dtype
        self.name = "numpy" if dtype is np.float64 else f"numpy {dtype.__name__}"
        self.version = version("numpy")

    def prepare(self, n: int, *, count: int, steps: int, threads: int) -> None:
        """Arrays made beforehand."""
        net, self.steps = network(n), steps
        self.couplings, self.cubic, self.linear, self.input = (
            np.asarray(a, dtype=self.dtype) for a in (net.couplings, 4 * net.J4, 2 * net.J2, net.input)
        )
        self.root = float(np.sqrt(2 * net.kT * STEP))
        self.normals, self.pull = np.empty((2, count, n), dtype=self.dtype)
        self.units = float(count * steps)
        self.blas = best_blas_threads(lambda: self._work(min(steps, 5)), threads)
        self.settings = (
            f"x @ J, in place, {self.dtype.__name__}, Generator(PCG64).standard_normal(out=); BLAS threads: {self.blas}"
        )

    def run(self) -> FloatArray:
        """Timed; returns the final states."""
        return self._work(self.steps)

    def _work(self, steps: int) -> FloatArray:
        rng, x = np.random.default_rng(0), np.zeros_like(self.normals)
        for _ in range(steps):
            rng.standard_normal(out=self.normals, dtype=self.dtype)
            np.matmul(x, self.couplings, out=self.pull)
            x -= STEP * (self.pull + (self.cubic * x * x + self.linear) * x - self.input)
            x += self.root * self.normals
        return x


class TorchNetwork:
    """A plain loop of torch on the CPU, single precision: randn, one product a step for all trajectories, in place."""

    name = "torch"
    packages = ("torch",)
    blas = None
    install = "pip install torch --index-url https://download.pytorch.org/whl/cpu"

    def __init__(self) -> None:
        self.version = version("torch")

    def prepare(self, net: spu.ThermodynamicNetwork, *, count: int, steps: int, threads: int) -> None:
        """Tensors made beforehand."""
        import torch

        self.torch, self.steps = torch, steps
        self.couplings, self.cubic, self.linear, self.input = (
            torch.tensor(np.asarray(a, dtype=np.float32)) for a in (net.couplings, 4 * net.J4, 2 * net.J2, net.input)
        )
        self.root = float(np.sqrt(2 * net.kT * STEP))
        self.normals, self.pull = (torch.empty(count, net.n) for _ in range(2))
        self.units = float(count * steps)
        taken = {}
        for some in sorted({1, threads}):  # on a busy machine the more threads are the slower
            torch.set_num_threads(some)
            self._work(2)
            before = time.perf_counter()
            self._work(min(steps, 20))
            taken[some] = time.perf_counter() - before
        best = min(taken, key=lambda some: taken[some])
        torch.set_num_threads(best)
        self.settings = (
            "torch.randn(out=), torch.matmul(out=), float32, on the CPU; "
            f"threads: {best}, the faster of {' and '.join(map(str, taken))}"
        )

    def run(self) -> FloatArray:
        """Timed; returns the final states."""
        return self._work(self.steps)

    def _work(self, steps: int) -> FloatArray:
        torch = self.torch
        torch.manual_seed(0)
        x = torch.zeros_like(self.normals)
        with torch.no_grad():
            for _ in range(steps):
                torch.randn(x.shape, out=self.normals)
                torch.matmul(x, self.couplings, out=self.pull)
                x -= STEP * (self.pull + (self.cubic * x * x + self.linear) * x - self.input)
                x += self.root * self.normals
        return np.asarray(x.numpy())


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
