"""The gallery's page is what its script writes, its pictures are there, and its commands are commands."""

import importlib
import shlex
from pathlib import Path

import click
import pytest

from spu.cli.verbs import VERBS, Verbs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def gallery():
    import sys

    sys.path.insert(0, str(ROOT / "docs"))
    try:
        yield importlib.import_module("make_gallery")
    finally:
        sys.path.remove(str(ROOT / "docs"))
        sys.modules.pop("make_gallery", None)


def test_the_page_is_what_the_script_writes(gallery):
    assert gallery.PAGE.read_text() == gallery.page(), "python docs/make_gallery.py --page"


def test_pictures_are_there_and_small(gallery):
    names = {entry.picture.name for entry in gallery.ENTRIES}
    assert {path.name for path in gallery.PICTURES.glob("*.png")} == names
    for entry in gallery.ENTRIES:
        assert entry.picture.read_bytes()[:4] == b"\x89PNG" and entry.picture.stat().st_size < 300_000


def test_every_command_is_one_with_known_options(gallery):
    group = Verbs(name="spu")
    for entry in gallery.ENTRIES:
        assert f"docs/gallery/{entry.name}.png" in entry.commands[-1]
        for line in entry.commands:
            program, *words = shlex.split(line)
            if program == "python":
                assert (ROOT / words[0]).is_file()
                continue
            assert program == "spu" and words[0] in VERBS
            command: click.Command = group
            while isinstance(command, click.Group):
                command = command.get_command(click.Context(command), words.pop(0))
                assert command is not None, line
            command.make_context("spu", words)
