"""What must not hang, blow up or spill: special files, files that promise more than they hold, endless names."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from click.testing import CliRunner

from spu.base.errors import DeckError, InputError, SpuError, clip
from spu.base.files import key_line, parse_toml
from spu.cli import cli
from spu.spice.deck import read_deck
from spu.spice.simulators.ngspice import Step, _environment, run

LONG = "n" * 5000
SECONDS = 8.0
"""Processor time of any of these; the slowest takes a second."""


@contextmanager
def bounded(seconds=60):
    """Fail, rather than hang, after so long; hold the processor time within `SECONDS`."""

    def late(*_):
        raise AssertionError(f"hangs: not done within {seconds} s")

    before, started = signal.signal(signal.SIGALRM, late), time.process_time()
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - started < SECONDS


def refused(*words, status=2):
    """The error of a command line, which is one short message in text and JSON."""
    with bounded():
        result = CliRunner().invoke(cli, [*map(str, words), "--json"])
    assert result.exit_code == status, result.output
    error = json.loads(result.stdout)["error"]
    assert len(error["message"]) <= 400 and len(error["message"].splitlines()) <= 8
    assert "warning" not in result.stderr.lower(), result.stderr
    return error


def done(*words):
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder each of a device, of banks and of a network."""
    place = tmp_path_factory.mktemp("made")
    (place / "a.csv").write_text("3,-1\n-1,2\n")
    (place / "n.toml").write_text(
        'task = "network"\nunits = 2\nJ2 = 1.0\ncouplings = [[0, -0.3], [-0.3, 0]]\nvariables = ["u", "v"]\n'
    )
    done("compile", place / "a.csv", "-o", place / "out")
    done("compile", place / "a.csv", "-o", place / "codes", "--hardware", "spu8-4bit")
    done("compile", place / "n.toml", "-o", place / "net")
    return place


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return Path()


# --- special files -------------------------------------------------------------------------


def put(kind, path):
    """Put something at a path that is no regular file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "link to nowhere":
        path.symlink_to("nowhere")
    elif kind == "link to itself":
        path.symlink_to(path.name)


KINDS = ("pipe", "socket", "folder", "device", "link to nowhere", "link to itself")
NAMES = ("device.json", "device.cir", "problem.json", "device.ltspice.cir", "problem.npz")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_neither_read_nor_written_to(place, kind):
    for name in NAMES:
        if not (place / "out" / name).exists():
            continue
        put(kind, place / "out" / name)
        if name in ("device.json", "device.cir"):
            refused("compile", "a.csv", "-o", "out") if not kind.startswith("link") or name == "device.json" else None
            refused("check", "out", "--level", "answer") if name == "device.json" else None
        with bounded():
            CliRunner().invoke(cli, ["predict", "out"])
            CliRunner().invoke(cli, ["compile", "a.csv", "-o", "out", "--force"])
        shutil.rmtree("out")
        done("compile", "a.csv", "-o", "out")


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_may_be_no_file(place, kind):
    for suffix in (".csv", ".npy", ".npz", ".mtx", ".toml"):
        put(kind, Path(f"in{suffix}"))
        refused("compile", f"in{suffix}", "-o", "new")
    put(kind, Path("in.cir"))
    refused("import", "in.cir")
    refused("predict", "in.cir")
    refused("predict", "in.json") if not put(kind, Path("in.json")) else None
    refused("program", "codes", "in.csv")
    refused("simulate", "net", "--inputs", "in.csv")
    refused("compile", "a.csv", "-o", "new", "--hardware", "in.toml")
    refused("compile", "a.csv", "-o", "new", "--vector", "in.npy")
    for suffix in (".edgelist", ".graphml", ".json"):
        if suffix != ".json":
            put(kind, Path(f"in{suffix}"))
        write_hardware("w.toml", f"in{suffix}")
        refused("compile", "a.csv", "-o", "new", "--hardware", "w.toml")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_every_output_may_be_no_file(place, kind):
    for words, name in (
        (("program", "codes", "--export"), "o.csv"),
        (("predict", "out", "--spectrum"), "o2.csv"),
        (("predict", "out", "--plot"), "o.svg"),
        (("simulate", "out", "--samples", "10", "-o"), "o.npz"),
        (("report", "out", "--level", "ideal", "--samples", "10", "-o"), "o.html"),
        (("export", "out", "--dialect", "xyce", "-o"), "o.cir"),
    ):
        put(kind, Path(name))
        before = os.stat(name)  # noqa: PTH116 (the link's target)
        refused(*words, name)
        assert os.stat(name) == before or kind == "device"  # noqa: PTH116
        assert not Path(name).is_file()


def test_a_link_out_of_its_folder_is_not_read_as_a_netlist(place, tmp_path):
    (tmp_path / "secret").write_text("root:sentinel:0:0\nsentinel more\n")
    Path("link.cir").symlink_to(tmp_path / "secret")
    Path("out/device.cir").unlink()
    Path("out/device.cir").symlink_to(tmp_path / "secret")
    for words in (("import", "link.cir"), ("predict", "link.cir"), ("check", "out", "--netlist", "link.cir")):
        error = refused(*words)
        assert "sentinel" not in json.dumps(error) and "is a link that leaves its folder" in error["message"], error
    result = CliRunner().invoke(cli, ["check", "out"])
    assert result.exit_code == 2 and "sentinel" not in result.output
    (tmp_path / "deck.cir").write_text("* deck\nr1 out 0 1k\nc1 out 0 1n\n.save v(out)\n.end\n")
    Path("far.cir").symlink_to(tmp_path / "deck.cir")
    done("import", "far.cir", "--include-outside")


# --- files that promise more than they hold ------------------------------------------------


def write_hardware(file, wiring):
    Path(file).write_text(
        f'name = "h"\ntemperature = 0\narchitectures = ["rc-resistive"]\nwiring = "{wiring}"\n'
        "cell = { capacitance = { nominal = 1e-9 }, conductance = { nominal = 1e-3 }, noise = { nominal = 1e-18 } }\n"
    )


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("".join(f"a.b{k}.c=1\n" for k in range(50_000)), "more than 20,000 keys", None),
        ("x = 1\n" + ".".join(["a"] * 50_000) + " = 1\n", "a key of more than 32 parts", 2),
        ("x = 1\n[" + '."b c"' * 50_000 + "]\n", "a key of more than 32 parts", 2),
        ("x = { " + " . ".join(["a"] * 50_000) + " = 1 }\n", "a key of more than 32 parts", 1),
        ("x = " + "[" * 50_000, "nested too deeply", None),
        ("x = [" + "0," * 2_100_000 + "]\n", "at most 4,194,304 are read", None),
        ("".join(f"a.b{k}.c=1\n" for k in range(15_000)), "unknown key 'a'", 1),
        ("".join(f"name{k}=1\n" for k in range(15_000)), "unknown key 'name0'", 1),
    ],
)
def test_toml_bombs(place, text, said, line):
    Path("b.toml").write_text(text)
    for words in (("compile", "b.toml", "-o", "new"), ("compile", "a.csv", "-o", "new", "--hardware", "b.toml")):
        error = refused(*words)
        assert said in error["message"] and error["line"] == line, error


def test_lines_of_keys_are_found_at_once_wherever_they_stand():
    text = (
        'a = """\nb = 1\n"""  # c = 2\n"b" = [\n  1, # [\n  "]",\n]\n[t . "u.v"]\n'
        'w.x = { y.z = 1, "q" = [{ r = 2 }] }\n'
        "[[t.list]]\ny = '''\n[t]\n'''\n[end]\n'last one' = 1\r\n\"esc\\u0061pe\" = 2\n"
    )
    assert parse_toml(text)["end"]["escape"] == 2
    for path, line in (
        (("a",), 1),
        (("b",), 4),
        (("c",), None),
        (("t",), 8),
        (("t", "u.v"), 8),
        (("t", "u.v", "w"), 9),
        (("t", "u.v", "w", "x", "y", "z"), 9),
        (("t", "u.v", "w", "x", "q"), 9),
        (("t", "list"), 10),
        (("t", "list", "y"), 11),
        (("end", "last one"), 15),
        (("end", "escape"), 16),
        (("end", "nothing"), None),
        ((), None),
    ):
        assert key_line(text, *path) == line, path
    many = "".join(f"k{k} = {{ v = {k} }}\n" for k in range(19_000))
    with bounded():
        assert key_line(many, "k18999", "v") == 19_000


def header(shape, kind="<f8"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header("(1000000, 1000000)") + bytes(64), "1,000,000,000,000 entries: at most"),
        (header("(9999, 9999)") + bytes(64), "takes 799,840,008 bytes, and 64 are there"),
        (header("(4,)", "|O") + bytes(64), "Python objects (pickled)"),
        (header("(1000000000000,)", "|S0"), "its entries are of type"),
        (header("(-2, 2)") + bytes(64), "is negative"),
        (header("(" + "9" * 3000 + ",)") + bytes(64), "more than 10^15 entries"),
    ],
)
def test_headers_of_arrays_are_held_against_the_file(place, content, said):
    Path("b.npy").write_bytes(content)
    with zipfile.ZipFile("b.npz", "w") as archive:
        archive.writestr("matrix.npy", content)
    for name in ("b.npy", "b.npz"):
        assert said.replace("64 are", "64 are") in refused("compile", name, "-o", "new")["message"]


def test_archives_are_held_against_what_they_unpack_to(place):
    np.savez_compressed("zeros.npz", matrix=np.zeros((4500, 4500)))
    with zipfile.ZipFile("many.npz", "w") as archive:
        for k in range(3000):
            archive.writestr(f"a{k}.npy", header("(1,)") + bytes(8))
    sp.save_npz("huge.npz", sp.coo_array(([1.0], ([0], [0])), shape=(10**9, 10**9)))
    tracemalloc.start()
    for name, said in (
        ("zeros.npz", "unpacks to more than"),
        ("many.npz", "members"),
        ("huge.npz", "more than 1000000 rows or columns"),
    ):
        assert said in refused("compile", name, "-o", "new")["message"]
    big = sp.diags_array([np.full(230, -1.0), np.full(231, 3.0), np.full(230, -1.0)], offsets=[-1, 0, 1])
    sp.save_npz("big.npz", big)
    done("compile", "big.npz", "-o", "big")
    shutil.copy("zeros.npz", "big/problem.npz")
    assert "unpacks to more than" in refused("predict", "big")["message"]
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_a_matrix_without_a_diagonal_is_refused_before_work_is_done(place):
    np.save("zeros.npy", np.zeros((2500, 2500)))
    started = time.process_time()
    error = refused("compile", "zeros.npy", "-o", "new")
    assert time.process_time() - started < 2
    assert "not positive definite: its diagonal is 0 at entry 1 (x1)" in error["message"]


def test_graph_files_have_limits_said_at_once(place):
    entities = "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(9))
    laughs = f'<?xml version="1.0"?><!DOCTYPE g [<!ENTITY e0 "x">{entities}]><graphml><graph id="&e9;"/></graphml>'
    for name, text, said in (
        ("w.edgelist", "".join(f"{k} {k + 1}\n" for k in range(400_000)), "more than 250,000 couplers"),
        ("v.edgelist", f"a {LONG}\nb b\n", "couples cell 'b' to itself"),
        ("w.graphml", laughs, "declares a document type or entities"),
        ("u.graphml", laughs.encode("utf-16").decode("latin-1"), "declares a document type or entities"),
        ("w.json", "[" * 100_000, "not valid JSON"),
        ("v.json", " " * (2**24 + 1), "at most 16,777,216 are read"),
    ):
        Path(name).write_text(text, encoding="latin-1")
        write_hardware("h.toml", name)
        error = refused("compile", "a.csv", "-o", "new", "--hardware", "h.toml")
        assert said in error["message"] and error["file"] == name, error


def test_one_endless_row(place):
    Path("row.csv").write_text("1," * 400_000 + "1\n")
    assert "a row of 400001 entries: at most 10000" in refused("compile", "row.csv", "-o", "new")["message"]
    Path("rows.csv").write_text("1\n" * 10_001)
    assert refused("compile", "rows.csv", "-o", "new")["line"] == 10_001
    Path("field.csv").write_text("element,name,quantity,code\n" + "x" * 200_000 + ",a,b,1\n")
    assert refused("program", "codes", "field.csv")["line"] == 2


def test_subcircuits_that_explode_do_not_reach_ngspice(place):
    levels = "".join(f".subckt s{k} a b\nx1 a b s{k - 1}\nx2 a b s{k - 1} r={{1+1}}\n.ends\n" for k in range(1, 40))
    body = f"* deck\n.subckt s0 a b\nr1 a b 1k\n.ends\n{levels}"
    for deck in (f"{body}x1 out 0 s39\n.end\n", "* deck\n.subckt s a\nx1 a s\nx2 a s\n.ends\nx1 out s\n.end\n"):
        Path("bomb.cir").write_text(deck)
        with bounded(), pytest.raises(DeckError, match="too many instances"):
            read_deck(Path("bomb.cir"))
    Path("fine.cir").write_text(f"{body}x1 out 0 s12\n.end\n")
    assert read_deck(Path("fine.cir")).top_level()
    assert read_deck(Path("out/device.cir")).top_level()


# --- ngspice's child -----------------------------------------------------------------------


def test_no_variable_of_the_user_reaches_ngspice(monkeypatch, tmp_path):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "spinit").write_text(f"shell touch {tmp_path / 'canary'}\n")
    for name in ("SPICE_SCRIPTS", "SPICE_LIB_DIR", "SPICE_EXEC_DIR", "NGSPICE_INPUT_DIR", "SPICE_USERINIT_DIR"):
        monkeypatch.setenv(name, str(scripts))
    for name in ("NGSPICE_MEAS_PRECISION", "SPICE_ASCIIRAWFILE", "SPICE_PATH", "SPICE_HOST", "USERPROFILE", "IFS"):
        monkeypatch.setenv(name, "sentinel")
    passed = _environment()
    assert "sentinel" not in passed.values() and str(scripts) not in passed.values()
    assert {"PATH", "HOME", "NGSPICE_LIBRARY_PATH"} <= {*passed}
    run("* deck\nv1 a 0 1\nr1 a 0 1k\n.end\n", [Step(("op",), "op")], time_limit=30)
    assert not (tmp_path / "canary").exists()


# --- messages ------------------------------------------------------------------------------


def test_no_message_is_longer_than_people_read():
    assert clip("short\nand clear") == "short\nand clear"
    for text in (LONG, "a\n" * 5000, LONG + "\n" * 50):
        for error in (SpuError(text), InputError(text, file=LONG, line=3), InputError("x", file=LONG)):
            assert len(str(error)) <= 400 and len(str(error).splitlines()) <= 8
            assert len(error.message) <= 400
    assert str(InputError("is wrong", file="f", line=3)) == "f:3: is wrong"


def test_endless_names_are_cut_wherever_they_stand(place):
    Path("c.csv").write_text(f"element,name,quantity,code\ncell,{LONG},capacitance,1\n")
    assert refused("program", "codes", "c.csv")["line"] == 2
    Path("d.csv").write_text(f"element,name,{LONG},code\n")
    assert refused("program", "codes", "d.csv")["line"] == 1
    name = json.loads(Path("codes/device.json").read_text())["cells"][0]["name"]
    Path("e.csv").write_text(f"element,name,quantity,code\ncell,{name},{LONG},1\n")
    assert "has no bank" in refused("program", "codes", "e.csv")["message"]
    Path("f.json").write_text(json.dumps({"format": LONG}))
    refused("predict", "f.json")
    Path("g.csv").write_text(f"{LONG},{LONG}x\n1,2\n3,4\n")
    refused("compile", "g.csv", "-o", "new")
    Path("k.cir").write_text("* deck\nr1 out 0 1k\nc1 out 0 1n\n.save v(out)\n.end\n")
    for words in (
        ("import", "k.cir", "--density", f"{LONG}=1"),
        ("import", "k.cir", "--density", LONG),
        ("import", "k.cir", "--probe", LONG),
        ("compile", "a.csv", "-o", "new", "--hardware", LONG),
        ("compile", "a.csv", "-o", "new", "--architecture", LONG),
        ("check", "out", "--level", LONG),
        ("check", "out", "--detect", LONG),
        ("report", "out", "--format", LONG, "-o", "x.html"),
        ("export", "out", "--dialect", LONG, "-o", "x"),
        ("simulate", "net", "--times", LONG),
        ("simulate", "net", "--scheme", LONG),
        ("simulate", "out", "--method", LONG),
        ("simulate", "out", f"--{LONG}"),
        ("predict", LONG),
    ):
        refused(*words)


def test_inputs_of_a_network_are_refused_by_file_and_line(place):
    for text, said, line in (
        ("time,u\n0,1\n\n1,x\n", "u: 'x' is not a finite number", 4),
        ("# head\ntime,u\n0,1\n1,nan\n", "u: 'nan' is not a finite number", 4),
        ("time,u\n1,1\n0,2\n", "time 0 comes after 1", 3),
        ("time,u\n0\n", "a row needs 2 numbers", 2),
        (f"time,{LONG}\n0,1\n", "no unit 'nnn", 1),
        ("\n\ntime,u,u\n", "each name once", 3),
        ("# nothing\n", "holds no rows", None),
    ):
        Path("in.csv").write_text(text)
        error = refused("simulate", "net", "--inputs", "in.csv")
        assert said in error["message"] and (error["file"], error["line"]) == ("in.csv", line), error


# --- at random -----------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [20, pytest.param(60, marks=pytest.mark.long)])
def test_a_few_random_cases(runs):
    command = [sys.executable, "benchmarks/fuzz.py", "--runs", str(runs), "--seed", "77"]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
