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
from spu.base.errors import NotServed, SimulatorFailed
from spu.circuit.circuit import Circuit
from spu.circuit.elements import VoltageSource
from spu.crosscheck.decks.changes import Changes
from spu.crosscheck.decks.taps import Fixture
from spu.crosscheck.nodal import Nodal
from spu.device.device import Device
from spu.emulator.dynamics import Dynamics, LangevinDynamics, LinearDynamics, dynamics, langevin_of, linear
from spu.emulator.laws.law import Law
from spu.emulator.laws.sensitivity import Perturbed, Sensitivities, perturbed, sensitivities
from spu.emulator.laws.spectra import known_modes, telling
from spu.emulator.laws.stationary import Stationary
from spu.emulator.laws.timing import Timing
from spu.emulator.laws.welch import Estimate
from spu.problems.problem import Problem, linear_problem
from spu.spice.deck import Deck, Line
from spu.spice.dialects import DIALECTS
from spu.spice.dialects.dialect import Dialect, noise_element
from spu.spice.names import node_of, noise_resistor, probe_vectors
from spu.spice.reader import Choices, ReadNetlist
from spu.spice.reader.noise import plain_path
from spu.spice.simulators.analyses import Analysis, OperatingPoint
from spu.spice.simulators.simulator import Simulator, complete, find_simulator

FALSE_ALARM = 1e-6
"""Probability that the statistical tests of one level reject a correct deck, all together."""

MANY = 1000
"""States from which on no derivatives of the law are taken."""


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
class Together:
    """What level ``ac`` measured of all sources at once: some of it, of every node of the circuit.

    Attributes
    ----------
    frequencies:
        (f,) Hz.
    signs:
        (m, j) V of the unit sources.
    nodes:
        (f, n, j) V of the n nodes of the circuit.
    """

    frequencies: FloatArray
    signs: FloatArray
    nodes: NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Curve:
    """A transfer curve: where the simulator's circuit comes to rest under a current into one cell.

    Attributes
    ----------
    cell:
        Its name.
    currents:
        (k,) A.
    voltages:
        (k, p) V of the probes.
    """

    cell: str
    currents: FloatArray
    voltages: FloatArray


@dataclass(frozen=True, eq=False)
class ReplayedPath:
    """What a waveform of the noise sources made of the probes, in the simulator and in the emulator.

    Attributes
    ----------
    waveform:
        (k + 1, m) V, joined by straight lines.
    interval:
        s, from one of its values to the next.
    every:
        Of the instants, how many there are from one voltage below to the next.
    voltages, exact:
        (q + 1, p) V: the simulator's, at the finest steps that it took, and the emulator's.
    coarser:
        The simulator's at steps four times as long, where that was run: how far its own steps take it astray.
    """

    waveform: FloatArray
    interval: float
    every: int
    voltages: FloatArray
    exact: FloatArray
    coarser: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the simulator's noise transient, and what they are made of; volts.

    Attributes
    ----------
    covariance, mean:
        (p, p) and (p,): of ngspice's voltages at the sample instants; the covariance is about the known mean.
    response_covariance, response_mean:
        Of the emulator's response to the very noise that ngspice drew: the difference is its finite steps'.
    predicted, predicted_mean:
        (p, p) and (p,) under sampled and held noise.
    covariance_variance, mean_variance:
        (p, p), (p,): by how much the response's moments scatter about the predicted ones.
    white:
        (p, p) covariance under white noise, the device's own; None where it is not known.
    effective_samples:
        Independent samples that would know the covariance as well.
    """

    covariance: FloatArray
    mean: FloatArray
    response_covariance: FloatArray
    response_mean: FloatArray
    predicted: FloatArray
    predicted_mean: FloatArray
    covariance_variance: FloatArray
    mean_variance: FloatArray
    white: FloatArray | None
    effective_samples: float

    @property
    def relative_error(self) -> float:
        """Of the covariance against the predicted one, Frobenius."""
        return _share(self.covariance - self.predicted, self.predicted)

    @property
    def sampling_bias(self) -> float:
        """What sampling the noise does to the covariance, Frobenius, relative to the white one."""
        return 0.0 if self.white is None else _share(self.predicted - self.white, self.white)

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
        What the emulator runs (of the device, not of the deck), and what it is for, a problem of any kind.
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
    curves, paths:
        Of circuits without transfer functions, what levels ``op`` and ``replay`` measured.
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
    device:
        What the circuit was made of; None of one that was read from a netlist.
    own, original:
        Whether ``deck`` is the device's own; else that one, where there is one.
    copied:
        The netlist of which an edited one that is run is a copy with other names; None where it is none.
    changes:
        What level ``answer`` found where the deck is not its own, or not the device.
    starts:
        Lines of the deck that say where nodes are at time zero, where the circuit has a start of its own: level
        ``replay`` begins there, too, and ``deck`` is without them.
    notes:
        What the reader should know besides.
    combinations:
        Of all sources that level ``ac`` sweeps at once; 0 for each source by itself, None for a rule.
    together:
        What level ``ac`` measured of all sources at once, where that is known of every node.
    nodes_seen:
        All that the simulator named at level ``op``, once it ran.
    """

    circuit: Circuit
    problem: Problem | None
    compiled: dict[str, Any] | None
    deck: Deck | None
    accuracy: float | None = None
    seed: int = 0
    time_limit: float = 300.0
    simulator: Simulator = field(default_factory=lambda: find_simulator("ngspice"))
    detect: float | None = None
    budget: float | None = None
    combinations: int | None = None
    include_outside: bool = False
    ignore_control: bool = False
    progress: Callable[[str], None] = lambda _: None
    means: dict[str, FloatArray] = field(default_factory=dict)
    covariances: dict[str, FloatArray] = field(default_factory=dict)
    sweep: Sweep | None = None
    transient: Moments | None = None
    welch: tuple[Estimate, NDArray[np.complex128]] | None = None
    curves: list[Curve] = field(default_factory=list)
    paths: list[ReplayedPath] = field(default_factory=list)
    ensemble: tuple[Stationary, ...] = ()
    read: ReadNetlist | None = None
    choices: Choices | None = None
    fixture: Fixture | None = None
    device: Device | None = None
    own: bool = True
    original: Deck | None = None
    copied: Path | None = None
    changes: Changes | None = None
    starts: tuple[Line, ...] = ()
    notes: list[str] = field(default_factory=list)
    nodes_seen: frozenset[str] = frozenset()
    together: Together | None = None

    @property
    def language(self) -> Dialect:
        """The language of the deck."""
        return DIALECTS[self.simulator.dialect]

    def require_rest(self) -> None:
        """Refuse sweeps of a circuit without a single operating point where the simulator has none for it.

        Raises
        ------
        NotServed
            Saying so.
        """
        if not self.dynamics.has_rest and not self.simulator.floating:
            raise NotServed(
                f"a charge or the flux of a loop is conserved, and the simulator {self.simulator.name} has no sweeps "
                "without a single operating point"
            )

    @property
    def dynamics(self) -> Dynamics:
        """What the circuit does in time."""
        return dynamics(self.circuit)

    @property
    def linear(self) -> LinearDynamics:
        """The same, for what only linear circuits have; refuses others."""
        return linear(self.circuit)

    @property
    def langevin(self) -> LangevinDynamics:
        """The same by its Langevin equation; refuses what has none."""
        return langevin_of(self.circuit)

    def require(self) -> None:
        """Refuse what cannot be checked.

        Raises
        ------
        CircuitError
            If the circuit has no equation, or a probe sees white noise directly.
        """
        self.dynamics.require()

    @property
    def whole(self) -> bool:
        """Whether whole matrices are compared, entry by entry; those of a large circuit, or problem, are not."""
        posed = linear_problem(self.problem)
        return self.dynamics.whole and not (posed is not None and posed.sparse)

    @cached_property
    def any_law(self) -> Law:
        """The stationary law of a linear circuit of any size, under white noise; raises as `require`."""
        self.linear.require()
        return self.linear.white

    @cached_property
    def law(self) -> Stationary:
        """The same with all its modes; raises `UsageError` of a circuit that is too large for them."""
        self.linear.require()
        return known_modes(self.linear.white)

    @cached_property
    def nodal(self) -> Nodal:
        """The equations that a simulator solves."""
        return Nodal.of(self.circuit)

    @property
    def sparse(self) -> bool:
        """Whether what a level sees is found by sparse factors: derivatives of the law itself take too long."""
        return not self.whole or self.dynamics.states > MANY

    def run(self, deck: str, *analyses: Analysis, folder: Path | None = None) -> list[dict[str, NDArray[Any]]]:
        """Have the simulator run the text of a deck; as `Simulator.run`, within the time limit of the check."""
        found = self.simulator.run(deck, analyses, time_limit=self.time_limit, folder=folder)
        return complete(self.simulator, analyses, found)

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
        return self.linear.timing

    @property
    def bare_deck(self) -> Deck | None:
        """The deck as it lies on disk, without what the check adds to it."""
        return self.deck if self.fixture is None else self.fixture.bare

    @property
    def audible_deck(self) -> Deck | None:
        """The deck in which ``.noise`` hears all noise of the circuit."""
        return self.deck if self.fixture is None else self.fixture.audible

    @property
    def given(self) -> str:
        """The netlist that a user gave, where what is run is a copy of it with other names; else empty."""
        return "" if self.own or self.copied is None else str(self.copied)

    @property
    def own_deck(self) -> Deck | None:
        """The deck with its own sources, where ``deck`` has others in their place."""
        return self.deck if self.fixture is None else self.fixture.tapped

    @cached_property
    def vectors(self) -> tuple[str, ...]:
        """Names of the probe voltages in the flattened netlist."""
        if self.fixture is not None:
            return self.fixture.vectors
        return probe_vectors(self.circuit)

    @cached_property
    def node_vectors(self) -> tuple[str, ...]:
        """Names of all nodes of the circuit in the flattened netlist, as far as it names them alike."""
        names, own = self.circuit.node_names(), len(self.circuit.nodes)
        return tuple((node_of(self.circuit, name) if k < own else name).lower() for k, name in enumerate(names))

    @cached_property
    def simulator_nodes(self) -> frozenset[str]:
        """Nodes that the simulator knows; none where it finds no operating point."""
        if self.nodes_seen:
            return self.nodes_seen
        if self.deck is None or not self.dynamics.has_rest:
            return frozenset()
        try:
            (found,) = self.run(self.deck.text(), OperatingPoint())
        except SimulatorFailed:
            return frozenset()
        return frozenset(found)

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
        """(p,) how far the probes move, V; 1 where there is no noise at all."""
        return self.dynamics.rms

    @cached_property
    def deaf_at_dc(self) -> bool:
        """Whether inductors short every probe at DC (to rounding), so that no current into a cell moves it."""
        if np.abs(self.any_law.voltage_mean).max(initial=0.0) > 1e-9 * self.rms.max():
            return False  # sources of voltage hold them
        if self.sparse:
            return self._deaf_by_factors()
        dense = self.law.dense

        def impedance(w: float) -> float:
            # In energy coordinates a current into a probe's node enters as the probe's own row of H; in others
            # the noise sources tell.
            shifted = 1j * w * np.eye(len(dense.A)) - dense.A
            return float(np.abs(dense.H @ np.linalg.solve(shifted, dense.H.T if dense.energetic else dense.B)).max())

        rates = np.sort(np.abs(dense.modes[0]))
        most = max(impedance(w) for w in (rates[0], np.median(rates), rates[-1]))
        return most > 0 and impedance(0.0) <= 1e-9 * most

    def _deaf_by_factors(self) -> bool:
        """`deaf_at_dc` of a large circuit: currents into all probes at once, with random signs."""
        signs = 2.0 * np.random.default_rng(self.seed).integers(0, 2, (len(self.circuit.probes), 4)) - 1.0
        into = self.nodal.probes.T @ signs

        def impedance(frequency: float) -> float:
            return float(np.abs(np.asarray(self.nodal.probes @ self.nodal.at(frequency).solve(into))).max())

        times = self.timing
        most = max(impedance(f) for f in np.geomspace(times.low, times.high, 9).tolist())
        try:
            return most > 0 and impedance(0.0) <= 1e-9 * most
        except RuntimeError:
            return False

    @cached_property
    def largest_dc(self) -> float:
        """The largest constant voltage that is known of, V: a readout's, a state's, or a source's."""
        voltages = [self.any_law.voltage_mean]
        if not self.from_zero:
            if self.sparse:
                voltages.append(np.nan_to_num(self.nodal.rest[: self.nodal.stamps.node_count]))
            elif self.law.dense.mean.any():
                states = self.law.dense.to_state @ self.law.dense.mean
                voltages.append(states[[name.startswith("v(") for name in self.law.sde.state_names]])
        voltages += [flat.values for flat in self.circuit.flatten() if isinstance(flat.element, VoltageSource)]
        return max((float(np.abs(part).max(initial=0.0)) for part in voltages), default=0.0)

    @property
    def from_zero(self) -> bool:
        """Whether transients start from zero (``uic``)."""
        return self.dynamics.from_zero

    @property
    def charged(self) -> bool:
        """Whether constant sources charge the circuit from zero first, which drowns noise, and can be taken off."""
        steady = self.dynamics.additive and not self.circuit.ramped  # under a ramp both are run from zero as they are
        return steady and self.from_zero and bool(np.abs(self.dynamics.rest).max(initial=0.0) > 0)

    def step(self, interval: float, limit: int) -> float:
        """Step limit, s: ``interval / limit``, or the same share of 0.3 / w of the fastest ringing mode that is seen.

        Modes that do not ring (overdamped ones) may be faster: a stiff integrator steps over them.
        """
        ringing = self.dynamics.ringing
        base = min(interval, 0.3 / ringing) if ringing > 0 else interval
        return max(base, interval / 64.0) / limit
