"""The exact gradient of a loss at the end of Euler-Maruyama steps, on the noise that was drawn.

Forward run the loops of every simulation (`spu.emulator.runs.langevin_run`), read after each step. Backward goes the
adjoint of that same recursion: with ``x' = x + h mu (field + own - K x - Q x^2 - C x^3) + noise`` and the slope
``s'`` of the loss by x',

    s = s' - K^T m - (2 Q x + 3 C x^2) m,    m = h mu s',

and the slopes by a trajectory's field and by K are the sums over steps of ``m`` and of ``-m x^T``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spu.base.arrays import FloatArray
from spu.emulator.equations.langevin import Langevin
from spu.emulator.runs.langevin_run import Grid, Schedule, run

Loss = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Values (b,) of the loss of final states (b, n), and its slopes (b, n)."""


class Slopes(NamedTuple):
    """Of the sum over trajectories: by each one's field (b, n), and by the stiffness (n, n), entry by entry."""

    own: FloatArray
    stiffness: FloatArray


def pathwise(
    equation: Langevin, own: FloatArray, steps: int, h: float, seed: int, loss: Loss
) -> tuple[FloatArray, Slopes]:
    """Run from 0 and back.

    Parameters
    ----------
    equation:
        Of first order.
    own:
        (b, n) what each trajectory's field is beside the equation's.
    steps, h:
        How many, and their size (s).
    seed:
        Of the noise.
    loss:
        Of the final states.

    Returns
    -------
    values, slopes
        (b,) losses, and slopes of their sum.

    Raises
    ------
    UsageError
        If steps blow up.
    """
    count, n = own.shape
    grid = Grid.of(h * np.arange(1, steps + 1), np.empty(0), lambda middle: np.full(len(middle), h), False)
    schedule = Schedule(np.zeros(1), equation.field[None, :], own)
    states = run(
        equation,
        grid=grid,
        trajectories=count,
        seed=seed,
        scheme="euler-maruyama",
        schedule=schedule,
        ghosts=False,
        advice="a smaller step, or a lower learning rate, is needed",
    ).states
    values, slope = loss(states[-1])
    by_own, by_stiffness = np.zeros((count, n)), np.zeros((n, n))
    factor = h * equation.mobility
    for k in reversed(range(steps)):
        moved = factor * slope
        by_own += moved
        slope = slope - moved @ equation.stiffness
        if k:  # before the first step all is 0
            x = states[k - 1]
            by_stiffness -= moved.T @ x
            slope -= (2 * equation.quadratic + 3 * equation.cubic * x) * x * moved
    return values, Slopes(by_own, by_stiffness)
