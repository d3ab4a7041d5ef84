"""What `fuzz` runs: files of every kind, ways to spoil them, and command lines with odd options.

A case is a function of its number alone. It starts from a copy of the same `materials`, spoils or replaces some of the
files, and runs a verb on them, or two.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import socket
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import scipy.sparse as sp

from spu.cli.verbs import cli

ROOT = Path(__file__).parent.parent

LONG = "n" * 5000

ODD_NUMBERS = (
    *("0", "-0.0", "-1", "1", "2", "3", "7", "0.5", "1e-3", "1e-9", "1e-15", "1e3", "1e9", "1e15", "1e30", "1e-30"),
    *("1e308", "-1e308", "1e-308", "5e-324", "1e400", "nan", "-nan", "inf", "-inf", "0x10", "1_000", "1,5", "٣", "½"),
    *(
        "9" * 18,
        "9" * 30,
        "9" * 400,
        "9" * 5000,
        "2147483648",
        "-2147483649",
        "9223372036854775808",
        "1e",
        "1k",
        "+",
        "",
    ),
)
ODD_WORDS = (
    *("", " ", "a", "x1", "c1", "0", "gnd", "-", "--", "a b", "a-b", "a,b", "a;b", "'", '"', "`ls`", "$(ls)", "%s%n"),
    *("{}", "{0}", "\\", "\\n", "../../etc/passwd", "/dev/zero", "/", ".", "..", "~", "nan", "null", "true", "[]"),
    *(
        "é",
        "名前",
        "\u202e",
        "\u0000",
        "\x1b[31m",
        "\ufeff",
        "\U0001f600",
        LONG,
        "é" * 3000,
        "a\nb\n" * 40,
        "a." * 3000,
    ),
)
ODD_JSON: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2.5, -0.0, 1e308, -1e308, 5e-324, 1e-300, 10**18, 10**30, 10**308),
    *("", "x", LONG, "1", "nan", [], {}, [[]], [None], [1, 2, 3], {"a": 1}, [[1, 2], [3]], [1e308] * 3, ["a"] * 3),
    *(float("nan"), float("inf"), {"npz": "problem.npz", "key": "x"}, {"npz": "../x", "key": LONG}, [[0] * 4] * 4),
)


# --- materials -----------------------------------------------------------------------------


_MATRIX = np.array([[4.0, -1.0, -0.5, 0.0], [-1.0, 3.0, -0.7, -0.2], [-0.5, -0.7, 5.0, -1.0], [0.0, -0.2, -1.0, 4.0]])

_NETWORK = """task = "network"
units = 3
J2 = [1.0, 0.0, 2.0]
J4 = [0.0, 0.25, 0.0]
couplings = [[0.0, -0.3, 0.1], [-0.3, 0.0, 0.2], [0.1, 0.2, 0.0]]
bias = [0.1, 0.0, -0.2]
kT = 1.0
variables = ["u1", "u2", "u3"]
"""

_HARDWARE = """name = "bench"
description = "what a fuzzer builds on"
temperature = 300.15
cells = 40
architectures = ["rc-resistive", "rc-transconductor", "rlc-capacitive"]
wiring = "WIRING"

[cell]
capacitance = { nominal = 1e-9, min = 1e-12, max = 1e-6 }
conductance = { nominal = 1e-3, min = 1e-6, max = 1.0 }
inductance = { nominal = 1e-5 }
noise.nominal = 4e-20

[coupler]
conductance = { min = 1e-8, max = 1.0 }
capacitance = { min = 1e-15, max = 1e-6 }

[readout]
noise_floor = 1e-9
full_swing = 1.0
"""

_DECK = """* a ladder
.param rr=1k cc={1n*2}
.func half(x) {x/2}
.subckt cell a b r=1k
r1 a b {r}
c1 b 0 {cc}
l1 b m 10u
rm m 0 10
.ends cell
vin in 0 dc 1 ac 1
x1 in out cell r={half(rr)}
x2 out far cell
g1 0 far out 0 1m
e1 q 0 far 0 2
rq q z 10k
cz z 0 1p
b1 w 0 v=v(out)*2
rw w 0 1k
k1 la lb 0.5
la out ta 1u
lb far tb 1u
rta ta 0 50
rtb tb 0 50
ibias 0 out 1u
.ic v(out)=0
.options temp=27
.save v(out) v(far)
.ac dec 10 1 1meg
.end
"""


def make_materials(place: Path) -> None:
    """Write files of every kind, and folders as the verbs make them."""
    place.mkdir()
    big = sp.diags_array([np.full(230, -1.0), np.full(231, 3.0), np.full(230, -1.0)], offsets=[-1, 0, 1])
    before = Path.cwd()
    os.chdir(place)
    try:
        np.savetxt("a.csv", _MATRIX, delimiter=",", header="x1,x2,x3,x4", comments="")
        np.save("a.npy", _MATRIX)
        np.savez("a.npz", precision=_MATRIX, mean=np.arange(4.0))
        np.savez_compressed("z.npz", matrix=_MATRIX)
        sp.save_npz("s.npz", sp.csr_array(_MATRIX))
        np.save("b.npy", np.arange(4.0))
        np.savetxt("b.csv", np.arange(4.0))
        entries = [f"{i + 1} {j + 1} {_MATRIX[i, j]}" for i in range(4) for j in range(i + 1) if _MATRIX[i, j]]
        Path("a.mtx").write_text(
            "\n".join(["%%MatrixMarket matrix coordinate real symmetric", f"4 4 {len(entries)}", *entries, ""])
        )
        Path("d.mtx").write_text("%%MatrixMarket matrix array real general\n2 2\n3\n1\n1\n2\n")
        rows = ", ".join(str(row) for row in _MATRIX.tolist())
        Path("g.toml").write_text(
            f'task = "gaussian"\nprecision = [{rows}]\nmean = [1, 2, 3, 4]\nhardware = "h.toml"\n'
        )
        Path("l.toml").write_text(
            'task = "linear"\nmatrix = "a.npy"\nvector = "b.npy"\nvariables = ["p", "q", "r", "s"]\n'
        )
        Path("i.toml").write_text('task = "inverse"\nmatrix = "a.mtx"\nhardware = "spu8-4bit"\n')
        Path("n.toml").write_text(_NETWORK)
        Path("in.csv").write_text("time,u1,u3\n0,0,1\n1,2,-1\n2.5,0,0\n")
        for name, wiring in (
            ("h", "complete"),
            ("w", "king 4x4"),
            ("e", "w.edgelist"),
            ("m", "w.graphml"),
            ("j", "w.json"),
        ):
            Path(f"{name}.toml").write_text(_HARDWARE.replace("WIRING", wiring))
        Path("w.edgelist").write_text(
            "# cells\n" + "".join(f"{k} {k + 1}\n{k} {k + 2}\n{k} {k + 3}\n" for k in range(12))
        )
        import networkx as nx

        graph = nx.grid_2d_graph(3, 4)
        graph = nx.relabel_nodes(graph, {node: "g{}_{}".format(*node) for node in graph})
        nx.write_graphml(graph, "w.graphml")
        Path("w.json").write_text(json.dumps(nx.adjacency_data(graph)))
        Path("deck.cir").write_text(_DECK)
        Path("part.inc").write_text("rx out 0 1k\n.param pp=3\n")
        Path("whole.cir").write_text(_DECK.replace(".save", ".include part.inc\n.save"))
        shutil.copy(ROOT / "examples" / "by_hand.json", "hand.json")
        sp.save_npz("big.npz", big)
        for words in (
            "compile a.csv -o out",
            "compile l.toml -o lin --hardware ideal",
            "compile i.toml -o codes",
            "compile a.csv -o ens --hardware spu8-4bit --ensemble 2",
            "compile big.npz -o big",
            "compile n.toml -o net",
            "import deck.cir --density vin=1e-16 -o imp",
            "program codes --export codes.csv",
            "simulate out --samples 200",
        ):
            status = run_here(words.split())
            if status:
                raise RuntimeError(f"{words} ended with {status}")
    finally:
        os.chdir(before)


def run_here(arguments: list[str]) -> int:
    """Run a command line in this process, silently; its exit status."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.main(arguments, prog_name="spu")
        except SystemExit as end:
            return int(end.code or 0)


# --- ways to spoil a file ------------------------------------------------------------------


_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")
_FIGURE = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")


def spoil_bytes(data: bytes, draw: random.Random) -> bytes:
    """Change some bytes, words, numbers or lines."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(_SPOILERS)(data, draw)
    return data


def _at(data: bytes, draw: random.Random) -> int:
    return draw.randrange(len(data) + 1)


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 30)) if data else 0):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _insert(data: bytes, draw: random.Random) -> bytes:
    k = _at(data, draw)
    what = draw.choice(
        (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b"(" * 3000, b"[" * 100_000, b"{" * 3000, b"a" * 200_000)
    )
    return data[:k] + draw.choice((what, draw.choice(ODD_WORDS).encode(), draw.choice(ODD_NUMBERS).encode())) + data[k:]


def _cut(data: bytes, draw: random.Random) -> bytes:
    i, j = sorted((_at(data, draw), _at(data, draw)))
    return draw.choice((data[:i], data[i:], data[:i] + data[j:], data[:j] + data[i:]))


def _replace(pattern: re.Pattern[bytes], words: tuple[str, ...]) -> Callable[[bytes, random.Random], bytes]:
    def spoil(data: bytes, draw: random.Random) -> bytes:
        found = list(pattern.finditer(data))
        if not found:
            return data
        for one in sorted(draw.sample(found, min(len(found), draw.choice((1, 1, 3)))), key=lambda m: -m.start()):
            data = data[: one.start()] + draw.choice(words).encode() + data[one.end() :]
        return data

    return spoil


def _lines(data: bytes, draw: random.Random) -> bytes:
    lines = data.split(b"\n")
    i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
    how = draw.randrange(6)
    if how == 0:
        lines[i], lines[j] = lines[j], lines[i]
    elif how == 1:
        lines[i:i] = [lines[j]] * draw.choice((1, 2, 40, 20_000))
    elif how == 2:
        del lines[i]
    elif how == 3:
        lines[i] += b" " + lines[j]
    elif how == 4:
        lines[i] = draw.choice(ODD_WORDS).encode()
    else:
        draw.shuffle(lines)
    return b"\n".join(lines)


def _swap(data: bytes, draw: random.Random) -> bytes:
    """Exchange two words of the file's own."""
    words = _WORD.findall(data)
    return data if not words else _replace(_WORD, tuple(word.decode() for word in words[:400]))(data, draw)


def _encode(data: bytes, draw: random.Random) -> bytes:
    text = data.decode("latin-1")
    how = draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp500"))
    return text.encode(how)


_SPOILERS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _insert, _cut, _lines, _lines, _swap, _swap, _encode),
    *(_replace(_FIGURE, ODD_NUMBERS),) * 4,
    *(_replace(_WORD, ODD_WORDS),) * 2,
)


def spoil_json(data: bytes, draw: random.Random) -> bytes:
    """Change, drop or repeat some entries of a JSON file, which stays one."""
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return spoil_bytes(data, draw)
    for _ in range(draw.choice((1, 1, 2, 5))):
        places: list[tuple[Any, Any]] = []
        stack = [whole]
        while stack:
            here = stack.pop()
            if isinstance(here, (dict, list)):
                keys = list(here) if isinstance(here, dict) else range(min(len(here), 30))
                places += [(here, key) for key in keys]
                stack += [here[key] for key in keys]
        if not places:
            return json.dumps(draw.choice(ODD_JSON)).encode()
        # The upper ones as often as the many below.
        holder, key = draw.choice(places[: draw.choice((10, 100, len(places)))])
        how = draw.randrange(8)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, list):
            holder[key:key] = [holder[key]] * draw.choice((1, 3, 3000))
        elif how == 2 and isinstance(holder, dict):
            holder[draw.choice(ODD_WORDS)] = holder.pop(key)
        elif how == 3:
            other, name = draw.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                holder[key] = other[name]
        elif how == 4 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = draw.choice((-holder[key], holder[key] * 1e9, holder[key] * 1e-9, holder[key] * (1 + 1e-12)))
        else:
            holder[key] = draw.choice(ODD_JSON)
        if _is_circular(whole):
            return data
    return json.dumps(whole).encode()


def _is_circular(value: Any) -> bool:
    try:
        json.dumps(value)
    except (ValueError, RecursionError, TypeError):
        return True
    return False


def odd_array(draw: random.Random) -> Any:
    """An array that is no proper matrix, or hardly."""
    n = draw.choice((0, 1, 2, 3, 4, 5, 9))
    a = np.array([[draw.gauss(0, 1) for _ in range(n)] for _ in range(n)]).reshape(n, n)
    a = a @ a.T + n * np.eye(n)
    how = draw.randrange(14)
    if n and how < 5:
        a[draw.randrange(n), draw.randrange(n)] = draw.choice((np.nan, np.inf, -np.inf, 0, 1e308, -1e308, 1e-320, -1))
    elif how == 5:
        a = a * draw.choice((1e300, 1e-300, 1e-15, 1e15, -1, 0))
    elif how == 6:
        return a[: n // 2]
    elif how == 7:
        return a.astype(draw.choice(("f2", "f4", "i1", "i8", "u1", "c16", "?", "U5", "S3", "M8[s]", "O")))
    elif how == 8:
        return a.reshape(1, n, n) if draw.random() < 0.5 else a.ravel()
    elif how == 9:
        return np.zeros((0, draw.choice((0, 5, 10**9))))
    elif how == 10:
        return np.array(draw.choice(ODD_JSON), dtype=object)
    elif how == 11:
        return np.zeros(3, dtype=[("a", "f8"), ("b", "O" if draw.random() < 0.5 else "i4")])
    elif how == 12:
        scale = np.array([10.0 ** draw.uniform(-9, 9) for _ in range(n)])
        a = a * scale[:, None] * scale[None, :]
    return a


def odd_npy(draw: random.Random) -> bytes:
    """A .npy file, or nearly."""
    stream = io.BytesIO()
    if draw.random() < 0.3:
        shape = draw.choice(
            ("(1000000, 1000000)", "(-1, 4)", "(4,)", "(9" + "9" * 30 + ",)", "()", "(3, True)", "4", "(10000, 10000)")
        )
        kind = draw.choice(("<f8", "|O", "<U9999999", "|V0", "|S0", "<c16", "xyz", ">f8"))
        text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        version = draw.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
        length = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
        return b"\x93NUMPY" + version + length + text.encode() + bytes(draw.choice((0, 8, 128)))
    np.save(stream, odd_array(draw), allow_pickle=True)
    return stream.getvalue()


def odd_npz(draw: random.Random) -> bytes:
    """An .npz file, or nearly."""
    stream = io.BytesIO()
    how = draw.randrange(5)
    if how == 0:
        with (
            warnings.catch_warnings(),
            zipfile.ZipFile(
                stream, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            ) as zipped,
        ):
            warnings.simplefilter("ignore")  # of a name that comes twice
            for k in range(draw.choice((0, 1, 3, 300))):
                name = draw.choice(
                    ("matrix.npy", "precision.npy", "x.txt", "../up.npy", "/abs.npy", f"a{k}.npy", LONG, "format.npy")
                )
                zipped.writestr(name, odd_npy(draw))
    elif how == 1:
        n = draw.choice((2000, 4500))
        np.savez_compressed(stream, matrix=np.zeros((n, n)))
    elif how == 2:
        fields = {
            "format": draw.choice((b"csr", b"csc", b"coo", b"dia", b"bsr", b"lil", "csr")),
            "shape": np.array([4, 4]),
        }
        fields |= {
            "data": np.arange(1.0, 5.0),
            "indices": np.arange(4),
            "indptr": np.arange(5),
            "row": np.arange(4),
            "col": np.arange(4),
        }
        fields |= {"offsets": np.array([0])}
        for _ in range(draw.choice((0, 1, 2))):
            key = draw.choice(list(fields))
            fields[key] = draw.choice(
                (
                    np.array([-1]),
                    np.array([10**12, 10**12]),
                    np.arange(4) * 10**9,
                    np.array("x"),
                    np.array([np.nan] * 4),
                )
            )
        np.savez(stream, **fields)
    else:
        keys = draw.sample(
            ("matrix", "precision", "covariance", "mean", "vector", "variables", "x", LONG[:200]), draw.choice((1, 2))
        )
        np.savez(stream, **{key: odd_array(draw) for key in keys})
    return stream.getvalue()


_LETTERS = "rlckvigefhbxdmqjatsow"


def odd_deck(draw: random.Random) -> bytes:
    """A deck made of lines that look like those of SPICE."""
    nodes = ("0", "a", "b", "c", "in", "out", "gnd", "a.b", "n[1]")

    def value() -> str:
        return draw.choice(
            ("1k", "1n", "10u", "{p}", "{p*2}", "'p'", "1e-320", "0", "-1", "{1/0}", "{q}", "1meg", *ODD_NUMBERS[:24])
        )

    def element() -> str:
        letter = draw.choice(_LETTERS if draw.random() < 0.3 else "rrrcccllvigexk")
        name = f"{letter}{draw.randrange(9)}"
        two = f"{name} {draw.choice(nodes)} {draw.choice(nodes)}"
        four = f"{two} {draw.choice(nodes)} {draw.choice(nodes)}"
        return draw.choice(
            {
                "v": (
                    f"{two} dc {value()} ac 1",
                    f"{two} sin(0 1 {value()})",
                    f"{two} trnoise({value()} 1n 0 0)",
                    f"{two} pwl(0 0 1 {value()})",
                ),
                "i": (f"{two} {value()}", f"{two} pulse(0 1 1n 1n 1n 1u {value()})"),
                "e": (f"{four} {value()}", f"{two} value={{v(a)*{value()}}}", f"{two} poly(1) a 0 0 {value()}"),
                "g": (f"{four} {value()}", f"{two} cur='v(a)*2'"),
                "k": (f"{name} l1 l2 {value()}",),
                "x": (f"{two} s p={value()}", f"{name} a s", f"{four} s"),
                "b": (f"{two} v=v(a)*{value()}", f"{two} i=v(a)^2", f"{two} v=time"),
            }.get(letter, (f"{two} {value()}", f"{two} {value()} tc1={value()} noisy=0", f"{two} r={value()}"))
        )

    def directive() -> str:
        return draw.choice(
            (
                f".param p={value()} q={value()}",
                ".param a1={a2} a2={a1}",
                ".param " + " ".join(f"z{k + 1}={{z{k}*z{k}}}" for k in range(40)) + " z0=2",
                f".func f(x) {{x*{value()}}}",
                ".options temp=1e9 gmin=1",
                f".temp {value()}",
                f".ic v(a)={value()}",
                ".save v(a) v(out)",
                ".print noise inoise",
                f".model m r rsh={value()}",
                ".global a",
                ".include deck.cir",
                ".include whole.cir",
                ".include /dev/zero",
                ".lib part.inc tt",
                ".control\nac dec 10 1 1k\n.endc",
                ".control\nshell ls\n.endc",
                ".tran 1n 1u",
                ".noise v(out) vin dec 10 1 1k",
                ".step param p 1 2 1",
                ".if (p)",
                ".end",
                "+ 1k",
                f"* {LONG}",
            )
        )

    lines = [draw.choice(("* odd", LONG, ".control", "r1 a 0 1k", "*ng_script"))] if draw.random() < 0.1 else ["* odd"]
    lines += [".param p=1k q=2", "r90 out 0 1k", "c90 out 0 1n"]
    if draw.random() < 0.5:
        depth = draw.choice((1, 1, 3, 12, 60))
        lines += [
            ".subckt s a b p=1k",
            "r1 a b {p}",
            "c1 b 0 1n",
            *[element() for _ in range(draw.randrange(3))],
            ".ends",
        ]
        for k in range(depth if draw.random() < 0.2 else 0):
            lines += [f".subckt s{k} a b", *[f"x{j} a b {'s' if k == 0 else f's{k - 1}'}" for j in range(2)], ".ends"]
        if lines[-1] == ".ends":
            lines.append(draw.choice(("xs a out s", f"xs a out s{depth - 1}")))
    for _ in range(draw.choice((1, 4, 12))):
        lines.append(element() if draw.random() < 0.75 else directive())
    lines += [".save v(out)", ".end"]
    if draw.random() < 0.1:
        lines += ["r91 out 0 1"]
    return "\n".join(lines).encode()


def odd_toml(draw: random.Random) -> bytes:
    """A TOML file with keys that are known, and values that are not."""
    keys = (
        "task",
        "precision",
        "covariance",
        "mean",
        "matrix",
        "vector",
        "variables",
        "hardware",
        "units",
        "couplings",
        "J2",
        "J4",
        "bias",
        "kT",
        "mobility",
        "reciprocal",
        "name",
        "temperature",
        "architectures",
        "wiring",
        "cell",
        "coupler",
        "readout",
        "detail",
        "chain_strength",
        "cells",
        "input",
        "architecture",
        "cell.noise.nominal",
        "coupler.capacitance.bits",
        "a.b.c",
    )
    values = (
        '"gaussian"',
        '"linear"',
        '"network"',
        "[[2, 1], [1, 2]]",
        "[1, 2]",
        '"a.csv"',
        '"a.npy"',
        '"nothere.npy"',
        '"../a.csv"',
        '["x", "y"]',
        '["x", "X"]',
        "true",
        "{ nominal = 1e-9 }",
        "{ bits = 4, lsb = 1e-6 }",
        "{}",
        "[]",
        "[[]]",
        "1979-05-27",
        "'''x\n'''",
        '["rc-resistive"]',
        '"king 3x3"',
        '"w.edgelist"',
        '"quartic"',
        "inf",
        "nan",
        "0x10",
        "{ a.b.c = 1 }",
    )
    lines = []
    for _ in range(draw.choice((1, 3, 8))):
        value = draw.choice((*values, draw.choice(ODD_NUMBERS), json.dumps(draw.choice(ODD_WORDS))))
        lines.append(f"{draw.choice(keys)} = {value}")
    how = draw.randrange(12)
    if how == 0:
        lines += [f"a.b{k}.c = 1" for k in range(draw.choice((100, 50_000)))]
    elif how == 1:
        lines.append(".".join(["a"] * draw.choice((40, 50_000))) + " = 1")
    elif how == 2:
        lines.append("x = " + "[" * 20_000 + "]" * 20_000)
    elif how == 3:
        lines.append("[" + ".".join(["t"] * 20_000) + "]")
    elif how == 4:
        lines += [f"[[{draw.choice(keys)}]]"]
    return "\n".join(lines).encode()


def odd_table(draw: random.Random) -> bytes:
    """A CSV file, or nearly."""
    width, height = draw.choice((1, 2, 4, 5, 30)), draw.choice((0, 1, 3, 4, 200))
    mark = draw.choice((",", ";", "\t", " ", ",,"))
    head = draw.choice(
        (None, ["x"] * width, [f"x{k}" for k in range(width)], ["time", "u1"], [draw.choice(ODD_WORDS)] * width)
    )
    rows = [] if head is None else [head]
    rows += [
        [draw.choice(ODD_NUMBERS) if draw.random() < 0.03 else f"{draw.gauss(0, 1):.3g}" for _ in range(width)]
        for _ in range(height)
    ]
    if draw.random() < 0.05:
        rows.append(["1"] * 300_000)
    return draw.choice(("\n", "\r\n", "\r")).join(mark.join(row) for row in rows).encode()


def odd_device(draw: random.Random) -> bytes:
    """A device.json as somebody writes it by hand."""
    names = [f"n{k}" for k in range(draw.choice((0, 1, 2, 5)))]

    def size() -> Any:
        odd = draw.random() < 0.15
        return draw.choice((1e-9, 1e-3, 1e-5, 4e-20, 1.0, *ODD_JSON[:12]) if odd else (1e-9, 2e-9, 1e-3))

    cells = [
        {"name": name, "capacitance": size(), "conductance": size(), "noise": draw.choice((4e-20, size()))}
        for name in names
    ]
    for cell in cells:
        if draw.random() < 0.3:
            cell[draw.choice(("inductance", "bias", "resistance", "x", "node", "force", "code", "codes"))] = size()
    couplers = [
        {
            "a": draw.choice(names),
            "b": draw.choice([*names, "nobody"]),
            draw.choice(("capacitance", "conductance", "inductance", "transconductance")): size(),
        }
        for _ in range(draw.choice((0, 1, 3)))
        if names
    ]
    couplers *= draw.choice((1, 1, 1, 20_000))
    device = {
        "format": "spu-device/1",
        "temperature": draw.choice((0, 300.15, size())),
        "cells": cells,
        "couplers": couplers,
    }
    return json.dumps(device).encode()


def odd_graph(draw: random.Random) -> bytes:
    """An edge list, GraphML or adjacency JSON, or nearly."""
    how = draw.randrange(4)
    if how == 0:
        n = draw.choice((2, 30, 3000))
        return "".join(f"{draw.randrange(n)} {draw.randrange(n)}\n" for _ in range(draw.choice((1, n, 4 * n)))).encode()
    if how == 1:
        entities = "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(9))
        head = f'<?xml version="1.0"?><!DOCTYPE g [<!ENTITY e0 "x">{entities}]>'
        return f'{head}<graphml><graph id="&e9;"/></graphml>'.encode()
    if how == 2:
        return (
            b'<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected">'
            + b'<node id="a"/>' * draw.choice((1, 3000))
            + b'<edge source="a" target="b"/></graph></graphml>'
        )
    return json.dumps(
        {
            "directed": False,
            "multigraph": False,
            "graph": [],
            "nodes": [{"id": draw.choice(ODD_JSON[:18])}, {"id": 1}],
            "adjacency": [[{"id": 1}], draw.choice(ODD_JSON)],
        },
        default=str,
    ).encode()


_MADE: dict[str, tuple[Callable[[random.Random], bytes], ...]] = {
    ".npy": (odd_npy,),
    ".npz": (odd_npz,),
    ".csv": (odd_table,),
    ".toml": (odd_toml,),
    ".cir": (odd_deck,),
    ".inc": (odd_deck,),
    ".json": (odd_device, odd_graph),
    ".edgelist": (odd_graph,),
    ".graphml": (odd_graph,),
    ".mtx": (odd_table,),
}


def spoil_file(file: Path, draw: random.Random) -> None:
    """Change a file, make another in its place, or put something there that is no file."""
    how = draw.random()
    if how < 0.06:
        _instead(file, draw)
        return
    data = file.read_bytes()
    if how > 0.75:
        file.write_bytes(_one_number(data, draw))
    elif how < 0.25:
        file.write_bytes(draw.choice(_MADE.get(file.suffix, (odd_table,)))(draw))
    elif file.suffix == ".json" and how < 0.75:
        file.write_bytes(spoil_json(data, draw))
    else:
        file.write_bytes(spoil_bytes(data, draw))


def _one_number(data: bytes, draw: random.Random) -> bytes:
    """Change a number to another one, so that what is spoilt is what the file says."""
    found = list(_FIGURE.finditer(data))
    if not found:
        return spoil_bytes(data, draw)
    one = draw.choice(found)
    with contextlib.suppress(ValueError):
        value = float(one[0])
        factor = draw.choice((-1.0, 0.0, 0.5, 2.0, 1e3, 1e-3, 1e9, 1e-9, 1e30, 1e-30, 1e150, 1e-150, 1 + 1e-12))
        return data[: one.start()] + repr(value * factor).encode() + data[one.end() :]
    return data


def _instead(file: Path, draw: random.Random) -> None:
    file.unlink()
    how = draw.randrange(10)
    if how == 0:
        file.mkdir()
    elif how == 1:
        os.mkfifo(file)
    elif how == 2:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as made:
            made.bind(str(file))
    elif how < 9:
        file.symlink_to(
            draw.choice(("nowhere", file.name, "/dev/zero", "/dev/null", "/etc/passwd", "/", "a.csv", "deck.cir"))
        )


# --- command lines -------------------------------------------------------------------------


_FOLDERS = (
    "out",
    "out",
    "lin",
    "codes",
    "ens",
    "big",
    "net",
    "net",
    "imp",
    "hand.json",
    "deck.cir",
    "out/device.cir",
    "out/device.json",
)
_PROBLEMS = (
    "a.csv",
    "a.npy",
    "a.npz",
    "z.npz",
    "s.npz",
    "a.mtx",
    "d.mtx",
    "g.toml",
    "l.toml",
    "i.toml",
    "n.toml",
    "n.toml",
)
_HARDWARES = (
    "ideal",
    "spu8",
    "spu8-4bit",
    "spu8-switched",
    "neurons",
    "h.toml",
    "w.toml",
    "e.toml",
    "m.toml",
    "j.toml",
)
_GOOD: dict[str, tuple[str, ...]] = {
    "--output": ("new", "new/x", "out", "imp", "net", "res.html", "res.md", "res.npz", "a.csv", ".", "/dev/null"),
    "--hardware": _HARDWARES,
    "--architecture": (
        "rc-resistive",
        "rlc-capacitive",
        "rc-transconductor",
        "rlc-capacitive-dual",
        "rc-conductance",
        "rlc-flux",
    ),
    "--rounding": ("nearest", "best", "greedy"),
    "--ensemble": ("1", "2", "3"),
    "--task": ("gaussian", "inverse", "linear", "network"),
    "--vector": ("b.npy", "b.csv", "a.csv", "nothere.npy"),
    "--correction": ("auto", "pre-distorted", "first-order", "all-orders", "uncorrected"),
    "--detail": ("parasitics", "mismatch=0.01", "all", "opamp", "x=1"),
    "--dialect": ("ngspice", "ltspice", "xyce", "spectre"),
    "--spectrum": ("s.csv", "a.csv", "/dev/null"),
    "--plot": ("p.png", "p.svg", "p.txt", "nowhere/p.png"),
    "--schematic": ("p.svg", "p.png", "p.txt"),
    "--cell": ("a", "c1", "x1"),
    "--unit": ("u1", "u2", "1"),
    "--times": ("0.1,1", "0", "1,0.5", "0.1 0.2 0.4"),
    "--scheme": ("euler-maruyama", "leimkuhler-matthews", "baoab"),
    "--start": ("0", "equilibrium", "1.5"),
    "--inputs": ("in.csv", "a.csv", "codes.csv"),
    "--method": ("modal", "dense"),
    "--netlist": ("deck.cir", "out/device.cir", "whole.cir", "imp/device.cir", "a.csv"),
    "--level": ("ideal", "answer"),
    "--detect": ("2%", "0.02", "1e-9"),
    "--budget": ("1s", "0.1min"),
    "--format": ("html", "md"),
    "--export": ("new.csv", "codes.csv", "/dev/null", "nowhere/x.csv"),
    "--probe": ("out", "z=far", "d=out,far", "nobody"),
    "--silent": ("vin", "ibias", "nobody"),
    "--density": ("vin=1e-16", "ibias=1e-22", "vin=x", "=1"),
    "--problem": ("a.csv", "l.toml", "n.toml"),
    "--interval": ("1e-6", "1e-8", "1e-3"),
    "--duration": ("1e-4", "1e-5"),
    "--step": ("0.01", "0.003"),
    "--samples": ("1", "100", "5000"),
    "--trajectories": ("1", "5", "64", "300"),
    "--lags": ("0", "3", "50"),
    "--time-limit": ("5", "0.1"),
    "--accuracy": ("0.5", "1e-3"),
}
_NO_LONG_WORK = frozenset({"--samples", "--interval", "--duration", "--step", "--times", "--accuracy", "--time-limit"})
"""Options by which a user may well ask for days of work: odd values of these are ones that are refused."""

_REFUSED = ("0", "-1", "-0.0", "nan", "-inf", "inf", "1e400", "x", "", "1_0", "٣", "9" * 30, LONG, "1,5")


@dataclass
class Case:
    """A number, the files that were spoilt, and the commands to run."""

    number: int
    spoilt: list[str] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [" ".join(word if len(word) < 60 else f"{word[:50]}..." for word in words) for words in self.commands]
        return f"spoilt {', '.join(self.spoilt) or 'nothing'}; " + "; ".join(lines).encode("unicode_escape").decode()


def _options(verb: str) -> list[click.Option]:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    return [each for each in command.params if isinstance(each, click.Option) and each.opts[-1] != "--json"]


def _value(option: click.Option, draw: random.Random) -> str:
    name = max(option.opts, key=len)
    if name in _GOOD and draw.random() < 0.8:
        return draw.choice(_GOOD[name])
    if name in _NO_LONG_WORK:
        return draw.choice(_REFUSED)
    if isinstance(option.type, (click.types.IntRange, click.types.FloatParamType, click.types.IntParamType)):
        return draw.choice((*ODD_NUMBERS, "1", "2", "3", "0.5"))
    return draw.choice(ODD_WORDS).replace("\0", "?")


def _command(verb: str, draw: random.Random) -> list[str]:
    words = [verb]
    if verb == "compile":
        words.append(draw.choice(_PROBLEMS))
    elif verb == "import":
        words.append(
            draw.choice(("deck.cir", "whole.cir", "out/device.cir", "imp/device.cir", "net/device.cir", "a.csv"))
        )
    else:
        words.append(draw.choice(_FOLDERS))
    if verb == "program" and draw.random() < 0.8:
        words[1:] = [draw.choice(("codes", "codes", "ens", "out")), draw.choice(("codes.csv", "codes.csv", "a.csv"))]
    options = _options(verb)
    chosen = draw.sample(options, min(len(options), draw.choice((0, 0, 0, 1, 1, 2))))
    for option in chosen:
        name = max(option.opts, key=len)
        words.append(name)
        if not option.is_flag:
            words += [_value(option, draw) for _ in range(option.nargs)]
    if verb in ("compile", "export", "report") and "--output" not in words and draw.random() < 0.9:
        words += ["-o", draw.choice(("new", "out", "new.html") if verb != "report" else ("new.html", "new.md"))]
    if verb in ("check", "report") and "--level" not in words:
        words += ["--level", draw.choice(("ideal", "answer"))]
    if verb == "report" and "--samples" not in words:
        words += ["--samples", "100"]
    if verb == "simulate" and not {"--samples", "--duration"} & {*words} and words[1] != "net":
        words += ["--samples", "200"]
    if draw.random() < 0.5:
        words.append("--json")
    if draw.random() < 0.02:
        words.insert(draw.randrange(len(words)), draw.choice(ODD_WORDS).replace("\0", "?"))
    return words


_VERBS = (
    *("compile",) * 10,
    *("predict",) * 5,
    *("simulate",) * 5,
    *("import",) * 6,
    *("check",) * 3,
    *("inspect",) * 3,
    *("program",) * 3,
    *("export",) * 3,
    "report",
)

_NGSPICE = 0.01
"""Share of the cases in which a cheap level of ``check`` runs ngspice."""


def prepare(number: int, place: Path) -> Case:
    """Draw a case and spoil its files, in a copy of the materials."""
    draw = random.Random(number)
    case = Case(number)
    verb = draw.choice(_VERBS)
    case.commands.append(_command(verb, draw))
    if draw.random() < _NGSPICE:
        folder = draw.choice(("out", "imp", "deck.cir", "hand.json"))
        case.commands[0] = ["check", folder, "--level", draw.choice(("op", "ac")), *draw.choice(([], ["--json"]))]
    if draw.random() < 0.25 and "-o" in case.commands[0]:
        after = case.commands[0][case.commands[0].index("-o") + 1]
        case.commands.append(["predict", after, "--json"])
    if draw.random() < 0.9:
        for name in _victims(case.commands[0], draw, place):
            case.spoilt.append(name)
            spoil_file(place / name, draw)
    return case


_BESIDE = {
    "g.toml": ("h.toml",),
    "l.toml": ("a.npy", "b.npy"),
    "i.toml": ("a.mtx",),
    "e.toml": ("w.edgelist", "w.edgelist"),
    "m.toml": ("w.graphml", "w.graphml"),
    "j.toml": ("w.json", "w.json"),
    "whole.cir": ("part.inc",),
}


def _victims(words: list[str], draw: random.Random, place: Path) -> list[str]:
    """Files that the command reads, one or two of them."""
    read: list[str] = []
    for word in words[1:]:
        if len(word) > 200 or "\0" in word:
            continue
        target = place / word
        if word.startswith("/") or word in ("", ".", ".."):
            continue
        if target.is_dir():
            read += [str(file.relative_to(place)) for file in sorted(target.iterdir()) if file.is_file()]
        elif target.is_file():
            read += [word, *_BESIDE.get(word, ())]
    if not read:
        return []
    return list(dict.fromkeys(draw.choice(read) for _ in range(draw.choice((1, 1, 1, 2)))))


if __name__ == "__main__":
    sys.exit("run benchmarks/fuzz.py")
