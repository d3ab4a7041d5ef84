"""Spectra estimated from samples by Welch's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import InputError

_RESOLUTION = 16.0
"""Length of a segment over the slowest time constant: the window then widens its peak by a few per cent."""

_SEGMENTS = 8
"""Fewest segments without overlap, however slow the slowest mode."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Welch's estimate.

    Attributes
    ----------
    frequencies:
        (f,) Hz, without zero and the Nyquist frequency, where the estimate has half the freedom.
    density:
        (f, q, q) one-sided cross-spectra, the square of the samples' unit a hertz.
    freedom:
        Degrees of freedom of each density.
    """

    frequencies: FloatArray
    density: ComplexArray
    freedom: float

    def band(self, probability: float = 0.95) -> tuple[float, float]:
        """Factors on an estimated density between which the expected one lies with this probability."""
        from scipy.stats import chi2

        tail = (1.0 - probability) / 2.0
        return self.freedom / float(chi2.isf(tail, self.freedom)), self.freedom / float(chi2.ppf(tail, self.freedom))


class Welch:
    """Estimates cross-spectra from paths, one after the other; keeps no sample.

    Parameters
    ----------
    interval:
        s between samples.
    length:
        Samples of a segment; half of them overlap with the next.
    """

    def __init__(self, interval: float, length: int) -> None:
        from scipy.signal import get_window

        self.interval, self.length = interval, length
        self.window = np.asarray(get_window("hann", length), dtype=np.float64)
        self.total: ComplexArray | None = None
        self.segments, self.freedom = 0, 0.0

    @classmethod
    def for_law(cls, interval: float, slowest: float, count: int) -> Welch:
        """With segments that resolve a mode of time constant ``slowest`` (s), if ``count`` samples allow."""
        wanted = 2 ** int(np.ceil(np.log2(max(64.0, _RESOLUTION * slowest / interval))))
        return cls(interval, max(8, min(wanted, count // _SEGMENTS)))

    def add(self, path: FloatArray) -> None:
        """Add an independent path, (n, q), as deviations from its known mean; what fills no segment is left out."""
        hop = self.length // 2
        count = (len(path) - self.length) // hop + 1 if len(path) >= self.length else 0
        for k in range(count):
            transformed = np.fft.rfft(path[k * hop : k * hop + self.length] * self.window[:, None], axis=0)
            product = transformed[:, :, None] * np.conj(transformed[:, None, :])
            self.total = product if self.total is None else self.total + product
        self.segments += count
        if count:
            energy = float(self.window @ self.window)
            overlap = [float(self.window[k * hop :] @ self.window[: self.length - k * hop]) / energy for k in (1, 2)]
            inflation = sum(2.0 * (1.0 - k / count) * rho**2 for k, rho in enumerate(overlap, 1) if k < count)
            self.freedom += 2.0 * count / (1.0 + inflation)

    @property
    def frequencies(self) -> FloatArray:
        """(f,) Hz."""
        return np.asarray(np.fft.rfftfreq(self.length, self.interval)[self._inside], dtype=np.float64)

    @property
    def _inside(self) -> slice:
        return slice(1, (self.length + 1) // 2)

    @property
    def _scale(self) -> float:
        return 2.0 * self.interval / float(self.window @ self.window)

    def estimate(self) -> Estimate:
        """What the paths so far give.

        Raises
        ------
        InputError
            If no path was as long as a segment.
        """
        if self.total is None:
            raise InputError(f"no path has the {self.length} samples of a segment")
        density = self.total[self._inside] * (self._scale / self.segments)
        return Estimate(self.frequencies, density, self.freedom)

    def expected(self, correlation: FloatArray) -> ComplexArray:
        """(f, q, q): the estimate's expectation, from the samples' autocovariance.

        ``correlation`` is (length, q, q): ``E[y(k + l) y(k)^T]`` for the lags ``l`` from 0 on, counted in samples.
        Smoothing by the window and aliasing are in it, and so is whatever else made the samples' autocovariance.
        """
        window = np.fft.irfft(np.abs(np.fft.rfft(self.window, 2 * self.length)) ** 2)[: self.length]
        weighted = window[:, None, None] * correlation[: self.length]
        one = np.fft.fft(weighted, n=self.length, axis=0)
        # Negative lags are the transposed positive ones.
        both = one + np.conj(np.swapaxes(one, 1, 2)) - weighted[0]
        return np.asarray(both[self._inside] * self._scale)
