"""Pages of docs/ whose code runs as it stands: Python in one namespace, commands in the same folder.

What a line prints is what its comment says: ``print(x)  # 1.5``.
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

from spu.cli import cli

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = DOCS.parent / "examples"

PAGES = (
    "explanation/cost.md",
    "explanation/nonidealities.md",
    "howto/calibration.md",
    "howto/characterisation.md",
    "howto/linear_algebra.md",
    "howto/optimisation.md",
    "howto/waveforms.md",
    "howto/yield.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("petersen.toml", "club8.toml", "club8.csv", "board8.toml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {}
    for language, block in blocks:
        if language == "python":
            _run(block, page, namespace)
            continue
        for line in block.splitlines():
            verb, *words = shlex.split(line)
            assert verb == "spu", line
            result = CliRunner().invoke(cli, words)
            assert result.exit_code == 0, f"{line}\n{result.output}"


def _run(block, page, namespace):
    """Statement by statement, each held against the comment behind it."""
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(ast.Module([statement], []), page, "exec"), namespace)
        _, found, expected = lines[statement.end_lineno - 1].partition("  # ")
        if found and isinstance(statement, ast.Expr):
            assert said.getvalue().rstrip("\n") == expected, lines[statement.end_lineno - 1]
