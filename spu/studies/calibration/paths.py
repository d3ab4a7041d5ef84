"""Samples in time: the Kalman filter of a sampled linear law, and the exact score of what it says.

With C the covariance of the whole record, which is never made, the score is

    ``1/2 a^T dC a - 1/2 tr(C^-1 dC)``, ``a = C^-1 y``:

a comes from the filter run forwards and its residuals backwards, its products with dC from two more recursions, the
trace from the adjoint of the Riccati equation. All cost n samples times states squared, whatever the number of
unknowns. The filter begins with the stationary covariance and goes on as it settles, so that short records are as
exact as long ones, and needs no noise of the readout.

The Fisher information of a path is that of its spectrum (Whittle 1953): the sum over frequencies of
``tr(S^-1 dS S^-1 dS')``, one Fourier frequency each, whose ends are off by a correlation time in the whole record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.base.errors import NumericalFailure
from spu.studies.calibration.grid import grid_of
from spu.studies.calibration.likelihood import (
    AT_ONCE,
    LEAST_AVERAGES,
    MOST_BANDS,
    Bands,
    OfSpectra,
    Terms,
    hermitian,
    pieces,
)
from spu.studies.calibration.model import Point, Sampled

SETTLED = 1e-13
"""Relative change of the innovations' covariance in a step below which the filter has settled."""


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
        """As `Likelihood` says."""
        return float(self.samples * self.channels)

    def value(self, point: Point) -> float:
        """As `Likelihood` says."""
        law = point.sampled(self.interval)
        filtered = Filtered(law, self.paths)
        return filtered.value

    def terms(self, point: Point) -> Terms:
        """As `Likelihood` says."""
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
        for where, band in pieces(bands, max(1, AT_ONCE // (2 * k * c * c + 1))):
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
            s, T, _ = each.shape
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
            which = np.minimum(np.arange(settled), len(riccati))
            weighted = np.swapaxes(seen[:settled], 1, 2) @ inverse[which]
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
        s, T, _ = residuals.shape
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
