"""What a check says: levels with a verdict each, and the worst of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.crosscheck.decks.changes import Changes

if TYPE_CHECKING:
    from spu.emulator.laws.spectra import Spectra


LEVELS = ("ideal", "answer", "op", "ac", "replay", "noise")
"""In the order in which they run: cheap and sharp first."""

VERDICTS = ("pass", "skipped", "inconclusive", "error", "fail")
"""From best to worst; a level that was skipped says nothing against the device."""

SHOWN = 5
"""Entries, cells and runners-up named."""


@dataclass(frozen=True, eq=False)
class Level:
    """The outcome of one level.

    Attributes
    ----------
    verdict:
        One of `VERDICTS`.
    error, tolerance:
        The worst figure found over what is allowed, both relative; None where there is none.
    seconds:
        Wall time.
    message:
        One line for people: what was compared and the worst place.
    data:
        Every further figure, JSON-able.
    exit_status:
        What the command line returns if this level is the worst: 1 for ``fail``, 2 for an
        ``error`` in the deck, 3 where ngspice is missing, else 0.
    false_alarm_rate:
        Probability that this level fails a correct device and deck by chance; 0 where no chance is involved, None
        where the level did not run.
    detects:
        The smallest deviations that it sees with near certainty (99 %, or surely where no chance is involved),
        relative, by what deviates: see `spu.crosscheck.levels.power`.
    compares, failing:
        For people: what was set side by side; what it means that it fails, the end of a sentence.
    """

    name: str
    verdict: str
    message: str
    error: float | None = None
    tolerance: float | None = None
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    exit_status: int = 0
    false_alarm_rate: float | None = None
    detects: dict[str, Any] = field(default_factory=dict)
    compares: str = ""
    failing: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"the verdict of level {self.name} must be one of {', '.join(VERDICTS)}: {self.verdict!r}")


@dataclass(frozen=True)
class Comparison:
    """One pair of what a check compares, one quantity; all sizes are Frobenius norms, relative to the first one's.

    Attributes
    ----------
    between:
        Two of ``ideal``, ``emulator``, ``ngspice`` and ``ngspice transient``; or two simulators.
    quantity:
        ``covariance``, ``mean`` or, where that is the answer, ``lagged`` (covariance). A mean is measured against the
        noise (the root of the covariance's trace) where it is zero. Two simulators are also set side by side by their
        ``transfer functions`` (the worst, over its peak) and the ``path`` that the same noise makes (the worst, over
        its norm); their covariances and means are relative to the emulator's.
    found:
        How far the two are apart.
    predicted:
        What of it is known in advance or follows from what was measured on the same noise: ``compilation`` (codes,
        ranges, the resistors' own noise), ``converters``, ``white noise`` in place of a clock's, ``sampled noise``,
        ``finite steps`` of ngspice. Parts are matrices: their sizes need not add up.
    scatter:
        Expected size of what few samples leave; 0 where nothing is sampled.
    unexplained:
        Size of the difference less all predicted parts.
    limit:
        What is allowed of that; of what is sampled the verdict of the statistical tests decides, and this is None.
    within:
        Whether it is.
    """

    between: tuple[str, str]
    quantity: str
    found: float
    predicted: dict[str, float]
    scatter: float
    unexplained: float
    limit: float | None
    within: bool


Corner = Comparison
"""The old name: a corner is one of the process (`spu.corners`)."""


@dataclass(frozen=True, eq=False, repr=False)
class Check(Result):
    """The outcome of a check.

    Attributes
    ----------
    verdict:
        The worst of the levels run; ``skipped`` ones count only if nothing else ran.
    levels:
        By name, in the order run.
    variables:
        Names for the arrays below.
    means, covariances:
        In problem units, (p,) and (p, p), by name: ``ideal`` (absent without a problem whose moments are known),
        ``emulator``, ``ngspice`` (mean from ``op``, covariance from ``ac``) and ``ngspice
        transient`` (both from ``noise``, with its scatter); absent unless their levels ran. Of nonlinear cells
        ``emulator`` is the exact law, or where none is known its own runs, and ``ngspice`` what ``noise`` found.
    notes:
        What the reader should know besides (a deck written for another device...).
    comparisons:
        How far ideal model, emulator and ngspice lie apart, pairwise, and what of that was predicted; ``corners`` is
        another name for it.
    changes:
        How an edited netlist differs from the device's own, in text and in the answer; None where none was given.
    diagnosis:
        Which single change explains what failed; None where nothing failed or nothing measured can tell.
    spectra:
        Of a few telling cells, by emulator and ngspice; of an ensemble those of the first programming.
    simulator:
        What ran the netlist. Where it is another, its name stands for ``ngspice`` in the names above.
    version, dialect, netlist:
        What it says of its version, the language that it takes, and the file that it ran; None of one that was written
        for the check.
    parts:
        Of a check by several simulators that of each by itself, in the order in which they were asked for; levels that
        need none are the first one's. Then ``levels``, ``notes``, ``changes``, ``diagnosis`` and ``spectra`` are the
        first one's, too; ``means``, ``covariances`` and ``comparisons`` are of all, and the verdict is the worst.

    Examples
    --------
    >>> import spu
    >>> found = spu.check(spu.compile([[2.0, -0.5], [-0.5, 1.0]]), levels=["ideal", "ac"])
    >>> [(name, level.verdict) for name, level in found.levels.items()]
    [('ideal', 'pass'), ('ac', 'pass')]
    >>> sorted(found.covariances)
    ['emulator', 'ideal', 'ngspice']
    """

    levels: dict[str, Level]
    variables: tuple[str, ...]
    means: dict[str, Annotated[FloatArray, "p"]]
    covariances: dict[str, Annotated[FloatArray, "p p"]]
    notes: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    changes: Changes | None = None
    diagnosis: Diagnosis | None = None
    spectra: Spectra | None = None
    simulator: str = "ngspice"
    version: str = ""
    dialect: str = "ngspice"
    netlist: str | None = None
    parts: tuple[Check, ...] = ()

    in_short = ("verdict", "variables")

    @property
    def each(self) -> tuple[Check, ...]:
        """One check a simulator."""
        return self.parts or (self,)

    @property
    def simulators(self) -> tuple[str, ...]:
        """Names of the simulators."""
        return tuple(found.simulator for found in self.each)

    @property
    def shown(self) -> list[tuple[str, Level]]:
        """All levels in the order in which they ran, with the simulator that ran each; "" where only one was asked."""
        found = [
            (name, check.simulator, check.levels[name])
            for name in self.levels
            for check in self.each
            if name in check.levels
        ]
        asked = Counter(name for name, _, _ in found)
        return [(simulator if asked[name] > 1 else "", level) for name, simulator, level in found]

    @property
    def disagreements(self) -> tuple[Comparison, ...]:
        """Comparisons of two simulators that are farther apart than is allowed."""
        both = set(self.simulators)
        return tuple(row for row in self.comparisons if set(row.between) <= both and not row.within)

    @property
    def corners(self) -> tuple[Comparison, ...]:
        """`comparisons`, by their old name."""
        return self.comparisons

    @property
    def verdict(self) -> str:
        """The worst verdict of the levels that ran, of all simulators; ``fail`` if two of these disagree."""
        verdicts = [level.verdict for _, level in self.shown if level.verdict != "skipped"]
        return "fail" if self.disagreements else max(verdicts, key=VERDICTS.index, default="skipped")

    @property
    def exit_status(self) -> int:
        """1 if any level failed or two simulators disagree, else 3 or 2 if a level could not run, else 0."""
        if self.verdict == "fail":
            return 1
        return max((level.exit_status for _, level in self.shown), default=0)

    @property
    def levels_dict(self) -> dict[str, dict[str, Any]]:
        """The levels for ``--json``, by name."""
        return {
            name: {
                **level.data,
                "verdict": level.verdict,
                "error": level.error,
                "tolerance": level.tolerance,
                "false_alarm_rate": level.false_alarm_rate,
                "detects": level.detects,
                "seconds": level.seconds,
                "message": level.message,
            }
            for name, level in self.levels.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints, but for names of files: arrays stay arrays."""
        return {
            "verdict": self.verdict,
            "simulator": self.simulator,
            "simulators": [
                {
                    "name": found.simulator,
                    "version": found.version,
                    "dialect": found.dialect,
                    "netlist": found.netlist,
                    "verdict": found.verdict,
                    "levels": found.levels_dict,
                    "notes": found.notes,
                    "diagnosis": None if found.diagnosis is None else found.diagnosis.to_dict(),
                }
                for found in self.each
            ],
            "levels": self.levels_dict,
            "notes": self.notes,
            "variables": self.variables,
            "means": self.means,
            "covariances": self.covariances,
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_dict(),
            "comparisons": (pairs := [asdict(pair) for pair in self.comparisons]),
            "corners": pairs,  # the old name
            "changes": None if self.changes is None else self.changes.to_dict(),
        }

    def worst_variables(self, limit: int) -> list[int]:
        """Indices of the variables: all in order, or the ``limit`` that differ most, exact ones compared."""
        n = len(self.variables)
        if n <= limit:
            return list(range(n))
        exact = [name for name in ("ideal", "emulator", *self.simulators) if name in self.covariances]
        variances = np.array([self.covariances[name].diagonal() for name in exact])
        means = np.array([self.means[name] for name in exact if name in self.means]).reshape(-1, n)
        scale = np.maximum(np.abs(variances).max(axis=0), np.finfo(float).tiny)
        gap = np.ptp(variances, axis=0) / scale
        if len(means):
            gap = np.maximum(gap, np.ptp(means, axis=0) / np.sqrt(scale))
        return [int(k) for k in np.argsort(-gap, kind="stable")[:limit]]


@dataclass(frozen=True)
class Explanation:
    """A single change that would explain a difference.

    Attributes
    ----------
    element:
        What is changed, as it is called in the netlist: ``c1 of xcell_a`` is element c1 of the subcircuit of
        instance ``xcell_a``.
    kind:
        ``value``, ``missing``, ``shorted``, ``doubled``, ``multiplied``, ``sign``, ``swapped``, ``moved``, ``rewired``
        or ``added``.
    before, after:
        Value (SI) or node: in the circuit, and in what was measured. None where there is none.
    explained:
        Share of the squared differences, each in units of what its level allows, that the change explains; None of
        what makes measuring impossible.
    remaining:
        The worst difference that it leaves, in units of what is allowed.
    equivalent:
        Whether it explains the difference as well as the best one: the measurements cannot tell them apart.
    """

    element: str
    kind: str
    before: float | str | None
    after: float | str | None
    explained: float | None
    remaining: float | None
    equivalent: bool = False

    @property
    def complete(self) -> bool:
        """Whether what is left is within what the levels allow."""
        return self.remaining is not None and self.remaining <= 1.0

    @property
    def share(self) -> float:
        """What it explains, as a number."""
        return self.explained or 0.0

    @property
    def text(self) -> str:
        """The change in words."""
        before, after = _shown(self.before), _shown(self.after)
        if self.kind == "swapped":
            return f"{self.element} swapped"
        if self.kind == "missing":
            return f"{self.element} missing" + (f" (should be {before})" if self.before is not None else "")
        if self.kind == "added":
            return f"{self.element} added, {after}"
        if self.kind in ("moved", "rewired"):
            return f"{self.element} at {after} instead of {before}"
        if self.kind == "multiplied" or (self.kind == "doubled" and self.element.startswith("x")):
            return f"{self.element} there {after} times"
        word = {"sign": " (sign)", "shorted": " (a short)", "doubled": " (doubled)"}.get(self.kind, "")
        return f"{self.element}: {before} expected, {after} found{word}"


def _shown(value: float | str | None) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:.6g}"


@dataclass(frozen=True)
class Diagnosis:
    """Where a circuit and what was measured differ, and which single change explains it.

    Attributes
    ----------
    entries:
        Entries of the covariance that moved most: ``cells`` (two names), ``expected``, ``measured`` (V^2),
        ``relative`` (to the root of the product of the two variances).
    cells:
        The cells whose transfer functions (or DC voltages) moved most, worst first.
    best:
        The explanation, or None: no single change explains it.
    others:
        Runners-up, best first; those marked ``equivalent`` are as good as the best.
    """

    entries: tuple[dict[str, Any], ...]
    cells: tuple[str, ...]
    best: Explanation | None
    others: tuple[Explanation, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    @property
    def lines(self) -> list[str]:
        """For people: a few plain lines."""
        out = []
        if self.best is None:
            out.append("No single change of one element explains the difference.")
            if self.others:
                out.append(f"Nearest: {self.others[0].text}, which explains {self.others[0].share:.0%} of it.")
        elif self.best.explained is None:
            out.append(f"{self.best.text}: nothing could be measured.")
        else:
            share = (
                "explains all of it, within what the check allows"
                if self.best.complete
                else f"explains {_percent(self.best.share)} of it, not all: something else differs too"
            )
            out.append(f"{self.best.text}: {share}.")
            same = [other.text for other in self.others if other.equivalent]
            if same:
                out.append(f"What was measured cannot tell it from: {'; '.join(same)}.")
        if self.cells:
            out.append(f"Most affected: {', '.join(self.cells)}.")
        return out


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 0.9995 else "more than 99.9 %"
