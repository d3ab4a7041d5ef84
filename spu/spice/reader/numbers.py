"""Numbers as SPICE writes them: ``4.7k``, ``10uF``, ``1meg``."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)([a-z]*)([a-z0-9_.]*)")
_SCALES = {"t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_PREFIXES = ("meg", *_SCALES)  # before m
_UNITS = frozenset(
    ("", "v", "volt", "volts", "a", "amp", "amps", "ohm", "ohms", "r", "f", "farad", "farads", "h", "henry", "s", "sec")
) | {"hz", "mho", "mhos", "siemens", "w", "watt"}


def parse_number(text: str) -> float:
    """Read a number with a scale factor and a unit.

    ``m`` is milli whatever its case, ``meg`` mega; ``1F`` is a femto, as in every SPICE. What simulators
    read in different ways is refused: ``4k7``, ``1mil``, ``1A`` (ampere, or atto).

    Parameters
    ----------
    text:
        Upper or lower case.

    Raises
    ------
    ValueError
        With what would be right.
    """
    found = _NUMBER.fullmatch(text.lower())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a number")
    mantissa, letters, tail = found.groups()
    if tail:
        raise ValueError(f"{text[:40]!r} is read differently by different simulators: write 4.7k, not 4k7")
    scale, unit = 1.0, letters
    if letters.startswith("mil"):
        raise ValueError(f"{text[:40]!r} is read differently by different simulators: write it without mil")
    for prefix in _PREFIXES if letters else ():
        if letters.startswith(prefix) and letters[len(prefix) :] in _UNITS:
            scale, unit = _SCALES[prefix], letters[len(prefix) :]
            break
    # A unit alone must not begin like a scale factor: one farad is a femto, one ampere may be an atto.
    if unit not in _UNITS or (scale == 1.0 and unit[:1] in tuple("tgkmunpfa") and unit):
        raise ValueError(
            f"{text[:40]!r}: {letters!r} is no scale factor that all simulators know "
            "(T, G, MEG, k, m, u, n, p, f, with a unit behind or none)"
        )
    value = float(mantissa) * scale
    # 4.7 * 1e-9 is not the double nearest to 4.7e-9, which is what the decimal number means.
    if scale != 1.0 and "e" not in mantissa:
        value = float(f"{mantissa}e{round(math.log10(scale))}")
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is too large")
    return value
