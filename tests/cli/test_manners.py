"""Manners of the command line: what is said beside results, to whom, and that it can be kept quiet."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from spu.cli import cli, common
from spu.cli.train import TRAININGS
from spu.cli.verbs import VERBS

SPU = Path(sys.executable).with_name("spu")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manners")
    (folder / "a.csv").write_text("2,-0.5\n-0.5,1\n")
    done = CliRunner().invoke(cli, ["compile", str(folder / "a.csv"), "-o", str(folder / "out"), "--quiet"])
    assert done.exit_code == 0
    return folder / "out"


def on_terminal(*words: str, **environment: str) -> tuple[str, str]:
    """Stdout through a pipe, and what stderr has on a terminal."""
    theirs, ours = pty.openpty()
    done = subprocess.run(
        [SPU, *words], stdout=subprocess.PIPE, stderr=ours, env=os.environ | environment, text=True, check=True
    )
    os.close(ours)
    shown = b""
    try:
        while part := os.read(theirs, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(theirs)
    return done.stdout, shown.decode()


# --- quiet ---------------------------------------------------------------------------------


def test_every_verb_can_be_quiet():
    context = click.Context(cli)
    commands = {verb: cli.get_command(context, verb) for verb in VERBS if verb != "train"}
    train = cli.get_command(context, "train")
    commands |= {f"train {name}": train.get_command(context, name) for name in TRAININGS}
    for verb, command in commands.items():
        assert any("--quiet" in parameter.opts for parameter in command.params), verb


def test_a_hint_is_no_result(out):
    words = ["compile", str(out.parent / "a.csv"), "-o", str(out.parent / "other"), "--force"]
    loud, quiet = (CliRunner().invoke(cli, [*words, *more]) for more in ([], ["-q"]))
    assert "\nnext: spu check" in loud.stdout
    assert quiet.stdout == loud.stdout.partition("\nnext: ")[0]


def test_warnings_and_errors_stay(tmp_path):
    (tmp_path / "bad.csv").write_text("1e7,0\n0,1\n")
    done = CliRunner().invoke(cli, ["compile", str(tmp_path / "bad.csv"), "-o", str(tmp_path / "out"), "--quiet"])
    assert done.stderr.startswith("warning: badly conditioned")
    done = CliRunner().invoke(cli, ["predict", str(tmp_path / "nowhere"), "--quiet"])
    assert done.exit_code == 2 and done.stderr.startswith("error: ")


# --- progress ------------------------------------------------------------------------------

LEVELS = ["--level", "ideal", "--level", "answer"]


def test_levels_are_said_on_a_terminal(out):
    stdout, shown = on_terminal("check", str(out), *LEVELS)
    assert shown.splitlines() == [
        "ideal, 1 of 2: emulator against the exact answer",
        "answer, 2 of 2: the netlist as read: answer, modes, spectra",
    ]
    assert "PASS" in stdout
    quiet, shown = on_terminal("check", str(out), *LEVELS, "--quiet")
    assert "PASS" in quiet and shown == ""


def test_a_report_says_its_parts(out):
    _, shown = on_terminal("report", str(out), "-o", str(out.parent / "r.html"), "--level", "ideal", "--samples", "100")
    assert shown.splitlines()[0].startswith("ideal, 1 of 1") and shown.splitlines()[-1] == "pictures"


@pytest.fixture
def impatient(monkeypatch):
    """As if everything took long."""
    monkeypatch.setattr(common, "PATIENCE", 1e-3)
    monkeypatch.setattr(common, "RARELY", 0.02)


def test_where_nobody_looks_short_work_says_nothing(out):
    done = CliRunner().invoke(cli, ["check", str(out), *LEVELS])
    assert (done.exit_code, done.stderr) == (0, "")


def test_where_nobody_looks_long_work_says_whole_lines(out, impatient):
    done = CliRunner().invoke(cli, ["check", str(out), *LEVELS])
    lines = done.stderr.splitlines()
    assert lines and all(line.startswith(("ideal, 1 of 2: emulator", "answer, 2 of 2: the netlist")) for line in lines)
    assert "\r" not in done.stderr and "\x1b" not in done.stderr
    for more in (["--quiet"], ["--json"]):
        assert CliRunner().invoke(cli, ["check", str(out), *LEVELS, *more]).stderr == ""


def test_a_bar_is_lines_elsewhere(out, impatient):
    words = ["simulate", str(out), "--samples", "3000000", "--no-output"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert done.stderr and all(
        re.fullmatch(r"simulating: [0-9]+ of [0-9]+(, about [0-9]+ s left)?", line) for line in done.stderr.splitlines()
    )
    assert CliRunner().invoke(cli, [*words, "--quiet"]).stderr == ""


def test_json_on_a_terminal_is_one_object(out):
    stdout, shown = on_terminal("check", str(out), *LEVELS, "--json")
    assert json.loads(stdout)["verdict"] == "pass" and shown.startswith("ideal, 1 of 2")


def test_a_plan_is_said_wherever_it_is_read(out):
    """What --detect will cost the user has to know; --quiet says that it is known."""
    words = ["check", str(out), "--level", "noise", "--detect", "60%"]
    assert "will be seen" in CliRunner().invoke(cli, [*words, "--json"]).stderr
    assert CliRunner().invoke(cli, [*words, "--json", "--quiet"]).stderr == ""


# --- colours -------------------------------------------------------------------------------


def test_there_are_no_colours(out):
    """On a terminal, too, so that NO_COLOR changes nothing. Only a bar moves the cursor, and not on a dumb terminal."""
    words = ("simulate", str(out), "--samples", "2000", "--no-output")
    _, shown = on_terminal(*words, TERM="xterm-256color")
    assert not re.search(r"\x1b\[[0-9;]*m", shown)
    assert "\x1b" not in on_terminal(*words, TERM="dumb")[1]
