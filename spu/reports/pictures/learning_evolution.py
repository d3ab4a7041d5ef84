"""Evolution: what was learnt, how it came about, and the notch at the trained time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.learning.evolve import Evolution


_LEAST = 1e-4
"""Of errors on logarithmic axes: estimates may come out below 0."""


def draw_evolution(found: Evolution) -> Figure:
    """Draw the learnt function beside the target, the errors of the generations, and the error by observation time."""
    import numpy as np

    figure = new_figure(15.5, 4.8)
    curve, history, notch = figure.subplots(1, 3)
    order = np.argsort(found.z, kind="stable")
    z, y, bar = found.z[order], found.y[order], 2 * found.y_bar[order]
    curve.plot(z, found.wanted[order], color="black", label="target")
    curve.plot(found.target.z, found.target.y, "k.", label="points of evolution")
    curve.plot(z, y, color="C0", linestyle="dashed", label="champion")
    curve.fill_between(z, y - bar, y + bar, color="C0", alpha=0.25, label="two standard errors")
    curve.set(xlabel="z", ylabel="y", title=f"learnt: error {found.error:.4f} +- {found.bar:.4f}")
    curve.legend()
    generations = np.arange(found.generations)
    history.semilogy(generations, np.maximum(found.history, _LEAST), color="C0", label="best of the generation")
    history.axhline(found.target.plateau, color="black", linestyle="dotted", label="plateau: the error of y = 0")
    history.axhline(max(found.error, _LEAST), color="C3", linestyle="dashed", label="champion, on fresh noise")
    history.set(xlabel="generation", ylabel="error", title="evolution")
    history.legend()
    times, errors = found.notch.times, np.maximum(found.notch.error, _LEAST)
    notch.semilogy(times, errors, "o-", color="C0", markersize=3, label="champion")
    low, high = (np.maximum(found.notch.error + side * 2 * found.notch.bar, _LEAST) for side in (-1, 1))
    notch.fill_between(times, low, high, color="C0", alpha=0.25, label="two standard errors")
    notch.axvline(found.notch.duration, color="black", linestyle="dotted", label="trained to be read here")
    notch.set(xlabel="time of reading, units of the problem's time", ylabel="error", title="notch")
    notch.legend()
    return figure
