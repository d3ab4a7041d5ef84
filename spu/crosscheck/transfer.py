"""Level ``ac``: every transfer function, every noise density, and their integral, the covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spu.constants import UNIT_NOISE_DENSITY
from spu.crosscheck.context import Context, Sweep
from spu.crosscheck.power import smallest_change
from spu.crosscheck.result import Level
from spu.errors import NgspiceFailed
from spu.spice.ngspice import Step
from spu.spice.ngspice import run as run_ngspice
from spu.spice.reader.noise import plain_path
from spu.spice.timing import sweep_integral

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

POINTWISE = 1e-7
"""Of each transfer function's peak. Both sides solve the same linear equations in double precision."""

DENSITY = 5e-6
"""ngspice's Boltzmann constant is 3.5e-7 off the exact one."""

AUDIBLE = 1e-8
"""Of a source's loudest power gain: below this its density is not judged."""

NOISE_POINTS = 20
"""Per decade, of the ``.noise`` sweep."""

COVARIANCE = 1e-4
"""Relative Frobenius; quadrature and tails (measured on the emulator's own curves and added)."""


def run(context: Context) -> Level:
    """Sweep from each noise source in turn; compare point by point; weigh by ``.noise`` densities; integrate."""
    assert context.deck is not None
    circuit, law, times = context.circuit, context.law, context.timing
    if not circuit.sources:
        return Level("ac", "skipped", "the device has no noise source")
    # The sweep of .noise is every so-manieth frequency of the other, whose gains it is weighed by.
    coarse = min(times.per_decade, NOISE_POINTS)
    stride = -(-times.per_decade // coarse)
    fine = coarse * stride
    # .ac stretches its steps to end at the last frequency, .noise does not: it has to be one of both.
    high = times.low * 10.0 ** (np.ceil(np.log10(times.high / times.low) * coarse) / coarse) * (1.0 + 1e-9)
    sweep = f"{times.low!r} {float(high)!r}"
    stated = _stated(context)
    reference = context.elements[0]
    steps = [
        Step(
            (
                f"alter {element} acmag=1",
                f"ac dec {fine} {sweep}",
                f"alter {element} acmag=0",
            ),
            "ac",
            ("frequency", *context.vectors),
        )
        for element in context.elements
    ]
    steps += [Step((f"noise v({vector}) {reference} dec {coarse} {sweep} 1",), "noise") for vector in context.vectors]
    found = run_ngspice(context.deck.text(), steps, time_limit=context.time_limit)
    count = len(circuit.sources)
    frequencies = found[0]["frequency"].real
    measured = np.stack(
        [np.stack([sweep[name] for name in context.vectors], axis=1) for sweep in found[:count]], axis=2
    )
    exact = law.transfer(frequencies)
    point, i, k = _pointwise(measured, exact)
    gain = np.abs(measured[::stride]) ** 2
    densities, loudest, density_error, stray = _densities(context, frequencies[::stride], gain, found[count:], stated)
    noise = np.stack([vectors["onoise_spectrum"].real ** 2 for vectors in found[count:]], axis=1)
    heard = np.where(gain.max(axis=(0, 1)) > 0, densities, np.nan)
    context.sweep = Sweep(frequencies, measured, heard, frequencies[::stride], noise)
    ratio = densities / UNIT_NOISE_DENSITY**2

    covariance = _covariance(frequencies, measured, densities)
    quadrature = _covariance(frequencies, exact, np.full(count, UNIT_NOISE_DENSITY**2))
    target = law.voltage_covariance
    size = float(np.linalg.norm(target))
    covariance_error = float(np.linalg.norm(covariance - target)) / size
    quadrature_error = float(np.linalg.norm(quadrature - target)) / size
    context.covariances["ac"] = covariance
    allowed = COVARIANCE + 2.0 * quadrature_error

    parts = {
        "transfer functions": (point, POINTWISE),
        "noise densities": (density_error, DENSITY),
        "unexpected noise": (stray, DENSITY),
        "covariance": (covariance_error, allowed),
    }
    # Where transfer functions differ, all the rest does; they say most.
    failing = [key for key, (error, tolerance) in parts.items() if not error <= tolerance]
    worst = failing[0] if failing else max(parts, key=lambda key: parts[key][0] / parts[key][1])
    passed = not failing
    probes, sources = circuit.probes, [source.name for source in circuit.sources]
    if passed:
        message = (
            f"{measured.shape[1] * count} transfer functions at {len(frequencies)} frequencies, {count} densities "
            f"and the whole covariance (integral off by {covariance_error:.1g})"
        )
    elif worst == "noise densities":
        message = f"noise source {sources[loudest]}: density off by {density_error:.2g} ({ratio[loudest]:.4g} times)"
    elif worst == "unexpected noise":
        message = f"the deck makes noise the device does not have: {stray:.2g} of a cell's power"
    else:
        message = f"{worst}: worst from {sources[k]} to {probes[i]}, off by {point:.2g} of its peak"
    return Level(
        "ac",
        "pass" if passed else "fail",
        message,
        parts[worst][0],
        parts[worst][1],
        false_alarm_rate=0.0,
        detects={
            "covariance": allowed,
            "density": DENSITY,
            **smallest_change(
                context,
                lambda changed: _pointwise(changed.transfer(frequencies), exact)[0],
                POINTWISE + min(point, POINTWISE),
            ),
        },
        data={
            "frequencies": len(frequencies),
            "worst_transfer": {
                "source": sources[k],
                "cell": probes[i],
                "error": point,
                "tolerance": POINTWISE,
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

    Ngspice is asked for that, not the text. Of all others, and where a user has said how strong a source is, it
    is the unit density.
    """
    densities = np.full(len(context.circuit.sources), UNIT_NOISE_DENSITY**2)
    fixture = context.fixture
    asked = {} if fixture is None else {k: source for k, source in enumerate(fixture.stated) if source is not None}
    if fixture is None or not asked:
        return densities
    commands = tuple(f"let stated{k} = @{source.element}[coeffs]" for k, source in asked.items())
    names = tuple(f"stated{k}" for k in asked)
    step = Step(("tran 1e-15 1e-15 uic", *commands), "tran", names)
    (found,) = run_ngspice(fixture.tapped.text(), [step], time_limit=context.time_limit)
    for k, source in asked.items():
        values = np.append(found[f"stated{k}"].real, [0.0] * 5)
        amplitude, interval = (values[0], values[1]) if source.kind == "trnoise" else (values[3], values[1])
        densities[k] = 2.0 * amplitude**2 * interval / source.gain**2
    return densities


def _pointwise(measured: ComplexArray, exact: ComplexArray) -> tuple[float, int, int]:
    """Worst error over frequency of each (probe, source), relative to its own peak.

    One that is (almost) zero is held to a ten-thousandth of the loudest from the same source: rounding
    leaves 1e-12 of that where there should be nothing.
    """
    peak = np.abs(exact).max(axis=0)
    scale = np.maximum(peak, 1e-4 * peak.max(axis=0))
    error = np.abs(measured - exact).max(axis=0) / np.where(scale > 0, scale, 1.0)
    i, k = np.unravel_index(int(np.argmax(error)), error.shape)
    return float(error[i, k]), int(i), int(k)


def _densities(
    context: Context,
    frequencies: FloatArray,
    gain: FloatArray,
    runs: list[dict[str, NDArray]],
    stated: FloatArray,
) -> tuple[FloatArray, int, float, float]:
    """What ``.noise`` says of every source, at frequencies (f,) where its power gains (f, p, m) were measured.

    Returns the densities of the unit sources (m,), V^2/Hz one-sided, each where it is heard best; the source
    furthest from its density at any audible frequency, and how far (relative); and the largest share of a
    probe's power that no source of the device explains.
    """
    swept = runs[0]["frequency"].real
    if len(swept) != len(frequencies) or np.abs(swept / frequencies - 1.0).max() > 1e-8:
        raise NgspiceFailed("ngspice's .noise and .ac did not sweep the same frequencies")
    silenced = frozenset[str]() if context.fixture is None else context.fixture.silenced
    heard = np.zeros_like(gain)
    stray = 0.0
    for i, vectors in enumerate(runs):
        each = {plain_path(name.removeprefix("onoise_")): found.real**2 for name, found in vectors.items()}
        for k, resistor in enumerate(context.resistors):
            if resistor in each:
                heard[:, i, k] = each[resistor]
        total = each["spectrum"] - sum(each[name] for name in silenced if name in each)
        power = float((total * frequencies).sum())
        unexplained = float((np.abs(total - heard[:, i].sum(axis=1)) * frequencies).sum())
        stray = max(stray, unexplained / power if power > 0 else 0.0)
    deaf = np.array([not resistor for resistor in context.resistors])
    heard[:, :, deaf] = (stated * gain)[:, :, deaf]
    loudest = gain.max(axis=(0, 1))
    loudest = np.where(loudest > 0, loudest, 1.0)
    ratio = heard / (np.where(gain > 0, gain, 1.0) * UNIT_NOISE_DENSITY**2)
    error = np.where(gain > AUDIBLE * loudest, np.abs(ratio - 1.0), 0.0).max(axis=(0, 1))
    best = gain.reshape(-1, gain.shape[2]).argmax(axis=0)
    densities = ratio.reshape(-1, gain.shape[2])[best, np.arange(gain.shape[2])] * UNIT_NOISE_DENSITY**2
    worst = int(np.argmax(error))
    return densities, worst, float(error[worst]), stray


def _covariance(frequencies: FloatArray, transfer: ComplexArray, densities: FloatArray) -> FloatArray:
    """(p, p) V^2: the integral of the real cross-spectrum."""
    weighted = transfer * np.sqrt(densities)
    spectrum = (weighted @ np.conj(np.swapaxes(weighted, 1, 2))).real
    return sweep_integral(frequencies, spectrum)
