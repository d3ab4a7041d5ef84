"""What an image takes of a trained network's device, and the digital reference of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spu.problems.trained import TrainedNetwork
from spu.studies.energy.assumptions import Assumptions, load_energy

__all__ = ["counts_of", "reference_of"]


def counts_of(
    trained: TrainedNetwork,
    *,
    readouts: int = 1,
    served: int | None = None,
    seconds: float | None = None,
    thermal: bool = True,
) -> dict[str, float | None]:
    """What one image takes of a trained network's device.

    Parameters
    ----------
    trained:
        The network.
    readouts:
        Trajectories that are run and read for one image.
    served:
        Images for which the couplers are programmed once; None leaves the share of one image unknown.
    seconds:
        How long a trajectory takes; None where no circuit says it.
    thermal:
        Whether resistors give the noise, and stored energies the couplings; else each unit has a source, and units
        and couplers are active elements.
    """
    network = trained.network
    couplings = network.couplings
    pairs = np.count_nonzero(np.triu(couplings + couplings.T, 1)) if couplings.size else 0
    weights = 0 if trained.weights is None else np.count_nonzero(trained.weights)
    biases = np.count_nonzero(network.bias) + np.count_nonzero(network.input)
    ends = trained.visible if trained.purpose == "generative" else trained.outputs
    read = network.n if ends is None else len(ends)
    found: dict[str, float | None] = {
        "readout": float(readouts * read),
        "programming": None if served is None else float(pairs + weights + biases) / served,
        "control": None if seconds is None else readouts * seconds,
    }
    if trained.weights is not None:
        found["input"] = float(trained.weights.shape[1])
    if not thermal:
        found["noise"] = None if seconds is None else readouts * seconds * network.n
        found["bias"] = None if seconds is None else readouts * seconds * (network.n + pairs)
    return found


def reference_of(
    trained: TrainedNetwork, assumptions: Assumptions | str | Path | None = None
) -> tuple[dict[str, float | None], str]:
    """The digital reference of a trained network, and what it is, in words.

    A classifier's is a network of layers as wide as its own: inputs times hidden units, and those times outputs. A
    generator's is a published denoiser, for the number of pixels that it is stated for; for others nobody states one.
    """
    if trained.purpose == "classifier" and trained.weights is not None and trained.outputs is not None:
        inputs, outputs = trained.weights.shape[1], len(trained.outputs)
        hidden = trained.network.n - outputs
        words = f"a digital network of {inputs}, {hidden} and {outputs} units, one pass"
        return {"mac": float(inputs * hidden + hidden * outputs)}, words
    if trained.purpose == "generative" and trained.visible is not None:
        if not isinstance(assumptions, Assumptions):
            assumptions = load_energy(assumptions)
        size = assumptions["denoiser"]
        if len(trained.visible) == 784 and size.price is not None:
            return {"mac": size.price.typical}, f"a digital denoiser: {size.source}"
        return {"mac": None}, f"a digital denoiser: nobody states one for {len(trained.visible)} pixels"
    return {"mac": None}, "none is stated"
