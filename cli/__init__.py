"""The command line: one module a verb, imported only when its verb is asked for.

Nothing is imported here before signals are taken care of (`spu.cli.ending`): until then ctrl-C ends in Python's own
way.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .verbs import cli as cli


def main() -> NoReturn:
    """Run the command line: what the ``spu`` script calls."""
    from . import ending

    ending.run(_verbs)


def _verbs() -> NoReturn:
    from .verbs import cli

    cli.main()


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .verbs import cli

    return cli
