"""The architecture whose couplers are transconductors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.constants import BOLTZMANN
from spu.base.sequences import Lazy
from spu.compiler.architectures.linear import RC, nominal
from spu.compiler.chains import Placed
from spu.compiler.fit import Elements, fit_scale
from spu.compiler.layout import Layout, Matrix, Realization, pair_names, scaled_form
from spu.device.hardware import Hardware, Range
from spu.problems.problem import QuadraticProblem


def signed_elements(what: str, names: Lazy[str], entries: FloatArray, allowed: Range) -> list[Elements]:
    """Transconductances by sign, each as magnitudes with the range of its own sign."""
    ranges = (
        Range(min=max(allowed.min, 0.0), max=max(allowed.max, 0.0)),
        Range(min=max(-allowed.max, 0.0), max=max(-allowed.min, 0.0)),
    )
    return [
        Elements(what, "S", names.take(np.flatnonzero(keep)), np.abs(entries[keep]), limits)
        for keep, limits in zip((entries > 0, entries < 0), ranges, strict=True)
    ]


class RCTransconductor(RC):
    """RC cells, transconductor couplers: any positive definite matrix, with active parts.

    The cells' conductances make thermal noise ``4kT g_ii``, the ideal transconductors none; the
    readout takes the mean of it into account, its spread is part of the predicted error.
    """

    name = "rc-transconductor"
    summary = "RC cells, transconductor couplers of either sign: active"

    def realize(self, problem: QuadraticProblem, matrix: Matrix, hardware: Hardware) -> Realization:
        names = problem.variables
        t, M = scaled_form(matrix, np.ones(len(names)))
        chain, resistive = hardware.coupler["conductance"], hardware.coupler["conductance"].max > 0
        if not resistive:  # chained by transconductors: a current -K v_b leaves cell a
            limits = hardware.coupler["transconductance"]
            chain = Range(min=max(-limits.max, 0.0), max=max(-limits.min, 0.0))

        def own(cells: Placed) -> FloatArray:
            return cells.diagonal if resistive else cells.diagonal + cells.chain_degrees * cells.strength

        def fit(cells: Placed) -> float:
            pairs, links = pair_names(cells.names, cells.ends), pair_names(cells.names, cells.chain_ends)
            return fit_scale(
                nominal(hardware, "conductance"),
                [
                    Elements("cell", "S", cells.names, own(cells), hardware.cell["conductance"]),
                    *signed_elements("coupler", pairs, cells.entries, hardware.coupler["transconductance"]),
                    Elements("chain coupler", "S", links, cells.chain_strengths, chain),
                ],
            )

        sums = np.asarray(M.sum(axis=1), dtype=np.float64)
        cells = matrix.placer.place(M, sums, names, fit, chain, signed=True)
        factor = fit(cells)
        where = cells if matrix.placer.wiring is not None else None
        sizes = np.abs(cells.coupler_values)
        layout = Layout(t, M, cells.names, own(cells), cells.all_ends, sizes, cells.weights, where)
        conductance = layout.own * factor
        thermal = 4.0 * BOLTZMANN * hardware.temperature * float(conductance.mean())
        links = np.concatenate([np.zeros(len(cells.ends)), cells.chain_strengths]) * factor
        entries = np.concatenate([cells.entries, np.zeros(len(cells.chain_ends))]) * factor
        if not resistive:
            entries, links = entries - links, np.zeros_like(links)
        entries = np.where(entries != 0, entries, np.nan)
        couplers = {"transconductance_ab": entries, "transconductance_ba": entries}
        if links.any():
            couplers["conductance"] = np.where(links > 0, links, np.nan)
        made = self._finish(problem, hardware, layout, factor, {"conductance": conductance}, couplers, thermal)
        return replace(made, margin=None)  # transconductors take nothing of the diagonal
