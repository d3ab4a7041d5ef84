"""What all architectures have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

__all__ = ["Architecture"]


class Architecture(ABC):
    """One way to build a device; `spu.compiler.architectures.register` adds one.

    Derive from `spu.compiler.architectures.linear.LinearArchitecture` or
    `spu.compiler.architectures.polynomial.PolynomialArchitecture`, whose ``realize`` is what there is to write.

    Attributes
    ----------
    name, summary:
        As hardware files call it; what it is made of, for people.
    needs:
        Quantities of cells of which hardware must give a nominal value, besides capacitance, conductance and noise.
    cells_per_variable:
        Number of cells that one variable takes.
    nonlinear:
        Whether its cells are.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    cells_per_variable: ClassVar[int] = 1
    nonlinear: ClassVar[bool] = False

    @property
    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """Tasks of the problems it holds."""
