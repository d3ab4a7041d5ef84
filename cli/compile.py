"""``spu compile``: problem + hardware to a folder with device, netlist and problem."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spu.base.errors import UsageError
from spu.base.numbers import small

from .common import (
    clamp_option,
    dialect_option,
    facts,
    file_option,
    hint,
    json_option,
    print_json,
    say,
    seed_option,
    warn,
)
from .names import ARCHITECTURES, HARDWARE, TASKS, names

if TYPE_CHECKING:
    from spu.compiler.compilation import Compilation

_LARGEST_SEED = 2**31 - 2  # ngspice keeps it, plus one, in a C int


@click.command("compile")
@click.argument("problem", metavar="PROBLEM", type=click.Path(path_type=Path))
@file_option("-o", "--output", metavar="DIR", help="Folder to write; made if missing.")
@click.option(
    "--hardware",
    metavar="NAME|FILE",
    shell_complete=HARDWARE,
    help="ideal, spu8... or a .toml file [default: the problem's, or ideal].",
)
@click.option(
    "--architecture",
    metavar="NAME",
    shell_complete=ARCHITECTURES,
    help="Force rlc-capacitive, rc-resistive, either with -dual, or rc-transconductor; of a network rc-conductance, "
    "rlc-flux or rc-charge [default: the most passive that can; of a network the hardware's first].",
)
@click.option(
    "--rounding",
    metavar="NAME",
    shell_complete=names("spu.compiler.quantise:ROUNDINGS"),
    default="answer",
    help="Of quantised hardware: answer, codes or nearest [default: answer, the least error of the covariance].",
)
@click.option(
    "--ensemble", type=int, default=1, metavar="K", help="K programmings whose samples are merged: errors cancel."
)
@click.option("--task", metavar="NAME", shell_complete=TASKS, help="gaussian, inverse or linear [default: the file's].")
@click.option("--covariance", is_flag=True, help="The matrix is a covariance, not a precision.")
@file_option("--vector", help="Right-hand side of a linear system (.npy, .csv, .mtx).")
@clamp_option("Hold a variable there, by a voltage source at its cell: the task is the conditional one")
@click.option("--explain", is_flag=True, help="Say what each pass did, and what it did to the predicted error.")
@click.option("--force", is_flag=True, help="Write into a folder that is not ours, and over edited files.")
@click.option(
    "--chain-strength", type=float, metavar="K", help="Of chains on wired hardware [default: the hardware's]."
)
@click.option(
    "--correction",
    metavar="NAME",
    shell_complete=names("spu.compiler.embedding:CORRECTIONS"),
    default="auto",
    help="For finite chains; see below [default: the best].",
)
@click.option(
    "--detail",
    metavar="NAMES",
    shell_complete=names("spu.device.imperfections:TABLES", more=("all", "none")),
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
@click.option(
    "--draw",
    type=int,
    metavar="N",
    help="Board number N, its elements drawn by the hardware's [tolerance] [default: none errs].",
)
@dialect_option(multiple=True, help="Write it for this simulator, too: ltspice, xyce, spectre or vacask; repeatable.")
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
    clamp: dict[str, float] | None,
    explain: bool,
    force: bool,
    chain_strength: float | None,
    correction: str,
    detail: str,
    embedding_seed: int,
    speedup: float | None,
    draw: int | None,
    dialects: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> int:
    """Realize PROBLEM on hardware and write the folder DIR.

    PROBLEM is a matrix (.npy, .npz, .csv, .mtx), taken as the precision of a Gaussian, or a
    .toml file with task, precision or covariance, mean, matrix, vector, variables, hardware. With
    task = "network" it is a thermodynamic network: J2, J3, J4, input, bias, couplings, kT, mobility.
    The folder that spu train writes is one, too; DIR then keeps trained.npz for spu generate and classify.

    DIR gets device.json (the programmed device), device.cir (its netlist: ngspice -b runs it;
    of an ensemble also device.2.cir...) and problem.json; with --dialect also device.ltspice.cir,
    device.xyce.cir, device.spectre.scs, device.vacask.sim.

    On hardware whose cells are not all coupled (wiring = "king 4x4", say), a matrix that does not fit
    takes chains of cells, joined by couplers K times the largest diagonal entry of the scaled matrix.
    What a finite K costs is made up for: pre-distorted (exact, in the device), first-order or all-orders
    (in the readout), or left as it is: uncorrected.

    \b
      spu compile precision.csv -o out
      spu compile wine.npy --covariance -o out
      spu compile matrix.mtx --vector b.csv -o out        (solves A x = b)
      spu compile precision.csv --clamp x1=0.5 -o out     (the others, given that x1 is 0.5)
      spu compile problem.toml --hardware spu8 -o out
      spu compile TRAINED --hardware neurons-6bit --draw 1 -o out
    """  # noqa: D301 - click wants the control character
    if output is None:
        raise UsageError("compile needs a folder to write: spu compile PROBLEM -o DIR")
    from spu.compiler import EmbeddingOptions, compile_problem, passes_of
    from spu.folder import refuse_folder, write_folder
    from spu.problems.conditional import conditional
    from spu.problems.posed import pose
    from spu.spice.dialects import find_dialect

    for dialect in dialects:
        find_dialect(dialect)
    refuse_folder(output, force=force)
    posed = pose(problem, task=task, covariance=covariance, vector=vector)
    if clamp is not None:
        posed = replace(posed, problem=conditional(posed.problem, clamp))
    given = {
        "rounding": rounding != "answer",
        "ensemble": ensemble != 1,
        "explain": explain,
        "chain_strength": chain_strength is not None,
        "correction": correction != "auto",
        "embedding_seed": embedding_seed != 0,
        "detail": detail != "all",
        "dialect": bool(dialects),
        "speedup": speedup is not None,
        "draw": draw is not None,
    }
    passes_of(posed.problem).refuse((name for name, is_given in given.items() if is_given), _PARTS)
    chains = any(given[name] for name in _PARTS)
    options = EmbeddingOptions(strength=chain_strength, correction=correction, seed=embedding_seed)
    compilation = compile_problem(
        posed,
        hardware,
        architecture=architecture,
        rounding=rounding,
        ensemble=ensemble,
        embedding=options if chains else None,
        detail=detail,
        speedup=1.0 if speedup is None else speedup,
        draw=draw,
    )
    files = write_folder(output, compilation, force=force, seed=seed, dialects=dialects)
    netlist = next((file for file in files if file.suffix == ".cir"), None)
    warnings = [*compilation.warnings, *([_NO_NETLIST] if netlist is None else [])]
    if as_json:
        passes = {"explain": [asdict(step) for step in compilation.explain()]} if explain else {}
        written = {"device": files[0], "netlist": netlist, "files": files}
        print_json({**written, **compilation.to_dict(), "warnings": warnings, **passes})
        return 0
    for warning in warnings:
        warn(warning)
    (label, posed_as), *decided = compilation.facts()
    wrote = ("wrote", ", ".join(str(file) for file in files))
    click.echo(facts([(label, f"{problem}: {posed_as}"), *decided, wrote]))
    if explain:
        say(f"\n{_explain(compilation)}")
    first, *others = compilation.verbs
    hint(f"\nnext: spu {first} {shlex.quote(str(output))}    (or {', '.join(others)})")
    return 0


_PARTS = dict.fromkeys(("chain_strength", "correction", "embedding_seed"), "embedding")
"""Options of the command line that are parts of one of the compiler's."""

_NO_NETLIST = "no netlist: ngspice would not get through so many instances; predict and simulate need none"


def _explain(compilation: Compilation) -> str:
    """The passes one under the other: what each did, then what the device has lost by it until there."""
    lines = ["passes, each with the error of what it hands on (covariance, relative Frobenius; KL divergence, nats):"]
    for number, step in enumerate(compilation.explain(), start=1):
        held = step.covariance_relative_error is not None
        errors = f"  [{small(step.covariance_relative_error)}; {small(step.kullback_leibler)}]" if held else ""
        lines.append(f"  {number}. {step.name}: {step.did}{errors}")
    return "\n".join(lines)
