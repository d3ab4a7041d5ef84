"""Thermodynamic networks from TOML files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spu.base.errors import InputError
from spu.problems.files import read_document
from spu.problems.network import TASK, ThermodynamicNetwork

__all__ = ["is_network_file", "load_network"]


@dataclass(frozen=True)
class NetworkFile:
    """A network as a file poses it, with the hardware and architecture that the file names."""

    network: ThermodynamicNetwork
    hardware: str | None = None
    architecture: str | None = None


def is_network_file(path: str | Path) -> bool:
    """Whether a file is a problem of the task ``network``; False for whatever cannot be read."""
    path = Path(path)
    if path.suffix.lower() != ".toml":
        return False
    try:
        return read_document(path).values.get("task") == TASK
    except InputError:
        return False


def load_network(path: str | Path) -> NetworkFile:
    """Read a network from a ``.toml`` file.

    Parameters
    ----------
    path:
        Keys: ``task = "network"``, ``units``, ``J2``, ``J3``, ``J4``, ``input``, ``bias`` (numbers or
        lists), ``couplings`` (rows of numbers, or the name of a ``.npy``, ``.npz``, ``.csv`` or ``.mtx``
        file), ``kT``, ``mobility``, ``reciprocal``, ``variables``, ``hardware``, ``architecture``.

    Raises
    ------
    InputError
        If the file cannot be read or does not hold a valid network, with the line where known.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("pair.toml").write_text('''
    ... task = "network"
    ... units = 2
    ... J2 = -1.0
    ... couplings = [[0, 0.3], [0.3, 0]]
    ... hardware = "neurons"
    ... ''')
    >>> found = spu.load_network("pair.toml")
    >>> found.network.n, found.hardware
    (2, 'neurons')
    """
    found = ThermodynamicNetwork.from_document(read_document(Path(path)))
    return NetworkFile(found.problem, found.hardware, found.architecture)
