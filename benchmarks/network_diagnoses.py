"""How often the diagnosis of a network is right: its netlist edited, run by ngspice, and explained.

Networks of each architecture; every value of one cell by 5 % and by a factor of two, couplings of the other sign,
missing, exchanged, and two values at a time, which no single change explains.

    python benchmarks/network_diagnoses.py [UNITS [SEED]]     three units unless given, some minutes
"""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import spu
from spu.base.process import scratch_folder
from spu.circuit.polynomial import PolynomialCapacitor
from spu.crosscheck.result import Check
from spu.folder import write_folder

ARCHITECTURES = ("rc-conductance", "rlc-flux", "rc-charge")

VALUES = {
    "rc-conductance": ("c", "sn", "ib", "p1", "p2", "p3"),
    "rlc-flux": ("c", "r", "sn", "ib", "f1", "f2", "f3"),
    "rc-charge": ("r", "sn", "ib", "qs", "vs", "vc", "qh"),
}
ELEMENTS = {"c": "c1", "r": "r1", "sn": "gn", "l": "l1"}

CELL = "xcell_x2"


@dataclass(frozen=True)
class Edit:
    """One change of a netlist: what is changed, by which factor (where it is a value), and the netlist then."""

    label: str
    element: str
    factor: float | None
    text: str


def network(architecture: str, n: int, seed: int = 0) -> spu.ThermodynamicNetwork:
    """Coefficients and couplings of both signs; of nonlinear capacitors convex and without couplings."""
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.uniform(0.2, 0.6, (n, n)) * rng.choice([-1.0, 1.0], (n, n)), 1)
    if n > 2:
        couplings[0, 1:3] = 0.5, -0.3  # one of each sign
    if n > 3:
        couplings[0, 3] = couplings[1, 2] = 0.2
    lone = architecture == "rc-charge"
    return spu.ThermodynamicNetwork(
        rng.uniform(0.3 if lone else -1.0, 1.0, n),
        rng.uniform(0.1, 0.3, n) * rng.choice([-1.0, 1.0], n),
        rng.uniform(0.5, 1.5, n),
        couplings=None if lone else couplings + couplings.T,
        input=rng.uniform(0.3, 1.0, n) * rng.choice([-1.0, 1.0], n),
        kT=0.5,
    )


def _scaled(text: str, instance: str, name: str, factor: float) -> str:
    found, count = re.subn(rf"^({instance} .*\b{name}=)(\S+)", rf"\g<1>{{{factor}*\2}}", text, flags=re.MULTILINE)
    assert count == 1
    return found


def edits(architecture: str, text: str) -> Iterator[Edit]:
    """Every change of a netlist that is tried."""
    for name in VALUES[architecture]:
        for factor in (1.05, 2.0):
            element = f"{ELEMENTS.get(name, name)} of {CELL}"
            yield Edit(f"{name} x{factor:g}", element, factor, _scaled(text, CELL, name, factor))
    if architecture == "rc-charge":
        yield from _laws(text)
    couplers = [line for line in text.splitlines() if line.startswith("xcoupler")]
    for line in couplers[:3]:
        instance, a, b, kind, *values = line.split()
        for value in values:
            name = value.split("=")[0]
            for factor in (1.05, 2.0, *([-1.0] if kind == "coupler_g" else [])):
                element = f"{ELEMENTS.get(name, name)} of {instance}"
                yield Edit(f"{name} of {instance} x{factor:g}", element, factor, _scaled(text, instance, name, factor))
        yield Edit(f"{instance} missing", instance, None, text.replace(line + "\n", ""))
        other = {"coupler_l": ("coupler_x", "lx"), "coupler_x": ("coupler_l", "l")}.get(kind)
        if other is not None and f".subckt {other[0]}" in text:
            turned = " ".join([instance, a, b, other[0], f"{other[1]}={values[0].split('=')[1]}"])
            yield Edit(f"{instance} sign", instance, None, text.replace(line, turned))
    for first, second in itertools.pairwise(couplers):
        one, two = (line.split(maxsplit=4) for line in (first, second))
        if one[3] == two[3] and one[4] != two[4]:
            swapped = text.replace(first, " ".join([*one[:4], two[4]])).replace(second, " ".join([*two[:4], one[4]]))
            yield Edit(f"{one[0]} and {two[0]} swapped", f"{one[0]} and {two[0]}", None, swapped)


def _laws(text: str) -> Iterator[Edit]:
    """A coefficient of a nonlinear capacitor's law, which its netlist holds in four other numbers."""
    line = next(line for line in text.splitlines() if line.startswith(CELL))
    law = [float(re.search(rf"\bq{k}=(\S+)", line)[1]) for k in (1, 2, 3)]  # type: ignore[index]
    for k in range(3):
        for factor in (1.05, 2.0):
            changed = [np.float64(value * factor if j == k else value) for j, value in enumerate(law)]
            edited = line
            for name, value in PolynomialCapacitor.inverse(*changed).items():
                edited = re.sub(rf"\b{name}=\S+", f"{name}={float(value)!r}", edited)
            yield Edit(f"q{k + 1} x{factor:g}", f"q{k + 1} of {CELL}", factor, text.replace(line, edited))


def pairs(architecture: str, text: str) -> Iterator[Edit]:
    """Two values at a time, of two cells."""
    names = [name for name in VALUES[architecture] if name not in ("c", "vc")]
    for first, second in itertools.pairwise(names):
        both = _scaled(_scaled(text, CELL, first, 1.2), "xcell_x1", second, 0.8)
        yield Edit(f"{first} of {CELL} and {second} of xcell_x1", "", None, both)


def folder(path: Path, architecture: str, n: int, seed: int = 0) -> tuple[Path, str]:
    """A compiled network; and its netlist."""
    hardware = "neurons" if architecture == "rc-conductance" else "ideal"
    write_folder(path, spu.compile_network(network(architecture, n, seed), hardware, architecture=architecture))
    return path, (path / "device.cir").read_text()


def checked(path: Path, text: str) -> Check:
    """The check of a folder with another netlist."""
    (path / "device.cir").write_text(text)
    return spu.check(path, levels=["op", "replay"])


def outcome(found: Check, edit: Edit) -> str:
    """``passed``, ``named`` (with its value), ``equivalent`` (named among those that cannot be told apart), or else."""
    if found.verdict != "fail" or found.diagnosis is None:
        return "passed"
    best = found.diagnosis.best
    if best is None:
        return "none"
    if edit.element and _is(best, edit):
        return "named" if best.complete else "named, not complete"
    if edit.element and any(other.equivalent and _is(other, edit) for other in found.diagnosis.others):
        return "equivalent"
    return "wrong" if best.complete else "none"


def _is(found: spu.crosscheck.result.Explanation, edit: Edit) -> bool:
    if edit.element not in found.element:
        return False
    if edit.factor is None or not isinstance(found.after, float) or not isinstance(found.before, float):
        return True
    return abs(found.after / found.before / edit.factor - 1.0) < 0.03


def main() -> None:
    """Print what became of every edit."""
    n, seed = (int(given) for given in (*sys.argv[1:], "3", "0")[:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 0)
    for architecture in ARCHITECTURES:
        counts: Counter[str] = Counter()
        with scratch_folder("diagnoses") as scratch:
            path, text = folder(scratch / "network", architecture, n, seed)
            assert checked(path, text).diagnosis is None
            for edit in edits(architecture, text):
                found = checked(path, edit.text)
                counts[outcome(found, edit)] += 1
                first = "" if found.diagnosis is None else found.diagnosis.lines[0]
                print(f"{architecture:15} {edit.label:45} {outcome(found, edit):20} {first}", flush=True)
            print(f"{architecture}: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
            twice = Counter(outcome(checked(path, edit.text), edit) for edit in pairs(architecture, text))
            print(f"{architecture}, two at a time: " + ", ".join(f"{count} {word}" for word, count in twice.items()))


if __name__ == "__main__":
    main()
