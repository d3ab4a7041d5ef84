"""What there is to show of a netlist that only a simulator runs: what that says of it, and nothing of ours beside."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spu.base.numbers import number
from spu.reports.document import Section
from spu.reports.evidence import Evidence, Gathering, register
from spu.spice.reader.nonlinear import NonlinearDeck


@register("alone")
@dataclass(frozen=True, eq=False, kw_only=True)
class AloneEvidence(Evidence):
    """All that a report shows of such a netlist: no prediction, and no simulation of ours."""

    subject: NonlinearDeck

    @classmethod
    def found(cls, given: Gathering) -> dict[str, Any]:  # noqa: ARG003
        """Nothing."""
        return {"prediction": None, "simulation": None}

    @property
    def simulated(self) -> list[str]:
        """None."""
        return []

    def figures(self) -> Iterator[tuple[str, str]]:
        """Where it rests, and the rms of its noise, by the simulator alone."""
        check = self.check
        name = check.simulator
        yield "answered by", f"{name} alone: no law and no samples of ours stand beside what it found"
        if name in check.means:
            volts = zip(check.variables[:6], check.means[name], strict=False)
            yield "operating point", ", ".join(f"{variable} {number(float(v))} V" for variable, v in volts)
        if name in check.covariances:
            rms = zip(check.variables[:6], check.covariances[name].diagonal() ** 0.5, strict=False)
            yield "noise", ", ".join(f"{variable} {number(float(v))} V rms" for variable, v in rms)

    def sections(self) -> Iterator[Section]:
        """None of its own."""
        yield from ()

    @property
    def described(self) -> NonlinearDeck:
        """The netlist."""
        return self.subject

    @property
    def commands(self) -> tuple[str, ...]:
        """Command lines that give the same again."""
        place = str(self.subject.directory or self.subject.path)
        verbs = ("check", "report")
        return tuple(shlex.join(["spu", verb, place, *self.settings.options(verb)]) for verb in verbs)
