"""How many boards of a device meet a limit, what makes the others miss it, and what would help."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spu.base.arguments import is_number, seed_of, whole
from spu.base.arrays import FloatArray, IntArray
from spu.base.display import Result
from spu.base.errors import OptionError, Unrealizable
from spu.base.files import write_text
from spu.base.names import shorten
from spu.base.proportions import clopper_pearson
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.hardware_file import load_hardware
from spu.device.subject import Subject
from spu.device.tolerance import Tolerance
from spu.device.variation import elements_of, varied
from spu.folder import write_device
from spu.studies.campaign import Study, open_study
from spu.studies.checks import check_many
from spu.studies.yields.boards import device_of
from spu.studies.yields.intervals import WORDS, korn_graubard
from spu.studies.yields.metrics import Metric, metric_of, nominal_of, value_of
from spu.studies.yields.sampling import HYPERCUBES, Plan, about, checked_plan, sampled
from spu.studies.yields.slopes import Spreads, contributions
from spu.studies.yields.spread import Variables, tolerance_of, tolerance_of_hardware
from spu.studies.yields.wanted import (
    SCALES,
    UNIT,
    Rate,
    ScanPoint,
    Wanted,
    bits_of,
    checked_elements,
    largest_scale,
    recompiled,
    wanted_bits,
    wanted_scale,
    why_no_bits,
)
from spu.studies.yields.worst_case import WorstCase, worst_case

__all__ = ["QUANTILES", "WorstBoard", "Yield", "yields"]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_SCANNED_BITS = 4
"""Bits more, and fewer, at which a scan looks."""


@dataclass(frozen=True)
class WorstBoard:
    """One of the worst boards.

    Attributes
    ----------
    number, value:
        Which of those drawn, and its metric.
    folder:
        Where it is written: device, netlist and problem.
    verdict:
        What checking it in ngspice gave; None where nothing was checked.
    levels:
        Of each level.
    """

    number: int
    value: float
    folder: str
    verdict: str | None = None
    levels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Yield(Result):
    """How many boards meet a limit.

    Attributes
    ----------
    hash, architecture:
        Of the device.
    metric, unit, words:
        What boards are judged by: its name, unit and what it is.
    low, high:
        What it must lie between; None where there is no limit.
    tolerance:
        How elements spread, as hardware files hold it.
    seed, method, confidence:
        Of the boards: their seed, ``plain`` or ``latin``; and of the interval.
    nominal:
        The metric of the device as it is made for.
    values:
        (d,) of each board; not a number of one without a law.
    unstable:
        Numbers of the boards that have none: they count as bad.
    spreads:
        What sensitivities say of the spread.
    worst_case:
        The nearest board at the limit; None where it was not asked for.
    wanted:
        What a wanted yield needs; None likewise.
    scan:
        Yields at other tolerances and numbers of bits.
    netlists:
        The worst boards, where they were written.

    Examples
    --------
    >>> import spu
    >>> device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    >>> found = spu.yields(device, 0.04, tolerance="cell.capacitance=2%,coupler.capacitance=2%", draws=200)
    >>> found.draws, 0.8 < found.rate < 1.0, found.interval[0] < found.rate < found.interval[1]
    (200, True, True)
    >>> [each.element for each in found.spreads.contributions][:2]
    ['capacitance of x2', 'capacitance of x1']
    """

    hash: str
    architecture: str | None
    metric: str
    unit: str
    words: str
    relative: bool
    low: float | None
    high: float | None
    tolerance: Mapping[str, Any]
    seed: int
    method: str
    confidence: float
    nominal: float
    values: Annotated[FloatArray, "d"]
    unstable: tuple[int, ...]
    spreads: Spreads
    worst_case: WorstCase | None = None
    wanted: Wanted | None = None
    scan: tuple[ScanPoint, ...] = ()
    bits: tuple[int, ...] = ()
    netlists: tuple[WorstBoard, ...] = ()

    in_short = ("metric", "rate", "interval", "draws")

    @property
    def draws(self) -> int:
        """How many boards."""
        return len(self.values)

    @cached_property
    def good(self) -> Annotated[Any, "d"]:
        """(d,) whether each board meets the limit."""
        return _good(self.values, self.low, self.high)

    @property
    def rate(self) -> float:
        """The share of boards that do."""
        return self._rate.rate

    @property
    def interval(self) -> tuple[float, float]:
        """What the yield of all boards is, with the stated confidence."""
        return self._rate.low, self._rate.high

    @property
    def interval_is(self) -> str:
        """Which interval that is."""
        return WORDS[self.method]

    @cached_property
    def _rate(self) -> Rate:
        return rate_of(self.good, self.method, self.confidence)

    @cached_property
    def quantiles(self) -> dict[float, float]:
        """Of the metric over boards; those without a law stand at its bad end, infinite."""
        worst = np.inf if self.high is not None else -np.inf
        values = np.where(np.isnan(self.values), worst, self.values)
        return dict(zip(QUANTILES, np.quantile(values, QUANTILES, method="inverted_cdf").tolist(), strict=True))

    @cached_property
    def spread(self) -> tuple[float, float] | None:
        """What `spreads` speaks of, of the boards that were drawn, with its standard error; None of too few."""
        return self.spreads.of(self.values)

    @property
    def confirmed(self) -> bool | None:
        """Whether ngspice agrees on all boards that were checked; None where none was."""
        verdicts = [board.verdict for board in self.netlists if board.verdict is not None]
        return all(verdict == "pass" for verdict in verdicts) if verdicts else None

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        spread, worst = self.spread, self.worst_case
        return {
            "device": self.hash,
            "architecture": self.architecture,
            "metric": self.metric,
            "unit": self.unit,
            "words": self.words,
            "limit": {"low": self.low, "high": self.high},
            "tolerance": self.tolerance,
            "draws": self.draws,
            "seed": self.seed,
            "method": self.method,
            "yield": self.rate,
            "good": int(self.good.sum()),
            "interval": list(self.interval),
            "interval_is": self.interval_is,
            "confidence": self.confidence,
            "nominal": self.nominal,
            "quantiles": {f"{share:g}": value for share, value in self.quantiles.items()},
            "unstable": list(self.unstable),
            "contributions": [asdict(each) for each in self.spreads.contributions],
            "predicted": {
                "what": self.spreads.what,
                "first_order": self.spreads.first_order,
                "systematic": self.spreads.systematic,
                "monte_carlo": None if spread is None else spread[0],
                "monte_carlo_error": None if spread is None else spread[1],
            },
            "worst_case_distance": None if worst is None else worst.distance,
            "worst_case": None if worst is None else worst.to_dict(),
            "wanted": None if self.wanted is None else self.wanted.to_dict(),
            "scan": [asdict(point) for point in self.scan],
            "bits": list(self.bits),
            "netlists": [asdict(board) for board in self.netlists],
        }


def _good(values: FloatArray, low: float | None, high: float | None) -> Any:
    with np.errstate(invalid="ignore"):
        return (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))


def rate_of(good: Any, method: str, confidence: float) -> Rate:
    """A yield with its interval, of (d,) truth values in the order in which boards were drawn."""
    draws, count = len(good), int(good.sum())
    if method == "latin":
        size = draws // HYPERCUBES
        ends = korn_graubard(good.reshape(HYPERCUBES, size).sum(axis=1).tolist(), size, confidence)
    else:
        ends = clopper_pearson(count, draws, confidence)
    return Rate(count / draws, *ends)


def limits_of(metric: Metric, limit: object) -> tuple[float | None, float | None]:
    """Low and high limit of a metric, out of a number, which is the one on its bad side, or a pair.

    Raises
    ------
    OptionError
        If it is neither, or leaves nothing between.
    """
    if is_number(limit) and np.isfinite(float(limit)):  # type: ignore[arg-type]
        value = float(limit)  # type: ignore[arg-type]
        return (None, value) if metric.fails == "above" else (value, None)
    ends = tuple(limit) if isinstance(limit, (tuple, list)) else ()
    well = len(ends) == 2 and all(end is None or (is_number(end) and np.isfinite(end)) for end in ends)
    if not well or ends == (None, None):
        raise OptionError("limit", f"is {shorten(limit)}: a number is wanted, or (low, high)")
    low, high = (None if end is None else float(end) for end in ends)
    if low is not None and high is not None and low >= high:
        raise OptionError("limit", f"is from {low:g} to {high:g}: nothing lies between")
    return low, high


def yields(
    subject: Subject,
    limit: float | tuple[float | None, float | None],
    metric: str = "relative-error",
    *,
    tolerance: Tolerance | Mapping[str, Any] | str | None = None,
    hardware: str | Path | Hardware | None = None,
    draws: int = 1000,
    seed: int = 0,
    method: str = "plain",
    confidence: float = 0.95,
    distance: bool = True,
    wanted: float | None = None,
    scan: bool = False,
    netlists: int = 0,
    check: bool = False,
    directory: str | Path | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Yield:
    """Draw boards of a device by its tolerance, and say how many meet a limit: exact statistics of each.

    Parameters
    ----------
    subject:
        A device of linear cells, or whatever has or names one.
    limit:
        Of the metric: the largest value of a good board (the smallest of a metric that is bad below), or both,
        ``(low, high)``.
    metric:
        What boards are judged by: one of `spu.studies.yields.metrics.METRICS`, with names of variables where it is of
        some: ``variance x1``.
    tolerance:
        The device's own unless given: a `Tolerance`, its dictionary, or ``cell.capacitance=1%,...``.
    hardware:
        Whose tolerance it is, unless one is given; and what the problem is compiled for anew with other bits.
    draws, seed, method:
        How many boards, of what seed, and how they are drawn: ``plain`` or ``latin`` (`HYPERCUBES` Latin hypercubes).
    confidence:
        Of the interval.
    distance:
        Whether to look for the nearest board at the limit (`Yield.worst_case`).
    wanted:
        A yield, of which is then said what tolerance and what bits it needs.
    scan:
        Whether to find the yield at other tolerances and, with ``hardware``, other numbers of bits.
    netlists, check:
        How many of the worst boards to write into ``directory``, and whether to check them in ngspice.
    directory, cluster, threads, restart, progress:
        As of all studies: where finished pieces are kept, and who does them. No number hangs on them.

    Raises
    ------
    InputError, OptionError, UsageError
        For anything that is not as said above; where no tolerance is stated, saying how to state one.
    CircuitError
        If the device has no stationary law itself.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0, tolerance=spu.Tolerance(cell={"capacitance": 0.01}))
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> found = spu.yields(device, 0.02, draws=100)
    >>> found.spreads.contributions[0].element, round(found.spreads.first_order, 6)
    ('capacitance of out', 0.01)
    >>> round(found.worst_case.distance, 2)
    1.96
    """
    device = device_of(subject)
    seed = seed_of(seed)
    plan = checked_plan(draws, seed, method)
    _check_options(confidence, wanted, netlists, check, directory)
    built = None if hardware is None else _built(hardware)
    nominal = nominal_of(device)
    judged = metric_of(nominal, metric)
    low, high = limits_of(judged, limit)
    elements = elements_of(device)
    if tolerance is None and built is not None:
        tolerance = tolerance_of_hardware(built)
    meant = tolerance_of(device, tolerance, elements)
    spec = about(device, meant, [judged], plan)
    if built is not None:
        spec["hardware"] = built.to_dict()
    with open_study(
        directory, "yield", spec, cluster=cluster, threads=threads, restart=restart, progress=progress
    ) as study:
        work = _Work(study, device, meant, judged, plan, low, high, float(confidence), built)
        values = sampled(study, device, meant, [judged], plan)[:, 0]
        needed = None if wanted is None else work.wanted(float(wanted))
        scanned = work.scan() if scan else ()
    variables = Variables(elements, meant)
    found = Yield(
        hash=device.hash,
        architecture=device.architecture,
        metric=judged.name,
        unit=judged.unit,
        words=judged.words,
        relative=judged.relative,
        low=low,
        high=high,
        tolerance=meant.to_dict(),
        seed=seed,
        method=plan.method,
        confidence=float(confidence),
        nominal=value_of(device, judged),
        values=values,
        unstable=tuple(np.flatnonzero(np.isnan(values)).tolist()),
        spreads=contributions(device, judged, variables),
        worst_case=worst_case(device, judged, variables, low, high) if distance else None,
        wanted=needed,
        scan=scanned,
        bits=() if built is None else bits_of(built),
    )
    if directory is not None:
        _write_boards(Path(directory), found)
    if netlists:
        assert directory is not None  # refused above
        boards = _written(Path(directory), device, meant, plan, found, int(netlists))
        if check:
            boards = _checked(boards, Path(directory), cluster, threads, restart, progress)
        object.__setattr__(found, "netlists", boards)
    return found


def _check_options(confidence: object, wanted: object, netlists: object, check: object, directory: object) -> None:
    for name, value in (("confidence", confidence), ("wanted", wanted)):
        if (value is not None or name == "confidence") and not (is_number(value) and 0 < value < 1):  # type: ignore[operator]
            raise OptionError(name, f"is {shorten(value)}: a share between 0 and 1 is wanted")
    if (whole("netlists", netlists) or 0) < 0:  # type: ignore[arg-type]
        raise OptionError("netlists", f"is {shorten(netlists)}: it must be 0 or more")
    if check and not netlists:
        raise OptionError("check", "is of netlists that are written: say how many by netlists (--netlists K)")
    if netlists and directory is None:
        raise OptionError("netlists", "are written into a folder: give one")


def _built(hardware: str | Path | Hardware) -> Hardware:
    return hardware if isinstance(hardware, Hardware) else load_hardware(hardware)


@dataclass(frozen=True, eq=False)
class _Work:
    """Yields of the same boards elsewhere."""

    study: Study
    device: Device
    tolerance: Tolerance
    metric: Metric
    plan: Plan
    low: float | None
    high: float | None
    confidence: float
    hardware: Hardware | None

    def scaled(self, scale: int) -> Rate:
        """The yield where all standard deviations are so many parts of `UNIT`."""
        name = "boards" if scale == UNIT else f"scale-{scale}"
        values = sampled(
            self.study,
            self.device,
            self.tolerance,
            [self.metric],
            self.plan,
            scale=scale / UNIT,
            name=name,
            said=None,
        )
        return rate_of(_good(values[:, 0], self.low, self.high), self.plan.method, self.confidence)

    def with_bits(self, more: int) -> ScanPoint:
        """The yield where every bank has so many bits more."""
        assert self.hardware is not None and self.device.problem is not None
        device = recompiled(self.device.problem, self.hardware, self.device.architecture, more)
        metric = metric_of(device, self.metric.name)
        name = f"bits-{'fewer' if more < 0 else 'more'}-{abs(more)}"
        values = sampled(self.study, device, self.tolerance, [metric], self.plan, name=name, said=None)
        rate = rate_of(_good(values[:, 0], self.low, self.high), self.plan.method, self.confidence)
        return ScanPoint(1.0, more, value_of(device, metric), *asdict(rate).values())

    @property
    def most(self) -> int:
        """The largest scale."""
        return largest_scale(self.tolerance, checked_elements(self.device, self.tolerance))

    def wanted(self, wanted: float) -> Wanted:
        """What a wanted yield needs."""
        nominal = np.array([value_of(self.device, self.metric)])
        scale = sure = None
        why = []
        if _good(nominal, self.low, self.high)[0]:
            scale = wanted_scale(self.scaled, wanted, self.most)
            sure = wanted_scale(self.scaled, wanted, self.most, sure=True)
            if scale is None:
                why.append("no tolerance of 1/64 of the stated one or more gives it")
            elif sure is None:
                why.append("so few boards are sure of no such yield: draw more")
        else:
            why.append("the device as it is made for misses the limit itself, so that no tolerance gives it")
        bits: int | None = None
        tried: tuple[ScanPoint, ...] = ()
        no_bits = why_no_bits(self.device.problem, self.hardware)
        if no_bits:
            why.append(no_bits)
        else:
            assert self.hardware is not None
            bits, tried = wanted_bits(self.with_bits, wanted, self.hardware)
            if bits is None:
                why.append("no number of bits gives it at the stated tolerance")
        return Wanted(wanted, scale, sure, "; ".join(why), bits, tried)

    def scan(self) -> tuple[ScanPoint, ...]:
        """Yields over tolerance, and over bits where there are banks."""
        scales = sorted({min(round(each * UNIT), self.most) for each in SCALES})
        found = [ScanPoint(scale / UNIT, 0, None, *asdict(self.scaled(scale)).values()) for scale in scales]
        if not why_no_bits(self.device.problem, self.hardware):
            assert self.hardware is not None
            least = 1 - min(bits_of(self.hardware))
            for more in range(max(-_SCANNED_BITS, least), _SCANNED_BITS + 1):
                with suppress(Unrealizable):  # banks so coarse do not hold it
                    found.append(self.with_bits(more))
        return tuple(found)


def _write_boards(directory: Path, found: Yield) -> None:
    """A table of all boards, ``boards.csv``."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["board", found.metric, "good"])
    table.writerows(
        [number, repr(float(value)), int(good)]
        for number, (value, good) in enumerate(zip(found.values, found.good, strict=True))
    )
    write_text(directory / "boards.csv", stream.getvalue())


def worst_of(values: FloatArray, low: float | None, high: float | None, count: int) -> IntArray:
    """(k,) numbers of the boards farthest on the bad side of a limit, the worst first; none without a law."""
    over = np.full(len(values), -np.inf) if high is None else values - high
    under = np.full(len(values), -np.inf) if low is None else low - values
    badness = np.maximum(over, under)
    order = np.argsort(-np.where(np.isfinite(badness), badness, -np.inf), kind="stable")
    return np.asarray(order[np.isfinite(badness[order])][:count])


def _written(
    directory: Path, device: Device, tolerance: Tolerance, plan: Plan, found: Yield, count: int
) -> tuple[WorstBoard, ...]:
    numbers = worst_of(found.values, found.low, found.high, count)
    elements = elements_of(device)
    factors = plan.factors(elements, tolerance, numbers.tolist())
    boards = []
    for number, row in zip(numbers.tolist(), factors, strict=True):
        board = varied(device, row, elements)
        board.tolerance = Tolerance()  # it is drawn
        folder = directory / f"board-{number}"
        write_device(folder, board)
        boards.append(WorstBoard(number, float(found.values[number]), str(folder)))
    return tuple(boards)


def _checked(
    boards: Sequence[WorstBoard],
    directory: Path,
    cluster: str | None,
    threads: int | None,
    restart: bool,
    progress: Callable[[str], None] | None,
) -> tuple[WorstBoard, ...]:
    checks = check_many(
        [board.folder for board in boards],
        directory=directory / "checks",
        cluster=cluster,
        threads=threads,
        restart=restart,
        progress=progress,
    )
    return tuple(
        WorstBoard(
            board.number,
            board.value,
            board.folder,
            found.verdict,
            {name: level.verdict for name, level in found.levels.items()},
        )
        for board, found in zip(boards, checks.checks, strict=True)
    )
