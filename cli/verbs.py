"""The group of verbs: its help, and how any one of them is run."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import click

from spu.base.version import DISTRIBUTION, __version__

from . import ending
from .names import VARIABLE

VERBS = (
    "compile",
    "predict",
    "simulate",
    "anneal",
    "check",
    "calibrate",
    "characterise",
    "report",
    "inspect",
    "program",
    "export",
    "import",
    "train",
    "generate",
    "classify",
    "regress",
    "solve",
    "invert",
    "logdet",
    "expm",
    "lyapunov",
    "lstsq",
    "plan",
    "scaling",
    "corners",
    "yield",
    "completion",
)
_MODULES = {"import": "import_netlist", "yield": "yield_boards"}
"""Modules that are not called like their verb: ``import`` and ``yield`` are words of Python."""

_FLOATING_POINT = r"(overflow|divide by zero|invalid value) encountered"
"""What numpy warns of where no code has said that it is expected: no result is given then."""


class Verbs(click.Group):
    """The group of verbs; turns every refusal into one message and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which they are used."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a verb."""
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f".{_MODULES.get(cmd_name, cmd_name)}", __package__).command

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command line and exit; verbs return their exit status.

        Click's own way out prints usage errors in its own form and exits 1 for a broken pipe,
        which here would mean that a check found a mismatch.
        """
        if args is None and (asked := os.environ.get(VARIABLE)):
            from .completion import answer

            sys.exit(answer(self, asked))
        arguments = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        ending.begin("--json" in arguments)

        def work() -> int:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", _FLOATING_POINT, RuntimeWarning)
                    said: dict[str, None] = {}  # without what is said twice
                    warnings.showwarning = lambda message, *_: said.setdefault(str(message))
                    with self.make_context(prog_name or "spu", arguments or ["--help"], **extra) as context:
                        status = self.invoke(context) or 0
                    _pass_on(said)
                    return status
            except click.exceptions.Exit as done:
                return done.exit_code
            except click.Abort:
                raise KeyboardInterrupt from None
            except click.ClickException as error:
                raise _as_usage(error) from None

        sys.exit(ending.guarded(work))


def _pass_on(warned: Iterable[str]) -> None:
    """Say what libraries warn of as we do, once a result is there: in front of an error it would be noise."""
    from .common import warn

    for message in warned:
        warn(" ".join(message.split()))


def _as_usage(error: click.ClickException) -> Exception:
    from spu.base.errors import UsageError

    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "spu"
    return UsageError(f"{' '.join(error.format_message().split())} (see {where} --help)")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message=f"{DISTRIBUTION} %(version)s")
def cli() -> None:
    """Emulate a stochastic processing unit (SPU): a network of cells whose voltages sample a Gaussian.

    A matrix goes in; a graph of RLC or RC cells and couplers comes out, with a fast stochastic
    emulator, a SPICE netlist, and a check of both against the exact answer.

    \b
      spu compile matrix.csv -o out    problem + hardware -> out/: device, netlist, problem
      spu predict out                  exact statistics, no sampling
      spu simulate out                 samples, with error bars
      spu anneal ising.toml            low states of an Ising energy, a QUBO, a programme within bounds
      spu check out                    ideal model, emulator and ngspice side by side
      spu calibrate out measured.npz   what a board's parts measure, from what it was seen to do
      spu characterise out limits.toml limits, conditions and boards: a data sheet
      spu report out                   all of it in one file to show
      spu inspect out                  cells, couplers, a picture
      spu program out codes.csv        set the banks of quantised hardware
      spu export out --dialect xyce    the netlist for LTspice, Xyce, Spectre or VACASK
      spu import other.cir -o out      a netlist drawn elsewhere, for predict, simulate, check, inspect
      spu scaling inverse              what an answer costs, against dimension and condition
      spu corners out                  at the ends of the process, and at other temperatures
      spu yield out --limit 3%         how many boards are good, and what makes the others bad
      spu train evolve cosine -o net   a network that learns; spu compile takes its folder
      spu regress data.csv             a Gaussian process, whose posterior a device samples

    \b
      spu solve A.csv b.csv            A x = b on a device in one line; also invert, logdet, expm, lyapunov, lstsq
      spu plan A.csv --error 1%        how long that takes, how many readouts, what it costs

    \b
      eval "$(spu completion bash)"    verbs, options and names completed by the shell; also zsh, fish

    Every verb takes --json: then stdout is exactly one JSON object (SI units).

    Exit status: 0 done; 1 the check found a mismatch; 2 bad input or unrealizable; 3 ngspice is
    missing; 70 an error of spu's own (please report it); 130 interrupted; 141 nobody reads the output;
    143 terminated. With SPU_TRACEBACK=1 in the environment an error is shown with its traceback.
    """  # noqa: D301 - click wants the control character
