"""Margins of stability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spu.base.errors import UsageError
from spu.base.numbers import engineering
from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spu.studies.stability import Stability


def draw_stability(found: Stability) -> Figure:
    """Draw by how much one per cent of each element moves the decay of the mode that comes first, below the margins.

    Raises
    ------
    UsageError
        If no element has a part in it: of a passive device.
    """
    if not found.sensitivities:
        raise UsageError("no picture: a passive device has no margins, its modes decay whatever its values are")
    most = found.sensitivities[:12]
    figure = new_figure(10.0, 2.6 + 0.4 * len(most))
    axes = figure.subplots()
    places = range(len(most))
    colors = ["tab:blue" if value > 0 else "tab:red" for _, value in most]
    axes.barh(list(places), [0.01 * value for _, value in most], 0.6, color=colors)
    axes.set_yticks(list(places), [name for name, _ in most])
    axes.invert_yaxis()
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xlabel("change of the decay rate for + 1 % of the element, 1/s (blue: more stable)")
    words = [f"slowest mode decays at {found.decay:.4g} /s"]
    if found.gain is not None:
        words.append(f"gain margin x {found.gain.at:.4g}")
    if found.delay is not None:
        words.append(f"delay margin {engineering(found.delay.at, 's')}")
    if found.worst_case is not None:
        words.append(f"worst-case mismatch {found.worst_case:.2%}")
    if found.probability is not None:
        words.append(f"{found.probability:.2%} of {found.draws} boards unstable")
    axes.set_title("\n".join([words[0], ", ".join(words[1:])]).strip(), fontsize=10)
    return figure
