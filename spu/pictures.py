"""Pictures: covariances, spectra, errors against samples, and the graph of a device. Legible without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spu.errors import OutputError

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from spu.look import Look
    from spu.network import ThermodynamicNetwork
    from spu.neuron import Activation
    from spu.relaxation import NetworkSimulation
    from spu.sampling import Simulation
    from spu.spectra import Autocovariances, Spectra
    from spu.statistics import Prediction

    FloatArray = NDArray[np.float64]

_SUFFIXES = (".png", ".svg", ".pdf")

_CORNERS = {"ideal": "ideal model", "emulator": "emulator", "samples": "samples", "ngspice": "ngspice"}

# Kind of coupler: colour, line style. The style carries what the colour says.
_KINDS: dict[str, tuple[str, Any]] = {
    "capacitance": ("tab:blue", "solid"),
    "conductance": ("tab:orange", "dashed"),
    "inductance": ("tab:green", "dashdot"),
    "transconductance > 0": ("tab:red", "solid"),
    "transconductance < 0": ("tab:purple", "dotted"),
}

_SVG = "http://www.w3.org/2000/svg"

_MOST_ON_A_CIRCLE = 12  # cells; more are laid out by springs
_MOST_LABELS = 40  # on an axis or a graph
_MOST_NUMBERS = 10  # rows of a matrix whose entries are written out
_MOST_PIXELS = 1000  # rows of a matrix drawn one by one
_MOST_MARKS = 40  # rows of a matrix whose negative entries are marked
_FLOOR = 2e-3  # of the highest noise density (V/sqrt(Hz)): 54 dB below it a picture ends
_WELCH = "ngspice transient: Welch, 95 % band"
_MARKS = 28  # markers on a curve
_MOST_READOUTS = 100  # of a trace


def refuse_picture(file: Path) -> None:
    """Raise what `save` would raise, before any work is done."""
    if file.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"cannot be drawn: the name must end in {', '.join(_SUFFIXES)}", file=file)
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if file.is_dir():
        raise OutputError("is a folder; a file is to be written", file=file)


def save(figure: Figure, file: Path) -> None:
    """Write a figure, whole or not at all, in the format of the file's extension."""
    import matplotlib as mpl

    from spu.files import write_with

    kind = file.suffix.lower()[1:]
    # Without a date, and with names of its parts that are not random, the same command writes the same file.
    undated: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "spu"}):
        write_with(file, lambda stream: figure.savefig(stream, format=kind, dpi=130, metadata=undated))


def draw_covariances(variables: Sequence[str], covariances: Mapping[str, FloatArray]) -> Figure:
    """Draw the covariances of the corners on one scale; beneath, how they differ from the first."""
    figure = _figure(4.2 * sum(name in covariances for name in _CORNERS) + 1.2, 8.4)
    _covariances(figure, variables, covariances)
    return figure


def _covariances(figure: Figure | SubFigure, variables: Sequence[str], covariances: Mapping[str, FloatArray]) -> None:
    import numpy as np

    shown = [name for name in _CORNERS if name in covariances]
    axes: Any = np.array(figure.subplots(2, len(shown), squeeze=False))
    reference = covariances[shown[0]]
    scale = _scale([covariances[name] for name in shown])
    differences = [covariances[name] - reference for name in shown[1:]]
    fine = _scale(differences)
    unit = 10.0 ** np.floor(np.log10(fine))
    for k, name in enumerate(shown):
        image = heat_map(axes[0, k], covariances[name], variables, scale)
        axes[0, k].set_title(f"covariance: {_CORNERS[name]}")
        if k == 0:
            continue
        gap = float(np.linalg.norm(differences[k - 1]) / (np.linalg.norm(reference) or 1.0))
        below = heat_map(axes[1, k], differences[k - 1], variables, fine, unit)
        axes[1, k].set_title(f"{_CORNERS[name]} - {_CORNERS[shown[0]]}\n({gap:.1e} of it, Frobenius)")
    figure.colorbar(image, ax=list(axes[0]), shrink=0.85, label="problem units squared")
    axes[1, 0].axis("off")
    axes[1, 0].text(
        *(0.5, 0.5),
        f"Right: differences to the {_CORNERS[shown[0]]},\non a scale of their own "
        f"(numbers: times {unit:.0e}).\n\n"
        "Numbers, or a minus sign on\nnegative entries, where there is room.",
        ha="center",
        va="center",
        transform=axes[1, 0].transAxes,
    )
    if differences:
        figure.colorbar(below, ax=list(axes[1]), shrink=0.85, label="difference, problem units squared")


def draw_check(variables: Sequence[str], covariances: Mapping[str, FloatArray], spectra: Spectra | None) -> Figure:
    """Draw what a check found: the covariances of the corners, and beneath the spectra of a few cells."""
    if spectra is None:
        return draw_covariances(variables, covariances)
    rows = 2 if _panels(spectra) > 3 else 1
    figure = _figure(4.2 * max(3, sum(name in covariances for name in _CORNERS)) + 1.2, 9.0 + 4.0 * rows)
    parts: Any = figure.subfigures(2, 1, height_ratios=[8.4, 0.6 + 4.0 * rows])
    _covariances(parts[0], variables, covariances)
    _spectra(parts[1], spectra)
    return figure


def draw_spectra(spectra: Spectra) -> Figure:
    """Draw noise densities of a few cells and how pairs of them go together, by emulator and ngspice."""
    rows = 2 if _panels(spectra) > 3 else 1
    figure = _figure(4.6 * min(3, _panels(spectra)) + 0.6, 0.9 + 3.9 * rows)
    _spectra(figure, spectra)
    return figure


def _panels(spectra: Spectra) -> int:
    return len(spectra.cells) + len(spectra.pairs)


def _spectra(figure: Figure | SubFigure, spectra: Spectra) -> None:
    import numpy as np

    panels = _panels(spectra)
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
        axes[k].set_title(f"cell {name}: noise density")
        axes[k].set_yscale("log")
        axes[k].set_ylim(_FLOOR * top, 2.0 * top)
        axes[k].set_ylabel("V/sqrt(Hz), one-sided")
    for axis, (a, b) in zip(axes[len(spectra.cells) :], spectra.pairs, strict=False):
        _togetherness(axis, spectra, a, b)
        axis.set_title(f"{spectra.cells[a]} with {spectra.cells[b]}\n(1: together, -1: opposite)")
        axis.set_ylim(-1.08, 1.08)
        axis.set_ylabel("coherence in phase, Re S_ab / sqrt(S_aa S_bb)", fontsize=9)
    _one_legend(figure, axes[:panels])


def _one_legend(figure: Figure | SubFigure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, beneath them."""
    handles: dict[str, Any] = {}
    for axis in axes:
        handles |= {str(label): handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False)


def _density(axes: Axes, spectra: Spectra, k: int) -> None:
    """The noise density of one cell, every way it is known."""
    import numpy as np

    estimate, expected = spectra.transient, spectra.expected
    if estimate is not None and expected is not None:
        found = np.sqrt(estimate.density[:, k, k].real)
        low, high = np.sqrt(estimate.band())
        at = estimate.frequencies
        axes.fill_between(at, low * found, high * found, color="0.8", label=_WELCH)
        shown = np.sqrt(expected[:, k, k].real)
        _expected(axes, at, shown)
    axes.plot(spectra.frequencies, np.sqrt(spectra.exact[:, k, k].real), "k-", linewidth=1.3, label="emulator, exact")
    if spectra.sweep is not None and spectra.sweep_frequencies is not None:
        measured = np.sqrt(spectra.sweep[:, k, k].real)
        _marks(axes, spectra.sweep_frequencies, measured, "o", "ngspice .ac and source densities")
    if spectra.noise is not None and spectra.noise_frequencies is not None:
        _marks(axes, spectra.noise_frequencies, np.sqrt(spectra.noise[:, k]), "x", "ngspice .noise")


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
        axes.fill_between(estimate.frequencies, low, high, color="0.8", label=_WELCH)
        _expected(axes, estimate.frequencies, ideal)
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.plot(spectra.frequencies, normal(spectra.exact), "k-", linewidth=1.3, label="emulator, exact")
    if spectra.sweep is not None and spectra.sweep_frequencies is not None:
        _marks(axes, spectra.sweep_frequencies, normal(spectra.sweep), "o", "ngspice .ac and source densities")


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


def draw_prediction(prediction: Prediction) -> Figure:
    """Draw the exact covariance, and beside it the spectra of a few cells where the modes are known."""
    from spu.emulator.stationary import Stationary
    from spu.spectra import exact_spectra

    if not isinstance(prediction.law, Stationary):
        figure = _figure(7.5, 6.4)
        _one_covariance(figure, prediction.variables, prediction.covariance, "predicted covariance")
        return figure
    spectra = exact_spectra(prediction.law)
    columns, rows = min(3, _panels(spectra)), 2 if _panels(spectra) > 3 else 1
    figure = _figure(7.0 + 4.2 * columns, 0.8 + 3.6 * max(rows, 1.4))
    parts: Any = figure.subfigures(1, 2, width_ratios=[7.0, 4.2 * columns])
    band = prediction.band
    where = "" if band is None else f", {band[0]:g} Hz to {band[1]:g} Hz"
    _one_covariance(parts[0], prediction.variables, prediction.covariance, f"predicted covariance{where}")
    _spectra(parts[1], spectra)
    return figure


def _one_covariance(figure: Figure | SubFigure, variables: Sequence[str], covariance: Any, title: str) -> None:
    axes = figure.subplots()
    matrix, names, note = _drawable(variables, covariance)
    image = heat_map(axes, matrix, names, _scale([matrix]))
    axes.set_title(title + note)
    figure.colorbar(image, ax=axes, shrink=0.6, label="problem units squared")


def _drawable(variables: Sequence[str], covariance: Any) -> tuple[FloatArray, Sequence[str], str]:
    """A dense matrix of no more than `_MOST_PIXELS` rows, its names, and what was done to it."""
    import scipy.sparse as sp

    if len(variables) > _MOST_PIXELS:
        size = -(-len(variables) // _MOST_PIXELS)
        return _coarse(covariance, size), variables[::size], f"\n(largest entry in blocks of {size} x {size})"
    return (covariance.toarray() if isinstance(covariance, sp.csr_array) else covariance), variables, ""


def draw_simulation(run: Simulation, prediction: Prediction) -> Figure:
    """Draw the sampled covariance beside what it should be, autocovariances (of a run with lags), and a trace."""
    from spu.spectra import compare_autocovariances

    covariances: dict[str, FloatArray] = {}
    names: Sequence[str] = run.variables
    for corner, found in (
        ("ideal", run.target_covariance),
        ("emulator", prediction.covariance),
        ("samples", run.covariance),
    ):
        if found is not None:
            covariances[corner], names, _ = _drawable(run.variables, found)
    heights, parts = [8.4], []
    if run.autocovariance is not None and run.interval > 0:
        laws = prediction.laws or (prediction.law,)
        parts.append(compare_autocovariances(laws, run.autocovariance, run.interval, run.samples))
        heights.append(_autocovariance_height(parts[0]))
    if run.readouts is not None and run.interval > 0:
        heights.append(3.6)
    figure = _figure(4.2 * max(3, len(covariances)) + 1.2, sum(heights))
    made: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    slots = list(made[:, 0])
    _covariances(slots.pop(0), names, covariances)
    if parts:
        _autocovariances(slots.pop(0), parts[0])
    if slots:
        _trace(slots[0], run)
    return figure


def draw_autocovariances(found: Autocovariances) -> Figure:
    """Draw autocovariances of a few variables and pairs: exact lines, sampled markers with standard errors."""
    figure = _figure(13.8, _autocovariance_height(found))
    _autocovariances(figure, found)
    return figure


def _autocovariance_height(found: Autocovariances) -> float:
    return 0.8 + 3.4 * -(-(len(found.variables) + len(found.pairs)) // 3)


def _autocovariances(figure: Figure | SubFigure, found: Autocovariances) -> None:
    import numpy as np

    curves = [(k, k) for k in range(len(found.variables))] + found.pairs
    columns = min(3, len(curves))
    axes = list(np.ravel(figure.subplots(-(-len(curves) // columns), columns, squeeze=False)))
    for unused in axes[len(curves) :]:
        unused.axis("off")
    scale, unit = _time_unit(float(found.lags[-1]))
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
    _one_legend(figure, axes[: len(curves)])


def _trace(figure: Figure | SubFigure, run: Simulation) -> None:
    """The first readouts of the first trajectory, of a few variables."""
    import numpy as np

    from spu.spectra import telling

    assert run.readouts is not None
    readouts = run.readouts[: max(1, len(run.readouts) // (run.trajectories * run.programmings))][:_MOST_READOUTS]
    covariance = run.covariance if isinstance(run.covariance, np.ndarray) else np.diag(run.covariance.diagonal()[:3])
    chosen = telling(covariance)[0][:3]
    axes = figure.subplots()
    time = np.arange(1, len(readouts) + 1) * run.interval * max(1, run.trace)
    scale, unit = _time_unit(float(time[-1]))
    styles = zip(chosen, ("-", "--", ":"), ("black", "tab:blue", "tab:red"), ("o", "s", "^"), strict=False)
    for k, line, colour, marker in styles:
        form: dict[str, Any] = {"linestyle": line, "marker": marker, "markersize": 3, "linewidth": 1.0}
        axes.plot(time * scale, readouts[:, k], color=colour, label=run.variables[k], **form)
    axes.set_title(f"the first {len(readouts)} readouts of one trajectory")
    axes.set_xlabel(f"device time, {unit}")
    axes.set_ylabel("problem units")
    axes.grid(True, color="0.85", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _time_unit(longest: float) -> tuple[float, str]:
    """Factor from seconds to a unit in which the longest time is 1 to 1000, and the unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")):
        if longest * factor >= 1.0:
            return factor, unit
    return 1e12, "ps"


def draw_device(look: Look, graph: nx.Graph | None, variables: Sequence[str], covariance: FloatArray) -> Figure:
    """Draw the graph of a device, unless it is too large to be given, beside its predicted covariance."""
    figure = _figure(13.5 if graph is not None else 7.5, 6.4)
    axes = figure.subplots(1, 2 if graph is not None else 1, squeeze=False)[0]
    right = axes[-1]
    if graph is not None:
        _draw_graph(axes[0], look, graph)
    title = "predicted covariance"
    if len(variables) > _MOST_PIXELS:
        size = -(-len(variables) // _MOST_PIXELS)
        covariance, variables = _coarse(covariance, size), variables[::size]
        title += f"\n(largest entry in blocks of {size} x {size})"
    image = heat_map(right, covariance, variables, _scale([covariance]))
    right.set_title(title)
    figure.colorbar(image, ax=right, shrink=0.85, label="problem units squared")
    return figure


_MOST_POTENTIALS = 12


def draw_relaxation(run: NetworkSimulation, network: ThermodynamicNetwork | None) -> Figure:
    """Draw the means of a network's first units over time, in bands of one deviation, and where they come to rest.

    Beside them the histograms at the last readout; dashed lines are exact, where that is known.
    """
    import numpy as np

    figure = _figure(13.5, 5.6)
    left, right = figure.subplots(1, 2)
    exact = None if network is None or not network.solvable else network.moments()[0]
    styles = ("solid", "dashdot", "dotted")
    for k, name in enumerate(run.variables[:_MOST_POTENTIALS]):
        mean, deviation = run.mean[:, k], np.sqrt(run.variance[:, k])
        colour = f"C{k % 10}"
        mark = "o" if len(run.times) == 1 else None
        left.plot(run.times, mean, color=colour, linestyle=styles[k // 10 % 3], marker=mark, label=name)
        left.fill_between(run.times, mean - deviation, mean + deviation, color=colour, alpha=0.12)
        if exact is not None:
            left.axhline(exact[k], color=colour, linestyle="dashed", linewidth=0.8)
        right.hist(run.states[-1, :, k], bins=60, density=True, histtype="step", color=colour, label=name)
    unit = "s" if network is None else "units of the problem's time"
    left.set(xlabel=f"time, {unit}", ylabel="x", title="means, and bands of one standard deviation")
    right.set(xlabel="x", ylabel="density", title=f"at t = {run.times[-1]:.4g}")
    left.legend()
    return figure


def draw_activation(curve: Activation, name: str, own: float) -> Figure:
    """Draw a unit's mean over its input in equilibrium, a band of one deviation, and samples at finite times."""
    import numpy as np

    figure = _figure(8.5, 5.6)
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


def draw_potentials(network: ThermodynamicNetwork) -> Figure:
    """Draw the potentials of a network's first units, without couplings, beside the couplings."""
    import numpy as np

    coupled = bool(network.couplings.any())
    figure = _figure(13.5 if coupled else 7.5, 5.6)
    axes = figure.subplots(1, 2 if coupled else 1, squeeze=False)[0]
    heat = network.kT or 1.0
    chosen = range(min(network.n, _MOST_POTENTIALS))
    reach = float(network.extent()[: len(chosen)].max())
    x = np.linspace(-reach, reach, 401)
    styles = ("solid", "dashed", "dashdot", "dotted")
    for k in chosen:
        own = ((network.J4[k] * x + network.J3[k]) * x + network.J2[k]) * x + network.bias[k] - network.input[k]
        axes[0].plot(x, x * own / heat, linestyle=styles[k % 4], label=network.variables[k])
    axes[0].set_ylim(top=25)
    axes[0].set(xlabel="x", ylabel="V / kT" if network.kT else "V", title="potential of a unit by itself")
    axes[0].legend()
    if coupled:
        couplings, names = network.couplings, network.variables
        size = -(-network.n // _MOST_PIXELS)
        if size > 1:
            couplings, names = _coarse(couplings, size), names[::size]
        heat_map(axes[1], couplings, names, _scale([couplings]))
        axes[1].set_title("couplings")
    return figure


def _coarse(matrix: Any, size: int) -> FloatArray:
    """The entry of largest size in each (size, size) block of a dense or sparse (n, n) matrix."""
    import numpy as np
    import scipy.sparse as sp

    entries = sp.coo_array(matrix)
    blocks = -(-matrix.shape[0] // size)
    place = entries.row // size * blocks + entries.col // size
    order = np.argsort(np.abs(entries.data), kind="stable")  # the last one written stays
    coarse = np.zeros(blocks * blocks)
    coarse[place[order]] = entries.data[order]
    return coarse.reshape(blocks, blocks)


def draw_matrix(
    title: str, matrix: FloatArray, names: Sequence[str], scale: float, label: str, unit: float | None = None
) -> Figure:
    """Draw one matrix, from -scale to scale; one with too many rows block by block."""
    if len(names) > _MOST_PIXELS:
        size = -(-len(names) // _MOST_PIXELS)
        matrix, names = _coarse(matrix, size), names[::size]
        title += f"\n(largest entry in blocks of {size} x {size})"
    written_out = len(names) <= _MOST_NUMBERS
    figure = _figure(4.0 if written_out else 4.6, 4.0)
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
    figure = _figure(6.6, 4.4)
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


def svg(figure: Figure, name: str, description: str) -> str:
    """Give a figure as an ``<svg>`` element to stand in a page: named, without identifiers that others could share.

    Parameters
    ----------
    figure:
        What to draw; text stays text, in whatever sans-serif there is.
    name:
        Stands before every identifier, with a hash of the picture.
    description:
        For those who do not see it.
    """
    import hashlib
    import io
    from xml.etree import ElementTree

    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", dpi=130, metadata={"Date": None})
    root = ElementTree.fromstring(stream.getvalue())
    name += f"-{hashlib.sha256(stream.getvalue()).hexdigest()[:8]}"
    for element in root.iter():
        for child in [child for child in element if child.tag == f"{{{_SVG}}}metadata"]:
            element.remove(child)
        link = element.attrib.pop("{http://www.w3.org/1999/xlink}href", None)
        if link is not None:
            element.set("href", f"#{name}-{link[1:]}" if link.startswith("#") else link)
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif value.startswith("url(#"):
                element.set(key, f"url(#{name}-{value[5:]}")
    for key in ("width", "height"):  # the page says how large
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", description)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def heat_map(
    axes: Axes, matrix: FloatArray, names: Sequence[str], scale: float, unit: float | None = None
) -> AxesImage:
    """Draw a matrix with its row and column names, from -scale to scale; negative entries are marked.

    Small matrices are written out, in multiples of ``unit`` if one is given.
    """
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
    n = len(matrix)
    step = -(-n // _MOST_LABELS)
    ticks = range(0, n, step)
    size, small = (9 if n <= 12 else 6), (8 if n <= 6 else 7)
    axes.set_xticks(ticks, [names[k] for k in ticks], rotation=90, fontsize=size)
    axes.set_yticks(ticks, [names[k] for k in ticks], fontsize=size)
    for i, j in ((i, j) for i in range(n) for j in range(n) if n <= _MOST_MARKS):
        value = matrix[i, j]
        if n > _MOST_NUMBERS and not value < -0.02 * scale:
            continue
        written = f"{value:.2g}" if unit is None else f"{round(value / unit, 2) + 0.0:.2f}"
        text = "-" if n > _MOST_NUMBERS else written
        dark = abs(value) > 0.6 * scale
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=small)
    return image


def _scale(matrices: Sequence[FloatArray]) -> float:
    largest = max((float(abs(matrix).max()) for matrix in matrices), default=0.0)
    return largest or 1.0


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.15)  # inches
    FigureCanvasAgg(figure)
    return figure


def _draw_graph(axes: Axes, look: Look, graph: nx.Graph) -> None:
    import networkx as nx
    from matplotlib.lines import Line2D

    n = len(graph)
    if n <= _MOST_ON_A_CIRCLE:
        place = nx.circular_layout(graph)
        axes.set_aspect("equal")
    else:
        place = nx.spring_layout(graph, seed=1, iterations=50 if n <= 500 else 10)
    couplers = look.couplers
    strongest = max((coupler.strength for coupler in couplers), default=0.0) or 1.0
    for kind, (colour, style) in _KINDS.items():
        chosen = [coupler for coupler in couplers if coupler.kind == kind]
        if chosen:
            nx.draw_networkx_edges(
                graph,
                place,
                edgelist=[(coupler.a, coupler.b) for coupler in chosen],
                width=[0.4 + 4.0 * coupler.strength / strongest for coupler in chosen],
                edge_color=colour,
                style=style,
                ax=axes,
            )
    size = 420 if n <= _MOST_ON_A_CIRCLE else max(20, 9000 // n)
    for shape, flipped in (("o", False), ("s", True)):
        chosen_cells = [cell.name for cell in look.cells if cell.flipped == flipped]
        nx.draw_networkx_nodes(
            graph,
            place,
            nodelist=chosen_cells,
            node_shape=shape,
            node_color="white" if not flipped else "lightgray",
            edgecolors="black",
            node_size=size,
            ax=axes,
        )
    if n <= _MOST_LABELS:
        backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        nx.draw_networkx_labels(graph, place, font_size=9 if n <= 12 else 6, bbox=backing, ax=axes)
    found = {coupler.kind for coupler in couplers}
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2, label=kind)
        for kind, (colour, style) in _KINDS.items()
        if kind in found
    ]
    if any(cell.flipped for cell in look.cells):
        square: dict[str, Any] = {"marker": "s", "markerfacecolor": "lightgray", "linestyle": "none"}
        handles.append(Line2D([], [], color="black", label="read inverted", **square))
    if handles:
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False)
    axes.set_title(f"{n} cells, {len(couplers)} couplers (width: strength of coupling)")
    axes.margins(0.12)
    axes.axis("off")
