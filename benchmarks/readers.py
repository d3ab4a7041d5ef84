"""What `spu` reads and what ``ngspice -b`` reads: small decks, changed at random, through both.

A deck is one that both read; characters, words and lines of it are changed, moved, doubled, taken out. Both may
refuse it, we may refuse it alone, but where we read it, ngspice must find the same circuit in the same bytes: the
operating point of every node, the transfer function from v1 to every node, the noise of v(out).

    python benchmarks/readers.py [--runs 2000] [--seed 0] [--jobs N] [--keep FOLDER]

Printed is how many decks both read alike, how many we alone refused, how many ngspice alone refused, and every deck
that they read differently; with any of those the exit status is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import spu
from spu.emulator.equations.linear import stochastic_ode

DRIVE = "v1"
"""The source that ``.ac`` drives, by one volt or ampere."""
OUT = "out"
"""The node whose noise is compared."""
ANALYSES = f".op\n.ac dec 1 1k 1g\n.noise v({OUT}) {DRIVE} dec 1 1k 1g\n"
"""The lines that a deck needs in order to be compared."""
FREQUENCIES = 10.0 ** np.arange(3, 10)
SAME = 2e-5
"""Relative: decks that are read differently differ by more, and stiff ones are known to no more."""
SILENCE = 1e-36
"""V^2/Hz: rounding of two numbers that should be zero."""
PATIENCE = 10.0
"""Seconds for one run of ngspice."""


@dataclass(frozen=True)
class Reading:
    """What one of the two found in a deck.

    Attributes
    ----------
    refused:
        Why there is nothing; empty where there is.
    op:
        Voltages by node, V.
    ac:
        Transfer functions by node, at `FREQUENCIES`.
    noise:
        One-sided density at `OUT`, V^2/Hz, at `FREQUENCIES`; thermal only, as ``.noise`` knows no other.
    """

    refused: str = ""
    op: Mapping[str, float] = field(default_factory=dict)
    ac: Mapping[str, NDArray[np.complex128]] = field(default_factory=dict)
    noise: NDArray[np.float64] | None = None


def by_ngspice(deck: Path) -> Reading:
    """Run a deck as a designer does, ``ngspice -b``, in its own folder and without anybody's settings."""
    with tempfile.TemporaryDirectory() as home:
        raw = Path(home) / "out.raw"
        try:
            done = subprocess.run(
                ["ngspice", "-n", "-b", "-r", str(raw), deck.name],
                cwd=deck.parent,
                env={"PATH": os.environ["PATH"], "HOME": home},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Reading("hangs")
        log = (done.stdout + done.stderr).decode("latin-1")
        try:
            plots = _plots(raw.read_bytes()) if raw.exists() else []
        except (ValueError, KeyError, IndexError):
            return Reading("writes half a file")
    found = Reading("", {}, {}, None)
    noise = None
    for name, vectors in plots:
        voltages = {key[2:-1]: value for key, value in vectors.items() if key.startswith("v(")}
        if name == "Operating Point":
            found.op.update({key: float(value[0].real) for key, value in voltages.items()})  # type: ignore[attr-defined]
        elif name == "AC Analysis":
            found.ac.update(voltages)  # type: ignore[attr-defined]
        elif "onoise_spectrum" in vectors:
            noise = vectors["onoise_spectrum"].real ** 2
    if not found.op or (done.returncode != 0 and not found.ac):
        lines = [line for line in log.splitlines() if "rror" in line] or log.splitlines()[-3:] or ["nothing"]
        return Reading(" / ".join(lines)[:300])
    return Reading("", found.op, found.ac, noise)


def _plots(raw: bytes) -> list[tuple[str, dict[str, NDArray[np.complex128]]]]:
    """The plots of a binary file of ngspice: name, and vectors by name."""
    found = []
    at = 0
    while (start := raw.find(b"Title:", at)) >= 0:
        end = raw.index(b"Binary:\n", start)
        head = raw[start:end].decode("latin-1").splitlines()
        at = end + len(b"Binary:\n")
        fields = dict(line.split(": ", 1) for line in head if ": " in line and not line.startswith("\t"))
        complex_numbers = fields["Flags"].strip() == "complex"
        names = [line.split("\t")[2] for line in head if line.startswith("\t")]
        points = int(fields["No. Points"])
        kind, size = (np.complex128, 16) if complex_numbers else (np.float64, 8)
        count = points * len(names)
        values = np.frombuffer(raw[at : at + count * size], dtype=kind).reshape(points, len(names))
        at += count * size
        found.append((fields["Plotname"].strip(), dict(zip(names, values.T.astype(np.complex128), strict=True))))
    return found


def by_us(deck: Path) -> Reading:
    """Read a deck as ``spu import`` and ``spu check`` do."""
    try:
        read = spu.read_netlist(deck, probes=[OUT], densities={DRIVE: 1.0})
    except spu.SpuError as refusal:
        return Reading(str(refusal))
    nodes = list(read.circuit.nodes)
    if OUT not in nodes:
        return Reading("nothing is at the node that is read")
    try:
        read = spu.read_netlist(deck, probes=[f"n{k}={node}" for k, node in enumerate(nodes)], densities={DRIVE: 1.0})
        sde = stochastic_ode(read.circuit)
    except spu.SpuError as refusal:
        return Reading(str(refusal))
    E, F, K, H, D = (matrix.toarray() for matrix in (sde.E, sde.F, sde.K, sde.H, sde.D))
    try:
        op = H @ np.linalg.solve(-F, sde.s) + sde.y0
        # A one-sided density S enters as sqrt(S/2).
        gains = np.sqrt(2.0) * np.array([H @ np.linalg.solve(2j * np.pi * f * E - F, K) + D for f in FREQUENCIES])
    except np.linalg.LinAlgError:
        return Reading("the equations are singular")
    origins = [source.origin for source in read.circuit.sources]
    drives = [k for k, row in enumerate(read.noise) if row.name == DRIVE]
    if any(row.ac for row in read.inputs):  # how strong another input is, a stationary law does not care
        drives = []
    heard = [k for k, origin in enumerate(origins) if origin is not None and origin.resistor]
    ac = {node: gains[:, k, drives[0]] for k, node in enumerate(nodes)} if drives else {}
    noise = np.sum(np.abs(gains[:, nodes.index(OUT), heard]) ** 2, axis=1)
    if sde.conserved:  # a charge or a flux that nothing fixes: each has its own idea of the operating point
        op = np.full(len(nodes), np.nan)
    return Reading("", dict(zip(nodes, op.tolist(), strict=True)), ac, noise)


def differences(ours: Reading, theirs: Reading) -> list[str]:
    """What two readings, neither of them refused, do not agree in."""
    found = []
    # ngspice gives some controlled sources nodes of their own; nodes that only carry noise are sources to us.
    missing = sorted(
        node
        for node in set(theirs.op) - set(ours.op)
        if not re.search(r"#|_int\d$", node) and (theirs.op[node] or np.any(theirs.ac.get(node, 0)))
    )
    if missing:
        found.append(f"nodes {', '.join(missing)}: ngspice alone has them")
    common = sorted(set(theirs.op) & set(ours.op))
    if OUT not in common:
        return [*found, f"node {OUT}: one has it"]
    quantities = {
        "op": ({k: np.array([v]) for k, v in ours.op.items()}, {k: np.array([v]) for k, v in theirs.op.items()}),
        "ac": (ours.ac, theirs.ac),
    }
    for what, (mine, other) in quantities.items():
        if not mine or not other:
            continue
        size = max(float(np.abs(other[node]).max()) for node in common)
        for node in common:
            if np.isnan(mine[node]).any():
                continue
            if mine[node].shape != other[node].shape:
                return [*found, f"{what}: {len(other[node])} frequencies in ngspice"]
            gap = float(np.abs(mine[node] - other[node]).max())
            if not gap <= SAME * float(np.abs(other[node]).max()) + 1e-9 * size + 1e-12:
                found.append(f"{what} of {node}: {mine[node][:3]} here, {other[node][:3]} in ngspice")
    both = ours.noise is not None and theirs.noise is not None and ours.noise.shape == theirs.noise.shape
    if both and not np.allclose(ours.noise, theirs.noise, rtol=SAME, atol=SILENCE):
        found.append(f"noise of {OUT}: {ours.noise[:2]} here, {theirs.noise[:2]} in ngspice")
    return found


# --- decks, and what is done to them --------------------------------------------------------

HEAD = f"readers\n{DRIVE} in 0 dc 1 ac 1\n{ANALYSES}"
BASES = """
r1 in out 1k
c1 out 0 10n
r2 out a 2k tc1=0.01
c2 a 0 3n
r3 a 0 5k m=2
.options temp=30
---
.param x=2k y={x/2} z='x+y'
r1 in a {y} ; first
r2 a out {z}
+ m=2
r3 out 0 'x*2' $ last
c1 out 0 1n
* end
---
.subckt rc a b r=1k c=1n
r1 a b {r}
c1 b 0 {c}
.ends rc
x1 in n1 rc
x2 n1 out rc r=2k c={2*1n}
r9 out 0 9k
---
.param r=3k
.subckt out2 p q g=1m
.param h={2*g}
g1 q 0 p 0 {h}
x3 q 0 load r={r}
.ends
.subckt load a b r=1k
r1 a b {r}
c1 a b 1n
.ends
x1 in out out2
x2 in out out2 g=2m
---
r1 in a 1k
e1 b 0 a 0 2
r2 b out 1k
c1 out 0 1n
f1 out 0 v1 0.5
h1 c 0 v1 100
r3 c out 5k
r4 a 0 3k
---
r1 in a 1k
b1 b 0 v=2*v(a)-v(out,b2)/3+1
r2 b out 1k
b2 out 0 i={v(out)/2k-1m}
c1 out 0 1n
r4 a b2 3k
r5 b2 0 1k
---
l1 in a 1m
l2 b 0 2m
k1 l1 l2 0.5
r1 a out 1k
r2 b out 2k
c1 out 0 1n
r3 b 0 1k
r4 out 0 3k
---
.func f(p,q) {p+q*2}
.func g(p) {f(p,1)*1k}
.param k=2
r1 in out {g(k)}
c1 out 0 {f(1n,k*1n)}
r2 out 0 {f(k,k)*500}
---
.model rm r(tc1=0.01 tc2=1e-4)
.temp 40
r1 in out 1k rm
r2 out 0 2k rm tc1=0.02
r3 out a 1k noisy=0
c1 a 0 1n tc1=0.1 dtemp=3
r4 a 0 7k dtemp=9
---
r1 in a 1k
e1 b 0 poly(2) a 0 out 0 0.5 2 -1
r2 b out 1k
g1 out 0 poly(1) a 0 0 1m
c1 out 0 1n
r3 a 0 3k
e2 d 0 value={v(a)*2-v(out)}
r4 d out 4k
g2 0 out cur='v(in)*1m'
---
.global rail
.subckt s a
r1 a rail 1k
c1 a b 1n
r2 b 0 2k
.ends
v2 rail 0 {p}
.param p=3
x1 out s
r1 in out 1k
---
.param a=1 b=2
.param c={a>b?a:b} d={max(a,b)**2-min(a,-b)}
r1 in out {c*1k}
r2 out 0 {d*500+abs(-a)*100}
c1 out 0 1n
---
.param en=1e-9 ts=1n rn=60.327923671830085 kt4=1.6576071894e-20
.param vn={en/sqrt(2*ts)}
.subckt cell a t n c=0 r=0 sn=0
c1 a 0 {c}
r1 a 0 {r}
gr1 a 0 t 0 {sqrt(kt4/r)/en}
gn 0 a n 0 {sqrt(sn)/en}
.ends cell
xcell_a out t_a n_a cell c=1n r=2k sn=4e-20
vt_a t_a 0 dc 0 trrandom(2 {ts} 0 {vn} 0)
vn_a s_a 0 dc 0 trrandom(2 {ts} 0 {vn} 0)
rn_a s_a n_a {rn}
r1 in out 5k
""".strip().split("\n---\n")
_WORDS = """
1k 2 -1 0 1n 1meg 1m 4k7 1e3 1e-3k 10k-5 2*3 {2*3} 'x+1' {x} x r a b out in gnd n1 x1.b rail m=2 m={2} tc1=0.01 dtemp=5
temp=50 noisy=0 ac=1k scale=2 ic=1 dc poly(1) value= v= i= v(a) v(a,out) i(v1) params: g=3m ( ) { } , = + - * / ^ ** ? :
> == && ! % ' " ; $ // # @ ` \\ temper time pi min sqrt(4) pow(-2,3) f(1,2) $x rc out2 s rm {f(1,2)} {-x} 1.5.2 1e +5
++5 \\ \\\\ `
"""
WORDS = _WORDS.split()
_LINES = """
.end|.ends|.endc|.end of it|.subckt s2 a|.control|.endl|.include nothing|.title x|.op|r9 out 0 1k|c9 out 0 1n|v9 n9 0 1
i9 out 0 1m|g9 out 0 a 0 1m|x9 out rc|x9 out s|x9 in out rc|.param x=1k|.param q=3 x={q*1k}|.options temp=50
.options tnom=20|.options scale=2|.temp 50|.model rm r(tc1=0.1)|.func f(p) {3*p}|.global a|.ic v(out)=1
.nodeset v(out)=1|.save v(out)| |*
* comment|; comment|$ comment|# comment|// comment|+|+ m=2|+ 1k|@|*#
""".strip().replace("\n", "|")
LINES = ["", "\t", *_LINES.split("|")]
MARKS = ["*", "#", "$", ";", "+", " ", "\t", ".", "@", "//", "$ ", "; ", "* ", "+ ", "r", "\ufeff", "\x0c", "\xa0"]
TAILS = " ; r|;| $ r|$| $r|,$|//| // r| \\\\|\\\\| *| #|\r|\r\r| |\t|\\|+| m=2".strip("|").split("|")
BREAKS = ["\n+", "\n+ ", "\\\\\n", " \\\\\n", "\n\n+", "\n* x\n+", "\n; x\n+"]
CHARACTERS = "abcekmnprux0123456789.,;$#*+-/\\(){}[]='\"<>?!&|^%@~:_ \t\r\n\x0b\x0c\0\x1a\xa0\xb5\u03bc"


_ONE_ARGUMENT = "sqrt exp ln log log10 abs sgn sin cos tan atan sinh cosh tanh asinh floor ceil nint int sqr"
FUNCTIONS = {1: _ONE_ARGUMENT.split(), 2: ["min", "max", "pow", "pwr"]}
OPERATORS = ["+", "-", "*", "/", "+", "-", "*", "/", "^", "**", ">", "<", ">=", "<=", "==", "!=", "&&", "||"]
NUMBERS = ["2", "0.5", "3", "1.5", "2k*1m", "1e-1", "4m*1e3", ".25", "7", "1meg/1e6"]


def expression(rng: random.Random, depth: int = 3, names: tuple[str, ...] = ("x", "y")) -> str:
    """An expression of numbers and of parameters."""
    if depth == 0 or rng.random() < 0.2:
        return rng.choice([*names, *names, *NUMBERS])
    inner = [expression(rng, depth - 1, names) for _ in range(3)]
    kind = rng.randrange(10)
    if kind < 4:
        return f"{inner[0]}{rng.choice(OPERATORS)}{inner[1]}"
    if kind == 4:
        return f"({inner[0]} {rng.choice(OPERATORS)} {inner[1]})"
    if kind == 5:
        return f"({inner[0]}?{inner[1]}:{inner[2]})"
    if kind == 6:
        return f"{rng.choice('-+!--')}{inner[0]}"
    if kind == 7:
        return f"f({inner[0]},{inner[1]})" if "x" in names else f"({inner[0]})"
    count = rng.choice((1, 1, 2))
    return f"{rng.choice(FUNCTIONS[count])}({','.join(inner[:count])})"


def calculated(rng: random.Random) -> str:
    """A deck whose values are expressions, as parameters and as sources."""
    lines = ["r1 in out 1k", "c1 out 0 1n", "r2 out 0 3k"]
    lines.append(f".param x={rng.choice((1, -2, 0.5, 3))} y={rng.choice((2, -1, 0))}")
    lines.append(f".func f(p,q) {{{expression(rng, 2, ('p', 'q'))}}}")
    for k in range(3):
        lines += [f".param p{k}={{{expression(rng)}}}", f"v1{k} n{k} 0 {{p{k}}}", f"r1{k} n{k} 0 1k"]
    lines += [f"b20 b0 0 v={{({expression(rng)})*v(in)}}", "r20 b0 0 1k", f"b21 0 b1 i={expression(rng)}", "r21 b1 0 1"]
    return "\n".join(lines)


def changed(rng: random.Random, text: str) -> str:
    """A deck with one thing changed."""
    lines = text.split("\n")
    first = HEAD.count("\n")
    k = rng.randrange(first, max(len(lines) - 1, first + 1)) if rng.random() < 0.95 else 0
    line = lines[k]
    words = line.split(" ")
    j = rng.randrange(len(words))
    at = rng.randrange(len(line) + 1)
    what = rng.randrange(17)
    if what == 0:
        lines[k] = line[:at] + rng.choice(CHARACTERS) + line[at:]
    elif what == 1:
        lines[k] = line[:at] + line[at + 1 :]
    elif what == 2:
        lines[k] = line[:at] + rng.choice(CHARACTERS) + line[at + 1 :]
    elif what == 3:
        lines[k] = " ".join([*words[:j], rng.choice(WORDS), *words[j:]])
    elif what == 4:
        lines[k] = " ".join([*words[:j], rng.choice(WORDS), *words[j + 1 :]])
    elif what == 5:
        lines[k] = " ".join([*words[:j], *words[j + 1 :]])
    elif what == 6:
        lines[k] = line[:at] + rng.choice(WORDS) + line[at:]
    elif what == 7:
        lines[k] = rng.choice(MARKS) + line
    elif what == 8:
        lines[k] = line + rng.choice(TAILS)
    elif what == 9:
        lines.insert(k, rng.choice(LINES))
    elif what == 10:
        lines.insert(rng.randrange(first, len(lines) + 1), lines.pop(k))
    elif what == 11:
        lines.insert(k, line)
    elif what == 12:
        lines.append(rng.choice([line, *LINES]))
    elif what == 13:
        lines[k] = line[:at] + rng.choice(BREAKS) + line[at:]
    elif what == 14:
        other = rng.choice(lines[first:]).split(" ")
        lines[k] = " ".join([*words[:j], rng.choice(other), *words[j + 1 :]])
    elif what == 15:
        lines[k] = line.upper()
    else:
        lines[k] = line.replace(rng.choice(words) or "r", rng.choice(WORDS))
    return "\n".join(lines)


def deck(seed: int) -> str:
    """A deck by its number: one of `BASES` with one to three changes, or one of expressions."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return HEAD + calculated(rng) + "\n.end\n"
    text = HEAD + rng.choice(BASES) + "\n.end\n"
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = changed(rng, text)
    return text


@dataclass(frozen=True)
class Outcome:
    """What became of a deck: ``alike``, ``both refuse``, ``we refuse``, ``ngspice refuses`` or ``differ``."""

    kind: str
    seed: int
    text: str
    why: str = ""


def compare(seed: int, text: str | None = None) -> Outcome:
    """Read a deck both ways."""
    text = deck(seed) if text is None else text
    with tempfile.TemporaryDirectory(prefix="readers-") as folder:
        file = Path(folder) / "deck.cir"
        file.write_bytes(text.encode())
        ours = by_us(file)
        if ours.refused:
            return Outcome("we refuse", seed, text, ours.refused)
        theirs = by_ngspice(file)
    if theirs.refused:
        return Outcome("ngspice refuses", seed, text, theirs.refused)
    found = differences(ours, theirs)
    return Outcome("differ", seed, text, "; ".join(found)) if found else Outcome("alike", seed, text)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="Write the decks that differ, and those refused.")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.runs)
    counts: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    with multiprocessing.Pool(arguments.jobs) as pool:
        for outcome in pool.imap_unordered(compare, seeds, chunksize=20):
            counts[outcome.kind] += 1
            if outcome.kind == "we refuse":
                refusals[re.sub(r"[0-9]+|'[^']*'", "_", outcome.why.partition(": ")[2])[:70]] += 1
            if outcome.kind == "differ":
                print(f"--- deck {outcome.seed}: {outcome.why[:400]}\n{outcome.text!r}\n", flush=True)
            if arguments.keep is not None and outcome.kind in ("differ", "ngspice refuses"):
                arguments.keep.mkdir(parents=True, exist_ok=True)
                name = f"{outcome.kind.split()[0]}_{outcome.seed}.cir"
                (arguments.keep / name).write_bytes(outcome.text.encode())
    print(", ".join(f"{kind}: {count}" for kind, count in counts.most_common()))
    for why, count in refusals.most_common(20):
        print(f"{count:6d}  {why}")
    return 1 if counts["differ"] else 0


if __name__ == "__main__":
    sys.exit(main())
