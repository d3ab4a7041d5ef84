"""Evolution of the cosine by the reduced setting: three seeds, none picked, with error, notch, time and scaling.

    python benchmarks/evolution.py [-o FOLDER] [--seeds 3] [--layers 8,8,8,8]

prints a line a seed, then what the last one says. With -o trained networks and pictures are kept.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import spu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--layers", default="8,8", help="8,8,8,8 are the published ones: longer")
    parser.add_argument("--cluster", default=None, help="as of spu train")
    given = parser.parse_args()
    layers = [int(width) for width in given.layers.split(",")]
    found = None
    for seed in range(given.seeds):
        begun = time.perf_counter()
        place = None
        if given.output is not None:
            given.output.mkdir(exist_ok=True)
            place = given.output / f"seed{seed}"
        found = spu.evolve("cosine", place, layers=layers, seed=seed, cluster=given.cluster)
        if place is not None:
            found.plot().savefig(place / "evolution.png", dpi=130)
        notch = found.notch
        print(
            f"seed {seed}: error {found.error:.5f} +- {found.bar:.5f} (step of evolution {found.coarse:.5f}, kT = 0 "
            f"{found.cold:.5f}), escaped in generation {found.escaped}, {found.generations} generations, "
            f"notch lowest at {notch.lowest:g}, 20 % off {notch.depth(0.2):.1f} times, 50 % off {notch.depth(0.5):.1f} "
            f"times; {time.perf_counter() - begun:.0f} s",
            flush=True,
        )
    if found is not None:
        print(f"\n{found}")


if __name__ == "__main__":
    main()
