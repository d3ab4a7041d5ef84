"""Random small devices with rates, energies and couplings of any spread, by kind."""

from __future__ import annotations

import numpy as np

from spu.device.device import Device


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(10.0 ** rng.uniform(np.log10(low), np.log10(high)))


def _hot(rng: np.random.Generator) -> float:
    return float(rng.choice([0.0, 4.0, 300.0]))


def ladder(rng: np.random.Generator, n: int) -> Device:
    """RC cells in a chain, nested by conductances of 1e-18 to 1e3 S; some cells have none of their own."""
    device = Device(temperature=_hot(rng))
    spread = rng.uniform(0, 10)
    for k in range(n):
        cell = {"capacitance": _log(rng, 10.0**-spread, 1.0) * 1e-9}
        if k == 0 or rng.random() < 0.5:
            cell["conductance"] = _log(rng, 10.0 ** -(2 * spread), 1.0)
        if k == 0 or rng.random() < 0.7:
            cell["noise"] = _log(rng, 1e-30, 1e-18)
        if rng.random() < 0.5:
            cell["bias"] = _log(rng, 1e-15, 1e-6) * rng.choice([-1.0, 1.0])
        device.add_cell(f"c{k}", **cell)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", conductance=_log(rng, 10.0 ** -(2 * spread), 1e3))
    return device


def resonators(rng: np.random.Generator, n: int) -> Device:
    """RLC cells of a quality from 1e-3 to 1e9, coupled by capacitors and resistors."""
    device = Device(temperature=_hot(rng))
    for k in range(n):
        C, L = _log(rng, 1e-18, 1.0), _log(rng, 1e-12, 1.0)
        quality = _log(rng, 1e-3, 1e9)
        cell = {"capacitance": C, "conductance": float(np.sqrt(C / L) / quality), "noise": _log(rng, 1e-25, 1e-18)}
        if rng.random() < 0.8:
            cell["inductance"] = L
        device.add_cell(f"c{k}", **cell)
    for k in range(n - 1):
        if rng.random() < 0.8:
            device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=_log(rng, 1e-18, 1e-3))
        else:
            device.add_coupler(f"c{k}", f"c{k + 1}", conductance=_log(rng, 1e-15, 1e3))
    return device


def loops(rng: np.random.Generator, n: int) -> Device:
    """Cells in a ring of transconductors whose gain is short of one, or beyond it, by 1e-14 to 1."""
    device = Device(temperature=_hot(rng))
    margin = _log(rng, 1e-14, 1.0) * (1.0 if rng.random() < 0.8 else -1.0)
    n = max(n, 2)
    for k in range(n):
        g = _log(rng, 1e-9, 1e-3)
        device.add_cell(f"c{k}", capacitance=_log(rng, 1e-15, 1e-9), conductance=g, noise=_log(rng, 1e-28, 1e-20))
    g = [cell.values["conductance"] for cell in device.cells]
    for k in range(n - 1):
        forward = -g[k + 1] * (1 - margin) if k == 0 else -g[k + 1]
        back = -g[0] if k == n - 2 and n == 2 else 0.0
        device.add_coupler(f"c{k + 1}", f"c{k}", transconductance=(forward, back))
    if n > 2:
        device.add_coupler("c0", f"c{n - 1}", transconductance=(-g[0], 0.0))
    return device


def weak(rng: np.random.Generator, n: int) -> Device:
    """Loud and silent cells of any rate, coupled by next to nothing."""
    device = Device(temperature=float(rng.choice([0.0, 300.0])))
    for k in range(n):
        cell = {"capacitance": _log(rng, 1e-18, 1.0), "conductance": _log(rng, 1e-12, 1e2)}
        if k == 0 or rng.random() < 0.4:
            cell["noise"] = _log(rng, 1e-30, 1e-10)
        device.add_cell(f"c{k}", **cell)
    for k in range(n - 1):
        kind = ["conductance", "capacitance"][int(rng.integers(2))]
        device.add_coupler(f"c{k}", f"c{k + 1}", **{kind: _log(rng, 1e-21, 1e-12)})
    return device


def differences(rng: np.random.Generator, n: int) -> Device:
    """Cells tied together far faster than they leak, and read as differences."""
    device = ladder(rng, max(n, 2))
    n = len(device.cells)
    T = np.eye(n) - np.eye(n, k=1)
    T[-1] = 1.0 / n
    device.set_readout(T, variables=[f"x{k}" for k in range(n)])
    return device


KINDS = {each.__name__: each for each in (ladder, resonators, loops, weak, differences)}
