"""A generator of 8 x 8 digits on hardware: its device in ngspice, and its images against bits and mismatch.

spu train generative examples/digits8.npz --classes 0,1,2 --images-per-class 1 -o DIR
spu compile DIR --hardware neurons-6bit -o DEVICE
python examples/digits_on_hardware.py ngspice DEVICE PICTURE.png
python examples/digits_on_hardware.py bits DIR PICTURE.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import spu


def ngspice(device: str, picture: Path) -> None:
    """The same noise through the emulator and through the device's netlist, from noise to image."""
    found = spu.replay_learned(device, count=3, seed=1)
    print(found)
    found.plot().savefig(picture, dpi=80)


def likeness(board: spu.TrainedNetwork, seed: int) -> float:
    """The mean best correlation, of either sign, of 200 images with a training image."""
    return float(np.abs(spu.generate(board, images=200, step=1e-2, seed=seed).likeness.best).mean())


def bits(directory: str, picture: Path) -> None:
    """How like the training images are, of boards of so many bits and of such a mismatch."""
    trained = spu.load_trained(directory)
    found = spu.hardware_sweep(
        trained,
        likeness,
        words="mean best |correlation|",
        bits=(1, 2, 3, 4, 6, None),
        mismatch=(0.0, 0.05, 0.2),
        draws=3,
    )
    print(found)
    found.plot().savefig(picture, dpi=80)


def split(train: str, test: Path) -> None:
    """The first 1,297 of the 8 x 8 digits to learn from, and the last 500, to be asked about."""
    images = spu.read_images(Path(__file__).with_name("digits8.npz"))
    for file, part in ((train, slice(0, -500)), (test, slice(-500, None))):
        np.savez_compressed(file, images=images.pixels[part] * images.white, labels=images.labels[part])


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("ngspice", "bits", "split"):
        sys.exit(__doc__)
    {"ngspice": ngspice, "bits": bits, "split": split}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
