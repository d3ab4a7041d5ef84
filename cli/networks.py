"""What the verbs do with thermodynamic networks: devices of nonlinear cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import InputError, UsageError
from spu.base.numbers import engineering, number, plural

from .common import MAX_TABLE_ROWS, print_result, table, warn, write_npz
from .ending import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from spu.circuit.circuit import Circuit
    from spu.device.device import Device
    from spu.emulator.laws.entropy import EntropyProduction
    from spu.emulator.predict import NetworkPrediction
    from spu.emulator.runs.relaxation import NetworkSimulation
    from spu.folder import Folder

    FloatArray = NDArray[np.float64]

SAMPLES = "spu_samples"


def nonlinear(device: Device | Circuit) -> bool:
    """Whether a device has nonlinear cells; a netlist that was read has none."""
    from spu.device.device import Device
    from spu.device.lower import lower

    return isinstance(device, Device) and lower(device).nonlinear


def refuse_options(what: str, **options: object) -> None:
    """Refuse options that mean nothing here: those that are given (neither None nor False)."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise UsageError(f"--{name.replace('_', '-')} is not for {what}")


# --- predict -------------------------------------------------------------------------------


def predict_command(folder: Folder, *, unit: str | None, times: str | None, plot: Path | None, as_json: bool) -> int:
    """Print what is exact; draw a unit's activation curve."""
    from spu.emulator.predict import predict_network

    found = predict_network(folder.device)
    curve: dict[str, Any] = {}
    if plot is not None or unit is not None or times is not None:
        curve = {"activation": _activation(found, folder, unit, times, plot), "plot": plot}
    if as_json:
        print_result({**_predicted(found), **curve}, folder, "predict")
        return 0
    click.echo(_describe_prediction(found, folder))
    if plot is not None:
        click.echo(f"\npicture: {plot}")
    elif curve:
        click.echo("\nthe activation curve is drawn with --plot FILE, its numbers given with --json")
    return 0


def _activation(
    found: NetworkPrediction, folder: Folder, unit: str | None, times: str | None, plot: Path | None
) -> dict[str, Any]:
    """The activation curve of a unit, drawn if asked for."""
    from dataclasses import asdict

    from spu.base.names import suggest
    from spu.emulator.laws.boltzmann import as_network
    from spu.studies.activation import unit_activation

    if unit is not None and unit not in found.variables:
        raise UsageError(f"no unit {unit!r}; {suggest(unit, found.variables)}")
    network = as_network(found.equation, folder.device.scales)
    if folder.network is not None:  # a circuit knows the sum of input and bias only
        network = network.with_bias(folder.network.bias)
    place = 0 if unit is None else found.variables.index(unit)
    curve = unit_activation(network, place, times=() if times is None else _times(times))
    if plot is not None:
        from spu.reports.pictures.figures import save
        from spu.reports.pictures.networks import draw_activation

        save(draw_activation(curve, found.variables[place], float(network.input[place])), plot)
    return {"unit": found.variables[place], **asdict(curve)}


def _predicted(found: NetworkPrediction) -> dict[str, Any]:
    keys = (
        *("variables", "mean", "covariance", "third", "fourth", "theta", "why", "rest", "time_constants"),
        *("coordinate", "heat"),
    )
    return {**{key: getattr(found, key) for key in keys}, "cells": found.equation.names}


def _describe_prediction(found: NetworkPrediction, folder: Folder) -> str:
    headers = ["variable", "at rest"]
    columns = [[number(value) for value in found.rest]]
    if found.mean is not None and found.covariance is not None:
        headers += ["mean", "std dev"]
        columns += [[number(v) for v in found.mean], [number(v) for v in found.covariance.diagonal() ** 0.5]]
    if found.third is not None and found.fourth is not None:
        headers += ["third moment", "fourth moment"]
        columns += [[number(float(v)) for v in found.third], [number(float(v)) for v in found.fourth]]
    rows = list(zip(found.variables, *columns, strict=True))
    lines = [f"{plural(len(found.variables), 'unit')}, held as {found.coordinate}", ""]
    lines += [table(headers, rows, limit=MAX_TABLE_ROWS), ""]
    slowest, fastest = _time_constant(found.time_constants[0]), _time_constant(found.time_constants[-1])
    lines.append(f"time constants at rest: slowest {slowest}, fastest {fastest}")
    if found.mean is None:
        lines.append(f"stationary moments: {found.why}")
    else:
        lines.append("moments: stationary, exact (quadrature); third and fourth are central")
    if folder.device.scales is not None:
        second = folder.device.scales.time / folder.device.scales.speedup
        lines.append(f"one unit of the problem's time is {engineering(second, 's')}")
    lines.append(f"potential: {found.heat}")
    return "\n".join(lines)


# --- simulate ------------------------------------------------------------------------------


def _time_constant(value: float) -> str:
    from spu.emulator.laws.rest import UNBOUNDED

    return "unbounded (flat)" if value >= UNBOUNDED / 2 else engineering(value, "s")


def simulate_command(
    folder: Folder,
    *,
    times: str | None,
    trajectories: int | None,
    step: float | None,
    scheme: str | None,
    start: str | None,
    inputs: Path | None,
    heat: bool,
    seed: int,
    threads: int | None,
    file: Path | None,
    plot: Path | None,
    progress: Callable[[int, int], None] | None,
    as_json: bool,
) -> int:
    """Run trajectories and print what they do."""
    from spu.emulator.simulate import simulate_network

    given: dict[str, Any] = {} if trajectories is None else {"trajectories": trajectories}
    run = simulate_network(
        folder.device,
        **given,
        times=None if times is None else _times(times),
        step=step,
        scheme=scheme,
        start=_start(start),
        inputs=None if inputs is None else _read_inputs(inputs, folder),
        heat=heat,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    if file is not None:
        write_npz(file, _arrays(run, folder), SAMPLES)
    if plot is not None:
        from spu.reports.pictures.figures import save
        from spu.reports.pictures.networks import draw_relaxation

        save(draw_relaxation(run, folder.network), plot)
    if not run.complete:
        warn(f"interrupted: the result below is of the first {plural(len(run.times), 'readout')}")
    for warning in run.warnings:
        warn(warning)
    if as_json:
        print_result({**_simulated(run, file), "plot": plot}, folder, "simulate")
    else:
        click.echo(_describe_run(run, folder))
        click.echo(f"\nwrote {file}" if file else "\nsamples not written (-o FILE.npz writes them)")
    return 0 if run.complete else INTERRUPTED


def _start(text: str | None) -> float | str:
    if text == "equilibrium":
        return text
    try:
        return float(text or 0.0)
    except ValueError:
        raise UsageError(f"--start takes a number or equilibrium, not {text!r}") from None


def _times(text: str) -> list[float]:
    try:
        return [float(word) for word in text.replace(",", " ").split()] or [float("nan")]
    except ValueError:
        raise UsageError(f"--times takes numbers, as in --times 0.2,1,5, not {text!r}") from None


def _read_inputs(file: Path, folder: Folder) -> tuple[Any, Any]:
    """Instants and inputs: a table with the columns ``time`` and the names of units; other units keep theirs."""
    import numpy as np

    from spu.base.files import read_text
    from spu.base.names import shorten, suggest

    if folder.network is None:
        raise UsageError("--inputs are in problem units: there is no problem.json")
    rows = [
        (number, [word.strip() for word in line.split(",")])
        for number, line in enumerate(read_text(file, _MOST_INPUTS).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows:
        raise InputError("holds no rows", file=file)
    first, head = rows[0]
    known = ("time", *folder.network.variables)
    for word in head:
        if word not in known:
            raise InputError(
                f"no unit {shorten(word)}: the columns are time and names of units; {suggest(word, known[:9])}",
                file=file,
                line=first,
            )
    if "time" not in head or len(set(head)) < len(head) or len(rows) < 2:
        raise InputError("needs a column time, each name once, and a row for each instant", file=file, line=first)
    values = np.tile(folder.network.input, (len(rows) - 1, 1))
    instants = np.zeros(len(rows) - 1)
    place = {name: k for k, name in enumerate(folder.network.variables)}
    for k, (line, row) in enumerate(rows[1:]):
        if len(row) != len(head):
            raise InputError(f"a row needs {len(head)} numbers; this has {len(row)}", file=file, line=line)
        for name, word in zip(head, row, strict=True):
            value = _number(word)
            if value is None:
                raise InputError(f"{name}: {shorten(word)} is not a finite number", file=file, line=line)
            if name == "time":
                instants[k] = value
                if k and value < instants[k - 1]:
                    raise InputError(
                        f"time {value:g} comes after {instants[k - 1]:g}, and must not be before it",
                        file=file,
                        line=line,
                    )
            else:
                values[k, place[name]] = value
    return instants, values


_MOST_INPUTS = 2**26  # bytes


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _arrays(run: NetworkSimulation, folder: Folder) -> dict[str, Any]:
    booked = {} if run.heat is None else {"heat": run.heat, "work": run.work, "energy_change": run.energy_change}
    return {
        "states": run.states,
        "times": run.times,
        "device_times": run.device_times,
        "variables": run.variables,
        "seed": run.seed,
        "complete": run.complete,
        "device_hash": folder.device.hash,
        **booked,
    }


def _simulated(run: NetworkSimulation, file: Path | None) -> dict[str, Any]:
    keys = (
        *("variables", "times", "device_times", "mean", "mean_error", "variance", "variance_error", "covariance"),
        *("trajectories", "step", "scheme", "pieces", "step_error", "checked", "warnings"),
        *("seed", "speedup", "first_law", "seconds", "complete"),
    )
    booked: dict[str, Any] = {}
    for name in ("heat", "work", "energy_change"):
        values = getattr(run, name)
        if values is not None:
            booked[name] = _averaged(values)
    if run.entropy is not None:
        entropy = run.entropy
        booked["entropy"] = {
            "medium": None if entropy.medium is None else _averaged(entropy.medium),
            "total": None if entropy.total is None else _averaged(entropy.total),
            "free_energy_change": entropy.free_energy_change,
            "why": entropy.why,
        }
    return {**{key: getattr(run, key) for key in keys}, **booked, "output": file}


def _averaged(values: FloatArray) -> dict[str, float]:
    """Mean and standard error of what independent trajectories booked."""
    return {"mean": float(values.mean()), "error": float(values.std() / len(values) ** 0.5)}


def _describe_run(run: NetworkSimulation, folder: Folder) -> str:
    unit = "" if folder.network is not None else " s"
    lines = [
        f"{plural(run.trajectories, 'trajectory').replace('trajectorys', 'trajectories')}, read at "
        f"{plural(len(run.times), 'time')}; took {engineering(run.seconds, 's')}; seed {run.seed}",
        f"method: {run.scheme}, steps of {engineering(run.step, 's')}; "
        f"the last readout at t = {run.times[-1]:.6g}{unit}, {engineering(run.device_times[-1], 's')} on the device",
        "",
    ]
    columns: list[list[str]] = []
    headers = ["variable"]
    shown = range(len(run.times)) if len(run.times) <= 4 else [0, len(run.times) // 2, len(run.times) - 1]
    for k in shown:
        headers += [f"mean at {run.times[k]:.4g}", "+-"]
        columns += [[number(v) for v in run.mean[k]], [number(v, 2) for v in run.mean_error[k]]]
    headers += ["variance", "+-"]
    columns += [[number(v) for v in run.variance[-1]], [number(v, 2) for v in run.variance_error[-1]]]
    lines.append(table(headers, list(zip(run.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS))
    if run.heat is not None and run.work is not None:
        from spu.device.lower import lower
        from spu.emulator.equations.langevin import langevin

        root = run.trajectories**0.5
        lines += [
            "",
            f"heat to the bath {run.heat.mean():.5g} +- {run.heat.std() / root:.2g} kT, work {run.work.mean():.5g} +- "
            f"{run.work.std() / root:.2g} kT a trajectory; the first law holds to {run.first_law:.1e}",
            f"kT is the device's; the potential is {langevin(lower(folder.device)).energy}",
        ]
    if run.entropy is not None:
        lines.append(_describe_entropy(run.entropy))
    return "\n".join(lines)


def _describe_entropy(entropy: EntropyProduction) -> str:
    said = []
    for what, values in (("of the medium", entropy.medium), ("in all", entropy.total)):
        if values is not None:
            found = _averaged(values)
            said.append(f"{what} {found['mean']:.5g} +- {found['error']:.2g} k")
    if entropy.free_energy_change is not None:
        said[-1] += f" (with the relaxation after the end; free energy change {entropy.free_energy_change:.5g} kT)"
    if entropy.why:
        said.append(f"{'in all ' if said else ''}not known: {entropy.why}")
    return f"entropy production a trajectory: {'; '.join(said)}"
