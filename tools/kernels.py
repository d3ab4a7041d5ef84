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

import numpy as np
from fuzz import warm_up
from processors import grid

import spu
from spu.base.compiled import KERNELS


def main() -> None:
    """Run each kind of law and method once, on small devices."""
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        warm_up(Path(folder))
    for architecture in ("rc-conductance", "rlc-flux"):
        neuron = spu.compile_network(spu.ThermodynamicNetwork(), "neurons", architecture=architecture)
        spu.check(neuron.device, levels=["replay"])
    field = spu.compile(spu.GaussianSampling(grid(np.random.default_rng(0), 46)))
    spu.predict(field)
    spu.simulate(field, samples=10)
    print(f"{len(KERNELS)} kernels")


if __name__ == "__main__":
    main()
