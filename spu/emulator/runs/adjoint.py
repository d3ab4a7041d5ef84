r"""Pathwise gradients: what a loss of the last states owes to every coefficient, through all the noisy steps.

Euler-Maruyama steps ``x' = x + h mu f(x) + sqrt(h) d z`` of the force ``f = field + own - S x - q x^2 - c x^3`` are
differentiated as they are run, noise held fixed (the pathwise, or reparametrisation, gradient: Glasserman, Monte Carlo
Methods in Financial Engineering, 2004, 7.2). With ``lambda`` what the loss owes to a state and ``m = h mu lambda'``,

.. math::
    \lambda = \lambda' - S^T m - (2 q x + 3 c x^2)\, m, \qquad
    dS = -\sum m x^T, \quad dq = -\sum m x^2, \quad dc = -\sum m x^3, \quad d\,own = \sum m

over steps, and over trajectories where a coefficient is all trajectories'. The steps are those of
`spu.emulator.runs.langevin_run` with steps that are given: the same arithmetic on the same noise, so the last states
are the same bits. Loops: ``spu/base/kernels/c/adjoint.inc``.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.kernels.door import FORMATS, Kernel, Precision, aligned, floats, reals, words
from spu.base.kernels.products import Packed, pack, panel, resident
from spu.base.threads import available_threads
from spu.emulator.equations.langevin import Langevin
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs.noise import BLOCK, SAMPLES, key_of
from spu.emulator.runs.run import parallel

__all__ = ["Gradients", "Pathwise"]

GROUP = 2
"""Panels of a piece of work: what is summed within one, and in which order, does not depend on threads."""

_follow = {
    precision: Kernel(
        "follow_langevin",
        precision,
        law=kernels.LangevinLaw,
        key=words(2),
        h=float,
        trajectory=int,
        field=floats("n"),
        own=reals("panels", "n", "row"),
        path=reals("panels", "instants", "n", "row", written=True),
        pull=reals("n", "row", written=True),
        noise=reals("rows", "row", written=True),
        cache=int,
    )
    for precision in FORMATS
}

_retrace = {
    precision: Kernel(
        "retrace_langevin",
        precision,
        law=kernels.LangevinLaw,
        back=Packed,
        h=float,
        path=reals("panels", "instants", "n", "row"),
        slope=reals("panels", "n", "row", written=True),
        field=reals("panels", "n", "row", written=True),
        lever=reals("steps", "n", "row", written=True),
        pull=reals("n", "row", written=True),
        curved=reals(2, "n", "row", written=True),
        stiffness=floats("n", "n", written=True),
        bent=floats(2, "n", written=True),
        cache=int,
    )
    for precision in FORMATS
}


class Gradients(NamedTuple):
    """What the sum of all trajectories' losses owes to the coefficients of a `Langevin` equation.

    Attributes
    ----------
    stiffness:
        (n, n), every entry for itself: of reciprocal couplings add the transpose.
    quadratic, cubic:
        (n,).
    field:
        (trajectories, n) of each trajectory's constant field; its sum is that of the equation's.
    start:
        (trajectories, n).
    """

    stiffness: FloatArray
    quadratic: FloatArray
    cubic: FloatArray
    field: FloatArray
    start: FloatArray


class Pathwise:
    """Room for paths of a given size, used again from call to call.

    Parameters
    ----------
    n, trajectories, steps:
        Coordinates, paths and steps.
    precision:
        Number format of states, products and slopes; sums over trajectories are in doubles.
    threads:
        At most so many; changes no bit.

    Raises
    ------
    UsageError
        If a size is not 1 or more.
    """

    def __init__(
        self, n: int, trajectories: int, steps: int, *, precision: Precision = "double", threads: int | None = None
    ) -> None:
        for name, value in (("n", n), ("trajectories", trajectories), ("steps", steps)):
            if value < 1:
                raise UsageError(f"{name} is {value}: it must be 1 or more")
        self.n, self.trajectories, self.steps, self.precision = n, trajectories, steps, precision
        self.threads = threads or available_threads()
        row, dtype = panel(precision), FORMATS[precision]
        self._panels = -(-trajectories // row)
        rows = -(-n // BLOCK) * BLOCK
        self._path = aligned((self._panels, steps + 1, n, row), dtype)
        self._own, self._slope, self._field = (aligned((self._panels, n, row), dtype) for _ in range(3))
        self._groups = [slice(first, first + GROUP) for first in range(0, self._panels, GROUP)]
        count = len(self._groups)
        self._pull, self._noise = aligned((count, n, row), dtype), aligned((count, rows, row), dtype)
        self._lever, self._curved = aligned((count, steps, n, row), dtype), aligned((count, 2, n, row), dtype)
        self._law: kernels.LangevinLaw | None = None

    def _put(self, into: NDArray[Any], values: FloatArray) -> None:
        """(trajectories, n) values into (panels, n, row); places that are nobody's get zeros."""
        row = into.shape[-1]
        full = np.zeros((self._panels * row, self.n), dtype=into.dtype)
        full[: self.trajectories] = values
        into[:] = full.reshape(self._panels, row, self.n).transpose(0, 2, 1)

    def _take(self, held: NDArray[Any]) -> FloatArray:
        return np.asarray(
            held.transpose(0, 2, 1).reshape(-1, self.n)[: self.trajectories].astype(np.float64, order="C")
        )

    def forward(
        self,
        equation: Langevin,
        h: float,
        seed: int,
        *,
        own: Annotated[FloatArray, "trajectories n"] | None = None,
        start: Annotated[FloatArray, "trajectories n"] | Annotated[FloatArray, "n"] | None = None,
        first: int = 0,
    ) -> Annotated[FloatArray, "trajectories n"]:
        """Run the steps and keep the paths; the last states (trajectories, n).

        Parameters
        ----------
        equation:
            Of first order, its noises independent.
        h, seed:
            Step (in the equation's time) and of which noise.
        own, start:
            Fields of the trajectories beside the equation's; zero unless given, as the start.
        first:
            Number of the first trajectory, by which its noise is known.

        Raises
        ------
        UsageError
            For an equation of another kind or size.
        """
        if equation.mass is not None or equation.correlated:
            raise UsageError("gradients are of first-order equations with independent noises")
        if equation.varying is not None:
            raise UsageError("gradients are of devices that stay as they are: none is worked out under a ramp")
        if equation.n != self.n or not h > 0:
            raise UsageError(f"room for {self.n} coordinates and a positive step, not {equation.n} and {h}")
        deviation = np.sqrt((equation.noise**2).sum(axis=1))
        none = np.zeros(self.n)
        law = kernels.Law(
            np.ascontiguousarray(equation.stiffness),
            np.ascontiguousarray(equation.quadratic),
            np.ascontiguousarray(equation.cubic),
            np.ascontiguousarray(equation.mobility),
            deviation,
            np.empty((0, 0)),
            none,
            none,
            none,
            0.0,
            kernels.EULER_MARUYAMA,
            1,
            np.inf,
            0,
        )
        self._law, self._h = kernels.packed(law, self.precision), float(h)
        self._back = pack(np.ascontiguousarray(equation.stiffness.T), self.precision)
        self._put(self._own, np.zeros((1, self.n)) if own is None else own)
        self._put(self._path[:, 0], np.zeros((1, self.n)) if start is None else np.asarray(start))
        key, cache, row = key_of(seed, SAMPLES), resident(self.precision), panel(self.precision)
        field = np.ascontiguousarray(equation.field, dtype=np.float64)

        def one(number: int) -> None:
            part = self._groups[number]
            _follow[self.precision](
                *(self._law, key, self._h, first + part.start * row, field, self._own[part], self._path[part]),
                *(self._pull[number], self._noise[number], cache),
            )

        with parallel(min(len(self._groups), self.threads)) as each:
            each(one, range(len(self._groups)))
        return self._take(self._path[:, -1])

    def backward(self, slopes: Annotated[FloatArray, "trajectories n"]) -> Gradients:
        """What a loss with these slopes at the last states owes to everything; after `forward`.

        Raises
        ------
        UsageError
            If nothing has been run.
        """
        if self._law is None:
            raise UsageError("there is no path yet: forward comes first")
        self._put(self._slope, slopes)
        count, cache = len(self._groups), resident(self.precision)
        stiffness, bent = np.zeros((count, self.n, self.n)), np.zeros((count, 2, self.n))

        def one(number: int) -> None:
            part = self._groups[number]
            _retrace[self.precision](
                *(self._law, self._back, self._h, self._path[part], self._slope[part], self._field[part]),
                *(
                    self._lever[number],
                    self._pull[number],
                    self._curved[number],
                    stiffness[number],
                    bent[number],
                    cache,
                ),
            )

        with parallel(min(count, self.threads)) as each:
            each(one, range(count))
        whole, curves = stiffness.sum(axis=0), bent.sum(axis=0)
        return Gradients(whole, curves[0], curves[1], self._take(self._field), self._take(self._slope))
