"""Compile the kernels, before several processes of the tests would compile the same ones side by side.

    python tools/kernels.py

Numba keeps what it compiled beside the sources. All of `benchmarks/fuzz.py`'s kinds of runs, and what those leave out.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from fuzz import warm_up
from processors import grid

import spu
from spu.base.compiled import KERNELS


def main() -> None:
    """Run each kind of law and method once, on small devices."""
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        materials = warm_up(Path(folder))
        spu.check(materials / "net", levels=["replay"])
    import numpy as np

    spu.predict(spu.compile(spu.GaussianSampling(grid(np.random.default_rng(0), 46))))
    print(f"{len(KERNELS)} kernels")


if __name__ == "__main__":
    main()
