"""A circuit with ports: where currents may flow in, and whose voltages are seen there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, NoiseSource, Subcircuit
from spu.circuit.elements import SharedNoiseCurrent
from spu.circuit.readout import Readout
from spu.emulator.equations.linear import StochasticODE, stochastic_ode

_PORT = Subcircuit("port", ("a", "b", "n"), ("an",), (SharedNoiseCurrent("gs", ("a", "b"), "an", "n"),))


def with_ports(circuit: Circuit, outputs: IntArray, inputs: IntArray) -> tuple[StochasticODE, FloatArray, FloatArray]:
    """The equation of a linear circuit, with ports.

    Parameters
    ----------
    circuit:
        As it is: what its own probes see stands behind the inputs.
    outputs, inputs:
        (k, 2), (j, 2) numbers of nodes, internal ones as `Circuit.flatten` counts them: a current of an output flows
        from the first to the second, the voltage of an input is that of the first over the second.

    Returns
    -------
    The equation, whose probes are inputs and then the circuit's own, and whose noise sources are the circuit's own and
    then the outputs; (n, k) what a current of 1 A in each output does in the coordinates and the unit of time of its
    `DenseSDE`; (j, k) what it does to the inputs at once, V/A.

    Raises
    ------
    CircuitError
        As `stochastic_ode`.
    """
    first, k, j = len(circuit.sources), len(outputs), len(inputs)
    numbers = np.arange(first, first + k)
    ports = Instances(
        _PORT,
        Lazy.of([f"xport_{number}" for number in range(k)]),
        np.column_stack([outputs, numbers]),
        {"an": np.ones(k)},
    )
    probes = [*(f"input {number}" for number in range(j)), *circuit.probes]
    opened = replace(
        circuit,
        instances=[*circuit.instances, ports] if k else circuit.instances,
        sources=circuit.sources + Lazy.of([NoiseSource(f"port {number}", False) for number in range(k)]),
        probes=Lazy.of(probes),
        probe_nodes=np.vstack([inputs.reshape(j, 2), circuit.probe_nodes]),
        readout=Readout(tuple(probes), sp.csr_array(sp.eye(len(probes))), np.zeros(len(probes))),
        hash=f"{circuit.hash} with ports",
        content="",
        start=None,
    )
    sde = stochastic_ode(opened)
    dense = sde.dense
    # A unit source enters with density 1, as sqrt(1/2) of white noise, and B is per root of the unit of time.
    drive = dense.B[:, first:] * np.sqrt(2.0 * dense.time)
    return sde, drive, np.sqrt(2.0) * sde.D.toarray()[:j, first:]
