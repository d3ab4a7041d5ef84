"""Completion of names that options take, out of the registers of those that there are.

They are looked up when the shell asks, so a simulator or a dialect that is added is completed, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

VARIABLE = "_SPU_COMPLETE"
"""In the environment, by which a shell asks."""

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names(*registers: str, more: Iterable[str] = ()) -> Completion:
    """Completion by the names in registers, of one or of the last of several between commas.

    Parameters
    ----------
    *registers:
        Each ``module:NAME`` of a mapping, by its keys, or of a sequence of words. Imported when it is asked for.
    more:
        Words besides.
    """

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, begun = incomplete.rpartition(",")
        known = dict.fromkeys([*more, *(word for each in registers for word in _looked_up(each))])
        return [CompletionItem(f"{before}{comma}{word}") for word in known if word.startswith(begun)]

    return complete


def _looked_up(register: str) -> list[str]:
    module, _, name = register.partition(":")
    return list(getattr(importlib.import_module(module), name))


ARCHITECTURES = names("spu.compiler.architectures:ARCHITECTURES")
DIALECTS = names("spu.spice.dialects:DIALECTS")
FORMATS = names("spu.cli.export:FORMATS")
HARDWARE = names("spu.device.hardware_file:PRESETS")
LEVELS = names("spu.crosscheck.levels:LEVELS")
METRICS = names("spu.studies.yields.metrics:METRICS")
PRECISIONS = names("spu.base.kernels.door:FORMATS")
SERIES = names("spu.export.series:SERIES")
SHEETS = names("spu.export.kicad:SHEETS")
SIMULATORS = names("spu.spice.simulators:SIMULATORS")
TASKS = names("spu.problems.kinds:KINDS")
