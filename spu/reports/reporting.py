"""The door of `report`: what is asked for is gathered, laid out and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spu.base.arguments import SIMULATORS_SEEDS, Seed, seed_of, whole
from spu.base.errors import InputError, OptionError, OutputError, UsageError
from spu.base.files import write_text
from spu.crosscheck import Check
from spu.device.device import Device
from spu.device.subject import Subject
from spu.folder import Folder
from spu.reports import alone, html, langevin, linear, markdown  # noqa: F401 - each registers what it can tell
from spu.reports.document import Document
from spu.reports.evidence import Evidence, Settings, gather, held
from spu.reports.sections import document as laid_out
from spu.spice.reader.nonlinear import NonlinearDeck
from spu.spice.simulators import SIMULATORS, Simulator, find_simulators
from spu.studies.yields.specification import Specification, load_specification

__all__ = ["FORMATS", "Evidence", "Report", "report"]

FORMATS = ("html", "md")
_SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md"}


@dataclass(frozen=True, eq=False)
class Report:
    """A report that was written.

    Attributes
    ----------
    file:
        Where.
    format:
        One of `FORMATS`.
    pictures:
        Files of the pictures of a Markdown report; a page of HTML has its pictures in it.
    evidence:
        What it shows.
    """

    file: Path
    format: str
    pictures: tuple[Path, ...]
    evidence: Evidence

    @property
    def check(self) -> Check:
        """The check in it."""
        return self.evidence.check

    @property
    def verdict(self) -> str:
        """The verdict of the check."""
        return self.check.verdict

    @property
    def exit_status(self) -> int:
        """That of the check; 1 if the specification is missed."""
        found = self.evidence.characterisation
        return 1 if found is not None and found.exit_status else self.check.exit_status


def report(
    subject: Subject,
    file: str | Path | None = None,
    *,
    format: str | None = None,
    netlist: str | Path | None = None,
    levels: str | Sequence[str] | None = None,
    accuracy: float | None = None,
    seed: Seed = 0,
    time_limit: float = 300.0,
    samples: float | None = None,
    detect: float | None = None,
    budget: float | None = None,
    include_outside: bool = False,
    ignore_control: bool = False,
    specification: str | Path | Specification | None = None,
    simulator: str | Simulator | Sequence[str | Simulator] = "ngspice",
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Check, predict and simulate a device, and write down what came out: the verdict first, then the evidence.

    Parameters
    ----------
    subject:
        A device, compiled or built by hand; a netlist that was read; a folder; or the path of one, of a
        ``device.json`` or of a netlist.
    file:
        Where to; ``report.html`` or ``report.md`` in the folder unless given. Pictures of a Markdown report are
        written beside it.
    format:
        One of `FORMATS`; by default what the file's name says, or HTML.
    netlist, levels, accuracy, time_limit, detect, budget, include_outside, ignore_control, simulator:
        Of the check (`spu.check`).
    seed:
        Of the check and of the simulation.
    samples:
        Of the simulation: of linear devices readouts, by default 10,000; of networks trajectories, by default 1000
        (of large ones fewer).
    specification:
        A `spu.Specification` or its file: the device is held against it (`spu.characterise`), with its own tolerance.
    progress:
        Called with a few words before each part.

    Raises
    ------
    OutputError
        If the file cannot be written, or is one that this function did not write.
    UsageError
        For an unknown format, a device that lies in no folder and has no file named for its report, or numbers that
        make no sense.
    SpuError
        As `spu.check`, `spu.predict`, `spu.simulate` and `spu.characterise`.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> found = spu.report(device, "pair.html", levels=["ideal"], samples=100)
    >>> found.verdict, found.format, found.file.stat().st_size > 10_000
    ('pass', 'html', True)
    """
    given = held(subject)
    where, kind = destination(given, file, format)
    simulators = find_simulators(simulator)
    if specification is not None:
        load_specification(specification)
    count = whole("samples", samples)
    if count is not None and count < 1:
        raise OptionError("samples", f"must be 1 or more, not {count}")
    seed = seed_of(seed, SIMULATORS_SEEDS)
    if netlist is not None and not Path(netlist).is_file():
        raise InputError("there is no such netlist", file=netlist)
    settings = Settings(
        None if netlist is None else Path(netlist),
        None if levels is None else (levels,) if isinstance(levels, str) else tuple(levels),
        accuracy,
        seed,
        time_limit,
        count,
        detect,
        budget,
        include_outside,
        ignore_control,
        Path(specification) if isinstance(specification, str) else specification,
        tuple(each.name if SIMULATORS.get(each.name) is each else each for each in simulators),
    )
    evidence = gather(given, settings, progress)
    if progress is not None:
        progress("pictures")
    pictures = write(laid_out(evidence), where, kind)
    return Report(where, kind, pictures, evidence)


def destination(
    subject: Device | Folder | NonlinearDeck, file: str | Path | None, format: str | None
) -> tuple[Path, str]:
    """Say where a report goes and as what; raise what writing it would raise, before any work is done."""
    if format is not None and format not in FORMATS:
        raise UsageError(f"no format {format!r}: a report is html or md")
    if file is None:
        directory = None if isinstance(subject, Device) else subject.directory
        if directory is None:
            raise UsageError("this device lies in no compiled folder: name the file of its report (-o FILE)")
        kind = format or "html"
        file = directory / f"report.{kind}"
    else:
        file = Path(file)
        named = _SUFFIXES.get(file.suffix.lower())
        if format is None and named is None:
            raise UsageError(f"a report is .html or .md, not {str(file)!r}: rename it, or say which with --format")
        kind = format or named or "html"
    if not file.parent.is_dir():
        raise OutputError(f"cannot be written: there is no folder {str(file.parent)!r}", file=file)
    if file.is_dir():
        raise OutputError("is a folder; a file is to be written", file=file)
    if file.exists() and not (file.is_file() and _ours(file)):
        raise OutputError("was not written by this command: move it, or give another name", file=file)
    return file, kind


def _ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(1000).decode("utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"cannot be read: {error.strerror or error}", file=file) from None
    return not head or html.GENERATOR in head or markdown.GENERATOR in head


def write(document: Document, file: Path, kind: str) -> tuple[Path, ...]:
    """Write a document; what gives its pictures, if they lie beside it, comes first, so that it never lacks one."""
    if kind == "html":
        write_text(file, html.page(document))
        return ()
    from spu.reports.pictures.figures import svg

    files = {picture.name: file.with_name(f"{file.stem}.{picture.name}.svg") for picture in document.pictures()}
    drawn = {picture.name: svg(picture.figure, picture.name, picture.alternative) for picture in document.pictures()}
    text = markdown.page(document, {name: path.name for name, path in files.items()})
    for name, path in files.items():
        write_text(path, drawn[name])
    write_text(file, text)
    return tuple(files.values())
