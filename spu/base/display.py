"""How results show themselves, as text, as pictures and in a notebook: hooks, which whoever lays them out fills.

What is shown stands on lower floors than what draws it, so the result asks here, and the top of
the package says who answers.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: `import spu` is to cost next to nothing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from matplotlib.figure import Figure

show: Callable[[object], str | None] | None = None
"""Gives the HTML of a device, a netlist that was read, a compilation or a result; None where there is none."""

say: Callable[[object], str | None] | None = None
"""Gives what the command line prints of a result; None where there is nothing."""

draw: Callable[[object], Figure] | None = None
"""Gives the picture of a result."""


class Shown:
    """A class whose instances show themselves in a notebook."""

    def _repr_html_(self) -> str | None:
        """Show itself in a notebook; None (so that its ``repr`` is shown) where nobody draws."""
        return None if show is None else show(self)


class Result(Shown):
    """What predicting, simulating or checking gives: printed, it is what the command line says of it.

    A class names the attributes that its ``repr`` shows in `in_short`.
    """

    in_short: ClassVar[tuple[str, ...]] = ()

    def __str__(self) -> str:
        """What the command line prints of it."""
        from spu.base.layout import folded

        said = None if say is None else say(self)
        return repr(self) if said is None else folded(said)

    def in_full(self) -> str:
        """What the command line prints of it with ``--verbose``: every row and column, lines as long as they are."""
        from spu.base.layout import in_full

        with in_full():
            return str(self)

    def __repr__(self) -> str:
        from reprlib import repr as brief

        return f"{type(self).__name__}({', '.join(f'{name}={brief(getattr(self, name))}' for name in self.in_short)})"

    def plot(self) -> Figure:
        """Draw it: the picture that the command line draws with ``--plot``.

        Raises
        ------
        UsageError
            If there is nothing to draw, or matplotlib is not installed.
        """
        from spu.base.errors import UsageError

        if draw is None:
            raise UsageError("nothing draws results here: import spu")
        return draw(self)
