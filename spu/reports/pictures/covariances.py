"""Covariances, and errors against samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spu.reports.pictures.figures import (
    MOST_NUMBERS,
    MOST_PIXELS,
    coarsened,
    common_scale,
    heat_map,
    new_figure,
    panel_count,
    time_unit,
)
from spu.reports.pictures.spectra import autocovariance_height, autocovariances, spectra_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from spu.base.arrays import FloatArray
    from spu.emulator.laws.spectra import Spectra
    from spu.emulator.predict import Prediction
    from spu.emulator.runs.sampling import Simulation


def _exact(covariances: Mapping[str, FloatArray]) -> dict[str, str]:
    """Those that do not scatter, with what they are called in titles."""
    exact = (name for name in covariances if not name.endswith(" transient"))
    return {name: "ideal model" if name == "ideal" else name for name in exact}


_MOST_READOUTS = 100  # of a trace


def draw_covariances(variables: Sequence[str], covariances: Mapping[str, FloatArray]) -> Figure:
    """Draw covariances on one scale; beneath, how they differ from the first."""
    figure = new_figure(4.2 * len(_exact(covariances)) + 1.2, 8.4)
    _covariances(figure, variables, covariances)
    return figure


def _covariances(figure: Figure | SubFigure, variables: Sequence[str], covariances: Mapping[str, FloatArray]) -> None:
    import numpy as np

    titles = _exact(covariances)
    shown = list(titles)
    axes: Any = np.array(figure.subplots(2, len(shown), squeeze=False))
    reference = covariances[shown[0]]
    scale = common_scale([covariances[name] for name in shown])
    differences = [covariances[name] - reference for name in shown[1:]]
    fine = common_scale(differences)
    unit = 10.0 ** np.floor(np.log10(fine))
    for k, name in enumerate(shown):
        image = heat_map(axes[0, k], covariances[name], variables, scale)
        axes[0, k].set_title(f"covariance: {titles[name]}")
        if k == 0:
            continue
        gap = float(np.linalg.norm(differences[k - 1]) / (np.linalg.norm(reference) or 1.0))
        below = heat_map(axes[1, k], differences[k - 1], variables, fine, unit)
        axes[1, k].set_title(f"{titles[name]} - {titles[shown[0]]}\n({gap:.1e} of it, Frobenius)")
    figure.colorbar(image, ax=list(axes[0]), shrink=0.85, label="problem units squared")
    axes[1, 0].axis("off")
    axes[1, 0].text(
        *(0.5, 0.5),
        f"Right: differences to the {titles[shown[0]]},\non a scale of their own "
        f"(numbers: times {unit:.0e}).\n\n"
        "Numbers, or a minus sign on\nnegative entries, where there is room.",
        ha="center",
        va="center",
        transform=axes[1, 0].transAxes,
    )
    if differences:
        figure.colorbar(below, ax=list(axes[1]), shrink=0.85, label="difference, problem units squared")


def draw_check(variables: Sequence[str], covariances: Mapping[str, FloatArray], spectra: Spectra | None) -> Figure:
    """Draw what a check found: the covariances, and beneath the spectra of a few cells."""
    if spectra is None:
        return draw_covariances(variables, covariances)
    rows = 2 if panel_count(spectra) > 3 else 1
    figure = new_figure(4.2 * max(3, len(_exact(covariances))) + 1.2, 9.0 + 4.0 * rows)
    parts: Any = figure.subfigures(2, 1, height_ratios=[8.4, 0.6 + 4.0 * rows])
    _covariances(parts[0], variables, covariances)
    spectra_panels(parts[1], spectra)
    return figure


def draw_prediction(prediction: Prediction) -> Figure:
    """Draw the exact covariance, and beside it the spectra of a few cells where the modes are known."""
    from spu.emulator.laws.spectra import exact_spectra
    from spu.emulator.laws.stationary import Stationary

    if not isinstance(prediction.law, Stationary):
        figure = new_figure(7.5, 6.4)
        _one_covariance(figure, prediction.variables, prediction.covariance, "predicted covariance")
        return figure
    spectra = exact_spectra(prediction.law)
    columns, rows = min(3, panel_count(spectra)), 2 if panel_count(spectra) > 3 else 1
    figure = new_figure(7.0 + 4.2 * columns, 0.8 + 3.6 * max(rows, 1.4))
    parts: Any = figure.subfigures(1, 2, width_ratios=[7.0, 4.2 * columns])
    band = prediction.band
    where = "" if band is None else f", {band[0]:g} Hz to {band[1]:g} Hz"
    _one_covariance(parts[0], prediction.variables, prediction.covariance, f"predicted covariance{where}")
    spectra_panels(parts[1], spectra)
    return figure


def _one_covariance(figure: Figure | SubFigure, variables: Sequence[str], covariance: Any, title: str) -> None:
    axes = figure.subplots()
    matrix, names, note = _drawable(variables, covariance)
    image = heat_map(axes, matrix, names, common_scale([matrix]))
    axes.set_title(title + note)
    figure.colorbar(image, ax=axes, shrink=0.6, label="problem units squared")


def _drawable(variables: Sequence[str], covariance: Any) -> tuple[FloatArray, Sequence[str], str]:
    """A dense matrix of no more than `MOST_PIXELS` rows, its names, and what was done to it."""
    import scipy.sparse as sp

    if len(variables) > MOST_PIXELS:
        size = -(-len(variables) // MOST_PIXELS)
        return coarsened(covariance, size), variables[::size], f"\n(largest entry in blocks of {size} x {size})"
    return (covariance.toarray() if isinstance(covariance, sp.csr_array) else covariance), variables, ""


def draw_simulation(run: Simulation, prediction: Prediction) -> Figure:
    """Draw the sampled covariance beside what it should be, autocovariances (of a run with lags), and a trace."""
    from spu.emulator.laws.spectra import compare_autocovariances

    covariances: dict[str, FloatArray] = {}
    names: Sequence[str] = run.variables
    for name, found in (
        ("ideal", run.target_covariance),
        ("emulator", prediction.covariance),
        ("samples", run.covariance),
    ):
        if found is not None:
            covariances[name], names, _ = _drawable(run.variables, found)
    heights, parts = [8.4], []
    if run.autocovariance is not None and run.interval > 0:
        laws = prediction.laws or (prediction.law,)
        parts.append(compare_autocovariances(laws, run.autocovariance, run.interval, run.samples))
        heights.append(autocovariance_height(parts[0]))
    if run.readouts is not None and run.interval > 0:
        heights.append(3.6)
    figure = new_figure(4.2 * max(3, len(covariances)) + 1.2, sum(heights))
    made: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    slots = list(made[:, 0])
    _covariances(slots.pop(0), names, covariances)
    if parts:
        autocovariances(slots.pop(0), parts[0])
    if slots:
        _trace(slots[0], run)
    return figure


def _trace(figure: Figure | SubFigure, run: Simulation) -> None:
    """The first readouts of the first trajectory, of a few variables."""
    import numpy as np

    from spu.emulator.laws.spectra import telling

    assert run.readouts is not None and run.times is not None
    readouts, time = run.readouts[0, :_MOST_READOUTS], run.times[:_MOST_READOUTS]
    covariance = run.covariance if isinstance(run.covariance, np.ndarray) else np.diag(run.covariance.diagonal()[:3])
    chosen = telling(covariance)[0][:3]
    axes = figure.subplots()
    scale, unit = time_unit(float(time[-1]))
    styles = zip(chosen, ("-", "--", ":"), ("black", "tab:blue", "tab:red"), ("o", "s", "^"), strict=False)
    for k, line, colour, marker in styles:
        form: dict[str, Any] = {"linestyle": line, "marker": marker, "markersize": 3, "linewidth": 1.0}
        axes.plot(time * scale, readouts[:, k], color=colour, label=run.variables[k], **form)
    axes.set_title(f"the first {len(readouts)} readouts of one trajectory")
    axes.set_xlabel(f"device time, {unit}")
    axes.set_ylabel("problem units")
    axes.grid(True, color="0.85", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def draw_matrix(
    title: str, matrix: FloatArray, names: Sequence[str], scale: float, label: str, unit: float | None = None
) -> Figure:
    """Draw one matrix, from -scale to scale; one with too many rows block by block."""
    if max(matrix.shape) > MOST_PIXELS:
        size = -(-max(matrix.shape) // MOST_PIXELS)
        matrix, names = coarsened(matrix, size), names[::size]
        title += f"\n(largest entry in blocks of {size} x {size})"
    written_out = max(matrix.shape) <= MOST_NUMBERS
    figure = new_figure(4.0 if written_out else 4.6, 4.0)
    axes = figure.subplots()
    image = heat_map(axes, matrix, names, scale, unit)
    axes.set_title(title, fontsize=11)
    if not written_out:
        figure.colorbar(image, ax=axes, shrink=0.8, label=label)
    return figure


def draw_convergence(
    samples: FloatArray, found: FloatArray, expected: FloatArray, floor: float | None, what: str
) -> Figure:
    """Draw relative errors (k,) against numbers of samples (k,), with the expected ones and where they end.

    Parameters
    ----------
    samples, found, expected:
        Readouts taken, and the relative error found and expected (root mean square) after as many.
    floor:
        What is left however many samples are taken; None or 0 for nothing.
    what:
        The quantity that is in error, for the axis.
    """
    figure = new_figure(6.6, 4.4)
    axes = figure.subplots()
    axes.loglog(samples, expected, color="black", linestyle="dashed", label="predicted (root mean square)")
    axes.loglog(samples, found, color="tab:blue", marker="o", linestyle="solid", label="found by sampling")
    if floor:
        axes.axhline(floor, color="tab:red", linestyle="dotted", label=f"left after infinitely many: {floor:.1e}")
    axes.set_xlabel("readouts taken")
    axes.set_ylabel(f"relative error of the {what}")
    axes.grid(visible=True, which="both", color="0.88")
    axes.legend(fontsize=9)
    return figure
