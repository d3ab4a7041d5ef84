"""Classification of full MNIST: training by gradient, by guides, and for a board; some minutes on two cores.

python benchmarks/classification.py IDXFOLDER [--images N] [--epochs N] [--keep DIR]

IDXFOLDER holds your IDX files: train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same of t10k, perhaps .gz.
With --keep what is trained is kept, and the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import spu


def found(folder: Path, name: str) -> Path:
    """The file of a name, compressed or not."""
    return next((each for each in (folder / name, folder / f"{name}.gz") if each.exists()), folder / name)


def of(folder: Path, part: str) -> spu.Images:
    """The images and labels of a part."""
    return spu.read_images(found(folder, f"{part}-images-idx3-ubyte"), found(folder, f"{part}-labels-idx1-ubyte"))


def main() -> None:
    """Train and test, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, help="Train with the first N only.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="A folder for what is trained.")
    parser.add_argument("--only", type=int, help="0 by gradient, 1 by guides, 2 for a board; all unless given.")
    given = parser.parse_args()
    training, testing = of(given.folder, "train"), of(given.folder, "t10k")
    if given.images:
        training = training.at(np.arange(given.images))
    ways = {
        "pathwise": {"epochs": given.epochs, "shift": 1},
        "guide": {"method": "guide"},
        "pathwise, for 6 bits and 1 %": {"epochs": given.epochs, "shift": 1, "bits": 6, "mismatch": 0.01},
    }
    times = (0.05, 0.1, 0.15, 0.2, 0.3)
    for number, (name, options) in enumerate(ways.items()):
        if given.only not in (None, number):
            continue
        began = time.perf_counter()
        where = None
        if given.keep is not None:
            where = given.keep / f"way{number}"
            where.mkdir(parents=True, exist_ok=True)
        learnt = spu.train_classifier(training, directory=where, **options)
        print(f"\n=== {name}: {time.perf_counter() - began:.0f} s of training, {dict(learnt.measured)}\n", flush=True)
        print(spu.classify(learnt, testing, times=times if name == "pathwise" else None, average=(1, 10)), flush=True)
        print(spu.classify(learnt, testing, kT=0.0), flush=True)
        if name != "guide":
            print(spu.classify(learnt, testing, bits=(6, 4), mismatch=(0.0, 0.01), draws=3), flush=True)


if __name__ == "__main__":
    main()
