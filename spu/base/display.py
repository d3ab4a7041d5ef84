"""How results show themselves in a notebook: a hook, which whoever knows pictures and tables fills.

What is shown stands on lower floors than what draws it, so the result asks here, and the top of
the package says who answers.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: `import spu` is to cost next to nothing
if TYPE_CHECKING:
    from collections.abc import Callable

show: Callable[[object], str] | None = None
"""Gives the HTML of a device, a netlist that was read, a compilation, or a result."""


class Shown:
    """A class whose instances show themselves in a notebook."""

    def _repr_html_(self) -> str | None:
        """Show itself in a notebook; None (so that its ``repr`` is shown) where nobody draws."""
        return None if show is None else show(self)
