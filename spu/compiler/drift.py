"""The passes of problems that pose a drift and a diffusion, on first-order cells of one time constant."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, Unrealizable
from spu.base.numbers import engineering
from spu.compiler.architectures.base import Architecture
from spu.compiler.architectures.drift import DriftArchitecture, DriftRealization
from spu.compiler.cells import CellPasses, reason_of, reasons
from spu.compiler.compilation import Pass
from spu.compiler.fit import beyond, check_range
from spu.compiler.headroom import plan_levels
from spu.compiler.imperfections import put_detail
from spu.compiler.linear_compilation import LinearCompilation
from spu.compiler.passes import Refused
from spu.compiler.quantise import quantised, to_nearest
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.emulator.predict import predict_linear
from spu.problems.drift import DriftProblem

__all__ = ["DriftCompilation", "DriftPasses"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DriftCompilation(LinearCompilation):
    """What the compiler decided of a problem that a drift and a diffusion pose.

    Attributes
    ----------
    realization:
        What the architecture made.
    refused:
        Architectures that were tried in vain, with the refusals.
    """

    realization: DriftRealization = field(repr=False)
    refused: tuple[tuple[str, Unrealizable], ...] = ()

    rounded: ClassVar = {
        "answer": "each value to its nearest code, at the scale at which the answer errs least",
        "nearest": "each value to its nearest code",
    }

    @property
    def second(self) -> float:
        """Seconds that a unit of the problem's time takes."""
        assert self.device.scales is not None  # the architecture has set them
        return self.device.scales.time

    def decided(self) -> dict[str, Any]:
        """What the compiler decided and predicts, in a few numbers."""
        assert self.device.scales is not None
        return {**super().decided(), "reason": self.reason, "scales": self.device.scales.to_dict()}

    def explain(self) -> tuple[Pass, ...]:
        """The passes one by one: what each did, and what it did to the predicted error."""
        found = [
            Pass("architecture", f"{name} refused: {why.reason}", {"architecture": name, "refused": why.reason})
            for name, why in self.refused
        ]
        did = f"{self.architecture}: {len(self.device.cell_names)} cells"
        found.append(Pass("architecture", did, {"architecture": self.architecture, "refused": None}))
        made = self.realization
        did = f"a unit of the drift is {made.factor:.4g} S, one of time {engineering(self.second, 's')}"
        found.append(Pass("fit", did, {"scale_factor": made.factor, "unit": "S", "second": self.second}))
        return (*found, *self._levels_pass(), self._device_pass(), *self._detail_passes())

    def facts(self) -> list[tuple[str, str]]:
        """The same for people: labels and texts, the problem first."""
        scales = self.device.scales
        assert scales is not None
        return [
            *self._posed_facts(),
            self._device_fact(),
            ("time", f"one unit of the problem's is {engineering(scales.time, 's')}"),
            ("scaling", f"x = 1 is {engineering(scales.coordinate, 'V')} in every cell"),
            *self._held_facts(),
        ]


class DriftPasses(CellPasses[DriftProblem, DriftCompilation]):
    """The architecture holds the drift as it is; levels, codes and details come after it."""

    problems = "problems of a drift and a diffusion"
    roundings = ("answer", "nearest")
    meaningless: ClassVar = {
        "speedup": 'is for networks (task = "network"): what sets the speed of linear cells is the hardware\'s '
        "nominal values; leave it out",
        "ensemble": "is not for problems of a drift: each value goes to its nearest code, none is chosen anew; leave "
        "it out",
        "embedding": "is not for problems of a drift: a variable takes one cell, and no chain; leave it out",
    }

    def needed(self) -> int:
        """A cell a coordinate."""
        return len(self.problem.drift)

    def prepare(self) -> None:
        """Nothing: neither signs nor scales of cells may differ where time matters."""

    def realize(self, architecture: Architecture, refused: Refused) -> DriftCompilation:
        """The device at the level of noise that suits the readout."""
        assert isinstance(architecture, DriftArchitecture)
        build = partial(self._built, architecture, self._share(architecture))
        realization, levels = (
            plan_levels(build, self.hardware)
            if self.problem.diffusion.any()
            else (
                build(self.hardware),
                None,
            )
        )
        _hold_noise(realization.device, self.hardware)
        return DriftCompilation(
            device=realization.device,
            hardware=self.hardware,
            architecture=architecture.name,
            reason=reason_of(architecture.summary, refused, self.options.architecture is not None),
            mean=realization.mean,
            levels=levels,
            warnings=self.problem.warnings,
            realization=realization,
            refused=tuple(refused),
        )

    def _built(self, architecture: DriftArchitecture, share: float, hardware: Hardware) -> DriftRealization:
        """The device knows its problem and its source before anybody asks for its law, which then stays its own."""
        made = architecture.realize(self.problem, hardware, self.placer, share)
        made.device.problem = self.problem
        self._mark(made.device)
        return made

    def _share(self, architecture: DriftArchitecture) -> float:
        """How much of the range of its banks the device takes: that at which the answer errs least, rounded."""
        if self.options.rounding == "nearest" or not quantised(self.hardware):
            return 1.0
        best, least = 1.0, np.inf
        for share in np.linspace(1.0, 0.6, _SHARES).tolist():
            device = self._built(architecture, share, self.hardware).device
            to_nearest(device, self.hardware)
            try:
                error = predict_linear(device).relative_error
            except CircuitError:  # rounded, it has no stationary law
                continue
            if error is not None and error < least * (1 - 1e-9):
                best, least = share, error
        return best

    def finish(self, made: DriftCompilation) -> DriftCompilation:
        """Codes, where components are banks; what is not ideal about the parts; the prediction."""
        device = made.device
        if quantised(made.hardware):
            banks = to_nearest(device, made.hardware)
            made = replace(made, rounding=self.options.rounding, banks=banks)
        put_detail(device, self.detail, self.placer.wiring)
        self._mark(device)
        try:
            prediction = predict_linear(device)
        except CircuitError as error:
            if made.rounding is None:
                raise
            raise Unrealizable(
                f"rounded to the {made.banks} banks of hardware {made.hardware.name} the network has no stationary "
                "law: more bits are needed",
                details={"banks": made.banks},
            ) from error
        return self._drawn(replace(made, prediction=prediction))

    def refusal(self, refused: Refused) -> Unrealizable:
        """Why nothing could be built."""
        details: dict[str, object] = {}
        for _, why in refused:
            details |= why.details
        details["refused"] = {name: why.reason for name, why in refused}
        return Unrealizable(
            f"hardware {self.hardware.name} cannot hold this problem, not as {reasons(refused)}", details=details
        )


_SHARES = 17


def _hold_noise(device: Device, hardware: Hardware) -> None:
    """Refuse a density that levels moved out of its range."""
    allowed = hardware.cell["noise"]
    together = (device.shared.factor(len(device.cell_names)) ** 2).sum(axis=1)
    densities: FloatArray = np.nan_to_num(device.cell_columns.arrays["noise"]) + together
    for k in np.flatnonzero(beyond(densities, allowed))[:1]:
        check_range("noise of cell", device.cell_names[k], float(densities[k]), "A^2/Hz", allowed)
