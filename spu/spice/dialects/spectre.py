"""Spectre's language."""

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

if TYPE_CHECKING:
    from spu.circuit.circuit import NoiseSource
    from spu.circuit.clocked import Clocked


_MASTERS: Mapping[str, tuple[str, str]] = {
    "r": ("resistor", "r"),
    "c": ("capacitor", "c"),
    "l": ("inductor", "l"),
    "i": ("isource", "dc"),
    "v": ("vsource", "dc"),
    "g": ("vccs", "gm"),
    "e": ("vcvs", "gain"),
    "f": ("cccs", "gain"),
    "h": ("ccvs", "rm"),
    "k": ("mutual_inductor", "coupling"),
}
"""Spectre's masters of SPICE's element letters, and the parameter that holds the value."""


class Spectre(Bracketed):
    """Spectre's own language."""

    name = "spectre"
    program = "Spectre"
    ending = ".spectre.scs"
    run = (
        "Run it:      spectre {file}     (no other file needed, but for the .va that it includes, if any)",
        "The noise analysis of a cell integrates to its variance, the transient's waveforms have it.",
    )
    thermal_sources = False
    silence = "isnoisy=no"
    reads_modules = True

    def title(self, text: str) -> list[str]:
        return [f"// {text}", "simulator lang=spectre", "global 0"]

    def options(self, chosen: Tolerances) -> list[str]:
        """Temperature and tolerances; the method stands with ``tran``."""
        return [
            self.comment(TOLERANCES),
            f"simulatorOptions options temp={number(chosen.temperature)} reltol={chosen.relative} "
            f"vabstol={chosen.voltage:.0e} iabstol={chosen.current:.0e}",
        ]

    def start(self, node: str, volts: float) -> str:
        return f"ic {node}={number(volts)}"

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        letter = name[0].lower()
        master, key = _MASTERS[letter]
        around = f"({' '.join(nodes)})"
        if letter == "k":
            return f"{name} {master} {key}={value} ind1={branches[0]} ind2={branches[1]}"
        probes = [f"probe={branch}" for branch in branches]
        return " ".join([name, around, master, f"{key}={value}", *probes])

    def modules(self, files: Sequence[Path]) -> list[str]:
        return [
            *self.section("modules of Verilog-A, in files that lie beside this one"),
            *(f'ahdl_include "{file.name}"' for file in files),
        ]

    def waveform(self, name: str, node: str, at_dc: float, times: Sequence[float], volts: Sequence[float]) -> list[str]:
        points = [f"{number(t)} {number(value)}" for t, value in zip(times, volts, strict=True)]
        pairs = (f"    {' '.join(points[k : k + 2])}" for k in range(0, len(points), 2))
        return [
            f"{name} ({node} 0) vsource type=pwl dc={number(at_dc)} wave=[ \\",
            *(f"{pair} \\" for pair in pairs),
            "    ]",
        ]

    def noise_headline(self) -> str:
        return "noise sources: rn makes the noise in noise and tran; the voltage source is for ac"

    def clocked(self, clocked: Clocked) -> list[str]:
        return [
            f"Injected noise is held for tc: {clocked.words()}; noise and tran are of the white noise of the same",
            "density: for held noise give the voltage sources type=pwl and files of samples of rms vc, one every tc.",
        ]

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int, *, held: bool = False) -> list[str]:
        element, node = noise_element(source.name), source.name
        return [f"{element} (s_{node} 0) vsource dc=0 mag=0", f"r{node} (s_{node} {node}) resistor r=rn"]

    def ends(self, name: str) -> str:
        return f"ends {name}"

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        sweep = f"start={wanted.low:.6g} stop={wanted.high:.6g} dec={wanted.per_decade}"
        yield self.comment("Expected of each cell: out^2 (V^2/Hz) integrated over frequency")
        for probe, node, variance, mean in zip(wanted.probes, wanted.nodes, wanted.variance, wanted.mean, strict=True):
            yield self.comment(f"  {expected(probe, variance, mean)}")
            yield f"noise_{probe} ({node} 0) noise {sweep}"
        yield self.comment("Noise up to 1/(2 ts), as of samples every ts; a few per cent of scatter are expected.")
        step = wanted.sample_time
        skip = " skipdc=yes" if wanted.from_start else ""
        yield (
            f"transient tran stop={number(wanted.stop)} outputstart={number(wanted.settle)} "
            f"maxstep={number(step / 8)} strobeperiod={number(step)} \\"
        )
        method = {"gear": "gear2only"}.get(wanted.method, wanted.method)
        yield f"  method={method} noisefmax={number(1 / (2 * step))} noiseseed={wanted.seed + 1}{skip}"
        yield "save " + " ".join(wanted.nodes)

    def network_analysis(self, wanted: NetworkMeasurement) -> Iterator[str]:
        yield self.comment("Expected of the transient's waveforms, which scatter:")
        yield from (self.comment(f"  {line}") for line in wanted.expected())
        step = wanted.sample_time
        yield (
            f"transient tran stop={number(wanted.stop)} outputstart={number(wanted.settle)} "
            f"maxstep={number(wanted.limit)} strobeperiod={number(step)} \\"
        )
        yield f"  method=gear2only noisefmax={number(1 / (2 * step))} noiseseed={wanted.seed + 1} skipdc=yes"
        yield "save " + " ".join(wanted.vectors)
