"""The floors of the house: every file imports only what stands on its own floor or below, and no file imports itself.

All kinds of import count: at the top of a file, inside a function, under TYPE_CHECKING.
"""

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    "base",
    "problems",
    "circuit",
    "device",
    "emulator",
    "spice",
    "export",
    "compiler",
    "folder",
    "crosscheck",
    "studies",
    "reports",
)
"""From the lowest up; the public names (``spu/__init__.py``) stand on all of them, the command line on those."""


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its name; the command line is installed as ``spu.cli``."""
    found = {}
    for path in [*root.glob("spu/**/*.py"), *root.glob("cli/*.py")]:
        parts = list(path.relative_to(root).with_suffix("").parts)
        parts = ["spu", *parts] if parts[0] == "cli" else parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> dict[str, int]:
    """The modules that a module imports, with the line of the first import."""
    here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            targets = [f"{module}.{a.name}" if f"{module}.{a.name}" in known else module for a in node.names]
        for target in targets:
            if target in known and target != name:
                found.setdefault(target, node.lineno)
    return found


def floor(name: str) -> int:
    room = name.split(".")[1] if "." in name else ""
    if room in FLOORS:
        return FLOORS.index(room)
    return len(FLOORS) + (room == "cli")


def faults(root: Path) -> list[str]:
    known = modules(root)
    arrows = {name: imported(name, path, known) for name, path in known.items()}
    found = [
        f"{known[name].relative_to(root)}:{line} imports {target}, which stands above it"
        for name, targets in sorted(arrows.items())
        for target, line in targets.items()
        if floor(target) > floor(name)
    ]
    graph = nx.DiGraph((name, target) for name, targets in arrows.items() for target in targets)
    knots = (sorted(knot) for knot in nx.strongly_connected_components(graph) if len(knot) > 1)
    return found + [f"these import each other: {', '.join(knot)}" for knot in knots]


def test_imports_go_down():
    assert faults(ROOT) == []


def test_rooms_are_few_and_named():
    entries = {
        path.name for path in (ROOT / "spu").iterdir() if path.name not in ("__init__.py", "py.typed", "__pycache__")
    }
    assert entries == set(FLOORS)


@pytest.mark.parametrize(
    "line",
    [
        "from spu.device.device import Device",
        "def f():\n    from spu.device.device import Device",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spu.device.device import Device",
        "import spu.device.device",
        "from ..device import device",
    ],
)
def test_an_import_from_above_is_seen(tmp_path, line):
    for file, text in {
        "spu/__init__.py": "",
        "spu/device/__init__.py": "",
        "spu/device/device.py": "",
        "spu/base/__init__.py": "",
        "spu/base/names.py": line + "\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    (fault,) = faults(tmp_path)
    assert fault.startswith("spu/base/names.py:") and "spu.device.device" in fault


def test_a_knot_on_one_floor_is_seen(tmp_path):
    (tmp_path / "spu/base").mkdir(parents=True)
    for file, text in {
        "__init__": "",
        "a": "from spu.base import b\n",
        "b": "def f():\n    from spu.base.a import g\n",
    }.items():
        (tmp_path / f"spu/base/{file}.py").write_text(text)
    assert faults(tmp_path) == ["these import each other: spu.base.a, spu.base.b"]
