"""The architecture of problems that pose a drift and a diffusion, whose couplers need not be reciprocal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import Unrealizable
from spu.base.sequences import Lazy
from spu.base.sparse import canonical
from spu.circuit.readout import Readout
from spu.circuit.scales import Scales
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.linear import nominal
from spu.compiler.architectures.transconductor import signed_elements
from spu.compiler.embedding import Placer
from spu.compiler.fit import Elements, beyond, check_range, fit_scale
from spu.compiler.layout import pair_names
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.problems.drift import DriftProblem, noise_factor
from spu.problems.kinds import tasks_of


@dataclass(frozen=True, eq=False)
class DriftRealization:
    """A device and how it holds a drift problem.

    Attributes
    ----------
    device:
        The device; its scales are set.
    mean:
        ``zero``, ``bias`` (currents) or ``offset`` (of the readout).
    factor:
        S for a unit of M.
    unit:
        Problem units per volt.
    """

    device: Device
    mean: str
    factor: float
    unit: float


class DriftArchitecture(Architecture):
    """Cells of first order, one a coordinate, all of one time scale: nothing is scaled by congruence."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """All that a drift and a diffusion pose."""
        return tasks_of(DriftProblem)

    @abstractmethod
    def realize(
        self, problem: DriftProblem, hardware: Hardware, placer: Placer, share: float = 1.0
    ) -> DriftRealization:
        """Return the device, or raise `Unrealizable` with the reason and the number.

        Values in banks use no more than ``share`` of their range.
        """


class RCDrift(DriftArchitecture):
    """RC cells of equal C, transconductors for each direction: ``C dv = (i - G v) dt + noise``, ``G = factor M``.

    A unit of the problem's time lasts ``C / factor``. Noise that is correlated comes from sources that cells share.

    What a cell has of its own is a conductance where ``M_ii > 0``
    and an active part where it is negative; conductances add thermal noise, which no problem asks for: it is part of
    the predicted error. The force is held by bias currents.
    """

    name = "rc-drift"
    summary = "RC cells of equal C, transconductor couplers that need not be reciprocal: active"

    def realize(
        self, problem: DriftProblem, hardware: Hardware, placer: Placer, share: float = 1.0
    ) -> DriftRealization:
        M = problem.drift
        n, size = len(M), float(np.abs(M).max())
        pattern = canonical((M != 0).astype(float) + (M != 0).T + np.eye(n))
        names = placer.cells(pattern, problem.names)
        own, active = np.maximum(M.diagonal(), 0.0), np.maximum(-M.diagonal(), 0.0)
        a, b = np.nonzero(np.triu((M != 0) | (M != 0).T, 1))
        ends = np.column_stack([a, b])
        factor = self._factor(own / size, active / size, M / size, ends, names, hardware, share) / size
        c = nominal(hardware, "capacitance")
        second = c / factor
        unit, densities, shared = self._noise(problem, hardware, second, c, names)
        mean, offset, bias = self._force(problem, hardware, factor / unit, names)
        cells: dict[str, FloatArray | float] = {
            "capacitance": c,
            "conductance": _there(own * factor),
            "noise": _there(densities),
            "bias": _there(bias),
        }
        if active.any():
            cells["active_conductance"] = _there(-active * factor)
        device = Device.from_arrays(
            names,
            cells,
            ends,
            {"transconductance_ab": M[a, b] * factor, "transconductance_ba": M[b, a] * factor},
            temperature=hardware.temperature,
            readout=Readout(problem.variables, sp.csr_array(problem.reads * unit), offset),
            architecture=self.name,
        )
        sources, into = np.nonzero(shared.T)
        named = [f"q{k + 1}" for k in range(shared.shape[1])]
        device.shared.extend(named, np.column_stack([sources, into]), shared[into, sources])
        device.scales = Scales(second, 1.0 / unit)
        return DriftRealization(device, mean, factor, unit)

    def _factor(
        self,
        own: FloatArray,
        active: FloatArray,
        M: FloatArray,
        ends: np.ndarray,
        names: tuple[str, ...],
        hardware: Hardware,
        share: float,
    ) -> float:
        """S for the largest entry of the drift, as all ranges allow; ``own``, ``active`` and M are relative to it."""
        limits = hardware.cell["conductance"], hardware.coupler["transconductance"]
        a, b = ends.T
        pairs = pair_names(names, np.concatenate([ends, ends]))
        groups = [
            Elements("conductance of cell", "S", names, own, limits[0]),
            *signed_elements("transconductor", pairs, np.concatenate([M[a, b], M[b, a]]), limits[1]),
        ]
        if active.any():
            allowed = hardware.cell.get("active_conductance")
            if allowed is None:
                worst = names[int(np.argmax(active))]
                raise Unrealizable(
                    f"cell {worst} needs a negative conductance of its own, and this hardware has none: it gives no "
                    "active_conductance of a cell"
                )
            groups += signed_elements("active conductance of cell", Lazy.of(list(names)), -active, allowed)
        wanted = nominal(hardware, "conductance")
        banked = [limit.max for limit in limits if limit.bank is not None]
        if banked:  # their codes are the finer the larger the values
            wanted = fit_scale(1e3 * max(banked), groups)
            return fit_scale(share * wanted, groups)
        return fit_scale(wanted, groups)

    def _noise(
        self, problem: DriftProblem, hardware: Hardware, second: float, c: float, names: tuple[str, ...]
    ) -> tuple[float, FloatArray, FloatArray]:
        """Problem units per volt; (m,) densities that cells inject, A^2/Hz; (m, s) amplitudes of shared sources.

        ``dz = sqrt(Q) dW`` is ``S = 2 c^2 Q / (second unit^2)``, one-sided. Of the columns of a factor of Q those
        with one entry are a cell's own noise, the others sources that cells share.
        """
        total = problem.diffusion.diagonal()
        if not total.any():
            largest = float(np.abs(problem.target_mean).max(initial=0.0))
            if largest == 0:
                raise Unrealizable("neither noise nor a force drives this problem: all that it computes is zero")
            return largest / _QUIET, np.zeros(len(total)), np.zeros((len(total), 0))
        allowed = hardware.cell["noise"]
        density = fit_scale(
            nominal(hardware, "noise"), [Elements("noise of cell", "A^2/Hz", names, total / total.max(), allowed)]
        )
        if not density > 0:
            raise Unrealizable("this problem is driven by noise, and the hardware's cells inject none")
        unit = float(np.sqrt(2.0 * c**2 * total.max() / (second * density)))
        factor = noise_factor(problem.diffusion)
        alone = np.count_nonzero(factor, axis=0) == 1
        own = (factor[:, alone] ** 2).sum(axis=1) * (density / total.max())
        return unit, own, factor[:, ~alone] * np.sqrt(density / total.max())

    def _force(
        self, problem: DriftProblem, hardware: Hardware, amperes: float, names: tuple[str, ...]
    ) -> tuple[str, FloatArray, FloatArray]:
        """How the mean is held, the offset (n,) of the readout and bias currents (m,); ``amperes`` for a unit of f."""
        nothing, bias = np.zeros(problem.n), problem.force * amperes
        if not bias.any():
            return "zero", nothing, bias
        allowed = hardware.cell["bias"]
        outside = np.flatnonzero(beyond(bias, allowed) & (bias != 0))
        if not len(outside):
            return "bias", nothing, bias
        if problem.kind.answer.deterministic:  # an offset would be the answer put in by hand
            check_range("bias of cell", names[outside[0]], float(bias[outside[0]]), "A", allowed)
        return "offset", problem.target_mean, np.zeros_like(bias)


_QUIET = 1e-3
"""V: the largest mean of a problem without noise."""


def _there(values: FloatArray) -> FloatArray:
    """With NaN, which means not built, for zero."""
    return np.where(values != 0, values, np.nan)
