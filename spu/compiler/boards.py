"""One board out of many: every element's value with an error of its own (`spu.device.tolerance`)."""

from __future__ import annotations

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.device.device import Device
from spu.device.quantities import Part
from spu.device.tolerance import Spread, Tolerance, errors

__all__ = ["draw_board"]


def draw_board(device: Device, tolerance: Tolerance, seed: int) -> None:
    """Draw the elements of a device, which is changed.

    Values that are real numbers get their errors at once; of codes the errors are kept beside them, so that a board
    that is programmed anew errs as before.

    Raises
    ------
    InputError
        If an error takes more than a whole value away.
    """
    n = len(device.cell_names)
    a, b = device.coupler_ends.T
    for kind, columns, spreads in (
        ("cell", device.cell_columns, tolerance.cell),
        ("coupler", device.coupler_columns, tolerance.coupler),
    ):
        for quantity, spread in spreads.items():
            part = columns.parts[quantity]
            if not spread or not any(columns.holds(key) for key in part.keys):
                continue
            drawn = errors(spread, seed, f"{kind}.{quantity}", (n,) if kind == "cell" else (n, n))
            if (drawn <= -1).any():
                raise InputError(f"board {seed} has a {part.words} of the wrong sign: take another one")
            found = dict.fromkeys(part.keys, drawn) if kind == "cell" else _of_couplers(part, drawn, a, b)
            if quantity in columns.banks:
                columns.errors.update(found)
                columns.set_codes(dict(columns.codes))
            else:
                for key, error in found.items():
                    columns.arrays[key] = columns.arrays[key] * (1.0 + error)
    for effect in device.detail.effects:
        spread = tolerance.detail.get(effect, Spread())
        if spread:
            device.detail = device.detail.scaled(effect, 1.0 + float(errors(spread, seed, f"detail.{effect}", (1,))[0]))
    spread = tolerance.shared.get("amplitude", Spread())
    if spread and device.shared:
        sources, cells = device.shared.taps.T
        drawn = errors(spread, seed, "shared.amplitude", (len(device.shared), n))
        device.shared.amplitudes = device.shared.amplitudes * (1.0 + drawn[sources, cells])


def _of_couplers(part: Part, drawn: FloatArray, a: FloatArray, b: FloatArray) -> dict[str, FloatArray]:
    """(m,) errors by key: what acts on the first cell from the second, and the other way round; else one a pair."""
    if len(part.keys) == 2:
        return {part.keys[0]: drawn[a, b], part.keys[1]: drawn[b, a]}
    return {key: drawn[np.minimum(a, b), np.maximum(a, b)] for key in part.keys}
