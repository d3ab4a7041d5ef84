"""Thermodynamic neurons as circuits: what three potentials make of their input, from the start to equilibrium.

A linear cell (V = x^2), a quartic one (V = x^4) and a mixed one (V = x^2 + x^4), each compiled to RC cells
with polynomial conductances, one cell an input, and read at rising times: the mean of x over the input is the
neuron's activation, linear or not. Behaviour as in Whitelam and Casert (arXiv 2412.17183), figure 1.

    python examples/neurons.py [FOLDER]     prints; draws FOLDER/neurons.png and FOLDER/wells.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import spu
from spu.problems.neuron import crossing_time, kramers_rate
from spu.studies.activation import Activation, activation

NEURONS = {"linear": (1.0, 0.0, 0.0), "quartic": (0.0, 0.0, 1.0), "mixed": (1.0, 0.0, 1.0)}
INPUTS = np.linspace(-10, 10, 21)
TIMES = (0.05, 0.2, 0.5, 3.0)


def activations(trajectories: int) -> dict[str, Activation]:
    """The three neurons, at kT = 1."""
    return {
        name: activation(*potential, input=INPUTS, times=TIMES, trajectories=trajectories, step=2e-3)
        for name, potential in NEURONS.items()
    }


def draw(found: dict[str, Activation], file: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, curve) in zip(figure.subplots(1, 3), found.items(), strict=True):
        for k, time in enumerate(curve.times):
            style = {"fmt": "osD^"[k], "ms": 3.5, "mfc": "white"}  # told apart without colour
            axes.errorbar(curve.input, curve.mean[k], 2 * curve.error[k], label=f"t = {time:.3g}", **style)
        axes.plot(curve.input, curve.equilibrium, "k-", lw=1, label="equilibrium, exact")
        axes.set(title=f"{name}: J = {NEURONS[name]}", xlabel="input I", ylabel="mean of x")
        axes.legend()
    figure.savefig(file, dpi=120)


def draw_wells(file: Path) -> list[str]:
    """A double well: paths, and how long crossings take."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    network = spu.ThermodynamicNetwork(-2.0, 0.0, 1.0, kT=0.25)
    device = spu.compile_network(network, "neurons", architecture="rlc-flux").device
    run = spu.simulate_network(device, times=np.arange(0, 60, 0.1), trajectories=4, start=-1.0, seed=1)
    figure = Figure(figsize=(8.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(run.times, run.states[:, :, 0], lw=0.8)
    axes.set(title="V = x^4 - 2 x^2, kT = 0.25: fluxes of four thermal cells", xlabel="time", ylabel="x")
    figure.savefig(file, dpi=120)
    exact, kramers = crossing_time(-2.0, kT=0.25), 1 / kramers_rate(-2.0, kT=0.25)
    return [f"double well: mean crossing time {exact:.4g} (exact), {kramers:.4g} (Kramers)"]


def main(folder: Path | None = None, trajectories: int = 1000) -> None:
    found = activations(trajectories)
    for name, curve in found.items():
        k = int(np.argmin(np.abs(curve.input - 5)))
        means = ", ".join(f"{m:.3f} at {t:.3g}" for m, t in zip(curve.mean[:, k], curve.times, strict=True))
        print(f"{name:8} I = 5: mean {means}; equilibrium {curve.equilibrium[k]:.4f}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        draw(found, folder / "neurons.png")
        print("\n".join(draw_wells(folder / "wells.png")))
        print(f"wrote {folder / 'neurons.png'}, {folder / 'wells.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
