"""What passes onto linear cells have in common: cells enough, codes, details, a source for the hash."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TypeVar

from spu.base.errors import CircuitError, InputError, OptionError, Unrealizable
from spu.base.names import suggest
from spu.compiler.boards import draw_board
from spu.compiler.chains import too_few_cells
from spu.compiler.embedding import EmbeddingOptions, Placer
from spu.compiler.imperfections import chosen_detail
from spu.compiler.linear_compilation import LinearCompilation
from spu.compiler.passes import Options, Passes, Refused
from spu.compiler.source import source_of
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.wiring import load_wiring
from spu.emulator.predict import predict_linear
from spu.problems.problem import LinearProblem

__all__ = ["CellPasses", "reason_of", "reasons"]

P = TypeVar("P", bound=LinearProblem)
C = TypeVar("C", bound=LinearCompilation)


class CellPasses(Passes[P, C]):
    """Passes onto linear cells.

    Attributes
    ----------
    roundings:
        Ways of choosing codes.
    """

    cells = "linear cells"
    roundings: tuple[str, ...]

    def __init__(self, problem: P, hardware: Hardware, options: Options) -> None:
        super().__init__(problem, hardware, options)
        if options.rounding not in self.roundings:
            raise InputError(f"no rounding {options.rounding!r}; {suggest(options.rounding, self.roundings)}")
        if options.draw is not None and not hardware.tolerance:
            raise OptionError("draw", f"means nothing of {hardware.name}, which states no [tolerance]")
        self.detail = chosen_detail(hardware, options.detail)
        chains = self.chains()
        self.placer = Placer(load_wiring(hardware.wiring), chains)
        board = () if options.draw is None else (options.draw,)
        chosen = (options.architecture, options.rounding, options.ensemble, *vars(chains).values(), *board)
        self.source: str | None = source_of(problem, hardware, self.placer.wiring, *chosen)
        """Digest of what the device is compiled from; None leaves it a device like one made by hand."""

    def chains(self) -> EmbeddingOptions:
        """What is asked of chains."""
        return EmbeddingOptions()

    def require_size(self) -> None:
        """Refuse hardware with fewer cells than variables."""
        hardware, wiring = self.hardware, self.placer.wiring
        if wiring is not None and hardware.max_cells not in (None, wiring.n):
            raise InputError(
                f"hardware {hardware.name} says {hardware.max_cells} cells, and its wiring {wiring.spec} has {wiring.n}"
            )
        self._require_cells(self.needed())

    def needed(self) -> int:
        """Cells at least."""
        return self.problem.n

    def _require_cells(self, needed: int) -> None:
        n, hardware, wiring = self.problem.n, self.hardware, self.placer.wiring
        if wiring is not None and needed > wiring.n:
            raise too_few_cells(n, wiring, needed // n)
        if hardware.max_cells is not None and needed > hardware.max_cells:
            raise Unrealizable(
                f"{n} variables need {needed} cells; hardware {hardware.name} has {hardware.max_cells}: "
                f"{needed - hardware.max_cells} missing",
                details={"cells_needed": needed, "cells": hardware.max_cells},
            )

    def _drawn(self, made: C) -> C:
        """The board that was asked for; where none was the device keeps how boards of it spread.

        Raises
        ------
        Unrealizable
            If that board has no stationary law.
        """
        device, draw = made.device, self.options.draw
        if draw is None:
            device.tolerance = self.hardware.tolerance
            return made
        board = copy(device)
        draw_board(board, self.hardware.tolerance, draw)
        self._mark(board)
        try:
            prediction = predict_linear(board)
        except CircuitError as error:
            raise Unrealizable(f"board {draw} has no stationary law: {error.message}", details={"draw": draw}) from None
        return replace(made, device=board, prediction=prediction, draw=draw, meant=made.prediction, undrawn=device)

    def _mark(self, device: Device) -> None:
        if self.source is not None:
            device.compiled_from(self.source)


def reason_of(summary: str, refused: Refused, forced: bool) -> str:
    """Why this architecture."""
    if forced:
        return f"{summary} (as asked)"
    if not refused:
        return f"{summary}; the most passive one this hardware has"
    return f"{summary}; not as {reasons(refused)}"


def reasons(refused: Refused) -> str:
    """``name: reason`` for each refusal, architectures with one reason together."""
    together: dict[str, list[str]] = {}
    for name, refusal in refused:
        together.setdefault(refusal.reason, []).append(name)
    return "; not as ".join(f"{' or '.join(names)}: {reason}" for reason, names in together.items())
