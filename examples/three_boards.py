"""Three boards of eight cells, read 12,000 times each, and why their errors stop falling.

The published inversions on boards of eight cells (Melanson et al., Nature Communications 16:3757) came to 25 to 31 %
after 12,000 samples, where independent samples leave less than 3 %. Their records are not published where we could read
them; these three boards stand for three causes, of which a record in time tells which one it is:

    python examples/three_boards.py
"""

from __future__ import annotations

import numpy as np

import spu

SAMPLES = (120, 1200, 12_000)
PARTS = spu.Tolerance(
    cell={"capacitance": 0.05, "conductance": 0.05, "inductance": 0.05, "noise": 0.05}, coupler={"capacitance": 0.05}
)


def design() -> spu.Device:
    """Eight alike cells coupled all to all, couplers a quarter of their own capacitance."""
    made = spu.Device(temperature=300.0, tolerance=PARTS)
    for k in range(8):
        made.add_cell(f"x{k + 1}", capacitance=1e-9, conductance=5e-4, inductance=1e-5, noise=4e-20)
    for k in range(8):
        for j in range(k):
            made.add_coupler(f"x{j + 1}", f"x{k + 1}", capacitance=2.5e-10)
    return made


def error(voltages: np.ndarray, target: np.ndarray, mean_known: bool) -> float:
    """Of the covariance as it was read, after the best common factor."""
    read = voltages if mean_known else voltages - voltages.mean(axis=0)
    found = read.T @ read / len(read)
    found *= (found * target).sum() / (found**2).sum()
    return float(np.linalg.norm(found - target) / np.linalg.norm(target))


def main() -> None:
    """Read, say how large errors are, and what calibration makes of each record."""
    made = design()
    elements = spu.elements_of(made)
    target = np.asarray(spu.predict(made).voltage_covariance)
    slowest = float(spu.predict(made).time_constants[0])
    rms = np.sqrt(target.diagonal())
    boards = [spu.varied(made, row, elements) for row in spu.draw_factors(elements, PARTS, 3, seed=3)]
    # Board, s between readouts, V that its channels add, whether the mean is taken for zero.
    offsets = 0.35 * rms * np.random.default_rng(4).choice([-1.0, 1.0], 8)
    causes = (
        ("A: parts of 5 %", boards[0], slowest, 0.0, False),
        ("B: the same, readouts 300 times as dense", boards[1], slowest / 300, 0.0, False),
        ("C: the same, offsets of 35 % of the rms", boards[2], slowest, offsets, True),
    )
    print(f"{'error of the covariance after':44s}" + "".join(f"{count:>10,}" for count in SAMPLES))
    print(f"{'independent samples would leave':44s}" + "".join(f"{np.sqrt(9 / n):10.1%}" for n in SAMPLES))
    for name, board, interval, shift, known in causes:
        run = spu.simulate(board, samples=SAMPLES[-1], trajectories=1, interval=interval, seed=5)
        voltages = np.asarray(run.readouts[0]) + shift
        print(f"{name:44s}" + "".join(f"{error(voltages[:n], target, known):10.1%}" for n in SAMPLES))
        # What a board is made of is in time: a record as dense as its ringing asks for.
        again = spu.simulate(board, samples=SAMPLES[-1], trajectories=1, interval=2e-7, seed=6)
        record = {"voltages": np.asarray(again.readouts[0]) + shift, "interval": 2e-7, "names": made.cell_names}
        found = spu.calibrate(made, record, prior=True)
        true = np.asarray(spu.predict(board).voltage_covariance)
        fitted = np.asarray(spu.predict(found.board).voltage_covariance)
        says = "explains" if found.goodness.fits else "does NOT explain"
        print(
            f"    calibrated: the model {says} the record; the board {'differs' if found.differs.differs else 'is as'}"
            f"{' from' if found.differs.differs else ''} its design, "
            f"{'within' if found.differs.within_tolerance else 'BEYOND'} its tolerance;"
        )
        off = np.linalg.norm(fitted - true) / np.linalg.norm(true)
        print(f"    the covariance of the calibrated board is {off:.1%} from its true one")


if __name__ == "__main__":
    main()
