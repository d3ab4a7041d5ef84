"""S-expressions as KiCad 6 writes them: numbers, quoted text, stable identifiers."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1d9c1e-6b0f-5d0a-9d52-6a5b0c0f5e11")


def uuid(*names: str) -> str:
    """The identifier of what these names are the path of: the same in every export."""
    return str(uuid5(_NAMESPACE, "\n".join(names)))


def quoted(text: str) -> str:
    """Text in quotation marks."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def mm(value: float) -> str:
    """A length, mm, to what KiCad keeps of it."""
    return f"{round(value, 4) + 0.0:g}" if abs(value) < 1e4 else f"{value:.4f}"


def at(x: float, y: float, angle: int | None = None) -> str:
    """A place."""
    return f"(at {mm(x)} {mm(y)})" if angle is None else f"(at {mm(x)} {mm(y)} {angle})"


def effects(size: float = 1.27, justify: str = "", *, hide: bool = False, bold: bool = False) -> str:
    """How text looks."""
    font = f"(font (size {mm(size)} {mm(size)}){' bold' if bold else ''})"
    return f"(effects {font}{f' (justify {justify})' if justify else ''}{' hide' if hide else ''})"


def prop(name: str, value: str, number: int, place: str, look: str) -> str:
    """A field of a symbol or sheet."""
    return f"(property {quoted(name)} {quoted(value)} (id {number}) {place} {look})"


def indented(lines: Iterable[str], by: int = 2) -> str:
    """Lines, each further in."""
    return "\n".join(" " * by + line.replace("\n", "\n" + " " * by) for line in lines)
