"""The command line: one module a verb, imported only when its verb is asked for."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from spu.errors import SpuError

VERBS = ("compile", "predict", "simulate", "check", "report", "inspect", "program", "export", "import")
_MODULES = {"import": "import_netlist"}
"""Modules that are not called like their verb: ``import`` is a word of Python."""

INTERRUPTED = 130
_BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


class Verbs(click.Group):
    """The group of verbs; turns every refusal into one message and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which they are used."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a verb."""
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f".{_MODULES.get(cmd_name, cmd_name)}", __name__).command

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command line and exit; verbs return their exit status.

        Click's own way out prints usage errors in its own form and exits 1 for a broken pipe,
        which here would mean that a check found a mismatch.
        """
        arguments = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        as_json = "--json" in arguments
        try:
            with self.make_context(prog_name or "spu", arguments or ["--help"], **extra) as context:
                status = self.invoke(context) or 0
            sys.stdout.flush()
        except click.exceptions.Exit as done:
            status = done.exit_code
        except SpuError as error:
            status = _refuse(error, as_json)
        except click.ClickException as error:
            status = _refuse(_as_usage(error), as_json)
        except (KeyboardInterrupt, click.Abort):
            status = _fail("interrupted", "interrupted", INTERRUPTED, as_json)
        except BrokenPipeError:
            # Whoever read our output has gone; so must what is still buffered, silently.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = _BROKEN_PIPE
        except MemoryError as error:
            detail = " ".join(str(error).split())
            status = _fail("memory", f"not enough memory{': ' if detail else ''}{detail}", 2, as_json)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            status = _fail("system", f"{place}{error.strerror or error}", 2, as_json)
        sys.exit(status)


def _refuse(error: SpuError, as_json: bool) -> int:
    if not as_json:
        return _fail(error.kind, str(error), error.exit_status, as_json)
    more = {key: value for key in ("details", "nodes") if (value := getattr(error, key, None))}
    more |= {"file": error.file, "line": error.line}
    return _fail(error.kind, error.message, error.exit_status, as_json, **more)


def _fail(kind: str, message: str, status: int, as_json: bool, **more: Any) -> int:
    """Say it: one JSON object on stdout, or the message on stderr."""
    if as_json:
        from spu.folder import plain

        error = {"kind": kind, "message": message, "file": None, "line": None, **more}
        click.echo(json.dumps({"error": plain(error)}))
    else:
        click.echo(f"error: {message}" if kind != "interrupted" else message, err=True)
    return status


def _as_usage(error: click.ClickException) -> SpuError:
    from spu.errors import UsageError

    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "spu"
    return UsageError(f"{' '.join(error.format_message().split())} (see {where} --help)")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="spu", message="spu %(version)s")
def cli() -> None:
    """Emulate a stochastic processing unit (SPU): a network of cells whose voltages sample a Gaussian.

    A matrix goes in; a graph of RLC or RC cells and couplers comes out, with a fast stochastic
    emulator, a SPICE netlist, and a check of both against the exact answer.

    \b
      spu compile matrix.csv -o out    problem + hardware -> out/: device, netlist, problem
      spu predict out                  exact statistics, no sampling
      spu simulate out                 samples, with error bars
      spu check out                    ideal model, emulator and ngspice side by side
      spu report out                   all of it in one file to show
      spu inspect out                  cells, couplers, a picture
      spu program out codes.csv        set the banks of quantised hardware
      spu export out --dialect xyce    the netlist for LTspice, Xyce or Spectre
      spu import other.cir -o out      a netlist drawn elsewhere, for predict, simulate, check, inspect

    Every verb takes --json: then stdout is exactly one JSON object (SI units).

    Exit status: 0 done; 1 the check found a mismatch; 2 bad input or unrealizable; 3 ngspice is
    missing; 130 interrupted.
    """  # noqa: D301 - click wants the control character


def main() -> NoReturn:
    """Run the command line: what the ``spu`` script calls."""
    cli.main()
