"""Likelihoods of records, with exact scores and Fisher information.

Three kinds, all Gaussian. Of *matrices*: covariances of independent samples (Wishart) and spectra at frequencies that do
not know of each other (complex Wishart), ``-w (log det S + tr S^-1 M)`` for each measured matrix M, where w is half the
number of samples, or the number of averages. Of *paths*: samples in time, by the Kalman filter; the score is

    ``1/2 a^T dC a - 1/2 tr(C^-1 dC)``, ``a = C^-1 y``,

with C the covariance of the whole record, which is never made: a comes from the filter run forwards and its residuals
backwards, its products with dC from two more recursions, the trace from the adjoint of the Riccati equation. All cost
n samples times states squared, whatever the number of unknowns. The filter begins with the stationary covariance and
goes on as it settles, so that short records are as exact as long ones, and needs no noise of the readout.

The Fisher information of a path is that of its spectrum (Whittle 1953): the sum over frequencies of
``tr(S^-1 dS S^-1 dS')``, one Fourier frequency each, whose ends are off by a correlation time in the whole record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.linalg as la

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import InputError, NumericalFailure
from spu.studies.calibration.grid import Grid, grid_of
from spu.studies.calibration.model import Point, Sampled

SETTLED = 1e-13
"""Relative change of the innovations' covariance in a step below which the filter has settled."""

_AT_ONCE = 2_000_000
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
    return logs, inverse, through


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
        cuts = np.unique(np.searchsorted(total, np.linspace(0, total[-1], count + 1)[1:-1]))
        cuts = [0, *(cut for cut in cuts.tolist() if 0 < cut < len(weights)), len(weights)]
        return cls([slice(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)])


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
        c = self.measured.shape[-1]
        return float(self.weights.sum()) * c * (c + 1 if self.real else c)

    def value(self, point: Point) -> float:
        spectra, _ = self.law(point, slice(None), changes=False)
        factors = _factors(spectra)
        logs = 2.0 * np.log(np.einsum("fii->fi", factors).real).sum(axis=1)
        inverse = np.linalg.inv(factors)
        traces = np.einsum("fij,fjk,fik->f", inverse, self.measured, np.conj(inverse)).real
        return -float(self.weights @ (logs + traces))

    def terms(self, point: Point) -> Terms:
        k, (m, c) = len(point.dA), self.measured.shape[:2]
        value, score, fisher = 0.0, np.zeros(k), np.zeros((k, k))
        bands = Bands.of(self.weights, LEAST_AVERAGES, MOST_BANDS).edges
        residual, sensitivity = np.zeros((len(bands), c * c)), np.zeros((len(bands), c * c, k))
        for where, band in _pieces(bands, max(1, _AT_ONCE // (k * c * c + 1))):
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


def _pieces(bands: list[slice], most: int) -> list[tuple[slice, int]]:
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
        return point.covariance[None].astype(complex), point.covariance_change[None].astype(complex)


@dataclass(frozen=True, eq=False)
class OfDensities:
    """Of one-sided densities of the voltages at frequencies (f,), Hz."""

    frequencies: FloatArray

    def __call__(self, point: Point, where: slice, *, changes: bool) -> tuple[ComplexArray, ComplexArray]:  # noqa: ARG002
        return point.densities(self.frequencies[where])


@dataclass(frozen=True, eq=False)
class OfSpectra:
    """Of spectra of sampled paths, averaged over the bins of a grid; times ``scale``."""

    grid: Grid
    interval: float
    scale: float = 1.0

    def __call__(self, point: Point, where: slice, *, changes: bool) -> tuple[ComplexArray, ComplexArray]:  # noqa: ARG002
        nodes = self.grid.nodes[where]
        spectra, moved = point.sampled(self.interval).spectra(nodes.ravel())
        shape = nodes.shape
        spectra = spectra.reshape(*shape, *spectra.shape[1:]).mean(axis=1)
        return self.scale * spectra, self.scale * moved.reshape(*shape, *moved.shape[1:]).mean(axis=1)


@dataclass(frozen=True, eq=False)
class Riccati:
    """The filter of a path of n samples: as it settles (T steps), then as it is.

    Attributes
    ----------
    P, K, M, inverse:
        (T + 1, ...) predicted covariances, gains ``F P G^T S^-1``, ``F - K G``, and ``S^-1``; the last are those that
        it keeps.
    root, logs:
        (T + 1, c, c) inverse factors, ``L^-1``, ``S = L L^T``; (T + 1,) ``log det S``.
    """

    P: FloatArray
    K: FloatArray
    M: FloatArray
    inverse: FloatArray
    root: FloatArray
    logs: FloatArray

    @classmethod
    def of(cls, law: Sampled, longest: int) -> Riccati:
        """Run the equation until it settles, or to the end of the longest path."""
        F, point = law.F, law.point
        G, R = point.G, np.diag(point.R)
        Q = point.P - F @ point.P @ F.T
        P, before = point.P, None
        found: list[tuple[FloatArray, ...]] = []
        for _ in range(longest):
            seen = G @ P
            S = seen @ G.T + R
            try:
                root = np.asarray(la.solve_triangular(np.linalg.cholesky(S), np.eye(len(S)), lower=True))
            except np.linalg.LinAlgError:
                raise NumericalFailure(
                    "a sample is certain from those before it: the record is finer than doubles tell apart; take "
                    "every second sample, or give the readout its noise"
                ) from None
            inverse = root.T @ root
            K = F @ seen.T @ inverse
            found.append((P, K, F - K @ G, inverse, root, -2.0 * np.log(root.diagonal()).sum()))
            if before is not None and np.abs(S - before).max() <= SETTLED * np.abs(S).max():
                break
            before = S
            P = F @ P @ F.T + Q - K @ S @ K.T
            P = (P + P.T) / 2
        return cls(*(np.array(each) for each in zip(*found, strict=True)))

    def __len__(self) -> int:
        """Steps until it has settled."""
        return len(self.P) - 1


def scan(M: FloatArray, pushes: FloatArray, start: FloatArray) -> FloatArray:
    """``x_{t+1} = M x_t + u_t``: states (s, T + 1, n) from pushes (s, T, n) and starts (s, n), in two passes of blocks.

    All blocks are run from zero side by side; the state at the start of each follows from that before, and is carried
    through it.
    """
    s, T, n = pushes.shape
    length = max(1, int(np.sqrt(T)))
    blocks = -(-T // length)
    padded = np.zeros((s, blocks * length, n))
    padded[:, :T] = pushes
    u = padded.reshape(s * blocks, length, n)
    x = np.empty((length + 1, s * blocks, n))
    x[0] = 0.0
    for t in range(length):
        x[t + 1] = x[t] @ M.T + u[:, t]
    whole = np.linalg.matrix_power(M, length)
    ends = x[length].reshape(s, blocks, n)
    starts = np.empty((s, blocks, n))
    state = start
    for b in range(blocks):
        starts[:, b] = state
        state = state @ whole.T + ends[:, b]
    carried = starts.reshape(s * blocks, n)
    for t in range(length):
        x[t] += carried
        carried = carried @ M.T
    found = np.empty((s, T + 1, n))
    found[:, :T] = x[:length].transpose(1, 0, 2).reshape(s, blocks * length, n)[:, :T]
    last = found[:, T - 1] if T else start
    found[:, T] = last @ M.T + pushes[:, T - 1] if T else start
    return found


class Paths:
    """Samples in time: paths of equal lengths stand together.

    Parameters
    ----------
    paths:
        Arrays (s, T, c), each of s paths of T samples.
    interval:
        s between samples.
    """

    def __init__(self, paths: list[FloatArray], interval: float) -> None:
        self.paths, self.interval = paths, interval
        self.samples = sum(each.shape[0] * each.shape[1] for each in paths)
        self.channels = paths[0].shape[2]

    @property
    def figures(self) -> float:
        return float(self.samples * self.channels)

    def value(self, point: Point) -> float:
        law = point.sampled(self.interval)
        filtered = Filtered(law, self.paths)
        return filtered.value

    def terms(self, point: Point) -> Terms:
        law = point.sampled(self.interval)
        filtered = Filtered(law, self.paths)
        grid = grid_of(point.poles, self.interval)
        weights = self.samples * grid.widths / (2.0 * np.pi)
        c, k = self.channels, len(point.dA)
        fisher = np.zeros((k, k))
        bands = Bands.of(weights, LEAST_AVERAGES, MOST_BANDS).edges
        sensitivity, sums = np.zeros((len(bands), c * c, k)), np.zeros((len(bands), c * c))
        spectra = OfSpectra(grid, self.interval)
        root, K, G, M = filtered.kept
        for where, band in _pieces(bands, max(1, _AT_ONCE // (2 * k * c * c + 1))):
            _, moved = spectra(point, where, changes=True)
            # Whitened by the filter itself, so that residuals are those of its innovations.
            turned = np.exp(1j * grid.centres[where])[:, None, None]
            inverse = root @ (np.eye(c) - G @ np.linalg.inv(turned * np.eye(len(M)) - M) @ K)
            through = inverse[:, None] @ moved @ np.conj(np.swapaxes(inverse, -1, -2))[:, None]
            changes = hermitian(through)
            weighted = changes * weights[where][:, None, None]
            fisher += np.tensordot(weighted, changes, axes=([0, 2], [0, 2]))
            sensitivity[band] += weighted.sum(axis=0).T
        edges = np.array([grid.low[band.start] for band in bands] + [np.pi])
        counts = np.zeros(len(bands))
        for each in filtered.innovations:
            spectrum = np.fft.rfft(each, axis=1) / np.sqrt(each.shape[1])
            angles = 2.0 * np.pi * np.arange(spectrum.shape[1]) / each.shape[1]
            half = np.where((angles == 0) | (np.arange(len(angles)) * 2 == each.shape[1]), 0.5, 1.0)
            half[0] = 0.0  # the mean is the offset's
            place = np.clip(np.searchsorted(edges, angles, side="right") - 1, 0, len(bands) - 1)
            for band in range(len(bands)):
                there = np.flatnonzero(place == band)
                y = spectrum[:, there]
                total = np.einsum("f,sfi,sfj->ij", half[there], y, np.conj(y))
                weight = half[there].sum() * len(each)
                sums[band] += hermitian(total - weight * np.eye(c))
                counts[band] += weight
        size = np.sqrt(np.maximum(counts, 1.0))[:, None]
        own = np.sqrt([weights[edge].sum() for edge in bands])[:, None]
        return Terms(
            filtered.value,
            filtered.score(),
            fisher,
            (sums / size).ravel(),
            (sensitivity / own[..., None]).reshape(-1, k),
        )


class Filtered:
    """Paths run through the filter of one law, their common offset taken off by generalised least squares."""

    def __init__(self, law: Sampled, paths: list[FloatArray]) -> None:
        self.law, self.paths = law, paths
        self.riccati = Riccati.of(law, max(each.shape[1] for each in paths))
        self.offset = self._offset()
        value = 0.0
        self.residuals = [self._innovations(each - self.offset) for each in paths]
        self.innovations = []
        for each in self.residuals:
            s, T, c = each.shape
            settled = min(T, len(self.riccati))
            logs = self.riccati.logs[:settled].sum() + (T - settled) * self.riccati.logs[-1]
            white = np.empty_like(each)
            white[:, :settled] = np.einsum("tij,stj->sti", self.riccati.root[:settled], each[:, :settled])
            white[:, settled:] = each[:, settled:] @ self.riccati.root[-1].T
            self.innovations.append(white)
            value -= 0.5 * (s * logs + float((white**2).sum()))
        self.value = value

    @property
    def kept(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """``L^-1``, K, G and M of the settled filter."""
        return self.riccati.root[-1], self.riccati.K[-1], self.law.point.G, self.riccati.M[-1]

    def _innovations(self, paths: FloatArray) -> FloatArray:
        riccati, G = self.riccati, self.law.point.G
        s, T, _ = paths.shape
        settled = min(T, len(riccati))
        states = np.zeros((s, T + 1, len(self.law.F)))
        for t in range(settled):
            states[:, t + 1] = states[:, t] @ riccati.M[t].T + paths[:, t] @ riccati.K[t].T
        if settled < T:
            states[:, settled:] = scan(riccati.M[-1], paths[:, settled:] @ riccati.K[-1].T, states[:, settled])
        return np.asarray(paths - states[:, :T] @ G.T)

    def _offset(self) -> FloatArray:
        """(c,) the offset that makes the record likeliest."""
        riccati, G = self.riccati, self.law.point.G
        c = len(G)
        lengths = sorted({each.shape[1] for each in self.paths})
        seen = np.empty((lengths[-1], c, c))  # innovations of an offset of one in each channel
        state = np.zeros((len(self.law.F), c))
        last = lengths[-1]
        for t in range(lengths[-1]):
            k = min(t, len(riccati))
            seen[t] = np.eye(c) - G @ state
            state = riccati.M[k] @ state + riccati.K[k]
            if t > len(riccati) and np.abs(seen[t] - seen[t - 1]).max() <= 1e-12 * np.abs(seen[t]).max():
                seen[t:] = seen[t]
                last = t
                break
        inverse = riccati.inverse
        information, right = np.zeros((c, c)), np.zeros(c)
        for each in self.paths:
            s, T, _ = each.shape
            found = self._innovations(each).sum(axis=0)
            settled = min(T, max(len(riccati), last))
            k = np.minimum(np.arange(settled), len(riccati))
            weighted = np.swapaxes(seen[:settled], 1, 2) @ inverse[k]
            information += s * (weighted @ seen[:settled]).sum(axis=0)
            right += np.einsum("tij,tj->i", weighted, found[:settled])
            if settled < T:
                kept = seen[T - 1].T @ inverse[-1]
                information += s * (T - settled) * (kept @ seen[T - 1])
                right += kept @ found[settled:].sum(axis=0)
        return np.asarray(la.solve(information, right, assume_a="pos"))

    def score(self) -> FloatArray:
        """(k,) exactly."""
        law, riccati, point = self.law, self.riccati, self.law.point
        F, G, P = law.F, point.G, point.P
        n, c = len(F), len(G)
        g = P @ G.T
        dF, dG, dP = np.zeros((n, n)), np.zeros((c, n)), np.zeros((n, n))
        dg, dC, dR, dQ = np.zeros((n, c)), np.zeros((c, c)), np.zeros((c, c)), np.zeros((n, n))
        for each in self.residuals:
            s, T, _ = each.shape
            settled = min(T, len(riccati))
            a = self._solved(each)
            m = scan(F, a @ (F @ g).T, np.zeros((s, n)))[:, :T]
            # l_{t-1} = F^T (l_t + G^T a_t), backwards from nothing
            later = scan(F.T, a[:, ::-1] @ (G @ F), np.zeros((s, n)))[:, :T][:, ::-1]
            flat = a.reshape(-1, c)
            before = (m + a @ g.T)[:, :-1].reshape(-1, n)
            after = (later + a @ G)[:, 1:].reshape(-1, n)
            dF += after.T @ before
            dG += flat.T @ m.reshape(-1, n)
            dg += later.reshape(-1, n).T @ flat
            dC += 0.5 * flat.T @ flat
            # Of the determinant, by the adjoint of the Riccati equation.
            adjoint = np.zeros((n, n))
            t = T - 1
            while t >= 0:
                k = min(t, len(riccati))
                K, M, inverse, predicted = riccati.K[k], riccati.M[k], riccati.inverse[k], riccati.P[k]
                through = adjoint @ M @ predicted
                new = G.T @ inverse @ G + M.T @ adjoint @ M
                times = 1
                if t > settled and np.abs(new - adjoint).max() <= 1e-13 * np.abs(new).max():
                    times = t - settled + 1
                dF -= 0.5 * s * times * 2.0 * through
                dG -= 0.5 * s * times * (2.0 * inverse @ G @ predicted - 2.0 * K.T @ through)
                dR -= 0.5 * s * times * (inverse + K.T @ adjoint @ K)
                dQ -= 0.5 * s * times * adjoint
                adjoint = (new + new.T) / 2
                t -= times
            dP -= 0.5 * s * adjoint
        # Q = P - F P F^T, C_0 = G P G^T + R, g = P G^T
        dP += dQ - F.T @ dQ @ F + dg @ G + G.T @ dC @ G
        dF -= 2.0 * dQ @ F @ P
        dG += dg.T @ P + 2.0 * dC @ G @ P
        total = dR + dC
        return np.asarray(
            np.tensordot(law.dF, dF, 2)
            + np.tensordot(point.dG, dG, 2)
            + np.tensordot(point.dP, dP, 2)
            + point.dR @ total.diagonal()
        )

    def _solved(self, residuals: FloatArray) -> FloatArray:
        """(s, T, c) the inverse of the covariance of a whole path, times it."""
        riccati, G = self.riccati, self.law.point.G
        s, T, c = residuals.shape
        settled = min(T, len(riccati))
        weighted = np.empty_like(residuals)
        weighted[:, :settled] = np.einsum("tij,stj->sti", riccati.inverse[:settled], residuals[:, :settled])
        weighted[:, settled:] = residuals[:, settled:] @ riccati.inverse[-1]
        # r_{t-1} = G^T S^-1 e_t + M_t^T r_t; a_t = S^-1 e_t - K_t^T r_t
        r = np.zeros((s, T + 1, len(self.law.F)))  # r[:, t + 1] is r_t
        if settled < T:
            r[:, settled : T + 1] = scan(
                riccati.M[-1].T, weighted[:, settled:][:, ::-1] @ G, np.zeros((s, len(self.law.F)))
            )[:, ::-1]
        for t in range(settled - 1, -1, -1):
            r[:, t] = weighted[:, t] @ G + r[:, t + 1] @ riccati.M[t]
        found = weighted
        found[:, settled:] = weighted[:, settled:] - r[:, settled + 1 :] @ riccati.K[-1]
        for t in range(settled):
            found[:, t] = weighted[:, t] - r[:, t + 1] @ riccati.K[t]
        return found


def refuse_short(samples: int, unknowns: int) -> None:
    """Refuse a record that has fewer samples than there are unknowns."""
    if samples <= unknowns:
        raise InputError(f"{samples} samples cannot tell {unknowns} unknowns: a longer record, or fewer (--fit)")
