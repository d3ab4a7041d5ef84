"""How a device, a prediction, a simulation and a check show themselves in a notebook: a table, a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spu.base.display import Result
from spu.base.numbers import engineering, number, plural, small
from spu.crosscheck import Check
from spu.device.device import Device
from spu.emulator.predict import Prediction
from spu.emulator.results import Statistics
from spu.emulator.runs.sampling import Simulation
from spu.reports.document import Block, Facts, Gallery, Listing, Picture, Table, Text
from spu.reports.html import fragment
from spu.reports.inspection import cell_table, coupler_table, look_at
from spu.reports.pictures.covariances import draw_matrix
from spu.reports.sections import levels_block, moments_block, simulation_facts, verdict

MOST_ROWS = 12
"""Of a table."""

MOST_DRAWN = 200
"""Rows of a covariance that is drawn."""


def device_html(device: Device) -> str:
    """Its cells and couplers, the first of them."""
    cells, couplers = len(device.cell_names), len(device.coupler_ends)
    with np.errstate(all="ignore"):
        look = look_at(device, MOST_ROWS)
    about = f"{plural(cells, 'cell')}, {plural(couplers, 'coupler')}, {device.architecture or 'built by hand'}, "
    about += f"{device.temperature:g} K, hash {device.hash}"
    blocks: list[Block] = [Text(about)]
    if cells:
        blocks.append(Table("Cells", *cell_table(look.cells), note=_rest(cells)))
    if couplers:
        blocks.append(Table("Couplers", *coupler_table(look.couplers), left=2, note=_rest(couplers)))
    return fragment(blocks)


def prediction_html(prediction: Prediction) -> str:
    """Means and standard deviations, the error, the time constants, and the covariance as a picture."""
    pairs = []
    if prediction.relative_error is not None:
        pairs.append(("relative error", small(prediction.relative_error)))
    if prediction.band is not None:
        pairs.append(("band", " to ".join(engineering(edge, "Hz") for edge in prediction.band)))
    slow, fast = (engineering(float(prediction.time_constants[k]), "s") for k in (0, -1))
    pairs.append(("time constants", f"{slow} (slowest) to {fast}"))
    return fragment([Facts(pairs), *_statistics(prediction, "predicted")])


def simulation_html(run: Simulation) -> str:
    """How many samples, what they are worth, and what they gave."""
    return fragment([Facts(simulation_facts(run)), *_statistics(run, "sampled")])


def check_html(check: Check) -> str:
    """The verdict, the levels and the corners."""
    return fragment([verdict(check), levels_block(check), moments_block(check)])


def result_html(result: Result) -> str:
    """Of results that have no page of their own: what is printed of them."""
    return fragment([Listing("", str(result))])


def html(shown: object) -> str | None:
    """What `spu.base.display` asks for: by the nearest of its classes in `PAGES`; None where there is nothing."""
    return next((PAGES[kind](shown) for kind in type(shown).__mro__ if kind in PAGES), None)


PAGES: dict[type, Callable[[Any], str]] = {
    Check: check_html,
    Device: device_html,
    Prediction: prediction_html,
    Result: result_html,
    Simulation: simulation_html,
}
"""The register: what shows each kind of object."""


def _statistics(found: Statistics, what: str) -> list[Block]:
    """Means and standard deviations beside the targets, and the covariance drawn where it is small enough."""
    deviations = np.sqrt(found.covariance.diagonal().clip(0))
    headers, columns = ["variable", "mean", "standard deviation"], [found.mean, deviations]
    if found.target_mean is not None and found.target_covariance is not None:
        headers += ["target mean", "target deviation"]
        columns += [found.target_mean, np.sqrt(found.target_covariance.diagonal())]
    shown = zip(found.variables[:MOST_ROWS], *(column[:MOST_ROWS].tolist() for column in columns), strict=True)
    rows = [(name, *(number(value) for value in values)) for name, *values in shown]
    count = len(found.variables)
    blocks: list[Block] = [Table(f"Means and deviations, {what}, problem units", headers, rows, note=_rest(count))]
    if isinstance(found.covariance, np.ndarray) and count <= MOST_DRAWN:
        names: Sequence[str] = found.variables
        scale = float(np.abs(found.covariance).max(initial=0.0)) or 1.0
        figure = draw_matrix(f"covariance, {what}", found.covariance, names, scale, "problem units squared")
        alternative = f"Heat map of the {what} covariance of {plural(count, 'variable')}"
        blocks.append(Gallery([Picture(f"covariance-{what}", figure, "", alternative)]))
    return blocks


def _rest(count: int) -> str:
    return f"The first {MOST_ROWS} of {count}." if count > MOST_ROWS else ""
