"""What emulator and ngspice say of the spectra of a few telling cells, put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spu.base.arrays import ComplexArray
from spu.crosscheck.context import Context
from spu.emulator.laws.spectra import Spectra, densities, spectrum_frequencies

if TYPE_CHECKING:
    from spu.crosscheck.context import Sweep


def spectra(context: Context) -> Spectra | None:
    """The spectra of a check that has run; None where no level measured any."""
    sweep, welch = context.sweep, context.welch
    if (sweep is None and welch is None) or not context.whole:
        return None
    cells, pairs = context.shown
    law = context.law
    frequencies = spectrum_frequencies(law.poles)
    lift = np.eye(len(law.sde.probes))[cells]
    return Spectra(
        cells=tuple(law.sde.probes[k] for k in cells),
        pairs=[(cells.index(a), cells.index(b)) for a, b in pairs],
        frequencies=frequencies,
        exact=densities(law, frequencies, lift),
        sweep_frequencies=None if sweep is None else sweep.frequencies,
        sweep=None if sweep is None else measured_densities(sweep, cells),
        noise_frequencies=None if sweep is None else sweep.noise_frequencies,
        noise=None if sweep is None or sweep.noise is None else sweep.noise[:, cells],
        transient=None if welch is None else welch[0],
        expected=None if welch is None else welch[1],
        simulator=context.simulator.name,
    )


def measured_densities(sweep: Sweep, probes: Sequence[int]) -> ComplexArray:
    """(f, q, q) V^2/Hz: cross-spectra of some probes that a simulator's transfer functions and densities make."""
    heard = np.where(np.isnan(sweep.densities), 0.0, sweep.densities)
    h = sweep.measured[:, list(probes)] * np.sqrt(heard)
    return np.asarray(h @ np.conj(np.swapaxes(h, 1, 2)))
