"""From explanations to a diagnosis: which is the best, and which are as good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spu.crosscheck.result import SHOWN, Diagnosis, Explanation

VERIFIED = 8
"""Candidates that are verified."""

MOSTLY = 0.99
"""Share of the squared difference below which no single change is named as the explanation."""

AS_WELL = 100.0
"""Candidates that leave up to this much more of the squared difference than the best one explain it as well."""

AS_GOOD = 1.01
"""The same where the best one leaves something: what then differs besides is alike for all."""

_LIKELY = ("swapped", "moved", "rewired", "added")
"""Kinds of change, those behind other ones; all others are before them."""


def ranked(
    explanations: Sequence[Explanation],
    floor: float,
    entries: tuple[dict[str, Any], ...],
    cells: tuple[str, ...],
    as_well: float = AS_WELL,
) -> Diagnosis:
    """The diagnosis out of verified explanations.

    Parameters
    ----------
    floor:
        Share of the squared difference that the simulator's own errors may make: below it nothing tells candidates
        apart.
    entries, cells:
        Of the `Diagnosis`.
    as_well:
        Factor on what the best one leaves; see `AS_WELL`.
    """
    order = sorted(explanations, key=lambda explanation: -explanation.share)
    order = [each for each in order if each.share > 0]
    if not order:
        return Diagnosis(entries, cells, None, ())
    left = 1.0 - order[0].share
    most = max(as_well * left, floor) if order[0].complete else AS_GOOD * left
    same = [each for each in order if 1.0 - each.share <= most]
    # What cannot be told apart: a wrong value is likelier than a wire that went astray or something extra.
    same.sort(key=lambda each: _LIKELY.index(each.kind) if each.kind in _LIKELY else -1)
    order = [same[0], *(replace(each, equivalent=True) for each in same[1:]), *order[len(same) :]]
    best = order[0] if order[0].complete or order[0].share >= MOSTLY else None
    others = order[1 : 1 + SHOWN] if best is not None else order[:SHOWN]
    return Diagnosis(entries, cells, best, tuple(others))
