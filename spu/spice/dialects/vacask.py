"""VACASK's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spu.spice.dialects.dialect import (
    TOLERANCES,
    Bracketed,
    Measurement,
    NetworkMeasurement,
    Tolerances,
    expected,
    noise_element,
    number,
)
from spu.spice.modules import files as module_files

if TYPE_CHECKING:
    from spu.circuit.circuit import NoiseSource
    from spu.circuit.clocked import Clocked


MODULES = ("resistor", "capacitor", "inductor")
"""Compiled models of VACASK's own that a netlist loads, ``resistor.osdi``: each has one module of that name."""

MASTERS: Mapping[str, tuple[str, str]] = {
    "r": ("resistor", "r"),
    "c": ("capacitor", "c"),
    "l": ("inductor", "l"),
    "i": ("isource", "dc"),
    "v": ("vsource", "dc"),
    "g": ("vccs", "gain"),
    "e": ("vcvs", "gain"),
    "f": ("cccs", "gain"),
    "h": ("ccvs", "gain"),
    "k": ("mutual", "k"),
}
"""VACASK's masters of SPICE's element letters, and the parameter that holds the value."""

EMBEDDED = "VERILOG_A"
"""What marks the end of a file within a netlist."""

METHODS: Mapping[str, str] = {"trap": "trap", "gear": "gear2"}
"""What VACASK calls integration methods."""


class Vacask(Bracketed):
    """VACASK (0.3)."""

    name = "vacask"
    program = "VACASK"
    ending = ".vacask.sim"
    run = (
        "Run it:      vacask {file}     (no other file needed)",
        "It writes noise_NAME.raw for each cell, whose onoise integrates to the cell's variance (the list at the end),",
        "and transient.raw, the waveforms. Names are case-sensitive; a node inside an instance is INSTANCE:NODE.",
        "Change it:   every cell and coupler is one line, xcell_NAME or xcoupler_KIND_A_B, with its values or",
        "code= at the end. Keep the original, and ask what a changed copy does to the answer:",
        "             spu check DIR --simulator vacask --netlist COPY.vacask.sim     (DIR: what spu compile wrote)",
    )
    silence = "noisy=0"
    reaches_inside = False

    def title(self, text: str) -> list[str]:
        return [text]

    def models(self) -> list[str]:
        """What brings in the models of elements."""
        return [
            *(f'load "{module}.osdi"' for module in MODULES),
            'include "builtins.inc"',
            *(f"model {module} {module}" for module in MODULES),
            "ground 0",
        ]

    def options(self, chosen: Tolerances) -> list[str]:
        """What elements are made of. Temperature and tolerances are commands, and stand with the analyses."""
        return [*self.section("models"), *self.models()]

    def start(self, node: str, volts: float) -> str:
        return self.comment(f"{node}: {volts:.6g} V, in the list ic= of the transient")

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        letter = name[0].lower()
        master, key = MASTERS[letter]
        words = [name, f"({' '.join(nodes)})", master, f"{key}={value}"]
        if letter == "k":
            words += [f'ind{k}="{branch}"' for k, branch in enumerate(branches, start=1)]
        else:
            words += [f'ctlinst="{branch}"' for branch in branches]
        return " ".join(words)

    def modules(self, files: Sequence[Path]) -> list[str]:
        """The files themselves: a netlist needs no other."""
        lines = self.section("modules of Verilog-A, compiled when the netlist is run")
        for file in files:
            lines += [f'embed "{file.name}" <<<{EMBEDDED}', *file.read_text(encoding="utf-8").splitlines()]
            lines += [f">>>{EMBEDDED}", f'load "{file.name}"']
        inside = (name for name, file in module_files().items() if file in files)
        return [*lines, *(f"model spu_{name} spu_{name}" for name in inside)]

    def waveform(self, name: str, node: str, at_dc: float, times: Sequence[float], volts: Sequence[float]) -> list[str]:
        wave = ", ".join(f"{number(t)}, {number(value)}" for t, value in zip(times, volts, strict=True))
        # At DC a source of type pwl is where its wave begins: it is made one for transients only.
        return [f'{name} ({node} 0) vsource dc={number(at_dc)} type="dc" wave=[{wave}]']

    def noise_headline(self) -> str:
        return "noise sources: rn makes the noise in noise and tran; the voltage source is for acxf, or for a waveform"

    def clocked(self, clocked: Clocked) -> list[str]:
        return [
            f"Injected noise is held for tc: {clocked.words()}; noise and tran are of the white noise of the same",
            'density: for held noise give the voltage sources type="pwl" and waves of samples of rms vc, one every tc.',
        ]

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int, *, held: bool = False) -> list[str]:
        element, node = noise_element(source.name), source.name
        if source.thermal:
            return [f"{element} ({node} 0) vsource dc=0 mag=0"]
        return [f"{element} (s_{node} 0) vsource dc=0 mag=0", f"r{node} (s_{node} {node}) resistor r=rn"]

    def ends(self, name: str) -> str:
        return "ends"

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        sweep = f'from={wanted.low:.6g} to={wanted.high:.6g} mode="dec" points={wanted.per_decade}'
        yield "control"
        yield self.comment(f"  {TOLERANCES}")
        yield from self._options(wanted.tolerances)
        yield self.comment("  Expected of each cell: onoise (V^2/Hz) integrated over frequency")
        for probe, node, variance, mean in zip(wanted.probes, wanted.nodes, wanted.variance, wanted.mean, strict=True):
            yield self.comment(f"    {expected(probe, variance, mean)}")
            yield f'  analysis noise_{probe} noise out="{_inside(node)}" in="{wanted.source}" {sweep}'
        yield self.comment(
            "  Noise of all resistors up to 1/(2 ts), as of samples every ts: it scatters by a few per cent, or more."
        )
        step = wanted.sample_time
        yield from (f"  {moving(source)}" for source in wanted.moving)
        yield f"  save {' '.join(_saved(node) for node in wanted.nodes)}"
        pairs = ", ".join(f'"{node}", {number(volts)}' for node, volts in wanted.starts)
        start = f' icmode="uic"{f" ic={{{pairs}}}" if pairs else ""}' if wanted.from_start else ""
        yield (
            f"  analysis transient tran step={number(step)} stop={number(wanted.stop)} start={number(wanted.settle)} "
            f"maxstep={number(step / 8)} noisefmax={number(1 / (2 * step))} noiseseed={wanted.seed + 1}{start}"
        )
        yield "endc"

    def network_analysis(self, wanted: NetworkMeasurement) -> Iterator[str]:
        yield "control"
        yield from self._options(wanted.tolerances)
        yield self.comment("  Expected of the transient's waveforms, with the noise of all resistors up to 1/(2 ts):")
        yield from (self.comment(f"    {line}") for line in wanted.expected())
        yield f"  save {' '.join(_saved(vector) for vector in wanted.vectors)}"
        step = wanted.sample_time
        yield from (f"  {moving(source)}" for source in wanted.moving)
        yield (
            f"  analysis transient tran step={number(step)} stop={number(wanted.stop)} start={number(wanted.settle)} "
            f"maxstep={number(wanted.limit)} noisefmax={number(1 / (2 * step))} noiseseed={wanted.seed + 1} "
            'icmode="uic"'
        )
        yield "endc"

    def _options(self, chosen: Tolerances) -> Iterator[str]:
        yield (
            f"  options temp={number(chosen.temperature)} reltol={chosen.relative} vntol={chosen.voltage:.0e} "
            f'abstol={chosen.current:.0e} chgtol={chosen.charge:.0e} tran_method="{METHODS[chosen.method]}"'
        )
        yield self.comment("  Steps are maxstep: noise has no smooth path, by which an error could be estimated.")
        yield "  options tran_lteratio=1e6"


def moving(source: str) -> str:
    """The command that has a source follow its wave."""
    return f'alter instance("{source}") type="pwl"'


def _inside(node: str) -> str:
    """A node inside an instance, ``x1.n2``, as VACASK has it."""
    return node.replace(".", ":")


def _saved(node: str) -> str:
    return f'v("{_inside(node)}")' if "." in node else f"v({node})"
