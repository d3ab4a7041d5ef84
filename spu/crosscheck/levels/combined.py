"""Level ``ac`` of large circuits: all noise sources swept at once, with random signs, at every node.

What is measured is ``y_j = sum_k s_jk H_k`` for signs ``s_jk`` of +1 or -1, at all nodes and frequencies, for a few
combinations j. Let ``e_k`` be the deviations of the transfer functions from source k to one node at one frequency, and
e the largest of them. Then ``y_j`` is off by ``e s + r`` with an r that does not hold this sign: of ``|e + r|`` and
``|e - r|`` one is no less than ``|e|`` (their squares add up to ``2 |e|^2 + 2 |r|^2``), so a combination shows at least
the size of the largest deviation with a probability of one half or more, whatever the others are; and for certain
where there is one only. Signs are independent of the netlist: J combinations miss it with ``2^-J`` at most.

Densities are heard one by one: ``.noise`` says what each source contributes to a sum of all node voltages, with random
signs again, and the transposed equations say what gain that is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spu.base.arrays import ComplexArray, FloatArray, IntArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.numbers import in_words
from spu.base.progress import so_far
from spu.crosscheck.context import Context, Together
from spu.crosscheck.decks.taps import free_prefix
from spu.crosscheck.levels.power import CHANGED, smallest
from spu.crosscheck.levels.sweeps import (
    AUDIBLE,
    BLURRED,
    COVARIANCE,
    DENSITY,
    POINTWISE,
    ROUNDINGS,
    decisive,
    densities,
)
from spu.crosscheck.nodal import Nodal, Slope, power_gains
from spu.crosscheck.result import Level
from spu.emulator.laws.timing import sweep_integral
from spu.spice.dialects.dialect import number
from spu.spice.simulators.analyses import AcTogether, Decades, Noise

COMBINATIONS = 20
"""Of random signs: what all of them miss has a probability of 1e-6 at most."""

MOST_COMBINATIONS = 1000

ONE_BY_ONE = 60.0
"""s that sweeps of the sources one by one may take, by prediction; beyond it they are swept together."""

_MOST_ENTRIES = 50_000_000
"""Of transfer functions that are kept at a time."""

SPARSER = 3
"""Times fewer frequencies than an integral needs: what deviates is a rational function, too, and no narrower."""

LEAST_PER_DECADE = 4

NEARER = 30.0
"""Times nearer to the poles than an integral wants it the sweep ends: beyond, what deviates is a power of frequency."""

LISTENED = 2
"""Sums of all nodes at which ``.noise`` listens."""

VARIANCES = 4
"""Readouts whose variance is integrated, a fair choice."""

HEARD, LOOKED = 24, 12
"""Sources and frequencies, at most, by which it is found what deviations are seen."""

PROCESSES = 2
"""In which the combinations are swept."""

_AT_ONCE = 20.0
"""s of a child process, about."""


# --- how long it takes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """How long a sweep takes ngspice, about, measured on chains and grids of 300 to 30,000 cells (Cascade Lake).

    Attributes
    ----------
    elements:
        In the netlist, noise sources included.
    operations:
        Of a factorisation.
    """

    elements: int
    operations: float

    @classmethod
    def of(cls, context: Context) -> Cost:
        """Of a circuit."""
        nodal, times = context.nodal, context.timing
        elements = sum(len(flat.group.names) for flat in context.circuit.flatten()) + 3 * len(context.circuit.sources)
        return cls(elements, nodal.at(float(np.sqrt(times.low * times.high))).operations)

    @property
    def start(self) -> float:
        """S of a child process until it has read the netlist."""
        return 1.0 + 1e-5 * self.elements

    def sweep(self, points: int) -> float:
        """S of a sweep: the circuit is made and pivots are chosen once, elements and factors made at each frequency."""
        orders = 2e-7 * self.operations * float(np.sqrt(self.operations / 1e5))
        factors = 2e-8 * self.operations * float(np.sqrt(self.operations / 1e6))
        return 3e-5 * self.elements + orders + points * (2.5e-7 * self.elements + factors)


def _points(sweep: Decades) -> int:
    return round(np.log10(sweep.high / sweep.low) * sweep.per_decade) + 1


def one_by_one(context: Context, fine: Decades, coarse: Decades) -> float:
    """S that it takes to sweep each source by itself, and ``.noise`` at each readout, about."""
    cost = Cost.of(context)
    noise = 3.0 * cost.sweep(_points(coarse))
    return cost.start + len(context.circuit.sources) * cost.sweep(_points(fine)) + len(context.vectors) * noise


def chosen(context: Context, fine: Decades, coarse: Decades) -> int:
    """How many combinations of the sources are swept; 0 for each by itself."""
    if not context.simulator.serves(AcTogether):
        return 0
    if context.combinations is not None:
        return context.combinations
    if not context.dynamics.whole:
        return COMBINATIONS
    entries = _points(fine) * len(context.vectors) * len(context.circuit.sources)
    # Few sources are swept one by one, whatever that takes: together they would take as long.
    few = len(context.circuit.sources) <= COMBINATIONS
    cheap = entries <= _MOST_ENTRIES and (few or one_by_one(context, fine, coarse) <= ONE_BY_ONE)
    return 0 if cheap else COMBINATIONS


# --- the level ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Watched:
    """Voltages that are compared.

    Attributes
    ----------
    names, vectors:
        (q) for people, and in the simulator.
    rows:
        (q, N) of the unknowns.
    scale:
        (q,) V: what all sources together make of each, at the loudest frequency; of quiet ones a ten-thousandth of the
        loudest at least.
    """

    names: list[str]
    vectors: tuple[str, ...]
    rows: sp.csr_array
    scale: FloatArray


@dataclass(frozen=True)
class _Worst:
    """The largest deviation, relative to its scale; where, at which frequency (Hz), in which combination."""

    error: float
    name: str
    frequency: float
    combination: int


def run(context: Context, count: int, stated: FloatArray) -> Level:
    """Sweep ``count`` combinations of all sources; listen to each; integrate a few spectra.

    Parameters
    ----------
    count:
        How many combinations.
    stated:
        (m,) densities of the unit sources that ``.noise`` is deaf to, V^2/Hz.
    """
    circuit, times, nodal = context.circuit, context.timing, context.nodal
    whole = _ending(times.low, times.high, times.per_decade)
    low, high = times.low * NEARER, times.high / NEARER
    sparse = _ending(low, high, max(LEAST_PER_DECADE, -(-times.per_decade // SPARSER)))
    cost, points = Cost.of(context), _points(sparse)
    chosen = _readouts(context)
    heard = LISTENED * 3.0 * cost.sweep(points) + len(chosen) * 1.5 * cost.sweep(_points(whole))
    predicted = 4.0 * cost.start + count * cost.sweep(points) / PROCESSES + heard
    signs = _signs(context, len(circuit.sources), count)
    context.progress(
        f"ac: {count} sweeps of all {len(circuit.sources)} sources at once, with random signs, {in_words(predicted)}"
    )
    watched = _watched(context, nodal, sparse, signs)
    worst, frequencies = _compared(context, watched, sparse, signs, cost)
    rounding = 0.0
    if not worst.error <= POINTWISE:
        rounding = ROUNDINGS * _rounding(context, watched, frequencies, signs)
    context.progress("ac: densities and variances, by .noise")
    noise = _noise(context, watched, sparse, whole, chosen, stated, rounding)
    allowed = POINTWISE + rounding
    parts = {
        "transfer functions": (worst.error, allowed),
        "noise densities": (noise.density_error, DENSITY),
        "unexpected noise": (noise.stray, DENSITY),
        "covariance": (noise.variance_error, noise.variance_allowed),
    }
    passed, worst_part = decisive(parts)
    missed = 2.0**-count
    verdict = "pass" if passed else "fail"
    loudest = circuit.sources[noise.loudest].name
    if passed:
        message = (
            f"{count} sweeps of all {len(circuit.sources)} sources at once, with random signs, at {len(frequencies)} "
            f"frequencies and {len(watched.names)} nodes: a deviation of one transfer function by {allowed:.1g} of "
            f"what all sources make there is seen for certain, of several but for a chance of {missed:.1g}; "
            f"{len(circuit.sources)} densities, one by one; variances of {len(chosen)} readouts "
            f"(integral off by {noise.variance_error:.1g})"
        )
        if noise.others:
            message += (
                f"; some noise is made by other elements than the device's, alike in {LISTENED} sums of all nodes"
            )
        if rounding > 0:
            verdict = "pass" if rounding <= BLURRED else "inconclusive"
            message += f"; in double precision nodal equations of this circuit are known to {rounding:.1g} only"
    elif worst_part == "noise densities":
        message = f"noise source {loudest}: density off by {noise.density_error:.2g} ({noise.ratio:.4g} times)"
    elif worst_part == "unexpected noise":
        message = f"the deck makes noise the device does not have: {noise.stray:.2g} of the power of all nodes"
    elif worst_part == "covariance":
        message = f"variance of {noise.variance_of}: off by {noise.variance_error:.2g}"
    else:
        message = (
            f"transfer functions: all sources at once, with random signs, are off by {worst.error:.2g} of what they "
            f"make at {worst.name}, at {worst.frequency:.3g} Hz"
        )
    context.progress("ac: what deviations it sees")
    return Level(
        "ac",
        verdict,
        message,
        *parts[worst_part],
        false_alarm_rate=0.0,
        detects={
            "transfer": allowed,
            "density": DENSITY,
            "variance": noise.variance_allowed,
            **_detects(context, watched, frequencies, signs, allowed + min(worst.error, POINTWISE)),
        },
        data={
            "frequencies": len(frequencies),
            "sweeps": {
                "sources": "combinations",
                "combinations": count,
                "seed": context.seed,
                "missed_with_probability": missed,
                "covers": (
                    "every transfer function to every node compared: a deviation of one by the tolerance or more of "
                    "what all sources together make there shows in every sweep; of the largest of several in each "
                    "with a probability of a half or more"
                ),
                "nodes": len(watched.names),
                "predicted_seconds": predicted,
            },
            "worst_transfer": {
                "source": None,
                "cell": worst.name,
                "frequency": worst.frequency,
                "combination": worst.combination,
                "error": worst.error,
                "tolerance": allowed,
            },
            "worst_density": {"source": loudest, "ratio": noise.ratio, "tolerance": DENSITY},
            "unexpected_noise": noise.stray,
            "variance_error": noise.variance_error,
            "variance_tolerance": noise.variance_allowed,
            "variances": [circuit.probes[k] for k in chosen],
        },
    )


def _ending(low: float, high: float, per_decade: int) -> Decades:
    """A sweep that ends at one of its steps: ngspice's .ac stretches them to the last frequency, .noise does not."""
    steps = np.ceil(np.log10(high / low) * per_decade) / per_decade
    return Decades(low, float(low * 10.0**steps * (1.0 + 1e-9)), per_decade)


def _readouts(context: Context) -> list[int]:
    """A fair choice of the readouts, whose variances are integrated."""
    last = len(context.circuit.probes) - 1
    return np.unique(np.linspace(0, last, min(VARIANCES, last + 1)).round().astype(int)).tolist()


def _signs(context: Context, sources: int, count: int) -> FloatArray:
    """(m, count) of +1 and -1, by the seed of the check and the circuit: the netlist has no part in them."""
    entropy = [context.seed, int(context.circuit.hash or "0", 16)]
    bits = np.random.default_rng(np.random.SeedSequence(entropy)).integers(0, 2, (count, sources))
    return np.asarray(2.0 * bits.T - 1.0)


def _watched(context: Context, nodal: Nodal, sweep: Decades, signs: FloatArray) -> _Watched:
    """Readouts, and where the netlist is the device's own every other node that the simulator knows."""
    names, vectors, rows = list(context.circuit.probes), list(context.vectors), [nodal.probes]
    if context.own:
        known, there = set(vectors), context.simulator_nodes
        others = [k for k, node in enumerate(context.node_vectors) if node in there and node not in known]
        names += [context.node_vectors[k] for k in others]
        vectors += [context.node_vectors[k] for k in others]
        ones = np.ones(len(others))
        shape = (len(others), nodal.E.shape[0])
        rows.append(sp.csr_array(sp.coo_array((ones, (np.arange(len(others)), others)), shape=shape)))
    every = sp.csr_array(sp.vstack(rows))
    power = np.zeros(every.shape[0])
    steps = np.arange(_points(sweep)) / sweep.per_decade
    for _, found in _expected(nodal, every, sweep.low * 10.0**steps, signs):
        np.maximum(power, (np.abs(found) ** 2).mean(axis=1), out=power)
    scale = np.sqrt(power)
    scale = np.maximum(scale, 1e-4 * scale.max(initial=0.0))
    return _Watched(names, tuple(vectors), every, np.where(scale > 0, scale, 1.0))


def _expected(
    nodal: Nodal, rows: sp.csr_array, frequencies: FloatArray, signs: FloatArray
) -> Iterator[tuple[int, ComplexArray]]:
    """Number of each frequency, and (q, j) what combinations (m, j) of the sources make of some rows (q, N)."""
    drive = nodal.K @ signs
    for k, frequency in enumerate(frequencies.tolist()):
        yield k, np.asarray(rows @ nodal.at(frequency).solve(drive))


def _compared(
    context: Context, watched: _Watched, sweep: Decades, signs: FloatArray, cost: Cost
) -> tuple[_Worst, FloatArray]:
    """Sweep the combinations, as many in a child process as is quick and fits into memory."""
    assert context.deck is not None
    text, count = context.deck.text(), signs.shape[1]
    entries = _points(sweep) * len(watched.vectors)
    each = min(int(_AT_ONCE / cost.sweep(_points(sweep))), _MOST_ENTRIES // (4 * entries), -(-count // PROCESSES))
    parts = [np.arange(first, min(first + max(each, 1), count)) for first in range(0, count, max(each, 1))]

    def swept(part: IntArray) -> list[dict[str, NDArray[Any]]]:
        analyses = (AcTogether(context.elements, tuple(signs[:, j].tolist()), sweep, watched.vectors) for j in part)
        return context.run(text, *analyses)

    worst = _Worst(-1.0, "", 0.0, 0)
    frequencies = np.zeros(0)
    started = time.perf_counter()
    with ThreadPoolExecutor(PROCESSES) as pool:
        for part, found in zip(parts, pool.map(swept, parts), strict=True):
            frequencies = found[0]["frequency"]
            measured = np.stack([np.stack([each[name] for name in watched.vectors]) for each in found], axis=2)
            if context.together is None:
                context.together = _of_all_nodes(context, watched, frequencies, signs[:, part], measured)
            for k, expected in _expected(context.nodal, watched.rows, frequencies, signs[:, part]):
                error = np.abs(measured[:, k] - expected) / watched.scale[:, None]
                error = np.where(np.isfinite(error), error, np.inf)
                i, j = np.unravel_index(int(np.argmax(error)), error.shape)
                if error[i, j] > worst.error:
                    name, combination = watched.names[int(i)], int(part[j]) + 1
                    worst = _Worst(float(error[i, j]), name, float(frequencies[k]), combination)
            if part[-1] + 1 < count:
                context.progress(f"ac: {so_far(started, int(part[-1]) + 1, count, 'sweeps')}")
    return worst, frequencies


def _of_all_nodes(
    context: Context, watched: _Watched, frequencies: FloatArray, signs: FloatArray, measured: ComplexArray
) -> Together | None:
    """Of what was measured, (q, f, j), a few frequencies and combinations; None where nodes are missing."""
    place = {vector: k for k, vector in enumerate(watched.vectors)}
    if not all(vector in place for vector in context.node_vectors):
        return None
    nodes = [place[vector] for vector in context.node_vectors]
    at = np.unique(np.linspace(0, len(frequencies) - 1, LOOKED).astype(int))
    found = measured[nodes][:, at, :4]
    return Together(frequencies[at], signs[:, :4], np.ascontiguousarray(found.transpose(1, 0, 2)))


def _rounding(context: Context, watched: _Watched, frequencies: FloatArray, signs: FloatArray) -> float:
    """What double precision may do to these equations, relative to the scales."""
    chosen = frequencies[np.unique(np.linspace(0, len(frequencies) - 1, LOOKED).astype(int))]
    off = context.nodal.rounded(context.seed)
    try:
        pairs = zip(
            _expected(context.nodal, watched.rows, chosen, signs[:, :4]),
            _expected(off, watched.rows, chosen, signs[:, :4]),
            strict=True,
        )
        error = max(float((np.abs(a - b) / watched.scale[:, None]).max()) for (_, a), (_, b) in pairs)
    except RuntimeError:  # singular: no reason to be lenient
        return 0.0
    return error if np.isfinite(error) else 0.0


# --- what .noise says -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Noise:
    """Densities, what no source explains, and variances; as level ``ac`` of small circuits has them.

    ``others``: whether some noise is made by other elements than the device's, alike in all sums of nodes.
    """

    density_error: float
    others: bool
    loudest: int
    ratio: float
    stray: float
    variance_error: float
    variance_allowed: float
    variance_of: str


def _noise(
    context: Context,
    watched: _Watched,
    sparse: Decades,
    whole: Decades,
    chosen: list[int],
    stated: FloatArray,
    rounding: float,
) -> _Noise:
    assert context.deck is not None
    nodal = context.nodal
    silenced = frozenset[str]() if context.fixture is None else context.fixture.silenced
    deaf = np.array([not resistor for resistor in context.resistors])
    weights = _signs(context, len(watched.vectors), LISTENED) / watched.scale[:, None] * watched.scale.max()
    if not context.language.reaches_inside:
        weights[["." in vector for vector in watched.vectors]] = 0.0
    lines, sums = _summing(context, watched, weights)
    reference = context.elements[0]
    listening = [Noise((node,), reference, sparse, contributions=True) for node in sums]
    integrated = [Noise((context.vectors[k],), reference, whole, contributions=bool(silenced)) for k in chosen]
    found = context.run(context.deck.text(extra=lines), *listening)
    totals = context.run(context.deck.text(), *integrated)

    frequencies = found[0]["frequency"]
    gains = power_gains(nodal, frequencies, sp.csr_array(weights.T) @ watched.rows)
    heard, stray, total_error = np.zeros_like(gains), 0.0, 0.0
    for i, each in enumerate(found):
        for k, resistor in enumerate(context.resistors):
            if resistor in each:
                heard[:, i, k] = each[resistor]
        meant = each["total"] - sum(each[name] for name in silenced if name in each)
        power = float((meant * frequencies).sum())
        unexplained = float((np.abs(meant - heard[:, i].sum(axis=1)) * frequencies).sum())
        stray = max(stray, unexplained / power if power > 0 else 0.0)
        total = gains[:, i, ~deaf].sum(axis=1) * UNIT_NOISE_DENSITY**2
        size = np.maximum(total, AUDIBLE * total.max(initial=0.0))
        total_error = max(total_error, float((np.abs(meant - total) / np.where(size > 0, size, 1.0)).max()))
    heard[:, :, deaf] = (stated * gains)[:, :, deaf]
    found_densities, errors = densities(gains, heard, rounding)
    others = not max(errors[~deaf].max(initial=0.0), stray) <= DENSITY and total_error <= DENSITY
    if others:
        stray = 0.0
        errors = np.where(deaf, errors, total_error)
        found_densities = np.where(deaf, found_densities, UNIT_NOISE_DENSITY**2)
    loudest = int(np.argmax(errors))

    target = context.any_law.voltage_covariance.diagonal()[chosen]
    frequencies = totals[0]["frequency"]
    gains = power_gains(nodal, frequencies, nodal.probes[chosen])
    own = sweep_integral(frequencies, gains.sum(axis=2)) * UNIT_NOISE_DENSITY**2
    measured = np.array(
        [
            sweep_integral(
                frequencies,
                each["total"]
                - sum(each[name] for name in silenced if name in each)
                + (gains[:, i] * stated)[:, deaf].sum(axis=1),
            )
            for i, each in enumerate(totals)
        ]
    )
    size = np.where(target > 0, target, target.max(initial=0.0) or 1.0)
    off = np.abs(measured - target) / size
    quadrature = float((np.abs(own - target) / size).max())
    return _Noise(
        float(errors[loudest]),
        others,
        loudest,
        float(found_densities[loudest] / UNIT_NOISE_DENSITY**2),
        stray,
        float(off.max()),
        COVARIANCE + 2.0 * quadrature,
        context.circuit.probes[chosen[int(np.argmax(off))]],
    )


def _summing(context: Context, watched: _Watched, weights: FloatArray) -> tuple[tuple[str, ...], list[str]]:
    """Lines that add up voltages with weights (q, l), into ohms that make no noise; and the nodes of the sums."""
    assert context.deck is not None
    prefix = free_prefix(context.deck)
    sums = [f"{prefix}_sum{i}" for i in range(weights.shape[1])]
    deck, dialect = context.deck, context.language
    lines = [dialect.silent_resistor(f"r{node}", (node, "0"), "1") for node in sums]
    for i, node in enumerate(sums):
        lines += [
            dialect.element(f"g{node}_{k}", ("0", node, deck.spelled(vector), "0"), number(weight))
            for k, (vector, weight) in enumerate(zip(watched.vectors, weights[:, i], strict=True))
            if weight
        ]
    return tuple(lines), sums


# --- what it sees ---------------------------------------------------------------------------------


def _detects(
    context: Context, watched: _Watched, frequencies: FloatArray, signs: FloatArray, allowed: float
) -> dict[str, object]:
    """The smallest changes that the combinations show, of a fair choice of elements and of sources' gains."""
    nodal, circuit = context.nodal, context.circuit
    slopes = nodal.slopes(CHANGED)
    few = np.unique(np.linspace(0, len(circuit.sources) - 1, min(HEARD, len(circuit.sources))).round().astype(int))
    at = frequencies[np.unique(np.linspace(0, len(frequencies) - 1, LOOKED).astype(int))]
    signs = signs[:, :4]
    moved, gains = np.zeros(len(slopes)), np.zeros(len(few))
    sources = nodal.K[:, few].toarray()
    for frequency in at.tolist():
        factor = nodal.at(frequency)
        x = factor.solve(nodal.K @ signs)
        right = [_moved(slope, 2j * np.pi * frequency, x, signs) for slope in slopes]
        found = np.asarray(watched.rows @ factor.solve(np.hstack([sources, *right])))
        seen = (np.abs(found) / watched.scale[:, None]).max(axis=0)
        gains = np.maximum(gains, seen[: len(few)])
        moved = np.maximum(moved, seen[len(few) :].reshape(len(slopes), -1).max(axis=1, initial=0.0))
    source = smallest([circuit.sources[k].name for k in few], gains, allowed)
    return {
        "source_gain": source["element"],
        "source_gain_worst": source["element_worst"],
        **smallest([slope.name for slope in slopes], moved, allowed),
    }


def _moved(slope: Slope, s: complex, x: ComplexArray, signs: FloatArray) -> NDArray[np.complex128]:
    """(N, j) what a relative change of an element adds to the right-hand sides, about unknowns (N, j)."""
    return np.asarray(slope.K @ signs - (s * slope.E - slope.F) @ x, dtype=np.complex128)
