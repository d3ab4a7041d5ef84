"""How devices and results show themselves in a notebook: tables, pictures.

`html` is a register by type: ``html.register(type)(function)`` adds one, `shown` fits what is made of the blocks of
a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import singledispatch
from typing import TypeVar

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.numbers import engineering, number, plural, small
from spu.compiler.compilation import Compilation
from spu.crosscheck import Check
from spu.device.device import Device
from spu.emulator.laws.spectra import Spectrum
from spu.emulator.predict import NetworkPrediction, Prediction
from spu.emulator.results import Statistics
from spu.emulator.runs.relaxation import NetworkSimulation
from spu.emulator.runs.sampling import Simulation
from spu.reports import langevin, linear, yields
from spu.reports.calibrations import kind_table, value_table, verdicts
from spu.reports.devices import left_out
from spu.reports.document import Block, Bullets, Facts, Gallery, Listing, Picture, Table, Text
from spu.reports.html import fragment
from spu.reports.inspection import (
    cell_table,
    coupler_table,
    element_count,
    input_table,
    look_at,
    noise_table,
    ramp_table,
    readout_table,
    shared_table,
)
from spu.reports.pictures.calibrations import draw_calibration
from spu.reports.pictures.covariances import draw_matrix
from spu.reports.pictures.networks import draw_trajectories
from spu.reports.sections import levels_block, moments_blocks, verdict
from spu.spice.reader import ReadNetlist
from spu.studies.calibration import Calibration
from spu.studies.yields.corner_study import Corners
from spu.studies.yields.yield_study import Yield

MOST_ROWS = 12
"""Of a table."""

MOST_DRAWN = 200
"""Rows of a covariance that is drawn."""

AnyShown = TypeVar("AnyShown")

Blocks = Callable[[AnyShown], Iterable[Block]]


@singledispatch
def html(shown: object) -> str | None:  # noqa: ARG001
    """Whatever it is: what `spu.base.display` asks for; None of what is not registered."""
    return None


def shown(kind: type[AnyShown]) -> Callable[[Blocks[AnyShown]], Blocks[AnyShown]]:
    """Register what blocks show an object of a type."""

    def add(blocks: Blocks[AnyShown]) -> Blocks[AnyShown]:
        html.register(kind)(lambda given: fragment(list(blocks(given))))
        return blocks

    return add


@shown(Device)
def device_blocks(device: Device) -> Iterable[Block]:
    """Its cells and couplers, the first of them."""
    cells, couplers = len(device.cell_names), len(device.coupler_ends)
    with np.errstate(all="ignore"):
        look = look_at(device, MOST_ROWS)
    about = f"{plural(cells, 'cell')}, {plural(couplers, 'coupler')}, {device.architecture or 'built by hand'}, "
    yield Text(about + f"{device.temperature:g} K, hash {device.hash}")
    if cells:
        yield Table("Cells", *cell_table(look.cells), note=_rest(cells))
    if couplers:
        yield Table("Couplers", *coupler_table(look.couplers), left=2, note=_rest(couplers))
    if look.noises:
        headers, rows = shared_table(look.noises)
        yield Table("Shared noise", headers, rows[:MOST_ROWS], left=2, note=_rest(len(rows)))
    if device.ramp is not None:
        headers, rows = ramp_table(device.ramp)
        yield Table("Ramp", headers, rows[:MOST_ROWS], left=0, note=_rest(len(rows)))


@shown(ReadNetlist)
def netlist_blocks(read: ReadNetlist) -> Iterable[Block]:
    """What is noise in it, what is read out, what drives it."""
    circuit = read.circuit
    count, nodes = plural(element_count(read), "element"), plural(len(circuit.nodes), "node")
    yield Text(f"{read.path}: {count} on {nodes}, {circuit.temperature:g} K, hash {circuit.hash}")
    for caption, (headers, rows), left in (
        ("Noise", noise_table(read), 2),
        ("Readouts", readout_table(read), 2),
        ("Sources that are not noise", input_table(read), 1),
    ):
        if rows:
            yield Table(caption, headers, rows[:MOST_ROWS], left=left, note=left_out(len(rows), MOST_ROWS, "rows"))
    if read.notes:
        yield Bullets(read.notes)


@shown(Compilation)  # type: ignore[type-abstract]
def compilation_blocks(compilation: Compilation) -> Iterable[Block]:
    """What the compiler decided, and the device."""
    yield Facts(compilation.facts())
    if compilation.warnings:
        yield Bullets([f"warning: {warning}" for warning in compilation.warnings])
    yield from device_blocks(compilation.device)


@shown(Prediction)
def prediction_blocks(prediction: Prediction) -> Iterable[Block]:
    """Means and standard deviations, the error, the time constants, and the covariance as a picture."""
    pairs = []
    if prediction.relative_error is not None:
        pairs.append(("relative error", small(prediction.relative_error)))
    if prediction.band is not None:
        pairs.append(("band", " to ".join(engineering(edge, "Hz") for edge in prediction.band)))
    yield Facts([*pairs, *linear.time_constants(prediction)])
    yield from _statistics(prediction, "predicted")


@shown(NetworkPrediction)
def network_prediction_blocks(found: NetworkPrediction) -> Iterable[Block]:
    """Rest, and the moments where they are known."""
    pairs = [("coordinate", found.coordinate), ("potential", found.heat), *langevin.time_constants(found)]
    yield Facts([*pairs, ("stationary moments", f"not known: {found.why}")] if found.mean is None else pairs)
    headers, columns = ["variable", "at rest"], [found.rest]
    if found.mean is not None and found.covariance is not None:
        headers += ["mean", "standard deviation"]
        columns += [found.mean, np.sqrt(found.covariance.diagonal())]
    if found.third is not None and found.fourth is not None:
        headers += ["third moment", "fourth moment"]
        columns += [found.third, found.fourth]
    yield _moments("At rest, and stationary moments" if found.mean is not None else "At rest", headers, found, columns)
    if found.covariance is not None:
        yield from _covariance(found.variables, found.covariance, "predicted")


@shown(Simulation)
def simulation_blocks(run: Simulation) -> Iterable[Block]:
    """How many samples, what they are worth, and what they gave."""
    yield Facts(linear.simulation_facts(run))
    yield from _statistics(run, "sampled")


@shown(NetworkSimulation)
def network_simulation_blocks(run: NetworkSimulation) -> Iterable[Block]:
    """How trajectories were run, and what they gave."""
    yield Facts(langevin.simulation_facts(run))
    if len(run.times):
        yield langevin.moments_table(run, None, MOST_ROWS)
        name = ", ".join(run.variables[:4])
        figure = draw_trajectories(run)
        yield Picture("relaxation", figure, "", f"Means of {name} over time, and histograms at the last readout")


@shown(Spectrum)
def spectrum_blocks(spectrum: Spectrum) -> Iterable[Block]:
    """The densities of the first variables."""
    low, high = (engineering(float(spectrum.frequencies[k]), "Hz") for k in (0, -1))
    count = len(spectrum.variables)
    yield Text(
        f"{plural(count, 'variable')}, {plural(len(spectrum.frequencies), 'frequency', 'frequencies')}, {low} to {high}"
    )
    names = ", ".join(spectrum.variables[:4])
    yield Picture("spectrum", spectrum.plot(), "", f"Spectral densities of {names} against frequency")


@shown(Result)
def result_blocks(result: Result) -> Iterable[Block]:
    """Of results that have no page of their own: what is printed of them."""
    yield Listing("", str(result))


@shown(Yield)
def yield_blocks(found: Yield) -> Iterable[Block]:
    """The yield, what makes the spread, and both drawn."""
    yield Facts(yields.yield_facts(found))
    headers, rows = yields.contribution_rows(found)
    if rows:
        yield Table("Contributions", headers, rows[:MOST_ROWS], note=_rest(len(rows)))
    if found.scan:
        yield Table("Yield elsewhere", *yields.scan_table(found.scan, found.bits))
    if found.netlists:
        yield Table("Worst boards", *yields.netlist_table(found), left=2)
    said = f"Histogram of {found.metric} of {plural(found.draws, 'board')} with its limit, and contributions"
    yield Picture("yield", found.plot(), "", said)


@shown(Corners)
def corners_blocks(found: Corners) -> Iterable[Block]:
    """Metrics at all corners."""
    headers, rows = yields.corner_rows(found)
    note = ". ".join(each for each in (yields.signs_of(found), _rest(len(rows))) if each)
    yield Table("Corners", headers, rows[:MOST_ROWS], note=note)
    names = ", ".join(name for name, _, _ in found.metrics)
    yield Picture("corners", found.plot(), "", f"{names} at {plural(len(rows), 'corner')}")


@shown(Check)
def check_blocks(check: Check) -> Iterable[Block]:
    """The verdict, the levels and the comparisons."""
    yield verdict(check)
    yield levels_block(check)
    if check.covariances:
        yield from moments_blocks(check)


@shown(Calibration)
def calibration_blocks(found: Calibration) -> Iterable[Block]:
    """The first values, the verdicts, where the board differs, and the picture."""
    headers, rows = value_table(found)
    yield Table("Values", headers, rows[:MOST_ROWS], note=_rest(len(rows)))
    yield Facts(verdicts(found))
    if found.differs is not None:
        yield Table("Where it differs, p-values", *kind_table(found))
    words = "Deviations of the values on bands of tolerance, and spectra of the channels"
    yield Picture("calibration", draw_calibration(found), "", words, wide=True)


def _statistics(found: Statistics, what: str) -> Iterable[Block]:
    """Means and standard deviations beside the targets, and the covariance drawn where it is small enough."""
    deviations = np.sqrt(found.covariance.diagonal().clip(0))
    headers, columns = ["variable", "mean", "standard deviation"], [found.mean, deviations]
    if found.target_mean is not None and found.target_covariance is not None:
        headers += ["target mean", "target deviation"]
        columns += [found.target_mean, np.sqrt(found.target_covariance.diagonal())]
    yield _moments(f"Means and deviations, {what}, problem units", headers, found, columns)
    if isinstance(found.covariance, np.ndarray):
        yield from _covariance(found.variables, found.covariance, what)


def _moments(
    caption: str, headers: Sequence[str], found: Statistics | NetworkPrediction, columns: Sequence[FloatArray]
) -> Table:
    """The first variables with columns of numbers (p,)."""
    written = [[number(value) for value in column[:MOST_ROWS].tolist()] for column in columns]
    rows = list(zip(found.variables[:MOST_ROWS], *written, strict=True))
    return Table(caption, headers, rows, note=_rest(len(found.variables)))


def _covariance(variables: Sequence[str], covariance: FloatArray, what: str) -> Iterable[Block]:
    """Its picture, where it is small enough."""
    count = len(variables)
    if count > MOST_DRAWN:
        return
    scale = float(np.abs(covariance).max(initial=0.0)) or 1.0
    figure = draw_matrix(f"covariance, {what}", covariance, variables, scale, "problem units squared")
    alternative = f"Heat map of the {what} covariance of {plural(count, 'variable')}"
    yield Gallery([Picture(f"covariance-{what}", figure, "", alternative)])


def _rest(count: int) -> str:
    return f"The first {MOST_ROWS} of {count}." if count > MOST_ROWS else ""
