"""How the site is built: `make docs`. Everything it needs lies here or is installed; nothing is fetched."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import click

import spu
from spu.cli.verbs import VERBS, cli

HERE = Path(__file__).resolve().parent

project, author, version = "spu", "the authors of spu", spu.__version__
release = version
html_title = "spu"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_design",
]
exclude_patterns = ["_build", "gallery/*.txt"]
templates_path = ["templates"]

# --- words -------------------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # `page.md#a-heading` is what links say, here and where Git hosts show the files
suppress_warnings = ["misc.highlighting_failure"]  # consoles and netlists are shown as they are

# --- the public names --------------------------------------------------------------------------------------
# Docstrings are numpy's. Napoleon reads them instead of numpydoc because types stand in annotations, shapes beside
# them, and docstrings say neither twice: `_typed` below puts both where numpy's style has the type.
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
# `Check` and `check` are one file on half of all machines.
autosummary_filename_map = {
    f"spu.{name}": f"spu.{name}_class" for name in spu.__all__ if name[0].isupper() and name.lower() in spu.__all__
}
default_role = "py:obj"
python_use_unqualified_type_names = True
nitpicky = True

# --- the site ----------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {page: [] for page in ("index", "gallery", "benchmarks", "limits", "changelog", "contributing")}
copyright = "the authors of spu; GPL-3.0-or-later"


def _typed(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Put annotations where numpy's style has types: behind the names of parameters and attributes, and as returned."""
    hints, section, place = _annotations(thing), "", len(lines)
    for k, line in enumerate(lines):
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
        elif re.match(r"\s*(\.\. option::|:(type|default|required|options):)", line):
            found.append(line)
        else:
            found.append(re.sub(r"([*`|_\\])", r"\\\1", line))
    lines[:] = found


def _pages_of_verbs() -> None:
    """A page a verb, from its own `--help`."""
    folder = HERE / "reference" / "command_line"
    folder.mkdir(exist_ok=True)
    for verb in VERBS:
        module = cli.get_command(click.Context(cli), verb).callback.__module__
        text = f"```{{click}} {module}:command\n:prog: spu {verb}\n:nested: full\n```\n"
        path = folder / f"{verb}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Any) -> None:
    """Join what is above."""
    _pages_of_verbs()
    for part in ("description", "options", "arguments", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _plain)
    app.connect("autodoc-process-docstring", _typed, priority=100)  # before napoleon
    app.connect("missing-reference", _unlinked)
