"""Pictures of what trained networks make: a contact sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spu.base.arrays import FloatArray
from spu.reports.pictures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spu.studies.learning.generate import Generation

MOST_SHOWN = 100
"""Generated images on a sheet."""

_MOST_TRAINING = 10


def draw_generation(found: Generation) -> Figure:
    """Draw generated images, the nearest training image named above each by its sign, beside training images."""
    shown = min(found.images, MOST_SHOWN)
    columns = int(np.ceil(np.sqrt(shown)))
    rows = -(-shown // columns)
    patterns = found.patterns[:_MOST_TRAINING]
    side = max(1, -(-len(patterns) // rows))
    figure = new_figure(1.6 + 0.85 * (columns + side), 1.3 + 0.85 * rows)
    left, right = figure.subplots(1, 2, width_ratios=[side, columns])
    _sheet(left, patterns, found.shape, side)
    _sheet(right, found.pixels[:shown], found.shape, columns)
    left.set_title(f"training ({len(found.patterns)})", fontsize=10)
    near = found.likeness
    balance = ", ".join(f"{name}: {100 * value:.0f} %" for name, value in list(found.balance.items())[:10])
    right.set_title(
        f"{found.images} from noise: best |correlation| {np.abs(near.best).mean():.2f}, signed "
        f"{near.signed.mean():.2f}, inverted {100 * near.inverted:.0f} %\n{balance}",
        fontsize=10,
    )
    return figure


def _sheet(axes: Axes, images: FloatArray, shape: tuple[int, int], columns: int) -> None:
    """Images in rows, each on a grey scale of its own; what is left of the last row is blank."""
    height, width = shape
    rows, gap = -(-len(images) // columns), max(1, height // 14)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for k, image in enumerate(images):
        low, high = float(image.min()), float(image.max())
        row, column = divmod(k, columns)
        top, left = row * (height + gap), column * (width + gap)
        scaled = (image - low) / (high - low or 1.0)
        sheet[top : top + height, left : left + width] = scaled.reshape(height, width)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
