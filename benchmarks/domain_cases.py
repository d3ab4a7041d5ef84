"""Random linear devices and runs of them, over the whole domain: each a function of its seed alone.

Every architecture, compiled and by hand; cells alike and scattered; wired, quantised and detailed hardware; ensembles;
conserved charges and fluxes; circuits with controlled sources; sizes, trajectories and readouts around the tiles of
the compiled loops; intervals from a thousandth of the fastest time constant to thirty of the slowest.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from domain_law import BOLTZMANN, NoLaw, NotCovered, OwnLaw, Part, circuit_law, device_parts
from random_matrices import random_matrix

import spu
from spu.circuit.circuit import Circuit
from spu.device.banks import Bank
from spu.device.hardware import LINEAR_ARCHITECTURES, Range

if str(Path(__file__).parent.parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.linear_networks import KINDS, cards, network

TRAJECTORIES = (
    *(1, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 39, 40, 63, 64, 65, 71, 72, 100, 127, 128, 129),
    *(255, 256, 257, 511, 512, 513, 527, 528, 633, 640, 641, 999, 1000),
)
"""Around the widths of vectors (8) and tiles (32 to 128)."""

NUMBERS = 25_000
"""Most numbers that a run keeps."""


@dataclass(frozen=True, eq=False)
class Case:
    """One run.

    Attributes
    ----------
    seed, family:
        Where it comes from.
    subject:
        What is simulated.
    laws:
        Of each programming, in problem units, as this program derives it.
    options:
        Of `spu.simulate`.
    sparse:
        Whether the sparse way is forced.
    """

    seed: int
    family: str
    subject: spu.Device | Circuit
    laws: list[OwnLaw]
    options: dict[str, Any]
    sparse: bool = False

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.family}: {len(self.laws[0].A)} states, {len(self.laws[0].H)} variables; {options}"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A device or circuit, and which ways to run it are there."""

    subject: spu.Device | Circuit
    laws: list[OwnLaw]
    methods: tuple[str | None, ...] = (None, "dense")
    sparse: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


class Refused(Exception):
    """A draw without a stationary law, or that cannot be compiled; with what the package said, or failed to say."""


def draw(seed: int, families: tuple[str, ...] | None = None, numbers: int = NUMBERS) -> Case:
    """The case of a seed.

    Raises
    ------
    Refused
        If it is none.
    """
    rng = np.random.default_rng([seed, 20261128])
    names = tuple(families or FAMILIES)
    weights = np.array([FAMILIES[name][1] for name in names])
    family = str(rng.choice(names, p=weights / weights.sum()))
    try:
        drawn = FAMILIES[family][0](rng)
    except spu.Unrealizable as why:
        raise Refused(f"{family}: {str(why)[:60]}") from None
    except spu.CircuitError as why:
        if "rates spread" not in str(why):
            raise
        raise Refused(f"{family}: {str(why)[:60]}") from None
    options = _options(rng, drawn, numbers)
    return Case(seed, family, drawn.subject, drawn.laws, options, drawn.sparse)


def own_law(device: spu.Device) -> OwnLaw:
    """The law of one programming, in problem units."""
    readout = device.readout
    law = circuit_law(device_parts(device), [f"cell {name}" for name in device.cell_names])
    return law.read(readout.matrix.toarray(), readout.offset)


def _drawn(device: spu.Device, **options: Any) -> Drawn:
    try:
        laws = [own_law(member) for member in device.members()]
    except NotCovered as why:
        raise Refused(str(why)) from None
    except NoLaw as why:
        try:
            spu.predict(device)
        except spu.CircuitError:
            raise Refused(str(why)) from None
        raise Refused(f"NOT REFUSED by the package: {why}") from None
    return Drawn(device, laws, **options)


def _options(rng: np.random.Generator, drawn: Drawn, numbers: int) -> dict[str, Any]:
    poles = np.concatenate([law.poles for law in drawn.laws])
    fast, slow = 1.0 / np.abs(poles).max(), (-1.0 / poles.real).max()
    size, members = max(len(drawn.laws[0].H), len(drawn.laws[0].A) // 8), len(drawn.laws)
    options: dict[str, Any] = {"seed": int(rng.integers(2**63)), "threads": 1, "trace": 1}
    most = max(1, numbers // size // members)
    if rng.random() < 0.08:
        options |= {"independent": True, "samples": members * _log_integer(rng, 1, min(most, 3000))}
        return options
    count = int(rng.choice(TRAJECTORIES))
    while count > most:
        count = int(rng.choice(TRAJECTORIES))
    steps = _log_integer(rng, 1, min(most // count, 400 if rng.random() < 0.9 else 3000))
    if rng.random() < 0.25:  # around the chunks of the compiled loops
        chunk = 1024 // max(1, min(count // 8 * 8, 32)) if rng.random() < 0.5 else 512
        steps = min(max(1, chunk + int(rng.integers(-1, 2))), max(1, most // count))
    interval = float(np.exp(rng.uniform(np.log(1e-3 * fast), np.log(30.0 * slow))))
    options |= {"trajectories": count, "interval": interval}
    if rng.random() < 0.2:
        options["duration"] = interval * (steps - (0.5 if rng.random() < 0.5 else 0.0))
    else:
        options["samples"] = members * (count * steps - int(rng.integers(0, count)))
    if drawn.sparse:
        if rng.random() < 0.5:
            options["step"] = interval / float(np.exp(rng.uniform(0.0, np.log(12.0))))
        return options
    if "samples" in options and rng.random() < 0.1:  # as whoever asks for nothing but samples
        del options["trajectories"]
        if rng.random() < 0.5:
            del options["interval"]
    method = drawn.methods[int(rng.integers(len(drawn.methods)))]
    if method is not None:
        options["method"] = method
    if rng.random() < 0.4:
        options["lags"] = int(rng.integers(1, 5)) if rng.random() < 0.9 else int(rng.integers(1, 40))
    return options


def _log_integer(rng: np.random.Generator, low: int, high: int) -> int:
    return int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))) if high > low else low


# By hand


def _value(rng: np.random.Generator, scale: float, spread: float) -> float:
    return float(scale * 10.0 ** rng.uniform(-spread, spread))


def _temperature(rng: np.random.Generator) -> float:
    return float(rng.choice([0.0, 300.0]))


def _read_out(rng: np.random.Generator, device: spu.Device) -> None:
    """Sometimes another readout than the voltages themselves: any matrix and offset."""
    n = len(device.cell_names)
    if rng.random() < 0.5:
        return
    p = int(rng.integers(1, n + 2)) if n < 12 else n
    matrix = rng.standard_normal((p, n)) * (rng.random((p, n)) < rng.uniform(0.2, 1.0))
    matrix[np.arange(p), rng.integers(0, n, p)] += 1.0
    volts = 10.0 ** rng.uniform(0, 6)
    device.set_readout(matrix * volts, rng.standard_normal(p) * 10.0 ** rng.uniform(-3, 1), [f"x{k}" for k in range(p)])


def _scattered(rng: np.random.Generator, n: int | None = None, inductors: float = 0.6) -> spu.Device:
    """Cells that all differ, with couplers of every kind."""
    n = n or _log_integer(rng, 1, 9)
    spread = float(rng.choice([0.1, 0.5, 0.5, 1.0, 2.0]))
    device = spu.Device(temperature=_temperature(rng))
    kinds = rng.random(4) < [0.6, 0.6, 0.3, 0.4]
    cold = device.temperature == 0.0
    for k in range(n):
        cell = {"capacitance": _value(rng, 1e-9, spread), "conductance": _value(rng, 1e-3, spread)}
        if rng.random() < inductors:
            cell["inductance"] = _value(rng, 1e-5, spread)
        if rng.random() < (0.9 if cold else 0.6):
            cell["noise"] = _value(rng, 4e-20, spread)
        if rng.random() < 0.5:
            cell["bias"] = float(rng.normal()) * 10.0 ** rng.uniform(-9, -5)
        device.add_cell(f"c{k}", **cell)
    if rng.random() < 0.6:
        device.set_readout(np.eye(n))
    for a in range(n):
        for b in range(a + 1, n):
            if rng.random() > min(1.0, 3.0 / n):
                continue
            coupler: dict[str, float | tuple[float, float]] = {}
            if kinds[0]:
                coupler["capacitance"] = _value(rng, 3e-10, spread)
            if kinds[1]:
                coupler["conductance"] = _value(rng, 3e-4, spread)
            if kinds[2] and inductors:
                coupler["inductance"] = _value(rng, 3e-5, spread)
            if kinds[3]:
                coupler["transconductance"] = (float(rng.normal() * 2e-4), float(rng.normal() * 2e-4))
            if coupler:
                ends = (f"c{a}", f"c{b}") if rng.random() < 0.5 else (f"c{b}", f"c{a}")
                device.add_coupler(*ends, **coupler)
    _read_out(rng, device)
    return device


def _by_hand(rng: np.random.Generator) -> Drawn:
    return _drawn(_scattered(rng))


def _detailed_by_hand(rng: np.random.Generator) -> Drawn:
    device = _scattered(rng)
    device.detail = _detail(rng, switches=False)
    return _drawn(device)


def _detail(rng: np.random.Generator, switches: bool) -> spu.Detail:
    tables: dict[str, dict[str, float]] = {}
    if switches:
        tables["switch"] = {"on_resistance": _value(rng, 1.0, 1.0)}
        if rng.random() < 0.7:
            tables["switch"]["off_resistance"] = _value(rng, 1e9, 1.0)
        if rng.random() < 0.7:
            tables["switch"]["off_capacitance"] = _value(rng, 1e-13, 0.5)
    tables["inductor"] = {
        key: value
        for key, value in {"series_resistance": _value(rng, 0.1, 1.0), "capacitance": _value(rng, 5e-12, 0.5)}.items()
        if rng.random() < 0.5
    }
    tables["node"] = {
        key: value
        for key, value in {"capacitance": _value(rng, 1e-11, 0.5), "conductance": _value(rng, 1e-6, 1.0)}.items()
        if rng.random() < 0.5
    }
    tables["buffer"] = {"bandwidth": _value(rng, 1e8, 1.0)} if rng.random() < 0.5 else {}
    return spu.Detail(**tables)


def _alike(rng: np.random.Generator, n: int | None = None) -> spu.Device:
    """Cells that are all the same but for what couples them: their matrices commute."""
    n = n or _log_integer(rng, 1, 24)
    device = spu.Device(temperature=_temperature(rng))
    inductive, capacitive = rng.random() < 0.5, rng.random() < 0.5
    cell = {"capacitance": _value(rng, 1e-9, 1.0), "conductance": _value(rng, 1e-3, 1.0)}
    cell["noise"] = _value(rng, 4e-20, 1.0)
    if inductive:
        cell["inductance"] = _value(rng, 1e-5, 1.0)
    for k in range(n):
        device.add_cell(f"c{k}", **cell, **({"bias": float(rng.normal()) * 1e-7} if rng.random() < 0.5 else {}))
    for a in range(n):
        for b in range(a + 1, n):
            if rng.random() < min(1.0, 4.0 / n):
                value = _value(rng, 0.3, 0.5)
                quantity = "capacitance" if capacitive else "conductance"
                device.add_coupler(f"c{a}", f"c{b}", **{quantity: value * cell[quantity]})
    _read_out(rng, device)
    return device


def _modal(rng: np.random.Generator) -> Drawn:
    return _drawn(_alike(rng), methods=(None, "modal", "dense"))


def _sparse(rng: np.random.Generator) -> Drawn:
    return _drawn(_alike(rng), sparse=True)


def _tiles(rng: np.random.Generator) -> Drawn:
    """Around 8,192 entries of a product's matrix: states x (states + noise), and variables x states."""
    kind = rng.integers(4)
    if kind == 0:
        device = _scattered(rng, int(rng.choice([63, 64, 65])), inductors=0.0)
    elif kind == 1:
        device = _scattered(rng, int(rng.choice([31, 32, 33])), inductors=1.0)
    elif kind == 2:
        device = _scattered(rng, int(rng.choice([90, 91])), inductors=0.0)
    else:
        return _drawn(_alike(rng, int(rng.choice([63, 64, 65, 66, 90, 91]))), methods=(None, "dense"))
    return _drawn(device)


def _big(rng: np.random.Generator) -> Drawn:
    """Around the sizes at which laws are solved in other ways."""
    return _drawn(_scattered(rng, int(rng.choice([127, 129, 150])), inductors=1.0))


def _conserved(rng: np.random.Generator) -> Drawn:
    """Islands behind capacitors, loops of inductors, nodes without capacitance."""
    device = _scattered(rng, _log_integer(rng, 1, 6))
    names = list(device.cell_names)
    if rng.random() < 0.6:
        device.add_cell("island", capacitance=_value(rng, 1e-9, 1.0))
        device.add_coupler("island", names[0], capacitance=_value(rng, 1e-9, 1.0))
        if rng.random() < 0.5:
            device.add_cell("isle", capacitance=_value(rng, 1e-9, 1.0))
            tie = "conductance" if device.temperature == 0 and rng.random() < 0.3 else "capacitance"
            device.add_coupler("isle", "island", **{tie: _value(rng, 1e-9 if tie == "capacitance" else 1e-3, 1.0)})
    if rng.random() < 0.6:
        for k in range(3):
            device.add_cell(
                f"l{k}",
                capacitance=_value(rng, 1e-9, 0.5),
                conductance=_value(rng, 1e-3, 0.5),
                inductance=_value(rng, 1e-5, 0.5),
                noise=_value(rng, 4e-20, 0.5),
            )
        for a, b in ((0, 1), (1, 2), (2, 0)):
            device.add_coupler(f"l{a}", f"l{b}", inductance=_value(rng, 1e-5, 0.5))
    if device.temperature == 0 and rng.random() < 0.6:
        device.add_cell("light", conductance=_value(rng, 1e-3, 1.0), bias=float(rng.normal()) * 1e-7)
        device.add_coupler("light", names[-1], conductance=_value(rng, 1e-3, 1.0))
    device._readout = None
    _read_out(rng, device)
    return _drawn(device)


# Compiled


def _problem(rng: np.random.Generator, most: int = 8, task: str | None = None) -> spu.Problem:
    n = _log_integer(rng, 1, most)
    kind = str(rng.choice(("any", "laplacian", "scaled", "flipped", "diagonal")))
    matrix = random_matrix(rng, n, kind, 10.0 ** rng.uniform(0, 3))
    task = task or str(rng.choice(["gaussian", "inverse", "linear"]))
    if task == "gaussian":
        mean = rng.standard_normal(n) * np.sqrt(np.diag(np.linalg.inv(matrix))) * 10.0 ** rng.uniform(-1, 1)
        return spu.GaussianSampling(precision=matrix, mean=mean if rng.random() < 0.5 else None)
    if task == "inverse":
        return spu.MatrixInverse(matrix)
    return spu.LinearSystem(matrix, rng.standard_normal(n))


def _flow(rng: np.random.Generator, most: int = 8) -> spu.Problem:
    """A drift that is no gradient, whose noise may be shared, or reach some directions only."""
    n = _log_integer(rng, 1, most)
    drift = rng.standard_normal((n, n))
    drift += (10.0 ** rng.uniform(-2, 0.5) - np.linalg.eigvals(drift).real.min()) * np.eye(n)
    if rng.random() < 0.3:
        return spu.LyapunovEquation(drift, np.diag(rng.uniform(0.1, 1.0, n)))
    shares = rng.standard_normal((n, int(rng.integers(1, n + 1))))
    return spu.LyapunovEquation(drift, shares @ shares.T)


def _compiled(architecture: str) -> Callable[[np.random.Generator], Drawn]:
    def made(rng: np.random.Generator) -> Drawn:
        hardware = replace(spu.load_hardware("ideal"), temperature=_temperature(rng))
        if rng.random() < 0.3:
            hardware = replace(hardware, detail=_detail(rng, switches=False))
        problem = _flow(rng) if architecture == "rc-drift" else _problem(rng)
        device = spu.compile(problem, hardware=hardware, architecture=architecture)
        modal = architecture not in ("rc-transconductor", "rc-drift") and not device.detail
        return _drawn(device, methods=(None, None, "dense") if modal else (None,))

    return made


def _quantised_hardware(rng: np.random.Generator) -> spu.Hardware:
    if rng.random() < 0.4:
        name = str(rng.choice(["spu8-4bit", "spu8-8bit", "spu8-12bit", "spu8-switched"]))
        return replace(spu.load_hardware(name), temperature=_temperature(rng))
    ideal = spu.load_hardware("ideal")
    bits = int(rng.integers(3, 7))
    architecture = str(rng.choice(["rlc-capacitive", "rc-resistive", "rc-resistive-dual", "rc-transconductor"]))
    capacitive = architecture == "rlc-capacitive"
    quantity, unit = ("capacitance", 1e-9) if capacitive else ("conductance", 1e-3)
    cell, coupler = dict(ideal.cell), dict(ideal.coupler)
    trim = Bank(bits + 2, 4.0 * unit / 2 ** (bits + 2), 0.1 * unit)
    cell[quantity] = Range(nominal=unit, bank=trim)
    coupler[quantity] = Range(bank=Bank(bits, 2.0 * unit / 2**bits))
    if architecture == "rc-transconductor":
        coupler = dict(ideal.coupler)
        signed = Bank(bits, 2.0 * unit / 2**bits, signed=True)
        coupler["transconductance"] = Range(min=-math.inf, bank=signed)
    return replace(
        ideal, name="banks", architectures=(architecture,), cell=cell, coupler=coupler, temperature=_temperature(rng)
    )


def _quantised(rng: np.random.Generator, ensemble: int = 1, switches: bool = False) -> Drawn:
    hardware = _quantised_hardware(rng)
    if switches:
        hardware = replace(hardware, detail=_detail(rng, switches=True))
    task = None if hardware.name == "banks" else "gaussian"
    rounding = str(rng.choice(["codes", "nearest"])) if ensemble == 1 else "answer"
    made = spu.compile_problem(_problem(rng, 4, task), hardware, ensemble=ensemble, rounding=rounding)
    return _drawn(made.device, methods=(None, "dense"))


def _switched(rng: np.random.Generator) -> Drawn:
    return _quantised(rng, switches=True)


def _ensemble(rng: np.random.Generator) -> Drawn:
    return _quantised(rng, ensemble=int(rng.integers(2, 4)), switches=rng.random() < 0.3)


def _wired(rng: np.random.Generator) -> Drawn:
    """Chains of cells on a lattice."""
    wiring = str(rng.choice(["grid 3x3", "king 3x3", "grid 2x4", "chimera 1x1x4"]))
    hardware = replace(spu.load_hardware("ideal"), wiring=wiring, temperature=_temperature(rng))
    return _drawn(spu.compile(_problem(rng, 4), hardware=hardware))


# Any linear circuit


def _cards(rng: np.random.Generator) -> Drawn:
    temperature = _temperature(rng)
    nodes = [f"n{k}" for k in range(int(rng.integers(1, 5)))]
    lines, number = [], 0

    def add(letter: str, *words: object) -> str:
        nonlocal number
        number += 1
        name = f"{letter}{number}"
        lines.append(" ".join([name, *(str(word) for word in words)]))
        return name

    def value(scale: float) -> str:
        return repr(_value(rng, scale, 0.7))

    for node in nodes:
        add("c", node, "0", value(1e-9))
        add("r", node, "0", value(1e3))
        if rng.random() < 0.7:
            add("i", node, "0", "noise", value(4e-20))
        if rng.random() < 0.3:
            add("i", node, "0", repr(float(rng.normal()) * 1e-6))
    coils = []
    for _ in range(int(rng.integers(0, 4))):
        p, n = (str(each) for each in rng.choice([*nodes, "0"], 2, replace=False))
        coils.append(add("l", p, n, value(1e-5)))
    if len(coils) > 1 and rng.random() < 0.5:
        add("k", coils[0], coils[1], repr(float(rng.uniform(0.05, 0.9))))
    for k in range(int(rng.integers(0, 4))):
        p = str(rng.choice(nodes))
        q, control = (str(each) for each in rng.choice([*nodes, "0"], 2))
        kind = rng.integers(6)
        if kind == 0 and p != q:
            add("r", p, q, value(1e3))
        elif kind == 1 and p != q:
            add("c", p, q, value(3e-10))
        elif kind == 2 and control != "0":
            add("g", p, "0", control, "0", repr(float(rng.normal() * 2e-4)))
        elif kind == 3 and control != "0":
            add("e", f"x{k}", "0", control, "0", repr(float(rng.normal())))
            add("r", f"x{k}", p, value(1e3))
        elif kind == 4:
            add("v", f"x{k}", "0", "noise", value(1e-16))
            add("r", f"x{k}", p, value(1e3))
        elif kind == 5:
            source = add("v", f"x{k}", "0", repr(float(rng.normal())))
            add("r", f"x{k}", p, value(1e3))
            q = q if q != "0" else nodes[0]
            if rng.random() < 0.5:
                add("f", q, "0", source, repr(float(rng.normal() * 0.5)))
            else:
                add("h", f"y{k}", "0", source, repr(float(rng.normal() * 300)))
                add("r", f"y{k}", q, value(1e3))
    text, probes = "\n".join(lines), " ".join(nodes)
    try:
        law = circuit_law(_parts_of(text, temperature), nodes)
    except (NoLaw, NotCovered) as why:
        raise Refused(f"cards: {why}") from None
    return Drawn(network(text, probes, temperature), [law])


def _parts_of(text: str, temperature: float) -> list[Part]:
    parts = []
    for name, *words in cards(text):
        _, ends, controls = KINDS[name[0]]
        number, density = float(words[-1]), 0.0
        if words[-2] == "noise":
            number, density = 0.0, number
        elif name[0] == "r":
            density = 4.0 * BOLTZMANN * temperature / number
        branches = tuple(words[ends : ends + controls])
        parts.append(Part(name[0], tuple(words[:ends]), number, density, name, branches))
    return parts


FAMILIES: dict[str, tuple[Callable[[np.random.Generator], Drawn], float]] = {
    **{name: (_compiled(name), 1.0) for name in LINEAR_ARCHITECTURES},
    "by hand": (_by_hand, 3.0),
    "detailed": (_detailed_by_hand, 1.0),
    "alike": (_modal, 2.0),
    "conserved": (_conserved, 1.0),
    "quantised": (_quantised, 0.7),
    "switched": (_switched, 0.7),
    "ensemble": (_ensemble, 0.3),
    "wired": (_wired, 0.5),
    "cards": (_cards, 1.5),
    "sparse": (_sparse, 1.0),
    "tiles": (_tiles, 0.6),
    "big": (_big, 0.03),
}
"""How each family is drawn, and how often."""
