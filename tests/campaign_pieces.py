"""Pieces of studies, and a study, for the tests: a module of its own, so that workers and other processes find it."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from spu.base.errors import InputError
from spu.studies.campaign import open_study, seed_of_piece


def piece(item, shared=None):
    """Some normals of the seed, and a product that BLAS sums up."""
    time.sleep(item.get("sleep", 0.0))
    a = np.random.default_rng(item["seed"]).standard_normal((60, 300))
    found = a @ a.T
    if shared is not None:
        found = found + shared[0]
    return {"sum": found[0, :3], "total": float(found.sum()), "pair": (1, 2), "seed": np.int64(item["seed"])}


def refusing(item, shared=None):
    if item["seed"] == 2:
        raise InputError("this seed diverges")
    return {"seed": item["seed"]}


def deadly(item, shared=None):
    """Kills its worker, so many times."""
    with Path(item["mark"]).open("a") as file:
        file.write("x")
        file.flush()
        if file.tell() <= item["times"]:
            time.sleep(item.get("before", 0.0))
            os.kill(os.getpid(), signal.SIGKILL)
    return piece(item)


def step_of(item, state):
    """What a seed adds to a state."""
    time.sleep(item["sleep"])
    return {"change": state @ np.random.default_rng(item["seed"]).standard_normal((5, 5))}


def descend(directory, steps=3, **options):
    """A descent of pieces and checkpoints: its last state."""
    sleep = options.pop("sleep", 0.0)
    with open_study(directory, "descent", {"seed": 5, "steps": steps}, **options) as study:
        arrays, info = study.resumed() or ({"state": np.arange(5.0)}, {"step": 0})
        for step in range(info["step"], steps):
            items = [{"seed": seed_of_piece(5, step, number), "sleep": sleep} for number in range(3)]
            found = study.pieces(f"step-{step}", step_of, items, shared=arrays["state"])
            arrays = {"state": arrays["state"] + 0.1 * sum(each["change"] for each in found)}
            study.checkpoint(arrays, {"step": step + 1})
            study.forget(f"step-{step}")
        return arrays["state"]


if __name__ == "__main__":
    from spu.cli import ending

    where, sleep, cluster = sys.argv[1:]

    def main():
        def work():
            state = descend(where, 4, sleep=float(sleep), cluster=cluster or None)
            sys.stdout.write(state.tobytes().hex() + "\n")
            return 0

        sys.exit(ending.guarded(work))

    ending.run(main)
