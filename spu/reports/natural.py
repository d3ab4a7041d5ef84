"""Natural gradient by a device, in words."""

from __future__ import annotations

import numpy as np

from spu.base.layout import table
from spu.base.numbers import engineering, number, plural, share, small
from spu.studies.learning.natural import NaturalGradient, OneStep


def natural_text(found: NaturalGradient) -> str:
    """Losses by exact arithmetic and by the device, for each time, and the first step."""
    rows = []
    for k, t in enumerate(found.times):
        rows.append(
            [
                _time(float(t)),
                number(float(found.loss[k, -1])),
                number(float(found.emulated_loss[k, -1])),
                share(float(found.accuracy[k])),
                share(float(found.emulated_accuracy[k])),
                engineering(float(found.device_time[k]), "s"),
            ]
        )
    heads = ["read at", "loss, exact", "emulated", "accuracy, exact", "emulated", "device time"]
    images = f"{found.data['images']} images of {' '.join(found.classes)}, {' x '.join(map(str, found.data['shape']))}"
    return "\n".join(
        [
            f"softmax regression of {found.model.size} parameters on {images}; loss {found.loss[0, 0]:.4g} at first",
            f"{plural(found.steps, 'step')} of rate {found.rate:g}; {found.damping:g} is added to the Fisher matrix; "
            f"means of {found.step.trajectories} relaxations on {found.hardware}",
            "",
            table(heads, rows),
            "",
            one_step_text(found.step),
        ]
    )


def one_step_text(step: OneStep) -> str:
    """How far the first step is from the formula, emulated and in a simulator."""
    rows = []
    for k, t in enumerate(step.times):
        rows.append(
            [
                _time(float(t)),
                engineering(float(step.device_times[k]), "s"),
                number(float(np.linalg.norm(step.ideal[k]))),
                small(float(step.relative_error[k])),
                small(float(step.expected_relative_error[k])),
                number(float(step.chance[k]), 2),
            ]
        )
    heads = ["read at", "on the device", "size of the step", "error, emulated", "expected", "chance"]
    lines = [
        "the first step, against x(t) = F^-1 g + exp(-F t)(g - F^-1 g):",
        table(heads, rows),
        f"the device's own law is off by {small(step.law_error)}; expected: by noise alone; chance: of as much",
    ]
    if step.simulator_error is not None and step.coarse_error is not None:
        falls = "falls" if step.falls else "does not fall"
        lines.append(
            f"{step.simulator}, from .ic, without noise: off the law by at most {step.coarse_error.max():.1e} in 64 "
            f"steps or more to each time, {step.simulator_error.max():.1e} in 256: it {falls}"
        )
    return "\n".join(lines)


def _time(t: float) -> str:
    if t == 0:
        return "0: gradient"
    return f"{t:.4g}" if np.isfinite(t) else "settled: natural gradient"
