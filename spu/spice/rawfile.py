"""Waveforms of a simulation as a raw file of ngspice's: for ngspice itself and for whatever shows or reads its waves.

A file holds one plot a trajectory: a head of text, then for each instant the time (s) and the voltages (V), as numbers
of eight bytes. Nothing is rounded on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import OutputError, UsageError
from spu.base.files import write_with
from spu.base.version import __version__
from spu.device.subject import Subject, circuits, opened, subject_of
from spu.emulator.runs.kicked import SampledRelaxation
from spu.emulator.runs.relaxation import NetworkSimulation
from spu.emulator.runs.sampling import Simulation
from spu.spice.names import probe_vectors

__all__ = ["write_raw"]

SUFFIX = ".raw"

_MARK = "Command: echo waveforms by spu"
"""ngspice runs what stands there when it loads the file, and readers find out by ngspice's name what it is."""

_ROWS = 100_000
"""Instants that are laid out in one go."""


def write_raw(
    file: str | Path, subject: Subject, run: Simulation | NetworkSimulation | SampledRelaxation
) -> tuple[str, ...]:
    """Write the waveforms of a simulation as a binary raw file of ngspice's, whole or not at all.

    Parameters
    ----------
    file:
        Its name ends in ``.raw``.
    subject:
        What was simulated: a device, a folder, a netlist that was read...
    run:
        What `spu.simulate` gave of it, with ``voltages=True``.

    Returns
    -------
    tuple of str
        Names of the vectors: ``time`` (s), then the voltages (V) as the netlist calls them, ``v(cell_x1)``; what is
        read between two nodes has the name of its readout.

    Raises
    ------
    UsageError
        If the run kept no voltages, or is of something else.
    OutputError
        If the file cannot be written, or one is there that this function did not write.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> run = spu.simulate(device, samples=1000, voltages=True, seed=1)
    >>> spu.write_raw("pair.raw", device, run)
    ('time', 'v(cell_x1)', 'v(cell_x2)')
    """
    file = Path(file)
    refuse_raw(file)
    if run.voltages is None:
        raise UsageError("this run kept no waveforms: simulate with voltages=True")
    held = opened(subject)
    names = vector_names(held)
    if len(names) != run.voltages.shape[2]:
        raise UsageError(f"the run is of {run.voltages.shape[2]} nodes, and what it is said to be of has {len(names)}")
    times = run.times if isinstance(run, Simulation) else run.device_times
    assert times is not None
    said = f"{subject_of(held).hash}, seed {run.seed}"
    vectors = ("time", *names)

    trajectories = run.voltages

    def write(stream: BinaryIO) -> None:
        for k, voltages in enumerate(trajectories):
            count = len(trajectories)
            there = int(np.isfinite(voltages).all(axis=1).sum())  # of an ensemble that was cut short
            title = f"spu {__version__}: {said}" + (f", trajectory {k + 1} of {count}" if count > 1 else "")
            if there:
                stream.write(_head(title, vectors, there))
                for block in _blocks(times[:there], voltages[:there]):
                    stream.write(block.tobytes())

    write_with(file, write)
    return vectors


def _head(title: str, vectors: Sequence[str], points: int) -> bytes:
    lines = [
        f"Title: {title}",
        # No date: the same command writes the same file.
        "Plotname: Transient Analysis",
        "Flags: real",
        f"No. Variables: {len(vectors)}",
        f"No. Points: {points}",
        f"{_MARK} {__version__} as raw file of ngspice",
        "Variables:",
        *(f"\t{k}\t{name}\t{'voltage' if k else 'time'}" for k, name in enumerate(vectors)),
        "Binary:",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def _blocks(times: FloatArray, voltages: FloatArray) -> Iterator[FloatArray]:
    """(rows, 1 + n) instants with their voltages, some at a time."""
    for first in range(0, len(times), _ROWS):
        rows = slice(first, first + _ROWS)
        yield np.column_stack([times[rows], voltages[rows]])


def vector_names(subject: Subject) -> tuple[str, ...]:
    """What the netlist of a subject calls the voltages that are read, lower case as ngspice has them."""
    circuit = circuits(subject)[0]
    between = circuit.probe_nodes[:, 1] >= 0
    names = [
        str(circuit.probes[k]).lower() if between[k] else f"v({name})" for k, name in enumerate(probe_vectors(circuit))
    ]
    found = {"time": None}
    for name in names:
        while name in found:
            name += "_"
        found[name] = None
    return tuple(found)[1:]


def refuse_raw(file: Path) -> None:
    """Raise what `write_raw` would raise of the file, before any work is done."""
    if file.suffix.lower() != SUFFIX:
        raise UsageError(f"waveforms are written as {SUFFIX}, not {str(file)!r}")
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if file.exists() and not (file.is_file() and _ours(file)):
        raise OutputError("was not written by this command: move it, or give another name", file=file)


def _ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise OutputError(f"cannot be read: {error.strerror or error}", file=file) from None
    return not head or _MARK.encode() in head
