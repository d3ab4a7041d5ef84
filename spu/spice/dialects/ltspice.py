"""LTspice's language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spu.spice.dialects.dialect import (
    STRIDE,
    TOLERANCES,
    Measurement,
    Stepped,
    Tolerances,
    noise_element,
    number,
)

if TYPE_CHECKING:
    from spu.circuit.circuit import NoiseSource
    from spu.circuit.clocked import Clocked


class LTspice(Stepped):
    """LTspice (help of XVII)."""

    name = "ltspice"
    program = "LTspice"
    ending = ".ltspice.cir"
    run = (
        "Run it:      LTspice -b {file}     (or open it; no other file needed)",
        "For each step its log gives the rms of one cell by .noise, to be compared with the list at the end.",
    )
    amplitude = 12.0
    """Inverse variance of ``rand()``, uniform on 0 to 1."""

    def options(self, chosen: Tolerances) -> list[str]:
        """No seed: the offsets in ``rand()`` are."""
        return [
            self.comment(TOLERANCES),
            f".options temp={number(chosen.temperature)} method={chosen.method} reltol={chosen.relative}",
            f"+ vntol={chosen.voltage:.0e} abstol={chosen.current:.0e} chgtol={chosen.charge:.0e}",
        ]

    def element(self, name: str, nodes: Sequence[str], value: str, branches: Sequence[str] = ()) -> str:
        """As ngspice's, with inductors that are inductors only."""
        line = super().element(name, nodes, value, branches)
        return f"{line} Rser=0 Rpar=1e15" if name[0].lower() == "l" else line

    def clocked(self, clocked: Clocked) -> list[str]:
        return [
            f"Injected noise is held for tc: {clocked.words()}; .noise is of the white noise of the same density.",
            "In .tran samples are uniform, of the same hold and rms.",
        ]

    def noise_source(self, source: NoiseSource, number_of_it: int, seed: int, *, held: bool = False) -> list[str]:
        """``rand()`` sampled and held; a source of its own for ``.ac`` and ``.noise`` in series."""
        element, node = noise_element(source.name), source.name
        offset = (number_of_it + 1) * STRIDE + seed % STRIDE
        rms, hold = ("vc", "tc") if held else ("vn", "ts")
        behind = node if source.thermal else f"s_{node}"
        lines = [
            f"b{node} b_{node} 0 V={{{rms}*sqrt({self.amplitude:g})}}*(rand(time/{{{hold}}}+{offset})-0.5)",
            f"{element} {behind} b_{node} dc 0 ac 0",
        ]
        return lines if source.thermal else [*lines, f"r{node} s_{node} {node} {{rn}}"]

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        yield "* Expected of each cell:"
        yield from self._probe(wanted, "{sel}")
        yield f".step param sel 1 {len(wanted.nodes)} 1"
        yield f".noise v(probe) {wanted.source} dec {wanted.per_decade} {wanted.low:.6g} {wanted.high:.6g}"
        yield ".meas noise found_rms integ v(onoise)"
        yield "* LTspice runs one analysis: for the transient put a * before the two lines .step and .noise, and take"
        yield "* that before .tran away. The variance is rms^2 - mean^2; a few per cent of scatter are expected."
        start = " uic" if wanted.from_start else ""
        step = number(wanted.sample_time / 8)
        yield f"* .tran 0 {number(wanted.stop)} {number(wanted.settle)} {step}{start}"
        for probe, node in zip(wanted.probes, wanted.nodes, strict=True):
            yield f".meas tran mean_{probe} avg v({node})"
            yield f".meas tran rms_{probe} rms v({node})"

    def _sum(self, head: str, terms: Sequence[str]) -> Iterator[str]:
        yield f"{head} V={terms[0]}"
        yield from (f"+ +{term}" for term in terms[1:])
