"""The energy ledger of a device: exact mean powers of its circuit, and counts of what a run does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spu.base.errors import CircuitError, InputError, OptionError
from spu.base.names import shorten
from spu.circuit.circuit import Circuit
from spu.circuit.polynomial import PolynomialConductance
from spu.device.device import Device
from spu.device.subject import Subject, circuits, subject_of
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.laws.power import ElementPower, PowerBalance, counted, mean_power
from spu.studies.energy.assumptions import REFERENCE, Assumptions, Price, load_energy
from spu.studies.energy.digital import methods, reference_of
from spu.studies.energy.ledger import Ledger, LedgerLine, ledger_lines

__all__ = ["codes_of", "energy_of", "loading_time", "power_of"]


def energy_of(
    device: Subject,
    seconds: float,
    readouts: float,
    programmings: float = 1,
    assumptions: Assumptions | str | Path | None = None,
    *,
    error: float | None = None,
    work: float | None = None,
    heat: float | None = None,
    per: str = "answer",
) -> Ledger:
    """What an answer of a device costs: the exact mean power of its elements, and what is counted at its price.

    What the circuit takes follows from its law: losses of resistors less what their own noise puts in, which is what
    noise sources, bias currents and active elements deliver (`spu.emulator.laws.power`). Prices of these are for what
    their suppliers take beyond that. A price that nobody states is in no sum, and listed.

    Parameters
    ----------
    device:
        A device, a circuit, or whatever holds one.
    seconds:
        Device time of all trajectories, burn-in included.
    readouts:
        Instants at which all cells are read.
    programmings:
        Times that the device's codes are loaded for one answer; a fraction where one load serves several.
    assumptions:
        What `load_energy` gave, or its file; the shipped ones unless given.
    error:
        Relative error that the digital reference has to reach; to rounding unless given.
    work:
        J, mean work of a ramp along one answer.
    heat:
        J that one answer gives off, where the device's law does not tell it (nonlinear cells).
    per:
        What is asked for.

    Raises
    ------
    InputError
        If a number is not finite, or negative.
    UsageError
        If there is no device in what is given.

    Examples
    --------
    An RC cell with injected noise takes up ``g E[v^2]``, here 20 pW; nobody states what a noise source itself takes:

    >>> import spu
    >>> device = spu.Device(temperature=0.0)
    >>> device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    >>> ledger = spu.energy_of(device, seconds=1e-3, readouts=100)
    >>> f"{ledger.power.losses:.3g} W lost, {ledger.power.noise:.3g} W from noise"
    '1e-11 W lost, 1e-11 W from noise'
    >>> [(line.item, line.count) for line in ledger.lines][:2], "noise" in ledger.unstated
    ([('heat', 1.0), ('readout', 100)], True)
    """
    subject = subject_of(device)
    for name, number in (("seconds", seconds), ("readouts", readouts), ("programmings", programmings)):
        _number(name, number)
    for name, value in (("work", work), ("heat", heat)):
        if value is not None and not math.isfinite(_real(name, value)):
            raise InputError(f"{name} is {shorten(value)}: it must be finite (J)")
    if not isinstance(assumptions, Assumptions):
        assumptions = load_energy(assumptions)
    members = circuits(subject)
    power, why = _power(members)
    lines = [_heat(power, why, seconds, heat, per)]
    if work is not None:
        lines.append(LedgerLine("work", f"work of the ramp along one {per}", 1.0, _exact(work), True, "", _WORK))
    codes = codes_of(subject)
    loads = len(members) * programmings
    amounts = _amounts(power.elements if power is not None else _listed(members[0]))
    counts: dict[str, float | None] = {
        "readout": readouts * len(members[0].probes),
        "programming": None if codes is None else codes * loads,
        "noise": _noise_sources(members[0]) * seconds,
        "bias": amounts["active"][0] * seconds,
        "supply": amounts["current"][1] * seconds,
        "switching": _switches(subject) * loads,
        "control": seconds,
    }
    delivered: dict[str, float] = {}
    if power is not None:
        delivered = {"noise": power.noise, "bias": max(power.active, 0.0), "supply": max(power.sources, 0.0)}
    for line in ledger_lines(counts, assumptions):
        priced = line
        if line.item == "bias" and line.energy is None:
            priced = _by_current(line, amounts["active"][1] * seconds, assumptions)
        lines.append(_beyond(priced, delivered.get(line.item, 0.0) * seconds))
    problem = getattr(subject, "problem", None)
    reference, reference_is = reference_of(problem, assumptions, error=error)
    return Ledger(
        per,
        tuple(lines),
        tuple(ledger_lines(reference, assumptions, REFERENCE)),
        None,
        "stationary",
        float(members[0].temperature),
        reference_is,
        assumptions,
        claim=1.0,
        seconds=float(seconds),
        power=power,
        programming_time=loading_time(subject, assumptions, programmings),
        methods=methods(problem, error),
    )


_WORK = "what the ramp does on the circuit, which gives it off as heat"


def power_of(device: Subject) -> PowerBalance:
    """Mean powers of a device's circuit; of an ensemble, on the average over its programmings.

    Raises
    ------
    CircuitError
        If its law is not known, or not Gaussian.
    """
    found, why = _power(circuits(device))
    if found is None:
        raise CircuitError(why)
    return found


def _power(members: Sequence[Circuit]) -> tuple[PowerBalance | None, str]:
    """The balance, or None and why there is none."""
    found = []
    for circuit in members:
        moves = dynamics(circuit)
        if not isinstance(moves, LinearDynamics):
            return None, "no exact law of nonlinear cells in time tells it: a run books it"
        if circuit.clocked is not None:
            return None, "power under held noise is not worked out: leave noise.clock out"
        try:
            found.append(mean_power(moves.law))
        except CircuitError as error:
            return None, error.message
    if len(found) == 1:
        return found[0], ""
    merged = []
    for same in zip(*(balance.elements for balance in found), strict=True):
        means = {key: float(np.mean([getattr(each, key) for each in same])) for key in ("size", "taken", "injected")}
        merged.append(replace(same[0], count=round(float(np.mean([each.count for each in same]))), **means))
    return PowerBalance(tuple(merged), any(balance.white for balance in found)), ""


def _listed(circuit: Circuit) -> tuple[ElementPower, ...]:
    """The elements of a nonlinear circuit that are charged for: bias currents and active ones."""
    found = []
    for flat in circuit.flatten():
        letter, (count, size) = flat.element.name[0].lower(), counted(flat)
        active = letter == "g" or isinstance(flat.element, PolynomialConductance)
        if flat.element.noise_port is not None or not (active or letter == "i"):
            continue
        kind = "active" if active else "source"
        found.append(ElementPower(flat.group.subcircuit.name, flat.element.name, kind, count, size, 0.0))
    return tuple(found)


def _noise_sources(circuit: Circuit) -> int:
    """Sources of noise that is no resistor's; one that several cells share is one, and so is one with 1/f noise."""
    used = [
        flat.noise[flat.values != 0]
        for flat in circuit.flatten()
        if flat.noise is not None
        and flat.element.role != "flicker"
        and flat.values.ndim == 1
        and flat.element.name[0].lower() != "r"
    ]
    return len(np.unique(np.concatenate(used))) if used else 0


def _amounts(elements: Sequence[ElementPower]) -> dict[str, tuple[int, float]]:
    """How many bias currents and active elements, and their A or S in all."""
    found = dict.fromkeys(("current", "active"), (0, 0.0))
    for each in elements:
        kind = "current" if each.kind == "source" and each.element.startswith("i") else each.kind
        if kind in found:
            count, size = found[kind]
            found[kind] = (count + each.count, size + (each.size if each.element[:1] in "ig" else math.nan))
    return found


def _heat(power: PowerBalance | None, why: str, seconds: float, heat: float | None, per: str) -> LedgerLine:
    words = f"heat given off along one {per}"
    if heat is not None:
        return LedgerLine("heat", words, 1.0, _exact(float(heat)), True, "", "as it was given")
    if power is None:
        return LedgerLine("heat", words, 1.0, None, True, why, "the circuit's law")
    return LedgerLine("heat", words, 1.0, _exact(power.heat * seconds), True, "", _LAW)


_LAW = "the circuit's exact law: losses less the resistors' own noise, which is what is delivered to it"


def _exact(value: float) -> Price:
    return Price(value, value, value)


def _by_current(line: LedgerLine, amount: float, assumptions: Assumptions) -> LedgerLine:
    """Active elements by the current that their transconductance (S s) takes, where the supply is stated."""
    supply, efficiency = assumptions["supply"], assumptions["efficiency"]
    if supply.price is None or efficiency.price is None or not math.isfinite(amount):
        return line
    volts, gain = supply.price, efficiency.price
    if gain.low <= 0:
        return line
    energy = Price(volts.low / gain.high, volts.typical / gain.typical, volts.high / gain.low).times(amount)
    source = f"transconductance over `efficiency`, times `supply`: {efficiency.source}"
    return replace(line, energy=energy, missing="", source=source)


def _beyond(line: LedgerLine, delivered: float) -> LedgerLine:
    """The line less what of it is in the circuit's heat already, J."""
    if line.energy is None or delivered == 0:
        return line
    parts = (max(each - delivered, 0.0) for each in (line.energy.low, line.energy.typical, line.energy.high))
    return replace(line, energy=Price(*parts))


# --- programming ---------------------------------------------------------------------------


def codes_of(device: Subject) -> int | None:
    """How many values a device is programmed by: couplers, what each cell has of its own, biases, and shared noise.

    A coupler of two transconductances has two, and a source that drives three cells three. None of a circuit, which
    does not know what of it is programmed.
    """
    subject = subject_of(device)
    if not isinstance(subject, Device):
        return None
    couplers = sum(int(np.count_nonzero(~np.isnan(values))) for values in subject.coupler_columns.held().values())
    bias = subject.cell_columns.held().get("bias")
    biases = 0 if bias is None else int(np.count_nonzero(np.nan_to_num(bias)))
    return couplers + len(subject.cell_names) + biases + len(subject.shared.amplitudes)


def _switches(subject: Any) -> int:
    """Switches of the banks of a device: what a load turns at most."""
    if not isinstance(subject, Device):
        return 0
    found = 0
    for columns in (subject.cell_columns, subject.coupler_columns):
        for part in columns.parts.values():
            bank = columns.banks.get(part.quantity)
            if bank is not None:
                held = sum(len(columns.codes[key]) for key in part.keys if key in columns.codes)
                found += held * bank.bits
    return found


def loading_time(
    device: Subject, assumptions: Assumptions | str | Path | None = None, programmings: float = 1
) -> Price | None:
    """Seconds that loading the codes of one answer takes, one after another; None where nobody states how long one is.

    Examples
    --------
    >>> import spu
    >>> from spu.studies.energy.devices import loading_time
    >>> loading_time(spu.compile([[2.0, -0.5], [-0.5, 1.0]])) is None
    True
    """
    if not isinstance(assumptions, Assumptions):
        assumptions = load_energy(assumptions)
    subject = subject_of(device)
    codes, each = codes_of(subject), assumptions["code_time"].price
    if codes is None or each is None:
        return None
    return each.times(codes * len(subject.members()) * programmings)


def _number(name: str, value: object) -> float:
    number = _real(name, value)
    if not 0 <= number < math.inf:
        raise OptionError(name, f"is {shorten(value)}: a finite number, 0 or more, is wanted")
    return number


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise OptionError(name, f"is {shorten(value)}: a number is wanted")
    return float(value)
