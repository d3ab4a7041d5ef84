"""Numbers and quantities as people read them."""

from __future__ import annotations

import math

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def engineering(value: float | None, unit: str, digits: int = 3) -> str:
    """Write a quantity as engineers do: ``engineering(1.01e-4, "V")`` is ``101 uV``."""
    if value is None or not math.isfinite(value):
        return "-" if value is None else f"{value} {unit}"
    if value == 0:
        return f"0 {unit}"
    # Rounding first: 999.9 nF with three digits is 1 uF.
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = 3 * math.floor(math.log10(abs(rounded)) / 3 + 1e-12)
    if exponent not in _PREFIXES:
        return f"{value:.{digits}g} {unit}"
    return f"{rounded / 10.0**exponent:.{digits}g} {_PREFIXES[exponent]}{unit}"


_SPICE = {**_PREFIXES, 6: "Meg"}


def compact(value: float, digits: int = 7) -> str:
    """Write a number as parts of circuits have it, with SPICE's letters: ``1.344n``, ``10u``, ``2Meg``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = 3 * math.floor(math.log10(abs(rounded)) / 3 + 1e-12)
    if exponent not in _SPICE:
        return f"{rounded:.{digits}g}"
    return f"{rounded / 10.0**exponent:.{digits}g}{_SPICE[exponent]}"


def number(value: float | None, digits: int = 4) -> str:
    """Write a number without unit, or a dash for none."""
    return "-" if value is None else f"{value:.{digits}g}"


def small(value: float | None) -> str:
    """Write an error or tolerance, or a dash for none."""
    return "-" if value is None else f"{value:.1e}" if value else "0"


def share(value: float | None) -> str:
    """Write a relative size: per cent where that reads well."""
    if value is None:
        return "-"
    if 0.995 <= value < 10:
        return f"{100 * value:.0f} %"
    return f"{100 * value:.2g} %" if 1e-4 <= value < 1 else small(value)


def plural(count: int, noun: str, several: str | None = None) -> str:
    """``1 cell``, ``2 cells``; ``several`` for nouns whose plural has no plain s."""
    return f"{count} {noun}" if count == 1 else f"{count} {several or noun + 's'}"


def in_words(seconds: float) -> str:
    """A time that is known about: ``about 40 s``."""
    digits = -math.floor(math.log10(max(seconds, 1.0)))
    if seconds < 100:
        return f"about {max(round(seconds, digits), 1):.0f} s"
    for unit, size in (("min", 60), ("h", 3600)):
        if seconds < 100 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds / 86400:.0f} days"
