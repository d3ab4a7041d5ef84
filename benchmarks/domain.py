"""Random runs of `simulate` over the whole domain of linear devices, against a law that this program derives itself.

    python benchmarks/domain.py --runs 10000 --seed 0 --jobs 2     about 20 minutes of one processor in all
    python benchmarks/domain.py --case 1234                        one case again, in full

Case k of seed s has the number 1,000,000 s + k, of which device, settings and tests are functions (`domain_cases`).
Every run gives some p-values of its exact law (`domain_checks`), and plain comparisons that chance has no part in,
with `predict` and `spectrum` among them. Printed: a table for families, methods and kinds of test. ``smallest`` has
the case it comes from; ``uniform?`` is the p-value of a Kolmogorov-Smirnov test, for families and methods of one
p-value a run, drawn from those that are exact, so that they are independent. Exit status 1 if there was a
contradiction, or a p-value below 1e-9.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the matrices are small

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from domain_cases import FAMILIES, NUMBERS, Refused, draw
from domain_checks import BOUNDED, Result, run_case
from scipy.stats import kstest

CHANCE = 1e-9
"""Below this a p-value is no chance: 10,000 runs have 100,000 of them."""


def run_seed(seed: int, families: tuple[str, ...] | None = None, numbers: int = NUMBERS) -> Result:
    """Draw a case and run it; a `Result` in any event."""
    try:
        case = draw(seed, families, numbers)
    except Refused as why:
        said = str(why)
        return Result(seed, refused=said, faults=[said] if said.startswith("NOT REFUSED") else [])
    except Exception as error:
        return Result(seed, faults=[f"to draw it: {type(error).__name__}: {str(error)[:150]}"])
    return run_case(case)


def run_seeds(seeds: Iterable[int], jobs: int = 1) -> Iterator[Result]:
    """Results of many cases, in order."""
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_seed, seeds, chunksize=8)


def uniformity(values: list[float]) -> float:
    """p-value of a Kolmogorov-Smirnov test that independent p-values are uniform."""
    return float(kstest(values, "uniform").pvalue) if values else 1.0


def by_kind(results: list[Result]) -> dict[str, list[float]]:
    """The p-values of each kind of test; those of different runs are independent."""
    found: dict[str, list[float]] = {}
    for result in results:
        for kind, p in result.p_values.items():
            found.setdefault(kind, []).append(p)
    return found


def smallest(results: list[Result]) -> tuple[float, str, int]:
    """The smallest p-value of some runs, its kind and its case."""
    return min(((p, kind, r.seed) for r in results for kind, p in r.p_values.items()), default=(1.0, "-", -1))


def one_each(results: list[Result]) -> list[float]:
    """One exact p-value of each run, drawn at random."""
    found = []
    for result in results:
        exact = sorted(kind for kind in result.p_values if kind not in BOUNDED)
        if exact:
            found.append(result.p_values[exact[np.random.default_rng(result.seed).integers(len(exact))]])
    return found


def table(results: list[Result]) -> str:
    """What many runs gave, as text."""
    ran = [result for result in results if not result.refused]
    lines = []

    def part(title: str, key: Callable[[Result], str], names: Iterable[str]) -> None:
        lines.append(
            f"{title:22s} {'runs':>6s} {'wrong':>5s} {'smallest p':>10s}  {'of':9s} {'case':>9s} {'uniform?':>8s}"
        )
        for name in names:
            rows = [result for result in ran if key(result) == name]
            if rows:
                p, kind, seed = smallest(rows)
                wrong = sum(bool(row.faults) for row in rows)
                uniform = uniformity(one_each(rows))
                lines.append(f"{name:22s} {len(rows):6d} {wrong:5d} {p:10.1e}  {kind:9s} {seed:9d} {uniform:8.2f}")
        lines.append("")

    part("family", lambda result: result.family, FAMILIES)
    part("method", lambda result: result.method, ("dense", "modal", "midpoint", "independent"))
    lines.append(f"{'kind of test':22s} {'runs':>6s} {'smallest p':>16s} {'uniform?':>8s}")
    for kind, values in by_kind(ran).items():
        uniform = "bounded" if kind in BOUNDED else f"{uniformity(values):.2f}"
        lines.append(f"{kind:22s} {len(values):6d} {min(values):16.1e} {uniform:>8s}")
    return "\n".join(lines)


def main() -> int:
    """Run and print; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--case", type=int, help="the number of one case, to be run again in full")
    arguments = parser.parse_args()
    if arguments.case is not None:
        result = run_seed(arguments.case)
        print(result.text or f"no run: {result.refused}")
        for kind, p in result.p_values.items():
            print(f"  {kind:10s} {p:.3e}")
        for fault in result.faults:
            print(f"  WRONG: {fault}")
        return int(_is_wrong(result))
    started, results = time.perf_counter(), []
    first = 1_000_000 * arguments.seed
    for result in run_seeds(range(first, first + arguments.runs), arguments.jobs):
        results.append(result)
        if _is_wrong(result):
            low = {kind: p for kind, p in result.p_values.items() if p < CHANCE}
            print(f"case {result.seed}: {result.method} {result.text}\n    {result.faults} {low}", flush=True)
        if len(results) % 500 == 0:
            print(f"{len(results)} cases, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    refused = [result for result in results if result.refused]
    wrong = [result for result in results if _is_wrong(result)]
    count = sum(len(result.p_values) for result in results)
    print(table(results))
    print(
        f"\n{len(results) - len(refused)} runs and {len(refused)} refusals in {time.perf_counter() - started:.0f} s; "
        f"{count} p-values, {sum(p < CHANCE for r in results for p in r.p_values.values())} below {CHANCE:g}; "
        f"{len(wrong)} cases wrong"
    )
    return int(bool(wrong))


def _is_wrong(result: Result) -> bool:
    return bool(result.faults) or any(p < CHANCE for p in result.p_values.values())


if __name__ == "__main__":
    sys.exit(main())
