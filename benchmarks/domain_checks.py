"""One run held against its exact law: p-values that are uniform where the run is right, and plain contradictions.

Deviations from the mean of T trajectories of S readouts of p variables are Gaussian, with a block Toeplitz
covariance that is known. So

``start``, ``end``    the first and the last readout, whitened: chi-squared (is the start right, and does it last?)
``path``, ``long``    a stretch of neighbouring readouts, and some over the whole length, whitened: chi-squared
``fine``              of ``path`` the quarter that varies least: what a step adds, not what it carries on
``turned``            ``a(k + l) b(k) - b(k + l) a(k)`` summed, of two random combinations: which way time runs
``normal``            the whitened numbers of ``path``: standard normal (Kolmogorov and Smirnov)
``mates``             whitened ones of one half of the trajectories times those of the other: exactly normal given these
``mean``              the grand mean, whitened: chi-squared
``variance``          of a random combination of variables, about the sample mean: a quadratic form, exactly
``lagged``            an autocovariance of two random combinations, as it was counted: a quadratic form, exactly
``student``           where errors are estimated by the scatter of trajectories: mean over error is Student's t
``pairs``             the largest correlation of any two trajectories, and
``margins``           the worst variance of any variable at the first and last readout,
``jumps``             the worst step of all: what readouts gain from one to the next; all bounded (Bonferroni), and
``hidden``            what whitening leaves out, as its law is known to rounding only: bounded.

All but the last four are uniform on (0, 1). What does not depend on chance is compared outright.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from domain_cases import Case
from domain_law import OwnLaw
from quadratic_forms import two_sided
from scipy.integrate import quad_vec
from scipy.stats import chi2, kstest, norm
from scipy.stats import t as student_t

import spu
import spu.emulator.laws.law
from spu.emulator.dynamics import forget_laws

BOUNDED = ("pairs", "margins", "jumps", "hidden")
"""Kinds whose p-values may only be too large."""

_WIDE = 160
"""Numbers of a trajectory that are whitened together."""


@dataclass(frozen=True, eq=False)
class Process:
    """What readouts at equal intervals are: deviations ``H z``, ``z' = transition z + noise``, covariance P."""

    transition: np.ndarray
    P: np.ndarray
    H: np.ndarray
    centre: np.ndarray
    reach: np.ndarray

    def lags(self, count: int, stride: int = 1) -> np.ndarray:
        """(count, p, p): ``E[y(k + l stride) y(k)^T]``."""
        found, right = np.empty((count, len(self.H), len(self.H))), self.P @ self.H.T
        step = np.linalg.matrix_power(self.transition, stride)
        for lag in range(count):
            found[lag] = self.H @ right
            right = step @ right
        return found


@dataclass
class Result:
    """What one case gave.

    Attributes
    ----------
    seed, family, method, text:
        Which case.
    p_values:
        By kind.
    faults:
        Contradictions that chance cannot explain.
    refused:
        Why there was nothing to test, where there was not.
    """

    seed: int
    family: str = ""
    method: str = ""
    text: str = ""
    p_values: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    refused: str = ""


def process_of(law: OwnLaw, interval: float, step: float | None = None) -> Process:
    """Of exact steps, or of as many of the implicit midpoint as make an interval; 0 for independent draws."""
    n = len(law.A)
    if interval == 0:
        transition = np.zeros((n, n))
    elif step is None:
        transition = la.expm(law.A * interval)
    else:
        half, one = law.A * (step / 2.0), np.eye(n)
        transition = np.linalg.matrix_power(la.solve(one - half, one + half), round(interval / step))
    return Process(transition, law.P, law.H, law.centre, law.reach)


def run_case(case: Case) -> Result:
    """Simulate a case and hold everything against everything."""
    result = Result(case.seed, case.family, text=str(case))
    rng = np.random.default_rng([case.seed, 7])
    usual = spu.emulator.laws.law.LARGE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            if case.sparse:
                forget_laws(case.subject)
                spu.emulator.laws.law.LARGE = 0
            run = spu.simulate(case.subject, **case.options)
            again = _again(rng, case)
            twice = spu.simulate(case.subject, **{**case.options, **again}) if again else None
    except Exception as error:
        said = f"{type(error).__name__}: {str(error)[:150]}"
        if case.sparse and "no closed form" in str(error):
            result.refused = said
        else:
            result.faults.append(said)
        return result
    finally:
        if case.sparse:
            forget_laws(case.subject)
            spu.emulator.laws.law.LARGE = usual
    result.method = run.method
    members = len(case.laws)
    count = run.trajectories // members if run.interval else run.samples // members
    paths = run.samples_kept.reshape(members, count, -1, len(run.variables))
    result.faults += plain_faults(run, paths, [law.centre for law in case.laws])
    if twice is not None:
        result.faults += _differences(run, twice, paths, again)
    for k, law in enumerate(case.laws):
        process = process_of(law, run.interval, run.time_step)
        found = run if members == 1 else None
        p_values, faults = hold(rng, process, paths[k], found)
        result.faults += faults
        for kind, p in p_values.items():  # of an ensemble one programming a kind, so that they stay independent
            if k == 0 or kind in BOUNDED:
                result.p_values[kind] = min(p, result.p_values.get(kind, 1.0))
            elif p < 1e-9:
                result.p_values[kind] = p
        if found is not None and not case.sparse:
            bounded = len(law.A) > 64 or np.linalg.cond(la.eig(law.A)[1]) > 1e4
            result.faults += claim_faults(process, run, paths.shape[2], bounded)
        if found is not None and run.method == "midpoint" and count > 1:
            rows = _single_rows(case.subject)
            if len(rows):
                k = int(rows[0])
                t = (run.mean[k] - process.centre[k]) / run.mean_error[k]
                result.p_values["student"] = float(2.0 * student_t.sf(abs(t), count - 1))
    if not case.sparse:
        result.faults += law_faults(rng, case)
    return result


def _single_rows(subject: Any) -> np.ndarray:
    """Variables read from one cell."""
    return np.flatnonzero(np.diff(subject.readout.matrix.indptr) == 1)


def _again(rng: np.random.Generator, case: Case) -> dict[str, Any]:
    """Now and then the same run with other settings that are to change no bit."""
    chance = rng.random()
    if chance < 0.05 and len(case.laws) == 1:
        return {"trace": int(rng.integers(2, 6))}
    return {"threads": 2} if chance < 0.1 else {}


def _differences(run: Any, twice: Any, paths: np.ndarray, again: dict[str, Any]) -> list[str]:
    same = np.array_equal(_dense(run.covariance), _dense(twice.covariance)) and np.array_equal(run.mean, twice.mean)
    faults = [] if same else [f"other sums with {again}"]
    every = again.get("trace", 1)
    shape = (len(paths), -1) if run.interval == 0 else (-1, paths.shape[2])
    kept = paths.reshape(*shape, paths.shape[3])
    expected = kept[:, ::every].reshape(-1, paths.shape[3])
    exact = every == 1  # else modes are lifted to cells in products of another shape, which round as they please
    size = np.abs(expected).max(axis=0, initial=0.0)
    if (
        twice.samples_kept.shape != expected.shape
        or (np.abs(twice.samples_kept - expected) > (0.0 if exact else 1e-13) * size).any()
    ):
        faults.append(f"other readouts with {again}")
    return faults


def _dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


# What does not depend on chance


def plain_faults(run: Any, paths: np.ndarray, centres: list[np.ndarray]) -> list[str]:
    """Whether the run's moments are those of the readouts that it kept, (members, T, S, p); the law's means."""
    flat = paths.reshape(-1, paths.shape[3])
    faults = []
    if not np.isfinite(flat).all():
        return ["a readout is not finite"]
    if run.samples != len(flat):
        faults.append(f"{run.samples} samples, {len(flat)} readouts")
    mean = flat.mean(axis=0)
    deviations = flat - mean
    covariance = deviations.T @ deviations / len(flat)
    # Sums are taken about the law's mean; a readout is rounded beside its mean.
    reach = np.max(
        [np.abs(path - centre).max(axis=(0, 1)) for path, centre in zip(paths, centres, strict=True)], axis=0
    )
    slack = 1e-11 * reach + 1e-14 * np.abs(flat).max(axis=0)
    if (np.abs(run.mean - mean) > slack).any():
        faults.append("the mean is not that of the readouts")
    reach = np.maximum(reach, np.ptp([*centres, mean], axis=0))
    between = 1e-10 * np.outer(reach, reach) + np.outer(reach, slack) + np.outer(slack, reach)
    if sp.issparse(run.covariance):
        known = run.covariance.tocoo()
        off = np.abs(known.data - covariance[known.row, known.col]) > between[known.row, known.col]
    else:
        off = np.abs(run.covariance - covariance) > between
    if off.any():
        faults.append(f"{int(off.sum())} covariances are not those of the readouts")
    if run.autocovariance is not None and len(paths) == 1:
        y, steps = paths[0] - centres[0], paths.shape[2]
        shift = np.outer(mean - centres[0], mean - centres[0])
        # Of stretches that are not the whole the centre matters, which two laws know to rounding of their currents.
        rest = np.abs(centres[0])
        apart = np.outer(reach, 1e-10 * rest + 1e-14 * rest.max(initial=0.0))
        apart += between + apart.T
        for lag in range(min(len(run.autocovariance), steps)):
            pairs = np.einsum("tki,tkj->ij", y[:, lag:], y[:, : steps - lag]) / (len(y) * (steps - lag)) - shift
            if (np.abs(run.autocovariance[lag] - pairs) > apart).any():
                faults.append(f"autocovariance {lag} is not that of the readouts")
    return faults


def claim_faults(process: Process, run: Any, steps: int, bounded: bool) -> list[str]:
    """Whether the errors that the run states are those of its law.

    Of the mean ``V``, and of a covariance about the sample mean: root mean square, bias included. With N readouts in c
    trajectories, ``A(k)`` the covariance of readout k with the sum of all of its trajectory, and N^2 times the
    variance of ``sum a b - N mean(a) mean(b)`` (Isserlis)

        sum_kl (R_ii R_jj + R_ij R_ji)(k - l) - 2 (c / N) sum_k (A_ii A_jj + A_ij A_ji)(k) + N^2 (V_ii V_jj + V_ij^2).

    Where it is costly the package may leave out the middle one: then what it states is a bound (``bounded``).
    """
    if steps * len(process.H) ** 2 > 400_000:
        return []
    total = float(run.samples)
    count = run.samples // steps
    R = process.lags(steps)
    weight = np.where(np.arange(steps) > 0, 2.0, 1.0) * (1.0 - np.arange(steps) / steps)
    own = np.einsum("lii->li", R)
    plain = (np.einsum("l,li,lj->ij", weight, own, own) + np.einsum("l,lij,lji->ij", weight, R, R)) / total
    sums = np.cumsum(R, axis=0)
    A = sums + np.swapaxes(sums[::-1], 1, 2) - R[0]
    V = A.sum(axis=0) * count / total**2
    variance, diagonal = np.diag(V), np.einsum("kii->ki", A)
    crossed = np.einsum("ki,kj->ij", diagonal, diagonal) + np.einsum("kij,kji->ij", A, A)
    most = plain + np.outer(variance, variance) + 2.0 * V**2
    exact = np.sqrt(np.maximum(most - 2.0 * count * crossed / total**3, 0.0))
    faults = []
    size = np.sqrt(np.maximum(np.diag(R[0]), 0.0))
    seen = resolved(process)
    scale = np.sqrt(np.maximum(plain, 0.0)) + 1e-3 * np.outer(size, size) / np.sqrt(count)
    stated = np.asarray(run.covariance_error)
    most = np.sqrt(most) if bounded else exact
    low, high = stated < exact - 1e-5 * scale, stated > most + 1e-5 * scale
    wrong = low | high
    wrong[~seen] = wrong[:, ~seen] = False
    if wrong.any():
        ratio = stated[wrong] / np.maximum(exact[wrong], 1e-300)
        faults.append(f"covariance errors: {ratio.min():.4g} to {ratio.max():.4g} of what they are")
    mean_exact, mean_stated = np.sqrt(np.maximum(variance, 0.0)), np.asarray(run.mean_error)
    slack = 1e-4 * mean_exact + 1e-6 * size / np.sqrt(count)
    if (np.abs(mean_stated - mean_exact) > slack)[seen].any():
        faults.append(f"mean errors: {(mean_stated / mean_exact)[seen].max():.4g} of what they are")
    return faults


def law_faults(rng: np.random.Generator, case: Case) -> list[str]:
    """Whether `predict` and `spectrum` say what this program's own law says."""
    laws = case.laws
    faults = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            prediction = spu.predict(case.subject)
    except Exception as error:
        return [f"predict: {type(error).__name__}: {str(error)[:120]}"]
    means = np.array([law.centre for law in laws])
    mean = means.mean(axis=0)
    covariance = np.mean([law.covariance for law in laws], axis=0) + (means - mean).T @ (means - mean) / len(laws)
    seen = np.logical_and.reduce([resolved(process_of(law, 0.0)) for law in laws])
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    poles = np.concatenate([law.poles for law in laws])
    spread = np.abs(poles).max() / np.abs(poles).min()
    fine = (1e-9 if len(laws[0].A) <= 100 else 1e-8) + 1e-15 * spread
    # Solutions are rounded beside their largest entries, which the quieter cells do not have.
    loud = np.max([np.sqrt(np.diag(law.P).max(initial=0.0)) * np.linalg.norm(law.H, axis=1) for law in laws], axis=0)
    unit = np.sqrt(size**2 + (1e-15 * len(laws[0].A) / fine) * loud**2)[seen]
    gap = np.abs(_dense(prediction.covariance) - covariance)[np.ix_(seen, seen)]
    worst = float((gap / np.outer(unit, unit)).max(initial=0.0))
    if worst > fine:
        faults.append(f"predict: covariance off by {worst:.2g} (rates spread by {spread:.1g})")
    tall = size + np.max([law.reach for law in laws], axis=0)
    if (np.abs(prediction.mean - mean) > fine * tall).any():
        faults.append(f"predict: mean off by {float((np.abs(prediction.mean - mean) / (tall + 1e-300)).max()):.2g}")
    slow, fast = (-1.0 / poles.real).max(), 1.0 / np.abs(poles).max()
    if spread < 1e10 and len(laws) == 1 and not abs(prediction.time_constants[0] / slow - 1.0) < 1e-6:
        faults.append(f"predict: longest time constant {prediction.time_constants[0]:.6g}, not {slow:.6g}")
    if len(poles) > 80 or not seen.any():
        return faults
    if len(poles) <= 16 and spread < 1e4 and rng.random() < 0.1:
        faults += _band_faults(rng, case, seen, size)
    points = np.exp(rng.uniform(np.log(0.01 / slow), np.log(10.0 / fast), 3))
    if rng.random() < 0.1:
        points[0] = 0.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            found = spu.spectrum(case.subject, points)
    except Exception as error:
        return [*faults, f"spectrum at {points}: {type(error).__name__}: {str(error)[:120]}"]
    for point, density in zip(points, found.density, strict=True):
        own = np.mean([law.spectrum(point) for law in laws], axis=0)
        # What cancels among modes is known to rounding of what they would be alone: the largest possible density.
        most = np.sqrt(np.diag(own).real)[seen] + 1e-7 * np.sqrt(slow) * loud[seen]
        gap = np.abs(density - own)[np.ix_(seen, seen)] / np.outer(most, most)
        if gap.max(initial=0.0) > 1e-6 + 1e-14 * spread:
            faults.append(f"spectrum at {point:.3g} Hz off by {gap.max():.2g}")
    if len(laws) == 1:
        lag = float(np.exp(rng.uniform(np.log(1e-3 * fast), np.log(10.0 * slow))))
        gap = np.abs(found.autocovariance([lag])[0] - laws[0].lagged(lag, 2)[1])[np.ix_(seen, seen)]
        worst = float((gap / np.outer(unit, unit)).max(initial=0.0))
        if worst > fine:
            faults.append(f"spectrum: autocovariance at {lag:.3g} s off by {worst:.2g}")
    return faults


def _band_faults(rng: np.random.Generator, case: Case, seen: np.ndarray, size: np.ndarray) -> list[str]:
    """Whether `predict` says of a band what the integral of the spectra over it is."""
    if len(case.laws) > 1:
        return []
    law = case.laws[0]
    poles = law.poles
    low, high = np.log(0.05 * np.abs(poles).min()), np.log(20.0 * np.abs(poles).max())
    first, last = np.exp(np.sort(rng.uniform(low, high, 2))) / (2.0 * np.pi)
    peaks = np.abs(poles.imag) / (2.0 * np.pi)
    points = np.log(peaks[(peaks > first) & (peaks < last)])
    own = quad_vec(
        lambda t: law.spectrum(float(np.exp(t))).real * np.exp(t),
        np.log(first),
        np.log(last),
        epsabs=1e-9 * float(size[seen].min()) ** 2,
        epsrel=1e-9,
        points=np.unique(points) if len(points) else None,
        limit=2000,
    )[0]
    try:
        found = spu.predict(case.subject, band=(float(first), float(last))).covariance
    except Exception as error:
        return [f"band {first:.3g} to {last:.3g} Hz: {type(error).__name__}: {str(error)[:100]}"]
    unit = np.where(size > 0, size, 1.0)
    gap = (np.abs(found - own) / np.outer(unit, unit))[np.ix_(seen, seen)]
    return [f"band {first:.3g} to {last:.3g} Hz: off by {gap.max():.2g}"] if gap.max() > 1e-7 else []


# What does


def resolved(process: Process) -> np.ndarray:
    """(p,) which variables have more than rounding: of the law, of what cancels, and beside their own mean."""
    size = np.sqrt(np.maximum(np.diag(process.H @ process.P @ process.H.T), 0.0))
    return (size > 1e-6 * _heard(process)) & (size > 1e-9 * process.reach) & (size > 0.0)


def _heard(process: Process) -> np.ndarray:
    """(p,) what a variable would be if nothing cancelled, and no state had less than what the law can resolve."""
    energy = np.maximum(np.diag(process.P), 0.0)
    least = energy.max(initial=0.0) * (1e-12 if len(energy) <= 100 else 1e-4)  # the larger ones are not refined
    return np.sqrt((process.H**2) @ np.where(energy < 1e-12 * least, 1e12 * least, energy))


def hold(
    rng: np.random.Generator, process: Process, paths: np.ndarray, run: Any = None
) -> tuple[dict[str, float], list[str]]:
    """p-values of T trajectories of S readouts, (T, S, p), by kind; with the sums of a run those of its claims."""
    count, steps, _ = paths.shape
    seen = resolved(process)
    faults: list[str] = []
    away = np.abs(paths - process.centre).max(axis=(0, 1), initial=0.0)
    if (away > 100.0 * (1e-6 * _heard(process) + 1e-9 * process.reach))[~seen].any():
        faults.append("a variable moves that should not")
    if not seen.any():
        return {}, faults
    size = np.sqrt(np.diag(process.H @ process.P @ process.H.T)[seen])
    H = process.H[seen] / size[:, None]
    unit = Process(process.transition, process.P, H, process.centre[seen], process.reach[seen])
    y = (paths[:, :, seen] - process.centre[seen]) / size
    p = y.shape[2]
    # Numbers are rounded beside their own mean: a share of their variance.
    rounding = float(((process.reach[seen] / size) ** 2).max()) * 1e-31 + 1e-11
    found: dict[str, float] = {}
    hidden: list[float] = []

    def whitened(lags: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(T, D) independent standard normals out of (T, w, p) readouts."""
        covariance = _square(_toeplitz(lags))
        values, vectors = la.eigh(covariance)
        kept = values > max(1e-6, 1e4 * rounding) * values[-1]
        flat = columns.reshape(count, -1)
        if not kept.all():
            left = float(((flat @ vectors[:, ~kept]) ** 2).sum())
            most = float(values[~kept].max()) + 10.0 * rounding * values[-1]
            hidden.append(float(chi2.sf(left / most, count * int((~kept).sum()))))
        return (flat @ vectors[:, kept]) / np.sqrt(values[kept])

    def energy(z: np.ndarray) -> float:
        return _both(chi2.cdf((z**2).sum(), z.size), chi2.sf((z**2).sum(), z.size))

    here = unit.lags(1)
    found["start"] = energy(whitened(here, y[:, :1]))
    margins = [_both(chi2.cdf(s, count), chi2.sf(s, count)) for s in (y[:, 0] ** 2).sum(axis=0)]
    if steps > 1:
        found["end"] = energy(whitened(here, y[:, -1:]))
        margins += [_both(chi2.cdf(s, count), chi2.sf(s, count)) for s in (y[:, -1] ** 2).sum(axis=0)]
    found["margins"] = min(1.0, len(margins) * min(margins))
    wide = min(steps, max(2, _WIDE // p))
    first = int(rng.integers(0, steps - wide + 1))
    z = whitened(unit.lags(wide), y[:, first : first + wide])
    if steps > 1:
        found["path"] = energy(z)
        found["fine"] = energy(z[:, : max(1, z.shape[1] // 4)])
        found["jumps"] = _jumps(unit.lags(2), y)
        turned = _turned(rng, unit, y[:, first : first + min(wide, 60)]) if p > 1 else None
        if turned is not None:
            found["turned"] = turned
    some = rng.permutation(z.ravel())[:5000]
    found["normal"] = float(kstest(some, "norm").pvalue) if len(some) > 4 else 1.0
    if len(some) <= 4:
        del found["normal"]
    if count > 1:
        order = rng.permutation(count)
        half = count // 2
        a, b = z[order[:half]], z[order[half : 2 * half]]
        found["mates"] = float(2.0 * norm.sf(abs((a * b).sum()) / np.sqrt((a**2).sum())))
        products = (z[: min(count, 400)] @ z[: min(count, 400)].T) / np.linalg.norm(z[: min(count, 400)], axis=1)
        worst = np.abs(products - np.diag(np.diag(products))).max()
        found["pairs"] = min(1.0, 2.0 * norm.sf(worst) * products.shape[0] * (products.shape[0] - 1.0))
    if steps > wide:
        stride = (steps - 1) // (wide - 1)
        columns = y[:, : (wide - 1) * stride + 1 : stride]
        found["long"] = energy(whitened(unit.lags(wide, stride), columns))
    R = unit.lags(steps)
    weight = 1.0 - np.arange(steps) / steps
    V = (np.tensordot(weight, R, 1) + np.tensordot(weight[1:], np.swapaxes(R[1:], 1, 2), 1)) / (count * steps)
    spread = np.sqrt(np.maximum(np.diag(V), 1e-12 / count))
    values, vectors = la.eigh((V + V.T) / 2 / np.outer(spread, spread))
    kept = values > 1e-6
    if kept.any():
        q = float((((y.mean(axis=(0, 1)) / spread) @ vectors[:, kept]) ** 2 / values[kept]).sum())
        found["mean"] = _both(chi2.cdf(q, int(kept.sum())), chi2.sf(q, int(kept.sum())))
    if run is not None:
        found |= _claims(rng, run, R, count, seen, size)
    if hidden:
        found["hidden"] = min(1.0, len(hidden) * min(hidden))
    return found, faults


def _both(lower: float, upper: float) -> float:
    return float(min(1.0, 2.0 * min(lower, upper)))


def _toeplitz(R: np.ndarray) -> np.ndarray:
    """(w, w, p, p): block (k, l) is ``E[y_k y_l^T]``, out of (w, p, p) lags."""
    lag = np.subtract.outer(np.arange(len(R)), np.arange(len(R)))
    blocks = R[np.abs(lag)]
    return np.where((lag >= 0)[:, :, None, None], blocks, np.swapaxes(blocks, 2, 3))


def _square(blocks: np.ndarray) -> np.ndarray:
    w, _, p, _ = blocks.shape
    square = blocks.transpose(0, 2, 1, 3).reshape(w * p, w * p)
    return (square + square.T) / 2


def _claims(
    rng: np.random.Generator, run: Any, R: np.ndarray, count: int, seen: np.ndarray, size: np.ndarray
) -> dict[str, float]:
    """p-values of the covariance and an autocovariance as the run states them, along random directions."""
    steps, p, _ = R.shape
    total = count * steps
    found: dict[str, float] = {}
    if steps > 250 or sp.issparse(run.covariance):
        return found
    u, w = rng.standard_normal((2, p))
    series = np.einsum("i,lij,j->l", u, R, u)
    own = la.toeplitz(series)
    centred = _centred(own)
    scaled = run.covariance[np.ix_(seen, seen)] / np.outer(size, size)
    weights = [np.linalg.eigvalsh(centred)]
    freedom = [np.ones(steps)]
    if count > 1:
        weights.append(np.linalg.eigvalsh(own))
        freedom.append(np.full(steps, count - 1.0))
    if (
        max(float(each.max()) for each in weights) > 1e-8 * series[0]
    ):  # else readouts are all the same, but for rounding
        found["variance"] = two_sided(float(u @ scaled @ u) * total, np.concatenate(weights), np.concatenate(freedom))
    if run.autocovariance is None or steps > 100 or steps < 2:
        return found
    lag = min(len(run.autocovariance) - 1, steps - 1)
    # x(k)^T M x(l) summed is the product of u y(k + lag) and w y(k), less the grand mean's.
    root = _joint_root(R, u, w)
    form = np.zeros((2 * steps, 2 * steps))
    k = np.arange(steps - lag)
    form[k + lag, steps + k] = 1.0 / (count * (steps - lag))
    square = np.zeros_like(form)
    square[:steps, steps:] = count / total**2
    value = float(u @ (run.autocovariance[lag][np.ix_(seen, seen)] / np.outer(size, size)) @ w)
    spread, freedom = _weights(root, [(form, count - 1), (form - square, 1)])
    if np.abs(spread).max() > 1e-8 * np.sqrt(series[0] * (w @ R[0] @ w)) / total:
        found["lagged"] = two_sided(value, spread, freedom)
    return found


def _jumps(R: np.ndarray, y: np.ndarray) -> float:
    """The worst of all steps: of two readouts side by side, whitened, what varies least is what is new."""
    count, steps, p = y.shape
    values, vectors = la.eigh(_square(_toeplitz(R)))
    new = np.flatnonzero(values > 1e-5 * values[-1])[:p]
    z = (y[:, :-1] @ vectors[:p, new] + y[:, 1:] @ vectors[p:, new]) / np.sqrt(values[new])
    energies, freedom = (z**2).sum(axis=(0, 2)), count * len(new)
    worst = min(chi2.sf(energies.max(), freedom), chi2.cdf(energies.min(), freedom))
    return float(min(1.0, 2.0 * (steps - 1) * worst))


def _turned(rng: np.random.Generator, unit: Process, y: np.ndarray) -> float | None:
    """Of the part of a lagged product that changes its sign when time runs backwards; None where there is none."""
    count, steps, p = y.shape
    lag = int(np.exp(rng.uniform(0.0, np.log(steps))))
    lag = min(lag, steps - 1)
    u, w = rng.standard_normal((2, p))
    a, b = y @ u, y @ w
    value = float((a[:, lag:] * b[:, : steps - lag]).sum() - (b[:, lag:] * a[:, : steps - lag]).sum())
    form, k = np.zeros((2 * steps, 2 * steps)), np.arange(steps - lag)
    form[k + lag, steps + k] += 1.0
    form[steps + k + lag, k] -= 1.0
    weights, freedom = _weights(_joint_root(unit.lags(steps), u, w), [(form, count)])
    # Of readouts that are multiples of one another it is zero, to rounding of its terms.
    terms = np.sqrt((a**2).sum() * (b**2).sum()) / count
    return two_sided(value, weights, freedom) if np.abs(weights).max() > 1e-6 * terms else None


def _joint_root(R: np.ndarray, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(2 S, 2 S) a root of the covariance of the two series ``u y`` and ``w y``."""
    joint = np.block([[_one(R, u, u), _one(R, u, w)], [_one(R, w, u), _one(R, w, w)]])
    values, vectors = la.eigh((joint + joint.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _weights(root: np.ndarray, forms: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Weights and degrees of freedom of a sum of quadratic forms, each so many times, of series with such a root."""
    weights, freedom = [], []
    for matrix, times in forms:
        if times:
            inner = root.T @ ((matrix + matrix.T) / 2) @ root
            weights.append(np.linalg.eigvalsh((inner + inner.T) / 2))
            freedom.append(np.full(len(inner), float(times)))
    return np.concatenate(weights), np.concatenate(freedom)


def _one(R: np.ndarray, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(S, S): ``E[(u y_k) (w y_l)]``."""
    later = np.einsum("i,lij,j->l", u, R, w)  # k - l >= 0
    earlier = np.einsum("i,lji,j->l", u, R, w)
    return la.toeplitz(later, earlier)


def _centred(matrix: np.ndarray) -> np.ndarray:
    found = matrix - matrix.mean(axis=0, keepdims=True)
    return found - found.mean(axis=1, keepdims=True)
