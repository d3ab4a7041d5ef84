"""What the site adds to Sphinx: types in the pages of public names, and a page for every verb.

A Sphinx extension of its own, beside `conf.py`, which names it.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import click
from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

import spu
from spu.base.display import Result
from spu.base.errors import SpuError
from spu.cli.verbs import VERBS, cli

HERE = Path(__file__).resolve().parent


def _typed(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Put annotations where numpy's style has types: behind the names of parameters and attributes, and as returned."""
    if inspect.isclass(thing):
        _with_inherited(thing, lines)
    hints, section, place = _annotations(thing), "", len(lines)
    for k, line in enumerate(lines):
        lines[k] = re.sub(r"^( +[A-Z])\. ", r"\1\\. ", line)  # kelvin, or farads: no item of a list
        if k + 1 < len(lines) and line and set(lines[k + 1]) == {"-"}:
            section = line
            place = min(place, k) if section in _BEHIND_RETURNS else place
        elif section in ("Parameters", "Attributes") and re.fullmatch(r"[*\w][*\w, ]*:", line):
            names = [each.strip().lstrip("*") for each in line[:-1].split(",")]
            said = list(dict.fromkeys(hints[each] for each in names if each in hints))
            lines[k] = f"{line[:-1]} : {_linked(' or '.join(said))}" if said else line[:-1]
        elif section in ("Parameters", "Attributes") and (stated := re.fullmatch(r"([*\w][*\w, ]*) : (.+)", line)):
            lines[k] = f"{stated[1]} : {_linked(stated[2])}"
    returned = hints.get("return", "None")
    if what in ("function", "method") and returned != "None" and not {"Returns", "Yields"} & set(lines):
        lines[place:place] = ["", "Returns", "-------", _linked(returned), ""]


def _of_attributes(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Set the type in front of what an attribute is; napoleon takes what is before a colon for one."""
    if what not in ("property", "attribute") or not lines:
        return
    owner = getattr(spu, name.split(".")[1])
    said = _annotations(owner).get(name.split(".")[-1])
    _DESCRIBED[name] = [f"{_linked(said)} -- {re.sub(_SHAPE, '', lines[0])}" if said else lines[0], *lines[1:]]
    lines[:] = ["see below"]


def _described(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Put back what `_of_attributes` took."""
    lines[:] = _DESCRIBED.pop(name, lines)


_DESCRIBED: dict[str, list[str]] = {}

_SHAPE = r"^\([\w, +*-]*\) "  # of an array, where a docstring begins with it


def _with_inherited(thing: type, lines: list[str]) -> None:
    """Put the attributes that the docstrings of the classes above describe below a class's own."""
    own = [*lines, ""]
    more = [row for base in thing.__mro__[1:] if base.__module__.startswith("spu.") for row in _attributes_of(base)]
    rows = _attributes_of(thing)
    known = {name for row in rows for name in row[0].rstrip(":").split(", ")}
    rows = [row for row in more if not known & set(row[0].rstrip(":").split(", "))]
    if not rows:
        return
    if "Attributes" not in own:
        place = own.index("Examples") if "Examples" in own else len(own)
        own[place:place] = ["Attributes", "----------", ""]
    start = own.index("Attributes") + 2
    end = next((k for k in range(start, len(own) - 1) if own[k] and set(own[k + 1]) == {"-"}), len(own))
    while not own[end - 1] and end > start:
        end -= 1
    own[end:end] = [line for row in rows for line in row]
    lines[:] = own


def _attributes_of(thing: type) -> list[list[str]]:
    """The rows of its own docstring's section ``Attributes``: a line of names, then what they are."""
    text = inspect.cleandoc(vars(thing).get("__doc__") or "").partition("\nAttributes\n----------\n")[2]
    rows: list[list[str]] = []
    lines = text.splitlines()
    for k, line in enumerate(lines):
        if not line or (k + 1 < len(lines) and set(lines[k + 1]) == {"-"}):
            break
        if line.startswith(" "):
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


_BEHIND_RETURNS = ("Raises", "Warns", "Notes", "See Also", "Examples")


def _annotations(thing: Any) -> dict[str, str]:
    """Of a function's parameters, of a class's fields and properties: as they are written, but for shapes."""
    found: dict[str, Any] = {}
    if inspect.isclass(thing):
        for base in reversed(thing.__mro__[:-1]):
            for name, each in vars(base).items():
                getter = getattr(each, "fget", None) or getattr(each, "func", None)  # of properties, of kept ones
                found[name] = getattr(getter, "__annotations__", {}).get("return")
            found |= vars(base).get("__annotations__", {})
        found |= getattr(vars(thing).get("__init__"), "__annotations__", {})
    else:
        found = getattr(thing, "__annotations__", {})
    return {name: _shaped(hint) for name, hint in found.items() if isinstance(hint, str)}


def _shaped(hint: str) -> str:
    """``Annotated[FloatArray, "n p"] | None`` is ``FloatArray (n, p) | None``."""

    def shape(match: re.Match[str]) -> str:
        sizes = match[2].split()
        return f"{match[1]} ({', '.join(sizes)}{',' * (len(sizes) == 1)})"

    return re.sub(r"Annotated\[(.+?), [\"']([^\"']*)[\"']\]", shape, hint)


def _linked(hint: str) -> str:
    """Of a type, the public names with links, the rest in italics; joined by escaped blanks, which vanish."""
    pieces = re.split(r"(?<![\w.])(\w+)(?![\w.])", hint)
    found, plain = [], ""
    for piece in [*pieces, None]:
        if piece is None or piece in spu.__all__:
            found += [re.sub(r"\S(.*\S)?", r":emphasis:`\g<0>`", plain), f":py:obj:`~spu.{piece}`"]
            plain = ""
        else:
            plain += piece
    return "\\ ".join(filter(None, found[:-1]))


def _unlinked(app: Any, env: Any, node: Any, contnode: Any) -> Any:  # noqa: ARG001
    """Names that are not public, and attributes, are shown without a link; a public name that is lost is an error."""
    if node.get("refdomain") != "py":
        return None
    name, *attributes = node["reftarget"].removeprefix("spu.").split(".")
    if name not in spu.__all__:
        return contnode
    known = _annotations(getattr(spu, name)).keys() | set(dir(getattr(spu, name)))
    return contnode if attributes and attributes[0] in known else None


def _plain(app: Any, ctx: Any, lines: list[str]) -> None:  # noqa: ARG001
    """What `--help` says is no reStructuredText: signs are signs, and what click was told to leave alone is a block."""
    found: list[str] = []
    for line in lines:
        if line.startswith("| "):
            found += [] if found and found[-1].startswith("    ") else ["::", ""]
            found.append(f"    {line[2:]}")
        elif field := re.match(r"(\s+):(\w+): *(.*)", line):
            found.append(f"{field[1]}{field[2].capitalize()}: {field[3]}")
        elif line.strip().startswith(".. option::"):
            found.append(line)
        else:
            signs = re.sub(r"([*`|_\\])", r"\\\1", line)
            found.append(re.sub(r"(?<!\S)--?[a-z][a-z-]*", r"``\g<0>``", signs))
    lines[:] = found


def _pages_of_verbs() -> None:
    """A page a verb, from its own `--help`."""
    folder = HERE / "reference" / "command_line"
    folder.mkdir(exist_ok=True)
    for verb in VERBS:
        module = cli.get_command(click.Context(cli), verb).callback.__module__
        text = f".. click:: {module}:command\n   :prog: spu {verb}\n   :nested: full\n"
        path = folder / f"{verb}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _signature(app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, _: Any) -> Any:  # noqa: ARG001
    """No private arguments, and none of what nobody makes by hand."""
    if signature is None:
        return None
    if what == "class" and issubclass(thing, (Result, SpuError)):
        return "", None
    return re.sub(r"(?<=[(, ])_\w+=[^,)]*, ", "", signature), None


def _math(self: Any, node: Any) -> None:
    """Write a formula as MathML, which browsers draw by themselves: nothing is fetched."""
    self.body.append(tex2mathml(node.astext()))
    raise SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Join what is above."""
    _pages_of_verbs()
    app.add_html_math_renderer("mathml", inline_renderers=(_math, None), block_renderers=(_math, None))
    for part in ("description", "options", "arguments", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _plain)
    app.connect("autodoc-process-docstring", _of_attributes, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", _typed, priority=100)
    app.connect("autodoc-process-docstring", _described, priority=900)  # behind it
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _unlinked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
