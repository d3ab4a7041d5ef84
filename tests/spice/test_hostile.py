"""Decks that try to do harm: nothing runs, nothing outside the folder is read, every one is refused in a line.

Each deck of ``hostile/`` says in its first comment what it tries. ``<<N*text>>`` stands for N times the text (``#`` is
the number of the repetition, ``##`` the next one), ``@CANARY@`` for a file that only an executed command would make,
``@OUTSIDE@`` for a folder that must stay closed.
"""

import contextlib
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import SpuError
from spu.cli import cli
from spu.spice.deck import read_deck
from spu.spice.simulators.ngspice import Step, run

DECKS = sorted((Path(__file__).parents[1] / "hostile").glob("*.cir"))
LONGEST = 20.0
"""Seconds that any of them may take, on a busy machine; the worst takes two or three."""
MOST_MEMORY = 1.5e9
"""Bytes that all of them together may add to the process (the longest deck has 20 MB of text)."""

_BEFORE = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

_seen: list[tuple[str, str]] = []
_watching = False


def _watch(event, arguments):
    """Note every file opened and every program started."""
    if not _watching:
        return
    if event in ("open", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
        _seen.append((event, str(arguments[0])))
    elif event in ("exec", "compile") and b"__import__" in repr(arguments).encode():
        _seen.append((event, repr(arguments)[:200]))


sys.addaudithook(_watch)


@pytest.fixture
def place(tmp_path):
    """The deck's folder with companions, a folder outside, and a canary."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.inc").write_text(".lib tt\nrsentinel out 0 1k\n.endl\nrsentinel out 0 1k\n")
    (inside / "link.inc").symlink_to(outside / "secret.inc")
    (inside / "linked").symlink_to(outside)
    os.mkfifo(inside / "fifo.inc")
    (inside / "ping.inc").write_text(".include pong.inc\n")
    (inside / "pong.inc").write_text(".include ping.inc\n")
    (inside / "control.inc").write_text(f".control\nshell touch {tmp_path / 'canary'}\n.endc\n")
    (inside / "nul.inc").write_bytes(b"r1 a\0 0 1\n")
    (inside / "sections.lib").write_text(
        ".lib tt\nrl out 0 1k\n.endl tt\n.lib again\n.lib sections.lib again\n.lib sections.lib again\n.endl\n"
        ".lib open\nr3 out 0 1k\n"
    )
    return tmp_path


def _write_includes(name, times, inside):
    """Forty files, each of which includes the next one so many times."""
    for k in range(40):
        (inside / f"{name}{k}.inc").write_text(f".include {name}{k + 1}.inc\n" * times)
    (inside / f"{name}40.inc").write_text("r9 out 0 1k\n")


def _expand(match):
    count, text = int(match[1]), match[2]
    if "#" not in text:
        return count * text
    return "".join(text.replace("##", str(k + 1)).replace("#", str(k)) for k in range(count))


def _deck(path, place):
    data = path.read_bytes()
    if not path.stem.startswith("text_"):
        text = data.decode().replace("@CANARY@", str(place / "canary")).replace("@OUTSIDE@", str(place / "outside"))
        data = re.sub(r"<<(\d+)\*(.*?)>>", _expand, text, flags=re.DOTALL).encode()
    deck = place / "inside" / "deck.cir"
    deck.write_bytes(data)
    for name, times in (("fan", 10), ("chain", 1)):
        if f"{name}0.inc".encode() in data:
            _write_includes(name, times, deck.parent)
    return deck


def _watched(action):
    global _watching
    _seen.clear()
    _watching = True
    try:
        return action()
    finally:
        _watching = False


def _harmless(place):
    """Nothing was started, and no file of the deck's choosing was opened outside its folder."""
    assert not (place / "canary").exists()
    assert not list(place.glob("canary*"))
    for event, what in _seen:
        assert event == "open", (event, what)
        assert not what.startswith((str(place / "outside"), "/etc/", "/dev/zero", str(Path.home() / ".profile"))), what
        if what.startswith(str(place)):
            real = os.path.realpath(what)
            assert real.startswith((str(place / "inside"), str(place / "made"))), what


def test_the_corpus_is_there():
    assert len(DECKS) >= 100
    for path in DECKS:
        if not path.stem.startswith("text_"):
            assert path.read_text(encoding="utf-8").splitlines()[0].startswith("*"), path


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
def test_a_hostile_deck_is_refused(path, place, monkeypatch):
    deck = _deck(path, place)
    monkeypatch.chdir(place / "inside")
    started = time.perf_counter()
    command = ["import", str(deck), "-o", str(place / "made"), "--json"]
    if "ten_of_ten" in path.stem:  # the limit is the same, and met sooner
        command += ["--max-instances", "5000"]
    result = _watched(lambda: CliRunner().invoke(cli, command))
    assert time.perf_counter() - started < LONGEST
    _harmless(place)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert not (place / "made").exists()
    error = json.loads(result.output)["error"]
    message = error["message"]
    assert "\n" not in message and len(message) < 600, message
    assert "rsentinel" not in message
    assert error["file"].startswith(str(place / "inside")), error
    if not path.stem.startswith(("text_", "file_long")):
        assert error["line"] is not None, error
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - _BEFORE) * 1024 < MOST_MEMORY


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
def test_a_hostile_deck_does_no_harm_in_a_check(path, place, monkeypatch):
    # What this reader lets through goes to ngspice: a circular parameter is its to refuse, a program nobody's to run.
    deck = _deck(path, place)
    monkeypatch.chdir(place / "inside")
    started = time.perf_counter()
    try:
        read = _watched(lambda: read_deck(deck))
    except SpuError as refusal:
        assert refusal.exit_status == 2 and "\n" not in str(refusal)
        _harmless(place)
        return
    finally:
        assert time.perf_counter() - started < LONGEST
    _harmless(place)
    text = read.text()
    assert not re.search(r"(?im)^\s*\.(control|include|inc|lib)|shell|`|rsentinel", text)
    if path.stem.startswith(("control", "comment", "title", "command", "node", "include", "lib", "code_model")):
        pytest.fail(f"{path.stem} reaches ngspice")
    if path.stem in ("source_endless", "expression_python"):  # of the rest, what could hang or run something
        with contextlib.suppress(SpuError):
            run(text, [Step(("tran 1n 1",), "tran")], time_limit=3.0, folder=place / "inside")
        assert not list(place.glob("canary*"))
        assert time.perf_counter() - started < LONGEST


def test_named_options_open_what_they_name(place):
    path = place / "inside" / "deck.cir"
    body = "* a deck\nr1 out 0 1k\nc1 out 0 1n\n.save v(out)\n"
    (place / "outside" / "more.inc").write_text("rsentinel out 0 1k\n")
    path.write_text(f"{body}.include ../outside/more.inc\n.end\n")
    read = spu.read_netlist(path, include_outside=True)
    assert any("rsentinel" in row.name for row in read.noise) and "rsentinel" in read.text
    path.write_text(f"{body}.control\nshell touch {place / 'canary'}\n.endc\n.end\n")
    read = _watched(lambda: spu.read_netlist(path, ignore_control=True))
    _harmless(place)
    assert "shell" not in read.text  # what is kept of it has no commands either
    path.write_text(f"{body}.subckt s a\nr1 a 0 1k\n.ends\n" + "".join(f"x{k} out s\n" for k in range(30)) + ".end\n")
    with pytest.raises(SpuError, match=r"deck.cir:37: makes more than 29 instances.*spu import --max-instances"):
        spu.read_netlist(path, max_instances=29)
    assert len(spu.read_netlist(path, max_instances=30).noise) == 31


def test_a_block_of_analyses_is_left_out_without_a_word(place):
    path = place / "inside" / "deck.cir"
    path.write_text(
        "* a deck\nr1 out 0 1k\nc1 out 0 1n\n.save v(out)\n.control\nset noaskquit\nac dec 10 1 1meg\n"
        "let x = vdb(out)\nprint x > 3\nmeas ac f when x=-3\nforeach i 1 2\necho $i\nend\nquit\n.endc\n.end\n".replace(
            "print x > 3", "print x"
        )
    )
    assert spu.read_netlist(path).notes == ()
