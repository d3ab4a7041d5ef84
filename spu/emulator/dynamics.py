"""What a circuit does in time: one protocol for all kinds of equations, made once and kept with the circuit.

Whoever takes a circuit asks `dynamics` and not what its elements are. A kind of dynamics says itself which circuits
are its own (`register`): linear ones have an exact Gaussian law (`LinearDynamics`), those with nonlinear elements a
Langevin equation (`LangevinDynamics`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, cast

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, OptionError, UsageError
from spu.base.threads import blas_threads_for
from spu.circuit.circuit import Circuit
from spu.circuit.elements import Inductor
from spu.circuit.readout import Readout
from spu.circuit.saturation import SaturatingTransconductor
from spu.circuit.scales import NetworkScales, Scales
from spu.device.subject import Subject, circuits
from spu.emulator.equations import saturating
from spu.emulator.equations.langevin import Langevin, has_rest, langevin
from spu.emulator.equations.linear import StochasticODE, stochastic_ode
from spu.emulator.laws import propagate, ramps
from spu.emulator.laws.boltzmann import as_network
from spu.emulator.laws.clocked import clocked_law
from spu.emulator.laws.large import LARGE
from spu.emulator.laws.law import Law, solve
from spu.emulator.laws.linearised import Linearised, statistically
from spu.emulator.laws.rest import rest_state, typical_states
from spu.emulator.laws.spectra import known_modes
from spu.emulator.laws.stationary import Stationary
from spu.emulator.laws.timing import NetworkTiming, Timing, network_timing, timing
from spu.problems.network import ThermodynamicNetwork, thermodynamic
from spu.problems.problem import LinearProblem, Problem


class Dynamics(ABC):
    """What every circuit does.

    Attributes
    ----------
    circuit:
        Whose it is; nothing of it changes.
    name, words:
        Of this kind: for registers, and for people (what is not ``for linear devices``...).
    compared:
        Problems that a law of it may be compared with in place of the device's own; None of none.
    exact:
        Whether `respond` makes no error in its steps, so that finer ones change nothing.
    additive:
        Whether responses add up: what constant sources do can be taken off.
    ringing:
        The fastest ringing that the probes see, rad/s; 0 of none.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    compared: ClassVar[type[Problem] | None] = None
    exact: ClassVar[bool] = False
    additive: ClassVar[bool] = False

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    @classmethod
    @abstractmethod
    def takes(cls, circuit: Circuit) -> bool:
        """Whether a circuit is of this kind."""

    @property
    def readout(self) -> Readout:
        """From the p probe voltages to the problem's variables."""
        return self.circuit.readout

    @property
    def scales(self) -> Scales | None:
        """How the circuit holds its problem's units; None of one that was compiled for none."""
        return self.circuit.scales

    @property
    def second(self) -> float:
        """Seconds a unit of the problem's time; 1 where there is no problem."""
        return 1.0 if self.circuit.scales is None else self.circuit.scales.second

    @abstractmethod
    def require(self) -> None:
        """Work out the equation.

        Raises
        ------
        CircuitError
            If there is none, or it has no law where it must have one.
        """

    @property
    @abstractmethod
    def states(self) -> int:
        """Unknowns of the equation."""

    @property
    def whole(self) -> bool:
        """Whether all entries of its covariance are there to be compared."""
        return True

    @property
    @abstractmethod
    def rest(self) -> FloatArray:
        """(p,) V: where the probes are without noise."""

    @property
    @abstractmethod
    def has_rest(self) -> bool:
        """Whether a simulator's operating point shows that."""

    @property
    @abstractmethod
    def from_zero(self) -> bool:
        """Whether a simulator's transients start from zero, as its operating point is not where they are to start."""

    @property
    @abstractmethod
    def rms(self) -> FloatArray:
        """(p,) V: how far the probes move, exactly or by an estimate; what errors are measured by."""

    @property
    @abstractmethod
    def slowest(self) -> float:
        """The longest time constant that the probes see, s."""

    @property
    @abstractmethod
    def fastest(self) -> float:
        """A time in which the probes move little, s: a waveform need not change sooner to move all that there is."""

    @property
    @abstractmethod
    def sample_time(self) -> float:
        """Of noise sources in a transient, s."""

    @property
    def ringing(self) -> float:
        return 0.0

    def centre(self, path: FloatArray) -> FloatArray:
        """(p,) V: about which the size of a path (k, p) is taken; its own mean where no other is known."""
        return np.asarray(path.mean(axis=0))

    @abstractmethod
    def moments(self) -> tuple[FloatArray, FloatArray] | None:
        """Stationary mean (p,) V and covariance (p, p) V^2 of the probes; None where they are not known (`why`)."""

    why: str = ""
    """Why `moments` gives None."""

    @abstractmethod
    def respond(
        self, waveform: FloatArray, interval: float, *, hold: bool, start: FloatArray | None = None, finer: float = 1.0
    ) -> FloatArray:
        """The probes (k + 1, p), V, under voltages (k + 1, m) of the noise sources at multiples of ``interval`` (s).

        A sample is held until the next one, or joined to it by a straight line. The start is where a simulator's
        transient starts, unless given as a state of the equation; ``finer`` takes so many times more steps, where
        steps are not exact. A ramp of the circuit begins with the waveform, at the rest of its first factors.
        """


class LinearDynamics(Dynamics):
    """Of R, L, C, sources and controlled sources: ``E dx = F x dt + s dt + K dW``, a Gaussian law."""

    name = "linear"
    words = "linear devices"
    compared = LinearProblem
    exact = True
    additive = True

    @classmethod
    def takes(cls, circuit: Circuit) -> bool:
        return not circuit.nonlinear

    @cached_property
    def sde(self) -> StochasticODE:
        """The equation."""
        if self.circuit.ramped and any(
            isinstance(flat.element, Inductor) and flat.element.factor for flat in self.circuit.flatten()
        ):
            raise CircuitError(
                "a ramp of inductive couplers is not followed in linear circuits, as what fluxes around loops are "
                "conserved hangs on the factor: ramp capacitive, resistive or transconductor couplers, or set "
                "device.ramp = None"
            )
        return stochastic_ode(self.circuit)

    @cached_property
    def white(self) -> Law:
        """The stationary law under white noise: what transfer functions and densities give."""
        with blas_threads_for(self.states):
            return solve(self.sde)

    @cached_property
    def law(self) -> Law:
        """The stationary law; under noise of a clock that on average over its phase (`ClockedLaw`)."""
        if self.circuit.clocked is None:
            return self.white
        return clocked_law(self.white, self.circuit)

    @cached_property
    def dense(self) -> Stationary:
        """The law with all its modes.

        Raises
        ------
        UsageError
            If the circuit is too large for them.
        """
        return known_modes(self.law)

    @cached_property
    def timing(self) -> Timing:
        """Time scales of its spectra."""
        return timing(self.white)

    def require_white(self, what: str) -> None:
        """Refuse a circuit whose noise a clock makes, for whoever takes its noise as white; ``what`` says what is done.

        Raises
        ------
        UsageError
            Naming the key.
        """
        if self.circuit.clocked is not None:
            raise UsageError(f"{what}: worked out for white noise only, not for held noise; leave noise.clock out")

    def require(self) -> None:
        self.law.voltage_covariance  # noqa: B018 - refuses a probe that sees white noise directly

    @property
    def states(self) -> int:
        return int(self.sde.E.shape[0])

    @property
    def whole(self) -> bool:
        return isinstance(self.law, Stationary)

    @property
    def rest(self) -> FloatArray:
        return self.white.voltage_mean

    @property
    def has_rest(self) -> bool:
        return not self.sde.conserved

    @property
    def from_zero(self) -> bool:
        return bool(self.sde.conserved)

    @property
    def rms(self) -> FloatArray:
        rms = np.sqrt(self.law.voltage_covariance.diagonal())
        return np.where(rms > 0, rms, rms.max() if rms.max() > 0 else 1.0)

    @property
    def slowest(self) -> float:
        return self.law.slowest

    @property
    def fastest(self) -> float:
        return 0.3 / self.timing.reference

    @property
    def sample_time(self) -> float:
        return self.timing.sample_time

    @property
    def ringing(self) -> float:
        return float(np.abs(self.dense.seen.imag).max(initial=0.0))

    def centre(self, path: FloatArray) -> FloatArray:
        return self.rest

    def moments(self) -> tuple[FloatArray, FloatArray] | None:
        if len(self.law.voltage_mean) > LARGE:
            return None
        return self.law.voltage_mean, np.asarray(self.law.voltage_covariance)

    why = "too large for whole matrices"

    def respond(
        self, waveform: FloatArray, interval: float, *, hold: bool, start: FloatArray | None = None, finer: float = 1.0
    ) -> FloatArray:
        if self.circuit.ramped:
            if start is not None:
                raise CircuitError("a ramp begins where the circuit rests: no start of its own is followed through it")
            with blas_threads_for(self.states):
                return ramps.respond(self.circuit, waveform, interval, hold=hold, from_zero=self.from_zero)
        if start is None and self.sde.conserved:  # transients start from zero
            start = -self.dense.dense.mean
        return propagate.respond(self.dense.dense, waveform, interval, hold=hold, start=start)


_UNKNOWN = "more than a few units are coupled, and not quadratic: only sampling tells their moments"


class LangevinDynamics(Dynamics):
    """Of cells with nonlinear elements: `spu.emulator.equations.langevin`, a Boltzmann law where there is one."""

    name = "langevin"
    words = "networks"

    @classmethod
    def takes(cls, circuit: Circuit) -> bool:
        return circuit.nonlinear

    @cached_property
    def equation(self) -> Langevin:
        """The equation."""
        return langevin(self.circuit)

    @property
    def scales(self) -> NetworkScales | None:
        """How the circuit holds its problem's units; None of one that was compiled for none."""
        found = self.circuit.scales
        return found if isinstance(found, NetworkScales) else None

    @cached_property
    def network(self) -> ThermodynamicNetwork:
        """The network that the equation is, in problem units; raises `CircuitError` where it is that of none."""
        return as_network(self.equation, self.scales)

    @property
    def posed(self) -> ThermodynamicNetwork:
        """`network` with the bias of the problem: a circuit knows the sum of input and bias only."""
        problem = thermodynamic(self.circuit.problem)
        return self.network if problem is None else self.network.with_bias(problem.bias)

    @cached_property
    def timing(self) -> NetworkTiming:
        """Its time scales."""
        return network_timing(self.equation)

    @cached_property
    def size(self) -> FloatArray:
        """(n,) how far out coordinates are found, at any time of a ramp: at its end there may be no noise at all."""
        return np.max([typical_states(each) for each in self.equation.extremes], axis=0)

    @cached_property
    def rest_state(self) -> FloatArray:
        """(n,) coordinates where the noiseless drift comes to rest."""
        return rest_state(self.equation)

    @cached_property
    def theta(self) -> float | None:
        """The temperature of the stationary law in its own unit; None where there is no such law (`why_no_law`)."""
        try:
            return self.equation.theta()
        except CircuitError as error:
            self.why_no_law = error.message
            return None

    why_no_law = ""
    """Why `theta` is None."""

    def require(self) -> None:
        self.equation  # noqa: B018

    @property
    def states(self) -> int:
        return self.equation.n * (1 if self.equation.mass is None else 2)

    @property
    def rest(self) -> FloatArray:
        return self.equation.sense @ self.rest_state

    @property
    def has_rest(self) -> bool:
        return has_rest(self.equation)

    @property
    def from_zero(self) -> bool:
        return True

    @property
    def rms(self) -> FloatArray:
        return np.abs(self.equation.sense) @ self.size

    @property
    def slowest(self) -> float:
        return self.timing.slowest

    @property
    def fastest(self) -> float:
        return self.timing.fastest

    @property
    def sample_time(self) -> float:
        return self.timing.sample_time

    @property
    def solvable(self) -> bool:
        """Whether the moments of the law are known."""
        try:
            return self.theta is not None and self.network.solvable
        except CircuitError as error:  # a law, and not that of one network
            self.why_no_law = error.message
            return False

    @property
    def why(self) -> str:  # type: ignore[override]
        """Why the moments are not known; empty where they are."""
        if not self.solvable:
            return self.why_no_law or _UNKNOWN
        return ""

    def moments(self) -> tuple[FloatArray, FloatArray] | None:
        if not self.solvable:
            return None
        mean, covariance = self.network.moments()
        volts = self.equation.sense * self.equation.units
        return volts @ mean, volts @ covariance @ volts.T

    def respond(
        self, waveform: FloatArray, interval: float, *, hold: bool, start: FloatArray | None = None, finer: float = 1.0
    ) -> FloatArray:
        from spu.emulator.laws import langevin_response  # brings the compiler of kernels, which few who ask need

        path = langevin_response.respond(
            self.equation, waveform, interval, hold=hold, size=self.size, start=start, finer=finer
        )
        return np.asarray(path @ self.equation.sense.T)


class SaturatingDynamics(LinearDynamics):
    """Of linear cells with transconductors of finite linear range: `spu.emulator.equations.saturating`.

    The law is that of statistical linearisation; `rest` and `respond` are those of the circuit itself.
    """

    name = "saturating"
    words = "devices whose transconductors have a finite linear range"
    exact = False
    additive = False

    @classmethod
    def takes(cls, circuit: Circuit) -> bool:
        elements = [element for group in circuit.instances for element in group.subcircuit.elements]
        found = [element for element in elements if not element.linear]
        return bool(found) and all(isinstance(element, SaturatingTransconductor) for element in found)

    @cached_property
    def linearised(self) -> Linearised:
        """Its statistical linearisation."""
        with blas_threads_for(len(self.circuit.nodes)):
            return statistically(self.circuit)

    @cached_property
    def equation(self) -> saturating.Saturating:
        """The equation itself."""
        return saturating.Saturating.of(self.circuit)

    @cached_property
    def sde(self) -> StochasticODE:
        """The linear equation that its statistics are those of."""
        return stochastic_ode(self.linearised.circuit)

    @cached_property
    def rest(self) -> FloatArray:
        """(p,) V without noise."""
        sde = stochastic_ode(saturating.at_rest(self.circuit))
        return np.asarray(sde.H @ sde.mean + sde.y0)

    def respond(
        self, waveform: FloatArray, interval: float, *, hold: bool, start: FloatArray | None = None, finer: float = 1.0
    ) -> FloatArray:
        if start is not None:
            raise CircuitError(f"{self.words} start at rest: no start of their own is followed")
        if self.from_zero:
            raise CircuitError(f"{self.words}: conserved fluxes or charges are not followed in them")
        with blas_threads_for(self.states):
            begin = self.equation.rest(self.circuit)
            return saturating.respond(self.equation, begin, waveform, interval, hold=hold, finer=finer)


KINDS: list[type[Dynamics]] = [LinearDynamics, SaturatingDynamics, LangevinDynamics]
"""The register, in the order in which they are asked."""


def register(kind: type[Dynamics]) -> type[Dynamics]:
    """Add a kind of dynamics, which is asked before those that there are; usable as a decorator."""
    KINDS.insert(0, kind)
    return kind


def dynamics(circuit: Circuit) -> Dynamics:
    """The dynamics of a circuit, made once and kept with it."""
    if "dynamics" not in circuit.kept:
        circuit.kept["dynamics"] = next(kind for kind in KINDS if kind.takes(circuit))(circuit)
    return cast(Dynamics, circuit.kept["dynamics"])


def linear(circuit: Circuit) -> LinearDynamics:
    """The dynamics of a circuit that has to be linear.

    Raises
    ------
    CircuitError
        If it is not.
    """
    found = dynamics(circuit)
    return found if isinstance(found, LinearDynamics) else LinearDynamics(circuit)  # whose equation refuses


def langevin_of(circuit: Circuit) -> LangevinDynamics:
    """The dynamics of a circuit by its Langevin equation, which linear ones of first order have, too.

    Raises
    ------
    UsageError
        If a clock makes its noise.
    """
    if circuit.clocked is not None:
        raise UsageError("a Langevin equation is of white noise, not of held noise: leave noise.clock out")
    found = dynamics(circuit)
    if isinstance(found, LangevinDynamics):
        return found
    if circuit.acquisition:
        raise CircuitError("what a converter reads has no Langevin equation: leave detail.readout out of the device")
    if "langevin" not in circuit.kept:
        circuit.kept["langevin"] = LangevinDynamics(circuit)
    return cast(LangevinDynamics, circuit.kept["langevin"])


def all_linear(subject: Subject, what: str) -> list[LinearDynamics]:
    """The dynamics of all programmings of a subject, for ``what`` only linear circuits have.

    Raises
    ------
    UsageError
        If they are not linear, in one line that begins with ``what``.
    """
    found = [dynamics(circuit) for circuit in circuits(subject)]
    for each in found:
        if not isinstance(each, LinearDynamics):
            raise UsageError(f"{what} of {each.words}: no law of theirs in time is known, simulate reads them at times")
    return cast("list[LinearDynamics]", found)


def compared_with(found: Dynamics, given: Problem | None, own: Problem | None) -> Problem | None:
    """What a device is compared with: a problem that is given in place of its own.

    Raises
    ------
    UsageError
        If it is no problem, of a kind that such dynamics are not compared with, or of another size.
    """
    if given is None:
        return own
    if not isinstance(given, Problem):
        raise OptionError("problem", f"must be one, such as spu.GaussianSampling(precision=A), not a {_name(given)}")
    if found.compared is None:
        raise OptionError("problem", f"is not for {found.words}: they are compared with their own equation's law")
    if not isinstance(given, found.compared):
        raise OptionError("problem", f"is a {_name(given)}: {found.words} are compared with the problem of a matrix")
    if given.n != len(found.readout.variables):
        raise OptionError("problem", f"has {given.n} variables, and the device {len(found.readout.variables)}")
    return given


def _name(given: object) -> str:
    return type(given).__name__


def slowest(laws: Sequence[Law]) -> Law:
    """The law with the longest time constant that is seen."""
    return laws[0] if len(laws) == 1 else max(laws, key=lambda law: law.slowest)


def device_law(subject: Subject) -> Law:
    """The stationary law of a device of one programming, or of a circuit.

    Raises
    ------
    CircuitError
        If there is none.
    """
    return linear(circuits(subject)[0]).law


def forget_laws(*subjects: Subject) -> None:
    """Forget what followed from the circuits of subjects so far: for whoever measures how long a law takes."""
    for subject in subjects:
        for circuit in circuits(subject):
            circuit.kept.clear()
