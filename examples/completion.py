"""Half an image given, the other half sampled: conditional sampling by clamped cells, on handwritten digits.

A Gaussian is fitted to 8 x 8 images (mean and covariance of all pixels, a little noise added to the diagonal). The
pixels of the upper half are held by voltage sources; the device then samples the lower half, given the upper one. The
images shown were not fitted to.

    python examples/completion.py [PICTURE.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import spu

FITTED, SHOWN = 1500, 6
NOISE = 0.5  # grey levels of 16, rms: what pixels scatter by themselves
HERE = Path(__file__).resolve().parent


def images() -> np.ndarray:
    """(1797, 64) grey, 0 to 16."""
    return np.load(HERE / "digits8.npz")["images"].reshape(-1, 64).astype(float)


def model(pixels: np.ndarray) -> spu.GaussianSampling:
    """The Gaussian of a set of images."""
    names = [f"p{row}{column}" for row in range(8) for column in range(8)]
    covariance = np.cov(pixels.T) + NOISE**2 * np.eye(64)
    return spu.GaussianSampling(precision=np.linalg.inv(covariance), mean=pixels.mean(axis=0), variables=names)


def complete(device: spu.Device, image: np.ndarray, samples: int = 2000) -> spu.Simulation:
    """Samples of the lower half, given the upper one."""
    names = device.readout.variables
    held = {names[k]: float(image[k]) for k in range(32)}
    return spu.simulate(device.clamped(held), samples=samples, seed=1)


def main(picture: Path | None = None) -> None:
    """Complete a few images; say how near that comes."""
    pixels = images()
    device = spu.compile(model(pixels[:FITTED]), architecture="rc-transconductor")
    shown = pixels[FITTED :: (len(pixels) - FITTED) // SHOWN][:SHOWN]
    runs = [complete(device, image) for image in shown]
    lower = slice(32, 64)
    guess = np.sqrt(((shown - pixels[:FITTED].mean(axis=0))[:, lower] ** 2).mean())
    found = np.sqrt(np.mean([(image - run.mean)[lower] ** 2 for image, run in zip(shown, runs, strict=True)]))
    inside = np.mean(
        [
            np.abs(image - run.mean)[lower] < 2.0 * np.sqrt(run.covariance.diagonal())[lower]
            for image, run in zip(shown, runs, strict=True)
        ]
    )
    print(f"{len(device.cell_names)} cells, {len(device.coupler_ends)} couplers, 32 cells held")
    print(f"lower half, rms error of a pixel: {found:.2f} grey levels given the upper half, {guess:.2f} without")
    print(f"{100 * inside:.0f} % of its pixels lie within two standard deviations of the samples")
    if picture is not None:
        draw(picture, shown, runs)
        print(picture)


def draw(picture: Path, shown: np.ndarray, runs: list[spu.Simulation]) -> None:
    """Originals, means and one sample each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * len(shown), 5.0), layout="constrained")
    axes = figure.subplots(3, len(shown))
    rows = ("image", "mean, given the upper half", "one sample")
    for k, (image, run) in enumerate(zip(shown, runs, strict=True)):
        assert run.readouts is not None
        for row, values in enumerate((image, run.mean, run.readouts[0, -1])):
            axes[row, k].imshow(values.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            axes[row, k].set(xticks=[], yticks=[])
            if k == 0:
                axes[row, k].set_ylabel(rows[row], fontsize=8)
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
