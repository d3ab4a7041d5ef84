"""Descent by Adam (Kingma and Ba, arXiv 1412.6980), with a rate that warms up and goes to zero on half a cosine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spu.base.arrays import FloatArray

Parameters = dict[str, FloatArray]
"""Arrays that are learnt, by name."""

_BETA = (0.9, 0.999)

_SMALL = 1e-8


class Adam:
    """Moments of gradients, and the steps that follow from them.

    Parameters
    ----------
    rate:
        The largest size of a step of one parameter.
    steps:
        Of the whole training; at the last one the rate is nearly zero.
    warmup:
        Steps over which the rate rises.
    decay:
        Rate at which parameters shrink, relative to the rate of the step (arXiv 1711.05101).
    """

    def __init__(self, rate: float, steps: int, warmup: int = 50, decay: float = 0.0) -> None:
        self.rate, self.steps, self.warmup, self.decay = rate, steps, max(1, warmup), decay
        self.taken = 0
        self.first: Parameters = {}
        self.second: Parameters = {}

    def rate_at(self, step: int) -> float:
        """Of step 1, 2, ..."""
        rising = min(1.0, step / self.warmup)
        return self.rate * rising * 0.5 * (1 + float(np.cos(np.pi * min(1.0, (step - 1) / self.steps))))

    def stepped(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """The parameters after one step."""
        self.taken += 1
        rate, (one, two) = self.rate_at(self.taken), _BETA
        found = {}
        for key, value in parameters.items():
            slope = gradients[key]
            self.first[key] = one * self.first.get(key, np.zeros_like(value)) + (1 - one) * slope
            self.second[key] = two * self.second.get(key, np.zeros_like(value)) + (1 - two) * slope**2
            size = np.sqrt(self.second[key] / (1 - two**self.taken)) + _SMALL
            found[key] = value * (1 - rate * self.decay) - rate * (self.first[key] / (1 - one**self.taken)) / size
        return found

    def arrays(self) -> Parameters:
        """What a checkpoint holds of it."""
        return {f"first.{key}": value for key, value in self.first.items()} | {
            f"second.{key}": value for key, value in self.second.items()
        }

    def restore(self, arrays: Mapping[str, FloatArray], taken: int) -> None:
        """Take up what `arrays` gave after so many steps."""
        self.taken = taken
        for name, moments in (("first.", self.first), ("second.", self.second)):
            moments.update({key.removeprefix(name): value for key, value in arrays.items() if key.startswith(name)})
