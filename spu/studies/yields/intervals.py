"""Intervals of a yield: what so many boards tell of it.

Of independent boards the interval is Clopper's and Pearson's (Biometrika 26, 404, 1934): exact, so that it holds the
truth at least as often as is said. Those of a Latin hypercube are not independent, and usually tell more; how much is
seen from several hypercubes that are drawn independently. From their scatter follows how many independent boards tell
as much, and with that number the interval is Clopper's and Pearson's again (Korn and Graubard, Survey Methodology 24,
193, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from spu.base.proportions import clopper_pearson

__all__ = ["WORDS", "korn_graubard"]

WORDS = {
    "plain": "Clopper-Pearson: exact, holds the truth at least that often",
    "latin": "Korn-Graubard, from the scatter of independent hypercubes: approximate",
}
"""By the method of drawing."""


_ROUNDING = 0.125


def korn_graubard(good: Sequence[int], size: int, confidence: float) -> tuple[float, float]:
    """The same of independent hypercubes of ``size`` boards each, of which so many are ``good``.

    Where all hypercubes agree their share is still off by the rounding to whole boards, which scatter of a few may not
    show: of 20 that agree each may differ by one board with a probability of 0.17. So the variance of their numbers is
    taken to be `_ROUNDING` at least, which spans that, or that of independent boards where it is less.
    """
    counts = np.asarray(good, dtype=np.float64)
    cubes = len(counts)
    draws = float(cubes * size)
    found = float(counts.mean()) / size
    if found in (0.0, 1.0):
        return clopper_pearson(found * draws, draws, confidence)
    least = min(_ROUNDING, size * found * (1.0 - found))
    variance = max(float(counts.var(ddof=1)), least) / (cubes * size**2)
    tail = 0.5 + confidence / 2.0
    worth = found * (1.0 - found) / variance * float(stdtrit(draws - 1, tail) / stdtrit(cubes - 1, tail)) ** 2
    return clopper_pearson(found * worth, worth, confidence)
