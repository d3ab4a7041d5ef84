"""``spu simulate``: samples, and what they are worth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from spu.base.errors import UsageError
from spu.base.numbers import engineering, number, plural, small

from .common import (
    MAX_TABLE_ROWS,
    file_option,
    folder_argument,
    json_option,
    print_result,
    refuse_npz,
    seed_option,
    statistics_json,
    table,
    warn,
    write_npz,
)
from .ending import INTERRUPTED
from .networks import SAMPLES as _MARKER
from .networks import nonlinear, refuse_options, simulate_command

if TYPE_CHECKING:
    from spu.emulator.runs.sampling import Simulation
    from spu.folder import Folder

Progress = Callable[[int, int], None]


@click.command("simulate")
@folder_argument
@click.option(
    "--samples",
    type=click.IntRange(1, 10**15),
    metavar="N",
    help="Readouts in all [default: 10000; large sparse networks 1000].",
)
@click.option("--interval", type=float, metavar="S", help="Seconds between readouts [default: slowest time constant].")
@click.option(
    "--trajectories",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Runs side by side [default: up to 64].",
)
@click.option("--duration", type=float, metavar="S", help="Seconds of each trajectory, instead of --samples.")
@click.option("--independent", is_flag=True, help="Draw from the stationary law: no time passes.")
@seed_option("the random numbers")
@click.option(
    "--lags", type=click.IntRange(0, 100_000), default=0, metavar="N", help="Autocovariances up to N readouts."
)
@click.option(
    "--trace",
    type=click.IntRange(0),
    metavar="N",
    help="Keep every Nth readout of each trajectory [default: all, or what makes 0.4 GB].",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit.")
@click.option(
    "--step",
    type=float,
    metavar="S",
    help="Time step of the midpoint rule (large sparse networks); of a thermodynamic network, in its own time.",
)
@click.option("--times", metavar="T1,T2...", help="Of a thermodynamic network: when to read, in its own time.")
@click.option("--scheme", metavar="NAME", help="Of a network: heun, euler-maruyama, leimkuhler-matthews or baoab.")
@click.option("--start", metavar="X", help="Of a network: where all units start, a number or equilibrium [default: 0].")
@file_option(
    "--inputs", metavar="FILE.csv", help="Of a network: columns time and units, inputs between instants on lines."
)
@click.option("--heat", is_flag=True, help="Of a network: book heat, work and entropy production.")
@click.option("--method", metavar="NAME", help="Force a way to step: modal or dense [default: the best].")
@file_option("-o", "--output", metavar="FILE.npz", help="For the samples [default: DIR/samples.npz].")
@click.option("--no-output", is_flag=True, help="Keep the statistics only; write no samples.")
@file_option(
    "--plot", metavar="FILE", help="Draw covariance, autocovariances (--lags) and a trace (.png, .svg or .pdf)."
)
@json_option
def command(
    directory: Path,
    samples: int | None,
    interval: float | None,
    trajectories: int | None,
    duration: float | None,
    independent: bool,
    seed: int,
    lags: int,
    trace: int | None,
    threads: int | None,
    step: float | None,
    times: str | None,
    scheme: str | None,
    start: str | None,
    inputs: Path | None,
    heat: bool,
    method: str | None,
    output: Path | None,
    no_output: bool,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Draw samples from DIR and compare them with the target.

    The statistics take in every readout, and memory does not grow with time. Writes
    DIR/samples.npz: samples (N, p) in problem units (one trajectory after another, every
    readout or, with --trace N, every Nth), variables, interval, trace, seed, trajectories,
    complete, and with --lags autocovariance (N + 1, p, p). For a device.json that stands
    alone samples are written only with -o.

    Of a thermodynamic network independent trajectories start at --start and are read at --times
    (by default once, after ten time constants); DIR/samples.npz then holds states (times,
    trajectories, units), and with --heat what each trajectory took and gave, in kT. With --start
    equilibrium --heat also tells the total entropy production, (W - free energy change)/kT.

    Ctrl-C ends the run early: what there is by then is printed and written, marked incomplete.
    """
    from spu.emulator.simulate import simulate
    from spu.folder import read_folder

    if samples is not None and duration is not None:
        raise UsageError("give --samples or --duration, not both")
    if output is not None and no_output:
        raise UsageError("give -o or --no-output, not both")
    if trace and no_output:
        raise UsageError("give --trace or --no-output, not both")
    for name, value in (("--interval", interval), ("--duration", duration), ("--step", step)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} must be a positive number of seconds, not {value!r}")
    if interval is not None and duration is not None and not duration / interval < 10**15:
        raise UsageError(f"{duration!r} s are too many intervals of {interval!r} s")
    if plot is not None:
        from spu.reports.pictures.figures import refuse_picture

        refuse_picture(plot)
    folder = read_folder(directory)
    file = None if no_output else output or _default_file(folder)
    if file is not None:
        if file.suffix != ".npz":
            raise UsageError(f"samples are written as .npz, not {str(file)!r}")
        refuse_npz(file, _MARKER)
    if nonlinear(folder.subject):
        refuse_options(
            "networks (see --times and --trajectories)",
            samples=samples,
            interval=interval,
            duration=duration,
            independent=independent,
            lags=lags or None,
            trace=trace,
            method=method,
        )
        with _progress() as progress:
            return simulate_command(
                folder,
                times=times,
                trajectories=trajectories,
                step=step,
                scheme=scheme,
                start=start,
                inputs=inputs,
                heat=heat,
                seed=seed,
                threads=threads,
                file=file,
                plot=plot,
                progress=progress,
                as_json=as_json,
            )
    refuse_options("linear devices", times=times, scheme=scheme, start=start, inputs=inputs, heat=heat)
    given: dict[str, Any] = {} if samples is None else {"samples": samples}
    with _progress() as progress:
        run = cast(
            "Simulation",
            simulate(
                folder.subject,
                **given,
                interval=interval,
                trajectories=trajectories,
                duration=duration,
                independent=independent,
                seed=seed,
                lags=lags,
                trace=trace if file is not None else 0,
                threads=threads,
                method=method,
                step=step,
                progress=progress,
            ),
        )
    if file is not None:
        _write_samples(file, run, folder)
    if not run.complete:
        warn(f"interrupted: the result below is of the first {plural(run.samples, 'readout')}")
    if plot is not None:
        from spu.emulator.predict import predict_linear
        from spu.reports.pictures.covariances import draw_simulation
        from spu.reports.pictures.figures import save

        save(draw_simulation(run, predict_linear(folder.subject)), plot)
    if as_json:
        report = {**_report(run, file), "time_constants": run.time_constants, "plot": plot}
        print_result(report, folder, "simulate")
    else:
        defaults = {"interval": interval is None, "trajectories": trajectories is None and duration is None}
        click.echo(_describe(run, defaults))
        click.echo(f"\nwrote {file}" if file else "\nsamples not written (-o FILE.npz writes them)")
        if plot is not None:
            click.echo(f"picture: {plot}")
    return 0 if run.complete else INTERRUPTED


def _default_file(folder: Folder) -> Path | None:
    return None if folder.directory is None else folder.directory / "samples.npz"


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Show a bar on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label="simulating", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


def _write_samples(file: Path, run: Simulation, folder: Folder) -> None:
    arrays = {
        "samples": run.readouts,
        "variables": run.variables,
        "interval": run.interval,
        "trace": run.trace,
        "seed": run.seed,
        "trajectories": run.trajectories,
        "complete": run.complete,
        "device_hash": folder.subject.hash,
        **({} if run.autocovariance is None else {"autocovariance": run.autocovariance}),
    }
    write_npz(file, arrays, _MARKER)


def _report(run: Simulation, file: Path | None) -> dict[str, Any]:
    keys = (
        *("samples", "effective_samples", "expected_relative_error", "covariance_error", "mean_error"),
        *("seconds", "device_time", "interval", "trajectories", "seed", "complete"),
        *("method", "method_reason", "time_step", "trace", "autocovariance"),
    )
    return {**statistics_json(run), **{key: getattr(run, key) for key in keys}, "output": file}


def _describe(run: Simulation, defaults: dict[str, bool]) -> str:
    return "\n".join([*_how(run, defaults), "", _variables(run), "", *_verdict(run)])


def _how(run: Simulation, defaults: dict[str, bool]) -> list[str]:
    took = f"took {engineering(run.seconds, 's')}; seed {run.seed}"
    if run.interval == 0:
        return [f"{plural(run.samples, 'independent sample')} of the stationary law; {took}"]
    every = f"one every {engineering(run.interval, 's')}"
    if defaults["interval"]:
        every += " (default: the longest time constant)"
    across = f"{run.trajectories} trajectories" if run.trajectories > 1 else "one trajectory"
    across += " (default)" if defaults["trajectories"] else ""
    lines = [
        f"{plural(run.samples, 'readout')} on {across}, {every}",
        f"{engineering(run.device_time, 's')} of device time each; {took}",
        f"method: {run.method}: {run.method_reason}",
    ]
    if run.time_step is not None:
        lines.append(f"time step {engineering(run.time_step, 's')}")
    if run.trace > 1:
        lines.append(f"kept: every {run.trace}th readout of each trajectory; the statistics are of all")
    return lines


def _variables(run: Simulation) -> str:
    import numpy as np

    variances = run.covariance.diagonal().clip(0)
    deviations = np.sqrt(variances)
    # The error of a square root, to first order.
    errors = np.divide(
        run.covariance_error.diagonal(), 2 * deviations, out=np.zeros_like(deviations), where=deviations > 0
    )
    headers = ["variable", "mean", "+-", "std dev", "+-"]
    columns = [
        [number(value) for value in run.mean],
        [number(value, 2) for value in run.mean_error],
        [number(value) for value in deviations],
        [number(value, 2) for value in errors],
    ]
    if run.target_mean is not None and run.target_covariance is not None:
        headers[3:3] = ["(target)"]
        columns[2:2] = [[f"({number(value)})" for value in run.target_mean]]
        headers.append("(target)")
        columns.append([f"({number(value)})" for value in np.sqrt(run.target_covariance.diagonal())])
    return table(headers, list(zip(run.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS)


def _verdict(run: Simulation) -> list[str]:
    worth = f"worth {run.effective_samples:.6g} independent samples (for the covariance)"
    if run.target_covariance is None:
        return [worth, "no target: there is no problem.json"]
    lines = [worth]
    if run.relative_error is not None:
        lines.append(
            f"relative error {small(run.relative_error)}; {small(run.expected_relative_error)} is expected "
            "from this many samples alone"
        )
    sigmas, i, j, count = run.worst_deviation()
    lines.append(
        f"largest deviation of a covariance: {sigmas:.1f} standard errors, at ({run.variables[i]}, "
        f"{run.variables[j]}), the worst of {count}"
    )
    return lines
