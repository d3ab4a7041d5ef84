"""Spectra and autocovariances: exact ones, those ngspice measures, and those estimated from sampled paths.

A one-sided cross-spectral density is ``S_ij(f) = 2 E[Y_i conj(Y_j)]`` a hertz, f > 0: its real part integrates to
the covariance, its diagonal is what designers call noise density. The exact one is ``H(f) H(f)^*`` with the transfer
functions of all noise sources (`spu.emulator.laws.stationary`).

From N samples of a path it is estimated by Welch's method (IEEE Trans. Audio Electroacoust. 15:70, 1967): the
average of the periodograms of overlapping, windowed segments. At each frequency the estimate of a density is that
density, smoothed by the window, times ``chi^2 / nu``; with K segments whose windows overlap by the normalised
products rho_k, ``nu = 2 K / (1 + 2 sum (1 - k/K) rho_k)`` (Percival and Walden, Spectral Analysis for Physical
Applications, 1993, eq. 292b). What the window smooths, sampling aliases and held noise adds is no error: from the
autocovariance of the samples the expected estimate follows exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.choice import first_largest, first_smallest, stable_order
from spu.base.display import Result
from spu.base.errors import InternalError, UsageError
from spu.emulator.labelled import SQUARES, Labels
from spu.emulator.laws.acquired import Acquired
from spu.emulator.laws.large import LARGE
from spu.emulator.laws.law import Law
from spu.emulator.laws.stationary import Stationary
from spu.emulator.laws.welch import Estimate

if TYPE_CHECKING:
    import xarray

_BLOCK = 30_000_000
"""Most numbers of transfer functions that are held at a time."""

PEAKS = 500
"""Most resonances that get points of their own."""

_INTEGRAL = 0.2
"""What the integral of a spectrum over the frequencies that are drawn may be off."""


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Result):
    """Exact cross-spectra.

    Attributes
    ----------
    variables:
        p names.
    frequencies:
        (f,) Hz.
    density:
        (f, p, p) one-sided, Hermitian, problem units squared a hertz; of an ensemble the average over programmings.

    Examples
    --------
    >>> import spu
    >>> found = spu.spectrum(spu.compile([[2.0, -0.5], [-0.5, 1.0]]), [1e5, 1e6])
    >>> found.density.shape, found.coherence.shape, found.autocovariance([0.0]).shape
    ((2, 2, 2), (2, 2, 2), (1, 2, 2))
    >>> found.autocovariance([0.0])[0].round(3)
    array([[0.571, 0.286],
           [0.286, 1.143]])
    """

    variables: tuple[str, ...]
    frequencies: Annotated[FloatArray, "f"]
    density: Annotated[ComplexArray, "f p p"]
    _laws: tuple[Stationary | Acquired, ...]
    _maps: tuple[FloatArray, ...]

    in_short = ("variables",)

    @property
    def coherence(self) -> Annotated[FloatArray, "f p p"]:
        """(f, p, p) ``|S_ij|^2 / (S_ii S_jj)``, from 0 to 1; 0 where one is silent."""
        return coherence(self.density)

    def autocovariance(self, lags: Annotated[ArrayLike, "k"]) -> Annotated[FloatArray, "k p p"]:
        """``E[x(t + lag) x(t)^T]`` about the mean, (k, p, p) problem units squared, at lags (k,) in s."""
        found = [autocovariance(law, lags, T) for law, T in zip(self._laws, self._maps, strict=True)]
        return np.asarray(np.mean(found, axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Arrays by name; the complex density as its real and its imaginary part."""
        return {
            "variables": self.variables,
            "frequencies": self.frequencies,
            "density": self.density.real,
            "density_imaginary": self.density.imag,
            "coherence": self.coherence,
        }

    def to_xarray(self) -> xarray.Dataset:
        """Densities and coherences as labelled arrays (`spu.emulator.labelled`).

        Raises
        ------
        UsageError
            If xarray is not installed.
        """
        found = Labels()
        found.names("variable", self.variables)
        found.coordinate("frequency", self.frequencies, "Hz")
        found.array("density", ("frequency", "variable", "variable_"), self.density, f"{SQUARES}/Hz")
        found.array("coherence", ("frequency", "variable", "variable_"), self.coherence, "1")
        return found.dataset()


def coherence(density: ComplexArray) -> FloatArray:
    """(f, p, p) magnitude-squared coherence of (f, p, p) cross-spectra."""
    own = np.einsum("kii->ki", density).real
    product = own[:, :, None] * own[:, None, :]
    return np.asarray(np.abs(density) ** 2 / np.where(product > 0, product, 1.0))


def known_modes(law: Law) -> Stationary:
    """The law, refused where it is that of a large network."""
    if not isinstance(law, Stationary):
        raise UsageError(f"spectra need all modes: this network is too large (more than {LARGE} states)")
    return law


def densities(law: Stationary, frequencies: FloatArray, lift: FloatArray) -> ComplexArray:
    """(f, q, q) one-sided cross-spectra of ``lift @ probes``, lift (q, p), at (f,) Hz."""
    if law.modes is not None:
        shapes = lift @ law.modes.probes
        return np.asarray((shapes * law.modes.spectrum(frequencies)[:, None, :]) @ shapes.T, dtype=np.complex128)
    size = lift.shape[1] * law.sde.K.shape[1]
    parts = np.array_split(frequencies, max(1, min(len(frequencies), size * len(frequencies) // _BLOCK)))
    found = []
    for part in parts:
        h = lift @ law.noise_transfer(part)
        found.append(h @ np.conj(np.swapaxes(h, 1, 2)))
    return np.concatenate(found)


def autocovariance(law: Stationary | Acquired, lags: ArrayLike, lift: FloatArray) -> FloatArray:
    """(k, q, q) autocovariance of ``lift @ probes`` at lags (k,) in s."""
    if isinstance(law, Acquired):
        return np.asarray(lift @ law.autocovariance(np.atleast_1d(np.asarray(lags, dtype=np.float64))) @ lift.T)
    if law.modes is not None:
        modes = law.modes
        shapes = lift @ modes.probes
        each = modes.correlation(np.abs(np.atleast_1d(np.asarray(lags, dtype=np.float64)))) * modes.variance
        return np.asarray((shapes * each[:, None, :]) @ shapes.T)
    return np.asarray(lift @ law.autocovariance(lags) @ lift.T)


def spectrum_frequencies(poles: ComplexArray) -> FloatArray:
    """Choose frequencies (Hz): logarithmic from well below to well above the poles, dense at resonances.

    Raises
    ------
    UsageError
        If there are no poles.
    """
    if not len(poles):
        raise UsageError("without capacitors and inductors all spectra are flat: there is none to write or to draw")
    radii, widths = np.abs(poles) / (2 * np.pi), -poles.real / (2 * np.pi)
    low, high = min(radii.min(), widths.min()) / 100, radii.max() * 100
    grids = [np.geomspace(low, high, int(20 * np.log10(high / low)) + 1)]
    # A peak of half-width w: points closest at its top, out to 30 w and to where the others are as close. Poles
    # that nearly coincide share theirs.
    centres = np.abs(poles.imag) / (2 * np.pi)
    peaks: dict[tuple[int, float], tuple[float, float]] = {}
    for f, w in zip(centres.tolist(), widths.tolist(), strict=True):
        peaks.setdefault((round(10.0 * f / w), float(f"{w:.1e}")), (f, w))
    for centre, width in sorted(peaks.values())[:PEAKS]:
        reach = max(4.1, float(np.arcsinh(0.1 * centre / width)))
        grids.append(centre + width * np.sinh(np.linspace(-reach, reach, 2 * round(3 * reach) + 1)))
    grid = np.unique(np.concatenate(grids))
    return grid[(grid >= low) & (grid <= high)]


def frequencies_of(laws: Sequence[Stationary]) -> FloatArray:
    """Choose frequencies (Hz) for the spectra of some laws: of their poles, and of what else their noise shows."""
    poles = spectrum_frequencies(np.concatenate([law.poles for law in laws]))
    return np.unique(np.concatenate([poles, *(law.frequencies for law in laws)]))


def telling(covariance: FloatArray, most: int = 4) -> tuple[list[int], list[tuple[int, int]]]:
    """Which cells and pairs to show of many.

    Parameters
    ----------
    covariance:
        (p, p).
    most:
        Cells to choose where there are more.

    Returns
    -------
    Indices of cells, ascending: the two that go together most, the two that oppose each other most (or go together
    least), the loudest; and the two pairs. Those that do not move, such as clamped ones, are left out where others do.
    """
    variance = np.diag(covariance)
    moving = np.flatnonzero(variance)
    if 0 < len(moving) < len(variance):
        cells, pairs = telling(covariance[np.ix_(moving, moving)], most)
        return moving[cells].tolist(), [(int(moving[a]), int(moving[b])) for a, b in pairs]
    size = np.sqrt(np.where(variance > 0, variance, np.inf))
    p = len(variance)
    if p == 1:
        return [0], []
    correlation = covariance / size / size[:, None]
    rows, columns = np.triu_indices(p, 1)
    each = correlation[rows, columns]
    extremes = (first_largest(each, 1.0), first_smallest(each, 1.0))
    pairs = list(dict.fromkeys((int(rows[k]), int(columns[k])) for k in extremes))
    cells = list(dict.fromkeys([k for pair in pairs for k in pair] + stable_order(-variance).tolist()))
    return sorted(cells[: max(most, 2 * len(pairs))] if p > most else range(p)), pairs


@dataclass(frozen=True, eq=False)
class Spectra:
    """The same spectra three ways, of a few telling cells (or variables): q of them, in volts.

    Attributes
    ----------
    cells:
        q names.
    pairs:
        Pairs of them, by index, whose cross-spectra are telling.
    frequencies, exact:
        (f,) Hz, (f, q, q) V^2/Hz: the emulator's.
    sweep_frequencies, sweep:
        The simulator's ``.ac`` transfer functions with the densities of its sources, (g,) and (g, q, q); None
        where level ``ac`` did not run.
    noise_frequencies, noise:
        Its ``.noise``, (h,) and (h, q): densities alone.
    transient:
        Welch's estimate from its transient; None where level ``noise`` did not run.
    expected:
        What is expected of it: sampled and held noise, window and aliasing included, (w, q, q).
    simulator:
        What found all but the emulator's.
    of, unit:
        What the names are of, and in which unit it moves.
    """

    cells: tuple[str, ...]
    pairs: list[tuple[int, int]]
    frequencies: Annotated[FloatArray, "f"]
    exact: Annotated[ComplexArray, "f q q"]
    sweep_frequencies: Annotated[FloatArray, "g"] | None = None
    sweep: Annotated[ComplexArray, "g q q"] | None = None
    noise_frequencies: Annotated[FloatArray, "h"] | None = None
    noise: Annotated[FloatArray, "h q"] | None = None
    transient: Estimate | None = None
    expected: Annotated[ComplexArray, "w q q"] | None = None
    simulator: str = "ngspice"
    of: str = "cell"
    unit: str = "V"


@dataclass(frozen=True, eq=False)
class Autocovariances:
    """Autocovariances of a few telling variables, exact and sampled.

    Attributes
    ----------
    variables, pairs:
        q names; pairs of them by index.
    lags, sampled, error:
        (k,) s, (k, q, q) problem units squared, and the standard errors of these, None where they are not known.
    fine, exact:
        (g,) s and (g, q, q): the law's own, None where it is not known.
    """

    variables: tuple[str, ...]
    pairs: list[tuple[int, int]]
    lags: Annotated[FloatArray, "k"]
    sampled: Annotated[FloatArray, "k q q"]
    error: Annotated[FloatArray, "k q q"] | None
    fine: Annotated[FloatArray, "g"]
    exact: Annotated[FloatArray, "g q q"] | None


def compare_autocovariances(
    laws: Sequence[Law], sampled: FloatArray, interval: float, readouts: int
) -> Autocovariances:
    """Set sampled autocovariances beside the exact ones.

    Parameters
    ----------
    laws:
        Of all programmings.
    sampled:
        (lags + 1, p, p) problem units squared; by its first entry variables are chosen.
    interval, readouts:
        s between readouts, and how many there were in all.
    """
    chosen, pairs = telling(sampled[0])
    names = laws[0].sde.readout.variables
    lags: FloatArray = np.arange(len(sampled), dtype=np.float64) * interval
    fine = np.linspace(0.0, lags[-1], min(600, 1 + 40 * (len(lags) - 1)))
    exact = error = None
    known = [law for law in laws if isinstance(law, Stationary)]
    if len(known) == len(laws):
        maps = [law.sde.readout.matrix[chosen].toarray() for law in known]
        exact = np.mean([autocovariance(law, fine, T) for law, T in zip(known, maps, strict=True)], axis=0)
        if len(known) == 1:
            reach = len(lags) + int(min(2000.0, np.ceil(10.0 * known[0].time_constants[0] / interval)))
            error = _scatter(autocovariance(known[0], np.arange(reach) * interval, maps[0]), len(lags), readouts)
    places = [(chosen.index(a), chosen.index(b)) for a, b in pairs]
    return Autocovariances(
        tuple(names[k] for k in chosen), places, lags, sampled[:, chosen][:, :, chosen], error, fine, exact
    )


def _scatter(R: FloatArray, count: int, readouts: int) -> FloatArray:
    """(count, q, q) standard errors of autocovariances estimated from that many readouts, from the known one R.

    ``Var R_ij(l) = sum_m (R_ii(m) R_jj(m) + R_ij(m + l) R_ji(m - l)) / N`` (Bartlett 1946), the sum over all lags.
    """
    both = np.concatenate([np.swapaxes(R[:0:-1], 1, 2), R])
    own = np.einsum("mii->mi", both)
    products = own.T @ own
    found = np.empty((count, *R.shape[1:]))
    for lag in range(count):
        crossed = (both[2 * lag :] * np.swapaxes(both[: len(both) - 2 * lag], 1, 2)).sum(axis=0)
        found[lag] = np.sqrt(np.maximum(products + crossed, 0.0) / readouts)
    return found


def exact_spectra(law: Stationary) -> Spectra:
    """The exact spectra of a few telling cells."""
    frequencies = frequencies_of([law])  # refuses what has none, first
    cells, pairs = telling(law.voltage_covariance if not law.sde.D.nnz else law.band_covariance(0.0, _edge(law)))
    lift = np.eye(len(law.sde.probes))[cells]
    exact = densities(law, frequencies, lift)
    if len(law.poles) <= PEAKS:
        hold_integral(law, frequencies, exact, lift)
    return Spectra(
        cells=tuple(law.sde.probes[k] for k in cells),
        pairs=[(cells.index(a), cells.index(b)) for a, b in pairs],
        frequencies=frequencies,
        exact=exact,
    )


def hold_integral(law: Stationary, frequencies: FloatArray, density: ComplexArray, lift: FloatArray) -> None:
    """Hold densities (f, q, q) of ``lift @ probes`` at well chosen frequencies against its variances.

    They are constant below the first frequency, and fall with its square above the last. By the trapezoid rule
    between them they give variances to some per cent: enough to see a factor, a missing source or a wrong unit.

    Raises
    ------
    InternalError
        If one differs by more than `_INTEGRAL`.
    """
    if law.sde.D.nnz:
        return
    own = np.einsum("kii->ki", density).real
    found = np.trapezoid(own, frequencies, axis=0) + own[0] * frequencies[0] + own[-1] * frequencies[-1]
    expected = ((lift @ law.voltage_covariance) * lift).sum(axis=1)
    loud = expected > 1e-9 * expected.max(initial=0.0)
    off = np.abs(found - expected) > _INTEGRAL * expected
    if (off & loud).any():
        k = int(np.argmax(off & loud))
        raise InternalError(f"a spectrum integrates to {found[k]:.4g}, where the variance is {expected[k]:.4g}")


def _edge(law: Stationary) -> float:
    """Hz, above all poles: where a cell sees white noise directly, its variance needs a band."""
    return float(np.abs(law.poles).max())


def correlations(transition: FloatArray, left: FloatArray, right: FloatArray, count: int) -> FloatArray:
    """(count, q, q) ``left transition^l right`` for l from 0 on: the autocovariance of samples of a linear law."""
    found = np.empty((count, len(left), right.shape[1]))
    current = right
    for lag in range(count):
        found[lag] = left @ current
        current = transition @ current
    return found
