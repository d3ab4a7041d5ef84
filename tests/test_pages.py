"""Pages of docs/ whose code runs as it stands: Python in one namespace, commands in the same folder.

What a line prints is what its comment says: ``print(x)  # 1.5``. A command may end with ``# exit status 1``, where that
is meant. All files of examples/ lie in the folder, and in ``examples/`` in it. README and tutorials have a test of
their own, which also holds what is printed: `test_tutorials.py`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from engines import needs_vacask

from spu.cli import cli

ROOT = Path(__file__).resolve().parent.parent
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"

ELSEWHERE = {
    "gallery.md": "docs/make_gallery.py runs it, and test_gallery.py holds the page against it",
    "howto/clusters.md": "its script and its commands: tests/studies/test_slurm.py, with a scheduler",
    "howto/extending.md": "each recipe is a module: test_extending.py",
}
"""Pages whose code another test runs."""

NOT_RUN = {
    "howto/evolve.md": "minutes a run: the page has a smaller one",
    "howto/generate.md": "MNIST, and a network of 1,296 units: the page has a smaller one",
    "howto/kicad.md": "pictures that KiCad draws",
    "howto/optimisation.md": "a benchmark of minutes",
    "reference/simulators.md": "node and eecircuit-engine, as in tests/spice/test_ngspice_wasm.py",
}
"""Pages with commands in blocks called ``console``, which nothing runs, and why not."""

LONG = {"howto/classify.md", "howto/evolve.md", "howto/hardware_learning.md", "howto/report.md"}
"""Pages that take more than some ten seconds: for `make test-long`; what is in them has tests of its own."""

NEEDS = {"howto/vacask.md": needs_vacask}
"""Pages whose code wants a program that is not everywhere."""

LANGUAGES = {"python", "sh", "console", "text", "toml", "json", "csv", "spice", "make"}
"""Of blocks: the first two are run; ``console`` are commands that are not, and the others are no code of ours."""


def pages():
    found = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    built = re.compile(r"_build/|tutorials/|reference/api/generated/|reference/command_line/")
    return sorted(name for name in found if not built.match(name))


def blocks(name):
    """(language, text) of a page's fenced blocks."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"^```+([^\n]*)\n(.*?)^```+$", text, flags=re.MULTILINE | re.DOTALL)


def run_pages():
    for name in pages():
        if name not in ELSEWHERE and any(language in ("python", "sh") for language, _ in blocks(name)):
            marks = [*([pytest.mark.long] if name in LONG else []), *([NEEDS[name]] if name in NEEDS else [])]
            yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("page", list(run_pages()))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "*.ipynb"))
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (tmp_path / "schemas").symlink_to(DOCS / "reference" / "schemas")
    namespace: dict[str, object] = {}
    for language, block in blocks(page):
        if language == "python":
            _run(block, page, namespace)
        elif language == "sh":
            for line in block.replace("\\\n", "").splitlines():
                _command(line)


def _command(line):
    words = shlex.split(line, comments=True)
    if not words:
        return
    assert words[0] == "spu", line
    expected = re.search(r"# exit status (\d+)\s*$", line)
    result = CliRunner().invoke(cli, words[1:])
    assert result.exit_code == (int(expected[1]) if expected else 0), f"{line}\n{result.output}"


def _run(block, page, namespace):
    """Statement by statement, each held against the comment behind it."""
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(ast.Module([statement], []), page, "exec"), namespace)
        _, found, expected = lines[statement.end_lineno - 1].partition("  # ")
        if found and ast.unparse(statement).startswith("print("):
            assert said.getvalue().rstrip("\n") == expected, lines[statement.end_lineno - 1]


@pytest.mark.parametrize("page", [name for name in pages() if name not in ELSEWHERE])
def test_blocks_say_what_they_are(page):
    """So that nothing that looks like code is left out: by its language, and by no command in another one."""
    for language, block in blocks(page):
        assert language in LANGUAGES or language.startswith("{"), f"{language or 'no language'}: {block[:60]}"
        assert language != "console" or page in NOT_RUN, f"say in NOT_RUN why it is not run: {block[:60]}"
        assert language in ("sh", "console") or not re.match(r"\$? ?(spu|python) ", block), block[:60]
    text = (DOCS / page).read_text(encoding="utf-8")
    assert not re.findall(r"^    (?:spu|python) [^\n]*", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)


def test_exceptions_are_exceptions():
    assert {*ELSEWHERE, *NOT_RUN, *LONG, *NEEDS} <= set(pages())
    for name in NOT_RUN:
        assert any(language == "console" for language, _ in blocks(name)), f"{name} has no block that is not run"
