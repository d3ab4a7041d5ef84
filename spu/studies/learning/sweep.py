"""What bits and mismatch cost a trained network: a measure over a grid of both, for several boards each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError
from spu.base.names import shorten
from spu.device.tolerance import checked_sigma
from spu.problems.trained import TrainedNetwork
from spu.studies.campaign import open_study, seed_of_piece
from spu.studies.learning.hardware import on_hardware

__all__ = ["HardwareSweep", "hardware_sweep"]


@dataclass(frozen=True, eq=False, repr=False)
class HardwareSweep(Result):
    """A measure of a trained network on hardware.

    Attributes
    ----------
    measure:
        What it is, in words: ``accuracy``, ``best correlation``.
    bits:
        (b) of couplers and input weights; None are real numbers.
    mismatch:
        (m,) standard deviations.
    values:
        (b, m, d): of each board.
    ideal:
        Of real numbers without errors.
    """

    measure: str
    bits: tuple[int | None, ...]
    mismatch: Annotated[FloatArray, "m"]
    values: Annotated[FloatArray, "b m d"]
    ideal: float

    in_short = ("measure", "bits", "ideal")

    @property
    def mean(self) -> Annotated[FloatArray, "b m"]:
        """Over the boards."""
        return np.asarray(self.values.mean(axis=2))

    @property
    def spread(self) -> Annotated[FloatArray, "b m"]:
        """Standard deviation among boards; zero of one."""
        return np.asarray(self.values.std(axis=2, ddof=1) if self.values.shape[2] > 1 else np.zeros_like(self.mean))

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        return {
            "measure": self.measure,
            "bits": self.bits,
            "mismatch": self.mismatch,
            "values": self.values,
            "mean": self.mean,
            "spread": self.spread,
            "ideal": self.ideal,
        }


def hardware_sweep(
    trained: TrainedNetwork,
    measure: Callable[[TrainedNetwork, int], float],
    *,
    words: str = "measure",
    bits: Sequence[int | None] = (2, 3, 4, 6, 8, None),
    mismatch: Sequence[float] = (0.0, 0.01, 0.03, 0.1),
    draws: int = 5,
    seed: int = 0,
    spec: Mapping[str, Any] | None = None,
    directory: str | Path | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> HardwareSweep:
    """Measure a trained network as boards of several kinds hold it.

    Parameters
    ----------
    trained:
        With real numbers.
    measure:
        A function of a module: of a trained network and the seed of its noise the number that is wanted. The seed is
        the same everywhere, so that boards differ by what they are and not by their noise.
    words:
        What it measures.
    bits:
        Of couplers and input weights (inputs that act without an image stay real, as on devices); None for real ones.
    mismatch:
        Standard deviations of all elements' relative errors.
    draws:
        Boards of each kind with a mismatch. Board d is the same draw at every number of bits and every mismatch, times
        that: what differs along a curve is not luck.
    seed:
        Of boards and noise.
    spec:
        What else determines the numbers: settings and data behind ``measure``. JSON.
    directory, cluster, threads, restart, progress:
        As of all studies: where finished pieces are kept, and who does them.

    Raises
    ------
    InputError, OptionError
        For numbers that are not as said above.

    Examples
    --------
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(couplings=[[0.0, 0.4], [0.4, 0.0]], units=2)
    >>> learnt = spu.TrainedNetwork(network=network, purpose="generative", duration=1.0, step=1e-2, visible=[0])
    >>> def strength(board, seed):
    ...     return board.network.couplings[0, 1]
    >>> sweep = spu.hardware_sweep(learnt, strength, bits=(2, None), mismatch=(0.0, 0.05), draws=2)
    >>> sweep.ideal, sweep.values.shape, sweep.mean[:, 0].round(3)
    (0.4, (2, 2, 2), array([0.4, 0.4]))
    """
    sigmas = np.array([checked_sigma(each, "mismatch") for each in mismatch])
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise OptionError("draws", f"is {shorten(draws)}: it must be a whole number, 1 or more")
    for each in bits:
        on_hardware(trained, _codes(each))  # refuses bits before any work
    boards = [seed_of_piece(seed, 1, number) for number in range(draws)]
    grid = [
        {"bits": each, "mismatch": float(sigma), "board": board}
        for each in bits
        for sigma in sigmas
        for board in (boards if sigma else boards[:1])
    ]
    grid.append({"bits": None, "mismatch": 0.0, "board": boards[0]})
    whole = io.BytesIO()
    trained.write_to(whole)
    about = {
        "trained": hashlib.sha256(whole.getvalue()).hexdigest(),
        "measure": f"{measure.__module__}.{measure.__qualname__}",
        "seed": seed,
        "spec": dict(spec or {}),
    }
    with open_study(
        directory, "hardware-sweep", about, cluster=cluster, threads=threads, restart=restart, progress=progress
    ) as study:
        found = study.pieces("boards", _measured, grid, shared=(trained, measure, seed), said="boards")
    numbers = [float(piece["value"]) for piece in found]
    values = np.empty((len(bits), len(sigmas), draws))
    place = 0
    for row in range(len(bits)):
        for column, sigma in enumerate(sigmas):
            count = draws if sigma else 1  # without errors all boards are one
            values[row, column] = numbers[place : place + count]
            place += count
    return HardwareSweep(words, tuple(bits), sigmas, values, numbers[-1])


def _codes(bits: int | None) -> dict[str, int | None]:
    return {"couplings": bits, "weights": bits}


def _measured(item: dict[str, Any], shared: tuple[TrainedNetwork, Callable[..., float], int]) -> dict[str, Any]:
    trained, measure, seed = shared
    board = on_hardware(trained, _codes(item["bits"]), item["mismatch"], item["board"])
    return {"value": float(measure(board, seed))}
