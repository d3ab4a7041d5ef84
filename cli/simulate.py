"""``spu simulate``: samples, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spu.base.errors import UsageError
from spu.base.numbers import plural

from .common import (
    clamp_option,
    file_option,
    folder_argument,
    json_option,
    number_list,
    print_result,
    progress_bar,
    refuse_npz,
    seed_option,
    start_values,
    warn,
    write_npz,
)
from .ending import INTERRUPTED
from .names import PRECISIONS, names

if TYPE_CHECKING:
    from spu.folder import Folder

_MARKER = "spu_samples"


@click.command("simulate")
@folder_argument
@click.option(
    "--samples",
    type=click.IntRange(1, 10**15),
    metavar="N",
    help="Readouts in all [default: 10000; large sparse networks 1000].",
)
@click.option(
    "--interval",
    type=float,
    metavar="S",
    help="Seconds between readouts [default: slowest time constant; with --lags closer].",
)
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
    "--lags",
    type=click.IntRange(0, 100_000),
    default=0,
    metavar="N",
    help="Autocovariances up to N readouts; these are as far apart as shows the decay, unless --interval is given.",
)
@click.option(
    "--trace",
    "traces",
    multiple=True,
    metavar="N|FILE.raw",
    help="Keep every Nth readout of each trajectory [default: all, or what makes 0.4 GB]; FILE.raw: write the voltages "
    "over time there, for ngspice, gaw and other viewers (by default then one trajectory, readouts close together). "
    "Each may be given.",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit.")
@click.option(
    "--step",
    type=float,
    metavar="S",
    help="Time step of the midpoint rule (large sparse networks); of a thermodynamic network, in its own time.",
)
@click.option(
    "--times",
    metavar="T1,T2...|FIRST:LAST:COUNT",
    help="Of a thermodynamic network, or with --start: when to read, in its own time (s where it has none).",
)
@click.option(
    "--scheme",
    metavar="NAME",
    shell_complete=names("spu.emulator.runs.langevin_run:SCHEMES"),
    help="Of a network: heun, euler-maruyama, leimkuhler-matthews or baoab.",
)
@click.option(
    "--start",
    metavar="X",
    help="Where variables start: a number, X1,X2..., or a file of them (.csv, .npy); of a network also equilibrium "
    "[default: 0], of others, with --times, also rest (power-on) or stationary.",
)
@file_option(
    "--inputs", metavar="FILE.csv", help="Of a network: columns time and units, inputs between instants on lines."
)
@file_option(
    "--own-inputs",
    metavar="FILE.csv",
    help="Of a network: columns of units, a row for each trajectory: inputs it has beside those of all.",
)
@clamp_option("Hold a variable there (of a network, a unit)")
@click.option("--heat", is_flag=True, help="Of a network: book heat, work and entropy production.")
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=names("spu.emulator.runs.sampling:METHODS"),
    help="Force a way to step: modal or dense [default: the best].",
)
@click.option(
    "--precision",
    metavar="NAME",
    shell_complete=PRECISIONS,
    default="double",
    help="double or single (dense steps, networks: faster) [default: double].",
)
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
    traces: tuple[str, ...],
    threads: int | None,
    step: float | None,
    times: str | None,
    scheme: str | None,
    start: str | None,
    inputs: Path | None,
    own_inputs: Path | None,
    clamp: dict[str, float] | None,
    heat: bool,
    method: str | None,
    precision: str,
    output: Path | None,
    no_output: bool,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Draw samples from DIR and compare them with the target.

    The statistics take in every readout, and memory does not grow with time. Writes
    DIR/samples.npz: readouts (trajectories, N, p) in problem units (every readout or, with
    --trace N, every Nth) and the same as samples (one trajectory after another), times,
    time_step (nan where steps are exact), variables, interval, trace, seed, trajectories,
    complete, and with --lags autocovariance (N + 1, p, p). For a device.json that stands
    alone samples are written only with -o. --trace FILE.raw also writes the voltages over time
    as ngspice's viewers read them. Variables may be held (--clamp), which makes the
    target the conditional one.

    Of a thermodynamic network independent trajectories start at --start and are read at --times
    (by default once, after ten time constants); DIR/samples.npz then holds readouts, the same as
    states (times, trajectories, units), and with --heat what each trajectory took and gave, in
    kT. Each may have inputs of its own (--own-inputs), and units may be held (--clamp). With
    --start equilibrium --heat also tells the total entropy production, (W - free energy
    change)/kT. Other devices relax from a given state likewise, with --start and --times.

    Ctrl-C ends the run early: what there is by then is printed and written, marked incomplete.
    """
    from spu.emulator.simulate import simulate
    from spu.folder import read_folder

    trace, raw = _traces(traces)
    if samples is not None and duration is not None:
        raise UsageError("give --samples or --duration, not both")
    if output is not None and no_output:
        raise UsageError("give -o or --no-output, not both")
    if trace and no_output and raw is None:
        raise UsageError("give --trace or --no-output, not both")
    if raw is not None:
        from spu.spice.rawfile import refuse_raw

        if independent:
            raise UsageError(f"--trace {raw} is of voltages over time, and --independent draws have none")
        if trace == 0:
            raise UsageError("--trace 0 keeps no readouts, and a .raw file is of those that are kept")
        refuse_raw(raw)
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
    with progress_bar("simulating") as progress:
        run = simulate(
            folder,
            samples=samples,
            interval=interval,
            trajectories=trajectories,
            duration=duration,
            independent=independent,
            seed=seed,
            lags=lags,
            trace=trace if file is not None or raw is not None else 0,
            threads=threads,
            method=method,
            step=step,
            times=None if times is None else number_list("--times", times),
            scheme=scheme,
            start=None if start is None else start_values(start),
            inputs=inputs,
            own_inputs=own_inputs,
            clamp=clamp,
            heat=heat,
            precision=precision,
            voltages=raw is not None,
            progress=progress,
        )
    arrays = run.arrays()
    if file is not None:
        write_npz(file, {**arrays, "device_hash": folder.subject.hash}, _MARKER)
    if raw is not None:
        from spu.spice.rawfile import write_raw

        vectors = write_raw(raw, folder, run)
    if not run.complete:
        warn(f"interrupted: the result below is of the first {plural(run.samples, 'readout')}")
    for warning in run.warnings:
        warn(warning)
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(run.plot(), plot)
    if as_json:
        # What is only in the file has its place said, as large matrices have.
        kept = {
            key: None if file is None or key not in arrays else {"npz": file, "key": key}
            for key in ("readouts", "times")
        }
        waves = {} if raw is None else {"waveforms": {"raw": raw, "vectors": vectors}}
        print_result({**kept, **run.to_dict(), "output": file, "plot": plot, **waves}, folder, "simulate")
    else:
        click.echo(str(run))
        click.echo(f"\nwrote {file}" if file else "\nsamples not written (-o FILE.npz writes them)")
        if raw is not None:
            shown = ", ".join(vectors[:6]) + (f" ... ({len(vectors)})" if len(vectors) > 6 else "")
            click.echo(f"waveforms: {raw} ({shown})")
        if plot is not None:
            click.echo(f"picture: {plot}")
    return 0 if run.complete else INTERRUPTED


def _traces(given: tuple[str, ...]) -> tuple[int | None, Path | None]:
    """What ``--trace`` says: every so-manieth readout, and a file of waveforms; None where it does not."""
    counts = [int(word) for word in given if word.isdecimal()]
    files = [Path(word) for word in given if not word.isdecimal()]
    if len(counts) > 1 or len(files) > 1:
        raise UsageError("--trace takes a number and a file once each, as in --trace 10 --trace waves.raw")
    if files and files[0].suffix.lower() != ".raw":
        raise UsageError(f"--trace takes a whole number, 0 or more, or a file .raw, not {str(files[0])!r}")
    return (counts[0] if counts else None), (files[0] if files else None)


def _default_file(folder: Folder) -> Path | None:
    return None if folder.directory is None else folder.directory / "samples.npz"
