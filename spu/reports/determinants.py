"""Log determinants as plain text."""

from __future__ import annotations

from spu.base.layout import facts
from spu.base.numbers import engineering, plural, small
from spu.studies.algebra.determinant import LogDeterminant


def log_determinant_text(found: LogDeterminant) -> str:
    """The answer with its error bar, what one side alone would say, and what it took."""
    lost = found.dissipation
    lines = [("ln det", f"{found.log_determinant:.8g} +- {found.standard_error:.2g}")]
    if found.exact is not None:
        off = found.log_determinant - found.exact
        bars = abs(off) / found.standard_error if found.standard_error > 0 else 0.0
        lines.append(("exact", f"{found.exact:.8g}: off by {off:+.2g}, {bars:.1f} error bars"))
    kind = "of stored energy" if found.physical else "of the pseudo-potential, which no circuit stores"
    lines += [
        ("of own parts", f"{found.reference:.8g}, known: the product of the cells' own parts"),
        (
            "free energy",
            f"{found.free_energy:.6g} kT; 1 kT = {engineering(found.kT, 'J' if found.physical else 'W')} {kind}",
        ),
        ("one side alone", f"{found.jarzynski:.8g} +- {found.jarzynski_error:.2g} (Jarzynski, forward runs)"),
        (
            "dissipated",
            f"{lost[0]:.3g} kT forward, {lost[1]:.3g} kT backward, a run; overlap {found.estimate.overlap:.2g}",
        ),
        (
            "took",
            f"{plural(found.trajectories, 'pair')} of runs of {plural(found.jumps, 'jump')}, "
            f"{engineering(found.device_time, 's')} on the device, {found.readouts} readouts; seed {found.seed}",
        ),
    ]
    if found.systematic is not None and abs(found.systematic) > 1e-9:
        lines.append(
            ("floor", f"off by {small(abs(found.systematic))} after any time: what the device holds, and its noise")
        )
    return "\n".join([facts(lines), *(f"warning: {warning}" for warning in found.warnings)])
