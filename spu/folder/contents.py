"""What the files of a compiled or imported folder hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from spu.base.files import plain
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.laws.law import Law
from spu.folder.arrays import readable, spill
from spu.folder.names import (
    CIRCUIT,
    CIRCUIT_FORMAT,
    DECK,
    DEVICE,
    MATRICES,
    PROBLEM,
    STATISTICS,
    TRAINED,
    deck_name,
)
from spu.problems.trained import TrainedNetwork
from spu.spice import names
from spu.spice.dialects.dialect import Dialect
from spu.spice.netlist import beside, write_netlist
from spu.spice.reader import ReadNetlist
from spu.spice.reader.nonlinear import NonlinearDeck

__all__ = ["device_contents"]


_Writer = Callable[[BinaryIO], None]


class Contents:
    """What is to be written: `names` of the files, and `write_all` that writes them into a folder.

    Without a problem (``posed``) there is no problem file.
    """

    def __init__(
        self,
        streamed: dict[str, _Writer],
        posed: dict[str, Any] | None,
        statistics: dict[str, Any],
        decided: dict[str, Any],
    ) -> None:
        self._decided, self._streamed = decided, streamed
        self._statistics, large_statistics = spill(statistics, STATISTICS)
        self._posed, large_matrices = spill(posed or {}, MATRICES)
        large = {MATRICES: large_matrices, STATISTICS: large_statistics if posed is not None else {}}
        self._large = {name: arrays for name, arrays in large.items() if arrays}
        # The problem last, so that its hashes never promise what is not there yet.
        self.names = (*self._streamed, *self._large, *(() if posed is None else (PROBLEM,)))

    def write_all(self, directory: Path) -> None:
        """Write all files into a folder."""
        from spu.base.version import __version__

        hashes = {}
        for name, write in self._streamed.items():
            with (directory / name).open("wb") as file:
                hashing = _Hashing(file)
                write(cast(BinaryIO, hashing))
            hashes[name] = hashing.hash.hexdigest()
        for name, arrays in self._large.items():
            with (directory / name).open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs take the arrays for allow_pickle
        if not self._posed:
            return
        compiled = {
            **self._decided,
            "statistics": self._statistics,
            "files": hashes,
            "version": __version__,
        }
        text = readable(plain({**self._posed, "compiled": compiled})) + "\n"
        with (directory / PROBLEM).open("wb") as file:
            file.write(text.encode())


class Imported:
    """As `_Contents`, of a netlist that was read."""

    def __init__(self, read: ReadNetlist | NonlinearDeck) -> None:
        problem = None if isinstance(read, NonlinearDeck) else read.circuit.problem
        self._posed, self._large = ({}, {}) if problem is None else spill(problem.posed(), MATRICES)
        self._read = read
        more = (*((MATRICES,) if self._large else ()), *((PROBLEM,) if problem is not None else ()))
        self.names = (DECK, *more, CIRCUIT)

    def write_all(self, directory: Path) -> None:
        """Write all files into a folder."""
        from spu.base.version import __version__

        read, choices = self._read, self._read.choices
        deck = read.text.encode()
        (directory / DECK).write_bytes(deck)
        if self._large:
            with (directory / MATRICES).open("wb") as file:
                np.savez(file, **self._large)  # type: ignore[arg-type]  # the stubs take the arrays for allow_pickle
        if self._posed:
            (directory / PROBLEM).write_text(readable(plain(self._posed)) + "\n", encoding="utf-8")
        about = {
            "format": CIRCUIT_FORMAT,
            "source": read.path,
            "title": read.title,
            **(
                {"hash": read.hash, "only_ngspice": read.why}
                if isinstance(read, NonlinearDeck)
                else {"hash": read.circuit.hash, "temperature": read.circuit.temperature}
            ),
            "probes": choices.probes,
            "silent": choices.silent,
            "densities": choices.densities,
            "max_instances": choices.max_instances,
            "files": {DECK: hashlib.sha256(deck).hexdigest()},
            "version": __version__,
        }
        (directory / CIRCUIT).write_text(readable(plain(about)) + "\n", encoding="utf-8")


def device_contents(
    device: Device,
    decided: dict[str, Any],
    statistics: dict[str, Any],
    laws: Sequence[Law | None],
    *,
    seed: int,
    dialects: Sequence[Dialect],
    trained: TrainedNetwork | None = None,
) -> Contents:
    """The files of a compiled device.

    Parameters
    ----------
    device:
        With its problem; one without is device and netlists alone.
    decided, statistics:
        What the compiler decided, and predicts.
    laws:
        Of each programming, as its netlist prints it; None where it prints none.
    seed:
        Of the netlists' noise sources.
    dialects:
        Those to write them in; none where ngspice would not get through so many instances.
    trained:
        What was learnt, with the input weights that the device has.
    """
    streamed: dict[str, _Writer] = {DEVICE: device.write_to}
    if names.netlist_size(lower(device)) <= names.MAX_INSTANCES:
        for dialect in dialects:
            for k, (member, law) in enumerate(zip(device.members(), laws, strict=True)):
                streamed[deck_name(k, dialect.ending)] = partial(_write_deck, member, law, seed, dialect)
            for file in beside(device, dialect):
                streamed[file.name] = partial(_write_copy, file)
    if trained is not None:
        streamed[TRAINED] = trained.write_to
    posed = None if device.problem is None else device.problem.posed()
    return Contents(streamed, posed, statistics, decided)


def _write_deck(device: Device, law: Law | None, seed: int, dialect: Dialect, stream: BinaryIO) -> None:
    write_netlist(device, stream, seed=seed, law=law, dialect=dialect)


def _write_copy(file: Path, stream: BinaryIO) -> None:
    stream.write(file.read_bytes())


class _Hashing:
    """A stream that hashes what it passes on."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.hash = stream, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Hash and pass on."""
        self.hash.update(data)
        return self.stream.write(data)
