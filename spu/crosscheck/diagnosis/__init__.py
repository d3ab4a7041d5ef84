"""Which single change of the circuit explains what the levels measured, and how well; by the kind of its dynamics.

Candidates are the circuit's own elements in the netlist's words (`changes`); `ranking` says which is the best, and
which cannot be told from it. How candidates are fitted and judged follows from what is measured of a kind:

==========  ============================================================================================
`linear`    transfer functions and the operating point: an exact perturbation of the equations
`langevin`  transfer curves and paths under a known noise: the changed equation, solved again
==========  ============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable

from spu.crosscheck.context import Context
from spu.crosscheck.diagnosis import langevin, linear
from spu.crosscheck.result import Diagnosis, Explanation
from spu.emulator.dynamics import dynamics

METHODS: dict[str, Callable[[Context], Diagnosis | None]] = {
    "linear": linear.diagnose,
    "langevin": langevin.diagnose,
}
"""The register, by `spu.emulator.dynamics.Dynamics.name`; a kind that is not in it is not diagnosed."""


def without_source(element: str) -> Diagnosis:
    """The diagnosis of a netlist that lacks a noise source, from which nothing can be measured."""
    return Diagnosis((), (), Explanation(element, "missing", None, None, None, None), ())


def diagnose(context: Context) -> Diagnosis | None:
    """Explain what the levels measured by a single change of the circuit.

    Returns
    -------
    None where nothing was measured, or nothing measured differs, or the circuit is too large.
    """
    method = METHODS.get(dynamics(context.circuit).name)
    return None if method is None else method(context)
