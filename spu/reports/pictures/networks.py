"""Thermodynamic networks: relaxation, activation curves, potentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spu.reports.pictures.figures import MOST_PIXELS, coarsened, common_scale, heat_map, new_figure, one_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.base.arrays import FloatArray
    from spu.emulator.runs.relaxation import NetworkSimulation
    from spu.problems.network import ThermodynamicNetwork
    from spu.studies.activation import Activation


_MOST_POTENTIALS = 12

_MOST_HISTOGRAMS = 6


def _bins(count: int) -> int:
    """Of a histogram of so many: as its scatter allows."""
    return min(max(int(2 * count ** (1 / 3)), 12), 60)


def draw_trajectories(run: NetworkSimulation) -> Figure:
    """Draw the means of a network's first units over time, in bands of one deviation, and where they come to rest.

    Beside them the histograms at the last readout; dashed lines are exact, where that is known.
    """
    import numpy as np

    figure = new_figure(13.5, 5.6)
    left, right = figure.subplots(1, 2)
    network = run.network
    exact = None if network is None or not network.solvable else network.moments()[0]
    styles = ("solid", "dashdot", "dotted")
    bins = _bins(len(run.states[-1]))
    for k, name in enumerate(run.variables[:_MOST_POTENTIALS]):
        mean, deviation = run.mean[:, k], np.sqrt(run.variance[:, k])
        colour = f"C{k % 10}"
        mark = "o" if len(run.times) == 1 else None
        left.plot(run.times, mean, color=colour, linestyle=styles[k // 10 % 3], marker=mark, label=name)
        left.fill_between(run.times, mean - deviation, mean + deviation, color=colour, alpha=0.12)
        if exact is not None:
            left.axhline(exact[k], color=colour, linestyle="dashed", linewidth=0.8)
        right.hist(run.states[-1, :, k], bins=bins, density=True, histtype="step", color=colour, label=name)
    unit = "s" if network is None else "units of the problem's time"
    left.set(xlabel=f"time, {unit}", ylabel="x", title="means, and bands of one standard deviation")
    right.set(xlabel="x", ylabel="density", title=f"at t = {run.times[-1]:.4g}")
    left.legend()
    return figure


def draw_histograms(
    states: FloatArray, variables: Sequence[str], laws: Mapping[str, tuple[FloatArray, FloatArray]]
) -> Figure:
    """Draw histograms of the first units of (m, p), with exact densities (states, densities) where they are known."""
    chosen = range(min(len(variables), _MOST_HISTOGRAMS))
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(4.6 * columns, 0.6 + 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for k, panel in zip(chosen, axes, strict=False):
        name = variables[k]
        panel.hist(
            states[:, k],
            bins=_bins(len(states)),
            density=True,
            color="0.8",
            label="sampled",
        )
        if name in laws:
            x, density = laws[name]
            panel.plot(x, density, color="black", linewidth=1.3, label="Boltzmann law, exact")
            seen = x[density > 1e-4 * density.max()]
            panel.set_xlim(min(seen[0], states[:, k].min()), max(seen[-1], states[:, k].max()))
        panel.set(xlabel=name, ylabel="density")
    for panel in axes[len(chosen) :]:
        panel.axis("off")
    one_legend(figure, list(axes[: len(chosen)]))
    return figure


def draw_activation(curve: Activation, name: str, own: float) -> Figure:
    """Draw a unit's mean over its input in equilibrium, a band of one deviation, and samples at finite times."""
    import numpy as np

    figure = new_figure(8.5, 5.6)
    axes = figure.subplots()
    deviation = np.sqrt(curve.equilibrium_variance)
    mean = curve.equilibrium
    axes.fill_between(curve.input, mean - deviation, mean + deviation, color="0.88", label="one standard deviation")
    axes.plot(curve.input, mean, color="black", label="equilibrium, exact")
    for k, time in enumerate(curve.times):
        axes.errorbar(
            curve.input,
            curve.mean[k],
            2 * curve.error[k],
            color=f"C{k % 10}",
            marker="osD^vP"[k % 6],
            fillstyle="none",
            markersize=4.5,
            linestyle=("dotted", "dashed", "dashdot")[k % 3],
            linewidth=0.8,
            label=f"t = {time:.4g}, sampled, 2 standard errors",
        )
    axes.axvline(own, color="black", linestyle="dotted", linewidth=0.8, label="its input in the network")
    axes.set(xlabel="input I", ylabel=f"mean of {name}", title=f"activation of {name} by itself, without couplings")
    axes.legend()
    return figure


_SEEN = 8.0
"""kT above the least of a potential, or above a barrier between wells, up to which it is drawn: e^-8 is rarely seen."""

_HIGHEST = 60.0
"""kT of the highest barrier that is drawn whole."""


@dataclass(frozen=True, eq=False)
class _Potential:
    """A unit's own potential over kT, and where there is something to be seen of it: from x to x, up to what height."""

    coefficients: FloatArray
    least: float
    wells: FloatArray
    low: float
    high: float
    top: float

    def over(self, x: FloatArray) -> FloatArray:
        """Above its least."""
        import numpy as np

        return np.asarray(np.polyval(self.coefficients, x) - self.least)


def _potential(network: ThermodynamicNetwork, k: int) -> _Potential:
    """Where it is found: the wells of its own potential, the barriers between them, the law where that is known."""
    import numpy as np

    heat = network.kT or 1.0
    force = network.bias[k] - network.input[k]
    V = np.array([network.J4[k], network.J3[k], network.J2[k], force, 0.0]) / heat
    slopes = np.roots(np.trim_zeros(np.polyder(V), "f"))
    rests = np.sort(slopes[abs(slopes.imag) <= 1e-7 * (1 + abs(slopes))].real)
    bent = np.polyval(np.polyder(V, 2), rests)
    wells, barriers = rests[bent > 0], rests[bent < 0]
    far = float(network.extent()[k])
    x = np.linspace(-far, far, 4001)
    if network.kT and network.solvable:
        mean, covariance = network.moments()
        spread = 4.0 * float(np.sqrt(covariance[k, k]))
        x = np.union1d(x, np.linspace(mean[k] - spread, mean[k] + spread, 101))
    values = np.polyval(V, x)
    held = V[0] > 0 or (V[1] == 0 and V[2] > 0)
    if not held and network.kT and network.solvable:  # by its couplings alone
        shown = abs(x - mean[k]) <= spread * (1 + 1e-9)
        least, top = float(values[shown].min()), float(np.ptp(values[shown])) + 1.0
    else:
        least = float(np.polyval(V, wells).min()) if held and len(wells) else float(values.min())
        between = barriers[(barriers > wells.min(initial=np.inf)) & (barriers < wells.max(initial=-np.inf))]
        barrier = min(float(np.polyval(V, between).max(initial=least)) - least, _HIGHEST)
        top = barrier + _SEEN if network.kT else 2.0 * barrier or float(np.ptp(values)) / 20.0
        shown = values <= least + top
    seen = np.concatenate([x[shown], wells])
    margin = 0.02 * float(np.ptp(seen)) or 1.0
    return _Potential(V, least, wells, float(seen.min()) - margin, float(seen.max()) + margin, max(top, 1e-300))


def draw_potentials(network: ThermodynamicNetwork) -> Figure:
    """Draw the potentials of a network's first units, without couplings, beside the couplings.

    The picture reaches as far as units are found: up to some kT above wells, and above the barriers between them.
    """
    import numpy as np

    coupled = bool(network.couplings.any())
    figure = new_figure(13.5 if coupled else 7.5, 5.6)
    axes = figure.subplots(1, 2 if coupled else 1, squeeze=False)[0]
    chosen = range(min(network.n, _MOST_POTENTIALS))
    drawn = [_potential(network, k) for k in chosen]
    low, high = min(each.low for each in drawn), max(each.high for each in drawn)
    x = np.linspace(low, high, 601)
    styles = ("solid", "dashed", "dashdot", "dotted")
    alike: dict[tuple[float, ...], list[int]] = {}
    for k, each in zip(chosen, drawn, strict=True):
        alike.setdefault(tuple(each.coefficients), []).append(k)
    for number, (first, *others) in enumerate(alike.values()):
        each, label = drawn[first], network.variables[first] + (f" and {len(others)} alike" if others else "")
        line = axes[0].plot(x, each.over(x), linestyle=styles[number % 4], label=label)[0]
        axes[0].plot(each.wells, each.over(each.wells), "o", markersize=4, color=line.get_color())
    top = max(each.top for each in drawn)
    axes[0].set(xlim=(low, high), ylim=(-0.06 * top, top))
    axes[0].set(xlabel="x", ylabel="V / kT above its least" if network.kT else "V above its least")
    axes[0].set_title("potential of a unit by itself; dots: wells")
    axes[0].legend()
    if coupled:
        couplings, names = network.couplings, network.variables
        size = -(-network.n // MOST_PIXELS)
        if size > 1:
            couplings, names = coarsened(couplings, size), names[::size]
        heat_map(axes[1], couplings, names, common_scale([couplings]))
        axes[1].set_title("couplings")
    return figure
