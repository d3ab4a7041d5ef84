"""The passes of a compilation one by one: what each did, and what it did to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.distances import kullback_leibler, relative_error
from spu.base.errors import Unrealizable
from spu.base.sparse import scaled
from spu.compiler.chains import Embedding
from spu.compiler.headroom import Levels
from spu.compiler.layout import Matrix, Realization
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.imperfections import MEANINGS, Detail
from spu.emulator.predict import Prediction, predict_linear
from spu.problems.problem import QuadraticProblem, quadratic

__all__ = ["Compilation"]


@dataclass(frozen=True)
class Pass:
    """One pass.

    Attributes
    ----------
    name:
        ``polarity``, ``scaling``, ``architecture``, ``embedding`` (where there are chains), ``fit``, ``levels``,
        ``device`` or ``detail`` (where parts are not ideal).
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


def refused_passes(matrix: Matrix, refused: Sequence[tuple[str, Unrealizable]]) -> list[Pass]:
    """The passes up to the architectures that were refused, without their errors."""
    flips = matrix.polarity.signs
    if flips is None:
        cycle = list(matrix.polarity.frustrated)
        did = f"no choice of readout signs makes all off-diagonals <= 0: {len(cycle)} couplings in a cycle contradict"
        first = Pass("polarity", did, {"flipped": None, "frustrated_cycle": cycle})
    else:
        flipped = int((flips < 0).sum())
        did = f"{flipped} of {len(flips)} flipped: all off-diagonals <= 0" if flipped else "none needed"
        first = Pass("polarity", did, {"flipped": flipped, "frustrated_cycle": []})
    found = matrix.congruence
    spread = None if found.scale is None else float(found.scale.max() / found.scale.min())
    margin = matrix.margin
    data: dict[str, Any] = {"rho": found.rho, "dominant": found.dominant, "spread": spread, "margin": margin}
    if found.scale is None:
        did = f"none leaves every cell a part of its own: rho = {found.rho:.6g}, not below 1"
    elif found.dominant:
        did = f"none needed: diagonally dominant, rho = {found.rho:.4g}, smallest own part {margin:.3g}"
    else:
        did = f"by d, spread {spread:.3g}; rho = {found.rho:.4g}, smallest own part {margin:.3g} of its diagonal"
    passes = [first, Pass("scaling", did, data)]
    for name, why in refused:
        data = {"architecture": name, "refused": why.reason, **why.details}
        passes.append(Pass("architecture", f"{name} refused: {why.reason}", data))
    return passes


def passes_of(compilation: Compilation) -> tuple[Pass, ...]:
    """All passes of a compilation, with what each did to the predicted error."""
    trace, problem, prediction = compilation.trace, quadratic(compilation.device.problem), compilation.prediction
    assert problem is not None  # the compiler has set it
    found = []
    for step in refused_passes(trace.matrix, trace.refused):
        t = None
        if step.name == "polarity" and trace.matrix.polarity.signs is not None:
            t = trace.matrix.polarity.signs
        elif step.name == "scaling" and trace.matrix.congruence.scale is not None:
            t = trace.matrix.congruence.scale
        found.append(_with_errors(step, problem, t, None if t is None else scaled(trace.matrix.values, t, t)))
    made = trace.realization
    did = f"{compilation.architecture}: {len(compilation.device.cell_names)} cells"
    step = Pass("architecture", did, {"architecture": compilation.architecture, "refused": None})
    found.append(_with_errors(step, problem, made.layout.t, made.layout.M))
    covariance = None  # of the variables; with chains not quite what t and M say
    report, placed = compilation.embedding, made.layout.placed
    if placed is not None and report is not None and report.strength is not None:
        if not problem.sparse:
            read = made.layout.t[:, None] * made.layout.rails.toarray()
            covariance = read @ placed.covariance @ read.T
        did = (
            f"{report.cells} cells in chains of at most {report.longest_chain}, strength {report.strength:.4g}; "
            f"{report.method}"
        )
        found.append(_with_errors(Pass("embedding", did, report.to_dict()), problem, None, None, held=covariance))
    unit = "F" if compilation.architecture.startswith("rlc") else "S"
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
            "spread": compilation.scale_spread,
        },
    )
    held = made.layout.M * made.factor
    found.append(_with_errors(step, problem, made.layout.t, held, made.factor, held=covariance))
    if compilation.levels is not None:
        levels = compilation.levels
        did = f"injected noise {levels.noise:.4g} A^2/Hz, nominal {levels.nominal_noise:.4g}"
        step = Pass("levels", did, asdict(levels))
        found.append(_with_errors(step, problem, made.layout.t, made.layout.M, held=covariance))
    device = compilation.device
    ideal = predict_linear(device.at_detail(Detail())) if device.detail else prediction
    mean = f"mean by {compilation.mean}, " if compilation.mean != "zero" else ""
    did = f"{mean}noise of every part at {device.temperature:g} K"
    if compilation.rounding is not None:
        count = len(device.members())
        ensemble = f", {count} programmings merged" if count > 1 else ""
        did = f"{compilation.banks} banks set to codes ({compilation.rounding}{ensemble}), {did}"
    found.append(Pass("device", did, {}, ideal.covariance_relative_error, _divergence(problem, ideal)))
    if device.detail:
        did = ", ".join(MEANINGS[effect] for effect in device.detail.effects)
        data = device.detail.to_dict()
        error = prediction.covariance_relative_error
        found.append(Pass("detail", did, data, error, _divergence(problem, prediction)))
    return tuple(found)


def _divergence(problem: QuadraticProblem, prediction: Prediction) -> float | None:
    """Kullback-Leibler divergence of what is predicted to the problem's Gaussian; None where that is sparse."""
    if problem.sparse:
        return None
    covariance, target = np.asarray(prediction.covariance), np.asarray(problem.target_covariance)
    return kullback_leibler(prediction.mean, covariance, problem.target_mean, target)


def _with_errors(
    step: Pass,
    problem: QuadraticProblem,
    t: FloatArray | None,
    M: sp.csr_array | None,
    factor: float = 1.0,
    *,
    held: FloatArray | None = None,
) -> Pass:
    """The pass with the errors of ``x = diag(t) sqrt(factor) v``, ``v ~ N(., M^-1)``; or of a covariance held."""
    if problem.sparse or (held is None and (t is None or M is None)):
        return step
    if held is None:
        assert t is not None
        assert M is not None
        root = np.sqrt(factor)
        held = la.solve(M.toarray(), np.diag(t * root), assume_a="pos") * (t * root)[:, None]
    target = np.asarray(problem.target_covariance)
    mean = problem.target_mean
    return Pass(
        step.name,
        step.did,
        step.data,
        relative_error(held, target),
        kullback_leibler(mean, held, mean, target),
    )


@dataclass(frozen=True, eq=False)
class Realized:
    """What the passes up to the device made.

    Attributes
    ----------
    device:
        On hardware whose components are banks, with real values still.
    hardware:
        As used: with the noise that suits the readout.
    architecture:
        Its name.
    realizability:
        ``m-matrix``, ``m-matrix-after-polarity``, ``diagonally-dominant``, ``h-matrix``, ``any``.
    rho:
        Spectral radius of the scaled off-diagonals; plain couplers need < 1.
    reason:
        Why this architecture.
    mean:
        ``zero``, ``bias`` or ``offset``: how the mean is held.
    flipped:
        Number of cells read with negative polarity.
    scale_spread:
        Largest over smallest entry of the congruence scaling; 1 where none was needed.
    margin:
        Smallest share of a diagonal entry that couplers leave to the cell itself; None where they take nothing.
    levels:
        How voltages lie between the readout's noise and full swing; None where the hardware gives neither.
    warnings:
        About the problem's conditioning and the like.
    trace:
        What the passes handed on; `Compilation.explain` puts it into words.
    """

    device: Device
    hardware: Hardware
    architecture: str
    realizability: str
    rho: float
    reason: str
    mean: str
    flipped: int
    scale_spread: float
    margin: float | None
    levels: Levels | None
    warnings: tuple[str, ...]
    trace: Trace = field(repr=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Compilation(Realized):
    """A compiled device and what the compiler decided: further attributes of `Realized`.

    Attributes
    ----------
    prediction:
        Exact statistics of the device against the problem.
    rounding:
        How codes were chosen (`spu.compiler.quantise.ROUNDINGS`); None where nothing is quantised.
    banks:
        Number of quantised components.
    embedding:
        Places, chains and their cost on wired hardware; None where any two cells have a coupler.
    """

    prediction: Prediction
    rounding: str | None = None
    banks: int = 0
    embedding: Embedding | None = None

    def explain(self) -> tuple[Pass, ...]:
        """The passes one by one: what each did, and what it did to the predicted error."""
        return passes_of(self)


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
    """

    matrix: Matrix
    refused: tuple[tuple[str, Unrealizable], ...]
    realization: Realization
