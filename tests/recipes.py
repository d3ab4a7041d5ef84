"""The recipes of docs/howto/extending.md as modules: the code of the page is what the tests run."""

import importlib
import re
import sys
from contextlib import contextmanager
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "extending.md"


def sections():
    """``{heading: the text below it}`` of the page."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def code(heading):
    """All Python of a recipe, its blocks one below the other, as somebody would copy them into one file."""
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```$", sections()[heading], flags=re.MULTILINE | re.DOTALL))


@contextmanager
def recipe(heading, folder, registers):
    """Import a recipe as a module of its own, and forget it afterwards.

    Parameters
    ----------
    heading : str
        Its section of the page.
    folder : Path
        Where its file is written.
    registers : sequence of dict
        What it may add to; they are left as they were found.
    """
    name = "recipe_" + re.sub(r"\W+", "_", heading.lower()).strip("_")
    (folder / f"{name}.py").write_text(code(heading), encoding="utf-8")
    found = [dict(register) for register in registers]
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)
        for register, before in zip(registers, found, strict=True):
            register.clear()
            register.update(before)
