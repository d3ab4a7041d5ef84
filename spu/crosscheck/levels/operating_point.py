"""Level ``op``: the simulator's operating point against the mean."""

from __future__ import annotations

import numpy as np

from spu.crosscheck.context import Context
from spu.crosscheck.levels.paths import ROUNDING, TOLERANCE, scale
from spu.crosscheck.levels.power import smallest_change
from spu.crosscheck.result import Level
from spu.spice.simulators.analyses import OperatingPoint

NEEDS = (OperatingPoint,)
"""Of the simulator."""


def run(context: Context) -> Level:
    """Compare every probe's DC voltage with the emulator's mean."""
    law = context.law
    if context.from_zero:
        return Level("op", "skipped", "undetermined here: a charge or the flux of a loop is conserved")
    if context.deaf_at_dc:
        return Level("op", "skipped", "says nothing here: inductors short every current to ground at DC")
    assert context.own_deck is not None
    found, everything = context.run(context.own_deck.text(), OperatingPoint(context.vectors), OperatingPoint())
    mean = np.array([found[name][0] for name in context.vectors])
    context.means["op"] = mean
    expected = law.voltage_mean
    largest = max((float(np.abs(value).max()) for value in everything.values()), default=0.0)
    whole = scale(context)
    error = np.maximum(np.abs(mean - expected) - ROUNDING * largest, 0.0) / whole
    worst = int(np.argmax(error))
    what = "" if expected.any() else " of the noise (the mean is zero)"
    return Level(
        "op",
        "pass" if error[worst] <= TOLERANCE else "fail",
        f"DC voltages: worst at {context.circuit.probes[worst]}, {mean[worst]:.6g} V against {expected[worst]:.6g} V, "
        f"{error[worst]:.2g}{what}",
        float(error[worst]),
        TOLERANCE,
        false_alarm_rate=0.0,
        detects={
            "mean": TOLERANCE,
            **smallest_change(
                context,
                np.abs(context.sensitivities.voltage_mean).max(axis=1, initial=0.0) / whole,
                TOLERANCE + min(float(error[worst]), TOLERANCE),
            ),
        },
        data={"worst_cell": context.circuit.probes[worst], "voltages": mean.tolist()},
    )
