"""`calibrate`: the values of a board's parts from a record of it, by maximum likelihood on the known structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, OptionError, UsageError
from spu.base.names import shorten, suggest
from spu.base.threads import blas_threads_for
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.subject import Subject, subject_of
from spu.device.variation import Elements, called, elements_of, varied
from spu.emulator.dynamics import linear
from spu.studies.calibration.fit import Fit, fit
from spu.studies.calibration.grid import Grid, grid_of
from spu.studies.calibration.identified import combinations
from spu.studies.calibration.judged import difference, errors_of, goodness, prior_of
from spu.studies.calibration.likelihood import Likelihood, Matrices, OfDensities, OfSamples, OfSpectra, refuse_short
from spu.studies.calibration.model import READOUT, Model, Point, Reading, Sought, matrix_of
from spu.studies.calibration.paths import Filtered, Paths
from spu.studies.calibration.records import VOLTS, Record, record_of
from spu.studies.calibration.result import Calibrated, Calibration, Heard
from spu.studies.calibration.whittle import spectra_of

__all__ = ["LONG", "METHODS", "calibrate"]

METHODS = ("exact", "whittle")
"""Likelihoods of samples in time."""

LONG = 2_000_000
"""Samples beyond which spectra serve."""

_FIRST, _AGAIN = 0.25, 0.02
"""How far resonances may move within the bins of spectra, at first and once they are known, relative."""


def calibrate(
    device: Subject,
    record: Any,
    *,
    fit: Sequence[str] | None = None,
    prior: bool = False,
    method: str | None = None,
    rate: float | None = None,
    independent: bool = False,
    unit: str | None = None,
    names: Sequence[str] | None = None,
    gain: float | Annotated[ArrayLike, "c"] = 1.0,
    band: float | Annotated[ArrayLike, "c"] | None = None,
    noise: float | Annotated[ArrayLike, "c"] | None = None,
) -> Calibration:
    """Find the values of a board's parts from what was measured of it.

    The likeliest ones, by the exact likelihood of a linear circuit that is sampled; with their standard errors, the
    combinations that the record cannot tell, whether the fitted model explains the record, and whether the board
    differs from its design. Offsets of channels are always fitted.

    Parameters
    ----------
    device:
        The design: a linear device, a compiled folder or the path of one.
    record:
        A file, a run of `spu.simulate`, arrays by name, or samples (N, c) in V: see `spu.studies.calibration.records`.
    fit:
        Names of elements, kinds or quantities that are sought (``cell.conductance``, ``capacitance``, ``conductance of
        x1``), and values of the readout (``readout.gain``, ``readout.band``, ``readout.noise``, each of every channel);
        unless given the elements that the device's tolerance states, else all.
    prior:
        Take stated tolerances for what is known before: the answer is the likeliest with them. A distribution that is
        not normal counts by its standard deviation.
    method:
        ``exact``, or ``whittle`` (by spectra: for long records); chosen by length unless given.
    rate:
        Hz, of samples that have no times.
    independent:
        Whether samples are independent: then only their covariance counts.
    unit:
        ``volts`` or ``problem`` units; volts, but for runs of ``simulate``.
    names:
        Of channels, where the record has none and they are not all.
    gain, band, noise:
        Of the readout, one or one a channel: factor, Hz of one pole (None: wide), and rms noise of a sample in units
        of the record; that of the device's converter, if it has one, unless given (its steps counted as white noise).
        What is sought starts there.

    Raises
    ------
    InputError
        If record and device do not fit each other, or the record is too short.
    UsageError
        If the device is not linear, or an option has no meaning for the record.
    NumericalFailure
        If the fit does not come to rest.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> run = spu.simulate(device, samples=20_000, interval=3e-7, seed=1)
    >>> found = spu.calibrate(device, run, fit=["conductance"])
    >>> each = found.elements[0]
    >>> abs(each.value - 1e-3) < 3 * each.standard_error < 1e-4, found.differs.differs
    (True, False)
    """
    design = _device(device)
    known = record_of(record, rate=rate, independent=independent, unit=unit, names=names)
    if method is not None and method not in METHODS:
        raise OptionError("method", f"{shorten(method)}; {suggest(method, METHODS)}")
    if method is not None and known.kind != "samples in time":
        raise OptionError("method", f"has no meaning for {known.kind}: it is of samples in time")
    channels, matrix = _channels(design, known)
    rms = _converted(design, matrix) if noise is None else _of_channels(noise, "noise", len(channels))
    reading = Reading(matrix, _of_channels(gain, "gain", len(channels)), rms)
    if band is not None:
        reading = Reading(matrix, reading.gain, reading.noise, _of_channels(band, "band", len(channels)))
    sought = _sought(design, fit, channels, reading, known)
    with blas_threads_for(2 * len(design.cell_names)):
        return _calibrated(design, known, sought, reading, prior, method)


def _device(given: Subject) -> Device:
    found = subject_of(given)
    if not isinstance(found, Device):
        raise UsageError("a board is calibrated against its device: this is a circuit, whose elements have no names")
    if found.network is not None:
        raise UsageError("calibrate is not for networks: their records have no Gaussian law")
    if len(found.members()) > 1:
        raise UsageError("an ensemble is several programmings: calibrate one of device.members()")
    if found.ramp is not None:
        raise UsageError("a device with a ramp has no stationary record: set device.ramp = None")
    linear(lower(found)).require_white("a board is calibrated")
    return found


def _channels(device: Device, record: Record) -> tuple[tuple[str, ...], FloatArray]:
    """Names of what was recorded, and (c, n) how it is read of the probes."""
    readout = device.readout
    if record.unit == VOLTS:
        names, rows, what = tuple(device.cell_names), np.eye(len(device.cell_names)), "cells"
    else:
        names, rows, what = tuple(readout.variables), readout.matrix.toarray(), "variables"
    channels = record.names
    if channels is None:
        if record.channels != len(names):
            raise InputError(
                f"the record has {record.channels} channels and the device {len(names)} {what}: give their names"
            )
        channels = names
    return channels, matrix_of(channels, names, rows, what)


def _converted(device: Device, matrix: FloatArray) -> FloatArray:
    """(c,) rms of the white noise that the device's converter adds to a sample of each channel."""
    converter = lower(device).acquisition
    volts = 0.0 if converter is None else float(np.hypot(converter.noise, converter.step / np.sqrt(12.0)))
    return np.asarray(volts * np.sqrt((matrix**2).sum(axis=1)))


def _of_channels(value: Any, name: str, count: int) -> FloatArray:
    problem = f"must be a {'number from 0 on' if name == 'noise' else 'positive number'}, or {count} of them"
    try:
        found = np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))
    except (TypeError, ValueError):
        raise OptionError(name, f"{problem}, not {shorten(value)}") from None
    if isinstance(value, (bool, str)) or not np.isfinite(found).all() or (found < 0).any():
        raise OptionError(name, f"{problem}, not {shorten(value)}")
    if name != "noise" and (found == 0).any():
        raise OptionError(name, f"{problem}, not {shorten(value)}")
    return np.array(found)


def _sought(
    device: Device, names: Sequence[str] | None, channels: tuple[str, ...], reading: Reading, record: Record
) -> Sought:
    elements = elements_of(device)
    if isinstance(names, str):
        names = [names]
    wanted = list(names or [])
    of_readout = [name for name in wanted if name in READOUT]
    of_device = [name for name in wanted if name not in READOUT]
    for name in of_readout:
        _refuse_readout(name, reading, record)
    if of_device:
        numbers = np.sort(called(elements, of_device))
    elif names is not None and of_readout:
        numbers = np.empty(0, dtype=np.int64)
    else:
        numbers = _stated(elements, device)
    readout = tuple((name, k) for name in READOUT if name in of_readout for k in range(len(channels)))
    found = Sought(elements, numbers, readout, channels)
    if not len(found):
        raise InputError("the device has no elements")
    return found


def _refuse_readout(name: str, reading: Reading, record: Record) -> None:
    if name == "readout.band" and reading.band is None:
        raise OptionError("band", "is sought and not given: where to start, Hz")
    if name == "readout.band" and record.kind == "independent samples":
        raise OptionError("fit", "a band is told by samples in time, not by independent ones")
    if name == "readout.noise" and not (reading.noise > 0).all():
        raise OptionError("noise", "is sought and not given: where to start, units of the record, rms")


def _stated(elements: Elements, device: Device) -> Any:
    own, shared = elements.sigmas(device.tolerance)
    stated = np.flatnonzero(own + shared)
    return stated if len(stated) else np.arange(len(elements))


def _calibrated(
    device: Device, record: Record, sought: Sought, reading: Reading, prior: bool, method: str | None
) -> Calibration:
    if prior and not device.tolerance:
        raise OptionError("prior", "is of stated tolerances, and the device has none")
    model = Model(device, sought, reading)
    believed = prior_of(device, sought, prior)
    start = model.at(np.zeros(len(sought)))
    used = _method(record, method)
    likelihood = _likelihood(record, model, used, start, _FIRST)
    if not believed.any():
        refuse_short(int(likelihood.figures), len(sought))
    found = fit(model, likelihood, believed)
    if used == "whittle":
        likelihood = _likelihood(record, model, used, found.point, _AGAIN)
        found = fit(model, likelihood, believed, found.theta)
    null = _at_design(device, sought, reading, likelihood)
    at = np.zeros(len(sought))
    at[len(sought.numbers) :] = null
    design_point = model.at(at)
    design = likelihood.terms(design_point)
    filtered = None
    if record.kind == "samples in time":
        paths = likelihood.paths if isinstance(likelihood, Paths) else _paths(record, model)
        filtered = Filtered(found.point.sampled(_interval(record)), paths)
    board = varied(device, sought.factors(found.theta), sought.elements)
    values = _values(device, sought, reading, found)
    e = len(sought.numbers)
    return Calibration(
        elements=values[:e],
        readout=values[e:],
        covariance=found.covariance,
        unidentified=combinations(sought, found.held),
        goodness=goodness(found, filtered),
        differs=difference(device, sought, design, found, prior) if e else None,
        board=board,
        kind=record.kind,
        method=used,
        prior=prior,
        channels=sought.channels,
        samples=record.samples if record.averages is None else int(record.averages.sum()),
        interval=record.interval,
        steps=found.steps,
        heard=_heard(record, model, likelihood, found.point, start),
        device_hash=device.hash,
        architecture=device.architecture,
        warnings=_warnings(record, start),
    )


def _warnings(record: Record, design: Point) -> tuple[str, ...]:
    """Of samples that are too slow for what rings."""
    if record.kind != "samples in time":
        return ()
    slowly = -design.poles.real < np.abs(design.poles.imag)
    ringing = float(np.abs(design.poles.imag)[slowly].max(initial=0.0)) / (2.0 * np.pi)
    rate = 1.0 / _interval(record)
    if 2.0 * ringing <= rate:
        return ()
    return (
        f"the design rings at {ringing:.3g} Hz, and samples come at {rate:.3g} Hz: a resonance that is a multiple of "
        "the rate away looks the same, and the likeliest values may be of the wrong one",
    )


def _interval(record: Record) -> float:
    assert record.interval is not None
    return record.interval


def _method(record: Record, method: str | None) -> str:
    if record.kind != "samples in time":
        return "wishart"
    return method or ("exact" if record.samples <= LONG else "whittle")


def _paths(record: Record, model: Model) -> list[FloatArray]:
    return [each / model.unit for each in record.paths]


def _likelihood(record: Record, model: Model, method: str, point: Point, shift: float) -> Likelihood:
    if record.kind == "spectra":
        assert record.density is not None and record.frequencies is not None and record.averages is not None
        measured = record.density / np.outer(model.unit, model.unit)
        if record.interval is None:
            if model.reading.noise.any():
                raise OptionError("noise", "of a sample has no meaning for spectra without a rate")
            return Matrices(measured, record.averages, OfDensities(record.frequencies))
        angles = 2.0 * np.pi * record.frequencies * record.interval
        law = OfSpectra(Grid(angles, angles), record.interval, 2.0 * record.interval)
        return Matrices(measured, record.averages, law)
    paths = _paths(record, model)
    if record.kind == "independent samples":
        samples = paths[0][0]
        if len(samples) <= samples.shape[1]:
            raise InputError(f"{len(samples)} samples are too few for the covariance of {samples.shape[1]} channels")
        covariance = np.atleast_2d(np.cov(samples.T)).astype(complex)
        return Matrices(covariance[None], np.array([(len(samples) - 1) / 2.0]), OfSamples(), real=True)
    if method == "exact":
        return Paths(paths, _interval(record))
    slowest = float((-1.0 / point.poles.real).max())
    return spectra_of(tuple(paths), _interval(record), grid_of(point.poles, _interval(record), shift), slowest)


def _at_design(device: Device, sought: Sought, reading: Reading, likelihood: Likelihood) -> FloatArray:
    """The likeliest values of the readout, elements as designed."""
    if not sought.readout:
        return np.zeros(0)
    alone = Sought(sought.elements, np.empty(0, dtype=np.int64), sought.readout, sought.channels)
    k = len(alone)
    return fit(Model(device, alone, reading), likelihood, np.zeros((k, k))).theta


def _values(device: Device, sought: Sought, reading: Reading, found: Fit) -> tuple[Calibrated, ...]:
    errors = errors_of(found)
    own, shared = sought.elements.sigmas(device.tolerance)
    tolerance = np.hypot(own, shared)
    nominal = [float(sought.elements.values[k]) for k in sought.numbers.tolist()]
    stated = [float(tolerance[k]) for k in sought.numbers.tolist()]
    at = {"readout.gain": reading.gain, "readout.noise": reading.noise, "readout.band": reading.band}
    for quantity, channel in sought.readout:
        values = at[quantity]
        assert values is not None
        nominal.append(float(values[channel]))
        stated.append(0.0)
    factors = np.exp(found.theta)
    return tuple(
        Calibrated(name, kind, value * factor, abs(value) * factor * error, value, sigma)
        for name, kind, value, factor, error, sigma in zip(
            sought.names, sought.kinds, nominal, factors.tolist(), errors.tolist(), stated, strict=True
        )
    )


MOST_POINTS = 300
"""Of a picture's spectra."""


def _heard(record: Record, model: Model, likelihood: Likelihood, fitted: Point, designed: Point) -> Heard | None:
    """Of each channel, averaged so far that a picture shows it."""
    if record.kind == "independent samples":
        return None
    if record.kind == "spectra":
        assert isinstance(likelihood, Matrices) and record.frequencies is not None
        frequencies, scale, measured = record.frequencies, 1.0, likelihood.measured
        spectra = [likelihood.law(point, slice(None), changes=False)[0] for point in (fitted, designed)]
    else:
        interval = _interval(record)
        found = _periodogram(_paths(record, model), interval)
        frequencies, scale = found[0], 2.0 * interval
        measured = found[1]
        spectra = [
            point.sampled(interval).spectra(2.0 * np.pi * frequencies * interval)[0] for point in (fitted, designed)
        ]
    size = scale * model.unit**2
    parts = [np.einsum("fcc->fc", each).real * size for each in (measured, *spectra)]
    return Heard(frequencies, *parts)


def _periodogram(paths: list[FloatArray], interval: float) -> tuple[FloatArray, Any]:
    """(f,) Hz and (f, c, c) averages in bins of equal ratios, of the longest paths."""
    longest = paths[-1][:, : 2**19]
    n = longest.shape[1]
    window = np.hanning(n) if n > 8 else np.ones(n)
    spectrum = np.fft.rfft((longest - longest.mean(axis=(0, 1))) * window[:, None], axis=1)[:, 1:]
    spectrum /= np.sqrt((window**2).sum())
    power = np.abs(spectrum) ** 2
    frequencies = np.arange(1, spectrum.shape[1] + 1) / (n * interval)
    cuts = np.unique(np.geomspace(1, len(frequencies) + 1, MOST_POINTS).astype(int)) - 1
    cuts = cuts[cuts < len(frequencies)]
    counts = np.diff(np.append(cuts, len(frequencies)))[:, None]
    means = np.add.reduceat(power.mean(axis=0), cuts, axis=0) / counts
    centres = np.add.reduceat(frequencies, cuts) / counts[:, 0]
    return centres, means[:, :, None] * np.eye(means.shape[1])
