"""Calibrated boards in words."""

from __future__ import annotations

import math

from spu.base.layout import MAX_TABLE_ROWS, facts, table
from spu.base.numbers import engineering, number, plural, share, small
from spu.studies.calibration import Calibrated, Calibration
from spu.studies.calibration.judged import ALARM

UNITS = {
    "capacitance": "F",
    "conductance": "S",
    "inductance": "H",
    "transconductance": "S",
    "bias": "A",
    "noise": "A^2/Hz",
    "band": "Hz",
}
"""Of quantities, for tables; numbers without unit where it is another."""


def calibration_text(found: Calibration) -> str:
    """The values, what is not told, whether the model explains the record, and whether it is the design's."""
    lines = [_record(found), "", table(*value_table(found), left=1, limit=MAX_TABLE_ROWS), ""]
    lines += [facts(verdicts(found))]
    if found.differs is not None:
        lines += ["", table(*kind_table(found), left=1)]
        lines += ["  p-values: what speaks for a change of this kind alone; what is left where all others may change;"]
        lines += ["  and values as far from the design under the stated tolerance"]
    return "\n".join(lines)


def _record(found: Calibration) -> str:
    what = {
        "spectra": f"spectra of {found.samples:,} averages",
        "independent samples": f"{found.samples:,} independent samples",
        "samples in time": f"{found.samples:,} samples, {engineering(found.interval, 's')} apart",
    }[found.kind]
    how = {"exact": "exact likelihood", "whittle": "likelihood of spectra (Whittle)", "wishart": "exact likelihood"}
    how_many = f"{plural(len(found.values), 'value')} from {what}, {plural(len(found.channels), 'channel')}"
    return f"{how_many}: {how[found.method]}{', stated tolerances as prior' if found.prior else ''}"


def value_table(found: Calibration) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: each value with its error, the nominal one, and how far it is from that."""
    headers = ["element", "value", "+-", "nominal", "deviation", "+-", "sigmas"]
    return headers, [_row(each) for each in found.values]


def _row(each: Calibrated) -> list[str]:
    unit = UNITS.get(each.kind.rpartition(".")[2])
    told = math.isfinite(each.standard_error)

    def shown(value: float) -> str:
        return number(value) if unit is None else engineering(value, unit, 4)

    sigmas = "-" if each.sigmas is None else f"{each.sigmas:+.1f}"
    error = shown(each.standard_error) if told else "not told"
    off = share(each.standard_error / abs(each.nominal)) if told else "-"
    return [each.name, shown(each.value), error, shown(each.nominal), f"{100 * each.deviation:+.3g} %", off, sigmas]


def verdicts(found: Calibration) -> list[tuple[str, str]]:
    """Labelled lines: what is not told, goodness, difference, tolerance."""
    said = [("not told", each.words) for each in found.unidentified]
    if said and not found.prior and any(each.tolerance for each in found.elements):
        said += [("", "with --prior the stated tolerances say it, or --fit less")]
    for test in found.goodness.tests:
        square = _square(test.statistic, test.freedom, test.p_value)
        said += [(test.name, f"{square}: {test.meaning}")]
    fits = found.goodness.fits
    if fits is None:
        said.append(("model", "nothing is left to test it by"))
    else:
        said.append(
            ("model", "explains the record" if fits else "does NOT explain the record: do not believe the values")
        )
    differs = found.differs
    if differs is None:
        return said
    which = "differs from its design" if differs.differs else "does not differ from its design"
    said.append(("board", f"{which} ({differs.test}, {_square(differs.statistic, differs.freedom, differs.p_value)})"))
    if differs.within is not None:
        word = "within" if differs.within_tolerance else "NOT within"
        said.append(("tolerance", f"{word} what is stated (p = {_chance(differs.within)})"))
    return said


def _square(statistic: float, freedom: int, p: float) -> str:
    return f"chi square {statistic:.4g} of {freedom}, p = {_chance(p)}"


def _chance(p: float) -> str:
    return f"{p:.2g}" if p >= ALARM else small(p)


def kind_table(found: Calibration) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: where the board differs."""
    differs = () if found.differs is None else found.differs.kinds
    rows = [
        [
            each.kind,
            str(each.elements),
            _chance(each.alone),
            "-" if each.needed is None else _chance(each.needed),
            "-" if each.within is None else _chance(each.within),
        ]
        for each in differs
    ]
    return ["kind", "elements", "alone", "needed", "tolerance"], rows
