"""Level ``op``: the simulator's operating point against the mean; of nonlinear cells transfer curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from spu.crosscheck.context import Context, Curve
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.crosscheck.levels.paths import ROUNDING, TOLERANCE, scale
from spu.crosscheck.levels.power import CHANGED, smallest, smallest_change
from spu.crosscheck.levels.small_signal import about_rest
from spu.crosscheck.result import Level
from spu.emulator.laws.rest import steps_to_rest
from spu.spice.dialects import DIALECTS
from spu.spice.names import cell_node
from spu.spice.simulators.analyses import DcSweep, OperatingPoint

CURVE = 1e-4
"""Of a transfer curve: the Newton step from the simulator's point to rest, relative to the largest deflection."""

CURVE_POINTS = 21


def run(context: Context) -> Level:
    """Compare every probe's DC voltage with the emulator's mean."""
    law = context.any_law
    if not context.dynamics.has_rest:
        return Level("op", "skipped", "undetermined here: a charge or the flux of a loop is conserved")
    if context.deaf_at_dc:
        return Level("op", "skipped", "says nothing here: inductors short every current to ground at DC")
    assert context.own_deck is not None
    found, everything = context.run(context.own_deck.text(), OperatingPoint(context.vectors), OperatingPoint())
    context.nodes_seen = frozenset(everything)
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
            **_changes(context, whole, TOLERANCE + min(float(error[worst]), TOLERANCE)),
        },
        data={"worst_cell": context.circuit.probes[worst], "voltages": mean.tolist()},
    )


def _changes(context: Context, whole: float, allowed: float) -> dict[str, Any]:
    """The smallest changes of elements that show in the mean."""
    if not context.sparse:
        moved = np.abs(context.sensitivities.voltage_mean).max(axis=1, initial=0.0)
        return smallest_change(context, moved / whole, allowed)
    nodal = context.nodal
    slopes = nodal.slopes(CHANGED)
    right = [slope.F @ nodal.rest + slope.s for slope in slopes]
    if not slopes or not np.isfinite(nodal.rest).all():
        return {}
    moved = np.abs(np.asarray(nodal.probes @ nodal.at(0.0).solve(np.stack(right, axis=1)))).max(axis=0)
    return smallest([slope.name for slope in slopes], moved / whole, allowed)


def curves(context: Context) -> Level:
    """Sweep a current into each cell and compare where everything comes to rest."""
    assert context.deck is not None
    equation, size = context.langevin.equation, context.langevin.size
    if not context.dynamics.has_rest:
        return Level("op", "skipped", "says nothing here: inductors short every current to ground at DC")
    # Currents that push a cell as far as it is ever found.
    push = np.abs(equation.force(size[None, :] * np.eye(equation.n)) - equation.field).max(axis=1)
    currents = push / equation.per_ampere
    sources = [f"isweep_{k}" for k in range(equation.n)]
    nodes = [cell_node(name) for name in equation.names]
    language = DIALECTS[context.simulator.dialect]
    extra = tuple(language.element(source, ("0", node), "0") for source, node in zip(sources, nodes, strict=True))
    sweeps = [
        DcSweep(source, -current, current, CURVE_POINTS, context.vectors)
        for source, current in zip(sources, currents.tolist(), strict=True)
    ]
    found = context.run(context.deck.text(extra=extra), *sweeps)
    unit = np.diag(equation.sense)
    worst, where = 0.0, ""
    for k, curve in enumerate(found):
        voltages = np.stack([curve[vector] for vector in context.vectors], axis=1)
        grid = np.linspace(-currents[k], currents[k], CURVE_POINTS)
        if len(voltages) != CURVE_POINTS:
            return Level(
                "op",
                "error",
                f"{context.simulator.name} swept {len(voltages)} of {CURVE_POINTS} currents into {equation.names[k]}",
            )
        context.curves.append(Curve(equation.names[k], grid, voltages))
        driven = np.outer(grid, equation.per_ampere * (np.arange(equation.n) == k))
        errors = (np.abs(steps_to_rest(equation, voltages / unit, equation.field + driven)) / size).max(axis=1)
        if errors.max() > worst:
            worst = float(errors.max())
            where = f"{equation.names[k]} driven by {grid[int(errors.argmax())]:.4g} A"
    return Level(
        "op",
        "pass" if worst <= CURVE else "fail",
        f"transfer curves of {equation.n} cells, {CURVE_POINTS} points each: worst {where}, off by {worst:.2g}",
        worst,
        CURVE,
        false_alarm_rate=0.0,
        detects={"curve": CURVE},
        data={"points": CURVE_POINTS, "currents": currents.tolist()},
    )


CURVES = Way(
    curves,
    (DcSweep,),
    compares="{} transfer curves against where the cells come to rest",
    failing="the circuit that {} ran comes to rest elsewhere than the device",
)

LEVEL = LevelKind(
    "op",
    {
        "linear": Way(run, (OperatingPoint,), large=True),
        "saturating": about_rest(run, (OperatingPoint,), "{} operating point against the rest without noise"),
        "langevin": CURVES,
    },
    compares="{} operating point against the mean",
    failing="the circuit that {} ran has another operating point than the device: its mean is off",
)
