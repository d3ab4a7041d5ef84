"""What a record says of the values sought: its likelihood, exact scores and Fisher information.

Of *matrices*: covariances of independent samples (Wishart), and spectra at frequencies that do not know of each other
(complex Wishart), ``-w (log det S + tr S^-1 M)`` for each measured matrix M, where w is half the number of samples, or
the number of averages. Of samples in time: `spu.studies.calibration.paths`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import InputError, NumericalFailure
from spu.studies.calibration.grid import Grid
from spu.studies.calibration.model import Point

AT_ONCE = 2_000_000
"""Numbers of derivatives of spectra that are held at a time."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What a record says at a point.

    Attributes
    ----------
    value:
        Logarithm of the likelihood, but for a constant.
    score:
        (k,) its derivatives.
    fisher:
        (k, k) information.
    residual, sensitivity:
        (d,), (d, k): independent figures of mean zero and variance one where the model is right and the point the
        truth, and what they move by with the unknowns; of whole bands of frequencies each.
    """

    value: float
    score: FloatArray
    fisher: FloatArray
    residual: FloatArray
    sensitivity: FloatArray


class Likelihood(Protocol):
    """Of one record."""

    @property
    def figures(self) -> float:
        """How many numbers the record has, all together."""

    def value(self, point: Point) -> float:
        """The logarithm alone."""

    def terms(self, point: Point) -> Terms:
        """All that it says."""


def whitened(spectra: ComplexArray, moved: ComplexArray) -> tuple[FloatArray, ComplexArray, ComplexArray]:
    """(f,) log determinants, (f, c, c) inverse factors, and (f, k, c, c) changes seen through them."""
    factors = _factors(spectra)
    logs = 2.0 * np.log(np.einsum("fii->fi", factors).real).sum(axis=1)
    inverse = np.linalg.inv(factors)
    through = inverse[:, None] @ moved @ np.conj(np.swapaxes(inverse, -1, -2))[:, None]
    return np.asarray(logs), np.asarray(inverse), through


def _factors(spectra: ComplexArray) -> ComplexArray:
    try:
        return np.asarray(np.linalg.cholesky(spectra))
    except np.linalg.LinAlgError:
        raise NumericalFailure(
            "what the model says of the record is singular: a channel follows from others, or is noiseless at some "
            "frequency; give the readout its noise"
        ) from None


def hermitian(matrices: ComplexArray) -> FloatArray:
    """(..., c^2) real coordinates of Hermitian matrices, in which ``tr(X Y)`` is a product."""
    c = matrices.shape[-1]
    upper = np.triu_indices(c, 1)
    diagonal = np.einsum("...ii->...i", matrices).real
    beside = np.sqrt(2.0) * matrices[..., upper[0], upper[1]]
    return np.concatenate([diagonal, beside.real, beside.imag], axis=-1)


@dataclass(frozen=True, eq=False)
class Bands:
    """Residuals of matrices, gathered in bands of frequencies so that each is all but normal."""

    edges: list[slice]

    @classmethod
    def of(cls, weights: FloatArray, least: float, most: int) -> Bands:
        """At most so many, each of at least a weight; one of all where there is less."""
        total = np.concatenate([[0.0], np.cumsum(weights)])
        count = int(np.clip(total[-1] // least, 1, most))
        inner = np.unique(np.searchsorted(total, np.linspace(0, total[-1], count + 1)[1:-1])).tolist()
        cuts = [0, *(cut for cut in inner if 0 < cut < len(weights)), len(weights)]
        return cls([slice(a, b) for a, b in pairwise(cuts)])


LEAST_AVERAGES, MOST_BANDS = 100.0, 16
"""Of a band of residuals."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """Measured covariances or spectra (m, c, c), with weights w (m,); where they stand says `law`."""

    measured: ComplexArray
    weights: FloatArray
    law: MatrixLaw
    real: bool = False

    @property
    def figures(self) -> float:
        """As `Likelihood` says."""
        c = self.measured.shape[-1]
        return float(self.weights.sum()) * c * (c + 1 if self.real else c)

    def value(self, point: Point) -> float:
        """As `Likelihood` says."""
        spectra, _ = self.law(point, slice(None), changes=False)
        factors = _factors(spectra)
        logs = 2.0 * np.log(np.einsum("fii->fi", factors).real).sum(axis=1)
        inverse = np.linalg.inv(factors)
        traces = np.einsum("fij,fjk,fik->f", inverse, self.measured, np.conj(inverse)).real
        return -float(self.weights @ (logs + traces))

    def terms(self, point: Point) -> Terms:
        """As `Likelihood` says."""
        k, c = len(point.dA), self.measured.shape[1]
        value, score, fisher = 0.0, np.zeros(k), np.zeros((k, k))
        bands = Bands.of(self.weights, LEAST_AVERAGES, MOST_BANDS).edges
        residual, sensitivity = np.zeros((len(bands), c * c)), np.zeros((len(bands), c * c, k))
        for where, band in pieces(bands, max(1, AT_ONCE // (k * c * c + 1))):
            spectra, moved = self.law(point, where, changes=True)
            weights = self.weights[where]
            logs, inverse, through = whitened(spectra, moved)
            seen = inverse @ self.measured[where] @ np.conj(np.swapaxes(inverse, -1, -2))
            own, changes = hermitian(seen - np.eye(c)), hermitian(through)
            value -= float(weights @ (logs + np.einsum("fii->f", seen).real))
            weighted = changes * weights[:, None, None]
            score += np.einsum("fkd,fd->k", weighted, own)
            fisher += np.tensordot(weighted, changes, axes=([0, 2], [0, 2]))
            residual[band] += weights @ own
            sensitivity[band] += weighted.sum(axis=0).T
        size = np.sqrt([self.weights[edge].sum() for edge in bands])[:, None]
        count = c * (c + 1) // 2 if self.real else c * c  # imaginary parts of real matrices are nothing
        return Terms(
            value,
            score,
            fisher,
            (residual / size)[:, :count].ravel(),
            (sensitivity / size[..., None])[:, :count].reshape(-1, k),
        )


def pieces(bands: list[slice], most: int) -> list[tuple[slice, int]]:
    """Parts of bands that are not too large to be held at once, and the numbers of their bands."""
    return [
        (slice(first, min(first + most, band.stop)), number)
        for number, band in enumerate(bands)
        for first in range(band.start, band.stop, most)
    ]


class MatrixLaw(Protocol):
    """What the model says of measured matrices."""

    def __call__(self, point: Point, where: slice, *, changes: bool) -> tuple[ComplexArray, ComplexArray]:
        """(m, c, c) of those of a piece, and changes (m, k, c, c)."""


@dataclass(frozen=True)
class OfSamples:
    """Of independent samples: one covariance."""

    def __call__(self, point: Point, where: slice, *, changes: bool) -> tuple[ComplexArray, ComplexArray]:  # noqa: ARG002
        """As `MatrixLaw` says."""
        return point.covariance[None].astype(complex), point.covariance_change[None].astype(complex)


@dataclass(frozen=True, eq=False)
class OfDensities:
    """Of one-sided densities of the voltages at frequencies (f,), Hz."""

    frequencies: FloatArray

    def __call__(self, point: Point, where: slice, *, changes: bool) -> tuple[ComplexArray, ComplexArray]:  # noqa: ARG002
        """As `MatrixLaw` says."""
        return point.densities(self.frequencies[where])


@dataclass(frozen=True, eq=False)
class OfSpectra:
    """Of spectra of sampled paths, averaged over the bins of a grid; times ``scale``."""

    grid: Grid
    interval: float
    scale: float = 1.0

    def __call__(self, point: Point, where: slice, *, changes: bool) -> tuple[ComplexArray, ComplexArray]:  # noqa: ARG002
        """As `MatrixLaw` says."""
        nodes = self.grid.nodes[where]
        spectra, moved = point.sampled(self.interval).spectra(nodes.ravel())
        shape = nodes.shape
        spectra = spectra.reshape(*shape, *spectra.shape[1:]).mean(axis=1)
        return self.scale * spectra, self.scale * moved.reshape(*shape, *moved.shape[1:]).mean(axis=1)


def refuse_short(samples: int, unknowns: int) -> None:
    """Refuse a record that has fewer samples than there are unknowns."""
    if samples <= unknowns:
        raise InputError(f"{samples} samples cannot tell {unknowns} unknowns: a longer record, or fewer (--fit)")
