"""Figures of the generative computer: likeness, inversion, classes and heat, over seeds, by each scaling of pixels.

    python benchmarks/generation.py --seeds 5 [IDX IMAGES, IDX LABELS] [-o FOLDER]

784 visible and 512 hidden units, kT = 0.1, t_f = 2.5, step 1e-3, one digit each of 0, 1 and 2: the first of each in the
files, the shipped digits unless given. A setting a line of JSON; with -o a sheet of its first seed, too. Errors are standard
errors over all images of all seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import spu

HERE = Path(__file__).resolve().parent.parent

SETTINGS = {
    "symmetric (-1 to 1), published field": {},
    "unit (mean 0, variance 1)": {"scaling": "unit"},
    "unit, hidden units by a random projection": {"scaling": "unit", "hidden_drive": "projection"},
    "grey (0 to 1)": {"scaling": "grey"},
    "symmetric, field 3": {"strength": 3.0},
    "symmetric, field 3.5": {"strength": 3.5},
    "symmetric, visible biases": {"visible_bias": True},
    "symmetric, field 3, visible biases": {"strength": 3.0, "visible_bias": True},
    "unit, visible biases": {"scaling": "unit", "visible_bias": True},
}


def figures(
    images: spu.Images, name: str, *, seeds: int, each: int, hidden: int, step: float, output: Path | None
) -> dict:
    """Train once, as nothing of it is drawn (but a random projection), and generate with each seed."""
    began = time.perf_counter()
    trained = spu.train_generative(images, hidden=hidden, step=step, **SETTINGS[name])
    training = time.perf_counter() - began
    runs = [spu.generate(trained, images=each, seed=seed, precision="single") for seed in range(seeds)]
    best = np.concatenate([run.likeness.best for run in runs])
    signed = np.concatenate([run.likeness.signed for run in runs])
    heat = np.concatenate([run.heat for run in runs])
    nearest = np.concatenate([run.likeness.nearest for run in runs])
    count = len(best)
    by_seed = [float(np.abs(run.likeness.best).mean()) for run in runs]
    if output is not None:
        from spu.reports.pictures.figures import save

        save(runs[0].plot(), output / f"{''.join(c if c.isalnum() else '-' for c in name)}.png")
    return {
        "setting": name,
        "images": count,
        "correlation": [float(np.abs(best).mean()), float(np.abs(best).std() / count**0.5)],
        "correlation_by_seed": by_seed,
        "signed": [float(signed.mean()), float(signed.std() / count**0.5)],
        "inverted": float((best < 0).mean()),
        "classes": [float((nearest == k).mean()) for k in range(len(images))],
        "classes_of_every_seed": all(len(set(run.likeness.nearest)) == len(images) for run in runs),
        "heat_kT": [float(heat.mean()), float(heat.std() / count**0.5), float(heat.std())],
        "training_seconds": training,
        "seconds_a_seed": (time.perf_counter() - began - training) / seeds,
    }


def main() -> None:
    """Print a line a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idx", nargs="*", help="images and labels; the shipped 28 x 28 digits unless given")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=64, help="of each seed")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--coarser", type=int, default=1)
    parser.add_argument("--step", type=float, default=1e-3)
    parser.add_argument("--only", type=int, help="number of the one setting to run")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    images = spu.read_images(*(given.idx or [HERE / "examples" / "mnist300.npz"]))
    images = images.of_classes([0, 1, 2], 1).coarser(given.coarser)
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SETTINGS):
        if given.only in (None, number):
            found = figures(
                images,
                name,
                seeds=given.seeds,
                each=given.images,
                hidden=given.hidden,
                step=given.step,
                output=given.output,
            )
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
