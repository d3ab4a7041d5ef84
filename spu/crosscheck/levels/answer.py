"""Level ``answer``: does the netlist, read as ``import`` reads it, sample the same as the device; if not, what differs.

Of the folder's own netlist everything is asked: mean, covariance, modes and spectra at all frequencies. Of one that
a designer edited the same, unless an accuracy is given; then only whether it still samples the same. Where the
emulator cannot read it, ngspice linearises it, and what nobody looked at is said. Nonlinear cells no reader takes:
of them the text is compared (`spu.crosscheck.levels.lines`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError, DeckError, NotServed, SimulatorMissing, SpuError
from spu.circuit.acquisition import Acquisition
from spu.circuit.circuit import Circuit
from spu.crosscheck.context import Context
from spu.crosscheck.decks.changes import (
    Changes,
    Edited,
    Moved,
    codes_out_of_range,
    edits,
    in_problem_units,
    moving_lines,
)
from spu.crosscheck.decks.linearised import MOST_PAIRS, Grid, measure
from spu.crosscheck.levels import lines
from spu.crosscheck.levels.dynamics import FLOOR, Mode, same_equations, spectral_difference, unpaired_modes
from spu.crosscheck.levels.kind import LevelKind, Way
from spu.crosscheck.levels.paths import scale
from spu.crosscheck.nodal import Nodal, power_gains
from spu.crosscheck.result import Level
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve
from spu.emulator.laws.stationary import Stationary
from spu.emulator.laws.timing import timing
from spu.emulator.results import lag_of, lagged_covariance
from spu.problems.problem import LinearProblem, linear_problem
from spu.spice.dialects import NGSPICE
from spu.spice.names import netlist_size, probed_nodes
from spu.spice.reader import Choices, read_netlist
from spu.spice.reader.converters import without_converters
from spu.spice.reader.limits import MAX_INSTANCES

SAME = 1e-4
"""Relative change of covariance or mean up to which the answer is the same, unless an accuracy is given."""

SPECTRA = 1e-5
"""Relative difference of two spectra, at any frequency, that is rounding and a Boltzmann constant."""

READ_ALIKE = 1e-3
"""Relative difference of the covariances that emulator and ngspice find in one netlist, at most."""

_CONFIRMED = 66
"""Pairs of nodes (of twelve) up to which ngspice confirms covariances, not variances only."""

SUMS = 8
"""Of all readouts of a large circuit, with random signs, whose spectra are compared."""

_NAMED = 3
"""Modes that a message names."""


@dataclass(frozen=True, eq=False)
class _Found:
    """A reading of the netlist beside the device: figures with what is allowed, words and data.

    ``law`` is None where only ngspice reads it.
    """

    law: Stationary | None
    changes: Changes
    parts: dict[str, tuple[float, float]]
    messages: list[str]
    data: dict[str, object]

    @property
    def worst(self) -> str:
        """The figure that decides: the first that is more than allowed."""
        failing = [key for key, (found, most) in self.parts.items() if not found <= most]
        return failing[0] if failing else "answer"

    @property
    def agrees(self) -> bool:
        """Whether all figures are within what is allowed."""
        return all(found <= most for found, most in self.parts.values())


def run(context: Context) -> Level:
    """Find mean, covariance, modes and spectra of the deck, set them beside the device's and the problem's."""
    assert context.deck is not None
    if context.own and context.choices is not None:
        return Level("answer", "skipped", "the emulator's circuit is this very netlist, as import reads it")
    foreign = _foreign(context)
    if foreign and (context.own or not context.whole):
        moving = [str(line) for line in moving_lines(context.deck, context.circuit)]
        if moving:
            words = f"{', '.join(moving[:_NAMED])}: looked at only at one moment, or for the time that replay runs"
            return Level("answer", "inconclusive", f"{foreign}; {words}", data={"moving": moving})
        return Level("answer", "skipped", f"{foreign}; op, ac and replay judge what the netlist is")
    changed = "" if foreign else _converters(context)
    if changed:
        return Level("answer", "fail", changed, false_alarm_rate=0.0)
    edited = _read_again(context)
    if not context.whole:
        return _large(context, edited)
    if edited.why and not edited.own:
        context.notes.append(f"only {context.simulator.name} reads {context.given or context.deck.file}: {edited.why}")
    judged = context.accuracy is not None and not edited.own
    try:
        found = _read(context, edited, judged)
    except CircuitError as refusal:
        words = "read as it lies there" if edited.own else "as edited"
        return Level("answer", "fail", f"{words}, the network has no stationary law: {refusal}", exit_status=1)
    verdict = "pass" if found.agrees else "fail"
    messages, changes = found.messages, found.changes
    if changes.reading_error is not None and changes.reading_error > READ_ALIKE and verdict == "pass":
        verdict = "inconclusive"
        messages.append(
            f"emulator and {context.simulator.name} differ by {changes.reading_error:.2g} about this netlist"
        )
    if found.law is None:
        times = context.timing
        messages.append(
            f"only {context.simulator.name} reads it ({edited.why}) and linearised it at its operating point: neither "
            f"its modes nor what it does below {times.low:.2g} and above {times.high:.2g} Hz were looked at"
        )
    deaf = _deaf(context) if found.law is None else []
    if deaf:
        verdict = "inconclusive"
        messages.append(
            f"{context.simulator.name} does not hear in it what was said to be noise, or not to be: "
            f"{', '.join(deaf[:_NAMED])}"
        )
    if edited.moving:
        more = f" and {len(edited.moving) - _NAMED} more" if len(edited.moving) > _NAMED else ""
        messages.append(f"{', '.join(map(str, edited.moving[:_NAMED]))}{more}: looked at as it is at the start")
    moves = any(line.moves for line in edited.moving)
    problem = linear_problem(context.problem)
    blind = found.law is None and problem is not None and problem.kind.answer.lagged
    if blind:
        messages.append(f"the answer, a lagged covariance, is in no sweep of {context.simulator.name}'s")
    if verdict == "pass" and (moves or blind or (found.law is None and not judged)):
        verdict = "inconclusive"
    if not edited.own or verdict == "fail":
        context.changes = changes
    error, allowed = found.parts[found.worst]
    said = "; ".join(messages)
    return Level(
        "answer",
        verdict,
        said if context.device is not None else said.replace("the device", "the imported netlist"),
        error,
        allowed,
        false_alarm_rate=0.0,
        detects={"answer": found.parts["answer"][1], **({"spectrum": SPECTRA} if "spectra" in found.parts else {})},
        data=found.data,
    )


def _foreign(context: Context) -> str:
    """Why the emulator cannot read the deck, where that is for its language."""
    if context.language is NGSPICE:
        return ""
    return f"the emulator reads ngspice's language, not {context.language.name}'s"


def _converters(context: Context) -> str:
    """What of the converters in the deck is not the device's; empty where nothing is."""
    assert context.deck is not None
    wanted: dict[str, Acquisition] = {}
    own = context.circuit.acquisition
    if own is not None and own.full_scale is not None:
        alone = Acquisition(bits=own.bits, full_scale=own.full_scale)
        wanted = {node.lower(): alone for node in probed_nodes(context.circuit)}
    try:
        _, found = without_converters(context.deck.lines)
    except DeckError as error:
        return str(error)
    off = [node for node in {**wanted, **found} if wanted.get(node) != found.get(node)]
    if not off:
        return ""
    there, meant = (_converter_words(each.get(off[0])) for each in (found, wanted))
    return f"the converter of v({off[0]}) is {there} in the netlist, {meant} in the device"


def _converter_words(converter: Acquisition | None) -> str:
    if converter is None:
        return "none"
    bits = "clipping" if converter.bits is None else f"{converter.bits} bits"
    return f"{bits} of +-{converter.full_scale:.9g} V"


def _large(context: Context, edited: Edited) -> Level:
    """Compare the equations of a large netlist, as the emulator reads it, with the device's.

    Where they are not the same entry by entry, the mean is compared, and at some frequencies the spectra of a few sums
    of all readouts, with random signs.
    """
    if edited.circuit is None:
        words = f"only {context.simulator.name} reads it ({edited.why}), and it is too large to be linearised"
        return Level("answer", "inconclusive", words, false_alarm_rate=0.0)
    known = context.any_law.sde
    try:
        sde = stochastic_ode(edited.circuit)
    except CircuitError as refusal:
        return Level("answer", "fail", f"the network has no stationary law: {refusal}", exit_status=1)
    states = {"states": sde.E.shape[0]}
    if same_equations(sde, known):
        words = f"its equations ({sde.E.shape[0]} states) are the device's, entry by entry"
        return Level(
            "answer", "pass", words, 0.0, SPECTRA, false_alarm_rate=0.0, detects={"spectrum": SPECTRA}, data=states
        )
    read = Nodal.of(edited.circuit)
    difference, frequency = _summed_spectra(context, read)
    shift = float(np.abs(read.probes @ read.rest - context.any_law.voltage_mean).max()) / scale(context)
    parts = {"spectra": (difference, SPECTRA), "mean": (shift, SAME)}
    failing = [key for key, (found, most) in parts.items() if not found <= most]
    worst = failing[0] if failing else "spectra"
    messages = [
        f"its equations ({sde.E.shape[0]} states) are not the device's ({known.E.shape[0]}), entry by entry",
        f"spectra of {SUMS} sums of all readouts, with random signs, differ by {difference:.2g} at {frequency:.3g} Hz",
        f"the mean by {shift:.2g}",
    ]
    return Level(
        "answer",
        "fail" if failing else "pass",
        "; ".join(messages),
        *parts[worst],
        false_alarm_rate=0.0,
        detects={"spectrum": SPECTRA},
        data={**states, "spectral_difference": difference},
    )


def _summed_spectra(context: Context, read: Nodal) -> tuple[float, float]:
    """The largest relative difference of spectra of `SUMS` random sums of readouts, and its frequency, Hz."""
    times, device = context.timing, context.nodal
    signs = 2.0 * np.random.default_rng(context.seed).integers(0, 2, (SUMS, len(context.circuit.probes))) - 1.0
    at = np.geomspace(times.low, times.high, int(4 * np.log10(times.high / times.low)) + 2)
    found, known = (power_gains(nodal, at, sp.csr_array(signs) @ nodal.probes).sum(axis=2) for nodal in (read, device))
    size = np.maximum(known, FLOOR * known.max(axis=0))
    difference = np.abs(found - known) / np.where(size > 0, size, 1.0)
    place = int(np.argmax(difference.max(axis=1)))
    return float(difference.max()), float(at[place])


def _read_again(context: Context) -> Edited:
    """The netlist as the emulator reads it, with the readout of the device."""
    assert context.deck is not None
    deck, choices = context.bare_deck, context.choices or Choices()
    assert deck is not None
    probes = _probes(context)

    def circuit(heard: str = "") -> Circuit:
        read = read_netlist(
            deck.file,
            probes=probes,
            silent=choices.silent,
            densities=choices.densities,
            max_instances=max(MAX_INSTANCES, 2 * netlist_size(context.circuit)),
            include_outside=context.include_outside,
            ignore_control=context.ignore_control,
            at_start=True,
            heard=heard,
        )
        return replace(read.circuit, readout=context.circuit.readout)

    def apart() -> tuple[Circuit, ...]:
        try:
            forms = circuit("noise"), circuit("tran")
        except SpuError:
            return ()
        # One that hears nothing is no form of the noise: a netlist of resistors alone is silent in .tran.
        return forms if all(len(form.sources) for form in forms) else ()

    found, why = None, _foreign(context)
    if why:
        context.require_rest()
        return Edited(None, why, context.original, context.own, moving_lines(deck, context.circuit))
    try:
        found = circuit()
    except SpuError as refusal:
        why = str(refusal)
    silent = {name.lower().rpartition(".")[2] for name in choices.silent}
    moving = tuple(line for line in moving_lines(deck, context.circuit) if line.name not in silent)
    return Edited(found, why, context.original, context.own, moving, apart)


def _deaf(context: Context) -> list[str]:
    """Noise of an imported netlist that no analysis hears in one that only the simulator reads, or hears against it."""
    if context.read is None:
        return []
    declared = [
        source.name for source in context.circuit.sources if source.origin is not None and not source.origin.resistor
    ]
    return [*declared, *context.read.choices.silent]


def _probes(context: Context) -> list[str]:
    """What is read out, as ``--probe`` takes it."""
    if context.read is not None:
        return [f"{probe.name}={probe.plus},{probe.minus}" for probe in context.read.probes]
    return [f"{name}={node}" for name, node in zip(context.circuit.probes, probed_nodes(context.circuit), strict=True)]


def _read(context: Context, edited: Edited, judged: bool) -> _Found:
    """The reading that speaks for the netlist.

    A deck that holds its noise twice, for ``.noise`` and for ``.tran``, is read as one circuit where the reader sees
    what belongs together. Where it does not (a resistor became two), or both are not alike, each is read by itself, and
    both have to be the device.
    """
    found = None if edited.circuit is None else _beside(context, edited, _law(context, edited.circuit), judged)
    if found is not None and found.agrees:
        return found
    apart = edited.apart()
    if not apart:
        return _beside(context, edited, None, judged) if found is None else found
    forms = [
        _beside(context, edited, _law(context, circuit), judged, confirm=k == 0) for k, circuit in enumerate(apart)
    ]
    if all(form.agrees for form in forms):
        forms[0].messages.append("its noise is made by other elements, in .noise and in .tran alike")
        return forms[0]
    if found is not None:
        return found
    worst = 0 if not forms[0].agrees else 1
    forms[worst].messages.append(f"so it is in {('.noise', '.tran')[worst]}")
    return forms[worst]


def _law(context: Context, circuit: Circuit) -> Stationary:
    sde = stochastic_ode(circuit)
    if same_equations(sde, context.law.sde):
        return context.law  # and what follows from it is not worked out again
    law = solve(sde)
    assert isinstance(law, Stationary)
    return law


def _beside(context: Context, edited: Edited, law: Stationary | None, judged: bool, confirm: bool = True) -> _Found:
    """Set a reading of the netlist beside the device; ``judged`` by the accuracy of its answer only."""
    changes = _changes(context, edited, law, confirm)
    change = max(changes.covariance_change, changes.mean_change or 0.0, changes.lagged_change or 0.0)
    error, allowed, of = change, SAME, "the device's"
    if judged:
        allowed = context.accuracy or 0.0
        problem = linear_problem(context.problem)
        if problem is not None and (changes.lagged is not None or not problem.kind.answer.lagged):
            error, of = _error(problem, changes), "the problem's"
    parts = {"answer": (error, allowed)}
    message = f"its answer is off by {error:.3g} from {of}"
    if of == "the problem's":
        message += f", by {change:.3g} from the device's"
    worst = [*changes.moved_covariances()[:1], *changes.moved_means()[:1]]
    if worst and change > SAME:
        message += "; worst: " + ", ".join(f"{_entry(moved)} by {100 * moved.relative:+.3g} %" for moved in worst)
    messages = [message]
    data: dict[str, object] = {}
    if law is not None:
        dynamics, said, data = _dynamics(law, context)
        messages += said
        if not judged:
            parts |= dynamics
    return _Found(law, changes, parts, messages, data)


def _dynamics(
    read: Stationary, context: Context
) -> tuple[dict[str, tuple[float, float]], list[str], dict[str, object]]:
    """What of modes and spectra differs: figures with what is allowed, words, and data."""
    known = context.law
    count = known.sde.E.shape[0]
    if read is known:
        words = f"its equations ({count} states) are the device's, entry by entry"
        return {"modes": (0.0, 0.0), "spectra": (0.0, SPECTRA)}, [words], {"states": count, "extra_modes": []}
    extra, missing = unpaired_modes(read, known)
    more = read.sde.E.shape[0] - count
    seen = [mode for mode in extra if mode.seen]
    unseen = [mode for mode in extra if not mode.seen]
    lost = [mode for mode in missing if mode.seen]
    difference, frequency, probe = spectral_difference(read, known, [*extra, *missing])
    messages = []
    if seen:
        messages.append(f"it has {_modes(seen)} that the device has not")
    if lost:
        messages.append(f"it lacks {_modes(lost)} of the device")
    if unseen:
        messages.append(f"it has {_modes(unseen)} that the device has not and no readout sees")
    if more and not (extra or missing):
        messages.append(f"it has {read.sde.E.shape[0]} states where the device has {count}")
    if read.sde.conserved != known.sde.conserved:
        what = "keeps a charge or a flux that the device does not" if read.sde.conserved else "keeps no charge or flux"
        messages.append(f"it {what}; it is taken as zero")
    if difference > SPECTRA:
        messages.append(
            f"its spectrum at {context.circuit.probes[probe]} is off by {difference:.2g} at {frequency:.3g} Hz"
        )
    unequal = len(seen) + len(lost) or (abs(more) if not extra and not missing else 0)
    figures = {"spectra": (difference, SPECTRA), "modes": (float(unequal), 0.0)}
    data = {
        "states": read.sde.E.shape[0],
        "extra_modes": [_as_data(mode) for mode in extra],
        "missing_modes": [_as_data(mode) for mode in missing],
        "spectral_difference": difference,
    }
    return figures, messages, data


def _modes(modes: Sequence[Mode]) -> str:
    named = ", ".join(f"at {mode}" for mode in modes[:_NAMED])
    more = f" and {len(modes) - _NAMED} more" if len(modes) > _NAMED else ""
    return f"{'a mode' if len(modes) == 1 else 'modes'} {named}{more}"


def _as_data(mode: Mode) -> dict[str, object]:
    return {
        "nodes": list(mode.nodes),
        "time_constant": -1.0 / mode.pole.real,
        "frequency": abs(mode.pole.imag) / (2 * np.pi),
        "seen": mode.seen,
    }


def _entry(moved: Moved) -> str:
    if len(moved.variables) == 1:
        return f"mean of {moved.variables[0]}"
    a, b = moved.variables
    return f"variance of {a}" if a == b else f"covariance of {a} and {b}"


def _error(problem: LinearProblem, changes: Changes) -> float:
    """Of the problem's answer, relative."""
    answer, mean = problem.kind.answer, changes.mean
    second = changes.lagged if answer.lagged else changes.covariance
    assert second is not None
    found = np.asarray(answer.of(np.zeros(problem.n) if mean is None else mean, second))
    target = np.asarray(answer.target(problem))
    known = np.isfinite(found)
    if not known.any():
        return float("inf")
    if not known.all():
        found, target = found[known], target[known]
    error = answer.distance(found, target)
    return float(np.linalg.norm(found)) if error is None else error


def _changes(context: Context, edited: Edited, read: Stationary | None, confirm: bool) -> Changes:
    law = context.law
    silenced = context.fixture is not None and context.fixture.silenced
    has_mean = not context.from_zero if read is None else not read.sde.conserved
    times = context.timing if read is None else timing(read)
    grid = Grid(times.low, times.high, times.per_decade, exact=read is not None)
    most = MOST_PAIRS if read is None else _CONFIRMED
    deck, bare = context.audible_deck, context.bare_deck
    assert deck is not None and bare is not None
    measured, error, missing = None, None, False
    # Of the folder's own netlist level ac is the confirmation, and what is silenced the simulator hears.
    if read is None or (confirm and not edited.own and not silenced):
        try:
            measured = measure(
                deck,
                context.vectors,
                grid,
                simulator=context.simulator,
                mean=has_mean,
                time_limit=context.time_limit,
                most_pairs=most,
            )
        except (SimulatorMissing, NotServed) as reason:
            if read is None:
                raise
            missing = isinstance(reason, SimulatorMissing)
    mean: FloatArray | None
    if read is not None:
        voltages, mean = read.voltage_covariance, read.voltage_mean
        if measured is not None:
            known = np.isfinite(measured.covariance)
            size = float(np.linalg.norm(voltages[known]))
            error = float(np.linalg.norm((measured.covariance - voltages)[known])) / size if size else 0.0
    else:
        assert measured is not None
        voltages, mean = measured.covariance, measured.mean
    readout = law.sde.readout
    before = in_problem_units(readout, law.voltage_mean if mean is not None else None, law.voltage_covariance)
    after = in_problem_units(readout, mean, voltages)
    lag = lag_of(law, linear_problem(context.problem))
    lagged = None if read is None or lag is None else [lagged_covariance(each, lag) for each in (law, read)]
    return Changes(
        netlist=context.given or bare.file,
        source=context.simulator.name if read is None else "emulator",
        why=edited.why,
        variables=readout.variables,
        edits=None if edited.original is None else edits(edited.original, bare),
        mean_before=before[0],
        mean=after[0],
        covariance_before=before[1],
        covariance=after[1],
        time_constants_before=law.time_constants,
        time_constants=None if read is None else read.time_constants,
        reading_error=error,
        missing=missing,
        lagged_before=None if lagged is None else lagged[0],
        lagged=None if lagged is None else lagged[1],
        remarks=codes_out_of_range(context.circuit, bare),
    )


LEVEL = LevelKind(
    "answer",
    {"linear": Way(run, large=True), "langevin": lines.WAY},
    compares="the netlist as read: answer, modes, spectra",
    failing="the netlist, as import reads it, is another circuit than the device or samples something else",
    incomplete=True,
    judges=True,
)
