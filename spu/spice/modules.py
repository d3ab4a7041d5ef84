"""Parts that SPICE has no element for: modules of Verilog-A, and how ngspice says the same in an expression.

A module is called as in ``spu_NAME`` of the files in `FOLDER`, which simulators that compile Verilog-A take as they
are; `EXPRESSIONS` has the same laws for ngspice. Each takes the name of the instance, its nodes in the module's order,
and for each parameter the expression of its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from spu.circuit.elements import CHARGE_UNIT, FLUX_UNIT

FOLDER = Path(__file__).with_name("verilog_a")
"""Where the modules are."""

_SMALLEST = "1e-30"
"""Factor of thermal noise below which it is none: the root has a slope at zero, too."""

Expression = Callable[[str, Sequence[str], Mapping[str, str]], list[str]]


def _voltage(p: str, n: str) -> str:
    return f"v({p})" if n == "0" else f"v({p},{n})"


def _cubic(x: str, values: Mapping[str, str]) -> str:
    return f"{x}*({{{values['c1']}}}+{x}*({{{values['c2']}}}+{x}*{{{values['c3']}}}))"


def _conductance(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n = nodes
    return [f"b{name} {p} {n} i={_cubic(f'v({p},{n})', values)}"]


def _inductor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, sense = nodes
    return [
        f"c{name} {sense} 0 {FLUX_UNIT!r}",
        f"g{name} 0 {sense} {p} {n} 1",
        f"b{name} {p} {n} i={_cubic(f'({FLUX_UNIT!r}*v({sense}))', values)}",
    ]


def _capacitor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    # The charge as a function of the voltage, by Cardano's formula with hyperbolic functions.
    p, n, sense = nodes
    qs, vs, vc, qh = (f"{{{values[each]}}}" for each in ("qs", "vs", "vc", "qh"))
    charge = f"{qs}*sinh(asinh((v({p},{n})-{vc})/{vs})/3)-{qh}"
    return [f"c{name} {p} {n} q='{charge}'", f"b{name} {sense} 0 v=({charge})/{CHARGE_UNIT!r}"]


def _transconductor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, first, second = nodes
    g, width, offset = (f"{{{values[each]}}}" for each in ("g", "width", "offset"))
    return [f"b{name} {p} {n} i={g}*{width}*tanh(({_voltage(first, second)}+{offset})/{width})"]


def _ramped_conductance(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, factor = nodes
    return [f"b{name} {p} {n} i=v({factor})*v({p},{n})*{{{values['g']}}}"]


def _ramped_capacitor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    # By its charge: the current has the part that a change of the capacitance makes, and charge is conserved.
    p, n, factor = nodes
    return [f"{name} {p} {n} q='{values['c']}*v({factor})*v({p},{n})'"]


def _ramped_inductor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    # By its flux, which is the charge of a capacitor: it is conserved.
    p, n, factor = nodes
    return [
        f"c{name} {name}f 0 {FLUX_UNIT!r}",
        f"g{name} 0 {name}f {p} {n} 1",
        f"b{name} {p} {n} i=v({factor})*v({name}f)*{{{FLUX_UNIT!r}/{values['l']}}}",
    ]


def _ramped_crossed_inductor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, q, factor = nodes
    current = f"v({factor})*v({name}f)*{{{FLUX_UNIT!r}/{values['l']}}}"
    return [
        f"c{name} {name}f 0 {FLUX_UNIT!r}",
        f"g{name} 0 {name}f {p} 0 1",
        f"gq{name} 0 {name}f {q} 0 1",
        f"b{name} {p} 0 i={current}",
        f"bq{name} {q} 0 i={current}",
    ]


def _ramped_transconductor(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, first, second, factor = nodes
    return [f"b{name} {p} {n} i=v({factor})*{{{values['g']}}}*{_voltage(first, second)}"]


def _ramped_current(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, noise, factor = nodes
    return [f"b{name} {p} {n} i=v({factor})*v({noise})*{{{values['gain']}}}"]


def _ramped_thermal(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, noise, factor = nodes
    return [f"b{name} {p} {n} i=sqrt(max(v({factor}),{_SMALLEST}))*v({noise})*{{{values['gain']}}}"]


def _ramped_voltage(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, noise, factor = nodes
    return [f"b{name} {p} {n} v=v({factor})*v({noise})*{{{values['gain']}}}"]


def _ramped_polynomial(name: str, nodes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    p, n, factor = nodes
    return [f"b{name} {p} {n} i=v({factor})*{_cubic(f'v({p},{n})', values)}"]


EXPRESSIONS: dict[str, Expression] = {
    "conductance": _conductance,
    "inductor": _inductor,
    "capacitor": _capacitor,
    "transconductor": _transconductor,
    "ramped_conductance": _ramped_conductance,
    "ramped_capacitor": _ramped_capacitor,
    "ramped_inductor": _ramped_inductor,
    "ramped_crossed_inductor": _ramped_crossed_inductor,
    "ramped_transconductor": _ramped_transconductor,
    "ramped_current": _ramped_current,
    "ramped_thermal": _ramped_thermal,
    "ramped_voltage": _ramped_voltage,
    "ramped_polynomial": _ramped_polynomial,
}
"""How ngspice says what a module does."""


@cache
def files() -> Mapping[str, Path]:
    """The file that holds each module, by the module's name without ``spu_``."""
    return {
        name: path
        for path in sorted(FOLDER.glob("*.va"))
        for name in re.findall(r"^module spu_(\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def needed(modules: Iterable[str]) -> list[Path]:
    """The files that hold some modules, each once."""
    return sorted({files()[name] for name in modules})
