"""Spectra and autocovariances, exact, estimated and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spu.reports.pictures.figures import new_figure, one_legend, panel_count, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from spu.base.arrays import FloatArray
    from spu.emulator.laws.spectra import Autocovariances, Spectra


_FLOOR = 2e-3  # of the highest noise density (V/sqrt(Hz)): 54 dB below it a picture ends

_WELCH = "{} transient: Welch, 95 % band"

_MARKS = 28  # markers on a curve


def draw_spectra(spectra: Spectra) -> Figure:
    """Draw noise densities of a few cells and how pairs of them go together, by emulator and simulator."""
    rows = 2 if panel_count(spectra) > 3 else 1
    figure = new_figure(4.6 * min(3, panel_count(spectra)) + 0.6, 0.9 + 3.9 * rows)
    spectra_panels(figure, spectra)
    return figure


def spectra_panels(figure: Figure | SubFigure, spectra: Spectra) -> None:
    """Draw densities and coherences, a panel each."""
    import numpy as np

    panels = panel_count(spectra)
    columns = min(3, panels)
    axes = list(np.ravel(figure.subplots(-(-panels // columns), columns, squeeze=False)))
    for unused in axes[panels:]:
        unused.axis("off")
    diagonal = np.einsum("kii->ki", spectra.exact).real
    top = float(np.sqrt(diagonal.max()))
    heard = spectra.frequencies[np.sqrt(diagonal.max(axis=1)) > _FLOOR * top]
    low, high = float(heard[0]), float(heard[-1])
    for axis in axes[:panels]:
        axis.set_xscale("log")
        axis.set_xlim(low, high)
        axis.set_xlabel("frequency, Hz")
        axis.grid(True, which="major", color="0.85", linewidth=0.6)
    for k, name in enumerate(spectra.cells):
        _density(axes[k], spectra, k)
        axes[k].set_title(f"{spectra.of} {name}: noise density")
        axes[k].set_yscale("log")
        axes[k].set_ylim(_FLOOR * top, 2.0 * top)
        axes[k].set_ylabel(f"{spectra.unit}/sqrt(Hz), one-sided")
    for axis, (a, b) in zip(axes[len(spectra.cells) :], spectra.pairs, strict=False):
        _togetherness(axis, spectra, a, b)
        axis.set_title(f"{spectra.cells[a]} with {spectra.cells[b]}\n(1: together, -1: opposite)")
        axis.set_ylim(-1.08, 1.08)
        axis.set_ylabel("coherence in phase, Re S_ab / sqrt(S_aa S_bb)", fontsize=9)
    one_legend(figure, axes[:panels])


def _density(axes: Axes, spectra: Spectra, k: int) -> None:
    """The noise density of one cell, every way it is known."""
    import numpy as np

    estimate, expected = spectra.transient, spectra.expected
    if estimate is not None and expected is not None:
        found = np.sqrt(estimate.density[:, k, k].real)
        low, high = np.sqrt(estimate.band())
        at = estimate.frequencies
        axes.fill_between(at, low * found, high * found, color="0.8", label=_WELCH.format(spectra.simulator))
        shown = np.sqrt(expected[:, k, k].real)
        _expected(axes, at, shown)
    axes.plot(spectra.frequencies, np.sqrt(spectra.exact[:, k, k].real), "k-", linewidth=1.3, label="emulator, exact")
    if spectra.sweep is not None and spectra.sweep_frequencies is not None:
        measured = np.sqrt(spectra.sweep[:, k, k].real)
        _marks(axes, spectra.sweep_frequencies, measured, "o", f"{spectra.simulator} .ac and source densities")
    if spectra.noise is not None and spectra.noise_frequencies is not None:
        _marks(axes, spectra.noise_frequencies, np.sqrt(spectra.noise[:, k]), "x", f"{spectra.simulator} .noise")


def _togetherness(axes: Axes, spectra: Spectra, a: int, b: int) -> None:
    """How far two cells go together (1) or oppose each other (-1) at each frequency."""
    import numpy as np

    def normal(density: Any) -> FloatArray:
        own = density[:, a, a].real * density[:, b, b].real
        return np.asarray(density[:, a, b].real / np.sqrt(np.where(own > 0, own, np.inf)))

    estimate, expected = spectra.transient, spectra.expected
    if estimate is not None and expected is not None:
        found, ideal = normal(estimate.density), normal(expected)
        # To first order, as of a correlation coefficient from that many independent pairs.
        half = 1.96 * (1.0 - ideal**2) / np.sqrt(estimate.freedom)
        low, high = np.clip(found - half, -1, 1), np.clip(found + half, -1, 1)
        axes.fill_between(estimate.frequencies, low, high, color="0.8", label=_WELCH.format(spectra.simulator))
        _expected(axes, estimate.frequencies, ideal)
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.plot(spectra.frequencies, normal(spectra.exact), "k-", linewidth=1.3, label="emulator, exact")
    if spectra.sweep is not None and spectra.sweep_frequencies is not None:
        _marks(
            axes, spectra.sweep_frequencies, normal(spectra.sweep), "o", f"{spectra.simulator} .ac and source densities"
        )


def _expected(axes: Axes, at: FloatArray, values: FloatArray) -> None:
    label = "expected of that transient: held noise, aliasing, window"
    axes.plot(at, values, "--", color="tab:red", linewidth=2.4, label=label, zorder=1.9)


def _marks(axes: Axes, at: FloatArray, values: FloatArray, marker: str, label: str) -> None:
    """Draw some points of a curve, evenly on the axis, and where it is highest."""
    import numpy as np

    wanted = np.geomspace(*axes.get_xlim(), _MARKS)
    chosen = np.unique([*np.searchsorted(at, wanted).clip(0, len(at) - 1).tolist(), int(np.argmax(values))])
    fill: dict[str, Any] = {"markerfacecolor": "none"} if marker == "o" else {}
    size = 5.5 if marker == "o" else 4.0
    axes.plot(at[chosen], values[chosen], marker, color="tab:blue", markersize=size, label=label, zorder=3, **fill)


def draw_autocovariances(found: Autocovariances) -> Figure:
    """Draw autocovariances of a few variables and pairs: exact lines, sampled markers with standard errors."""
    figure = new_figure(13.8, autocovariance_height(found))
    autocovariances(figure, found)
    return figure


def autocovariance_height(found: Autocovariances) -> float:
    """Height of the figure, inches."""
    return 0.8 + 3.4 * -(-(len(found.variables) + len(found.pairs)) // 3)


def autocovariances(figure: Figure | SubFigure, found: Autocovariances) -> None:
    """Draw autocovariances, a panel a cell."""
    import numpy as np

    curves = [(k, k) for k in range(len(found.variables))] + found.pairs
    columns = min(3, len(curves))
    axes = list(np.ravel(figure.subplots(-(-len(curves) // columns), columns, squeeze=False)))
    for unused in axes[len(curves) :]:
        unused.axis("off")
    scale, unit = time_unit(float(found.lags[-1]))
    step = -(-len(found.lags) // 60)  # markers that can be told apart
    for axis, (a, b) in zip(axes, curves, strict=False):
        at = found.lags[::step] * scale
        values = found.sampled[::step, a, b]
        error = None if found.error is None else 2.0 * found.error[::step, a, b]
        label = "samples" if error is None else "samples, +- 2 standard errors"
        bars: dict[str, Any] = {"markerfacecolor": "none", "markersize": 5, "elinewidth": 1.0, "capsize": 2}
        axis.errorbar(at, values, yerr=error, fmt="o", color="tab:blue", label=label, **bars)
        if found.exact is not None:
            axis.plot(found.fine * scale, found.exact[:, a, b], "k-", linewidth=1.3, label="emulator, exact", zorder=3)
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        one, other = found.variables[a], found.variables[b]
        axis.set_title(f"autocovariance of {one}" if a == b else f"{one} against {other} earlier")
        axis.set_xlabel(f"lag, {unit}")
        axis.set_ylabel("problem units squared")
        axis.grid(True, color="0.85", linewidth=0.6)
    one_legend(figure, axes[: len(curves)])
