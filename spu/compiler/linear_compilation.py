"""What the compilation of a linear problem comes to, and its passes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np

from spu.base.errors import Unrealizable
from spu.base.numbers import engineering, plural, small
from spu.base.sparse import scaled
from spu.compiler.chains import Embedding
from spu.compiler.compilation import Compilation, Pass
from spu.compiler.explain import divergence, refused_passes, with_errors
from spu.compiler.headroom import Levels
from spu.compiler.layout import Matrix, Realization
from spu.device.device import Device
from spu.device.imperfections import Detail, key_of
from spu.emulator.laws.law import Law
from spu.emulator.predict import Prediction, predict_linear
from spu.problems.problem import LinearProblem, QuadraticProblem

__all__ = ["PREDICTED", "LinearCompilation", "QuadraticCompilation", "predicted", "statistics_of"]


@dataclass(frozen=True, eq=False)
class Trace:
    """What the passes handed on.

    Attributes
    ----------
    matrix:
        The problem's, with what passes 1 and 2 found.
    refused:
        Architectures that were tried in vain, with the refusals.
    realization:
        What pass 3 made.
    unit:
        Of a unit of its matrix: F or S.
    """

    matrix: Matrix
    refused: tuple[tuple[str, Unrealizable], ...]
    realization: Realization
    unit: str


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearCompilation(Compilation):
    """A compiled device of linear cells: further attributes of `Compilation`.

    Attributes
    ----------
    mean:
        ``zero``, ``bias`` or ``offset``: how the mean is held.
    levels:
        How voltages lie between the readout's noise and full swing; None where the hardware gives neither.
    rounding:
        How codes were chosen (`spu.compiler.quantise.ROUNDINGS`); None where nothing is quantised.
    banks:
        Number of quantised components.
    prediction:
        Exact statistics of the device against the problem; the last pass gives them.
    draw:
        Number of the board whose elements err; None where none does.
    undrawn, meant:
        Of a board the device without its errors, and the statistics of that.
    """

    mean: str
    levels: Levels | None
    rounding: str | None = None
    banks: int = 0
    prediction: Prediction = field(default=cast(Prediction, None), repr=False)
    draw: int | None = None
    undrawn: Device | None = field(default=None, repr=False)
    meant: Prediction | None = field(default=None, repr=False)

    @property
    def problem(self) -> LinearProblem:
        """What was compiled."""
        found = super().problem
        assert isinstance(found, LinearProblem)
        return found

    @cached_property
    def ideal(self) -> Prediction:
        """Those of the device without what is not ideal about its parts, errors of a board among that."""
        if self.device.detail:
            return predict_linear((self.undrawn or self.device).at_detail(Detail()))
        return self.meant or self.prediction

    @property
    def laws(self) -> tuple[Law, ...]:
        """The law of each programming."""
        return self.prediction.laws

    @property
    def statistics(self) -> dict[str, Any]:
        """What is predicted, as arrays."""
        return statistics_of(self.prediction)

    def decided(self) -> dict[str, Any]:
        """What the compiler decided and predicts, in a few numbers."""
        prediction = self.prediction
        quantised = {} if self.rounding is None else {"rounding": self._codes()}
        return {
            "device_hash": self.device.hash,
            "hardware": self.hardware.name,
            "architecture": self.architecture,
            **self.problem.choices(),
            **predicted(prediction),
            "levels": None if self.levels is None else asdict(self.levels),
            "mean": self.mean,
            **quantised,
            **({} if self.draw is None else {"draw": self.draw}),
        }

    def _codes(self) -> dict[str, Any]:
        return {
            "method": self.rounding,
            "banks": self.banks,
            "programmings": len(self.device.programmings) + 1,
        }

    def _device_pass(self) -> Pass:
        """What the parts that are built cost."""
        device = self.device
        mean = f"mean by {self.mean}, " if self.mean != "zero" else ""
        did = f"{mean}noise of every part at {device.temperature:g} K"
        if self.rounding is not None:
            count = len(device.members())
            ensemble = f", {count} programmings merged" if count > 1 else ""
            did = f"{self.banks} banks set to codes ({self.rounding}{ensemble}), {did}"
        return Pass("device", did, {}, self.ideal.covariance_relative_error, divergence(self.problem, self.ideal))

    def _detail_passes(self) -> list[Pass]:
        """What is not ideal about them costs."""
        return [*self._of_detail(), *self._board_pass()]

    def _board_pass(self) -> list[Pass]:
        if self.draw is None:
            return []
        error, lost = self.prediction.covariance_relative_error, divergence(self.problem, self.prediction)
        return [Pass("board", f"number {self.draw}: {_BOARD}", {"draw": self.draw}, error, lost)]

    def _of_detail(self) -> list[Pass]:
        detail, prediction = self.device.detail, self.meant or self.prediction
        if not detail:
            return []
        did = ", ".join(key_of(effect).meaning for effect in detail.effects if not key_of(effect).setting)
        error = prediction.covariance_relative_error
        return [Pass("detail", did, detail.to_dict(), error, divergence(self.problem, prediction))]

    def _levels_pass(self) -> list[Pass]:
        if self.levels is None:
            return []
        did = f"injected noise {self.levels.noise:.4g} A^2/Hz, nominal {self.levels.nominal_noise:.4g}"
        return [Pass("levels", did, asdict(self.levels))]

    def _posed_facts(self) -> list[tuple[str, str]]:
        hardware, problem = self.hardware, self.problem
        return [
            ("problem", f"{problem.kind.words}, {plural(problem.n, 'variable')}"),
            ("condition", f"{problem.condition:.3g}"),
            *problem.facts(),
            ("hardware", f"{hardware.name}, {hardware.temperature:g} K"),
            ("architecture", f"{self.architecture}: {self.reason}"),
        ]

    def _device_fact(self) -> tuple[str, str]:
        device = self.device
        cells = plural(len(device.cell_names), "cell")
        return "device", f"{cells}, {plural(len(device.coupler_ends), 'coupler')}; hash {device.hash}"

    def _held_facts(self) -> list[tuple[str, str]]:
        """From the mean on."""
        prediction = self.prediction
        covariance, mean = prediction.covariance_relative_error, prediction.mean_relative_error
        errors = [f"covariance {small(covariance)}"] if covariance is not None else []
        errors += [f"mean {small(mean)}"] if mean is not None else []
        if prediction.lagged_relative_error is not None:
            errors.append(f"lagged covariance {small(prediction.lagged_relative_error)}")
        return [
            ("mean", _MEANS.get(self.mean, self.mean)),
            *self._ramp(),
            *([] if self.levels is None else [("levels", _levels(self.levels))]),
            *self._common_mode(),
            *self._rounding(),
            *self._detail(),
            *self._board(),
            ("predicted error", f"{', '.join(errors) or '-'} (relative, Frobenius; without sampling)"),
        ]

    def _ramp(self) -> list[tuple[str, str]]:
        ramp = self.device.ramp
        if ramp is None:
            return []
        span = self.prediction.time_span
        times = f", {ramp.duration / span[0]:.3g} slowest time constants" if span is not None else ""
        jumps = plural(int((np.diff(ramp.times) == 0).sum()), "jump")
        return [("ramp", f"couplers from 0 to 1 in {jumps}, {engineering(ramp.duration, 's')}{times}")]

    def _common_mode(self) -> list[tuple[str, str]]:
        common = self.prediction.common_mode
        if common is None:
            return []
        differential = float(common.differential_variance.max()) ** 0.5
        return [
            (
                "common mode",
                f"at most {engineering(common.loudest, 'V')} rms a cell, beside {engineering(differential, 'V')} of "
                f"the differential one; at most {common.ratio:.3g} times its own (not read out)",
            )
        ]

    def _rounding(self) -> list[tuple[str, str]]:
        if self.rounding is None:
            return []
        count = len(self.device.programmings) + 1
        merged = f"; {count} programmings, each chosen to correct those before it" if count > 1 else ""
        return [("rounding", f"{plural(self.banks, 'bank')}: {self.rounded[self.rounding]}{merged}")]

    rounded: ClassVar[Mapping[str, str]] = {
        "answer": "codes, scale and gains chosen for the least error of the covariance",
        "codes": "codes chosen for the least error of the covariance",
        "nearest": "each value to its nearest code",
    }
    """What each way of choosing codes does, in words."""

    def _board(self) -> list[tuple[str, str]]:
        if self.meant is None:
            return []
        error = small(self.meant.relative_error)
        return [("board", f"number {self.draw}: {_BOARD}; without any the error would be {error}")]

    def _detail(self) -> list[tuple[str, str]]:
        detail = self.device.detail
        if not detail:
            return []
        said = ", ".join(
            f"{key_of(effect).meaning} {key_of(effect).shown(detail[effect])}" for effect in detail.effects
        )
        error = self.ideal.relative_error
        return [("detail", f"{said}; without any of it the error would be {small(error)}")]


@dataclass(frozen=True, eq=False, kw_only=True)
class QuadraticCompilation(LinearCompilation):
    """What the compiler decided of a problem that a quadratic energy poses.

    Attributes
    ----------
    realizability:
        ``m-matrix``, ``m-matrix-after-polarity``, ``diagonally-dominant``, ``h-matrix``, ``any``.
    flipped:
        Number of cells read with negative polarity.
    scale_spread:
        Largest over smallest entry of the congruence scaling; 1 where none was needed.
    margin:
        Smallest share of a diagonal entry that couplers leave to the cell itself; None where they take nothing.
    trace:
        What the passes handed on; `explain` puts it into words.
    embedding:
        Places, chains and their cost on wired hardware; None where any two cells have a coupler.
    """

    realizability: str
    flipped: int
    scale_spread: float
    margin: float | None
    trace: Trace = field(repr=False)
    embedding: Embedding | None = None

    @property
    def problem(self) -> QuadraticProblem:
        """What was compiled."""
        found = super().problem
        assert isinstance(found, QuadraticProblem)
        return found

    @property
    def rho(self) -> float:
        """Spectral radius of the scaled off-diagonals; plain couplers need < 1."""
        return self.trace.matrix.congruence.rho

    def decided(self) -> dict[str, Any]:
        """What the compiler decided and predicts, in a few numbers."""
        found, prediction = super().decided(), self.prediction
        levels, mean = found.pop("levels"), found.pop("mean")
        rounding = {"rounding": found.pop("rounding")} if "rounding" in found else {}
        return {
            **found,
            "realizability": {
                "class": self.realizability,
                "rho": self.rho,
                "reason": self.reason,
                "margin": self.margin,
            },
            "levels": levels,
            "common_mode": prediction.common_mode and prediction.common_mode.to_dict(),
            "mean": mean,
            "embedding": None if self.embedding is None else self.embedding.to_dict(),
            **rounding,
        }

    def to_dict(self) -> dict[str, Any]:
        """Give what the compiler decided as a dictionary that JSON can hold: what ``spu compile --json`` prints."""
        return {**super().to_dict(), "flipped": self.flipped, "scale_spread": self.scale_spread}

    def explain(self) -> tuple[Pass, ...]:
        """The passes one by one: what each did, and what it did to the predicted error."""
        trace, problem = self.trace, self.problem
        found = []
        for step in refused_passes(trace.matrix, trace.refused):
            t = None
            if step.name == "polarity" and trace.matrix.polarity.signs is not None:
                t = trace.matrix.polarity.signs
            elif step.name == "scaling" and trace.matrix.congruence.scale is not None:
                t = trace.matrix.congruence.scale
            found.append(with_errors(step, problem, t, None if t is None else scaled(trace.matrix.values, t, t)))
        made = trace.realization
        did = f"{self.architecture}: {len(self.device.cell_names)} cells"
        step = Pass("architecture", did, {"architecture": self.architecture, "refused": None})
        found.append(with_errors(step, problem, made.layout.t, made.layout.M))
        covariance = None  # of the variables; with chains not quite what t and M say
        report, placed = self.embedding, made.layout.placed
        if placed is not None and report is not None and report.strength is not None:
            if not problem.sparse:
                read = made.layout.t[:, None] * made.layout.rails.toarray()
                covariance = read @ placed.covariance @ read.T
            did = (
                f"{report.cells} cells in chains of at most {report.longest_chain}, strength {report.strength:.4g}; "
                f"{report.method}"
            )
            found.append(with_errors(Pass("embedding", did, report.to_dict()), problem, None, None, held=covariance))
        unit = trace.unit
        margin = "" if made.margin is None else f"; smallest own part {made.margin:.3g} of its diagonal"
        t = np.abs(made.layout.t)
        first = trace.matrix.congruence.scale
        again = made.margin is not None and first is not None and bool(np.ptp(np.log(t / first)) > 1e-9)
        also = f"; scaled anew for the ranges, spread {t.max() / t.min():.3g}" if again else ""
        step = Pass(
            "fit",
            f"largest diagonal entry {made.factor:.4g} {unit}{margin}{also}",
            {
                "rescaled": again,
                "scale_factor": made.factor,
                "unit": unit,
                "margin": made.margin,
                "spread": self.scale_spread,
            },
        )
        held = made.layout.M * made.factor
        found.append(with_errors(step, problem, made.layout.t, held, made.factor, held=covariance))
        found += [
            with_errors(step, problem, made.layout.t, made.layout.M, held=covariance) for step in self._levels_pass()
        ]
        return (*found, self._device_pass(), *self._detail_passes())

    def facts(self) -> list[tuple[str, str]]:
        """The same for people: labels and texts, the problem first."""
        flipped = f"{self.flipped} of {plural(self.problem.n, 'variable')} read with negative polarity"
        scaling = "the same gain for every cell"
        if self.scale_spread > 1 + 1e-9:
            scaling = f"readout gains spread by a factor {self.scale_spread:.3g}"
        return [
            *self._posed_facts(),
            ("class", f"{self.realizability}, rho = {self.rho:.4g} (passive couplers need < 1)"),
            *([("margin", _MARGIN.format(self.margin))] if self.margin is not None else []),
            self._device_fact(),
            *([] if self.embedding is None else _embedded(self.embedding)),
            ("polarity", flipped if self.flipped else "all cells read straight"),
            ("scaling", scaling),
            *self._held_facts(),
        ]


_BOARD = "every element has an error of its own"

_MEANS = {
    "zero": "zero: nothing to hold",
    "bias": "held in the cells, by bias currents",
    "offset": "added at readout: these cells cannot hold one",
}

_MARGIN = "{:.3g} of the diagonal is left to the cell that keeps least of its own"


def _levels(levels: Levels) -> str:
    adjusted = "" if levels.noise == levels.nominal_noise else " (adjusted)"
    return (
        f"injected noise {levels.noise:.3g} A^2/Hz{adjusted}; {levels.quietest} is "
        f"{levels.floor_headroom:.1f} dB above the readout's noise, the peaks of {levels.loudest} "
        f"{levels.clipping_headroom:.1f} dB below clipping"
    )


def _embedded(embedding: Embedding) -> list[tuple[str, str]]:
    """What the wiring costs."""
    if embedding.strength is None:
        return [("wiring", "fits: one cell for each variable, no chains")]
    return [
        (
            "wiring",
            f"{plural(embedding.cells, 'cell')} for {plural(len(embedding.variables), 'variable')}; longest chain "
            f"{plural(embedding.longest_chain, 'cell')}; chain strength {embedding.strength:.4g}",
        ),
        (
            "chains",
            f"{embedding.method}: covariance {small(embedding.error)}; "
            f"uncorrected {small(embedding.uncorrected_error)}",
        ),
    ]


PREDICTED = ("predicted_relative_error", "predicted_covariance_relative_error", "predicted_mean_relative_error")


def predicted(prediction: Prediction) -> dict[str, Any]:
    """Predicted errors, as they are kept with a device."""
    return {key: getattr(prediction, key.removeprefix("predicted_")) for key in PREDICTED}


def statistics_of(prediction: Prediction) -> dict[str, Any]:
    """The arrays of a prediction that are kept with a device."""
    return {
        "mean": prediction.mean,
        "covariance": prediction.covariance,
        **({} if prediction.lagged is None else {"lagged": prediction.lagged}),
        "voltage_mean": prediction.voltage_mean,
        "voltage_covariance": prediction.voltage_covariance,
        "state_names": prediction.law.sde.state_names,
        "state_variance": np.concatenate([law.state_variance for law in prediction.laws]),
        "time_constants": prediction.time_constants,
    }
