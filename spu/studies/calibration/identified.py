"""What a record does not tell, as combinations of elements in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from spu.base.arrays import FloatArray
from spu.studies.calibration.model import Sought

_SEEN = 1e-3
"""Of the largest power in a combination: what is less is left out."""


@dataclass(frozen=True)
class Combination:
    """Factors of elements that the record cannot tell from none.

    Attributes
    ----------
    powers:
        ``{name: power}``: with all these elements multiplied by f to their powers, any f, the record is the same.
    words:
        In short, whole kinds by their name.
    """

    powers: dict[str, float]
    words: str


def combinations(sought: Sought, held: FloatArray) -> tuple[Combination, ...]:
    """Of orthonormal directions (k, h), as few elements in each as there can be."""
    if not held.shape[1]:
        return ()
    # Each direction has an element of its own: as many zeros as there can be.
    _, _, order = la.qr(held.T, pivoting=True, mode="economic")
    own = np.sort(order[: held.shape[1]])
    sparse = held @ np.linalg.inv(held[own])
    found = []
    for column in sparse.T:
        kept = np.flatnonzero(np.abs(column) >= _SEEN * np.abs(column).max())
        column = column / _one(column[kept])
        powers = {sought.names[k]: float(np.round(column[k], 6)) for k in kept.tolist()}
        found.append(Combination(powers, _words(sought, column, kept.tolist())))
    return tuple(found)


def _one(powers: FloatArray) -> float:
    """The power that is called one: the least of those that are not small, where the first of them is positive."""
    size = np.abs(powers)
    large = powers[size >= 0.1 * size.max()]
    return float(np.copysign(np.abs(large).min(), large[0]))


def _words(sought: Sought, column: FloatArray, kept: list[int]) -> str:
    """``the factor f in: all cell.capacitance x f, all cell.inductance x f^-1``; one element alone by its name."""
    if len(kept) == 1:
        return f"{sought.names[kept[0]]}: nothing"
    kinds = np.array(sought.kinds)
    said: list[str] = []
    for kind in dict.fromkeys(kinds[kept].tolist()):
        all_of = np.flatnonzero(kinds == kind)
        powers = column[all_of]
        if np.ptp(powers) <= 10 * _SEEN * np.abs(powers).max():
            name = sought.names[all_of[0]] if len(all_of) == 1 else f"all {kind}"
            said.append(f"{name} x f{_power(float(powers.mean()))}")
            continue
        ranked = sorted((k for k in kept if kinds[k] == kind), key=lambda k: -abs(column[k]))
        said += [f"{sought.names[k]} x f{_power(float(column[k]))}" for k in ranked[:4]]
        if len(ranked) > 4:
            said.append(f"{len(ranked) - 4} more of {kind}")
    return f"the factor f in {', '.join(said)}"


def _power(power: float) -> str:
    return "" if abs(power - 1.0) < 5e-3 else f"^{power:.2g}"
