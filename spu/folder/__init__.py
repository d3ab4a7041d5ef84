"""The compiled folder: what ``spu compile`` writes and every other verb reads.

======================  ==========================================================================
``device.json``         the programmed device (`spu.device.device`)
``device.cir``          its netlist, run as it lies there; left out where it would have more than
                        `spu.spice.names.MAX_INSTANCES` instances
``device.2.cir``...     of an ensemble, the netlists of its further programmings
``device.ltspice.cir``, the same netlists for other simulators (`spu.spice.dialects`), where asked for;
``device.xyce.cir``,    of an ensemble also ``device.2.ltspice.cir``...
``device.spectre.scs``,
``device.vacask.sim``
``problem.json``        the problem, and under ``compiled`` what the compiler decided and predicted
``trained.npz``         of a trained network, what was learnt, with the input weights that the device has
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

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

from spu.base.errors import InputError, NonlinearNetlist, OutputError, UsageError
from spu.base.files import kind_of_file, plain, read_json
from spu.base.names import shorten
from spu.base.process import sweep
from spu.circuit.circuit import Circuit
from spu.circuit.scales import NetworkScales, Scales
from spu.compiler.compilation import Compilation
from spu.compiler.linear_compilation import PREDICTED, predicted, statistics_of
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.dynamics import langevin_of
from spu.emulator.laws.boltzmann import deviations
from spu.emulator.laws.law import Law
from spu.emulator.predict import Prediction, predict_linear
from spu.folder.arrays import ARRAYS, real_array, recall
from spu.folder.atomic import failing_as, files_of_ours, put, recover, settled, sha256, stored_hashes
from spu.folder.contents import Imported, device_contents
from spu.folder.names import (
    CIRCUIT,
    CIRCUIT_FORMAT,
    DECK,
    DECKS,
    DEVICE,
    MATRICES,
    NETLISTS,
    PROBLEM,
    STATISTICS,
    TRAINED,
    deck_name,
)
from spu.problems.files import problem_from_dict
from spu.problems.network import ThermodynamicNetwork, thermodynamic
from spu.problems.problem import LinearProblem, Problem, linear_problem
from spu.problems.trained import TrainedNetwork, load_trained
from spu.spice.dialects import DIALECTS, NGSPICE, find_dialect
from spu.spice.dialects.dialect import Dialect
from spu.spice.netlist import refuse_dialect
from spu.spice.reader import ReadNetlist, read_netlist
from spu.spice.reader.nonlinear import ALONE, NonlinearDeck, read_nonlinear

__all__ = [
    "Folder",
    "plain",
    "read_any",
    "read_folder",
    "refuse_folder",
    "rewrite_folder",
    "write_device",
    "write_folder",
    "write_import",
]


def dialects_present(directory: Path) -> list[str]:
    """Dialects in which the folder has the netlist."""
    return [name for name, dialect in DIALECTS.items() if (directory / deck_name(0, dialect.ending)).exists()]


_WRITTEN = ("statistics", "files", "version")  # keys of "compiled" that are of the files, not of the compiler


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
    posed:
        What ``problem.json`` holds, of any kind; None where there is none. `problem` and `network` are views of it.
    compiled:
        What the compiler decided, ``statistics`` as arrays; None where ``problem.json`` does
        not say.
    netlist:
        ``device.cir``, if it is there.
    further:
        Netlists of the further programmings of an ensemble, those that are there, in order.
    read:
        Of a circuit, the netlist as it was read.
    """

    path: Path
    directory: Path | None
    subject: Device | Circuit
    posed: Problem | None
    compiled: dict[str, Any] | None
    netlist: Path | None
    further: tuple[Path | None, ...] = ()
    read: ReadNetlist | None = None

    @property
    def problem(self) -> LinearProblem | None:
        """`posed`, where a quadratic energy poses it."""
        return linear_problem(self.posed)

    @property
    def network(self) -> ThermodynamicNetwork | None:
        """`posed`, where that is a thermodynamic network."""
        return thermodynamic(self.posed)

    @property
    def trained(self) -> TrainedNetwork | None:
        """What was learnt, of the device of a trained network, with the input weights that the device has.

        Raises
        ------
        InputError
            If its file is damaged.
        """
        if self.directory is None or not (self.directory / TRAINED).is_file():
            return None
        return load_trained(self.directory)

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
        try:
            read = read_netlist(path)
        except NonlinearNetlist as error:
            if not (path.parent / DEVICE).is_file():
                raise _alone(error) from None
            advice = f"{error.message}; give its folder, with the {DEVICE} that it was written of"
            raise NonlinearNetlist(advice, file=error.file, line=error.line) from None
        return Folder(path, None, read.circuit, None, None, path, read=read)
    file = path / DEVICE if is_folder else path
    with settled(file.parent) if file.name == DEVICE else nullcontext():
        return _read_from(path, file, is_folder)


def _alone(error: NonlinearNetlist) -> NonlinearNetlist:
    """A refusal with what can be had all the same: the one place that says it."""
    return NonlinearNetlist(f"{error.message}; {ALONE}", file=error.file, line=error.line)


def read_any(path: str | os.PathLike[str]) -> Folder | NonlinearDeck:
    """As `read_folder`, or a netlist that only ngspice runs, imported or as it lies there.

    Raises
    ------
    InputError, DeckError
        As `read_folder`; of the netlist of a device of ours that has its folder.
    """
    path = Path(path)
    try:
        return read_folder(path)
    except NonlinearNetlist as refusal:
        if (path.parent / DEVICE).is_file() and not path.is_dir():
            raise
        why = refusal.message.removesuffix(f"; {ALONE}")
        plain_refusal = NonlinearNetlist(why, file=refusal.file, line=refusal.line)
    if not path.is_dir():
        return read_nonlinear(path, plain_refusal)
    choices = _choices(path / CIRCUIT)
    probes, limit = choices["probes"], choices["max_instances"]
    read = read_nonlinear(path / DECK, plain_refusal, probes=probes, max_instances=limit)
    return replace(read, directory=path)


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
    problem = compiled = netlist = None
    further: tuple[Path | None, ...] = ()
    if beside is not None:
        if (beside / DECK).is_file():
            netlist = beside / DECK
        decks = [beside / deck_name(k) for k in range(1, len(device.programmings) + 1)]
        further = tuple(deck if deck.is_file() else None for deck in decks)
        if (beside / PROBLEM).exists():
            problem, compiled = _read_problem(beside / PROBLEM)
            scales = (compiled or {}).get("scales")
            if scales is not None or thermodynamic(problem) is not None:
                device.scales = Scales.from_dict(scales, file=beside / PROBLEM)
            if problem.variables != device.readout.variables:
                raise InputError(
                    f"does not fit {file}: its variables are {_listed(problem.variables)}, "
                    f"those of the device {_listed(device.readout.variables)}",
                    file=beside / PROBLEM,
                )
    device.problem = problem
    belongs = is_folder or problem is not None
    return Folder(file, beside if belongs else None, device, problem, compiled, netlist, further)


def _read_import(directory: Path) -> Folder:
    """Read an imported folder: its netlist, as it lies there, in the way in which it was imported."""
    file, deck = directory / CIRCUIT, directory / DECK
    data = read_json(file)
    if not isinstance(data, dict) or data.get("format") != CIRCUIT_FORMAT:
        raise InputError(f'is not of the format "{CIRCUIT_FORMAT}": import the netlist again', file=file)
    problem = None
    if (directory / PROBLEM).exists():
        posed, _ = _read_problem(directory / PROBLEM)
        problem = linear_problem(posed)
        if problem is None:
            raise InputError("is of a thermodynamic network, which no imported netlist is", file=directory / PROBLEM)
    try:
        read = read_netlist(deck, **_choices(file), problem=problem)
    except NonlinearNetlist as error:
        raise _alone(error) from None
    return Folder(deck, directory, read.circuit, problem, None, deck, read=read)


def _choices(file: Path) -> dict[str, Any]:
    """With which a netlist was imported."""
    data = read_json(file)
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
    return {"probes": probes, "silent": silent, "densities": densities, "max_instances": limit}


def write_import(directory: str | Path, read: ReadNetlist | NonlinearDeck, *, force: bool = False) -> tuple[Path, ...]:
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
    return put(directory, Imported(read))


def write_folder(
    directory: str | Path,
    compilation: Compilation,
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
    InputError
        For a dialect that is not known, or cannot say what the device holds; before any work.
    OutputError
        As `refuse_folder`, or if writing fails.
    """
    directory = Path(directory)
    written = _dialects(compilation.device, dialects)
    refuse_folder(directory, force=force)
    decided, statistics = compilation.decided(), compilation.statistics
    return put(
        directory,
        device_contents(
            compilation.device,
            decided,
            statistics,
            compilation.laws,
            seed=seed,
            dialects=written,
            trained=compilation.learnt,
        ),
    )


def write_device(directory: str | Path, device: Device, *, seed: int = 0) -> tuple[Path, ...]:
    """Write a device as it is, one of many boards say, with its netlist, its problem and what is predicted of it.

    Parameters
    ----------
    directory:
        Made if missing; a folder that holds this device already is left as it is.
    device:
        Of linear cells; one without a problem is device and netlist alone.
    seed:
        Of the netlist's noise sources.

    Raises
    ------
    OutputError
        If there is something else, or writing fails.
    CircuitError
        If the device has no stationary law.
    """
    directory = Path(directory)
    if (directory / DEVICE).is_file() and (directory / DECK).is_file():
        with suppress(InputError):
            if Device.read(directory / DEVICE).hash == device.hash:
                return tuple(directory / name for name in files_of_ours(directory))
    refuse_folder(directory)
    prediction = predict_linear(device)
    scales = {} if device.scales is None else {"scales": device.scales.to_dict()}
    decided = {"device_hash": device.hash, "architecture": device.architecture, **predicted(prediction), **scales}
    contents = device_contents(
        device, decided, statistics_of(prediction), prediction.laws, seed=seed, dialects=_dialects(device, ())
    )
    return put(directory, contents)


def _dialects(device: Device, names: Iterable[str]) -> list[Dialect]:
    """ngspice's, and those named.

    Raises
    ------
    InputError
        For one that is not known, or cannot say what the device holds.
    """
    found = list(dict.fromkeys([NGSPICE, *map(find_dialect, names)]))
    for dialect in found[1:]:
        refuse_dialect(lower(device), dialect)
    return found


def rewrite_folder(
    folder: Folder, device: Device, prediction: Prediction | None, *, force: bool = False
) -> tuple[Path, ...]:
    """Write a device that was programmed anew into the folder it came from, with netlist and statistics.

    What the compiler decided stays in ``problem.json``, but for the hash and the predicted errors. Of a device
    file that stands alone only that file is written. A network's device has no prediction but its coefficients' errors.

    Raises
    ------
    OutputError
        As `refuse_folder`, or if writing fails.
    """
    if folder.directory is None or folder.posed is None:
        device.write(folder.path)
        return (folder.path,)
    directory = folder.directory
    refuse_folder(directory, force=force)
    decided = {key: value for key, value in (folder.compiled or {}).items() if key not in _WRITTEN}
    device.problem = folder.posed
    statistics: dict[str, Any] = {}
    laws: tuple[Law | None, ...] = (None,)
    if prediction is None:
        decided |= {"device_hash": device.hash, "coefficient_errors": coefficient_errors(device)}
    else:
        decided |= {"device_hash": device.hash, **predicted(prediction)}
        statistics, laws = statistics_of(prediction), prediction.laws
    written, seed = _dialects(device, dialects_present(directory)), _seed(folder.netlist)
    contents = device_contents(device, decided, statistics, laws, seed=seed, dialects=written, trained=folder.trained)
    return put(directory, contents)


def coefficient_errors(device: Device) -> dict[str, list[float]]:
    """How far the device of a network is from it: by coefficient the largest and the root mean square error.

    Relative to the largest coefficient of the kind.

    Raises
    ------
    UsageError
        If the device is none of a network.
    """
    network, scales = device.network, device.scales
    if network is None or not isinstance(scales, NetworkScales):
        raise UsageError("this is no device of a network, and has no coefficients to compare")
    found = deviations(langevin_of(lower(device)).equation, scales, network)
    return {name: list(error) for name, error in found.items()}


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
    with failing_as(directory):
        if directory.is_dir():
            recover(directory, force=force)
        if not directory.exists():
            if not directory.parent.is_dir():
                raise OutputError(f"cannot be made: there is no folder {str(directory.parent)!r}", file=directory)
            sweep(directory.parent)
            return
        if not directory.is_dir():
            raise OutputError("is a file; -o needs a folder", file=directory)
        for name in files_of_ours(directory):
            if not (directory / name).is_file():
                kind = kind_of_file(directory / name)
                raise OutputError(f"is {kind}; a file of that name is to be written", file=directory / name)
        if (directory / TRAINED).is_file() and not (directory / DEVICE).is_file():  # --force or not
            raise OutputError("holds what was trained, and would lose it: choose another folder", file=directory)
        if force or next(directory.iterdir(), None) is None:
            return
    hashes = stored_hashes(directory)
    if hashes is None:
        raise OutputError("is not empty and not a compiled folder: choose another, or --force", file=directory)
    if not (directory / holds).exists():
        what = "a netlist that was imported" if holds == DEVICE else "a compiled device"
        raise OutputError(f"holds {what}: choose another folder, or --force", file=directory)
    for name in files_of_ours(directory):
        file = directory / name
        if (name == DEVICE or DECKS.fullmatch(name)) and hashes.get(name) != sha256(file):
            raise OutputError("was edited by hand and would be lost: keep a copy, then --force", file=file)


# --- reading -------------------------------------------------------------------------------


def _read_problem(file: Path) -> tuple[Problem, dict[str, Any] | None]:
    """Read a problem file: the problem, and what the compiler decided where it says so."""
    data = read_json(file)
    if not isinstance(data, dict):
        raise InputError('must be a JSON object with "format" and "task"', file=file)
    compiled = data.pop("compiled", None)
    given = recall(data, file, MATRICES)
    problem = problem_from_dict(given, file=file)
    linear = linear_problem(problem)
    gaussian = linear is not None  # of other laws nothing is stored that must be there
    lagged = {} if linear is None or linear.lag is None else {"lagged": 2}
    if compiled is None:
        return problem, None
    if not isinstance(compiled, dict) or not isinstance(compiled.get("statistics", {}), dict):
        raise InputError('"compiled" is damaged: compile again', file=file)
    statistics = recall(compiled.get("statistics", {}), file, STATISTICS)
    for key, dimensions in {**ARRAYS, **lagged}.items():
        if key in statistics:
            statistics[key] = real_array(statistics[key], dimensions, f"compiled.statistics.{key}", file)
        elif gaussian:
            raise InputError(f'"compiled.statistics" lacks {key}: compile again', file=file)
    for key in PREDICTED if gaussian else ():
        value = compiled.get(key)
        if value is not None and (type(value) not in (int, float) or not 0 <= value < inf):
            raise InputError(f'"compiled.{key}" is {shorten(value)}, not a number: compile again', file=file)
    return problem, {**compiled, "statistics": statistics}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f"... ({len(names)})" if len(names) > 4 else "")
