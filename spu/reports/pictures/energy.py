"""Energy ledgers as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.energy import Ledger, Price


def draw_ledger(ledger: Ledger) -> Figure:
    """Draw what each item costs, on a logarithmic scale with its range; what is not stated is marked, not drawn."""
    rows: list[tuple[str, Price | None, str, str]] = []
    for line in ledger.lines:
        colour = "tab:blue" if line.counted else "0.75"
        rows.append(
            (line.item, line.energy, colour, line.missing or ("" if line.counted else "the model's, not counted"))
        )
    rows.append(("sum of what is stated", ledger.total, "tab:green", "" if ledger.total else "nothing is stated"))
    rows += [(f"reference: {line.item}", line.energy, "tab:orange", line.missing) for line in ledger.reference]
    drawn = [price for _, price, _, _ in rows if price is not None and price.low > 0]
    figure = new_figure(10.0, 1.8 + 0.5 * len(rows))
    axes = figure.subplots()
    floor = min((price.low for price in drawn), default=1e-18) / 30
    for k, (_, price, colour, note) in enumerate(rows):
        if price is None or price.typical <= 0:
            axes.text(floor * 1.3, k, note or "none", va="center", color="tab:red", style="italic")
            continue
        axes.barh(k, price.typical - floor, 0.6, left=floor, color=colour)
        axes.plot([max(price.low, floor), price.high], [k, k], color="black", marker="|", linewidth=1.2)
        if note:
            axes.text(price.high * 1.3, k, note, va="center", color="0.4", style="italic")
    axes.set_xscale("log")
    axes.set_xlim(floor, max((price.high for price in drawn), default=1e-6) * 100)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"energy of one {ledger.per} (J), and its range")
    axes.set_title("energy, item by item")
    return figure
