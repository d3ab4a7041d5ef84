"""``spu train``: the group of what can be trained, one file each."""

from __future__ import annotations

import importlib

import click

TRAININGS = ("classifier", "evolve", "generative", "natural")


class Trainings(click.Group):
    """Imports the module of a kind, ``train_NAME.py``, when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In alphabetical order."""
        return list(TRAININGS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module."""
        if cmd_name not in TRAININGS:
            return None
        return importlib.import_module(f".train_{cmd_name}", __package__).command


@click.group("train", cls=Trainings)
def command() -> None:
    """Train a thermodynamic network: to make images, to classify them, or by evolution; or a model by its device.

    \b
      spu train generative images.npz -o DIR    then: spu generate DIR -o sheet.png
      spu train classifier images.npz -o DIR    then: spu classify DIR images.npz
      spu train evolve cosine -o DIR
      spu train natural images.npz --classes 3,8     (steps that a linear device makes; nothing is kept)

    DIR is a problem: spu compile DIR -o DEVICE makes a device of it. Training that was interrupted, or killed,
    goes on where it was when the same command is given again.
    """  # noqa: D301 - click wants the control character
