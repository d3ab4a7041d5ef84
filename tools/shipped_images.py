"""Make the images that are shipped in examples/, from where they come from.

    python tools/shipped_images.py mnist TRAIN_IMAGES TRAIN_LABELS   # your IDX files: examples/mnist300.npz
    python tools/shipped_images.py digits8                           # needs scikit-learn: examples/digits8.npz

Of MNIST's training set the first 30 of each digit are taken, and stand in the set's order.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from spu.problems.images import read_images

EXAMPLES = Path(__file__).parents[1] / "examples"
EACH = 30


def mnist(images: str, labels: str, file: Path) -> None:
    """The first of each digit, of IDX files."""
    chosen = read_images(images, labels).of_classes(range(10), each=EACH)
    pixels = np.rint(chosen.pixels * chosen.white).astype(np.uint8)
    np.savez_compressed(file, images=pixels, labels=chosen.labels.astype(np.uint8))


def digits8(file: Path) -> None:
    """All of scikit-learn's."""
    from sklearn.datasets import load_digits

    found = load_digits()
    np.savez_compressed(file, images=found.images.astype(np.uint8), labels=found.target.astype(np.uint8))


if __name__ == "__main__":
    if sys.argv[1:2] == ["mnist"] and len(sys.argv) == 4:
        mnist(*sys.argv[2:], EXAMPLES / "mnist300.npz")
    elif sys.argv[1:] == ["digits8"]:
        digits8(EXAMPLES / "digits8.npz")
    else:
        sys.exit(__doc__)
