"""Frequencies at which spectra of sampled paths are taken: bins as narrow as the poles make them.

Over a bin that is a small part of its distance to the nearest pole a spectrum is all but straight; the mean over two
Gauss points is that over the bin, to a hundred-thousandth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spu.base.arrays import ComplexArray, FloatArray

NARROW = 0.15
"""Of the distance to the nearest pole: the width of a bin."""

_LEAST = 24
"""Bins, whatever the poles."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Bins between 0 and pi, angles a sample.

    Attributes
    ----------
    low, high:
        (m,) their ends, in order.
    """

    low: FloatArray
    high: FloatArray

    @property
    def widths(self) -> FloatArray:
        """(m,)."""
        return self.high - self.low

    @property
    def centres(self) -> FloatArray:
        """(m,)."""
        return np.asarray((self.high + self.low) / 2.0)

    @property
    def nodes(self) -> FloatArray:
        """(m, 2) Gauss points."""
        shift = self.widths[:, None] / np.sqrt(12.0) * np.array([-1.0, 1.0])
        return self.centres[:, None] + shift


def grid_of(poles: ComplexArray, interval: float, shift: float = 0.0) -> Grid:
    """Bins for paths sampled every ``interval`` seconds.

    Parameters
    ----------
    poles:
        (n,) 1/s.
    shift:
        Relative change of resonances within which bins are narrow enough.
    """
    rates = -poles.real * interval
    angles = np.abs(poles.imag) * interval
    angles = np.abs((angles + np.pi) % (2.0 * np.pi) - np.pi)  # where aliasing puts them
    reach = shift * np.abs(poles.imag) * interval
    keep = rates < 4.0
    slowest = np.array([rates.min(initial=1.0)])
    rates = np.concatenate([rates[keep], slowest])
    angles, reach = (np.append(each[keep], 0.0) for each in (angles, reach))
    edges, most = [0.0], np.pi / _LEAST
    while edges[-1] < np.pi:
        away = np.maximum(np.abs(edges[-1] - angles) - reach, 0.0)
        edges.append(edges[-1] + min(most, NARROW * float(np.hypot(away, rates).min())))
    found = np.array(edges) * (np.pi / edges[-1])
    return Grid(found[:-1], found[1:])
