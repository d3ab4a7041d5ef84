"""What the verbs share: options, numbers and tables for people, JSON and .npz files for programs."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spu.base.errors import OutputError, UsageError, clip
from spu.base.layout import MAX_TABLE_ROWS as MAX_TABLE_ROWS
from spu.base.layout import facts as facts
from spu.base.layout import folded, in_full
from spu.base.layout import table as table
from spu.base.progress import Heartbeat, Progress

from .ending import print_object
from .names import DIALECTS, HARDWARE, SIMULATORS

if TYPE_CHECKING:
    from spu.base.arrays import FloatArray
    from spu.folder import Folder
    from spu.spice.reader.nonlinear import NonlinearDeck

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def folder_argument(function: AnyFunction) -> AnyFunction:
    """``DIR``: a compiled or imported folder, a device file, or a netlist."""
    return click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))(function)


def json_option(function: AnyFunction) -> AnyFunction:
    """``--json``, and ``--verbose``, which every verb has that prints anything."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object (SI units).")
    return verbose_option(quiet_option(option(function)))


def quiet_option(function: AnyFunction) -> AnyFunction:
    """``--quiet``: what is found and what went wrong is said, and nothing else."""

    def chosen(context: click.Context, _option: click.Parameter, value: bool) -> None:
        context.meta[_QUIET] = value

    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=chosen,
        help="No progress and no hints; results, warnings and errors stay.",
    )(function)


_QUIET = "spu.quiet"


def verbose_option(function: AnyFunction) -> AnyFunction:
    """``--verbose``: nothing is left out of tables, and no name shortened."""

    def chosen(context: click.Context, _option: click.Parameter, value: bool) -> None:
        if value:
            context.with_resource(in_full())

    return click.option(
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=chosen,
        help="Print tables with all rows and columns, names in full.",
    )(function)


def seed_option(what: str, largest: int | None = None) -> Callable[[AnyFunction], AnyFunction]:
    """``--seed``, saying of what."""
    return click.option(
        "--seed",
        type=click.IntRange(0, largest),
        default=0,
        show_default=True,
        metavar="N",
        help=f"Seed of {what}.",
    )


def dialect_option(*, multiple: bool = False, help: str) -> Callable[[AnyFunction], AnyFunction]:
    """``--dialect``; whether there is such a one is for the verb to say."""
    if multiple:
        return click.option("--dialect", "dialects", metavar="NAME", shell_complete=DIALECTS, multiple=True, help=help)
    return click.option(
        "--dialect", metavar="NAME", shell_complete=DIALECTS, default="ngspice", show_default=True, help=help
    )


def accuracy_option(help: str) -> Callable[[AnyFunction], AnyFunction]:
    """``--accuracy``, of a check."""
    return click.option(
        "--accuracy",
        metavar="X",
        callback=lambda _context, _option, value: _parsed(value, "--accuracy", "5% or 0.05", {"%": 0.01}),
        help=help,
    )


def plan_options(function: AnyFunction) -> AnyFunction:
    """``--detect`` and ``--budget``, of level ``noise``."""
    detect = click.option(
        "--detect",
        metavar="X",
        callback=lambda _context, _option, value: _parsed(value, "--detect", "2% or 0.02", {"%": 0.01}),
        help="Level noise takes as many samples as show a variance that is off by X (2% or 0.02) with 99 %.",
    )
    budget = click.option(
        "--budget",
        metavar="T",
        callback=lambda _context, _option, value: _parsed(
            value, "--budget", "60s or 5min", {"min": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0}
        ),
        help="Seconds for level noise (60s, 5min); what they bought is said before and after.",
    )
    return detect(budget(function))


def quantity_option(name: str, metavar: str, example: str, units: dict[str, float], help: str) -> Any:
    """An option that takes a positive number with or without one of the units; ``example`` is for the message."""
    return click.option(
        name,
        metavar=metavar,
        callback=lambda _context, _option, value: _parsed(value, name, example, units),
        help=help,
    )


def _parsed(text: str | None, option: str, example: str, units: dict[str, float]) -> float | None:
    """A positive number with or without one of the units."""
    if text is None:
        return None
    stripped = text.strip().lower()
    unit = next((unit for unit in units if stripped.endswith(unit)), "")
    try:
        value = float(stripped.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} must be a positive number such as {example}, not {text!r}")
    return value


def relative_error(option: str, text: str) -> float:
    """A relative error, with or without a per cent sign."""
    found = _parsed(text, option, "1% or 0.01", {"%": 0.01})
    assert found is not None
    return found


def share_of(option: str, text: str) -> float:
    """A share of a whole, with or without a per cent sign."""
    found = _parsed(text, option, "95% or 0.95", {"%": 1.0})
    assert found is not None
    return found / 100.0 if "%" in text else found


def limits(option: str, text: str) -> float | tuple[float | None, float | None]:
    """One limit, or two with a colon between, of which one may be missing; with or without per cent signs."""
    ends = text.split(":")
    try:
        if len(ends) > 2:
            raise ValueError
        numbers = [
            None
            if len(ends) == 2 and not word.strip()
            else float(word.removesuffix("%")) / (100.0 if "%" in word else 1.0)
            for word in map(str.strip, ends)
        ]
    except ValueError:
        raise UsageError(f"{option} takes a number or two, as in {option} 3% or 0.9:1.1, not {text!r}") from None
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    assert numbers[0] is not None
    return numbers[0]


def tolerance_options(function: AnyFunction) -> AnyFunction:
    """``--tolerance`` and ``--hardware``: how elements spread."""
    tolerance = click.option(
        "--tolerance",
        metavar="WORDS",
        help="As cell.capacitance=1%,cell.capacitance.process=5% [default: what DIR states].",
    )
    hardware = click.option(
        "--hardware",
        metavar="NAME|FILE",
        shell_complete=HARDWARE,
        help="Whose [tolerance] it is, unless --tolerance is given.",
    )
    return tolerance(hardware(function))


def number_list(option: str, text: str) -> list[float]:
    """Numbers between commas or blanks, ``0:1:11`` for eleven from 0 to 1; not a number where there is none."""
    found: list[float] = []
    try:
        for word in text.replace(",", " ").split():
            first, *rest = word.split(":")
            if not rest:
                found.append(float(first))
                continue
            last, count = float(rest[0]), int(rest[1])
            if len(rest) != 2 or not 2 <= count <= _MOST_SPACED:
                raise ValueError
            found += [float(first) + k / (count - 1) * (last - float(first)) for k in range(count)]
        return found or [float("nan")]
    except (ValueError, IndexError):
        raise UsageError(f"{option} takes numbers, as in {option} 0.2,1,5 or 0:1:11, not {text!r}") from None


_MOST_SPACED = 100_000
"""Numbers at equal distances."""


def clamp_option(help: str) -> Callable[[AnyFunction], AnyFunction]:
    """``--clamp``, repeatable: the variables to hold, by name; None where there are none."""
    return click.option(
        "--clamp",
        multiple=True,
        metavar="NAME=X",
        callback=lambda _context, _option, words: _clamps(words),
        help=f"{help}; may be given more than once.",
    )


def _clamps(words: tuple[str, ...]) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for word in words:
        name, _, value = word.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"--clamp takes a name and a number, such as x1=0.5, not {word!r}")
        if name in found:
            raise UsageError(f"--clamp holds {name} twice")
        found[name] = number
    return found or None


STARTS = ("equilibrium", "rest", "stationary")
"""Those that have names."""


def start_values(text: str) -> float | list[float] | FloatArray | str:
    """What ``--start`` takes: a name, a number, several, or a file of them."""
    if text in STARTS:
        return text
    if Path(text).suffix in (".csv", ".npy", ".npz"):
        from spu.problems.matrix_files import read_vector

        return read_vector(Path(text))
    try:
        found = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"--start takes numbers, a file of them, or {', '.join(STARTS)}, not {text!r}")
    return found[0] if len(found) == 1 else found


def study_options(function: AnyFunction) -> AnyFunction:
    """``--cluster``, ``--threads`` and ``--restart``, of what is done in pieces and kept."""
    options = (
        click.option(
            "--cluster",
            metavar="WHERE",
            help="Do pieces on Dask: local (a process on each processor here), local:N, or tcp://HOST:PORT of a "
            "scheduler that runs [default: in this process]; changes no bit.",
        ),
        click.option(
            "--threads", type=click.IntRange(1), metavar="N", help="At most N [default: all]; changes no bit."
        ),
        click.option(
            "--restart",
            is_flag=True,
            help="Begin anew. Otherwise the same command, given again, goes on from the last checkpoint.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def file_option(*names: str, metavar: str = "FILE", help: str) -> Callable[[AnyFunction], AnyFunction]:
    """Define an option that takes a path; whether it exists is for the verb to say."""
    return click.option(*names, type=click.Path(path_type=Path), metavar=metavar, help=help)


def energy_option(function: AnyFunction) -> AnyFunction:
    """``--energy``: a file of prices."""
    return file_option(
        "--energy",
        help="Prices of readouts, programming and so on (TOML, as spu/studies/energy.toml; that one unless given).",
    )(function)


# --- for programs --------------------------------------------------------------------------


def print_json(data: Mapping[str, Any]) -> None:
    """Print the one JSON object."""
    from spu.base.files import plain

    print_object(json.dumps(plain(data), allow_nan=False))


def print_result(data: Mapping[str, Any], folder: Folder | NonlinearDeck, verb: str) -> None:
    """Print the one JSON object, with large matrices in ``DIR/<verb>.npz``."""
    from spu.folder.arrays import spill

    file = folder.path.parent / f"{verb}.npz"
    rest, large = spill(data, file)
    if large:
        write_npz(file, large, f"spu_{verb}")
    print_json(rest)


def write_npz(file: Path, arrays: Mapping[str, Any], marker: str) -> None:
    """Write arrays with a key that marks the file as ours.

    Raises
    ------
    OutputError
        If a file without that key is in the way, or writing fails.
    """
    import numpy as np

    from spu.base.files import write_with

    refuse_npz(file, marker)
    entries: dict[str, Any] = {marker: 1, **arrays}
    write_with(file, lambda stream: np.savez(stream, **entries))


def refuse_npz(file: Path, marker: str) -> None:
    """Raise what `write_npz` would raise, before any work is done."""
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if not file.exists():
        return
    ours = False
    if file.is_file():
        try:
            with zipfile.ZipFile(file) as archive:
                ours = f"{marker}.npy" in archive.namelist()
        except (OSError, zipfile.BadZipFile):
            ours = False
    if not ours:
        raise OutputError("was not written by this command: move it, or give another name", file=file)


# --- for people ----------------------------------------------------------------------------


def say(text: str) -> None:
    """Print for people, lines that are too long folded."""
    click.echo(folded(text))


def print_found(found: Any, as_json: bool, plot: Path | None, **more: Any) -> None:
    """Draw what a study found, where that is asked for, and print it, for programs or for people."""
    if plot is not None:
        from spu.reports.pictures.figures import save

        save(found.plot(), plot)
    if as_json:
        print_json({**found.to_dict(), **more, "plot": plot})
    else:
        click.echo(str(found))
        if plot is not None:
            click.echo(f"\npicture: {plot}")


def hint(words: str) -> None:
    """Say what could be done next, unless that is not wanted."""
    if not _quiet():
        say(words)


def _quiet() -> bool:
    return bool(click.get_current_context().meta.get(_QUIET))


def _lively() -> bool:
    """Whether somebody looks at stderr, on a terminal that can more than write on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _silent() -> bool:
    """Whether nobody wants to know how far work is: not with --quiet, nor with --json where nobody looks."""
    as_json = bool(click.get_current_context().params.get("as_json"))
    return _quiet() or (as_json and not sys.stderr.isatty())


def _on_stderr(words: str) -> None:
    click.echo(words, err=True)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar of what is done and wanted, on a terminal; elsewhere a line now and then."""
    if _silent():
        yield None
        return
    if not _lively():
        progress = Progress(_on_stderr, every=RARELY, patience=PATIENCE)
        yield lambda done, total: progress.step(done, total, of_what=label)
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


PATIENCE, RARELY = 10.0, 30.0
"""Seconds before anything is said of work, and between two lines, where stderr is no terminal."""


def warn(message: str) -> None:
    """Say on stderr what does not stop the work."""
    click.echo(f"warning: {clip(message)}", err=True)


simulators_option = click.option(
    "--simulator",
    "simulators",
    metavar="NAME",
    multiple=True,
    shell_complete=SIMULATORS,
    help="What runs the netlist: ngspice, vacask or ngspice-wasm (ngspice 45); repeatable [default: ngspice].",
)


@contextmanager
def progress_words(always: bool = False) -> Iterator[Callable[[str], None] | None]:
    """Where long work says what it is doing: on stderr, on a terminal at once, elsewhere now and then.

    Parameters
    ----------
    always:
        Say it at once everywhere: a plan that the user has to know of.
    """
    if _quiet() or (_silent() and not always):
        yield None
        return
    with Heartbeat(_on_stderr, RARELY, 0.0 if always or sys.stderr.isatty() else PATIENCE) as words:
        yield words


def study_words() -> Progress | None:
    """Where a study says how far it is: on stderr, now and then, and rarely where that is no terminal."""
    if _silent():
        return None
    return Progress(_on_stderr, every=2.0 if sys.stderr.isatty() else 60.0)
