"""`report`: everything a check finds, in one file that can be shown; and the texts and pictures of single results.

`spu.reports.reporting` is the door, `spu.reports.evidence` gathers, `spu.reports.sections` says in which order and in
which words, `spu.reports.html` and `spu.reports.markdown` lay out. What differs between kinds of dynamics stands in
`spu.reports.linear` and `spu.reports.langevin`. `spu.reports.notebook` shows single objects with the same pieces.
The names are found when they are asked for: who prints a result gathers no evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spu.reports.reporting import FORMATS, Evidence, Report, report

__all__ = ["FORMATS", "Evidence", "Report", "report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from spu.reports import reporting

        return getattr(reporting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
