"""How things are timed and told: alternating runs, the machine's own limits, rows and tables. No case lives here."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import adapter
import numpy as np
from machine import machine, told
from shares import PLACES, Shares, of_work

PAUSE = 0.1
"""s between runs: idle threads of one library spin for a while after its last product and would slow the next."""


@dataclass
class Session:
    """Settings of one benchmark run, and what it found.

    Attributes
    ----------
    threads:
        Of every contestant.
    quick:
        Tiny sizes: does it run at all?
    peers:
        Names allowed; None for all.
    limits:
        What the machine can do (`measure_limits`).
    checks, rows:
        Found so far.
    wrong:
        Samplers of the project that failed a check: every figure that rests on them counts as zero.
    """

    threads: int = 2
    quick: bool = False
    peers: frozenset[str] | None = None
    limits: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def pick(self, full: Any, quick: Any) -> Any:
        """One of two sizes."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        print(text, file=sys.stderr, flush=True)


@dataclass
class Check:
    """Whether one sampler's statistics are right.

    Attributes
    ----------
    sampler, version, settings:
        Who.
    what:
        Which number, of which problem.
    law_error:
        Relative Frobenius error of the covariance that the sampler's own recursion tends to, computed without
        sampling; None where it is not computed.
    deviation:
        Root mean square of the sampled error in units of its standard error; 1 is what chance gives.
    worst:
        The largest entry's.
    effective_samples:
        Independent samples worth as much.
    verdict:
        ``right``, ``biased as stated``, ``WRONG`` or why there is none.
    """

    sampler: str
    version: str
    settings: str
    what: str
    verdict: str
    law_error: float | None = None
    deviation: float | None = None
    worst: float | None = None
    effective_samples: float | None = None


@dataclass
class Row:
    """One figure: the project against one peer.

    Attributes
    ----------
    case, what:
        Which case, and what is timed.
    key:
        By which tables of several runs find it again; empty where none does.
    peer, version, settings:
        Against whom, at what settings.
    value, low, high:
        Median over the rounds of the ratio (or seconds, or fraction), and its range.
    unit:
        ``x`` (times faster), ``x slower``, ``of limit`` or ``s``.
    own, other:
        Best time of each per unit of work, s.
    goal, reach:
        To be met; None where a figure stands apart without a goal.
    at_most:
        Whether the value should stay below its goal.
    states, rank:
        Of an exact step: what the machine's limit for it depends on; None for anything else.
    limit:
        Fraction of the machine's own limit that the project's best time reaches (`finish_limits`).
    where:
        Where the project's processor time went.
    note:
        Why there is no value, or what to know about it.
    """

    case: str
    what: str
    peer: str
    version: str = ""
    settings: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "x"
    own: float | None = None
    other: float | None = None
    goal: float | None = None
    reach: float | None = None
    at_most: bool = False
    states: int | None = None
    rank: int | None = None
    limit: float | None = None
    where: Shares | None = None
    note: str = ""
    key: str = ""

    @property
    def verdict(self) -> str:
        """Where the value stands."""
        if self.value is None:
            return "-"
        if self.goal is None:
            return "shown"

        def met(bound: float) -> bool:
            assert self.value is not None
            return self.value <= bound if self.at_most else self.value >= bound

        if self.reach is not None and met(self.reach):
            return "REACHED"
        return "goal met" if met(self.goal) else "below goal"


# Timing


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Attributes
    ----------
    work:
        Does it once; compiled and prepared.
    units:
        Units of work it does each time: times are per unit.
    blas:
        Threads for linear algebra; as many as everything has, unless given. Set before the clock starts.
    """

    work: Callable[[], object]
    units: float = 1.0
    blas: int | None = None


def alternate(
    session: Session,
    contestants: dict[str, Contestant],
    *,
    rounds: int = 7,
    budget: float = 12.0,
    warm: bool = True,
) -> dict[str, np.ndarray]:
    """Time contestants in turn, so that whatever else the machine does hits all of them.

    Parameters
    ----------
    contestants:
        By name.
    rounds:
        At most so many, of a quick session two; every other one runs in reverse order.
    budget:
        No new round starts after so many seconds.
    warm:
        Run each once, untimed, before.

    Returns
    -------
    For each name (rounds,) seconds per unit of work.
    """
    if warm:
        for contestant in contestants.values():
            with blas_threads(contestant.blas):
                contestant.work()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    started = time.perf_counter()
    for number in range(min(rounds, 2) if session.quick else rounds):
        if number and time.perf_counter() - started > budget:
            break
        order = list(contestants.items())
        for name, contestant in order if number % 2 == 0 else order[::-1]:
            time.sleep(PAUSE)
            with blas_threads(contestant.blas):
                before = time.perf_counter()
                contestant.work()
                times[name].append((time.perf_counter() - before) / contestant.units)
    return {name: np.array(found) for name, found in times.items()}


def ratio(own: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How many times faster ``own`` is: the median of the ratios within each round, its range, the best times."""
    each = other / own
    return {
        "value": float(np.median(each)),
        "low": float(each.min()),
        "high": float(each.max()),
        "own": float(own.min()),
        "other": float(other.min()),
    }


def where(session: Session, contestant: Contestant) -> Shares | None:
    """Where the project's time goes: run it again, after everything was timed, with samples taken."""
    with blas_threads(contestant.blas):
        return of_work(contestant.work, session.pick(0.7, 0.02))


# The machine's own limits


@contextmanager
def blas_threads(count: int | None) -> Iterator[bool]:
    """Limit linear algebra to some threads (None: leave it); yields whether that was possible (threadpoolctl)."""
    if count is None:
        yield False
        return
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        yield False
        return
    with threadpool_limits(count):
        yield True


def _best(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return min(times)


def best_blas_threads(work: Callable[[], object], threads: int) -> int:
    """1 or ``threads``, whichever is faster: small products lose by threads, and so do all on a busy machine."""
    taken = {}
    for count in (1, threads):
        with blas_threads(count):
            taken[count] = _best(work, 2)
    return min(taken, key=lambda count: taken[count])


def product_peak(
    threads: int, sizes: Sequence[int], repeats: int, dtype: type[np.floating[Any]] = np.float64
) -> float | None:
    """Fastest matrix product of several sizes, in double precision unless told, flop/s.

    None where threads cannot be limited.
    """
    peak = 0.0
    with blas_threads(threads) as obeyed:
        if not obeyed and threads == 1:
            return None
        for size in sizes:
            a, b, out = np.random.default_rng(0).standard_normal((3, size, size)).astype(dtype)
            peak = max(peak, 2.0 * size**3 / _best(lambda: np.matmul(a, b, out=out), repeats))  # noqa: B023
    return peak


def normal_peak(threads: int, count: int, repeats: int) -> dict[str, float]:
    """Standard normals a second, by generator, on ``threads`` threads into buffers that stay in cache."""
    block = 32768
    found = {}
    with ThreadPoolExecutor(threads) as pool:
        for kind in (np.random.PCG64, np.random.SFC64):

            def fill(seed: int, kind: type = kind) -> None:
                generator, buffer = np.random.Generator(kind(seed)), np.empty(block)
                for _ in range(-(-count // (threads * block))):
                    generator.standard_normal(out=buffer)

            found[f"numpy {kind.__name__}"] = count / _best(lambda: list(pool.map(fill, range(threads))), repeats)
    found["spu"] = count / _best(lambda: adapter.normals(count, 0, threads), repeats)
    return found


def measure_limits(session: Session, *, brief: bool = False) -> None:
    """What this machine can do: products (flop/s) and normals (1/s), the most that was seen so far in this run.

    Measured anew (``brief``) before and after what is held against it: a peak taken while somebody else was
    busy would make everything after it look good.
    """
    sizes = session.pick((1024,) if brief else (512, 1024, 2048), (128,))
    repeats, count = session.pick(3 if brief else 5, 1), session.pick(2**21 if brief else 2**23, 2**16)
    limits = session.limits
    for threads in sorted({1, session.threads}):
        found = {f"normals/s, {name}": rate for name, rate in normal_peak(threads, count, repeats).items()}
        peak = product_peak(threads, sizes, repeats)
        if peak is not None:
            found["dgemm flop/s"] = peak
        single = product_peak(threads, sizes, repeats, np.float32)
        if single is not None:
            found["sgemm flop/s"] = single
        for name, rate in found.items():
            key = f"{name}, threads: {threads}"
            limits[key] = max(rate, limits.get(key, 0.0))
    # Of any number of threads: two on a busy machine can be slower than one.
    limits["products"] = max(rate for name, rate in limits.items() if name.startswith("dgemm"))
    limits["single products"] = max(rate for name, rate in limits.items() if name.startswith("sgemm"))
    limits["normals"] = max(rate for name, rate in limits.items() if name.startswith("normals/s"))


def finish_limits(session: Session) -> None:
    """Hold every row against the machine's limit, now that the limit is known."""
    for row in session.rows:
        if row.states is None or row.rank is None or row.own is None:
            continue
        limit = step_limit(session.limits, row.states, row.rank)
        row.limit = limit / row.own
        if row.unit == "of limit":
            assert row.low is not None
            row.value, row.low, row.high, row.other = limit / row.own, limit / row.low, limit / row.own, limit


def step_limit(limits: dict[str, float], size: int, rank: int) -> float:
    """Seconds a step and trajectory at least: ``2 d (d + r)`` flop at the product peak, r normals at theirs."""
    return 2.0 * size * (size + rank) / limits["products"] + rank / limits["normals"]


# Telling


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; figures (columns whose head ends in a colon) to the right."""
    right = [title.endswith(":") for title in head]
    titles = [title.rstrip(":") for title in head]
    widths = [max(len(row[k]) for row in [titles, *rows]) for k in range(len(head))]
    lines = []
    for row in [titles, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def figure(value: float | None, digits: int = 3) -> str:
    """A number for people; a dash for none."""
    return "-" if value is None else f"{value:.{digits}g}"


def seconds(value: float | None) -> str:
    """A time for people."""
    if value is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def report(session: Session) -> str:
    """The tables, correctness first: a speed means nothing without it."""
    parts = ["", f"Correctness (deviation in standard errors; 1 is chance, worst above {WORST:g} is wrong)", ""]
    parts.append(
        table(
            ["sampler", "what", "law's error:", "deviation:", "worst:", "eff. samples:", "verdict"],
            [
                [
                    f"{check.sampler} {check.version}".strip(),
                    check.what,
                    figure(check.law_error, 2),
                    figure(check.deviation, 3),
                    figure(check.worst, 3),
                    figure(check.effective_samples, 3),
                    check.verdict,
                ]
                for check in session.checks
            ],
        )
    )
    parts += ["", "The machine, in this run", ""]
    about = told(machine(session.threads, session.quick, adapter.KERNELS))
    limits = [(name, f"{value:.3g}") for name, value in session.limits.items()]
    parts.append(table(["", "value"], [list(line) for line in [*about, *limits]]))
    parts += [
        "",
        "Ratios (medians over alternating runs; range in brackets; 'limit' is the share of the machine's own)",
    ]
    parts.append("")
    parts.append(
        table(
            ["case", "what", "against", "ratio:", "", "range", "spu:", "peer:", "limit:", "goal:", "reach:", "verdict"],
            [
                [
                    row.case,
                    row.what,
                    f"{row.peer} {row.version}".strip(),
                    figure(row.value),
                    row.unit if row.value is not None else "",
                    f"[{figure(row.low)}, {figure(row.high)}]" if row.low is not None else "",
                    seconds(row.own),
                    seconds(row.other),
                    figure(row.limit, 2),
                    figure(row.goal),
                    figure(row.reach),
                    row.verdict if row.value is not None else row.note,
                ]
                for row in session.rows
            ],
        )
    )
    parts += ["", *_where(session)]
    notes: list[str] = []
    for item in [*session.checks, *session.rows]:
        who = item.sampler if isinstance(item, Check) else item.peer or item.what
        text = f"{who} {item.version}".strip() + f": {item.settings}"
        if item.settings and text not in notes:
            notes.append(text)
    notes += [f"{row.case} {row.what}: {row.note}" for row in session.rows if row.note and row.value is not None]
    parts += ["", "Settings and notes", "", *(f"  {note}" for note in notes)]
    return "\n".join(parts)


def _where(session: Session) -> list[str]:
    """The table of shares; what its columns mean stands below it."""
    if not any(row.where for row in session.rows):
        return ["Where the time goes: not told, as sampling takes a C compiler on Linux"]
    lines: list[list[str]] = []
    told_of: list[Shares] = []  # rows that differ in their peer share what they say of the project
    for row in session.rows:
        if row.where is not None and not any(row.where is each for each in told_of):
            told_of.append(row.where)
            lines.append(_line(row))
    head = ["case", "what", *(f"{name}:" for name in PLACES), "system:", "cores:", "samples:"]
    title = "Where the time goes: spu's processor time in per cent (sampled; 'system' is part of the places before it)"
    return [title, "", table(head, lines), "", *(f"  {name}: {meaning}" for name, meaning in PLACES.items())]


def _line(row: Row) -> list[str]:
    assert row.where is not None
    places = [row.where.places.get(name, 0.0) for name in PLACES]
    shares = [f"{100 * share:.0f}" if share else "" for share in [*places, row.where.system]]
    return [row.case, row.what, *shares, f"{row.where.cores:.2g}", str(row.where.samples)]


WORST = 5.0
"""Standard errors: of some 7,000 entries in all, one beyond this has odds of 1 in 250 by chance; seeds are fixed."""


def as_json(session: Session) -> dict[str, Any]:
    """Everything found, for machines."""
    return {
        "format": "spu-bench/2",
        "taken": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "machine": machine(session.threads, session.quick, adapter.KERNELS),
        "limits": session.limits,
        "checks": [asdict(check) for check in session.checks],
        "rows": [{**asdict(row), "verdict": row.verdict} for row in session.rows],
    }
