"""A training step of a device: from the gradient at once to the natural gradient when it has settled.

Softmax regression tells threes from eights (17 parameters, examples/digits8.npz). A device of RC cells holds the Fisher
matrix, starts at the gradient and relaxes; the longer it is given, the fewer steps training takes.

    python examples/natural_gradient.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import spu

DIGITS = Path(__file__).resolve().parent / "digits8.npz"


def main(picture: str | None = None, steps: int = 6) -> spu.NaturalGradient:
    found = spu.natural_gradient(DIGITS, classes=[3, 8], steps=steps)
    print(found)
    if picture is not None:
        found.plot().savefig(picture, dpi=130)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
