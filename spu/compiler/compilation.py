"""What a compilation comes to: the device, and what was decided on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from spu.base.display import Shown
from spu.base.files import plain
from spu.base.layout import facts as laid_out
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.emulator.laws.law import Law
from spu.emulator.predict import NetworkPrediction, Prediction
from spu.problems.problem import Problem
from spu.problems.trained import TrainedNetwork

__all__ = ["Compilation"]


@dataclass(frozen=True)
class Pass:
    """One pass.

    Attributes
    ----------
    name:
        ``polarity``, ``scaling``, ``architecture``, ``embedding`` (where there are chains), ``fit``, ``levels``,
        ``device``, ``detail`` (where parts are not ideal) or ``board`` (where its elements err).
    did:
        What it did, in words.
    data:
        The numbers in them, JSON-able.
    covariance_relative_error, kullback_leibler:
        Of the Gaussian as it is held after this pass, against the problem's: Frobenius, and nats. None where
        the pass holds none (an architecture that is refused), or the problem is sparse.
    """

    name: str
    did: str
    data: dict[str, Any] = field(default_factory=dict)
    covariance_relative_error: float | None = None
    kullback_leibler: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Compilation(Shown, ABC):
    """A compiled device and what the compiler decided; ``print`` shows it as ``spu compile`` does.

    Attributes
    ----------
    device:
        The device, with its problem.
    hardware:
        As used: of linear cells with the noise that suits the readout.
    architecture, reason:
        Its name, and why this one.
    warnings:
        What is legitimate but should be known.

    Examples
    --------
    >>> import spu
    >>> made = spu.compile_problem([[2.0, -0.5], [-0.5, 1.0]])
    >>> for label, text in made.facts()[:3]:
    ...     print(f"{label}: {text}")
    problem: sample a Gaussian, 2 variables
    condition: 2.78
    hardware: ideal, 0 K
    >>> [each.name for each in made.explain()]
    ['polarity', 'scaling', 'architecture', 'fit', 'device']
    """

    verbs: ClassVar[tuple[str, ...]] = ("check", "predict", "simulate", "inspect")
    """What is done with such a device next, the first thing first."""

    device: Device
    hardware: Hardware
    architecture: str
    reason: str
    warnings: tuple[str, ...]

    @property
    def subject(self) -> Device:
        """The device, for whatever takes one."""
        return self.device

    @property
    def problem(self) -> Problem:
        """What was compiled."""
        assert self.device.problem is not None  # the compiler has set it
        return self.device.problem

    @property
    @abstractmethod
    def prediction(self) -> Prediction | NetworkPrediction:
        """What is known exactly of the device."""

    @property
    def laws(self) -> tuple[Law | None, ...]:
        """The law of each programming, as netlists print it; None where none is printed."""
        return (None,)

    @property
    def learnt(self) -> TrainedNetwork | None:
        """What is kept with the device of a trained network; None of any other."""
        return None

    @property
    def statistics(self) -> dict[str, Any]:
        """What is predicted, as arrays, to be kept with the device."""
        return {}

    @abstractmethod
    def decided(self) -> dict[str, Any]:
        """What the compiler decided and predicts, in a few numbers: kept with the device."""

    @abstractmethod
    def facts(self) -> list[tuple[str, str]]:
        """The same for people: labels and texts, the problem first."""

    def explain(self) -> tuple[Pass, ...]:
        """The passes one by one, where they are told."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Give what the compiler decided as a dictionary that JSON can hold: what ``spu compile --json`` prints."""
        device = self.device
        counted = {"cells": len(device.cell_names), "couplers": len(device.coupler_ends), "warnings": self.warnings}
        found = plain({**counted, **self.decided()})
        assert isinstance(found, dict)
        return found

    def __str__(self) -> str:
        return "\n".join([laid_out(self.facts()), *(f"warning: {warning}" for warning in self.warnings)])
