"""Levels of small signals, of circuits that are linear about their operating point: op and ac as of linear ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from spu.crosscheck.context import Context
from spu.crosscheck.levels.kind import Way
from spu.crosscheck.result import Level
from spu.emulator.equations.saturating import at_rest
from spu.spice.simulators.analyses import Analysis


def about_rest(run: Callable[[Context], Level], needs: tuple[type[Analysis], ...], compares: str) -> Way:
    """How a level of linear circuits looks at one with transconductors of finite range: at its tangent."""
    return Way(partial(_looked, run), needs, compares=compares)


def _looked(run: Callable[[Context], Level], context: Context) -> Level:
    return run(replace(context, circuit=at_rest(context.circuit)))
