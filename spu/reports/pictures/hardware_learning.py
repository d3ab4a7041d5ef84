"""Trained networks on hardware: what bits and mismatch cost, and runs in two programs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.learning.replay import ReplayedNetwork
    from spu.studies.learning.sweep import HardwareSweep

_MOST_RUNS = 12

_MARKS = "osD^vP*X"


def draw_hardware_sweep(found: HardwareSweep) -> Figure:
    """Draw a measure over the bits, a line a mismatch, with the spread among boards as bars."""
    import numpy as np

    figure = new_figure(7.5, 4.8)
    axes = figure.subplots()
    places = np.arange(len(found.bits))
    mean, spread = found.mean, found.spread
    for k, sigma in enumerate(found.mismatch):
        shift = 0.06 * (k - (len(found.mismatch) - 1) / 2)
        axes.errorbar(
            places + shift,
            mean[:, k],
            yerr=spread[:, k],
            marker=_MARKS[k % len(_MARKS)],
            capsize=3,
            label=f"mismatch {100 * sigma:g} %" if sigma else "no mismatch",
        )
    axes.axhline(found.ideal, color="0.3", linestyle="dashed", label="real numbers, no mismatch")
    axes.set_xticks(places, ["real" if each is None else str(each) for each in found.bits])
    axes.set_xlabel("bits of couplers and input weights, and a sign")
    axes.set_ylabel(found.measure)
    axes.set_title(f"{found.values.shape[2]} boards each; bars: one standard deviation among boards", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def draw_replay(found: ReplayedNetwork) -> Figure:
    """Draw the runs of emulator and simulator side by side: images, or else the outputs over time."""
    trained = found.trained
    if trained.purpose == "generative" and trained.shape is not None:
        return _images(found)
    return _outputs(found)


def _images(found: ReplayedNetwork) -> Figure:
    import numpy as np

    trained, runs = found.trained, min(len(found.error), _MOST_RUNS)
    assert trained.shape is not None
    assert trained.visible is not None
    emulator, simulator = found.images
    first = found.exact[:, 0, trained.visible]
    figure = new_figure(1.3 * max(runs, 3) + 1.5, 5.0)
    axes = np.asarray(figure.subplots(3, runs, squeeze=False))
    limit = float(np.abs(emulator[:runs]).max()) or 1.0
    for row, (name, images) in enumerate((("noise", first), ("emulator", emulator), (found.simulator, simulator))):
        for k in range(runs):
            place = axes[row, k]
            place.imshow(images[k].reshape(trained.shape), cmap="gray", vmin=-limit, vmax=limit)
            place.set_xticks([])
            place.set_yticks([])
        axes[row, 0].set_ylabel(name)
    for k in range(runs):
        axes[2, k].set_xlabel(f"path error\n{found.error[k]:.1e}", fontsize=8)
    return figure


def _outputs(found: ReplayedNetwork) -> Figure:
    import numpy as np

    trained, runs = found.trained, min(len(found.error), _MOST_RUNS)
    units = trained.outputs if trained.outputs is not None else np.arange(min(trained.network.n, 10))
    names = trained.classes or tuple(trained.network.variables[k] for k in units)
    columns = min(runs, 4)
    rows = -(-runs // columns)
    figure = new_figure(3.2 * columns + 1.0, 2.4 * rows + 0.8)
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)).ravel()
    for k in range(runs):
        for place, unit in enumerate(units):
            colour = f"C{place % 10}"
            axes[k].plot(found.times, found.exact[k, :, unit], color=colour, linewidth=1.0, label=names[place])
            axes[k].plot(found.times, found.found[k, :, unit], color=colour, linestyle="dotted", linewidth=2.0)
        title = f"path error {found.error[k]:.1e}"
        if trained.purpose == "classifier":
            emulator, simulator = found.answers
            title = f"{names[emulator[k]]}, {found.simulator} {names[simulator[k]]}; {title}"
        axes[k].set_title(title, fontsize=8)
    for place in axes[runs:]:
        place.set_axis_off()
    axes[0].legend(fontsize=6, ncols=2)
    figure.supxlabel(f"time (solid: emulator, dotted: {found.simulator})", fontsize=9)
    return figure
