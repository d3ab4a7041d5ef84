"""What `spu check` sees: random devices of every architecture, their netlists changed in one place.

Each device is checked as it is, which gives the false alarms, and with its netlist changed: one value by 1, 2, 5 and
20 %, two couplers swapped, a sign flipped (of a transconductor or a bias; of dual rails a coupler crossed), a noise
source removed, a noise source of twice the density.
Printed are, per level: how many changes were seen, how many of those that the level said beforehand it would see
(`Level.detects`), and how often the diagnosis named the right element.

    python benchmarks/mutations.py [--devices 200] [--seed 0] [--levels op,ac,replay,noise] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import spu
from spu.device.hardware import LINEAR_ARCHITECTURES

HAND_BUILT = "hand-built"
STATISTICAL = ("noise",)
SIZES = (1, 2, 3, 4, 5, 6)
SHARES = (0.01, 0.02, 0.05, 0.20)
KINDS = (*(f"{share:.0%} off" for share in SHARES), "swapped", "sign", "no noise", "twice the noise")

_VALUE = re.compile(r"(?P<key>\b(?:c|r|l|sn|ib|gab|gba)=)(?P<value>[-+0-9.e]+)")


@dataclass(frozen=True)
class Seen:
    """One check of one netlist.

    Attributes
    ----------
    kind:
        What was changed; empty for nothing.
    element, parameter:
        Where: an instance of the netlist, and its parameter.
    size:
        Relative change of the value, where there is one.
    verdicts:
        Of each level.
    stated:
        For each level whether it said beforehand that it sees such a change.
    diagnosis:
        ``right``, ``ambiguous`` (the right one is among those said to explain as well), ``wrong`` or ``none``.
    """

    device: int
    architecture: str
    kind: str
    element: str = ""
    parameter: str = ""
    size: float = 0.0
    verdicts: dict[str, str] = field(default_factory=dict)
    stated: dict[str, bool] = field(default_factory=dict)
    diagnosis: str = ""


def random_device(rng: np.random.Generator, architecture: str) -> spu.Device:
    """A device of 1 to 6 cells: compiled for a random matrix that the architecture holds, or built by hand."""
    n = int(rng.choice(SIZES))
    temperature = float(rng.choice([0.0, 300.15]))
    if architecture == HAND_BUILT:
        return hand_built(rng, max(n, 2), temperature)
    weights = np.triu(rng.random((n, n)) * (rng.random((n, n)) < 0.8), 1)
    if architecture.endswith("-dual") or architecture == "rc-transconductor":
        weights = weights * rng.choice([-1.0, 1.0], (n, n))
    off = -(weights + weights.T)
    matrix = off + np.diag(np.abs(off).sum(axis=1) + rng.uniform(0.1, 1.0, n))
    problem: spu.Problem = spu.GaussianSampling(precision=matrix)
    if architecture.startswith("rc") and rng.random() < 0.5:
        problem = spu.LinearSystem(matrix=matrix, vector=rng.standard_normal(n))
    device = spu.compile(problem, architecture=architecture)
    device.temperature = temperature
    return device


def hand_built(rng: np.random.Generator, n: int, temperature: float) -> spu.Device:
    """Cells of scattered values with couplers of every kind."""
    device = spu.Device(temperature=temperature)
    for k in range(n):
        scatter = np.exp(0.4 * rng.standard_normal(4))
        inductor = {"inductance": 1e-5 * scatter[2]} if rng.random() < 0.7 else {}
        device.add_cell(
            f"c{k}", capacitance=1e-9 * scatter[0], conductance=1e-3 * scatter[1], noise=4e-20 * scatter[3], **inductor
        )
    for i in range(n):
        for j in range(i + 1, n):
            value = float(np.exp(0.5 * rng.standard_normal()))
            kind = rng.choice(["capacitance", "conductance", "transconductance", ""])
            sizes = {"capacitance": 2e-10, "conductance": 1e-4, "transconductance": 1e-4}
            if kind:
                device.add_coupler(f"c{i}", f"c{j}", **{str(kind): sizes[str(kind)] * value})
    return device


@dataclass(frozen=True)
class Change:
    """A line of a netlist, and what it is changed to."""

    kind: str
    element: str
    parameter: str
    size: float
    lines: dict[int, str]


def changes(rng: np.random.Generator, deck: str) -> list[Change]:
    """One change of each kind that this netlist has a place for."""
    lines = deck.splitlines()
    places = [
        (number, match["key"][:-1], float(match["value"]))
        for number, line in enumerate(lines)
        if line.startswith(("xcell_", "xcoupler_"))
        for match in _VALUE.finditer(line)
        if float(match["value"])
    ]

    def line_with(number: int, key: str, value: float) -> str:
        return re.sub(rf"\b{key}=[-+0-9.e]+", f"{key}={value!r}", lines[number], count=1)

    def one(kind: str, keys: tuple[str, ...], factor: float, prefix: str = "x") -> Change | None:
        fitting = [place for place in places if place[1] in keys and lines[place[0]].startswith(prefix)]
        if not fitting:
            return None
        number, key, value = fitting[rng.integers(len(fitting))]
        changed = {number: line_with(number, key, value * factor)}
        return Change(kind, lines[number].split()[0], key, abs(factor - 1.0), changed)

    every = ("c", "r", "l", "sn", "ib", "gab", "gba")
    made = [one(f"{share:.0%} off", every, 1.0 + float(rng.choice([-1, 1])) * share) for share in SHARES]
    made.append(_swap(rng, lines, places))
    made.append(_crossed(rng, lines) or one("sign", ("gab", "gba", "ib"), -1.0))
    made.append(one("no noise", ("sn",), 0.0))
    made.append(one("twice the noise", ("sn",), 2.0))
    return [change for change in made if change is not None]


def _crossed(rng: np.random.Generator, lines: list[str]) -> Change | None:
    """A coupler of dual rails that meets the wrong one of a pair: the sign of its matrix entry."""
    fitting = [
        number for number, line in enumerate(lines) if re.match(r"xcoupler_\S+ cell_\w+_[pn] cell_\w+_[pn] ", line)
    ]
    if not fitting:
        return None
    number = int(rng.choice(fitting))
    words = lines[number].split()
    words[2] = words[2][:-1] + {"p": "n", "n": "p"}[words[2][-1]]
    return Change("sign", words[0], "", 2.0, {number: " ".join(words)})


def _swap(rng: np.random.Generator, lines: list[str], places: list[tuple[int, str, float]]) -> Change | None:
    """Two couplers of one kind whose values differ, exchanged."""
    couplers = [place for place in places if lines[place[0]].startswith("xcoupler_") and place[1] != "gba"]
    pairs = [
        (a, b)
        for k, a in enumerate(couplers)
        for b in couplers[k + 1 :]
        if a[1] == b[1] and abs(a[2] / b[2] - 1.0) > 0.02
    ]
    if not pairs:
        return None
    a, b = pairs[rng.integers(len(pairs))]
    values = [re.findall(r"\b\w+=\S+", lines[place[0]]) for place in (a, b)]
    changed = {}
    for place, other in ((a, values[1]), (b, values[0])):
        bare = re.sub(r"\s+\w+=\S+", "", lines[place[0]])
        changed[place[0]] = " ".join([bare, *other])
    names = [lines[place[0]].split()[0] for place in (a, b)]
    return Change("swapped", " ".join(names), a[1], abs(a[2] / b[2] - 1.0), changed)


def study(job: tuple[int, int, tuple[str, ...]]) -> list[Seen]:
    """Everything about one device."""
    seed, number, levels = job
    rng = np.random.default_rng([seed, number])
    kinds = (*LINEAR_ARCHITECTURES, HAND_BUILT)
    architecture = kinds[number % len(kinds)]
    device = random_device(rng, architecture)
    deck = spu.netlist(device)
    seen = []
    with tempfile.TemporaryDirectory(prefix="spu-mutations-") as folder:
        device.write(Path(folder) / "device.json")

        def checked(text: str, own_seed: int) -> Any:
            (Path(folder) / "device.cir").write_text(text)
            return spu.check(folder, levels=levels, seed=own_seed)

        sound = checked(deck, int(rng.integers(2**30)))
        seen.append(Seen(number, architecture, "", verdicts=_verdicts(sound)))
        for change in changes(rng, deck):
            lines = deck.splitlines()
            for where, text in change.lines.items():
                lines[where] = text
            found = checked("\n".join(lines) + "\n", int(rng.integers(2**30)))
            stated = {name: _stated(level, change) for name, level in sound.levels.items()}
            what = (change.kind, change.element, change.parameter, change.size)
            seen.append(
                Seen(number, architecture, *what, _verdicts(found), stated, _diagnosed(found, change)),
            )
    return seen


def _verdicts(found: Any) -> dict[str, str]:
    return {name: level.verdict for name, level in found.levels.items()}


def _stated(level: Any, change: Change) -> bool:
    """Whether the level said that it sees a change of this size of whatever element."""
    worst = getattr(level, "detects", {}).get("element_worst")
    return worst is not None and not level.detects.get("unseen") and change.size >= worst and level.verdict == "pass"


def _diagnosed(found: Any, change: Change) -> str:
    diagnosis = getattr(found, "diagnosis", None)
    if diagnosis is None:
        return ""
    if diagnosis.best is None:
        return "none"
    names = change.element.split()

    def right(explanation: Any) -> bool:
        return any(re.search(rf"\b{re.escape(name)}\b", explanation.element) for name in names)

    if right(diagnosis.best):
        return "right"
    return "ambiguous" if any(each.equivalent and right(each) for each in diagnosis.others) else "wrong"


def report(seen: list[Seen], levels: tuple[str, ...]) -> str:
    """The tables."""
    sound = [each for each in seen if not each.kind]
    kinds = Counter(each.architecture for each in sound)
    out = [f"{len(sound)} devices ({', '.join(f'{count} {name}' for name, count in kinds.items())})"]
    out += ["", "unchanged: verdicts per level"]
    for level in levels:
        counts = Counter(each.verdicts.get(level, "-") for each in sound)
        out.append(f"  {level:8s}" + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    out += ["", "changed: share seen (of how many), by level; in brackets of those the level said it would see"]
    out.append(f"  {'':18s}" + "".join(f"{level:>24s}" for level in (*levels, "any level")))
    for kind in KINDS:
        those = [each for each in seen if each.kind == kind]
        cells = [_share(those, level) for level in levels]
        some = sum(any(v in ("fail", "error") for v in each.verdicts.values()) for each in those)
        cells.append(f"{some}/{len(those)}")
        out.append(f"  {kind:18s}" + "".join(f"{cell:>24s}" for cell in cells))
    diagnosed = defaultdict(Counter)
    for each in seen:
        if each.kind and each.diagnosis:
            diagnosed[each.kind][each.diagnosis] += 1
    if diagnosed:
        out += ["", "diagnosis of those seen"]
        for kind in KINDS:
            counts = diagnosed[kind]
            out.append(f"  {kind:18s}" + ", ".join(f"{n} {word}" for word, n in counts.most_common()))
    return "\n".join(out)


def _share(those: list[Seen], level: str) -> str:
    ran = [each for each in those if each.verdicts.get(level) not in (None, "skipped")]
    caught = [each for each in ran if each.verdicts[level] in ("fail", "error")]
    promised = [each for each in ran if each.stated.get(level)]
    kept = [each for each in promised if each.verdicts[level] in ("fail", "error")]
    return f"{len(caught)}/{len(ran)} [{len(kept)}/{len(promised)}]"


def main() -> int:
    """Run; 1 where a level broke its word: a false alarm of a deterministic one, or a promise not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--levels", default="op,ac,replay,noise")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    levels = tuple(given.levels.split(","))
    started = time.perf_counter()
    seen: list[Seen] = []
    jobs = [(given.seed, number, levels) for number in range(given.devices)]
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for done, each in enumerate(pool.imap_unordered(study, jobs), start=1):
            seen += each
            print(f"\r{done} of {len(jobs)} devices, {time.perf_counter() - started:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    seen.sort(key=lambda each: each.device)
    print(report(seen, levels))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in seen], indent=1))
    alarms = [e for e in seen if not e.kind and any(v in ("fail", "error") for v in e.verdicts.values())]
    broken = [
        e
        for e in seen
        for level, stated in e.stated.items()
        if stated and level not in STATISTICAL and e.verdicts.get(level) not in ("fail", "error")
    ]
    for each in [*alarms, *broken]:
        what = f"{each.kind or 'unchanged'} {each.element}"
        print(f"<--- device {each.device} ({each.architecture}), {what}: {each.verdicts}")
    return int(bool(alarms or broken))


if __name__ == "__main__":
    sys.exit(main())
