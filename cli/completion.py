"""``spu completion``: the script by which a shell completes command lines."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class, shell_complete

from .common import json_option, print_json
from .names import VARIABLE

SHELLS = {
    "bash": ("~/.bashrc", 'eval "$(spu completion bash)"'),
    "zsh": ("~/.zshrc, below compinit", 'eval "$(spu completion zsh)"'),
    "fish": ("~/.config/fish/completions/spu.fish", "spu completion fish | source"),
}
"""Where a shell is told about it, and the line to write there."""


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(list(SHELLS)))
@json_option
def command(shell: str, as_json: bool) -> int:
    """Print what makes SHELL complete verbs, options, files and names: bash, zsh or fish.

    \b
      eval "$(spu completion bash)"                 in ~/.bashrc
      eval "$(spu completion zsh)"                  in ~/.zshrc, below compinit
      spu completion fish | source                  in ~/.config/fish/completions/spu.fish
    """  # noqa: D301 - click wants the control character
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(click.get_current_context().find_root().command, {}, "spu", VARIABLE).source().rstrip()
    where, line = SHELLS[shell]
    if as_json:
        print_json({"shell": shell, "script": script, "file": where, "line": line})
    else:
        click.echo(script)
    return 0


def answer(group: click.Group, instruction: str) -> int:
    """Answer a shell that asks, and give the exit status; what goes wrong is not for the line that is being typed."""
    try:
        return shell_complete(group, {}, "spu", VARIABLE, instruction)
    except Exception:
        if os.environ.get("SPU_TRACEBACK"):
            raise
        return 1
