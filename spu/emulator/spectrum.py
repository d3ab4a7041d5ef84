"""`spectrum`: what frequencies a device is heard at, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arguments import numbers
from spu.base.arrays import FloatArray
from spu.base.errors import InputError
from spu.device.subject import Subject
from spu.emulator.dynamics import all_linear
from spu.emulator.laws.acquired import Acquired, acquired
from spu.emulator.laws.spectra import PEAKS, Spectrum, densities, frequencies_of, hold_integral

__all__ = ["noise_densities", "spectrum"]

FREQUENCIES = "frequencies are numbers of hertz (f,), not negative"


def spectrum(
    subject: Subject,
    frequencies: float | Annotated[ArrayLike, "f"] | None = None,
    *,
    variables: str | Sequence[str] | None = None,
) -> Spectrum:
    """Exact one-sided cross-spectra of what a device or circuit reads out.

    Where readouts are sampled (``sampling_rate``) they are those of the samples, up to half that rate: what lies beyond
    is folded back, and what a converter and its clock add is in them.

    Parameters
    ----------
    subject:
        Whatever has a device (of an ensemble the average of its programmings) or a circuit: see `subject_of`.
    frequencies:
        (f,) Hz, not negative; chosen from the poles unless given (`frequencies_of`).
    variables:
        Names (or one) of those wanted; all unless given.

    Raises
    ------
    CircuitError
        If there is no stationary law.
    InputError
        For a frequency that is negative or no number, or a variable that does not exist.
    UsageError
        If the network is too large for its modes to be known.
    InternalError
        If a density over the chosen frequencies does not integrate to the variance.

    Examples
    --------
    An RC cell has the density 4kTR at low frequencies, and half of it at 1/(2 pi RC):

    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> found = spu.spectrum(device, [0.0, 159154.94])
    >>> [f"{density:.3e} V^2/Hz" for density in found.density[:, 0, 0].real]
    ['1.657e-17 V^2/Hz', '8.284e-18 V^2/Hz']
    """
    laws = tuple(each.dense for each in all_linear(subject, "there are no spectra"))
    names = tuple(laws[0].sde.readout.variables)
    chosen = names if variables is None else (variables,) if isinstance(variables, str) else tuple(variables)
    for name in chosen:
        if name not in names:
            raise InputError(f"no variable {name!r}; there are {', '.join(names[:6])}{'...' if len(names) > 6 else ''}")
    if frequencies is None:
        points = frequencies_of(laws)
    else:
        points = np.atleast_1d(numbers(frequencies, FREQUENCIES))
        if points.ndim != 1 or not (np.isfinite(points) & (points >= 0)).all():
            raise InputError(FREQUENCIES)
    rows = [names.index(name) for name in chosen]
    maps = tuple(law.sde.readout.matrix[rows].toarray() for law in laws)
    read = [each for each in map(acquired, laws) if each is not None]
    if read:
        return _sampled(read, points, maps, chosen, given=frequencies is not None)
    spectra = [densities(law, points, T) for law, T in zip(laws, maps, strict=True)]
    if frequencies is None and sum(len(law.poles) for law in laws) <= PEAKS:
        for law, T, density in zip(laws, maps, spectra, strict=True):
            hold_integral(law, points, density, T)
    return Spectrum(chosen, points, np.asarray(np.mean(spectra, axis=0)), laws, maps)


def _sampled(
    read: Sequence[Acquired],
    points: Annotated[FloatArray, "f"],
    maps: tuple[Annotated[FloatArray, "q p"], ...],
    names: tuple[str, ...],
    *,
    given: bool,
) -> Spectrum:
    """Of samples: up to half their rate, with all images of the circuit's own."""
    rate = read[0].acquisition.sampling_rate
    if rate is not None and not given:
        points = np.append(points[points < rate / 2], rate / 2)
    spectra = [each.spectrum(points, T) for each, T in zip(read, maps, strict=True)]
    return Spectrum(names, points, np.asarray(np.mean(spectra, axis=0)), tuple(read), maps)


def noise_densities(subject: Subject) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Exact one-sided noise densities of all cells: n names, (f,) Hz, and (f, n) V^2/Hz.

    Of an ensemble those of the first programming.

    Raises
    ------
    UsageError
        If the circuit is not linear, is too large for its modes to be known, or all its spectra are flat.
    """
    law = all_linear(subject, "there are no spectra")[0].dense
    frequencies = frequencies_of([law])
    # A few at a time: each brings a whole matrix, of which only the diagonal is kept.
    parts = np.array_split(frequencies, max(1, len(frequencies) // 32))
    densities = np.concatenate([np.einsum("kii->ki", law.spectrum(part)).real for part in parts])
    return tuple(law.sde.probes), frequencies, densities
