"""Energy ledgers in words: every item, what is not stated, and ratios never without the list."""

from __future__ import annotations

from spu.base.layout import table
from spu.base.numbers import engineering, plural, small
from spu.studies.energy import HEATS, Ledger, LedgerLine, Price


def ledger_text(ledger: Ledger) -> str:
    """The items, the reference, the ratio with its range and what it leaves out, and what a claim assumes."""
    lines = [f"energy of one {ledger.per}, in J (prices: {ledger.assumptions.file})"]
    rows = [_row(line) for line in ledger.lines]
    rows += [["sum of what is stated", "", *_range(ledger.total), ""]]
    rows += [_row(line) for line in ledger.reference]
    rows += [["digital reference", "", *_range(ledger.reference_total), ""]]
    lines += [table(["item", "count", "low", "typical", "high", ""], rows), ""]
    if ledger.heat is not None:
        heat, runs = ledger.heat, plural(ledger.heat.runs, "run")
        lines.append(
            f"heat: {engineering(heat.mean, 'J')} +- {engineering(heat.error, 'J')}, 90 % of {runs} "
            f"from {engineering(heat.low, 'J')} to {engineering(heat.high, 'J')}, {HEATS[ledger.kind]}"
        )
    lines += _powers(ledger)
    if ledger.reference_is:
        lines.append(f"reference: {ledger.reference_is}")
    others = [f"{method.name} {method.flops:.3g}" for method in ledger.methods[1:]]
    if others:
        lines.append(
            f"other digital methods, in operations where it takes {ledger.methods[0].flops:.3g}: {', '.join(others)}"
        )
    lines += _ratios(ledger)
    lines += _claim(ledger)
    return "\n".join(lines)


def _powers(ledger: Ledger) -> list[str]:
    """Both sides of the circuit's mean power, and how long loading takes."""
    said = []
    power = ledger.power
    if power is not None:
        terms = (
            *(("thermal noise", power.thermal), ("noise sources", power.noise)),
            *(("constant sources", power.sources), ("active elements", power.active)),
        )
        into = " + ".join(f"{engineering(value, 'W')} ({name})" for name, value in terms if value)
        said.append(f"mean power: {into or '0 W'} goes in, {engineering(power.losses, 'W')} is lost in resistors")
        said[-1] += f"; the two differ by {small(power.imbalance)}"
    if ledger.seconds is not None:
        time = ledger.programming_time
        loading = "loading the codes: nobody states how long one takes"
        if time is not None:
            loading = f"loading the codes {engineering(time.typical, 's')}"
        said.append(f"device time {engineering(ledger.seconds, 's')}; {loading}")
    return said


def _row(line: LedgerLine) -> list[str]:
    count = "?" if line.count is None else f"{line.count:.4g}"
    note = line.missing or ("" if line.counted else "not the circuit's: in no sum")
    return [line.item, count, *_range(line.energy), note]


def _range(price: Price | None) -> list[str]:
    if price is None:
        return ["-", "-", "-"]
    return [f"{price.low:.2g}", f"{price.typical:.2g}", f"{price.high:.2g}"]


def _ratios(ledger: Ledger) -> list[str]:
    ratio = ledger.ratio
    if ratio is None:
        return ["no ratio: one of the sums is not known"]
    left_out = f", at most, for it leaves out {', '.join(ledger.unstated)}" if ledger.unstated else ""
    return [f"reference / sum: {ratio.typical:.2g} ({ratio.low:.1g} to {ratio.high:.1g}){left_out}"]


def _claimed(ledger: Ledger) -> str:
    return f"{ledger.claim:g}" if ledger.claim < 1e4 else f"{ledger.claim:.0e}"


def _claim(ledger: Ledger) -> list[str]:
    conditions = ledger.what_must_hold(ledger.claim)
    if not conditions:
        return []
    rows = []
    for each in conditions:
        stated = "not stated" if each.stated is None else f"{each.stated.typical:.2g}"
        times = "-" if each.too_much is None else "holds" if each.too_much <= 1 else f"{each.too_much:.2g} times"
        rows.append([each.item, f"{each.count:.4g}", f"{each.limit.typical:.2g}", stated, times])
    said = [
        "",
        f"for a ratio of {_claimed(ledger)}, each item alone must not cost more than, in J (or W) for one count:",
    ]
    said.append(table(["item", "count", "limit", "stated", "must be less by"], rows))
    if ledger.heat_ratio is not None:
        others = [line.item for line in ledger.lines if line.item != "heat"]
        left_out = f", which leaves out {', '.join(others)}" if others else ""
        whose = " (of the model)" if ledger.kind == "model" else ""
        said.append(f"reference / heat{whose} alone: {ledger.heat_ratio.typical:.2g}{left_out}")
    return said
