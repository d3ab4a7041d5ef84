"""Rounding to b-bit couplers: chosen codes against nearest ones, and the order of ensembles.

Random Wishart precisions (8 cells, 4 samples a variable) with rho < 0.97 as they are, on transconductors with
sign bits, and with their off-diagonals made negative, on capacitors. Every LSB is the range of a coupler over
2^b - 1, for couplers and ground trims alike, and the largest coupler or trim is at full range.

    python benchmarks/rounding.py [COUNT [FIGURE.png]]    matrices of the first table; 100 unless given, some minutes
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

import spu
from spu.compiler.congruence import congruence
from spu.device.hardware import Hardware
from spu.device.hardware_file import hardware_from_dict

FloatArray = NDArray[np.float64]

CELLS, SAMPLES, RHO = 8, 4, 0.97


def wishart(rng: np.random.Generator, *, negative: bool = False) -> FloatArray:
    """A precision ``X X^T / m``, (8, 8), with rho < 0.97; if asked for with its off-diagonals made negative."""
    while True:
        X = rng.standard_normal((CELLS, CELLS * SAMPLES))
        A = X @ X.T / X.shape[1]
        if congruence(A).rho < RHO:
            # |J| is the same, and with rho < 1 an H-matrix's M-matrix is positive definite.
            return np.where(np.eye(CELLS) > 0, A, -np.abs(A)) if negative else A


def hardware(bits: int, *, capacitive: bool = False) -> Hardware:
    """Couplers of so many bits (and a sign bit, where they are transconductors), trims of four times their range."""
    full = 2e-9 if capacitive else 1e-3
    lsb = full / (2**bits - 1)
    trim, bank = {"bits": bits + 2, "lsb": lsb}, {"bits": bits, "lsb": lsb}
    cell: dict[str, object] = {
        "capacitance": {"nominal": 1e-9},
        "conductance": {"nominal": 1e-3},
        "inductance": {"nominal": 1e-5},
        "noise": {"nominal": 4e-20},
    }
    quantity = "capacitance" if capacitive else "conductance"
    cell[quantity] = {"nominal": full / 2, **trim}
    return hardware_from_dict(
        {
            "name": f"{bits} bits",
            "temperature": 0.0,
            "architectures": ["rlc-capacitive" if capacitive else "rc-transconductor"],
            "cell": cell,
            "coupler": {"capacitance" if capacitive else "transconductance": bank},
        }
    )


def error(A: FloatArray, on: Hardware, **settings: object) -> float:
    """Relative error of the covariance, predicted."""
    made = spu.compile_problem(spu.GaussianSampling(precision=A), on, **settings)  # type: ignore[arg-type]
    assert made.prediction.relative_error is not None
    return made.prediction.relative_error


def ratios(bits: int, count: int, *, capacitive: bool = False, seed: int = 0) -> dict[str, FloatArray]:
    """(count,) errors of ``nearest``, and over them those of ``codes`` and ``answer``."""
    rng = np.random.default_rng(seed)
    matrices = [wishart(rng, negative=capacitive) for _ in range(count)]
    on = hardware(bits, capacitive=capacitive)
    found = {how: np.array([error(A, on, rounding=how) for A in matrices]) for how in ("nearest", "codes", "answer")}
    return {"nearest": found["nearest"], **{how: found[how] / found["nearest"] for how in ("codes", "answer")}}


def dithered(A: FloatArray, bits: int, members: int, rng: np.random.Generator) -> float:
    """Error of the merged covariance of independent, unbiased random roundings: the idea of arXiv 2401.16231."""
    peak = max(np.abs(A - np.diag(np.diag(A))).max(), np.diag(A).max() / 4.0)
    lsb = peak / (2**bits - 1)
    draws = np.floor(A / lsb + np.triu(rng.random((members, *A.shape)))) * lsb
    upper = np.triu(draws)
    M = upper + np.swapaxes(np.triu(draws, 1), 1, 2)
    target = np.linalg.inv(A)
    return float(np.linalg.norm(np.linalg.inv(M).mean(axis=0) - target) / np.linalg.norm(target))


def orders(
    count: int, *, bits: tuple[int, ...] = (4, 5, 6, 7, 8, 10, 12), members: int = 16, seed: int = 0
) -> dict[str, FloatArray]:
    """Median errors against bits: single roundings, chosen ensembles, and dithered ones of 16 and of 4096."""
    rng = np.random.default_rng(seed)
    matrices = [wishart(rng) for _ in range(count)]
    rows: dict[str, list[float]] = {}
    for b in bits:
        on = hardware(b)
        for name, of in {
            "nearest": lambda A: error(A, on, rounding="nearest"),  # noqa: B023 - called before b changes
            "answer": lambda A: error(A, on),  # noqa: B023
            f"ensemble {members}": lambda A: error(A, on, ensemble=members),  # noqa: B023
            f"dithered {members}": lambda A: dithered(A, b, members, rng),  # noqa: B023
            "dithered 4096": lambda A: dithered(A, b, 4096, rng),  # noqa: B023
        }.items():
            rows.setdefault(name, []).append(float(np.median([of(A) for A in matrices])))
    return {"bits": np.array(bits, dtype=float), **{name: np.array(row) for name, row in rows.items()}}


def main() -> None:
    """Print both tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{count} matrices; medians; ratios are to nearest rounding at the same scale, range and trims")
    print("couplers           bits  nearest error  codes alone  codes, scale, D, gains  (quartiles)")
    for capacitive in (False, True):
        for bits in (6, 8):
            started = time.perf_counter()
            found = ratios(bits, count, capacitive=capacitive)
            low, high = np.quantile(found["answer"], [0.25, 0.75])
            what = "capacitors" if capacitive else "transconductors"
            print(
                f"{what:17s} {bits:5d} {np.median(found['nearest']):14.2e} "
                f"{np.median(found['codes']):12.3f} {np.median(found['answer']):23.3f}  ({low:.3f} to {high:.3f})"
                f"   {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    few = max(1, count // 20)
    print(f"\nerror against bits, medians of {few} matrices; slope d log(error) / d log(LSB) to the line above")
    found = orders(few)
    bits_ = found.pop("bits")
    print("bits  " + "".join(f"{name:>24s}" for name in found))
    steps = np.log(2.0 ** bits_[:-1] - 1) - np.log(2.0 ** bits_[1:] - 1)
    for k, b in enumerate(bits_):
        cells = []
        for row in found.values():
            slope = "" if k == 0 else f" ({np.log(row[k] / row[k - 1]) / steps[k - 1]:.2f})"
            cells.append(f"{row[k]:.2e}{slope}")
        print(f"{int(b):4d}  " + "".join(f"{cell:>24s}" for cell in cells))
    gain = found["nearest"] / found["ensemble 16"]
    print("\nensemble of 16 against one nearest rounding: " + ", ".join(f"{g:.0f}x" for g in gain))
    if len(sys.argv) > 2:
        draw(bits_, found, sys.argv[2])
        print(f"drawn: {sys.argv[2]}")


def draw(bits: FloatArray, found: dict[str, FloatArray], file: str) -> None:
    """Error against LSB, both logarithmic, with lines of first and second order to hold them against."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    lsb = 1.0 / (2.0**bits - 1.0)
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for (name, row), marker in zip(found.items(), "osD^v", strict=True):
        axes.loglog(lsb, row, marker=marker, color="black", markerfacecolor="white", linewidth=0.8, label=name)
    first = found["nearest"]
    axes.loglog(lsb, first[0] * lsb / lsb[0], ":", color="grey", label="first order")
    axes.loglog(lsb, found["dithered 4096"][0] * (lsb / lsb[0]) ** 2, "--", color="grey", label="second order")
    axes.set_xlabel("LSB, relative to a coupler's range")
    axes.set_ylabel("error of the covariance (relative, Frobenius)")
    axes.legend(fontsize="small")
    figure.savefig(file)


if __name__ == "__main__":
    main()
