"""Completion: what a shell is told when it asks, and that a shell asks as it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from spu.cli import cli
from spu.cli.completion import SHELLS
from spu.cli.names import VARIABLE
from spu.cli.train import TRAININGS
from spu.cli.verbs import VERBS
from spu.spice.simulators import SIMULATORS

SPU = Path(sys.executable).with_name("spu")

COMPLETED = [
    ("ch", ["check", "characterise"]),
    ("train e", ["evolve"]),
    ("train evolve c", ["cosine"]),
    ("check --sim", ["--simulator"]),
    ("check out --simulator ng", [name for name in SIMULATORS if name.startswith("ng")]),
    ("check out --level ", ["ideal", "answer", "op", "ac", "replay", "noise"]),
    ("check out --level op --level a", ["answer", "ac"]),
    ("report out --level r", ["replay"]),
    ("report out --format ", ["html", "md"]),
    ("compile a.csv --dialect xy", ["xyce"]),
    ("export out --dialect sp", ["spectre"]),
    ("export out --format k", ["kicad"]),
    ("compile a.csv --hardware spu8-s", ["spu8-switched"]),
    ("compile a.csv --architecture rc-t", ["rc-transconductor"]),
    ("compile a.csv --task net", ["network"]),
    ("compile a.csv --rounding c", ["codes"]),
    ("compile a.csv --correction first", ["first-order"]),
    ("compile a.csv --detail no", ["none", "node", "noise"]),
    ("compile a.csv --detail switch,nod", ["switch,node"]),
    ("simulate out --scheme b", ["baoab"]),
    ("yield out --metric gain", ["gain-margin"]),
    ("scaling det", ["determinant"]),
    ("anneal a.toml --by n", ["noise"]),
    ("completion ", ["bash", "zsh", "fish"]),
]


def asked(line: str) -> tuple[list[str], str]:
    *words, incomplete = line.split(" ")
    return words, incomplete


@pytest.mark.parametrize(("line", "expected"), COMPLETED, ids=[line for line, _ in COMPLETED])
def test_what_is_completed(line, expected):
    found = ShellComplete(cli, {}, "spu", VARIABLE).get_completions(*asked(line))
    assert [item.value for item in found] == expected


@pytest.mark.parametrize(
    ("line", "kind"), [("predict ", "file"), ("compile a.csv -o ", "file"), ("check out ", "file")]
)
def test_files_are_the_shells_own(line, kind):
    assert [item.type for item in ShellComplete(cli, {}, "spu", VARIABLE).get_completions(*asked(line))] == [kind]


def test_a_simulator_that_is_added_is_completed(monkeypatch):
    monkeypatch.setitem(SIMULATORS, "ngspice-nightly", object())
    found = ShellComplete(cli, {}, "spu", VARIABLE).get_completions(["check", "out", "--simulator"], "ngspice-")
    assert "ngspice-nightly" in [item.value for item in found]


OWN = {"--clamp", "--unit", "--fit", "--cell", "--probe", "--silent", "--density", "--map"}
"""Names that only the user's files know."""


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {verb: cli.get_command(context, verb) for verb in VERBS}
    trainings = found.pop("train")
    return found | {f"train {name}": trainings.get_command(context, name) for name in TRAININGS}


@pytest.mark.parametrize("verb", commands())
def test_every_option_that_takes_a_name_knows_them(verb):
    command = commands()[verb]
    for parameter in command.params:
        named = isinstance(parameter.type, click.types.StringParamType) and "NAME" in (parameter.metavar or "")
        if not named or parameter.opts[-1] in OWN:
            continue
        with click.Context(command) as context:
            found = parameter.shell_complete(context, "")
        assert len(found) > 1 or "--simulator" in parameter.opts, parameter.opts


# --- in a shell ----------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return os.environ | {"PATH": os.pathsep.join([str(SPU.parent), os.environ["PATH"]])}


@pytest.mark.parametrize("line", ["ch", "check out --simulator ng", "compile a.csv --detail switch,nod"])
def test_bash_completes(line):
    """As the shell does it: what it sources, the words so far, the function that it calls."""
    words, incomplete = asked(line)
    script = """
        eval "$(spu completion bash)"
        complete -p spu
        COMP_WORDS=(spu "$@") COMP_CWORD=$#
        _spu_completion spu "${@: -1}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words, incomplete],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    first, *found = done.stdout.splitlines()
    assert first == "complete -o nosort -F _spu_completion spu"
    assert found == dict(COMPLETED)[line] and not done.stderr


def test_fish_completes():
    """Where there is a fish; its script is the same everywhere."""
    script = CliRunner().invoke(cli, ["completion", "fish"]).stdout
    assert "complete --no-files --command spu" in script and f"{VARIABLE}=fish_complete" in script
    if (fish := shutil.which("fish")) is None:
        return
    done = subprocess.run(
        [fish, "--no-config", "-c", "spu completion fish | source; complete -C 'spu check out --level a'"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["ac", "answer"]


def test_zsh_is_told():
    script = CliRunner().invoke(cli, ["completion", "zsh"]).stdout
    assert script.startswith("#compdef spu") and f"{VARIABLE}=zsh_complete" in script


@pytest.mark.parametrize("shell", SHELLS)
def test_the_line_that_a_shell_takes_is_said(shell):
    from json import loads

    found = loads(CliRunner().invoke(cli, ["completion", shell, "--json"]).stdout)
    assert found["line"] in CliRunner().invoke(cli, ["completion", "--help"]).stdout
    assert found["script"] == CliRunner().invoke(cli, ["completion", shell]).stdout.rstrip("\n")


def test_what_goes_wrong_is_not_said_into_the_line(tmp_path):
    """A register that cannot be imported, a shell that there is not: no word, and a status."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['spu.spice.dialects'] = None\n")
    about = {"COMP_WORDS": "spu export out --dialect ", "COMP_CWORD": "4", "PYTHONPATH": str(tmp_path)}
    for instruction in ("bash_complete", "tcsh_complete", "bash_nothing"):
        done = subprocess.run(
            [SPU], env=os.environ | about | {VARIABLE: instruction}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
