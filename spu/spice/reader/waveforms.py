"""The values of waveforms at the start: what ngspice takes for a source without ``dc`` in an operating point."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, floor, pi, radians, sin

STARTS = ("sin", "sine", "pulse", "pwl", "exp", "sffm", "am")
"""Waveforms whose value at the start is known."""


def at_start(kind: str, given: Sequence[float]) -> float | None:
    """Value of a waveform at time zero; None where it depends on the analysis (or on numbers that are not there).

    Parameters
    ----------
    kind:
        One of `STARTS`.
    given:
        Its numbers, in the order and units of ngspice.
    """
    numbers = list(given)
    if not numbers:
        return None
    if kind == "pwl":
        return _pwl(numbers)
    if len(numbers) < 2:
        return None
    if kind == "am":  # nothing before its delay, and a sine of zero at it
        return 0.0 if len(numbers) < 5 or numbers[4] >= 0 else None
    return {"sin": _sin, "sine": _sin, "pulse": _pulse, "exp": _exp, "sffm": _sffm}[kind](numbers)


def _sin(numbers: list[float]) -> float | None:
    offset, amplitude, frequency, delay, damping, phase = [*numbers, *[0.0] * 6][:6]
    since = max(0.0, -delay)
    if since > 0 and len(numbers) < 3:
        return None
    return offset + amplitude * sin(2.0 * pi * frequency * since + radians(phase)) * exp(-since * damping)


def _pulse(numbers: list[float]) -> float | None:
    first, second, delay, rise, fall, width, period = [*numbers, *[0.0] * 7][:7]
    since = -delay
    if since <= 0:
        return first
    if len(numbers) < 7 or min(rise, fall, width, period) <= 0:  # by default as long as the analysis says
        return None
    if since > period:
        since -= period * floor(since / period)
    if since <= 0 or since >= rise + width + fall:
        return first
    if since < rise:
        return first + (second - first) * since / rise
    return second if since <= rise + width else second + (first - second) * (since - rise - width) / fall


def _exp(numbers: list[float]) -> float | None:
    first, second, delay, constant, back, other = [*numbers, *[0.0] * 6][:6]
    if -delay <= 0:
        return first
    if len(numbers) < 6 or min(constant, other) <= 0:
        return None
    value = first + (second - first) * (1.0 - exp(delay / constant))
    return value + (first - second) * (1.0 - exp(back / other)) if -back > 0 else value


def _sffm(numbers: list[float]) -> float | None:
    if len(numbers) < 5:
        return None
    offset, amplitude, _, index, _, carrier, signal = [*numbers, 0.0, 0.0][:7]
    return offset + amplitude * sin(index * sin(radians(signal)) + radians(carrier))


def _pwl(numbers: list[float]) -> float | None:
    times, values = numbers[::2], numbers[1::2]
    if len(times) != len(values):
        return None
    if times[0] >= 0:
        return values[0]
    for k in range(len(times) - 1):
        if times[k + 1] >= 0:
            return values[k] + (values[k + 1] - values[k]) * -times[k] / (times[k + 1] - times[k])
    return values[-1]
