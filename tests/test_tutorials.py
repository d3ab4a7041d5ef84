"""README.md and the tutorials: their code runs as it stands, and prints what they say it prints.

A block of Python runs statement by statement; what a line prints is what the comment behind it says. A block of shell
runs in a folder that has the examples; ``# exit status 1`` behind a command says that it ends so. A block of text
behind either is what a reader sees: each of its lines is one of those printed, in their order; columns at its end may
be left out, and ``...`` stands for anything. Numbers agree to 2 %; those written with an exponent are errors that
hang on rounding, and agree to a factor of three.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from spu.cli import cli

ROOT = Path(__file__).parents[1]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("[!i]*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_reader_types_gives_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    for file in (ROOT / "examples").iterdir():
        if file.suffix in (".csv", ".json", ".mtx", ".npz", ".toml"):
            shutil.copy(file, tmp_path / "examples")
    blocks = re.findall(r"^```(python|sh|text)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} & {"python", "sh"}
    namespace: dict[str, object] = {}
    printed = ""
    for language, block in blocks:
        if language == "python":
            printed = run_python(block, str(page), namespace)
        elif language == "sh":
            printed = "".join(run_shell(line) for line in block.splitlines() if line)
        else:
            shows(block, printed)


def run_python(block: str, name: str, namespace: dict[str, object]) -> str:
    lines = block.splitlines()
    printed = ""
    for statement in ast.parse(block).body:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
        _, found, expected = lines[statement.end_lineno - 1].partition("  # ")
        if found and isinstance(statement, ast.Expr):
            assert said.getvalue().rstrip("\n") == expected, lines[statement.end_lineno - 1]
        printed += said.getvalue()
    return printed


def run_shell(line: str) -> str:
    """One command: ours in this process, others by the shell."""
    wanted = re.search(r"# exit status (\d+)", line)
    words = shlex.split(line, comments=True)
    if words[0] == "spu":
        result = CliRunner().invoke(cli, words[1:])
        status, printed = result.exit_code, result.output
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            line, shell=True, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        status, printed = done.returncode, done.stdout + done.stderr
    assert status == (int(wanted[1]) if wanted else 0), f"{line}\n{printed}"
    return printed


def shows(block: str, printed: str) -> None:
    """Every line of the block is one of those printed, in their order."""
    rest = iter(printed.splitlines())
    for line in block.splitlines():
        if line.strip() not in ("", "..."):
            assert any(alike(line, each) for each in rest), f"not printed, or not in this order: {line}\n\n{printed}"


def alike(shown: str, printed: str) -> bool:
    words, others = shown.split(), printed.split()
    if words and words[-1] == "...":
        words = words[:-1]
    return len(words) <= len(others) and all(map(same, words, others))


def same(shown: str, printed: str) -> bool:
    if shown in (printed, "..."):
        return True
    pattern = r"([^\d+-]*)([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(\D*)"
    a, b = re.fullmatch(pattern, shown), re.fullmatch(pattern, printed)
    if not a or not b or (a[1], a[3]) != (b[1], b[3]):
        return False
    x, y = float(a[2]), float(b[2])
    return abs(x - y) <= 0.02 * abs(y) or ("e" in a[2].lower() and 1 / 3 <= x / y <= 3)


@pytest.mark.parametrize(
    ("shown", "printed", "agree"),
    [
        ("  x1  0.668  4.0e-07", "  x1  0.6679  3.1e-07  yes", True),
        ("  x1  0.668", "  x1  0.7", False),
        ("  x1  0.668", "  x2  0.668", False),
        ("hash ...; 3 cells", "hash 7d71; 3 cells", False),
        ("hash ... 3 cells", "hash 7d71; 3 cells", True),
        ("off by 4.0e-07", "off by 4.0e-05", False),
        ("PASS: all", "FAIL: all", False),
    ],
)
def test_what_is_shown_and_what_is_printed(shown, printed, agree):
    assert alike(shown, printed) == agree


def test_the_readme_is_short_enough_to_be_read():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 150


def test_the_picture_of_the_readme_is_there_and_says_how_it_is_made():
    text = PAGES[0].read_text(encoding="utf-8")
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert len(pictures) == 2
    for picture in pictures:
        assert (ROOT / picture).is_file()
    (script,) = set(re.findall(r"docs/pictures/\w+\.py", text.replace("\n", "")))
    assert (ROOT / script).is_file()
