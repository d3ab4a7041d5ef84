"""How time, readouts and energy of an answer grow with dimension and condition, beside digital machines.

For random matrices of a stated family each point is a plan (`spu.studies.algebra.planning`): what the device's own law
says of the time to an error, and its ledger (`spu.studies.energy`). Powers are fitted to all points,

    log y = log a + p log n + q log kappa,

with intervals from the scatter of draws. Nothing is fitted that is not shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from scipy.special import stdtrit

from spu.base.arguments import is_number, seed_of, whole
from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.base.errors import OptionError, SpuError, UsageError
from spu.base.names import shorten, suggest
from spu.compiler import compile_problem
from spu.device.hardware import Hardware
from spu.device.hardware_file import load_hardware
from spu.problems import files  # noqa: F401 - all kinds are registered with it
from spu.problems.kinds import KINDS, kind_of
from spu.studies.algebra.planning import plan
from spu.studies.campaign import open_study, seed_of_piece
from spu.studies.energy import Assumptions, Price, energy_of, load_energy, methods

__all__ = ["FAMILIES", "PUBLISHED", "Crossing", "Fit", "Point", "Published", "Scaling", "cost_scaling"]


# --- matrices ------------------------------------------------------------------------------


def _rotated(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    n = len(values)
    basis, triangle = np.linalg.qr(rng.standard_normal((n, n)))
    basis *= np.sign(np.diag(triangle))
    matrix = (basis * values) @ basis.T
    return np.asarray(0.5 * (matrix + matrix.T))


def _uniform(n: int, condition: float, rng: np.random.Generator) -> FloatArray:
    return _rotated(np.linspace(1.0 / condition, 1.0, n), rng)


def _geometric(n: int, condition: float, rng: np.random.Generator) -> FloatArray:
    return _rotated(np.geomspace(1.0 / condition, 1.0, n), rng)


def _wishart(n: int, condition: float, rng: np.random.Generator) -> FloatArray:  # noqa: ARG001 - has its own
    factor = rng.standard_normal((n, 2 * n))
    return np.asarray(factor @ factor.T / (2 * n))


FAMILIES: dict[str, tuple[Callable[[int, float, np.random.Generator], FloatArray], str]] = {
    "uniform": (_uniform, "eigenvalues evenly from 1/kappa to 1, random eigenvectors"),
    "geometric": (_geometric, "logarithms of eigenvalues evenly from 1/kappa to 1, random eigenvectors"),
    "wishart": (_wishart, "X X^T / 2n of normal X, n by 2n, whose condition tends to 34 whatever n"),
}
"""Random symmetric positive definite matrices by name: of n, the condition and a generator; and in words."""


def _vector(n: int, rng: np.random.Generator) -> FloatArray:
    return np.asarray(rng.standard_normal(n))


POSED: dict[str, Callable[[FloatArray, np.random.Generator], tuple[Any, ...]]] = {
    "gaussian": lambda A, _: (A,),
    "inverse": lambda A, _: (A,),
    "determinant": lambda A, _: (A,),
    "linear": lambda A, rng: (A, _vector(len(A), rng)),
    "general-linear": lambda A, rng: (A, _vector(len(A), rng)),
    "least-squares": lambda A, rng: (A, _vector(len(A), rng)),
    "lyapunov": lambda A, _: (A, np.eye(len(A))),
    "exponential": lambda A, _: (-A, 1.0),
}
"""What a problem of each task is made of, of a matrix of the family."""


# --- what is published ---------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """A scaling that an article gives.

    Attributes
    ----------
    dimension:
        The power of n in the device's time to a fixed absolute error. (Squares of answers of bounded spectra grow as n,
        and times with the inverse square of an error: to a relative one it is a power less.)
    source:
        Which article says what.
    """

    dimension: float
    source: str


_ARTICLE = (
    "Aifer et al., arXiv 2308.05660, abstract: a speedup over digital methods that is linear in dimension, here over "
)

PUBLISHED: dict[str, Published] = {
    "linear": Published(1.0, f"{_ARTICLE}the n^2 of an iterative method at a given condition"),
    "inverse": Published(2.0, f"{_ARTICLE}n^3"),
    "lyapunov": Published(2.0, f"{_ARTICLE}n^3"),
    "exponential": Published(
        2.0, "Duffield et al., arXiv 2311.12759, abstract: a speedup that is linear in dimension, here over n^3"
    ),
}
"""By task. What articles' tables say of condition and error is not here: they were not at hand to be read."""


# --- results -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One matrix.

    Attributes
    ----------
    dimension, draw:
        n, and which of several.
    asked, condition:
        The condition that was asked for, and the matrix' own.
    device_time, burn_in, readouts, interval:
        As planned; None where the device cannot be planned for, which ``why`` tells.
    size:
        Of the exact answer (Frobenius), where matrices have a largest eigenvalue of 1.
    programming_time:
        s; None where nobody states it.
    power:
        W, what the circuit's sources deliver; None where the law does not tell it.
    energy, unstated:
        J of each item that is stated (typical), and items that nobody states.
    digital:
        The method, its ``flops`` and J of each item that is stated.
    why:
        Empty, or why there is no plan.
    """

    dimension: int
    asked: float
    draw: int
    condition: float
    device_time: float | None
    burn_in: float | None
    readouts: float | None
    interval: float | None
    size: float | None
    programming_time: float | None
    power: float | None
    energy: dict[str, float]
    unstated: tuple[str, ...]
    method: str
    flops: float | None
    digital: dict[str, float]
    why: str = ""

    @property
    def absolute_time(self) -> float | None:
        """S to an absolute error that is the number of the relative one: readouts go with the inverse of its square."""
        if self.device_time is None or self.burn_in is None or self.size is None:
            return None
        return self.burn_in + (self.device_time - self.burn_in) * self.size**2

    @property
    def total(self) -> float:
        """J of all items that are stated."""
        return sum(self.energy.values())


@dataclass(frozen=True)
class Fit:
    """Powers of dimension and condition, with intervals of 95 %; None where the points do not tell one.

    Attributes
    ----------
    dimension, condition:
        The powers; ``error`` the half-widths of their intervals.
    last:
        The power of n between the two largest dimensions: small matrices of a family are not yet as large ones.
    """

    dimension: float | None
    dimension_error: float | None
    condition: float | None
    condition_error: float | None
    last: float | None = None


@dataclass(frozen=True)
class Crossing:
    """From which dimension on the device is better.

    Attributes
    ----------
    quantity:
        ``time`` or ``energy``.
    condition:
        Asked for.
    dimension:
        None where there is no such dimension.
    inside:
        Whether it lies among the points; else it is where powers of n meet that are fitted to the larger half.
    low, high:
        Of one that is extrapolated, the interval of 95 % that the scatter of the points leaves (Fieller's); None
        where it has no such end.
    """

    quantity: str
    condition: float
    dimension: float | None
    inside: bool
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """In words."""
        if self.dimension is None:
            return "none: the device is not the better one, and does not come closer as n grows"
        if self.inside:
            return f"n = {self.dimension:.3g}"
        ends = ["any" if end is None else f"{end:.2g}" for end in (self.low, self.high)]
        return f"n = {self.dimension:.2g}, extrapolated (95 %: {ends[0]} to {ends[1]})"


QUANTITIES = ("device_time", "absolute_time", "readouts", "total", "flops")
"""Attributes of points that powers are fitted to."""


@dataclass(frozen=True, eq=False, repr=False)
class Scaling(Result):
    """How the cost of an answer grows.

    Attributes
    ----------
    task, family, error, hardware, architecture:
        What was asked for, and how it is built.
    points:
        One a matrix.
    published:
        What an article says; None where none is at hand.
    assumptions:
        Prices.

    Examples
    --------
    >>> import spu
    >>> found = spu.cost_scaling("inverse", dimensions=[2, 4], conditions=[5.0], error=0.1, draws=2)
    >>> len(found.points), found.published.dimension, sorted(found.fits)
    (4, 2.0, ['absolute_time', 'device_time', 'flops', 'readouts', 'total'])
    >>> found.crossings[0].quantity, found.crossings[0].inside
    ('time', False)
    """

    task: str
    family: str
    error: float
    hardware: str
    architecture: str
    points: tuple[Point, ...]
    published: Published | None
    assumptions: Assumptions

    in_short = ("task", "family", "error", "architecture")

    @property
    def planned(self) -> tuple[Point, ...]:
        """Points with a plan."""
        return tuple(point for point in self.points if not point.why)

    @property
    def dimensions(self) -> list[int]:
        """Those with a plan, rising."""
        return sorted({point.dimension for point in self.planned})

    @property
    def conditions(self) -> list[float]:
        """Those asked for that have a plan, rising."""
        return sorted({point.asked for point in self.planned})

    @property
    def unstated(self) -> tuple[str, ...]:
        """Items that are in no energy, of any point."""
        return tuple(dict.fromkeys(item for point in self.planned for item in point.unstated))

    @cached_property
    def fits(self) -> dict[str, Fit]:
        """Powers of n and of kappa, of each of `QUANTITIES`."""
        return {name: self._fit(name) for name in QUANTITIES}

    def _fit(self, name: str) -> Fit:
        values = [getattr(point, name) or 0.0 for point in self.planned]
        kept = [(point, value) for point, value in zip(self.planned, values, strict=True) if value > 0]
        if not kept:
            return Fit(None, None, None, None)
        given = np.array([[point.dimension, point.condition] for point, _ in kept], dtype=float)
        logs = np.log([value for _, value in kept])
        sizes = np.unique(given[:, 0])[-2:]
        ends = [float(logs[given[:, 0] == size].mean()) for size in sizes]
        last = (ends[1] - ends[0]) / math.log(sizes[1] / sizes[0]) if len(sizes) == 2 else None
        return replace(_powers(np.log(given), logs), last=last)

    def series(
        self, quantity: str, condition: float, scales: Mapping[str, float] | None = None
    ) -> tuple[Annotated[FloatArray, "k"], Annotated[FloatArray, "k"], Annotated[FloatArray, "k"]]:
        """Dimensions (k,) and geometric means (k,) over draws of the device's and of the digital cost.

        Parameters
        ----------
        quantity:
            ``time`` (s) or ``energy`` (J).
        condition:
            One of `conditions`.
        scales:
            Factors on assumptions by name: items of energy, ``digital_rate``, ``device_speed`` and ``code_time``.
        """
        n, device, digital = self._costs(quantity, condition, scales)
        sizes = np.unique(n)
        means = [[np.exp(np.log(costs[n == size]).mean()) for size in sizes] for costs in (device, digital)]
        return sizes, np.array(means[0]), np.array(means[1])

    def _costs(
        self, quantity: str, condition: float, scales: Mapping[str, float] | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The same of each point (k,), rising in n."""
        by = dict(scales or {})
        rate = self.assumptions["digital_rate"].price
        rows = []
        for point in self.planned:
            if point.asked != condition or point.flops is None:
                continue
            if quantity == "time":
                loading = (point.programming_time or 0.0) * by.get("code_time", 1.0)
                device = (point.device_time or 0.0) / by.get("device_speed", 1.0) + loading
                digital = 0.0 if rate is None else point.flops / (rate.typical * by.get("digital_rate", 1.0))
            else:
                device, digital = (
                    sum(value * by.get(item, 1.0) for item, value in items.items())
                    for items in (point.energy, point.digital)
                )
            if device > 0 and digital > 0:
                rows.append((float(point.dimension), device, digital))
        n, device_costs, digital_costs = np.array(sorted(rows), dtype=float).reshape(-1, 3).T
        return n, device_costs, digital_costs

    def crossing(self, quantity: str, condition: float, scales: Mapping[str, float] | None = None) -> Crossing:
        """From which dimension on the device costs less than the digital method; of `series`."""
        return Crossing(quantity, condition, *crossed(*self._costs(quantity, condition, scales)))

    @cached_property
    def crossings(self) -> tuple[Crossing, ...]:
        """Of time and of energy, at each condition."""
        return tuple(self.crossing(what, each) for what in ("time", "energy") for each in self.conditions)

    @cached_property
    def moved(self) -> tuple[dict[str, Any], ...]:
        """The crossing with each stated assumption halved and doubled, at the least condition.

        Each entry has ``quantity``, ``assumption``, ``at_half`` and ``doubled`` (dimensions, or None).
        """
        if not self.conditions:
            return ()
        condition = self.conditions[0]
        first = [point for point in self.planned if point.asked == condition]
        device = dict.fromkeys(item for point in first for item in point.energy if item not in ("heat", "work"))
        digital = dict.fromkeys(item for point in first for item in point.digital)
        loading = ["code_time"] if any(point.programming_time for point in first) else []
        names = {"time": ["device_speed", "digital_rate", *loading], "energy": [*device, *digital]}
        return tuple(
            {
                "quantity": quantity,
                "assumption": name,
                "at_half": self.crossing(quantity, condition, {name: 0.5}).dimension,
                "doubled": self.crossing(quantity, condition, {name: 2.0}).dimension,
            }
            for quantity, known in names.items()
            for name in known
        )

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {
            "task": self.task,
            "family": self.family,
            "family_is": FAMILIES[self.family][1],
            "error": self.error,
            "hardware": self.hardware,
            "architecture": self.architecture,
            "points": [asdict(point) for point in self.points],
            "powers": {name: asdict(fit) for name, fit in self.fits.items()},
            "published": None if self.published is None else asdict(self.published),
            "crossings": [{**asdict(each), "is": each.words} for each in self.crossings],
            "moved_by": list(self.moved),
            "unstated": list(self.unstated),
            "assumptions": {"file": self.assumptions.file, "digest": self.assumptions.digest},
        }


def _powers(given: FloatArray, values: FloatArray) -> Fit:
    """Least squares in logarithms; (k, 2) of n and kappa."""
    known = [column for column in range(2) if np.ptp(given[:, column]) > 0.05]
    design = np.column_stack([np.ones(len(values)), *(given[:, column] for column in known)])
    powers: list[float | None] = [None, None]
    errors: list[float | None] = [None, None]
    if known and len(values) >= design.shape[1]:
        solved, *_ = np.linalg.lstsq(design, values, rcond=None)
        spare = len(values) - design.shape[1]
        if spare > 0:
            scatter = float(((values - design @ solved) ** 2).sum()) / spare
            deviations = np.sqrt(scatter * np.linalg.inv(design.T @ design).diagonal())
            width = float(stdtrit(spare, 0.975))
        for place, column in enumerate(known, start=1):
            powers[column] = float(solved[place])
            errors[column] = float(width * deviations[place]) if spare > 0 else None
    return Fit(powers[0], errors[0], powers[1], errors[1])


def crossed(
    n: FloatArray, device: FloatArray, digital: FloatArray
) -> tuple[float | None, bool, float | None, float | None]:
    """The dimension from which on the device costs less, whether it is among the (k,) points, and its interval.

    Between points the ratio of the costs is a power of n, by its geometric means; beyond them the one that least
    squares give for the larger half of the dimensions, as small matrices are not yet as large ones. The interval is
    that of a line's zero: where the line is within its own error of it.
    """
    if not len(n):
        return None, False, None, None
    x, gap = np.log(n), np.log(device) - np.log(digital)
    sizes = np.unique(x)
    means = np.array([gap[x == size].mean() for size in sizes])
    if means[-1] <= 0:
        above = np.flatnonzero(means > 0)
        if not len(above):
            return float(n[0]), True, None, None
        k = int(above[-1])
        share = means[k] / (means[k] - means[k + 1])
        return float(np.exp((1 - share) * sizes[k] + share * sizes[k + 1])), True, None, None
    if len(sizes) < 2:
        return None, False, None, None
    large = x >= sizes[-max(2, (len(sizes) + 1) // 2)]
    x, gap = x[large], gap[large]
    slope, level = (float(each) for each in np.polyfit(x, gap, 1))
    if slope >= 0 or -level / slope > _FARTHEST:
        return None, False, None, None
    return (float(np.exp(-level / slope)), False, *_zero_of_line(x, gap, slope, level))


def _zero_of_line(x: FloatArray, y: FloatArray, slope: float, level: float) -> tuple[float | None, float | None]:
    """Ends of the interval of 95 % of where a fitted line is zero, as n; None where it has none."""
    spare = len(x) - 2
    if spare < 1:
        return None, None
    middle, spread = float(x.mean()), float(((x - x.mean()) ** 2).sum())
    error = float(stdtrit(spare, 0.975)) ** 2 * float(((y - level - slope * x) ** 2).sum()) / spare
    # (slope u + v)^2 = error (1/k + u^2 / spread), with u from the middle.
    v = level + slope * middle
    a, c = slope**2 - error / spread, v**2 - error / len(x)
    root = (slope * v) ** 2 - a * c
    if a <= 0:  # the slope may be none: no end above
        low = (-slope * v - math.sqrt(root)) / a if root >= 0 and a < 0 else None
        return (None if low is None else float(np.exp(middle + max(low, 0.0)))), None
    ends = sorted((-slope * v + sign * math.sqrt(max(root, 0.0))) / a for sign in (-1.0, 1.0))
    return tuple(float(np.exp(middle + end)) if middle + end < _FARTHEST else None for end in ends)  # type: ignore[return-value]


_FARTHEST = math.log(1e30)
"""Beyond it there is no dimension to speak of."""


# --- the study -----------------------------------------------------------------------------


def cost_scaling(
    task: str,
    dimensions: Sequence[int] = (4, 8, 16, 32),
    conditions: Sequence[float] = (10.0,),
    error: float = 0.01,
    *,
    family: str = "uniform",
    draws: int = 3,
    hardware: str | Path | Hardware | None = None,
    architecture: str | None = None,
    energy: Assumptions | str | Path | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Scaling:
    """How device time, readouts and energy of an answer grow with dimension and condition.

    Parameters
    ----------
    task:
        One of `POSED`: "inverse", "linear", "gaussian" and so on.
    dimensions, conditions:
        Of the matrices; the family "wishart" has its own condition.
    error:
        Relative error of each answer.
    family:
        One of `FAMILIES`.
    draws:
        Matrices at each dimension and condition.
    hardware, architecture:
        As of `spu.compile`. One architecture holds all matrices: unless given, the least passive that the
        largest ones take.
    energy:
        Prices, as of `spu.load_energy`.
    seed:
        Of the matrices.
    directory, cluster, threads, restart, progress:
        As of all studies: where finished pieces are kept, and who does them.

    Raises
    ------
    InputError, OptionError
        For anything that is not as said above.
    Unrealizable
        If the hardware does not hold the largest matrix.

    Examples
    --------
    >>> import spu
    >>> found = spu.cost_scaling("inverse", dimensions=[2, 3], conditions=[2.0], error=0.1, draws=1)
    >>> [point.dimension for point in found.planned], found.points[0].method
    ([2, 3], 'inverse by a Cholesky factorisation')
    """
    sizes, kappas = _checked(task, dimensions, conditions, error, family, draws)
    prices = energy if isinstance(energy, Assumptions) else load_energy(energy)
    built = hardware if isinstance(hardware, Hardware) else load_hardware("ideal" if hardware is None else hardware)
    seed = seed_of(seed)
    items = [
        {"dimension": n, "condition": kappa, "draw": draw, "seed": seed_of_piece(seed, n, draw)}
        for kappa in kappas
        for n in sizes
        for draw in range(draws)
    ]
    if architecture is None:
        architecture = _one_for_all(task, family, built, [item for item in items if item["dimension"] == sizes[-1]])
    about = {
        "task": task,
        "family": family,
        "error": error,
        "hardware": built.to_dict(),
        "architecture": architecture,
        "prices": prices.digest,
        "seed": seed,
    }
    shared = (task, family, float(error), built, architecture, prices)
    with open_study(
        directory, "cost-scaling", about, cluster=cluster, threads=threads, restart=restart, progress=progress
    ) as study:
        found = study.pieces("matrices", _measured, items, shared=shared, said="matrices")
    points = tuple(Point(**{**piece, "unstated": tuple(piece["unstated"])}) for piece in found)
    if all(point.why for point in points):
        raise UsageError(f"no matrix could be planned for: {points[0].why}")
    return Scaling(task, family, float(error), built.name, architecture or "", points, PUBLISHED.get(task), prices)


def _checked(
    task: str, dimensions: Sequence[int], conditions: Sequence[float], error: float, family: str, draws: int
) -> tuple[list[int], list[float]]:
    known = [name for name in POSED if name in KINDS]
    if task not in known:
        raise OptionError("task", f"is {shorten(task)}: no cost is worked out of it; {suggest(task, known)}")
    if family not in FAMILIES:
        raise OptionError("family", f"is {shorten(family)}; {suggest(family, FAMILIES)}")
    if not (is_number(error) and 0 < error < 1):
        raise OptionError("error", f"is {shorten(error)}: a relative error between 0 and 1 is wanted")
    if not (whole("draws", draws) or 0) >= 1:
        raise OptionError("draws", f"is {shorten(draws)}: it must be 1 or more")
    sizes = [cast(int, whole("dimensions", each)) for each in dimensions]
    if not sizes or min(sizes) < 2 or max(sizes) > _LARGEST:
        raise OptionError(
            "dimensions", f"are {shorten(list(dimensions))}: whole numbers from 2 to {_LARGEST} are wanted"
        )
    kappas = list(conditions)
    if not kappas or not all(is_number(each) and 1 <= each <= 1e6 for each in kappas):
        raise OptionError("conditions", f"are {shorten(kappas)}: numbers from 1 to 1e6 are wanted")
    if family == "wishart" and len(kappas) > 1:
        raise OptionError("conditions", "are not for the family wishart: its matrices have their own")
    return sorted(set(sizes)), sorted({float(each) for each in kappas})


def _one_for_all(task: str, family: str, hardware: Hardware, largest: Sequence[Mapping[str, Any]]) -> str:
    """The least passive of the architectures that the largest matrices take."""
    found = {compile_problem(_posed(task, family, item), hardware).device.architecture or "" for item in largest}
    return max(found, key=hardware.architectures.index)


_LARGEST = 1024
"""Dimension up to which errors in time are worked out with whole matrices in minutes."""


def _posed(task: str, family: str, item: Mapping[str, Any]) -> Any:
    rng = np.random.default_rng(int(item["seed"]))
    matrix = FAMILIES[family][0](int(item["dimension"]), float(item["condition"]), rng)
    return kind_of(task).cls(*POSED[task](matrix, rng))


def _measured(item: dict[str, Any], shared: tuple[Any, ...]) -> dict[str, Any]:
    task, family, error, hardware, architecture, prices = shared
    problem = _posed(task, family, item)
    known = methods(problem, error)
    point = Point(
        dimension=int(item["dimension"]),
        asked=float(item["condition"]),
        draw=int(item["draw"]),
        condition=float(problem.condition),
        device_time=None,
        burn_in=None,
        readouts=None,
        interval=None,
        size=None,
        programming_time=None,
        power=None,
        energy={},
        unstated=(),
        method=known[0].name if known else "",
        flops=known[0].flops if known else None,
        digital={},
    )
    try:
        found = plan(problem, error=error, hardware=hardware, architecture=architecture)
    except SpuError as refused:
        return asdict(replace(point, why=refused.message.splitlines()[0]))
    ledger = energy_of(found.device, found.device_time, found.readouts, assumptions=prices, error=error)
    loading: Price | None = ledger.programming_time
    return asdict(
        replace(
            point,
            device_time=found.device_time,
            burn_in=found.burn_in,
            readouts=float(found.readouts),
            interval=found.interval,
            size=float(np.linalg.norm(problem.solution(problem.kind.answer.target(problem)))),
            programming_time=None if loading is None else loading.typical,
            power=None if ledger.power is None else ledger.power.supplied,
            energy={line.item: line.energy.typical for line in ledger.lines if line.energy is not None},
            unstated=ledger.unstated,
            digital={line.item: line.energy.typical for line in ledger.reference if line.energy is not None},
        )
    )
