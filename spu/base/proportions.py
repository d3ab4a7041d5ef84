"""What so many trials tell of a probability."""

from __future__ import annotations

from scipy.special import betaincinv

__all__ = ["clopper_pearson"]


def clopper_pearson(good: float, draws: float, confidence: float) -> tuple[float, float]:
    """Limits of a probability, of which ``good`` of so many ``draws`` came true; both may be broken numbers.

    Exact: it holds the true one at least as often as is said (Clopper and Pearson, Biometrika 26, 404, 1934).
    """
    tail = (1.0 - confidence) / 2.0
    low = float(betaincinv(good, draws - good + 1.0, tail)) if good > 0 else 0.0
    high = float(betaincinv(good + 1.0, draws - good, 1.0 - tail)) if good < draws else 1.0
    return low, high
