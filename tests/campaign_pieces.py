"""Pieces of studies for the tests, in a module of their own so that workers find them."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from spu.base.errors import InputError


def piece(item, shared=None):
    """Some normals of the seed, and a product that BLAS sums up."""
    rng = np.random.default_rng(item["seed"])
    time.sleep(item.get("sleep", 0.0))
    a = rng.standard_normal((60, 300))
    found = a @ a.T
    if shared is not None:
        found = found + shared[0]
    return {"sum": found[0, :3], "total": float(found.sum()), "seed": item["seed"]}


def refusing(item, shared=None):
    if item["seed"] == 2:
        raise InputError("this seed diverges", file="a.csv", line=3)
    return {"seed": item["seed"]}


def deadly(item, shared=None):
    """Kills its worker, the first time."""
    with Path(item["mark"]).open("a") as file:
        file.write("x")
        file.flush()
        if file.tell() <= item["times"]:
            os.kill(os.getpid(), signal.SIGKILL)
    return piece(item)
