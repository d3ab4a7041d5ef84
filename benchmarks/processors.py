"""Whether the compiler makes the same device on every processor: codes, order, signs, names and hashes.

The same problems are compiled in processes that work as other processors would (`PROCESSORS`): other kernels of
the linear algebra library, other vector widths of numpy and of compiled loops, another order of sets. What is a
choice is compared exactly, numbers to 1e-9. What this machine or this numpy cannot be is left out, by name.

Further processes stand for libraries that nobody here has: the results of all dense linear algebra are changed by
a few last bits, at random, another way in each.

    python benchmarks/processors.py [COUNT [FIRST]]    random problems, from number FIRST on; 300 unless given
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-9

PROCESSORS: dict[str, dict[str, str]] = {
    "as it is": {},
    "Haswell, AVX2": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4"},
    "Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge", "PYTHONHASHSEED": "1"},
    "Zen, AVX2": {"OPENBLAS_CORETYPE": "Zen", "NPY_DISABLE_CPU_FEATURES": "X86_V4", "PYTHONHASHSEED": "2"},
    "Nehalem, SSE4": {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"},
    "any x86": {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3",
        "SPU_PROCESSOR": "plain",
    },
}
"""Environments by the processor that they make of this one."""

LAST_BITS = 8.0
"""How far the results of linear algebra are changed, in last bits of the largest entry."""


# What this machine can be


def impossible(settings: dict[str, str]) -> str | None:
    """Why this machine or this numpy cannot work as such a processor; None if it can."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    for name in settings.get("NPY_DISABLE_CPU_FEATURES", "").split():
        if name not in __cpu_dispatch__ or not __cpu_features__.get(name, False):
            return f"this numpy does not have {name} here"
    core = settings.get("OPENBLAS_CORETYPE")
    if core is not None and not set(_cores(core)) & {core, _ALIASES.get(core)}:
        return f"OpenBLAS cannot be {core} here"
    return None


_ALIASES = {"Prescott": "Katmai"}  # as OpenBLAS names itself


@functools.cache
def _cores(core: str) -> tuple[str, ...]:
    """Kernels that the libraries of a process use which is asked for these."""
    program = (
        "import numpy, scipy.linalg, threadpoolctl; "
        "print(*{each.get('architecture') for each in threadpoolctl.threadpool_info()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "OPENBLAS_CORETYPE": core},
        capture_output=True,
        text=True,
        check=False,
    )
    return tuple(done.stdout.split())


# Problems


def hardware(
    *architectures: str,
    bits: int | None = None,
    wiring: str = "complete",
    temperature: float = 300.15,
    **ranges: Any,
) -> Any:
    """Hardware of given architectures; with ``bits`` its couplers are banks, its trims of two bits more."""
    from spu.device.hardware_file import hardware_from_dict

    cell: dict[str, Any] = {
        "capacitance": {"nominal": 1e-9},
        "conductance": {"nominal": 1e-3},
        "inductance": {"nominal": 1e-5},
        "noise": {"nominal": 4e-20},
    }
    coupler: dict[str, Any] = {}
    if bits is not None:
        resonant = architectures[0].startswith("rlc")
        quantity, lsb = ("capacitance", 2e-9 / 2**bits) if resonant else ("conductance", 2e-3 / 2**bits)
        cell[quantity] |= {"bits": bits + 2, "lsb": lsb}
        coupler["transconductance" if architectures[0].endswith("transconductor") else quantity] = {
            "bits": bits,
            "lsb": lsb,
        }
    for key, limits in ranges.items():
        part, quantity = key.split("_", 1)
        {"cell": cell, "coupler": coupler}[part].setdefault(quantity, {}).update(limits)
    return hardware_from_dict(
        {
            "name": "board",
            "temperature": temperature,
            "architectures": list(architectures),
            "wiring": wiring,
            "cell": cell,
            "coupler": coupler,
        }
    )


def graph(rng: np.random.Generator, n: int) -> FloatArray:
    """(n, n) adjacency of a graph with symmetries: a cycle, star, path, ladder, two complete parts, all, cube."""
    A = np.zeros((n, n))
    kind, k = int(rng.integers(8)), np.arange(n)
    if kind == 0:
        A[k, (k + 1) % n] = 1.0
    elif kind == 1:
        A[0, 1:] = 1.0
    elif kind == 2:
        A[k[:-1], k[1:]] = 1.0
    elif kind == 3:
        A[: n // 2, n // 2 :] = 1.0
    elif kind == 4:
        A[:] = 1.0
    elif kind == 5:
        bits = k ^ (1 << int(rng.integers(3)))
        A[k[bits < n], bits[bits < n]] = 1.0
        A[k[:-1], k[1:]] = 1.0
    elif kind == 6:
        A[k[:-2], k[2:]] = 1.0
        A[k[:-1], k[1:]] = 1.0
    else:
        A[k, (k + 1) % n] = 1.0
        A[k, (k + n // 2) % n] = 1.0
    A = np.maximum(A, A.T)
    np.fill_diagonal(A, 0.0)
    return A


def symmetric(rng: np.random.Generator, n: int, *, signed: bool = False) -> FloatArray:
    """A precision of equal entries on a graph with symmetries, its numbers of a digit or two."""
    A = graph(rng, n) * float(rng.choice([0.1, 0.25, 0.3, 0.5, 1.0]))
    if signed:
        flips = np.triu(rng.random((n, n)) < 0.4, 1)
        A = np.where(flips | flips.T, -A, A)
    return np.asarray(np.diag(np.abs(A).sum(axis=1) + float(rng.choice([0.1, 0.5, 1.0, 2.0]))) - A)


def wishart(rng: np.random.Generator, n: int, *, negative: bool = False) -> FloatArray:
    """A random precision, of as many as three digits an entry."""
    X = rng.standard_normal((n, 6 * n))
    A = np.round(X @ X.T / X.shape[1], 3)
    return np.where(np.eye(n) > 0, A + 0.2, -np.abs(A) / 2) if negative else A


def weak(rng: np.random.Generator, n: int) -> FloatArray:
    """An H-matrix that is not dominant, of unlike diagonal entries and links of all strengths."""
    A = np.where(rng.random((n, n)) < min(1.0, 6.0 / n), np.round(rng.standard_normal((n, n)), 2), 0.0)
    A = np.triu(A, 1) + np.triu(A, 1).T
    root = np.sqrt(np.round(rng.uniform(1, 4, n), 1))
    rho = float(np.abs(la.eigvalsh(np.abs(A))).max()) or 1.0
    return np.asarray(np.diag(root**2) + np.round(A * np.outer(root, root) * 0.9 / rho, 3))


def grid(rng: np.random.Generator, side: int) -> sp.csr_array:
    """Precision of a field on a grid, with a shift of a digit."""
    line = sp.diags_array([-np.ones(side - 1), 2 * np.ones(side), -np.ones(side - 1)], offsets=[-1, 0, 1])
    eye = sp.eye_array(side)
    return sp.csr_array(
        sp.kron(line, eye) + sp.kron(eye, line) + float(rng.choice([0.1, 0.3, 1.0])) * sp.eye_array(side * side)
    )


def _gaussian(A: Any, board: Any, **options: Any) -> Callable[[], Any]:
    return lambda: _compiled(_task("GaussianSampling", A, mean=options.pop("mean", None)), board, options)


def _task(kind: str, *given: Any, **named: Any) -> Any:
    import spu

    return getattr(spu, kind)(*given, **named)


def _compiled(problem: Any, board: Any, options: dict[str, Any]) -> Any:
    import spu
    from spu.compiler import EmbeddingOptions

    if "correction" in options:
        options = {**options, "embedding": EmbeddingOptions(correction=options["correction"])}
        del options["correction"]
    return spu.compile_problem(problem, board, **options)


PASSIVE = ("rlc-capacitive", "rc-resistive", "rlc-capacitive-dual", "rc-resistive-dual")
KINDS = 16


def case(number: int) -> tuple[str, Callable[[], Any]]:
    """A problem by its number: what it is, and what compiles it. Kinds follow each other."""
    rng = np.random.default_rng([12, number])
    kind, n = number % KINDS, int(rng.integers(3, 9))
    bits, merged = int(rng.choice([3, 4, 6])), int(rng.choice([1, 1, 2, 4]))
    if kind == 0:
        return "equal entries, a preset of 4 bits", _gaussian(
            symmetric(rng, n), "spu8-4bit", ensemble=merged, rounding=str(rng.choice(["answer", "codes", "nearest"]))
        )
    if kind == 1:
        return "equal entries, resistors of a few bits", _gaussian(
            symmetric(rng, n), hardware("rc-resistive", bits=bits), ensemble=merged
        )
    if kind == 2:
        return "equal entries of both signs, dual rails of a few bits", _gaussian(
            symmetric(rng, n, signed=True),
            hardware(str(rng.choice(["rlc-capacitive-dual", "rc-resistive-dual"])), bits=bits),
        )
    if kind == 3:
        return "equal entries of both signs, transconductors of a few bits", _gaussian(
            symmetric(rng, n, signed=True), hardware("rc-transconductor", bits=bits), ensemble=merged
        )
    if kind == 4:
        return "random, transconductors of a few bits", _gaussian(
            wishart(rng, n), hardware("rc-transconductor", bits=bits), ensemble=merged
        )
    if kind == 5:
        return "random, capacitors of a few bits", _gaussian(
            wishart(rng, n, negative=True), hardware("rlc-capacitive", bits=bits), ensemble=merged
        )
    if kind == 6:
        A, right = symmetric(rng, n), np.round(rng.standard_normal(n) * (rng.random(n) < 0.5), 1)
        board = hardware("rc-resistive", bits=bits) if rng.random() < 0.5 else "ideal"
        return "a linear system of few currents", lambda: _compiled(_task("LinearSystem", A, right), board, {})
    if kind == 7:
        A = symmetric(rng, n, signed=True)
        board = hardware(*rng.permutation(PASSIVE)[:2].tolist(), "rc-transconductor", temperature=0.0)
        return "equal entries with a mean", _gaussian(A, board, mean=(rng.random(n) < 0.5).astype(float))
    if kind in (8, 9, 10):
        wiring = str(rng.choice(["chimera 2x2x4", "king 5x5", "grid 6x6", "chimera 1x2x3"]))
        correction = str(rng.choice(["auto", "auto", "first-order", "all-orders", "uncorrected"]))
        A = symmetric(rng, min(n, 6), signed=kind == 10)
        board = hardware(
            {8: "rlc-capacitive", 9: "rc-transconductor", 10: "rc-resistive-dual"}[kind],
            wiring=wiring,
            coupler_capacitance={"max": 5e-9},
            bits=bits if rng.random() < 0.3 else None,
        )
        return f"equal entries on {wiring}, {correction}", _gaussian(A, board, correction=correction)
    if kind == 11:
        m = int(rng.choice([12, 30, 80, 150]))
        return f"weak links, {m} variables", _gaussian(weak(rng, m), hardware(*PASSIVE, "rc-transconductor"))
    if kind == 12:
        m = int(rng.integers(4, 12))
        board = hardware(
            "rlc-capacitive-dual",
            cell_capacitance={"min": 1e-10, "max": 2e-9},
            coupler_capacitance={"min": 1e-12, "max": 2e-9},
        )
        A = weak(rng, m) if rng.random() < 0.5 else symmetric(rng, m, signed=True)
        return "unlike scales in narrow ranges", _gaussian(A, board)
    if kind == 13:
        side = int(rng.choice([46, 50]))
        board = hardware("rlc-capacitive", bits=10) if rng.random() < 0.5 else "ideal"
        return f"a sparse grid of {side} x {side}", _gaussian(grid(rng, side), board)
    if kind == 14:
        A = la.inv(symmetric(rng, n, signed=bool(rng.random() < 0.5)))
        return "the covariance of a sparse model", lambda: _compiled(
            _task("GaussianSampling", covariance=np.round(A, 12)), "ideal", {}
        )
    couplings = -symmetric(rng, n, signed=True)
    np.fill_diagonal(couplings, 0.0)
    return "a thermodynamic network of equal couplings", lambda: _network(couplings, n)


def _network(couplings: FloatArray, n: int) -> Any:
    import spu

    return spu.compile_network(spu.ThermodynamicNetwork(1.0, 0.0, 1.0, couplings=couplings, units=n), "neurons")


def examples() -> Iterator[tuple[str, Callable[[], Any]]]:
    """The examples that are compiled."""
    import runpy

    import spu

    names = ("club8.toml", "karate_club.mtx", "wine.toml", "frustrated.toml", "six_bits.toml")
    for name in names:
        problem, board = spu.load_problem(ROOT / "examples" / name)
        yield name, functools.partial(_compiled, problem, board or "ideal", {})
    yield (
        "club8.toml on chimera.toml",
        functools.partial(
            _compiled, spu.load_problem(ROOT / "examples" / "club8.toml")[0], ROOT / "examples" / "chimera.toml", {}
        ),
    )
    matrix, vector, _ = runpy.run_path(str(ROOT / "examples" / "fin.py"))["system"]()
    yield "fin.py", functools.partial(_compiled, spu.LinearSystem(matrix, vector), "ideal", {})
    sampled = spu.GaussianSampling(runpy.run_path(str(ROOT / "examples" / "grid.py"))["precision"](60))
    yield "grid.py", functools.partial(_compiled, sampled, "ideal", {})
    given = spu.load_network(ROOT / "examples" / "neurons.toml")
    yield "neurons.toml", functools.partial(spu.compile_network, given.network, given.hardware or "ideal")


# What was compiled


def described(compilation: Any) -> tuple[dict[str, Any], dict[str, list[float]], dict[str, list[float]]]:
    """What must be equal; numbers to be equal relative to each; and relative to the largest."""
    import spu

    device = compilation.device
    exact: dict[str, Any] = {
        "hash": device.hash,
        "architecture": device.architecture,
        "reason": re.sub(_NUMBER, "N", compilation.reason),
        "cells": list(device.cell_names),
        "ends": device.coupler_ends.tolist(),
        "netlist": len(device.cell_names) < 100 and re.sub(_NUMBER, "N", spu.netlist(device)),
    }
    each: dict[str, list[float]] = {}
    for part, columns in (("cell", device.cell_columns), ("coupler", device.coupler_columns)):
        for key, array in columns.arrays.items():
            held = ~np.isnan(array)
            if held.any():
                exact[f"{part} {key}: held, sign"] = [held.tolist(), (array[held] < 0).tolist()]
                each[f"{part} {key}"] = array[held].tolist()
        exact[f"{part} codes"] = {key: codes.tolist() for key, codes in columns.codes.items()}
    together: dict[str, list[float]] = {}
    for k, member in enumerate(device.members()):
        readout, programming = member.readout, member.programming
        exact[f"programming {k + 1}"] = [
            member.hash,
            {key: codes.tolist() for key, codes in programming.cell_codes.items()},
            {key: codes.tolist() for key, codes in programming.coupler_codes.items()},
            np.isnan(programming.bias).tolist(),
            readout.variables,
            readout.matrix.indices.tolist(),
            (readout.matrix.data < 0).tolist(),
        ]
        together |= {f"readout {k + 1}": readout.matrix.data.tolist(), f"offset {k + 1}": readout.offset.tolist()}
    if hasattr(compilation, "realizability"):
        exact["decided"] = [
            compilation.realizability,
            compilation.mean,
            compilation.flipped,
            compilation.rounding,
            compilation.banks,
        ]
        each["scale_spread"] = [compilation.scale_spread]
        together["rho"] = [1.0, compilation.rho]
        together["errors"] = [1.0, compilation.prediction.relative_error or 0.0]
        covariance = compilation.prediction.voltage_covariance
        few = not sp.issparse(covariance) and len(covariance) <= 200
        together["covariance"] = (covariance.ravel() if few else covariance.diagonal()).tolist()
        if compilation.embedding is not None:
            exact["chains"] = {name: list(cells) for name, cells in compilation.embedding.variables.items()}
            exact["method"] = compilation.embedding.method
    return exact, each, together


_NUMBER = r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])"


def _shaken(rng: np.random.Generator, made: Any) -> Any:
    """A result changed by a few last bits of its largest entry."""
    if isinstance(made, tuple):
        return tuple(_shaken(rng, part) for part in made)
    if isinstance(made, np.ndarray) and made.dtype == np.float64 and made.size:
        noise = rng.integers(-LAST_BITS, LAST_BITS, made.shape, endpoint=True)
        return made + noise * np.finfo(float).eps * np.abs(made)
    return made


def shake(seed: int) -> None:
    """From now on dense linear algebra of scipy and numpy is off by last bits; eigenvectors get random signs."""
    rng = np.random.default_rng(seed)

    def wrapped(function: Callable[..., Any], vectors: bool) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            made = _shaken(rng, function(*args, **options))
            if vectors and isinstance(made, tuple):
                return (made[0], made[1] * rng.choice([-1.0, 1.0], made[1].shape[1]), *made[2:])
            return made

        return call

    for name in ("solve", "cho_factor", "cho_solve", "cholesky", "solve_triangular", "qr", "eigh", "eigvalsh", "pinvh"):
        setattr(la, name, wrapped(getattr(la, name), name == "eigh"))
    for name in ("inv", "solve", "eigh", "lstsq", "cholesky"):
        if name != "lstsq":
            setattr(np.linalg, name, wrapped(getattr(np.linalg, name), name == "eigh"))


def compile_all(numbers: Sequence[int], out: Path, seed: int | None) -> None:
    """Compile the examples and the problems of these numbers, and write down what came out, one a line."""
    from spu.base.errors import Unrealizable

    if seed is not None:
        shake(seed)
    with out.open("w") as file:
        for name, make in (
            *examples(),
            *((f"{number}: {text}", make) for number in numbers for text, make in [case(number)]),
        ):
            try:
                exact, each, together = described(make())
            except Unrealizable as refusal:
                exact, each, together = {"refused": re.sub(_NUMBER, "N", refusal.reason)}, {}, {}
            file.write(json.dumps([name, exact, each, together]) + "\n")


def differences(a: Path, b: Path) -> list[str]:
    """What two processors made differently, a line each."""
    found = []
    with a.open() as first, b.open() as second:
        for one, other in zip(first, second, strict=True):
            name, exact, each, together = json.loads(one)
            _, exact2, each2, together2 = json.loads(other)
            unequal = [key for key in {**exact, **exact2} if exact.get(key) != exact2.get(key)]
            found += [f"{name}: {key} differs: {_first(exact.get(key), exact2.get(key))}" for key in unequal]
            if unequal:
                continue
            for key, values in each.items():
                x, y = np.array(values), np.array(each2[key])
                # What is 1e-5 of the largest and less is no more exact than that one's last bits.
                size = np.abs(x).clip(1e-5 * np.abs(x).max(initial=0.0))
                off = float((np.abs(x - y) / np.where(size > 0, size, 1.0)).max(initial=0.0))
                found += [f"{name}: {key} differs by {off:.1e}"] if off > TOLERANCE else []
            for key, values in together.items():
                x, y = np.array(values), np.array(together2[key])
                off = float(np.abs(x - y).max(initial=0.0) / (np.abs(x).max(initial=0.0) or 1.0))
                found += [f"{name}: {key} differs by {off:.1e} of the largest"] if off > TOLERANCE else []
    return found


def _first(a: Any, b: Any) -> str:
    """Where two descriptions part."""
    a, b = json.dumps(a), json.dumps(b)
    k = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"{a[max(0, k - 40) : k + 40]} against {b[max(0, k - 40) : k + 40]}"


def run(
    settings: dict[str, str], numbers: Sequence[int], out: Path, seed: int | None = None
) -> subprocess.CompletedProcess[str]:
    """`compile_all` in a process of its own, with these settings of its environment."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **settings}
    job = json.dumps([list(numbers), str(out), seed])
    return subprocess.run(
        [sys.executable, __file__, "--job", job], env=environment, capture_output=True, text=True, check=False
    )


def compare(numbers: Sequence[int], folder: Path, names: Sequence[str], shaken: int = 0) -> dict[str, list[str]]:
    """What each processor makes differently from the first named, and as many that nobody has."""
    jobs = {name: (PROCESSORS[name], None) for name in names} | {
        f"last bits {k + 1}": ({"PYTHONHASHSEED": str(k + 3)}, k) for k in range(shaken)
    }
    files = {name: folder / f"{k}.json" for k, name in enumerate(jobs)}
    with ThreadPoolExecutor(max_workers=2) as pool:
        ended = pool.map(lambda name: run(jobs[name][0], numbers, files[name], jobs[name][1]), jobs)
        done = dict(zip(jobs, ended, strict=True))
    failed = [f"{name}:\n{each.stderr[-3000:]}" for name, each in done.items() if each.returncode]
    if failed:
        raise RuntimeError("\n".join(failed))
    first, *others = jobs
    return {name: differences(files[first], files[name]) for name in others}


def main(count: int = 300, first: int = 0) -> int:
    """Compare all processors that this machine can be, on so many problems; 1 if they differ."""
    possible = []
    for name, settings in PROCESSORS.items():
        why = impossible(settings)
        print(f"{name}: {why or 'yes'}")
        possible += [name] if why is None else []
    with tempfile.TemporaryDirectory() as folder:
        found = compare(range(first, first + count), Path(folder), possible, shaken=3)
    for name, lines in found.items():
        print(f"{name} against {possible[0]}, {count} random problems and the examples: {len(lines)} differences")
        for line in lines:
            print(f"  {line}")
    return int(any(found.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        job = json.loads(sys.argv[2])
        compile_all(job[0], Path(job[1]), job[2])
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
