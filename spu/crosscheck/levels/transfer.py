"""Level ``ac``: every transfer function, every noise density, and their integral, the covariance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from spu.base.arrays import ComplexArray, FloatArray
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.errors import SimulatorFailed
from spu.base.numbers import in_words
from spu.circuit.circuit import stamp_circuit
from spu.circuit.ramp import NODES
from spu.crosscheck.context import Context, Sweep
from spu.crosscheck.levels import combined
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.crosscheck.levels.power import smallest_change
from spu.crosscheck.levels.small_signal import about_rest
from spu.crosscheck.levels.sweeps import AUDIBLE, BLURRED, COVARIANCE, DENSITY, POINTWISE, ROUNDINGS, decisive
from spu.crosscheck.levels.sweeps import densities as densities_of
from spu.crosscheck.result import Level
from spu.emulator.equations.linear import probe_matrix
from spu.emulator.laws.timing import sweep_integral
from spu.spice.simulators.analyses import Ac, Decades, DeclaredNoise, Noise

ROUNDED = 40
"""Frequencies at which it is found what double precision does."""

MOST_PAIRS = 500
"""Of readouts, whose differences are listened to where noise comes from other elements than the device's."""

NOISE_POINTS = 20
"""Per decade, of the ``.noise`` sweep."""


def run(context: Context) -> Level:
    """Sweep as `_standing` does; a circuit with a ramp as it stands at the end, and as it stands at the start."""
    found = _standing(context)
    ramp = context.circuit.ramp
    if ramp is None or ramp.start == ramp.end or found.verdict not in ("pass", "inconclusive"):
        return found
    assert context.deck is not None
    frozen = context.circuit.frozen(*ramp.start)
    deck = context.deck.held(dict(zip((f"v{node}" for node in NODES.values()), ramp.start, strict=True)))
    start = replace(context, circuit=frozen, deck=deck, means={}, covariances={}, sweep=None, together=None, notes=[])
    other = _standing(start)
    worse = other if other.verdict != "pass" else found
    message = f"at the ramp's end {found.message}; at its start {other.message}"
    return replace(worse, message=message, data={**found.data, "start": other.data})


def _standing(context: Context) -> Level:
    """Sweep from each noise source in turn; compare point by point; weigh by ``.noise`` densities; integrate.

    Where that would take too long all sources are swept at once (`spu.crosscheck.levels.combined`).
    """
    assert context.deck is not None
    circuit, times = context.circuit, context.timing
    if not circuit.sources:
        return Level("ac", "skipped", "the device has no noise source")
    context.require_rest()
    # The sweep of .noise is every so-manieth frequency of the other, whose gains it is weighed by.
    coarse = min(times.per_decade, NOISE_POINTS)
    stride = -(-times.per_decade // coarse)
    fine = coarse * stride
    # ngspice's .ac stretches its steps to end at the last frequency, .noise does not: it has to be one of both.
    high = times.low * 10.0 ** (np.ceil(np.log10(times.high / times.low) * coarse) / coarse) * (1.0 + 1e-9)
    every, sweep = Decades(times.low, float(high), fine), Decades(times.low, float(high), coarse)
    together = combined.chosen(context, every, sweep)
    if together:
        return combined.run(context, together, _stated(context))
    if len(circuit.sources) > combined.COMBINATIONS:
        seconds = in_words(combined.one_by_one(context, every, sweep))
        context.progress(f"ac: {len(circuit.sources)} sweeps, one a noise source, {seconds}")
    law, stated = context.law, _stated(context)
    reference = context.elements[0]
    gains = [Ac(element, every, context.vectors) for element in context.elements]
    noises = [Noise((vector,), reference, sweep, contributions=True) for vector in context.vectors]
    found = context.run(context.deck.text(), *gains, *noises)
    count = len(circuit.sources)
    frequencies = found[0]["frequency"]
    measured = np.stack(
        [np.stack([swept[name] for name in context.vectors], axis=1) for swept in found[:count]], axis=2
    )
    exact = law.transfer(frequencies)
    point, i, k = _pointwise(measured, exact)
    rounding = ROUNDINGS * _nodal_rounding(context, frequencies, exact) if not point <= POINTWISE else 0.0
    gain = np.abs(measured[::stride]) ** 2
    heard = _heard(context, frequencies[::stride], gain, found[count:], stated)
    densities, density_errors = densities_of(gain, heard.sources, rounding)
    deaf = np.array([not resistor for resistor in context.resistors])
    stray = heard.stray
    others = False
    amiss = not max(density_errors[~deaf].max(initial=0.0), stray) <= DENSITY
    if point <= POINTWISE + rounding and amiss:
        total = _totals(context, measured[::stride], heard, reference, sweep)
        if total <= DENSITY:  # other elements make the same noise at every readout
            others, stray = True, 0.0
            density_errors = np.where(deaf, density_errors, total)
            densities = np.where(deaf, densities, UNIT_NOISE_DENSITY**2)
    loudest = int(np.argmax(density_errors))
    density_error = float(density_errors[loudest])
    noise = heard.total
    audible = np.where(gain.max(axis=(0, 1)) > 0, densities, np.nan)
    context.sweep = Sweep(frequencies, measured, audible, frequencies[::stride], noise)
    ratio = densities / UNIT_NOISE_DENSITY**2

    covariance = _covariance(frequencies, measured, densities)
    quadrature = _covariance(frequencies, exact, np.full(count, UNIT_NOISE_DENSITY**2))
    target = law.voltage_covariance
    size = float(np.linalg.norm(target)) or 1.0  # V^2: readouts that nothing moves
    covariance_error = float(np.linalg.norm(covariance - target)) / size
    quadrature_error = float(np.linalg.norm(quadrature - target)) / size
    context.covariances["ac"] = covariance
    allowed = COVARIANCE + 2.0 * quadrature_error

    parts = {
        "transfer functions": (point, POINTWISE + rounding),
        "noise densities": (density_error, DENSITY),
        "unexpected noise": (stray, DENSITY),
        "covariance": (covariance_error, allowed),
    }
    passed, worst = decisive(parts)
    probes, sources = circuit.probes, [source.name for source in circuit.sources]
    verdict = "pass" if passed else "fail"
    if passed:
        message = (
            f"{measured.shape[1] * count} transfer functions at {len(frequencies)} frequencies, {count} densities "
            f"and the whole covariance (integral off by {covariance_error:.1g})"
        )
        if others:
            message += "; some noise is made by other elements than the device's, alike at every readout"
        if rounding > 0:
            verdict = "pass" if rounding <= BLURRED else "inconclusive"
            message += f"; in double precision nodal equations of this circuit are known to {rounding:.1g} only"
    elif worst == "noise densities":
        message = f"noise source {sources[loudest]}: density off by {density_error:.2g} ({ratio[loudest]:.4g} times)"
    elif worst == "unexpected noise":
        message = f"the deck makes noise the device does not have: {stray:.2g} of a cell's power"
    else:
        message = f"{worst}: worst from {sources[k]} to {probes[i]}, off by {point:.2g} of its peak"
    return Level(
        "ac",
        verdict,
        message,
        parts[worst][0],
        parts[worst][1],
        false_alarm_rate=0.0,
        detects={
            "covariance": allowed,
            "density": DENSITY,
            **smallest_change(
                context,
                relative(context.sensitivities.largest_transfer(frequencies), np.abs(exact).max(axis=0)).max(
                    axis=(1, 2), initial=0.0
                ),
                POINTWISE + rounding + min(point, POINTWISE),
            ),
        },
        data={
            "frequencies": len(frequencies),
            "sweeps": {"sources": "one by one"},
            "worst_transfer": {
                "source": sources[k],
                "cell": probes[i],
                "error": point,
                "tolerance": POINTWISE + rounding,
            },
            "worst_density": {
                "source": sources[loudest],
                "ratio": float(ratio[loudest]),
                "tolerance": DENSITY,
            },
            "unexpected_noise": stray,
            "covariance_error": covariance_error,
            "covariance_tolerance": allowed,
            "quadrature_error": quadrature_error,
        },
    )


def _stated(context: Context) -> FloatArray:
    """(m,) densities, V^2/Hz, of the unit sources that ``.noise`` is deaf to, by what the deck's own sources declare.

    The simulator is asked for that, not the text. Of all others, and where a user has said how strong a source is, it
    is the unit density.
    """
    densities = np.full(len(context.circuit.sources), UNIT_NOISE_DENSITY**2)
    fixture = context.fixture
    asked = {} if fixture is None else {k: source for k, source in enumerate(fixture.stated) if source is not None}
    if fixture is None or not asked:
        return densities
    elements = tuple(source.element for source in asked.values())
    question = DeclaredNoise(elements, tuple(source.kind for source in asked.values()))
    (found,) = context.run(fixture.tapped.text(), question)
    for k, source in asked.items():
        _, interval, _, rms, _ = found[source.element]
        densities[k] = 2.0 * rms**2 * interval / source.gain**2
    return densities


def _pointwise(measured: ComplexArray, exact: ComplexArray) -> tuple[float, int, int]:
    """Worst error over frequency of each (probe, source), relative to its own peak.

    One that is (almost) zero is held to a ten-thousandth of the loudest from the same source: rounding
    leaves 1e-12 of that where there should be nothing.
    """
    error = relative(measured - exact, np.abs(exact).max(axis=0)).max(axis=0)
    i, k = np.unravel_index(int(np.argmax(error)), error.shape)
    return float(error[i, k]), int(i), int(k)


def relative(difference: ComplexArray | FloatArray, peak: FloatArray) -> FloatArray:
    """(..., p, m) sizes over those of the peaks (p, m), which count as a ten-thousandth of the loudest at least."""
    scale = np.maximum(peak, 1e-4 * peak.max(axis=0))
    return np.asarray(np.abs(difference) / np.where(scale > 0, scale, 1.0))


def _nodal_rounding(context: Context, frequencies: FloatArray, exact: ComplexArray) -> float:
    """What double precision does to the nodal equations that simulators solve, relative to peaks as `_pointwise`.

    A source between two nodes that a small resistance joins, say, moves both by far less than its two ends would.
    """
    try:
        nodal = stamp_circuit(context.circuit)[0]
        plus, minus = context.circuit.probe_nodes.T
        readout = probe_matrix(plus, minus, nodal.size)
        chosen = np.unique(np.linspace(0, len(frequencies) - 1, ROUNDED).astype(int))
        found = np.empty((len(chosen), *exact.shape[1:]), dtype=np.complex128)
        drive = nodal.K.toarray() / UNIT_NOISE_DENSITY
        for row, k in enumerate(chosen):
            matrix = sp.csc_array(2j * np.pi * frequencies[k] * nodal.E - nodal.F)
            found[row] = readout @ splu(matrix).solve(drive.astype(np.complex128))
    except RuntimeError:  # singular: no reason to be lenient
        return 0.0
    error = relative(found - exact[chosen], np.abs(exact).max(axis=0)).max(initial=0.0)
    return float(error) if np.isfinite(error) else 0.0


@dataclass(frozen=True, eq=False)
class _Heard:
    """What ``.noise`` says.

    Attributes
    ----------
    sources:
        (f, p, m) V^2/Hz: of each source at each readout, by the resistor that makes it, or by what is stated of it.
    total:
        (f, p) V^2/Hz, all that is heard.
    meant:
        (f, p) V^2/Hz, without the resistors that are silenced.
    stray:
        The largest share of a readout's power that no source explains.
    """

    sources: FloatArray
    total: FloatArray
    meant: FloatArray
    stray: float


def _heard(
    context: Context, frequencies: FloatArray, gain: FloatArray, runs: list[dict[str, NDArray]], stated: FloatArray
) -> _Heard:
    """Sort what ``.noise`` found at frequencies (f,), where the power gains (f, p, m) of the sources were measured."""
    swept = runs[0]["frequency"]
    if len(swept) != len(frequencies) or np.abs(swept / frequencies - 1.0).max() > 1e-8:
        raise SimulatorFailed(f"{context.simulator.name}'s .noise and .ac did not sweep the same frequencies")
    silenced = frozenset[str]() if context.fixture is None else context.fixture.silenced
    heard = np.zeros_like(gain)
    total, meant = np.zeros(gain.shape[:2]), np.zeros(gain.shape[:2])
    stray = 0.0
    for i, each in enumerate(runs):
        for k, resistor in enumerate(context.resistors):
            if resistor in each:
                heard[:, i, k] = each[resistor]
        total[:, i] = each["total"]
        meant[:, i] = each["total"] - sum(each[name] for name in silenced if name in each)
        power = float((meant[:, i] * frequencies).sum())
        unexplained = float((np.abs(meant[:, i] - heard[:, i].sum(axis=1)) * frequencies).sum())
        stray = max(stray, unexplained / power if power > 0 else 0.0)
    deaf = np.array([not resistor for resistor in context.resistors])
    heard[:, :, deaf] = (stated * gain)[:, :, deaf]
    return _Heard(heard, total, meant, stray)


def _totals(context: Context, transfer: ComplexArray, heard: _Heard, reference: str, sweep: Decades) -> float:
    """How far all noise together is from what the device's sources make, at the readouts and between pairs of them.

    The noise of a resistor may come from two that stand for it: then neither is the device's, but their sum is. The
    densities of all voltages and of all their differences are the whole cross-spectrum's real part.
    """
    assert context.deck is not None
    audible = np.array([bool(resistor) for resistor in context.resistors])
    sources = transfer[:, :, audible] * UNIT_NOISE_DENSITY

    def error(found: FloatArray, expected: FloatArray, size: FloatArray) -> float:
        size = np.maximum(size, AUDIBLE * size.max(axis=0))
        return float((np.abs(found - expected) / np.where(size > 0, size, 1.0)).max(initial=0.0))

    own = (np.abs(sources) ** 2).sum(axis=2)
    worst = error(heard.meant, own, own)
    if not worst <= DENSITY or (context.fixture is not None and context.fixture.silenced):
        return worst
    pairs = list(combinations(range(own.shape[1]), 2))
    pairs = pairs[:: -(-len(pairs) // MOST_PAIRS)] if pairs else []
    between = [Noise((context.vectors[i], context.vectors[j]), reference, sweep) for i, j in pairs]
    found = context.run(context.deck.text(), *between) if between else []
    for (i, j), vectors in zip(pairs, found, strict=True):
        expected = (np.abs(sources[:, i] - sources[:, j]) ** 2).sum(axis=1)
        size = own[:, i] + own[:, j]
        worst = max(worst, error(vectors["total"], expected, size))
    return worst


def _covariance(frequencies: FloatArray, transfer: ComplexArray, densities: FloatArray) -> FloatArray:
    """(p, p) V^2: the integral of the real cross-spectrum."""
    weighted = transfer * np.sqrt(densities)
    spectrum = (weighted @ np.conj(np.swapaxes(weighted, 1, 2))).real
    return sweep_integral(frequencies, spectrum)


LEVEL = LevelKind(
    "ac",
    {
        "linear": Way(run, (Ac, Noise), large=True),  # of a netlist from elsewhere it may need more
        "saturating": about_rest(run, (Ac, Noise), "{} transfer functions of small signals against the emulator's"),
    },
    compares="{} transfer functions against the emulator's",
    failing="the circuit that {} ran is not the device: a transfer function or a noise source is off",
    without="nonlinear cells have no transfer function; their curves are compared at op and replay",
)
