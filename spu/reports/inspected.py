"""What `spu inspect` shows of a whole device, by its dynamics: what JSON holds, what is said, what is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from spu.base.errors import UsageError
from spu.device.device import Device
from spu.device.subject import circuits
from spu.emulator.dynamics import LangevinDynamics, LinearDynamics, SaturatingDynamics, dynamics
from spu.emulator.predict import LinearisedPrediction, NetworkPrediction, Prediction
from spu.reports.inspection import Look
from spu.reports.pictures.devices import draw_device
from spu.reports.pictures.networks import draw_potentials
from spu.reports.wording import linearised_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Inspected(ABC):
    """Of one kind of dynamics.

    Attributes
    ----------
    words:
        What such devices are called, in refusals.
    budgets:
        Whether there is an error budget of them.
    """

    words: ClassVar[str]
    budgets: ClassVar[bool] = False

    @abstractmethod
    def report(self, prediction: Any) -> dict[str, Any]:
        """Keys of JSON."""

    @abstractmethod
    def say(self, prediction: Any) -> list[str]:
        """Lines for people, above the time constants."""

    @abstractmethod
    def draw(self, device: Device, look: Look, prediction: Any) -> Figure:
        """The picture."""


class _Linear(Inspected):
    words = LinearDynamics.words
    budgets = True

    def report(self, prediction: Prediction) -> dict[str, Any]:
        return {"time_constants": prediction.time_constants, "covariance": prediction.covariance}

    def say(self, prediction: Prediction) -> list[str]:  # noqa: ARG002
        return []

    def draw(self, device: Device, look: Look, prediction: Prediction) -> Figure:
        if not isinstance(prediction.covariance, np.ndarray):
            raise UsageError("a network this large has no picture: see predict --json")
        graph = device.graph if look.complete else None
        return draw_device(look, graph, prediction.variables, prediction.covariance)


class _Saturating(_Linear):
    words = SaturatingDynamics.words

    def say(self, prediction: Prediction) -> list[str]:
        return linearised_lines(cast(LinearisedPrediction, prediction))


class _Langevin(Inspected):
    words = LangevinDynamics.words

    def report(self, prediction: NetworkPrediction) -> dict[str, Any]:
        return {
            "time_constants": prediction.time_constants,
            "covariance": prediction.covariance,
            "coordinate": prediction.coordinate,
            "heat": prediction.heat,
        }

    def say(self, prediction: NetworkPrediction) -> list[str]:
        return [f"coordinate: {prediction.coordinate}; potential: {prediction.heat}", "figures are those at rest"]

    def draw(self, device: Device, look: Look, prediction: NetworkPrediction) -> Figure:  # noqa: ARG002
        return draw_potentials(device.network or cast(LangevinDynamics, dynamics(circuits(device)[0])).network)


INSPECTED: dict[str, Inspected] = {"linear": _Linear(), "saturating": _Saturating(), "langevin": _Langevin()}
"""The register, by the name of the dynamics."""


def inspected(device: Device) -> Inspected:
    """What is shown of a device."""
    return INSPECTED[dynamics(circuits(device)[0]).name]
