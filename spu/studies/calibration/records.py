"""What was measured of a board: samples in time, samples at independent moments, or spectra; read and checked.

==================  ========================================================================================
file                what it holds
==================  ========================================================================================
``samples.npz``     of ``spu simulate``: readouts of trajectories, in problem units
``.npz``            ``voltages`` (N, c) or (segments, N, c), with ``interval`` (s), ``rate`` (Hz) or ``times`` (N,);
                    ``names`` (c,) of channels unless all cells are there in order
``.npz``            ``frequencies`` (f,) Hz, ``density`` (f, c, c) one-sided and complex, ``averages``; with
                    ``interval`` or ``rate`` of what was sampled without a filter, so that it has aliases
``.csv``            a column for each channel under its name; ``time`` (s) unless the rate is given; ``segment`` where
                    samples do not follow one another
==================  ========================================================================================

A row of which any value is no number ends a segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spu.base.array_files import read_npz
from spu.base.arrays import ComplexArray, FloatArray
from spu.base.errors import InputError
from spu.base.files import read_text
from spu.base.names import shorten

MOST_TEXT = 2**30
"""Bytes of a .csv."""

_UNEVEN = 1e-3
"""Of an interval: what times may be off."""

VOLTS, PROBLEM = "volts", "problem"
"""What a record is in."""


@dataclass(frozen=True, eq=False)
class Record:
    """What was recorded.

    Attributes
    ----------
    names:
        Of the c channels; None where these are all that the device has, in order.
    unit:
        ``volts`` of cells, or ``problem`` units of variables.
    interval:
        s between samples; None of independent ones, and of spectra that have no aliases.
    paths:
        Arrays (s, T, c): segments of equal lengths stand together. Of independent samples one of shape (1, N, c).
    frequencies, density, averages:
        (f,) Hz, (f, c, c) one-sided and (f,), of spectra.
    """

    names: tuple[str, ...] | None
    unit: str
    interval: float | None
    paths: tuple[FloatArray, ...] = ()
    frequencies: FloatArray | None = None
    density: ComplexArray | None = None
    averages: FloatArray | None = None

    @property
    def kind(self) -> str:
        """``spectra``, ``independent samples`` or ``samples in time``."""
        if self.density is not None:
            return "spectra"
        return "independent samples" if self.interval is None else "samples in time"

    @property
    def channels(self) -> int:
        """How many."""
        return self.density.shape[2] if self.density is not None else self.paths[0].shape[2]

    @property
    def samples(self) -> int:
        """Of paths, all together; of spectra 0."""
        return sum(each.shape[0] * each.shape[1] for each in self.paths)


def record_of(
    given: Any,
    *,
    rate: float | None = None,
    independent: bool = False,
    unit: str | None = None,
    names: Sequence[str] | None = None,
) -> Record:
    """What is meant: a file, a run of `spu.simulate`, a mapping of arrays as a ``.npz`` has them, or an array (N, c).

    Raises
    ------
    InputError
        If it is none of these, is not complete, or holds nothing.
    """
    if unit not in (None, VOLTS, PROBLEM):
        raise InputError(f"a record is in {VOLTS} or in {PROBLEM} units, not {shorten(unit)}")
    file = None
    if isinstance(given, Record):
        return given
    if isinstance(given, (str, Path)):
        file = Path(given)
        if file.suffix.lower() == ".npz":
            given = read_npz(file)
        elif file.suffix.lower() == ".csv":
            given = _read_csv(file)
        else:
            raise InputError("a record is a .npz or a .csv file", file=file)
    elif hasattr(given, "arrays") and hasattr(given, "readouts"):
        given = given.arrays()
    elif not isinstance(given, Mapping):
        given = {"voltages": given}
    try:
        return _assembled(dict(given), rate, independent, unit, names)
    except InputError as error:
        raise InputError(error.message, file=file) from None


def _assembled(
    arrays: dict[str, Any], rate: float | None, independent: bool, unit: str | None, names: Sequence[str] | None
) -> Record:
    key = next((each for each in ("names", "variables") if each in arrays), None)
    if names is None and key is not None:
        names = [str(name) for name in np.atleast_1d(arrays[key])]
    called = None if names is None else tuple(names)
    interval = _interval(arrays, rate)
    if "density" in arrays or "frequencies" in arrays:
        if independent:
            raise InputError("spectra are no independent samples")
        return _spectra(arrays, called, unit or VOLTS, interval)
    if "voltages" in arrays:
        values, unit = arrays["voltages"], unit or VOLTS
    elif "readouts" in arrays:
        values, unit = arrays["readouts"], unit or PROBLEM
        if interval is not None and rate is None:
            interval *= max(int(arrays.get("trace", 1)), 1)
    else:
        raise InputError(f"holds {', '.join(arrays) or 'nothing'}: a record has voltages, readouts or density")
    paths = _paths(values, arrays.get("segment"), called)
    if independent or ("readouts" in arrays and interval is None):
        return Record(called, unit, None, (np.concatenate([each.reshape(-1, each.shape[2]) for each in paths])[None],))
    if interval is None:
        raise InputError(
            "nothing says when samples were taken: give their times, their interval or rate, or say that they are "
            "independent"
        )
    return Record(called, unit, interval, paths)


def _interval(arrays: Mapping[str, Any], rate: float | None) -> float | None:
    """s; 0, as independent samples of a run have it, is None."""
    if rate is not None:
        found = 1.0 / _positive(rate, "rate")
    elif "rate" in arrays:
        found = 1.0 / _positive(arrays["rate"], "rate")
    elif "interval" in arrays and float(np.asarray(arrays["interval"])) != 0.0:
        found = _positive(arrays["interval"], "interval")
    elif "interval" not in arrays and ("times" in arrays or "time" in arrays):
        times = _numbers(arrays.get("times", arrays.get("time")), "times")
        steps = np.diff(times)
        if "segment" in arrays:
            steps = steps[np.diff(_numbers(arrays["segment"], "segment")) == 0]
        if times.ndim != 1 or not len(steps):
            raise InputError("times are two or more in one row")
        found = float(np.median(steps))
        if not found > 0 or np.abs(steps - found).max() > _UNEVEN * found:
            raise InputError("samples are not at equal distances in time: give segments where some are missing")
    else:
        return None
    return found


def _positive(value: Any, what: str) -> float:
    try:
        found = float(np.asarray(value))
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found < np.inf:
        raise InputError(f"{what} must be a positive number, not {shorten(value)}")
    return found


def _numbers(value: Any, what: str) -> FloatArray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what} must be numbers, not {shorten(value)}") from None


def _paths(values: ArrayLike, segment: Any, names: tuple[str, ...] | None) -> tuple[FloatArray, ...]:
    """Segments, those of one length together."""
    array = _numbers(values, "samples")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or not array.size:
        raise InputError("samples are arrays (N, channels) or (segments, N, channels)")
    if names is not None and len(names) != array.shape[2]:
        raise InputError(f"{len(names)} names for {array.shape[2]} channels")
    found: dict[int, list[FloatArray]] = {}
    marks = None if segment is None else _numbers(segment, "segment")
    for path in array:
        ends = ~np.isfinite(path).all(axis=1)
        number = (
            np.cumsum(ends) if marks is None else np.cumsum(ends) + np.cumsum(np.diff(marks, prepend=marks[0]) != 0)
        )
        for piece in np.unique(number[~ends]):
            rows = path[(number == piece) & ~ends]
            found.setdefault(len(rows), []).append(rows)
    if not found:
        raise InputError("the record holds no numbers")
    return tuple(np.array(found[length]) for length in sorted(found))


def _spectra(arrays: Mapping[str, Any], names: tuple[str, ...] | None, unit: str, interval: float | None) -> Record:
    missing = [key for key in ("frequencies", "density", "averages") if key not in arrays]
    if missing:
        raise InputError(f"spectra need frequencies (f,), density (f, c, c) and averages: there is no {missing[0]}")
    frequencies = _numbers(arrays["frequencies"], "frequencies")
    try:
        density = np.asarray(arrays["density"], dtype=np.complex128)
        averages = np.broadcast_to(_numbers(arrays["averages"], "averages"), frequencies.shape)
    except (TypeError, ValueError):
        raise InputError("density is complex numbers (f, c, c), averages one number or one a frequency") from None
    if density.ndim == 1:
        density = density[:, None, None]
    f = len(frequencies)
    if frequencies.ndim != 1 or density.ndim != 3 or density.shape != (f, *density.shape[2:] * 2) or not f:
        raise InputError(f"density must be (f, c, c) for the {f} frequencies, not {density.shape}")
    if names is not None and len(names) != density.shape[2]:
        raise InputError(f"{len(names)} names for {density.shape[2]} channels")
    sound = np.isfinite(density).all() and (np.isfinite(frequencies) & (frequencies > 0)).all()
    if not sound or not ((averages > 0) & np.isfinite(averages)).all():
        raise InputError("frequencies and averages must be positive, densities finite")
    gap = np.abs(density - np.conj(np.swapaxes(density, 1, 2))).max()
    if gap > 1e-6 * np.abs(density).max():
        raise InputError("densities must be Hermitian: S_ba is the conjugate of S_ab")
    if interval is not None and frequencies.max() >= 0.5 / interval:
        raise InputError(f"frequencies must be below half the rate, {0.5 / interval:g} Hz")
    order = np.argsort(frequencies)
    return Record(
        names, unit, interval, (), frequencies[order], density[order], np.array(averages[order], dtype=np.float64)
    )


def _read_csv(path: Path) -> dict[str, Any]:
    """Columns by their names: ``time``, ``segment``, and the channels."""
    text = read_text(path, MOST_TEXT)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise InputError("holds no samples: a row of names, then numbers", file=path)
    mark = next((each for each in ";,\t" if each in lines[0]), None)
    heads = [head.strip().strip('"') for head in lines[0].split(mark)]
    if all(_is_number(head) for head in heads):
        raise InputError("has no names in its first row: those of the channels, and time where there is one", file=path)
    try:
        rows = (
            np.genfromtxt(lines[1:], delimiter=mark, ndmin=2)
            if len(lines) < 3
            else np.loadtxt(lines[1:], delimiter=mark, ndmin=2)
        )
    except ValueError as error:
        raise InputError(f"is no table of numbers under one row of names: {error}", file=path) from None
    if rows.shape[1] != len(heads):
        raise InputError(f"has {len(heads)} names over {rows.shape[1]} columns", file=path)
    special = {head.lower(): k for k, head in enumerate(heads) if head.lower() in ("time", "segment")}
    kept = [k for k in range(len(heads)) if k not in special.values()]
    if not kept:
        raise InputError("has no channels", file=path)
    found: dict[str, Any] = {"voltages": rows[:, kept], "names": [heads[k] for k in kept]}
    return found | {name: rows[:, k] for name, k in special.items()}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
