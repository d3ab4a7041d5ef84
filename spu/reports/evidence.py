"""What a report shows, gathered: a check, a prediction and a short simulation, with what it takes to repeat them.

What prediction and simulation give depends on the dynamics of the circuit: each kind has its own `Evidence`
(`register`), which also says in what order and in which words its own part is told.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import scipy

from spu.base.errors import CircuitError, SpuError, UsageError, refuse_options
from spu.base.numbers import small
from spu.base.version import __version__
from spu.circuit.circuit import Circuit
from spu.crosscheck import Check, check
from spu.device.device import Device
from spu.device.subject import Subject, circuits, opened, subject_of
from spu.emulator.dynamics import dynamics
from spu.folder import Folder, read_any
from spu.reports.document import Facts, Section
from spu.spice.names import netlist_size, probed_nodes
from spu.spice.netlist import netlist as written
from spu.spice.reader import Choices, ReadNetlist, read_netlist
from spu.spice.reader.limits import MAX_INSTANCES
from spu.spice.reader.nonlinear import NonlinearDeck
from spu.spice.simulators import Simulator
from spu.studies.yields.characterisation import Characterisation, characterise
from spu.studies.yields.specification import Specification


@dataclass(frozen=True)
class Settings:
    """What was asked for; see `spu.report`."""

    netlist: Path | None = None
    levels: tuple[str, ...] | None = None
    accuracy: float | None = None
    seed: int = 0
    time_limit: float = 300.0
    samples: int | None = None
    detect: float | None = None
    budget: float | None = None
    include_outside: bool = False
    ignore_control: bool = False
    specification: Specification | Path | None = None
    simulators: tuple[str | Simulator, ...] = ("ngspice",)

    def options(self, of: str) -> list[str]:
        """Those that differ from the defaults, for the command line of ``check`` or ``report``."""
        words = ["--netlist", str(self.netlist)] if self.netlist is not None else []
        words += [word for level in self.levels or () for word in ("--level", level)]
        if self.simulators != Settings.simulators:
            names = [each if isinstance(each, str) else each.name for each in self.simulators]
            words += [word for name in names for word in ("--simulator", name)]
        numbers = {"--accuracy": self.accuracy, "--detect": self.detect, "--budget": self.budget}
        if self.time_limit != Settings.time_limit:
            numbers["--time-limit"] = self.time_limit
        words += [word for key, value in numbers.items() if value is not None for word in (key, f"{value:g}")]
        words += ["--include-outside"] * self.include_outside + ["--ignore-control"] * self.ignore_control
        if of == "report" and self.samples is not None:
            words += ["--samples", str(self.samples)]
        if of == "report" and isinstance(self.specification, Path):
            words += ["--specification", str(self.specification)]
        return [*words, "--seed", str(self.seed)]


@dataclass(frozen=True, eq=False)
class Gathering:
    """What is to be predicted and simulated, how, and whom to tell."""

    subject: Device | Circuit | NonlinearDeck
    settings: Settings
    said: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class EditedNetlist:
    """The netlist that a report is about in place of the device's own.

    Attributes
    ----------
    file:
        As it was given.
    read:
        As the emulator reads it, with the device's readout and problem; None where it cannot.
    why:
        Why there is no law of it: what only the simulator reads, or has none; empty where there is one.
    """

    file: Path
    read: ReadNetlist | None
    why: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence(ABC):
    """All that a report shows.

    Attributes
    ----------
    name:
        Of the folder or file.
    subject:
        The device, or the circuit of a netlist.
    folder:
        What was read; None for a device that lies in no file.
    prediction, simulation:
        As `spu.predict` and `spu.simulate` give them.
    netlist:
        Text of the netlist that was run, and what it is called; None where there is none.
    versions, hashes:
        By what they are of.
    characterisation:
        Against the specification that was given; None where there is none.
    edited:
        The netlist that stands in place of the device's own: all that is shown is of it. None where there is none.
    """

    name: str
    subject: Device | Circuit | NonlinearDeck
    folder: Folder | None
    check: Check
    prediction: Any
    simulation: Any
    netlist: tuple[str, str] | None
    settings: Settings
    versions: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    date: str = ""
    characterisation: Characterisation | None = None
    edited: EditedNetlist | None = None

    @classmethod
    @abstractmethod
    def found(cls, given: Gathering) -> dict[str, Any]:
        """What prediction and simulation give: attributes."""

    @property
    @abstractmethod
    def simulated(self) -> list[str]:
        """Options of ``spu simulate`` that give the same run, but for the seed."""

    def figures(self) -> Iterator[tuple[str, str]]:
        """What stands above the first heading: labels and texts."""
        check = self.shown
        changes = check.changes
        if self.edited is not None and changes is not None and changes.measured:
            yield "edited", f"covariance {small(changes.covariance_change)} off that of the device as compiled"
        law = next((each for each in (AS_EDITED, "emulator") if each in check.covariances), None)
        for name in check.simulators:
            if name in check.covariances and law is not None:
                text = f"covariance {small(gap(check, law, name))} off the emulator's"
                if "ideal" in check.covariances:
                    text += f", {small(gap(check, 'ideal', name))} off the exact one"
                yield name, text

    @property
    def shown(self) -> Check:
        """The check; of an edited netlist the emulator's two laws, as compiled and as edited, by names of their own."""
        check, changes = self.check, self.check.changes
        if self.edited is None:
            return check
        means, covariances = (
            {AS_COMPILED if name == "emulator" else name: values for name, values in moments.items()}
            for moments in (check.means, check.covariances)
        )
        if changes is not None and changes.measured and np.isfinite(changes.covariance).all():
            found = AS_EDITED if changes.source == "emulator" else changes.source
            covariances.setdefault(found, changes.covariance)
            if changes.mean is not None:
                means.setdefault(found, changes.mean)
        pairs = tuple(
            replace(pair, between=cast("tuple[str, str]", tuple(_compiled(name) for name in pair.between)))
            for pair in check.comparisons
        )
        return replace(check, means=means, covariances=covariances, comparisons=pairs)

    @abstractmethod
    def sections(self) -> Iterator[Section]:
        """What prediction and simulation show."""

    @property
    def described(self) -> Device | ReadNetlist | NonlinearDeck:
        """What it is about: a device, or a netlist as it was read."""
        if self.edited is not None and self.edited.read is not None:
            return self.edited.read
        read = None if self.folder is None else self.folder.read
        assert read is not None or isinstance(self.subject, Device)
        return self.subject if read is None else read  # type: ignore[return-value]

    @property
    def device(self) -> Device:
        """The device.

        Raises
        ------
        UsageError
            If there is a netlist, and no device.
        """
        if isinstance(self.subject, Device):
            return self.subject
        raise UsageError(f"{self.name} is a netlist, and no device")

    @property
    def commands(self) -> tuple[str, ...]:
        """Command lines that give the same again."""
        if self.folder is None:
            return ()
        seed = ["--seed", str(self.settings.seed)]
        place = str(self.folder.path if self.folder.directory is None else self.folder.directory)
        law = place if self.edited is None else str(self.edited.file)
        verbs = [("check", place, self.settings.options("check"))]
        if self.prediction is not None:
            verbs += [("predict", law, []), ("simulate", law, [*self.simulated, *seed])]
        verbs.append(("report", place, self.settings.options("report")))
        return tuple(shlex.join(["spu", verb, of, *options]) for verb, of, options in verbs)


AS_COMPILED, AS_EDITED = "as compiled", "as edited"
"""What the emulator's two laws are called where a netlist was edited."""


def _compiled(name: str) -> str:
    return AS_COMPILED if name == "emulator" else name


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatorsEvidence(Evidence):
    """Of an edited netlist of which the emulator knows no law: what the simulator says of it, and nothing besides."""

    prediction: None = None
    simulation: None = None

    @classmethod
    def found(cls, given: Gathering) -> dict[str, Any]:  # noqa: ARG003
        """Nothing."""
        return {}

    @property
    def simulated(self) -> list[str]:
        """No run."""
        return []

    @property
    def answered(self) -> str:
        """What the simulator alone has answered."""
        changes = self.check.changes
        if changes is None or not changes.measured:
            return "was not asked for the covariance"
        return f"alone has answered: the covariance was {changes.how}"

    def figures(self) -> Iterator[tuple[str, str]]:
        """That the simulator alone has answered."""
        yield from super().figures()
        yield self.check.simulator, self.answered

    def sections(self) -> Iterator[Section]:
        """Why there are none."""
        assert self.edited is not None
        name = self.check.simulator
        pairs = [
            ("why", self.edited.why),
            (name, self.answered),
            ("not known", "exact law, spectra between the simulator's frequencies, samples, time constants"),
        ]
        yield Section(f"Only {name} knows this netlist", [Facts(pairs)])


KINDS: dict[str, type[Evidence]] = {}
"""The register: of each kind of dynamics, by its name."""

AnyEvidence = TypeVar("AnyEvidence", bound=type[Evidence])


def register(name: str) -> Callable[[AnyEvidence], AnyEvidence]:
    """Add the evidence that there is of a kind of dynamics."""

    def add(kind: AnyEvidence) -> AnyEvidence:
        KINDS[name] = kind
        return kind

    return add


def held(subject: Subject) -> Device | Folder | NonlinearDeck:
    """What is to be reported on: a folder, a device that lies in none, or a netlist that only a simulator runs.

    Raises
    ------
    UsageError
        If it is neither, nor holds or names one.
    SpuError
        As reading what lies at a path does.
    """
    given = read_any(subject) if isinstance(subject, (str, os.PathLike)) else opened(subject)
    if isinstance(given, NonlinearDeck):
        return given
    if isinstance(given, ReadNetlist):
        return Folder(given.path, None, given.circuit, given.circuit.problem, None, given.path, read=given)
    if isinstance(given, Folder):
        return given
    found = subject_of(given)
    if isinstance(found, Device):
        return found
    raise UsageError("a bare circuit has no netlist to be checked: pass its device, or a netlist that was read")


def gather(subject: Subject, settings: Settings, progress: Callable[[str], None] | None = None) -> Evidence:
    """Check, predict and simulate.

    Raises
    ------
    KeyboardInterrupt
        If the simulation was interrupted: half of one is no evidence.
    SpuError
        As `spu.check`, `spu.predict` and `spu.simulate`.
    """
    given = held(subject)
    folder = given if isinstance(given, Folder) else None
    meant = given.subject if isinstance(given, Folder) else given
    kind, of, edited = _kind(meant, settings), meant, None
    if not isinstance(meant, NonlinearDeck):
        edited = _edited(settings, folder, circuits(meant)[0])
    if edited is not None and edited.read is not None:
        of, kind = edited.read.circuit, KINDS[dynamics(edited.read.circuit).name]
    elif edited is not None:
        kind = SimulatorsEvidence
    specification = settings.specification
    characterised = None if specification is None else characterise(given, specification, progress=progress)
    checked = check(
        given,
        netlist=settings.netlist,
        levels=settings.levels,
        accuracy=settings.accuracy,
        seed=settings.seed,
        time_limit=settings.time_limit,
        detect=settings.detect,
        budget=settings.budget,
        include_outside=settings.include_outside,
        ignore_control=settings.ignore_control,
        simulator=settings.simulators,
        progress=progress,
    )
    try:
        found = kind.found(Gathering(of, settings, progress or (lambda _: None)))
    except CircuitError as error:  # no law, of what somebody edited
        if edited is None:
            raise
        kind, found, edited = SimulatorsEvidence, {}, replace(edited, why=f"the emulator finds no law: {error}")
    return kind(
        name=_name(meant if isinstance(meant, NonlinearDeck) else folder),
        subject=of,
        edited=edited,
        folder=folder,
        check=checked,
        netlist=_netlist(folder, meant, settings),
        settings=settings,
        versions=_versions(checked),
        hashes=_hashes(folder, meant, settings),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        characterisation=characterised,
        **found,
    )


def _kind(meant: Device | Circuit | NonlinearDeck, settings: Settings) -> type[Evidence]:
    if isinstance(meant, NonlinearDeck):
        given = {"specification": settings.specification, "samples": settings.samples}
        refuse_options("netlists that only ngspice runs", given)
        return KINDS["alone"]
    does = dynamics(circuits(meant)[0])
    if does.name not in KINDS:
        raise UsageError(f"there are no reports on {does.words}: check, predict and simulate take them")
    return KINDS[does.name]


def _edited(settings: Settings, folder: Folder | None, circuit: Circuit) -> EditedNetlist | None:
    """The netlist that was given, read with the readout of what it stands for."""
    file = settings.netlist
    if file is None:
        return None
    choices = folder.read.choices if folder is not None and folder.read is not None else Choices()
    nodes = probed_nodes(circuit)
    try:
        read = read_netlist(
            file,
            probes=[f"{name}={node}" for name, node in zip(circuit.probes, nodes, strict=True)],
            silent=choices.silent,
            densities=choices.densities,
            max_instances=max(MAX_INSTANCES, 2 * netlist_size(circuit)),
            include_outside=settings.include_outside,
            ignore_control=settings.ignore_control,
            at_start=True,
        )
    except SpuError as refusal:
        return EditedNetlist(file, None, str(refusal))
    same = replace(read.circuit, readout=circuit.readout, problem=circuit.problem)
    return EditedNetlist(file, replace(read, circuit=same), "")


class _Run(Protocol):
    @property
    def complete(self) -> bool: ...


AnyRun = TypeVar("AnyRun", bound=_Run)


def whole(run: AnyRun) -> AnyRun:
    """A simulation that ctrl-C has not cut short: half of one is no evidence."""
    if not run.complete:
        raise KeyboardInterrupt
    return run


def gap(check: Check, a: str, b: str) -> float:
    """How far two covariances lie apart, relative to the first's size."""
    first, second = check.covariances[a], check.covariances[b]
    size = float(np.linalg.norm(first))
    apart = float(np.linalg.norm(second - first))
    return apart / size if size else apart


def _name(folder: Folder | NonlinearDeck | None) -> str:
    if folder is None:
        return "device"
    return folder.path.name if folder.directory is None else folder.directory.resolve().name


def _netlist(
    folder: Folder | None, subject: Device | Circuit | NonlinearDeck, settings: Settings
) -> tuple[str, str] | None:
    file = settings.netlist or (folder.netlist if folder is not None else None)
    if isinstance(subject, NonlinearDeck):
        file = file or subject.path
    if file is not None:
        return file.name, file.read_text(encoding="utf-8", errors="replace")
    return None if folder is not None else ("device.cir", written(subject, seed=settings.seed))


def _versions(checked: Check) -> dict[str, str]:
    return {
        "spu": __version__,
        **{each.simulator: each.version for each in checked.each},
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _hashes(folder: Folder | None, subject: Device | Circuit | NonlinearDeck, settings: Settings) -> dict[str, str]:
    found = {"device" if isinstance(subject, Device) else "circuit": subject.hash}
    files = [settings.netlist] if settings.netlist is not None else []
    files += [subject.path] if isinstance(subject, NonlinearDeck) else []
    if folder is not None:
        beside = [folder.directory / "problem.json"] if folder.directory is not None else []
        files += [file for file in (folder.path, folder.netlist, *beside) if file is not None and file.is_file()]
    for file in files:
        found[f"{file.name} (SHA-256)"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found
