"""``spu compile``: problem + hardware to a folder with device, netlist and problem."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import InputError, UsageError
from spu.base.numbers import engineering, plural, small

from .common import dialect_option, facts, file_option, json_option, print_json, seed_option, warn

if TYPE_CHECKING:
    from spu.compiler.chains import Embedding
    from spu.compiler.compilation import Compilation
    from spu.problems.problem import QuadraticProblem


_MEANS = {
    "zero": "zero: nothing to hold",
    "bias": "held in the cells, by bias currents",
    "offset": "added at readout: these cells cannot hold one",
}

_MARGIN = "{:.3g} of the diagonal is left to the cell that keeps least of its own"

_LARGEST_SEED = 2**31 - 2  # ngspice keeps it, plus one, in a C int


@click.command("compile")
@click.argument("problem", metavar="PROBLEM", type=click.Path(path_type=Path))
@file_option("-o", "--output", metavar="DIR", help="Folder to write; made if missing.")
@click.option(
    "--hardware", metavar="NAME|FILE", help="ideal, spu8... or a .toml file [default: the problem's, or ideal]."
)
@click.option(
    "--architecture",
    metavar="NAME",
    help="Force rlc-capacitive, rc-resistive, either with -dual, or rc-transconductor; of a network rc-conductance, "
    "rlc-flux or rc-charge [default: the most passive that can; of a network the hardware's first].",
)
@click.option(
    "--rounding",
    metavar="NAME",
    default="answer",
    help="Of quantised hardware: answer, codes or nearest [default: answer, the least error of the covariance].",
)
@click.option(
    "--ensemble", type=int, default=1, metavar="K", help="K programmings whose samples are merged: errors cancel."
)
@click.option("--task", metavar="NAME", help="gaussian, inverse or linear [default: the file's].")
@click.option("--covariance", is_flag=True, help="The matrix is a covariance, not a precision.")
@file_option("--vector", help="Right-hand side of a linear system (.npy, .csv, .mtx).")
@click.option("--explain", is_flag=True, help="Say what each pass did, and what it did to the predicted error.")
@click.option("--force", is_flag=True, help="Write into a folder that is not ours, and over edited files.")
@click.option(
    "--chain-strength", type=float, metavar="K", help="Of chains on wired hardware [default: the hardware's]."
)
@click.option("--correction", metavar="NAME", default="auto", help="For finite chains; see below [default: the best].")
@click.option(
    "--detail",
    metavar="NAMES",
    default="all",
    help="Which of the hardware's details to model: all, none, or e.g. switch,node.capacitance [default: all].",
)
@click.option("--embedding-seed", type=int, default=0, metavar="N", help="Seed of the search for chains.")
@click.option(
    "--speedup",
    type=float,
    metavar="X",
    help="Of a network: energies and noise times X, the same answers X times sooner.",
)
@dialect_option(multiple=True, help="Write the netlist for this simulator, too: ltspice, xyce or spectre; repeatable.")
@seed_option("the netlist's noise sources", _LARGEST_SEED)
@json_option
def command(
    problem: Path,
    output: Path | None,
    hardware: str | None,
    architecture: str | None,
    rounding: str,
    ensemble: int,
    task: str | None,
    covariance: bool,
    vector: Path | None,
    explain: bool,
    force: bool,
    chain_strength: float | None,
    correction: str,
    detail: str,
    embedding_seed: int,
    speedup: float | None,
    dialects: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> int:
    """Realize PROBLEM on hardware and write the folder DIR.

    PROBLEM is a matrix (.npy, .npz, .csv, .mtx), taken as the precision of a Gaussian, or a
    .toml file with task, precision or covariance, mean, matrix, vector, variables, hardware. With
    task = "network" it is a thermodynamic network: J2, J3, J4, input, bias, couplings, kT, mobility.

    DIR gets device.json (the programmed device), device.cir (its netlist: ngspice -b runs it;
    of an ensemble also device.2.cir...) and problem.json; with --dialect also device.ltspice.cir,
    device.xyce.cir, device.spectre.scs.

    On hardware whose cells are not all coupled (wiring = "king 4x4", say), a matrix that does not fit
    takes chains of cells, joined by couplers K times the largest diagonal entry of the scaled matrix.
    What a finite K costs is made up for: pre-distorted (exact, in the device), first-order or all-orders
    (in the readout), or left as it is: uncorrected.

    \b
      spu compile precision.csv -o out
      spu compile wine.npy --covariance -o out
      spu compile matrix.mtx --vector b.csv -o out        (solves A x = b)
      spu compile problem.toml --hardware spu8 -o out
    """  # noqa: D301 - click wants the control character
    if output is None:
        raise UsageError("compile needs a folder to write: spu compile PROBLEM -o DIR")
    from spu.compiler import EmbeddingOptions, compile_problem
    from spu.folder import refuse_folder, write_folder
    from spu.problems.files import load_problem
    from spu.problems.network_files import is_network_file
    from spu.problems.problem import QuadraticProblem
    from spu.spice.dialects import find_dialect

    for dialect in dialects:
        find_dialect(dialect)
    refuse_folder(output, force=force)
    if is_network_file(problem):
        from .networks import compile_command, refuse_options

        refuse_options(
            "networks",
            rounding=None if rounding == "answer" else rounding,
            ensemble=None if ensemble == 1 else ensemble,
            task=task,
            covariance=covariance,
            vector=vector,
            explain=explain,
            chain_strength=chain_strength,
            correction=None if correction == "auto" else correction,
            embedding_seed=embedding_seed or None,
            detail=None if detail == "all" else detail,
            dialect=dialects or None,
        )
        return compile_command(
            problem,
            output,
            hardware=hardware,
            architecture=architecture,
            speedup=1.0 if speedup is None else speedup,
            force=force,
            seed=seed,
            as_json=as_json,
        )
    if speedup is not None:
        raise UsageError('--speedup is for networks (task = "network")')
    options = EmbeddingOptions(strength=chain_strength, correction=correction, seed=embedding_seed)
    posed, named = load_problem(problem, task=task, covariance=covariance, vector=vector)
    assert isinstance(posed, QuadraticProblem)
    try:
        compilation = compile_problem(
            posed,
            hardware or named or "ideal",
            architecture=architecture,
            rounding=rounding,
            ensemble=ensemble,
            embedding=options,
            detail=[word.strip() for word in detail.split(",")],
        )
    except InputError as error:
        if hardware or not named or architecture or error.file is not None:
            raise
        # The hardware's name stands in the problem file.
        raise InputError(error.message, file=problem) from None
    files = write_folder(output, compilation, force=force, seed=seed, dialects=dialects)
    if as_json:
        passes = {"explain": [asdict(step) for step in compilation.explain()]} if explain else {}
        print_json({**_report(compilation, files), **passes})
        return 0
    for warning in compilation.warnings:
        warn(warning)
    if _netlist(files) is None:
        warn(_NO_NETLIST)
    click.echo(_describe(problem, posed, compilation, files))
    if explain:
        click.echo(f"\n{_explain(compilation)}")
    click.echo(f"\nnext: spu check {shlex.quote(str(output))}    (or predict, simulate, inspect)")
    return 0


def _explain(compilation: Compilation) -> str:
    """The passes one under the other: what each did, then what the device has lost by it until there."""
    lines = ["passes, each with the error of what it hands on (covariance, relative Frobenius; KL divergence, nats):"]
    for number, step in enumerate(compilation.explain(), start=1):
        held = step.covariance_relative_error is not None
        errors = f"  [{small(step.covariance_relative_error)}; {small(step.kullback_leibler)}]" if held else ""
        lines.append(f"  {number}. {step.name}: {step.did}{errors}")
    return "\n".join(lines)


_NO_NETLIST = "no netlist: ngspice would not get through so many instances; predict and simulate need none"


def _netlist(files: tuple[Path, ...]) -> Path | None:
    return next((file for file in files if file.suffix == ".cir"), None)


def _report(compilation: Compilation, files: tuple[Path, ...]) -> dict[str, Any]:
    from spu.folder.contents import summary

    device = compilation.device
    return {
        "device": files[0],
        "netlist": _netlist(files),
        "files": files,
        "cells": len(device.cell_names),
        "couplers": len(device.coupler_ends),
        "flipped": compilation.flipped,
        "scale_spread": compilation.scale_spread,
        "warnings": (*compilation.warnings, *([] if _netlist(files) else [_NO_NETLIST])),
        **summary(compilation),
    }


def _embedded(embedding: Embedding) -> list[tuple[str, str]]:
    """What the wiring costs."""
    if embedding.strength is None:
        return [("wiring", "fits: one cell for each variable, no chains")]
    return [
        (
            "wiring",
            f"{plural(embedding.cells, 'cell')} for {plural(len(embedding.variables), 'variable')}; longest chain "
            f"{plural(embedding.longest_chain, 'cell')}; chain strength {embedding.strength:.4g}",
        ),
        (
            "chains",
            f"{embedding.method}: covariance {small(embedding.error)}; "
            f"uncorrected {small(embedding.uncorrected_error)}",
        ),
    ]


def _describe(file: Path, problem: QuadraticProblem, compilation: Compilation, files: tuple[Path, ...]) -> str:
    device, prediction, hardware = compilation.device, compilation.prediction, compilation.hardware
    spread = compilation.scale_spread
    cells = plural(len(device.cell_names), "cell")
    flipped = f"{compilation.flipped} of {plural(problem.n, 'variable')} read with negative polarity"
    scaling = "the same gain for every cell"
    if spread > 1 + 1e-9:
        scaling = f"readout gains spread by a factor {spread:.3g}"
    covariance, mean = prediction.covariance_relative_error, prediction.mean_relative_error
    errors = [f"covariance {small(covariance)}"] if covariance is not None else []
    errors += [f"mean {small(mean)}"] if mean is not None else []
    common, levels = prediction.common_mode, compilation.levels
    modes = []
    if levels is not None:
        adjusted = "" if levels.noise == levels.nominal_noise else " (adjusted)"
        modes.append(
            (
                "levels",
                f"injected noise {levels.noise:.3g} A^2/Hz{adjusted}; {levels.quietest} is "
                f"{levels.floor_headroom:.1f} dB above the readout's noise, the peaks of {levels.loudest} "
                f"{levels.clipping_headroom:.1f} dB below clipping",
            )
        )
    if common is not None:
        differential = float(common.differential_variance.max()) ** 0.5
        modes.append(
            (
                "common mode",
                f"at most {engineering(common.loudest, 'V')} rms a cell, beside {engineering(differential, 'V')} of "
                f"the differential one; at most {common.ratio:.3g} times its own (not read out)",
            )
        )
    return facts(
        [
            ("problem", f"{file}: {problem.kind.words}, {plural(problem.n, 'variable')}"),
            ("condition", f"{problem.condition:.3g}"),
            ("hardware", f"{hardware.name}, {hardware.temperature:g} K"),
            ("architecture", f"{compilation.architecture}: {compilation.reason}"),
            ("class", f"{compilation.realizability}, rho = {compilation.rho:.4g} (passive couplers need < 1)"),
            *([("margin", _MARGIN.format(compilation.margin))] if compilation.margin is not None else []),
            ("device", f"{cells}, {plural(len(device.coupler_ends), 'coupler')}; hash {device.hash}"),
            *([] if compilation.embedding is None else _embedded(compilation.embedding)),
            ("polarity", flipped if compilation.flipped else "all cells read straight"),
            ("scaling", scaling),
            ("mean", _MEANS.get(compilation.mean, compilation.mean)),
            *modes,
            *_rounding(compilation),
            *_detail(compilation),
            ("predicted error", f"{', '.join(errors) or '-'} (relative, Frobenius; without sampling)"),
            ("wrote", ", ".join(str(written) for written in files)),
        ]
    )


def _detail(compilation: Compilation) -> list[tuple[str, str]]:
    from spu.device.imperfections import MEANINGS, TABLES, Detail
    from spu.emulator.predict import predict_linear

    detail = compilation.device.detail
    if not detail:
        return []
    units = {f"{table}.{key}": unit for table, keys in TABLES.items() for key, unit in keys.items()}
    said = ", ".join(f"{MEANINGS[effect]} {engineering(detail[effect], units[effect])}" for effect in detail.effects)
    ideal = predict_linear(compilation.device.at_detail(Detail())).relative_error
    return [("detail", f"{said}; without any of it the error would be {small(ideal)}")]


_ROUNDINGS = {
    "answer": "codes, scale and gains chosen for the least error of the covariance",
    "codes": "codes chosen for the least error of the covariance",
    "nearest": "each value to its nearest code",
}


def _rounding(compilation: Compilation) -> list[tuple[str, str]]:
    if compilation.rounding is None:
        return []
    count = len(compilation.device.programmings) + 1
    merged = f"; {count} programmings, each chosen to correct those before it" if count > 1 else ""
    return [("rounding", f"{plural(compilation.banks, 'bank')}: {_ROUNDINGS[compilation.rounding]}{merged}")]
