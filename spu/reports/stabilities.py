"""What is said of a device's margins of stability."""

from __future__ import annotations

from spu.base.layout import table
from spu.base.numbers import engineering, number, plural, share
from spu.emulator.laws.margins import Crossing
from spu.studies.stability import Stability


def stability_text(found: Stability) -> str:
    """Its slowest mode, margins of gain and delay, and what mismatch does."""
    if found.decay > 0:
        slowest = f"stable: the slowest mode decays in {engineering(1 / found.decay, 's')}"
    elif found.decay == 0:
        slowest = "on the edge: a mode does not decay"
    else:
        slowest = f"unstable: a mode grows by e in {engineering(-1 / found.decay, 's')}"
    parts = ", ".join(f"{name} {share(part)}" for name, part in found.mode[:4])
    lines = [f"{slowest}{_oscillating(found.frequency)}" + (f"; in it are {parts}" if parts else "")]
    if found.passive:
        lines.append(
            "nothing can make it unstable: resistors, capacitors and inductors only lose energy, whatever their values"
        )
        return "\n".join(lines)
    lines.append(f"margins of its {plural(found.amplifiers, 'transconductor')}, all alike at once:")
    lines += [f"  {line}" for line in _margins(found)]
    if found.why:
        lines.append(f"  {found.why}")
    if found.worst_case is not None:
        said = share(found.worst_case)
        lines.append(
            f"mismatch: errors of {said} of all elements at once, each in its worst direction, do so (first order)"
        )
        rows = [(name, f"{number(value)} /s") for name, value in found.sensitivities[:6]]
        lines += ["", table(["element", "decay changes, per relative change"], rows, left=1)]
    if found.distance is not None:
        lines.append(f"to the axis: {number(found.distance)} standard deviations of the tolerance (first order)")
    if found.probability is not None and found.interval is not None:
        low, high = found.interval
        lines.append(
            f"boards that are unstable: {share(found.probability)} of {found.draws} drawn "
            f"(95 %: {share(low)} to {share(high)})"
        )
    return "\n".join(lines)


def _oscillating(frequency: float) -> str:
    return f", oscillating at {engineering(frequency, 'Hz')}" if frequency else ""


def _margins(found: Stability) -> list[str]:
    lines = []
    if found.gain is not None or not found.why:
        lines.append(_gain("gain", found.gain, "no common gain, however large, takes a mode to the axis"))
    if found.gain_below is not None:
        lines.append(_gain("lower gain", found.gain_below, ""))
    if found.delay is not None:
        at = engineering(found.delay.at, "s")
        lines.append(f"delay {at} in the path of each{_oscillating(found.delay.frequency)}")
    elif not found.why:
        lines.append("no common delay, however long, takes a mode to the axis")
    return lines


def _gain(name: str, at: Crossing | None, none: str) -> str:
    if at is None:
        return none
    return f"{name} {number(at.at)} takes a mode to the axis{_oscillating(at.frequency)}"
