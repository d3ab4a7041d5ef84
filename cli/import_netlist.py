"""``spu import``: a netlist drawn elsewhere, as a folder that the other verbs take."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spu.base.errors import InputError, NonlinearNetlist, UsageError, refuse_options
from spu.base.numbers import plural

from .common import MAX_TABLE_ROWS, file_option, json_option, print_json, say, table

if TYPE_CHECKING:
    from spu.problems.problem import LinearProblem
    from spu.spice.reader import ReadNetlist
    from spu.spice.reader.nonlinear import NonlinearDeck


@click.command("import")
@click.argument("netlist", metavar="NETLIST", type=click.Path(path_type=Path))
@file_option("-o", "--output", metavar="DIR", help="Write the folder; without it the table is all there is.")
@click.option(
    "--probe",
    "probes",
    multiple=True,
    metavar="[NAME=]NODE[,NODE]",
    help="Read this voltage out (repeat for more) [default: nodes cell_NAME, else those on .save lines].",
)
@click.option("--silent", multiple=True, metavar="NAME", help="This resistor or source makes no noise (repeatable).")
@click.option(
    "--density",
    "densities",
    multiple=True,
    metavar="NAME=S",
    help="This source is white noise of one-sided density S, V^2/Hz or A^2/Hz (repeatable).",
)
@file_option("--problem", metavar="FILE", help="What the circuit is meant to compute: the target of the answer.")
@click.option(
    "--max-instances", type=click.IntRange(1), metavar="N", help="Most subcircuit instances [default: 100000]."
)
@click.option("--include-outside", is_flag=True, help="Read includes that lie outside the netlist's folder.")
@click.option("--ignore-control", is_flag=True, help="Leave out control blocks that do more than analyses.")
@click.option("--force", is_flag=True, help="Write into a folder that is not ours, or was edited.")
@json_option
def command(
    netlist: Path,
    output: Path | None,
    probes: tuple[str, ...],
    silent: tuple[str, ...],
    densities: tuple[str, ...],
    problem: Path | None,
    max_instances: int | None,
    include_outside: bool,
    ignore_control: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Read the SPICE deck NETLIST, say what is noise in it and what is read out, and write a folder.

    Linear networks of R, L, C, K, V, I, E, F, G, H, linear B and X, with .subckt, .param, .func and .include.
    predict, simulate, check and inspect take the folder; predict and simulate also take NETLIST as it is.
    Nothing in NETLIST is executed. One with parts that are not linear (diodes, transistors, nonlinear sources) is
    imported for ngspice alone: inspect, check and report take it, and nothing else does.

    \b
      spu import ladder.cir --probe out --density vin=1e-16 -o ladder
      spu predict ladder
    """  # noqa: D301 - click wants the control character
    from spu.folder import refuse_folder, write_import
    from spu.spice.reader import read_netlist
    from spu.spice.reader.limits import MAX_INSTANCES
    from spu.spice.reader.nonlinear import read_nonlinear

    if output is not None:
        refuse_folder(output, force=force, holds="circuit.json")
    limit = MAX_INSTANCES if max_instances is None else max_instances
    options: dict[str, Any] = {
        "probes": probes,
        "max_instances": limit,
        "include_outside": include_outside,
        "ignore_control": ignore_control,
    }
    try:
        read = read_netlist(netlist, silent=silent, densities=_densities(densities), **options)
    except NonlinearNetlist as refusal:
        given = {"silent": silent or None, "density": densities or None, "problem": problem}
        refuse_options(f"netlists that only ngspice runs ({refusal})", given)
        return _import_alone(read_nonlinear(netlist, refusal, **options), output, force, as_json)
    if problem is not None:
        posed = _problem(problem, read.circuit.readout.variables)
        read = replace(read, circuit=replace(read.circuit, problem=posed))
    files = () if output is None else write_import(output, read, force=force)
    if as_json:
        print_json({**report(read), "files": files})
    else:
        say(describe(read))
        for file in files:
            click.echo(f"{'' if file != files[0] else chr(10)}wrote {file}")
    return 0


def _import_alone(read: NonlinearDeck, output: Path | None, force: bool, as_json: bool) -> int:
    """Write the folder of a netlist that only ngspice runs, and say what can be had of it."""
    from spu.folder import write_import

    files = () if output is None else write_import(output, read, force=force)
    if as_json:
        print_json({**report_alone(read), "files": files})
    else:
        say(describe_alone(read))
        for file in files:
            click.echo(f"{'' if file != files[0] else chr(10)}wrote {file}")
    return 0


def report_alone(read: NonlinearDeck) -> dict[str, Any]:
    """Give the JSON object of a netlist that only ngspice runs."""
    return {
        "netlist": read.path,
        "title": read.title,
        "hash": read.hash,
        "only_ngspice": read.why,
        "parts": read.parts,
        "variables": read.variables,
        "probes": [asdict(probe) for probe in read.probes],
        "probed_by": read.probed_by,
        "read": read.files,
    }


def describe_alone(read: NonlinearDeck) -> str:
    """Lay out what a netlist that only ngspice runs is made of, and what can be had of it."""
    from spu.reports.inspection import probe_table
    from spu.spice.reader.nonlinear import ALONE

    parts = ", ".join(plural(count, kind) for kind, count in read.parts.items())
    return "\n".join(
        [
            f"{read.path}: {parts} (as its lines are, before subcircuits are expanded)",
            "",
            table(*probe_table(read.probes), left=2, limit=MAX_TABLE_ROWS),
            f"  ({read.probed_by})",
            "",
            f"note: {read.why}; {ALONE}",
        ]
    )


def _densities(given: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            density = float(value)
        except ValueError:
            density = float("nan")
        if not equals or not name or not 0 <= density < float("inf"):
            raise UsageError(f"--density {text!r}: write NAME=S with a density S in V^2/Hz or A^2/Hz, as in vin=1e-16")
        found[name] = density
    return found


def _problem(file: Path, variables: tuple[str, ...]) -> LinearProblem:
    """The problem, its variables in the order of what is read out."""
    from spu.problems.files import load_problem
    from spu.problems.problem import linear_problem

    problem = linear_problem(load_problem(file)[0])
    if problem is None:
        raise InputError("is of a thermodynamic network, which no imported netlist is", file=file)
    if problem.variables == variables:
        return problem
    nameless = problem.variables == tuple(f"x{k}" for k in range(1, problem.n + 1))
    if nameless and problem.n == len(variables):
        named = linear_problem(load_problem(file, variables=variables)[0])
        assert named is not None
        return named
    raise InputError(
        f"its variables are {', '.join(problem.variables[:6])}; what is read out is {', '.join(variables[:6])}: "
        "--probe NAME=NODE names and orders the readouts",
        file=file,
    )


def report(read: ReadNetlist) -> dict[str, Any]:
    """Give the JSON object."""
    from spu.reports.inspection import element_count

    return {
        "netlist": read.path,
        "title": read.title,
        "hash": read.circuit.hash,
        "temperature": read.circuit.temperature,
        "elements": element_count(read),
        "nodes": len(read.circuit.nodes),
        "variables": read.circuit.readout.variables,
        "probes": [asdict(probe) for probe in read.probes],
        "probed_by": read.probed_by,
        "noise": [asdict(row) for row in read.noise],
        "inputs": [asdict(row) for row in read.inputs],
        "read": read.files,
        "notes": read.notes,
    }


def describe(read: ReadNetlist) -> str:
    """Lay out what was read: noise, readouts, inputs, notes."""
    from spu.reports.inspection import element_count, input_table, noise_table, readout_table

    circuit = read.circuit
    lines = [
        f"{read.path}: {plural(element_count(read), 'element')} on {plural(len(circuit.nodes), 'node')}, "
        f"{plural(len(circuit.instances), 'kind')} of subcircuit, {circuit.temperature:g} K",
    ]
    if read.noise:
        lines += ["", table(*noise_table(read), left=2, limit=MAX_TABLE_ROWS)]
    else:
        lines += ["", "noise: none (--density NAME=S takes a source for white noise)"]
    lines += ["", table(*readout_table(read), left=2, limit=MAX_TABLE_ROWS), f"  ({read.probed_by})"]
    if read.inputs:
        lines += ["", table(*input_table(read), limit=MAX_TABLE_ROWS)]
    lines += ["", *(f"note: {note}" for note in read.notes)] if read.notes else []
    return "\n".join(lines)
