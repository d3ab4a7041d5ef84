"""What users name: rules for names that reach a netlist, and help with words that are not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from spu.base.errors import InputError

__all__ = [
    "check_name",
    "check_names",
    "first_line",
    "shorten",
    "suggest",
]

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


def check_name(name: object, what: str, file: str | Path | None = None, line: int | None = None) -> str:
    """Check one name that will become a SPICE node or element name.

    Parameters
    ----------
    name:
        The name; 1 to 64 ASCII letters, digits and underscores.
    what:
        What is being named, for the message, with its article ("a variable").
    file, line:
        Where the name was written, if it was in a file.

    Returns
    -------
    str
        The name, unchanged.

    Raises
    ------
    InputError
        If the name breaks the rule.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InputError(
            f"{shorten(name)} cannot name {what}: use 1 to 64 of A-Z, a-z, 0-9 and _",
            file=file,
            line=line,
        )
    return name


def check_names(
    names: Iterable[object], what: str, file: str | Path | None = None, line: int | None = None
) -> tuple[str, ...]:
    """Check a list of names, which must also differ by more than case (SPICE ignores case).

    Parameters
    ----------
    names:
        The names, in order. A bare string is refused: it would be read letter by letter.
    what, file, line:
        As for `check_name`.

    Returns
    -------
    tuple of str
        The names, unchanged and in order.

    Raises
    ------
    InputError
        If a name breaks the rule of `check_name`, or two names are equal but for case.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise InputError(f"{shorten(names)} is not a list of names", file=file, line=line)
    checked = tuple(check_name(name, what, file, line) for name in names)
    seen: dict[str, str] = {}
    for name in checked:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} cannot both name {what}: SPICE ignores case",
                file=file,
                line=line,
            )
    if len(seen) < len(checked):
        twice = next(name for name in checked if checked.count(name) > 1)
        raise InputError(f"{twice!r} cannot name {what} twice", file=file, line=line)
    return checked


def suggest(word: object, valid: Iterable[str]) -> str:
    """Say which valid words there are, the nearest to `word` first in line.

    Parameters
    ----------
    word:
        What the user wrote.
    valid:
        The words that would have been right.

    Returns
    -------
    str
        ``"did you mean 'b'? (valid: a, b, c)"``, or ``"valid: a, b, c"`` if nothing is near.
    """
    words = list(valid)
    near = difflib.get_close_matches(str(word).lower()[:80], words, n=1, cutoff=0.5)
    listed = f"valid: {', '.join(words)}"
    return f"did you mean {near[0]!r}? ({listed})" if near else listed


def shorten(value: object, limit: int = 60) -> str:
    """Give the ``repr`` of a value, cut to fit a one-line message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def first_line(error: BaseException) -> str:
    """Quote a foreign error in one printable line."""
    lines = str(error).strip().splitlines()
    text = lines[0][:200] if lines else type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)
