"""Regression by a Gaussian process, in words."""

from __future__ import annotations

from spu.base.layout import facts, table
from spu.base.numbers import engineering, number, plural, share, small
from spu.studies.gaussian_process import GaussianProcess

_MOST_ROWS = 12


def gaussian_process_text(found: GaussianProcess) -> str:
    """The process, the device, and the posterior beside its samples."""
    x, y = found.names
    fitted = f"{', '.join(found.fitted)} by maximum likelihood, digitally" if found.fitted else "all given"
    jitter = "none is added to the covariance"
    if found.jitter:
        jitter = f"{found.jitter:.3g} is added to the covariance's diagonal"
    step = -(-len(found.at) // _MOST_ROWS)
    rows = [
        [
            number(float(found.at[k]), 6),
            *(number(float(v)) for v in (found.mean[k], found.sampled_mean[k])),
            number(float(found.mean_error[k]), 2),
            *(number(float(v)) for v in (found.deviation[k], found.sampled_deviation[k])),
            number(float(found.deviation_error[k]), 2),
        ]
        for k in range(0, len(found.at), step)
    ]
    sizes = f"signal {found.signal:g}, length {found.length:g}, noise {found.noise:g}"
    lines = [
        ("data", f"{plural(len(found.x), 'observation')} of {y} over {x}, about {found.centre:.6g}"),
        (
            "process",
            f"{found.kernel}: {sizes}; {fitted}",
        ),
        ("held out", f"{share(found.held_out)} of the observations lie in the 95 % band that the others predict"),
        ("device", f"{found.architecture} on {found.hardware}, hash {found.hash}; its mean is {found.mean_held}"),
        ("condition", f"{found.condition:.3g}; {jitter}"),
        ("its law", f"covariance off by {small(found.law_error)} (relative, Frobenius)"),
        (
            "samples",
            f"{found.samples} in {engineering(found.device_time, 's')} of device time each trajectory, worth "
            f"{found.effective_samples:.6g}; seed {found.seed}",
        ),
        (
            "covariance",
            f"sampled to {small(found.relative_error)}; {small(found.expected_relative_error)} is expected",
        ),
        ("coverage", f"{100 * found.coverage:.2f} +- {100 * found.coverage_error:.2f} % in the exact 95 % band"),
    ]
    heads = [x, "mean", "sampled", "+-", "std dev", "sampled", "+-"]
    return "\n".join([facts(lines), "", table(heads, rows, count=len(rows), left=1)])
