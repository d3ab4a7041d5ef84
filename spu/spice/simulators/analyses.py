"""Analyses as data: what a level of the check asks of a simulator, in no simulator's words.

Nodes and elements are named as at the top of a flattened netlist: ``cell_a``, ``x1.n2``, ``vnoise_a``, lower case.
Each analysis starts from the netlist as it is written: none changes what the next one of a run finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Analysis:
    """What all have in common: how they are ``called``, for messages."""

    called: ClassVar[str] = "analyses"


@dataclass(frozen=True)
class OperatingPoint(Analysis):
    """The DC operating point.

    Gives (1,) V by node.

    Attributes
    ----------
    vectors:
        The nodes; None for all that there are.
    """

    called: ClassVar[str] = "operating points"
    vectors: tuple[str, ...] | None = None


@dataclass(frozen=True)
class DcSweep(Analysis):
    """Operating points at a sweep of one source.

    Gives (points,) V by node.

    Attributes
    ----------
    source:
        An independent source.
    first, last:
        A or V.
    points:
        Equally spaced ones, both ends included.
    vectors:
        The nodes.
    """

    called: ClassVar[str] = "DC sweeps"
    source: str
    first: float
    last: float
    points: int
    vectors: tuple[str, ...]


@dataclass(frozen=True)
class Decades:
    """Frequencies from ``low`` to ``high``, Hz, ``per_decade`` of them in each factor of ten."""

    low: float
    high: float
    per_decade: int


@dataclass(frozen=True)
class Ac(Analysis):
    """Small-signal transfer functions from one source, about the operating point.

    Gives ``frequency`` (f,) Hz, and by node (f,) complex, V per V or A of the source.

    Attributes
    ----------
    source:
        An independent source, which is given the amplitude one for this analysis; the netlist gives none to others.
    sweep:
        The frequencies.
    vectors:
        The nodes.
    """

    called: ClassVar[str] = "AC sweeps"
    source: str
    sweep: Decades
    vectors: tuple[str, ...]


@dataclass(frozen=True)
class AcTogether(Analysis):
    """Small-signal responses to several sources at once, about the operating point.

    Gives what `Ac` gives, V: one sweep, whatever the number of sources.

    Attributes
    ----------
    sources:
        (m) independent sources.
    amplitudes:
        (m) V or A, of either sign.
    sweep, vectors:
        As of `Ac`.
    """

    called: ClassVar[str] = "AC sweeps of several sources at once"
    sources: tuple[str, ...]
    amplitudes: tuple[float, ...]
    sweep: Decades
    vectors: tuple[str, ...]


@dataclass(frozen=True)
class Noise(Analysis):
    """The spectral density of the noise of all elements, about the operating point.

    Gives ``frequency`` (f,) Hz and ``total`` (f,) V^2/Hz, one-sided; with ``contributions`` also those (f,) V^2/Hz by
    element (``x1.r1``).

    Attributes
    ----------
    output:
        One node, or two whose difference is listened to.
    reference:
        An independent source: simulators want an input that noise is referred to. What it is does not matter.
    sweep:
        The frequencies.
    """

    called: ClassVar[str] = "noise analyses"
    output: tuple[str, ...]
    reference: str
    sweep: Decades
    contributions: bool = False


@dataclass(frozen=True)
class Transient(Analysis):
    """A run in time, to the very end: one that stops earlier is a failure.

    Gives ``time`` (k,) s, the simulator's own points, and by node (k,) V.

    Attributes
    ----------
    stop, limit:
        s: the end, and the largest time step.
    interval:
        s: the first step is of its order; sources that hold their samples do so for that long.
    vectors:
        The nodes.
    from_zero:
        Whether it starts with all states at zero; else at the operating point.
    seed:
        Of the noise that random sources make (`DeclaredNoise`); None where there is none.
    """

    called: ClassVar[str] = "transients"
    stop: float
    limit: float
    interval: float
    vectors: tuple[str, ...]
    from_zero: bool = False
    seed: int | None = None


@dataclass(frozen=True)
class DeclaredNoise(Analysis):
    """What random sources of the netlist say of themselves, as the simulator understood it.

    A simulator that serves this makes their noise in a `Transient`. Gives by element (5,): the distribution (2 is the
    normal one), sample time (s), delay (s), rms (V or A) and mean (V or A).

    Attributes
    ----------
    elements:
        The sources.
    functions:
        By which each makes its noise in the netlist: ``trrandom`` or ``trnoise``.
    """

    called: ClassVar[str] = "random sources in transients"
    elements: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Waveforms(Analysis):
    """What voltage sources are to do in a `Transient` instead of what the netlist says: `Simulator.driven`.

    Attributes
    ----------
    elements:
        (m) voltage sources at top level.
    interval:
        s, from one value to the next.
    values:
        (k + 1, m) V, joined by straight lines.
    """

    called: ClassVar[str] = "sources that follow a waveform"
    elements: tuple[str, ...]
    interval: float
    values: NDArray[np.float64]
