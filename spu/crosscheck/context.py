"""What every level of a check needs, gathered once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.circuit import Circuit
from spu.crosscheck.changes import Changes, Edited
from spu.emulator.large import LARGE
from spu.emulator.law import solve
from spu.emulator.stationary import Stationary
from spu.errors import UsageError
from spu.problem import Problem
from spu.sde import stochastic_ode
from spu.spice.deck import Deck
from spu.spice.netlist import cell_node, noise_element
from spu.spice.timing import Timing, timing

FloatArray = NDArray[np.float64]

FALSE_ALARM = 1e-6
"""Probability that the statistical tests of one level reject a correct deck, all together."""


@dataclass
class Context:
    """A circuit, the deck under test, and the settings; levels add what ngspice found.

    Attributes
    ----------
    circuit, problem:
        What the emulator runs (of the device, not of the deck), and what it is for.
    compiled:
        Statistics stored by the compiler (arrays by name), or None.
    deck:
        The netlist as it lies on disk.
    accuracy:
        Tolerance of the emulator against the problem; None for the stored predicted error.
    seed, time_limit:
        Of ngspice's noise and of each ngspice run (s).
    progress:
        Told in a few words what is going on.
    means, covariances:
        Found by ngspice, in volts: filled by levels.
    ensemble:
        The laws of all programmings, for level ``ideal``, which takes an ensemble as one; empty for a device that
        is none.
    edited, changes:
        Where the deck is not the device's own: what is known of it, and what level ``answer`` found.
    """

    circuit: Circuit
    problem: Problem | None
    compiled: dict[str, Any] | None
    deck: Deck | None
    accuracy: float | None = None
    seed: int = 0
    time_limit: float = 300.0
    progress: Callable[[str], None] = lambda _: None
    means: dict[str, FloatArray] = field(default_factory=dict)
    covariances: dict[str, FloatArray] = field(default_factory=dict)
    ensemble: tuple[Stationary, ...] = ()
    edited: Edited | None = None
    changes: Changes | None = None

    @cached_property
    def law(self) -> Stationary:
        """Its stationary law.

        Raises
        ------
        UsageError
            If the network is too large to be compared entry by entry.
        """
        law = solve(stochastic_ode(self.circuit))
        if not isinstance(law, Stationary) or (self.problem is not None and self.problem.sparse):
            raise UsageError(
                f"check compares whole matrices: at most {LARGE} states and a dense problem; this network has "
                f"{law.sde.E.shape[0]} states (predict and simulate take it)"
            )
        return law

    @cached_property
    def timing(self) -> Timing:
        """Its time scales."""
        return timing(self.law)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Ngspice's names of the probe voltages."""
        return tuple(cell_node(name).lower() for name in self.circuit.probes)

    @property
    def elements(self) -> tuple[str, ...]:
        """The voltage sources of the noise sources."""
        return tuple(noise_element(source.name).lower() for source in self.circuit.sources)

    @property
    def rms(self) -> FloatArray:
        """(p,) standard deviations of the probes, V; 1 where there is no noise at all."""
        rms = np.sqrt(np.diag(self.law.voltage_covariance))
        return np.where(rms > 0, rms, rms.max() if rms.max() > 0 else 1.0)

    @cached_property
    def deaf_at_dc(self) -> bool:
        """Whether inductors short every probe at DC (to rounding), so that no current into a cell moves it."""
        dense = self.law.dense

        def impedance(w: float) -> float:
            # In energy coordinates a current into a probe's node enters as the probe's own row of H.
            shifted = 1j * w * np.eye(len(dense.A)) - dense.A
            return float(np.abs(dense.H @ np.linalg.solve(shifted, dense.H.T)).max())

        rates = np.sort(np.abs(dense.modes[0]))
        return impedance(0.0) <= 1e-9 * max(impedance(w) for w in (rates[0], np.median(rates), rates[-1]))

    @property
    def from_zero(self) -> bool:
        """Whether transients start from zero (``uic``): the operating point is undetermined."""
        return self.law.sde.conserved

    @property
    def uic(self) -> str:
        """The end of a ``tran`` command that makes it so."""
        return " uic" if self.from_zero else ""

    @property
    def start(self) -> FloatArray | None:
        """(n,) deviation of the emulator's state from its mean where ngspice's transients start."""
        return -self.law.dense.mean if self.from_zero else None

    def step(self, interval: float, limit: int) -> float:
        """Step limit, s: ``interval / limit``, or the same share of 0.3 / w of the fastest ringing mode.

        Modes that do not ring (overdamped ones) may be faster: a stiff integrator steps over them.
        """
        poles = self.law.poles
        ringing = float(np.abs(poles.imag).max(initial=0.0))
        base = min(interval, 0.3 / ringing) if ringing > 0 else interval
        return max(base, interval / 64.0) / limit
