"""A device built by hand: RLC cells with scattered values, one coupler of two kinds, no closed form.

Prints what the exact law says and what the emulator samples. With a file name it writes the
device; examples/by_hand.json was written so (spu predict, simulate and inspect take it as it is).

    python examples/by_hand.py [DEVICE.json]
"""

from __future__ import annotations

import sys

import numpy as np

import spu


def device() -> spu.Device:
    """Three cells; b and c share a capacitor and a leak."""
    made = spu.Device()  # at 300.15 K
    made.add_cell("a", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    made.add_cell("b", capacitance=1.2e-9, conductance=8e-4, inductance=1.3e-5, noise=3e-20)
    made.add_cell("c", capacitance=0.8e-9, conductance=1.1e-3, inductance=0.9e-5, noise=5e-20)
    made.add_coupler("a", "b", capacitance=2e-10)
    made.add_coupler("b", "c", capacitance=1.5e-10, conductance=5e-5)
    return made


def main() -> None:
    made = device()
    if len(sys.argv) > 1:
        made.write(sys.argv[1])
    exact = spu.predict(made)
    run = spu.simulate(made, samples=200_000, seed=0)
    print("covariance, 1e-9 V^2: exact, then sampled")
    with np.printoptions(precision=4, suppress=True):
        print(exact.voltage_covariance * 1e9)
        print(run.voltage_covariance * 1e9)
    print("slowest time constant", f"{exact.time_constants[0]:.3g} s")


if __name__ == "__main__":
    main()
