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
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import spu
from spu.sde import stochastic_ode

DRIVE = "v1"
"""The source that ``.ac`` drives, by one volt or ampere."""
OUT = "out"
"""The node whose noise is compared."""
ANALYSES = f".op\n.ac dec 1 1k 1g\n.noise v({OUT}) {DRIVE} dec 1 1k 1g\n"
"""The lines that a deck needs in order to be compared."""
FREQUENCIES = 10.0 ** np.arange(3, 10)
SAME = 2e-6
"""Relative to the largest value of the quantity; ngspice's Boltzmann constant is 3.5e-7 off."""
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
    if not found.op or done.returncode != 0 and not found.ac:
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
    heard = [k for k, origin in enumerate(origins) if origin is not None and origin.resistor]
    ac = {node: gains[:, k, drives[0]] for k, node in enumerate(nodes)} if drives else {}
    noise = np.sum(np.abs(gains[:, nodes.index(OUT), heard]) ** 2, axis=1)
    return Reading("", dict(zip(nodes, op.tolist(), strict=True)), ac, noise)


def differences(ours: Reading, theirs: Reading) -> list[str]:
    """What two readings, neither of them refused, do not agree in."""
    found = []
    # ngspice gives some controlled sources nodes of their own.
    missing = sorted(node for node in set(theirs.op) - set(ours.op) if not re.search(r"#|_int\d$", node))
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
            if mine[node].shape != other[node].shape:
                return [*found, f"{what}: {len(other[node])} frequencies in ngspice"]
            gap = float(np.abs(mine[node] - other[node]).max())
            if not gap <= SAME * size + 1e-12:
                found.append(f"{what} of {node}: {mine[node][:3]} here, {other[node][:3]} in ngspice")
    if ours.noise is not None and theirs.noise is not None and len(theirs.noise) == len(ours.noise):
        gap = float(np.abs(ours.noise / theirs.noise - 1.0).max())
        if not gap <= 10 * SAME:
            found.append(f"noise of {OUT}: {ours.noise[:2]} here, {theirs.noise[:2]} in ngspice")
    return found
