"""The compiled folder: what ``spu compile`` writes and every other verb reads.

======================  ==========================================================================
``device.json``         the programmed device (`spu.device`)
``device.cir``          its netlist, run as it lies there; left out where it would have more than
                        `spu.spice.netlist.MAX_INSTANCES` instances
``device.2.cir``...     of an ensemble, the netlists of its further programmings
``device.ltspice.cir``, the same netlists for other simulators (`spu.spice.dialects`), where asked for;
``device.xyce.cir``,    of an ensemble also ``device.2.ltspice.cir``...
``device.spectre.scs``
``problem.json``        the problem, and under ``compiled`` what the compiler decided and predicted
``problem.npz``,        the matrices of the above where they have more than `MAX_ROWS` rows; in
``statistics.npz``      their place the JSON then holds ``{"npz": file, "key": name}``
======================  ==========================================================================

What ``spu import`` writes has a ``circuit.json`` in place of the device: how the netlist ``device.cir`` is read
(``format: "spu-circuit/1"``), and ``problem.json`` only where a problem was given.

A sparse matrix lies in its ``.npz`` file as the three arrays of compressed sparse rows,
``name.indptr`` (n + 1), ``name.indices`` and ``name.data`` (stored entries); the JSON holds
``{"npz": file, "key": name, "sparse": "csr", "shape": [n, n]}``. Both halves of a symmetric one are
stored. Of a covariance only the entries on the pattern of the problem's matrix are: those that are
not there are not zero but not known.

Files are written piece by piece, so that a netlist of hundreds of megabytes costs no memory.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.arrays import read_npz
from spu.circuit import Circuit
from spu.compiler import Compilation
from spu.compiler.network import NetworkCompilation
from spu.device import FORMAT, Device
from spu.emulator.law import Law
from spu.errors import InputError, OutputError, SpuError, UsageError
from spu.files import kind_of_file, plain, read_json
from spu.names import first_line, shorten
from spu.network import TASK as NETWORK
from spu.network import Scales, ThermodynamicNetwork
from spu.problem import MAX_SPARSE_SIZE, Problem, problem_from_dict
from spu.process import aside_folder, held, locked, sweep
from spu.spice.reader import ReadNetlist, read_netlist
from spu.statistics import Prediction

if TYPE_CHECKING:
    from spu.spice.dialects import Dialect

__all__ = [
    "MAX_ROWS",
    "NETLISTS",
    "Folder",
    "network_summary",
    "plain",
    "read_folder",
    "refuse_folder",
    "rewrite_folder",
    "spill",
    "summary",
    "write_folder",
    "write_import",
]

FloatArray = NDArray[np.float64]

MAX_ROWS = 200
"""Matrices with more rows than this go into an ``.npz`` file instead of the JSON."""

DEVICE, DECK, PROBLEM, CIRCUIT = "device.json", "device.cir", "problem.json", "circuit.json"
MATRICES, STATISTICS = "problem.npz", "statistics.npz"
_NAMES = (DEVICE, DECK, PROBLEM, MATRICES, STATISTICS, CIRCUIT)
NETLISTS = (".cir", ".net", ".sp", ".ckt", ".spice")
"""Suffixes of files that are read as netlists."""
_DECKS = re.compile(r"device(\.[1-9][0-9]*)?(\.ltspice\.cir|\.xyce\.cir|\.spectre\.scs|\.cir)")


def deck_name(number: int, ending: str = ".cir") -> str:
    """The netlist of programming ``number``, counted from 0; ``ending`` is that of its dialect."""
    return f"device{ending}" if number == 0 else f"device.{number + 1}{ending}"


def _present(directory: Path) -> list[str]:
    """Those files in a folder that are of kinds we write."""
    decks = (path.name for path in sorted(directory.glob("device.*")) if _DECKS.fullmatch(path.name))
    return [*(name for name in _NAMES if (directory / name).exists()), *(name for name in decks if name != DECK)]


def dialects_present(directory: Path) -> list[str]:
    """Dialects other than ngspice's in which the folder has the netlist."""
    from spu.spice.dialects import DIALECTS

    return [name for name, dialect in DIALECTS.items() if (directory / deck_name(0, dialect.ending)).exists()]


_WRITTEN = ("statistics", "files", "version")  # keys of "compiled" that are of the files, not of the compiler

_CSR_PARTS = ("indptr", "indices", "data")
_PROBLEM_FORMAT = "spu-problem/1"
_CIRCUIT_FORMAT = "spu-circuit/1"
_PREDICTED = ("predicted_relative_error", "predicted_covariance_relative_error", "predicted_mean_relative_error")
_ARRAYS = {  # of compiled.statistics, with their numbers of dimensions
    "mean": 1,
    "covariance": 2,
    "voltage_mean": 1,
    "voltage_covariance": 2,
    "state_variance": 1,
    "time_constants": 1,
}


@dataclass(frozen=True, eq=False)
class Folder:
    """A compiled folder, an imported one, or a device file or netlist that stands alone, as read.

    Attributes
    ----------
    path:
        The device file, or the netlist.
    directory:
        The folder; None for a file that stands alone.
    subject:
        The device, with ``problem`` set where there is one, or the circuit of a netlist.
    problem:
        None where there is no ``problem.json``.
    compiled:
        What the compiler decided, ``statistics`` as arrays; None where ``problem.json`` does
        not say.
    netlist:
        ``device.cir``, if it is there.
    further:
        Netlists of the further programmings of an ensemble, those that are there, in order.
    network:
        The thermodynamic network in ``problem.json``, which then holds no other problem; ``device.network``
        and ``device.scales`` are set with it.
    read:
        Of a circuit, the netlist as it was read.
    """

    path: Path
    directory: Path | None
    subject: Device | Circuit
    problem: Problem | None
    compiled: dict[str, Any] | None
    netlist: Path | None
    further: tuple[Path | None, ...] = ()
    network: ThermodynamicNetwork | None = None
    read: ReadNetlist | None = None

    @property
    def device(self) -> Device:
        """The device.

        Raises
        ------
        UsageError
            If there is a netlist, and no device.
        """
        if not isinstance(self.subject, Device):
            raise UsageError(f"{self.path} is a netlist; this needs a device, as spu compile writes it")
        return self.subject


def read_folder(path: str | Path) -> Folder:
    """Read a compiled or imported folder, a device file, or a netlist.

    Parameters
    ----------
    path:
        A folder with a ``device.json`` or a ``circuit.json``; a netlist, by its suffix (`NETLISTS`); or a device
        file of any other name. Only beside a file called ``device.json`` are ``device.cir`` and
        ``problem.json`` looked for.

    Raises
    ------
    InputError
        Naming the file that is missing, malformed, or does not fit the device.
    DeckError
        If a netlist cannot be read.
    """
    path = Path(path)
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name too long, or a folder closed to the user
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    if path.suffix.lower() in NETLISTS and not is_folder:
        read = read_netlist(path)
        return Folder(path, None, read.circuit, None, None, path, read=read)
    file = path / DEVICE if is_folder else path
    with _settled(file.parent) if file.name == DEVICE else nullcontext():
        return _read_from(path, file, is_folder)


def _read_from(path: Path, file: Path, is_folder: bool) -> Folder:
    """Read the folder ``path``, or the device ``file`` with what lies beside it."""
    if is_folder and not file.exists() and (path / CIRCUIT).exists():
        return _read_import(path)
    if is_folder and not file.exists():
        raise InputError(
            f"no {DEVICE} in this folder: spu compile PROBLEM -o DIR makes one (and spu import one of a netlist)",
            file=path,
        )
    device = Device.read(file)
    beside = file.parent if file.name == DEVICE else None
    problem = compiled = netlist = network = None
    further: tuple[Path | None, ...] = ()
    if beside is not None:
        if (beside / DECK).is_file():
            netlist = beside / DECK
        decks = [beside / deck_name(k) for k in range(1, len(device.programmings) + 1)]
        further = tuple(deck if deck.is_file() else None for deck in decks)
        if (beside / PROBLEM).exists():
            posed, compiled = _read_problem(beside / PROBLEM)
            if isinstance(posed, ThermodynamicNetwork):
                network = posed
                scales = Scales.from_dict((compiled or {}).get("scales"), file=beside / PROBLEM)
                device.network, device.scales = network, scales
            else:
                problem = posed
            if posed.variables != device.readout.variables:
                raise InputError(
                    f"does not fit {file}: its variables are {_listed(posed.variables)}, "
                    f"those of the device {_listed(device.readout.variables)}",
                    file=beside / PROBLEM,
                )
    device.problem = problem
    belongs = is_folder or problem is not None or network is not None
    return Folder(file, beside if belongs else None, device, problem, compiled, netlist, further, network=network)


def _read_import(directory: Path) -> Folder:
    """Read an imported folder: its netlist, as it lies there, in the way in which it was imported."""
    file, deck = directory / CIRCUIT, directory / DECK
    data = read_json(file)
    if not isinstance(data, dict) or data.get("format") != _CIRCUIT_FORMAT:
        raise InputError(f'is not of the format "{_CIRCUIT_FORMAT}": import the netlist again', file=file)
    problem = None
    if (directory / PROBLEM).exists():
        posed, _ = _read_problem(directory / PROBLEM)
        if isinstance(posed, ThermodynamicNetwork):
            raise InputError("is of a thermodynamic network, which no imported netlist is", file=directory / PROBLEM)
        problem = posed
    probes, silent, densities = data.get("probes", []), data.get("silent", []), data.get("densities", {})
    limit = data.get("max_instances", 1)
    well = all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in (probes, silent))
    well &= isinstance(densities, dict) and all(type(d) in (int, float) and 0 <= d < inf for d in densities.values())
    if not well or type(limit) is not int or limit < 1:
        raise InputError(
            '"probes" and "silent" must be lists of names, "densities" an object of numbers >= 0, "max_instances" '
            "a count",
            file=file,
        )
    read = read_netlist(deck, probes=probes, silent=silent, densities=densities, max_instances=limit, problem=problem)
    return Folder(deck, directory, read.circuit, problem, None, deck, read=read)


def write_import(directory: str | Path, read: ReadNetlist, *, force: bool = False) -> tuple[Path, ...]:
    """Write a netlist that was read, self-contained, and how to read it again: all files or none.

    Parameters
    ----------
    directory:
        Made if missing; its parent must exist.
    read:
        What to write, with the problem of its circuit.
    force:
        Write into a folder that is not ours, and over files edited by hand.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    OutputError
        As `refuse_folder`, or if writing fails.
    """
    directory = Path(directory)
    refuse_folder(directory, force=force, holds=CIRCUIT)
    return _put(directory, _Imported(read))


def write_folder(
    directory: str | Path,
    compilation: Compilation | NetworkCompilation,
    *,
    force: bool = False,
    seed: int = 0,
    dialects: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write the files of a compilation, all of them or none.

    Parameters
    ----------
    directory:
        Made if missing; its parent must exist.
    compilation:
        What to write.
    force:
        Write into a folder that is not ours, and over files edited by hand.
    seed:
        Of the netlist's noise sources.
    dialects:
        Further ones to write the netlist in, besides ngspice's.

    Returns
    -------
    tuple of Path
        The files written; without ``device.cir`` if its netlist would be too long.

    Raises
    ------
    OutputError
        As `refuse_folder`, or if writing fails.
    """
    directory = Path(directory)
    refuse_folder(directory, force=force)
    if isinstance(compilation, NetworkCompilation):
        if set(dialects) - {"ngspice"}:
            raise UsageError("netlists of nonlinear cells are written for ngspice only")
        contents = _network_contents(compilation, seed)
    else:
        contents = _gaussian_contents(compilation.device, compilation.prediction, summary(compilation), seed, dialects)
    return _put(directory, contents)


def rewrite_folder(folder: Folder, device: Device, prediction: Prediction, *, force: bool = False) -> tuple[Path, ...]:
    """Write a device that was programmed anew into the folder it came from, with netlist and statistics.

    What the compiler decided stays in ``problem.json``, but for the hash and the predicted errors. Of a device
    file that stands alone only that file is written.

    Raises
    ------
    OutputError
        As `refuse_folder`, or if writing fails.
    """
    if folder.directory is None or folder.problem is None:
        device.write(folder.path)
        return (folder.path,)
    directory = folder.directory
    refuse_folder(directory, force=force)
    decided = {key: value for key, value in (folder.compiled or {}).items() if key not in _WRITTEN}
    decided |= {"device_hash": device.hash, **_predicted(prediction)}
    device.problem = folder.problem
    present = dialects_present(directory)
    contents = _gaussian_contents(device, prediction, decided, _seed(folder.netlist), present)
    return _put(directory, contents)


def _seed(netlist: Path | None) -> int:
    """The seed of a netlist we wrote; 0 where none is said."""
    if netlist is None:
        return 0
    with netlist.open(encoding="utf-8", errors="replace") as lines:
        said = re.search(r"seed ([0-9]{1,10})", "".join(islice(lines, 5)))
    return int(said.group(1)) if said else 0


def refuse_folder(directory: str | Path, *, force: bool = False, holds: str = DEVICE) -> None:
    """Raise what `write_folder` would raise, before any work is done; ``holds`` is what will be written.

    Raises
    ------
    OutputError
        If it is not a folder or has no parent to be made in; and, unless forced, if it holds
        something else than a compiled folder, or a device or netlist that was edited since.
    """
    directory = Path(directory)
    with _failing_as(directory):
        if directory.is_dir():
            _recover(directory, force=force)
        if not directory.exists():
            if not directory.parent.is_dir():
                raise OutputError(f"cannot be made: there is no folder {str(directory.parent)!r}", file=directory)
            sweep(directory.parent)
            return
        if not directory.is_dir():
            raise OutputError("is a file; -o needs a folder", file=directory)
        for name in _present(directory):
            if not (directory / name).is_file():
                kind = kind_of_file(directory / name)
                raise OutputError(f"is {kind}; a file of that name is to be written", file=directory / name)
        if force or next(directory.iterdir(), None) is None:
            return
    hashes = _stored_hashes(directory)
    if hashes is None:
        raise OutputError("is not empty and not a compiled folder: choose another, or --force", file=directory)
    if not (directory / holds).exists():
        what = "a netlist that was imported" if holds == DEVICE else "a compiled device"
        raise OutputError(f"holds {what}: choose another folder, or --force", file=directory)
    for name in _present(directory):
        file = directory / name
        if (name == DEVICE or _DECKS.fullmatch(name)) and hashes.get(name) != _sha256(file):
            raise OutputError("was edited by hand and would be lost: keep a copy, then --force", file=file)


def summary(compilation: Compilation) -> dict[str, Any]:
    """Sum up what the compiler decided and predicts: for ``problem.json`` and for ``--json``."""
    prediction = compilation.prediction
    quantised = {} if compilation.rounding is None else {"rounding": rounding_summary(compilation)}
    return {
        "device_hash": compilation.device.hash,
        "hardware": compilation.hardware.name,
        "architecture": compilation.architecture,
        **_predicted(prediction),
        "realizability": {
            "class": compilation.realizability,
            "rho": compilation.rho,
            "reason": compilation.reason,
            "margin": compilation.margin,
        },
        "levels": None if compilation.levels is None else asdict(compilation.levels),
        "common_mode": prediction.common_mode and prediction.common_mode.to_dict(),
        "mean": compilation.mean,
        "embedding": None if compilation.embedding is None else compilation.embedding.to_dict(),
        **quantised,
    }


def _predicted(prediction: Prediction) -> dict[str, Any]:
    return {key: getattr(prediction, key.removeprefix("predicted_")) for key in _PREDICTED}


def rounding_summary(compilation: Compilation) -> dict[str, Any]:
    """What was decided about codes: of quantised hardware only."""
    return {
        "method": compilation.rounding,
        "banks": compilation.banks,
        "programmings": len(compilation.device.programmings) + 1,
    }


def spill(data: Mapping[str, Any], npz: str | Path) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Take the matrices with more than `MAX_ROWS` rows out of a JSON object, at any depth.

    Returns
    -------
    dict, dict
        The object with ``{"npz": file, "key": name}`` in their place, and the matrices by name:
        their key, behind those of the objects around it (``covariances_ideal``). Sparse ones as
        said above.
    """
    large: dict[str, FloatArray] = {}

    def without(value: Any, name: str) -> Any:
        if isinstance(value, np.ndarray) and value.ndim >= 2 and value.shape[-2] > MAX_ROWS:
            large[name] = value
            return {"npz": str(npz), "key": name}
        if sp.issparse(value) and cast(Any, value).shape[0] > MAX_ROWS:
            a = sp.csr_array(cast(Any, value))
            large.update({f"{name}.{part}": getattr(a, part) for part in _CSR_PARTS})
            return {"npz": str(npz), "key": name, "sparse": "csr", "shape": list(a.shape)}
        if isinstance(value, Mapping):
            return {key: without(entry, f"{name}_{key}" if name else key) for key, entry in value.items()}
        return value

    return without(data, ""), large


# --- writing -------------------------------------------------------------------------------


_Writer = Callable[[BinaryIO], None]


class _Contents:
    """What is to be written: `names` of the files, and `write_all` that writes them into a folder."""

    def __init__(
        self, streamed: dict[str, _Writer], posed: dict[str, Any], statistics: dict[str, Any], decided: dict[str, Any]
    ) -> None:
        self._decided, self._streamed = decided, streamed
        self._statistics, large_statistics = spill(statistics, STATISTICS)
        self._posed, large_matrices = spill(posed, MATRICES)
        large = {MATRICES: large_matrices, STATISTICS: large_statistics}
        self._large = {name: arrays for name, arrays in large.items() if arrays}
        # The problem last, so that its hashes never promise what is not there yet.
        self.names = (*self._streamed, *self._large, PROBLEM)

    def write_all(self, directory: Path) -> None:
        """Write all files into a folder."""
        from spu import __version__

        hashes = {}
        for name, write in self._streamed.items():
            with (directory / name).open("wb") as file:
                hashing = _Hashing(file)
                write(cast(BinaryIO, hashing))
            hashes[name] = hashing.hash.hexdigest()
        for name, arrays in self._large.items():
            with (directory / name).open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs take the arrays for allow_pickle
        compiled = {
            **self._decided,
            "statistics": self._statistics,
            "files": hashes,
            "version": __version__,
        }
        text = _readable(plain({**self._posed, "compiled": compiled})) + "\n"
        with (directory / PROBLEM).open("wb") as file:
            file.write(text.encode())


class _Imported:
    """As `_Contents`, of a netlist that was read."""

    def __init__(self, read: ReadNetlist) -> None:
        problem = read.circuit.problem
        self._posed, self._large = ({}, {}) if problem is None else spill(problem.posed(), MATRICES)
        self._read = read
        more = (*((MATRICES,) if self._large else ()), *((PROBLEM,) if problem is not None else ()))
        self.names = (DECK, *more, CIRCUIT)

    def write_all(self, directory: Path) -> None:
        """Write all files into a folder."""
        from spu import __version__

        read, choices = self._read, self._read.choices
        deck = read.text.encode()
        (directory / DECK).write_bytes(deck)
        if self._large:
            with (directory / MATRICES).open("wb") as file:
                np.savez(file, **self._large)  # type: ignore[arg-type]  # the stubs take the arrays for allow_pickle
        if self._posed:
            (directory / PROBLEM).write_text(_readable(plain(self._posed)) + "\n", encoding="utf-8")
        about = {
            "format": _CIRCUIT_FORMAT,
            "source": read.path,
            "title": read.title,
            "hash": read.circuit.hash,
            "temperature": read.circuit.temperature,
            "probes": choices.probes,
            "silent": choices.silent,
            "densities": choices.densities,
            "max_instances": choices.max_instances,
            "files": {DECK: hashlib.sha256(deck).hexdigest()},
            "version": __version__,
        }
        (directory / CIRCUIT).write_text(_readable(plain(about)) + "\n", encoding="utf-8")


def _gaussian_contents(
    device: Device, prediction: Prediction, decided: dict[str, Any], seed: int, dialects: Sequence[str] = ()
) -> _Contents:
    """The files of a device that samples a Gaussian."""
    from spu.circuit import lower
    from spu.spice.dialects import NGSPICE, find_dialect
    from spu.spice.netlist import MAX_INSTANCES, netlist_size

    assert device.problem is not None  # the compiler has set it
    streamed: dict[str, _Writer] = {DEVICE: device.write_to}
    if netlist_size(lower(device)) <= MAX_INSTANCES:
        for dialect in dict.fromkeys([NGSPICE, *map(find_dialect, dialects)]):
            for k, (member, law) in enumerate(zip(device.members(), prediction.laws, strict=True)):
                streamed[deck_name(k, dialect.ending)] = partial(_write_deck, member, law, seed, dialect)
    statistics = {
        "mean": prediction.mean,
        "covariance": prediction.covariance,
        "voltage_mean": prediction.voltage_mean,
        "voltage_covariance": prediction.voltage_covariance,
        "state_names": prediction.law.sde.state_names,
        "state_variance": np.concatenate([law.state_variance for law in prediction.laws]),
        "time_constants": prediction.time_constants,
    }
    return _Contents(streamed, device.problem.posed(), statistics, decided)


def _network_contents(compilation: NetworkCompilation, seed: int) -> _Contents:
    """The files of a device of nonlinear cells."""
    from spu.spice.dialects import NGSPICE

    device = compilation.device
    streamed: dict[str, _Writer] = {DEVICE: device.write_to, DECK: partial(_write_deck, device, None, seed, NGSPICE)}
    return _Contents(streamed, compilation.network.posed(), {}, network_summary(compilation))


def network_summary(compilation: NetworkCompilation) -> dict[str, Any]:
    """Sum up what the compiler decided about a network: for ``problem.json`` and for ``--json``."""
    return {
        "device_hash": compilation.device.hash,
        "hardware": compilation.hardware.name,
        "architecture": compilation.architecture,
        "reason": compilation.reason,
        "scales": compilation.scales.to_dict(),
        "coordinate": compilation.equation.coordinate,
        "heat": compilation.heat,
        "warnings": compilation.warnings,
    }


def _write_deck(device: Device, law: Law | None, seed: int, dialect: Dialect, stream: BinaryIO) -> None:
    from spu.spice.netlist import write_netlist

    write_netlist(device, stream, seed=seed, law=law, dialect=dialect)


class _Hashing:
    """A stream that hashes what it passes on."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.hash = stream, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Hash and pass on."""
        self.hash.update(data)
        return self.stream.write(data)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def _readable(value: Any, indent: int = 0) -> str:
    """JSON with one key a line and one row of a matrix a line, for people and for ``diff``."""
    space = " " * (indent + 2)
    if isinstance(value, dict) and value:
        lines = [f"{space}{json.dumps(key)}: {_readable(entry, indent + 2)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if _is_matrix(value):
        return "[\n" + ",\n".join(space + json.dumps(row) for row in value) + "\n" + " " * indent + "]"
    return json.dumps(value, allow_nan=False)


def _put(directory: Path, contents: _Contents | _Imported) -> tuple[Path, ...]:
    """Write all files of a folder, or none, and give their paths."""
    with _failing_as(directory):
        if directory.exists():
            _replace_files(directory, contents)
        else:
            _make_folder(directory, contents)
    return tuple(directory / name for name in contents.names)


def _make_folder(directory: Path, contents: _Contents | _Imported) -> None:
    """Fill a folder aside, then rename it: it appears with all its files or not at all."""
    with aside_folder(directory.parent) as aside:
        new = aside / "new"
        new.mkdir()  # with the user's own permissions: the folder aside is private
        contents.write_all(new)
        new.rename(directory)


# A folder that is there keeps its name, its other files and whoever has it open, so its files are replaced one by one.
# That all of them are, or none, is decided by one rename: that of the folder aside, with the new files, copies of the
# old ones and a list, to `_JOURNAL`. Whoever finds a journal there finishes what it says (`_recover`).

_JOURNAL = ".spu-replacing"
_PLAN = "plan.json"
_BACK = "back"  # what the copies of the old files are renamed to once a rename has failed: then they are put back
_PATIENCE = 30.0  # s for another process to end its few renames
_Plan = Mapping[str, Sequence[str]]


def _replace_files(directory: Path, contents: _Contents | _Imported) -> None:
    """Prepare new files and copies of the old ones aside, then rename; undo the lot if a rename fails."""
    with aside_folder(directory) as aside:
        new, old = aside / "new", aside / "old"
        new.mkdir()
        old.mkdir()
        contents.write_all(new)
        with _alone(directory):
            _finish(directory, force=True)  # `refuse_folder` has refused to lose what was edited
            present = _present(directory)
            for name in present:
                shutil.copy2(directory / name, old / name)
            # Of a problem of another size, or a larger ensemble, that was here before.
            gone = [name for name in present if name not in contents.names] if _stored_hashes(old) is not None else []
            plan = {"new": contents.names, "old": present, "gone": gone}
            (aside / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
            with held():
                _commit(directory, aside, plan)


def _commit(directory: Path, aside: Path, plan: _Plan) -> None:
    journal = directory / _JOURNAL
    aside.rename(journal)
    try:
        _forward(directory, plan)
    except OSError:
        (journal / "old").rename(journal / _BACK)
        _back(directory, plan)
        journal.rename(aside)
        raise
    with suppress(OSError):  # it is done; a journal that says so does no harm
        journal.rename(aside)  # gone at once, and then piece by piece


def _forward(directory: Path, plan: _Plan) -> None:
    """Put the new files of a journal in place: those that are not there yet."""
    for name in plan["new"]:
        file = directory / _JOURNAL / "new" / name
        if file.exists():
            file.replace(directory / name)
    for name in plan["gone"]:
        (directory / name).unlink(missing_ok=True)


def _back(directory: Path, plan: _Plan) -> None:
    """Put the old files of a journal back: those that are not there yet."""
    for name in plan["old"]:
        file = directory / _JOURNAL / _BACK / name
        if file.exists():
            file.replace(directory / name)
    for name in plan["new"]:
        if name not in plan["old"]:
            (directory / name).unlink(missing_ok=True)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep readers and other writers of a folder out."""
    with locked(directory, alone=True, patience=_PATIENCE) as granted:
        if not granted:
            raise OutputError("is being read or written by another process: try again", file=directory)
        yield


def _unfinished(directory: Path) -> bool:
    return os.path.isdir(directory / _JOURNAL)  # noqa: PTH112 (that of pathlib raises, for names too long and more)


def _recover(directory: Path, *, force: bool = False) -> None:
    """Finish what a process that was killed between its renames has left in a folder, and sweep up.

    Raises
    ------
    OutputError
        If that cannot be done, or a file of the old set was edited since and, unless forced, would be lost.
    """
    sweep(directory)
    sweep(tempfile.gettempdir())
    if not _unfinished(directory):
        return
    try:
        with _alone(directory), held():
            _finish(directory, force=force)
    except OSError as error:
        raise OutputError(
            f"holds the files of two compilations, as the last one was killed between them, and they cannot be put "
            f"right: {error.strerror or error} (any verb of a user who may write there does it)",
            file=directory,
        ) from None


def _finish(directory: Path, *, force: bool) -> None:
    """Do what a journal says, if there is one; nobody else is at it."""
    journal = directory / _JOURNAL
    if not _unfinished(directory):
        return
    plan = _read_plan(journal / _PLAN)
    if (journal / _BACK).exists():
        _back(directory, plan)
    else:
        for name in () if force else plan["new"]:
            old, new, here = journal / "old" / name, journal / "new" / name, directory / name
            if new.exists() and old.exists() and here.exists() and not filecmp.cmp(old, here, shallow=False):
                raise OutputError(
                    "was edited after a run was killed that was about to replace it: keep a copy and delete it "
                    "here, or write the folder again with --force",
                    file=here,
                )
        _forward(directory, plan)
    with aside_folder(directory) as aside:
        journal.rename(aside / "done")  # gone at once, and then piece by piece


def _read_plan(file: Path) -> _Plan:
    """Read the list of a journal, which names nothing but files that we write."""
    plan = read_json(file)
    well = isinstance(plan, dict) and set(plan) == {"new", "old", "gone"}
    well = well and all(isinstance(names, list) and all(map(_is_ours, names)) for names in plan.values())
    if not well:
        raise InputError(f"is not what spu writes there: delete the folder {str(file.parent)!r}", file=file)
    return cast(_Plan, plan)


def _is_ours(name: object) -> bool:
    return isinstance(name, str) and (name in _NAMES or _DECKS.fullmatch(name) is not None)


@contextmanager
def _settled(directory: Path) -> Iterator[None]:
    """Keep writers of a folder out while it is read, once it is finished."""
    while True:
        _recover(directory)
        with locked(directory, alone=False, patience=_PATIENCE) as granted:
            if not granted:
                raise InputError("is being written by another process: try again", file=directory)
            if not _unfinished(directory):  # else a writer was killed just now
                yield
                return


@contextmanager
def _failing_as(directory: Path) -> Iterator[None]:
    """Turn what the system refuses into an `OutputError` that names the folder."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", file=directory) from None


def _stored_hashes(directory: Path) -> Mapping[str, Any] | None:
    """Hashes of the files as they were written; None where this is neither a compiled nor an imported folder."""
    if not (directory / DEVICE).exists() and (directory / CIRCUIT).exists():
        try:
            circuit = read_json(directory / CIRCUIT)
        except SpuError:
            return None
        if not isinstance(circuit, dict) or circuit.get("format") != _CIRCUIT_FORMAT:
            return None
        files = circuit.get("files")
        return files if isinstance(files, dict) else {}
    try:
        device, problem = read_json(directory / DEVICE), read_json(directory / PROBLEM)
    except SpuError:
        return None
    if not (isinstance(device, dict) and device.get("format") == FORMAT):
        return None
    if not (isinstance(problem, dict) and problem.get("format") == _PROBLEM_FORMAT):
        return None
    compiled = problem.get("compiled")
    files = compiled.get("files") if isinstance(compiled, dict) else None
    return files if isinstance(files, dict) else {}


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with _failing_as(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


# --- reading -------------------------------------------------------------------------------


def _read_problem(file: Path) -> tuple[Problem | ThermodynamicNetwork, dict[str, Any] | None]:
    """Read a problem file: the problem, and what the compiler decided where it says so."""
    data = read_json(file)
    if not isinstance(data, dict):
        raise InputError('must be a JSON object with "format" and "task"', file=file)
    compiled = data.pop("compiled", None)
    given = _recall(data, file, MATRICES)
    network = given.get("task") == NETWORK
    problem = ThermodynamicNetwork.from_dict(given, file) if network else problem_from_dict(given, file=file)
    if compiled is None:
        return problem, None
    if not isinstance(compiled, dict) or not isinstance(compiled.get("statistics", {}), dict):
        raise InputError('"compiled" is damaged: compile again', file=file)
    statistics = _recall(compiled.get("statistics", {}), file, STATISTICS)
    for key, dimensions in _ARRAYS.items():
        if key in statistics:
            statistics[key] = _array(statistics[key], dimensions, f"compiled.statistics.{key}", file)
        elif not network:
            raise InputError(f'"compiled.statistics" lacks {key}: compile again', file=file)
    for key in () if network else _PREDICTED:
        value = compiled.get(key)
        if value is not None and (type(value) not in (int, float) or not 0 <= value < inf):
            raise InputError(f'"compiled.{key}" is {shorten(value)}, not a number: compile again', file=file)
    return problem, {**compiled, "statistics": statistics}


def _array(value: Any, dimensions: int, what: str, file: Path) -> FloatArray | sp.csr_array:
    if sp.issparse(value):
        matrix = cast(sp.csr_array, value)
        if dimensions != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix.data).all():
            raise InputError(f'"{what}" is damaged: compile again', file=file)
        return matrix
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    square = dimensions == 1 or (array.ndim == 2 and array.shape[0] == array.shape[1])
    if array.ndim != dimensions or not array.size or not square or not np.isfinite(array).all():
        raise InputError(f'"{what}" is damaged: compile again', file=file)
    return array


def _recall(data: Mapping[str, Any], file: Path, npz: str) -> dict[str, Any]:
    """Put the matrices that `spill` took out back in, from the one file they may be in."""
    wanted = {key: value for key, value in data.items() if isinstance(value, dict)}
    if not wanted:
        return dict(data)
    beside = file.with_name(npz)
    if not beside.exists():
        raise InputError(f"no such file, but {file.name} keeps its matrices there", file=beside)
    archive = read_npz(beside)
    try:
        return {**data, **{key: _unspill(value, archive) for key, value in wanted.items()}}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"does not hold the matrices of {file.name}: {first_line(error)}", file=beside) from None


def _unspill(place: Mapping[str, Any], archive: Mapping[str, Any]) -> Any:
    """The matrix that stood where ``place`` does now."""
    key = str(place["key"])
    if place.get("sparse") is None:
        return archive[key]
    if place["sparse"] != "csr":
        raise ValueError(f"unknown kind of sparse matrix {shorten(place['sparse'])}")
    indptr, indices, data = (archive[f"{key}.{part}"] for part in _CSR_PARTS)
    shape: Any = tuple(int(size) for size in place["shape"])
    if max(shape) > MAX_SPARSE_SIZE:
        raise ValueError(f"a matrix of more than {MAX_SPARSE_SIZE} rows or columns")
    matrix = sp.csr_array((data, indices, indptr), shape=shape)
    matrix.check_format(full_check=True)
    return matrix


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f"... ({len(names)})" if len(names) > 4 else "")
