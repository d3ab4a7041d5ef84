"""Xyce's language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spu.spice.dialects.dialect import TOLERANCES, Measurement, Stepped, Tolerances, noise_element, number

if TYPE_CHECKING:
    from spu.circuit.circuit import NoiseSource
    from spu.circuit.clocked import Clocked


class Xyce(Stepped):
    """Xyce (7 and later)."""

    name = "xyce"
    program = "Xyce"
    ending = ".xyce.cir"
    run = (
        "Run it:      Xyce {file}     (no other file needed)",
        "It prints, for each step, the total output noise of one cell (V^2), to be compared with the list at the end.",
    )

    def options(self, chosen: Tolerances) -> list[str]:
        return [
            self.comment(TOLERANCES),
            f".options device temp={number(chosen.temperature)}",
            f".options timeint method={chosen.method} reltol={chosen.relative} abstol={chosen.voltage:.0e}",
        ]

    def _settings(self, parameters: Sequence[str]) -> list[str]:
        return ["params:", *super()._settings(parameters)] if parameters else []

    def noise_headline(self) -> str:
        return "noise sources: rn makes the noise in .noise; for .tran, replay samples (see the end)"

    def clocked(self, clocked: Clocked) -> list[str]:
        return [
            f"Injected noise is held for tc: {clocked.words()}; .noise is of the white noise of the same density.",
            "For .tran replay such samples, of rms vc, one every tc (see the end).",
        ]

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int, *, held: bool = False) -> list[str]:
        element, node = noise_element(source.name), source.name
        if source.thermal:
            return [f"{element} {node} 0 dc 0 ac 0"]
        return [f"{element} s_{node} 0 dc 0 ac 0", f"r{node} s_{node} {node} {{rn}}"]

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        yield "* Expected of each cell:"
        yield from self._probe(wanted, "sel")
        yield ".global_param sel=1"
        yield f".step sel 1 {len(wanted.nodes)} 1"
        yield f".noise v(probe) {wanted.source} dec {wanted.per_decade} {wanted.low:.6g} {wanted.high:.6g}"
        yield ".print noise onoise"
        step = number(wanted.sample_time)
        yield "* Xyce makes no noise in .tran. To replay some, write files of lines 'time, volts', one sample of rms vn"
        yield f'* every ts, append  pwl file "NAME.csv"  to each source {wanted.source}..., and instead of the lines'
        yield "* .step, .noise and .print noise run"
        start = " uic" if wanted.from_start else ""
        yield f"* .tran {step} {number(wanted.stop)} {number(wanted.settle)} {number(wanted.sample_time / 8)}{start}"
        yield f"* .print tran v({wanted.nodes[0]})"

    def _sum(self, head: str, terms: Sequence[str]) -> Iterator[str]:
        yield f"{head} v={{{terms[0]}"
        yield from (f"+ +{term}" for term in terms[1:])
        yield "+ }"
