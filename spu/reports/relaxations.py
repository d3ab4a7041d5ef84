"""How linear devices leave a given state, in words."""

from __future__ import annotations

import numpy as np

from spu.base.layout import MAX_TABLE_ROWS, table
from spu.base.numbers import engineering, number, plural
from spu.emulator.relaxation import Relaxation
from spu.emulator.runs.kicked import SampledRelaxation


def relaxation_text(found: Relaxation) -> str:
    """Means and deviations at a few times, and what they come to."""
    headers, columns = ["variable"], []
    for k in _shown(len(found.times)):
        headers += [f"mean at {found.times[k]:.4g}", "std dev"]
        columns += [found.mean[k], np.sqrt(found.variance[k])]
    headers += ["mean in the end", "std dev"]
    columns += [found.stationary_mean, np.sqrt(found.stationary_covariance.diagonal())]
    rows = list(zip(found.variables, *([number(float(v)) for v in column] for column in columns), strict=True))
    return "\n".join(
        [
            f"{plural(len(found.variables), 'variable')} {_from(found)}, exact, at {plural(len(found.times), 'time')}",
            "",
            table(headers, rows, limit=MAX_TABLE_ROWS),
            "",
            *_times(found),
        ]
    )


def sampled_relaxation_text(run: SampledRelaxation) -> str:
    """How trajectories were run, and their means at a few times beside the exact ones."""
    exact, headers, columns = run.exact, ["variable"], []
    for k in _shown(len(run.times)):
        headers += [f"mean at {run.times[k]:.4g}", "+-", "(exact)"]
        means, errors, known = run.mean[k], run.mean_error[k], exact.mean[k]
        columns += [
            [number(float(v)) for v in means],
            [number(float(v), 2) for v in errors],
            [f"({number(float(v))})" for v in known],
        ]
    last = len(run.times) - 1
    headers += ["variance", "+-", "(exact)"]
    columns += [
        [number(float(v)) for v in run.variance[last]],
        [number(float(v), 2) for v in run.variance_error[last]],
        [f"({number(float(v))})" for v in exact.variance[last]],
    ]
    return "\n".join(
        [
            f"{plural(run.trajectories, 'trajectory', 'trajectories')} {_from(exact)}, read at "
            f"{plural(len(run.times), 'time')}; took {engineering(run.seconds, 's')}; seed {run.seed}",
            f"exact steps from readout to readout; held against the exact law by {plural(run.checked, 'test')}",
            "",
            table(headers, list(zip(run.variables, *columns, strict=True)), limit=MAX_TABLE_ROWS),
            "",
            *_times(exact),
        ]
    )


def _shown(count: int) -> list[int]:
    return list(range(count)) if count <= 3 else [0, count // 2, count - 1]


def _from(found: Relaxation) -> str:
    return "from a given state" if found.start is not None else "from the stationary law"


def _times(found: Relaxation) -> list[str]:
    lines = [f"longest time constant {engineering(found.slowest, 's')}"]
    if found.time_unit != 1:
        lines.append(f"one unit of the problem's time is {engineering(found.time_unit, 's')}")
    return lines
