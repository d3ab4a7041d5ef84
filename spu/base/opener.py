"""How whoever takes a device also takes the path of one: a hook, which whoever reads folders and netlists fills.

What is computed stands on lower floors than what reads files of all kinds, so a path is opened here, and the top of
the package says by whom.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: `import spu` is to cost next to nothing
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

open_path: Callable[[str | Path], Any] | None = None
"""Gives what lies at a path, a folder, a device file or a netlist: something with a ``subject``."""
