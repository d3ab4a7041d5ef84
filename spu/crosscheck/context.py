"""What every level of a check needs, gathered once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.circuit.circuit import Circuit
from spu.circuit.elements import VoltageSource
from spu.crosscheck.decks.changes import Changes, Edited
from spu.crosscheck.decks.taps import Fixture
from spu.emulator.dynamics import device_law
from spu.emulator.laws.large import LARGE
from spu.emulator.laws.sensitivity import Perturbed, Sensitivities, perturbed, sensitivities
from spu.emulator.laws.spectra import telling
from spu.emulator.laws.stationary import Stationary
from spu.emulator.laws.timing import Timing, timing
from spu.emulator.laws.welch import Estimate
from spu.problems.problem import QuadraticProblem
from spu.spice.deck import Deck
from spu.spice.dialects.dialect import noise_element
from spu.spice.names import cell_node, noise_resistor
from spu.spice.reader import Choices, ReadNetlist
from spu.spice.reader.noise import plain_path
from spu.spice.simulators.analyses import Analysis
from spu.spice.simulators.simulator import Simulator, find_simulator

FALSE_ALARM = 1e-6
"""Probability that the statistical tests of one level reject a correct deck, all together."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """What level ``ac`` measured.

    Attributes
    ----------
    frequencies:
        (f,) Hz.
    measured:
        (f, p, m) transfer functions, V per V, from every noise source to every probe.
    densities:
        (m,) one-sided density of each source, V^2/Hz, by those transfer functions; NaN of one that is not heard.
    noise_frequencies, noise:
        (h,) Hz and (h, p) V^2/Hz: the density of all noise at each probe, by ``.noise``.
    """

    frequencies: FloatArray
    measured: NDArray[np.complex128]
    densities: FloatArray
    noise_frequencies: FloatArray | None = None
    noise: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the simulator's noise transient, and what they are made of; volts.

    Attributes
    ----------
    covariance, mean:
        (p, p) and (p,): of ngspice's voltages at the sample instants; the covariance is about the known mean.
    response_covariance, response_mean:
        Of the emulator's response to the very noise that ngspice drew: the difference is its finite steps'.
    predicted:
        (p, p) covariance under sampled and held noise; the mean is the device's.
    covariance_variance, mean_variance:
        (p, p), (p,): by how much the response's moments scatter about the predicted ones.
    white:
        (p, p) covariance under white noise, the device's own.
    effective_samples:
        Independent samples that would know the covariance as well.
    """

    covariance: FloatArray
    mean: FloatArray
    response_covariance: FloatArray
    response_mean: FloatArray
    predicted: FloatArray
    covariance_variance: FloatArray
    mean_variance: FloatArray
    white: FloatArray
    effective_samples: float

    @property
    def relative_error(self) -> float:
        """Of the covariance against the predicted one, Frobenius."""
        return _share(self.covariance - self.predicted, self.predicted)

    @property
    def sampling_bias(self) -> float:
        """What sampling the noise does to the covariance, Frobenius, relative to the white one."""
        return _share(self.predicted - self.white, self.white)

    @property
    def finite_steps(self) -> float:
        """What ngspice's finite steps do to the covariance, Frobenius, relative to the predicted one."""
        return _share(self.covariance - self.response_covariance, self.predicted)


def _share(part: FloatArray, whole: FloatArray) -> float:
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(part)) / size if size > 0 else 0.0


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
        Of the simulator's noise and of each of its runs (s).
    simulator:
        What runs the deck.
    detect, budget:
        For level ``noise``: the relative change of a variance that has to be seen, or the seconds to spend; at
        most one of them.
    include_outside, ignore_control:
        As for `read_deck`.
    progress:
        Told in a few words what is going on.
    means, covariances:
        Found by the simulator, in volts: filled by levels.
    sweep:
        What level ``ac`` measured, once it ran.
    welch:
        Spectra of the cells `shown` that level ``noise`` saw, and what was expected of them.
    transient:
        What level ``noise`` found, once it has run.
    ensemble:
        The laws of all programmings, for level ``ideal``, which takes an ensemble as one; empty for a device that
        is none.
    read, fixture:
        Of a netlist from elsewhere: how it was read, and what is added to it, once ``deck`` was read, which has it.
    choices:
        Of a netlist that was imported, with which it was read.
    edited, changes:
        What is known of the deck as the emulator reads it, and what level ``answer`` found where that is not the
        device, or the deck not its own.
    """

    circuit: Circuit
    problem: QuadraticProblem | None
    compiled: dict[str, Any] | None
    deck: Deck | None
    accuracy: float | None = None
    seed: int = 0
    time_limit: float = 300.0
    simulator: Simulator = field(default_factory=lambda: find_simulator("ngspice"))
    detect: float | None = None
    budget: float | None = None
    include_outside: bool = False
    ignore_control: bool = False
    progress: Callable[[str], None] = lambda _: None
    means: dict[str, FloatArray] = field(default_factory=dict)
    covariances: dict[str, FloatArray] = field(default_factory=dict)
    sweep: Sweep | None = None
    transient: Moments | None = None
    welch: tuple[Estimate, NDArray[np.complex128]] | None = None
    ensemble: tuple[Stationary, ...] = ()
    edited: Edited | None = None
    read: ReadNetlist | None = None
    choices: Choices | None = None
    fixture: Fixture | None = None
    changes: Changes | None = None

    @cached_property
    def law(self) -> Stationary:
        """Its stationary law.

        Raises
        ------
        CircuitError
            If a probe sees white noise directly.
        UsageError
            If the network is too large to be compared entry by entry.
        """
        law = device_law(self.circuit)
        law.voltage_covariance  # noqa: B018 - refuses what has none, before anything else stumbles
        if not isinstance(law, Stationary) or (self.problem is not None and self.problem.sparse):
            raise UsageError(
                f"check compares whole matrices: at most {LARGE} states and a dense problem; this network has "
                f"{law.sde.E.shape[0]} states (predict and simulate take it)"
            )
        return law

    def run(self, deck: str, *analyses: Analysis, folder: Path | None = None) -> list[dict[str, NDArray[Any]]]:
        """Have the simulator run the text of a deck; as `Simulator.run`, within the time limit of the check."""
        return self.simulator.run(deck, analyses, time_limit=self.time_limit, folder=folder)

    def require(self) -> None:
        """Refuse a circuit that has no stationary law; raises as `law`."""
        self.law  # noqa: B018

    @cached_property
    def perturbed(self) -> list[Perturbed]:
        """The circuit with one element changed, for a fair choice of elements; nothing is solved yet."""
        return perturbed(self.circuit, self.law.sde.E.shape[0])

    @cached_property
    def sensitivities(self) -> Sensitivities:
        """What its law becomes if one of these changes a little, by one perturbation solve."""
        return sensitivities(self.law, self.perturbed)

    @cached_property
    def shown(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Probes, and pairs of them, whose spectra are kept and drawn."""
        return telling(self.law.voltage_covariance)

    @cached_property
    def timing(self) -> Timing:
        """Its time scales."""
        return timing(self.law)

    @property
    def own_deck(self) -> Deck | None:
        """The deck with its own sources, where ``deck`` has others in their place."""
        return self.deck if self.fixture is None else self.fixture.tapped

    @cached_property
    def vectors(self) -> tuple[str, ...]:
        """Names of the probe voltages in the flattened netlist."""
        if self.fixture is not None:
            return self.fixture.vectors
        return tuple(cell_node(name).lower() for name in self.circuit.probes)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """The voltage sources of the noise sources."""
        if self.fixture is not None:
            return self.fixture.elements
        return tuple(noise_element(source.name).lower() for source in self.circuit.sources)

    @cached_property
    def resistors(self) -> tuple[str, ...]:
        """For each noise source the resistor that makes it in ``.noise``, ``x1.r1``; empty for none."""
        if self.fixture is not None:
            return self.fixture.resistors
        known = noise_resistor(self.circuit)
        return tuple(plain_path(known[source.name]) for source in self.circuit.sources)

    @property
    def rms(self) -> FloatArray:
        """(p,) standard deviations of the probes, V; 1 where there is no noise at all."""
        rms = np.sqrt(np.diag(self.law.voltage_covariance))
        return np.where(rms > 0, rms, rms.max() if rms.max() > 0 else 1.0)

    @cached_property
    def deaf_at_dc(self) -> bool:
        """Whether inductors short every probe at DC (to rounding), so that no current into a cell moves it."""
        dense = self.law.dense
        if np.abs(self.law.voltage_mean).max(initial=0.0) > 1e-9 * self.rms.max():
            return False  # sources of voltage hold them

        def impedance(w: float) -> float:
            # In energy coordinates a current into a probe's node enters as the probe's own row of H; in others
            # the noise sources tell.
            shifted = 1j * w * np.eye(len(dense.A)) - dense.A
            return float(np.abs(dense.H @ np.linalg.solve(shifted, dense.H.T if dense.energetic else dense.B)).max())

        rates = np.sort(np.abs(dense.modes[0]))
        most = max(impedance(w) for w in (rates[0], np.median(rates), rates[-1]))
        return most > 0 and impedance(0.0) <= 1e-9 * most

    @cached_property
    def largest_dc(self) -> float:
        """The largest constant voltage that is known of, V: a readout's, a state's, or a source's."""
        law = self.law
        voltages = [law.voltage_mean]
        names = law.sde.state_names
        if not self.from_zero and law.dense.mean.any():
            states = law.dense.to_state @ law.dense.mean
            voltages.append(states[[name.startswith("v(") for name in names]])
        voltages += [flat.values for flat in self.circuit.flatten() if isinstance(flat.element, VoltageSource)]
        return max((float(np.abs(part).max(initial=0.0)) for part in voltages), default=0.0)

    @property
    def from_zero(self) -> bool:
        """Whether transients start from zero (``uic``): the operating point is undetermined."""
        return self.law.sde.conserved

    @property
    def start(self) -> FloatArray | None:
        """(n,) deviation of the emulator's state from its mean where the simulator's transients start."""
        return -self.law.dense.mean if self.from_zero else None

    def step(self, interval: float, limit: int) -> float:
        """Step limit, s: ``interval / limit``, or the same share of 0.3 / w of the fastest ringing mode that is seen.

        Modes that do not ring (overdamped ones) may be faster: a stiff integrator steps over them.
        """
        ringing = float(np.abs(self.law.seen.imag).max(initial=0.0))
        base = min(interval, 0.3 / ringing) if ringing > 0 else interval
        return max(base, interval / 64.0) / limit
