"""Thermodynamic networks from TOML files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spu.base.errors import InputError
from spu.base.files import key_line, parse_toml, read_toml
from spu.base.names import shorten, suggest
from spu.problems.network import FIELDS, TASK, ThermodynamicNetwork

__all__ = ["is_network_file", "load_network"]


# --- files ---------------------------------------------------------------------------------

_TOML_KEYS = ("task", *FIELDS, "hardware", "architecture")


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
        return parse_toml(read_toml(path), path).get("task") == TASK
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
    """
    path = Path(path)
    text = read_toml(path)
    document = parse_toml(text, path)

    def refuse(message: str, key: str) -> InputError:
        return InputError(message, file=path, line=key_line(text, key))

    for key in document:
        if key not in _TOML_KEYS:
            raise refuse(f"unknown key {shorten(key)}; {suggest(key, _TOML_KEYS)}", key)
    if document.get("task") != TASK:
        raise refuse(f'task is {shorten(document.get("task"))}: a network has task = "{TASK}"', "task")
    named: dict[str, str | None] = {}
    for key in ("hardware", "architecture"):
        value = document.pop(key, None)
        if value is not None and (not isinstance(value, str) or not value):
            raise refuse(f"{key} is {shorten(value)}: it must be a name", key)
        named[key] = value
    hardware = named["hardware"]
    if hardware is not None and hardware.lower().endswith(".toml"):
        hardware = str(path.parent / hardware)
    given = {key: value for key, value in document.items() if key != "task"}
    if isinstance(given.get("couplings"), str):
        from spu.problems.matrix_files import read_matrix

        try:
            given["couplings"] = read_matrix(path.parent / given["couplings"])
        except InputError as error:
            raise refuse(f"couplings = {shorten(document['couplings'])}: {error.message}", "couplings") from None
    try:
        network = ThermodynamicNetwork(**given)
    except InputError as error:
        named_key = next((key for key in given if error.message.startswith(f"{key} ")), "")
        raise InputError(error.message, file=path, line=key_line(text, named_key) if named_key else None) from None
    return NetworkFile(network, hardware, named["architecture"])
