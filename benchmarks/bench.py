"""The project and its peers, alternately, on the same problems: a table of ratios, and the same as JSON.

    make bench                               installs the peers into .venv and runs everything (some minutes)
    python benchmarks/bench.py --only 2,3    some cases; --quick to see whether it runs at all
    make bench BENCH="--column zen4"         everything, kept as a column of docs/benchmarks.md (columns.py)

Where things are: cases.py says what is compared, peers.py how each peer is used, adapter.py how the project is,
problems.py the devices, commands.py how commands are run, correctness.py who samples the right law, harness.py times
and tells, shares.py where the time goes, machine.py on what.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import Session

RESULTS = Path(__file__).parent / "results"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of every contestant (default 2)")
    parser.add_argument("--only", default="", metavar="CASES", help="some cases, as in 1,3b; the others are left out")
    parser.add_argument(
        "--peers", metavar="NAMES", help="some of thermox,diffrax,numpy,ngspice,torch, or none; all unless given"
    )
    parser.add_argument("--no-checks", action="store_true", help="leave out correctness (figures then prove nothing)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write; benchmarks/results/ unless given")
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="write benchmarks/measured/NAME.json, a column of docs/benchmarks.md, and that",
    )
    given = parser.parse_args(words)
    if given.column and (given.quick or given.only or given.no_checks or given.peers or given.json):
        parser.error("a column takes a whole run: --column goes with --threads only")
    return given


def confine(threads: int) -> None:
    """Give every library as many threads and cores, before any of them is loaded and asks the machine."""
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if hasattr(os, "sched_setaffinity"):  # JAX sizes its pool by the cores it may use
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])


def attempt(session: Session, name: str, case: Callable[[Session], None], broken: list[str]) -> None:
    """Run one case; one that breaks must not cost the results of the others."""
    session.say(f"case {name}: {(case.__doc__ or '').splitlines()[0]}")
    try:
        case(session)
    except Exception as error:
        broken.append(name)
        session.say(f"case {name} broke: {type(error).__name__}: {error}")


def main(words: list[str] | None = None) -> int:
    """Run; 1 if the project samples a wrong law or a case broke."""
    given = arguments(words)
    confine(given.threads)
    import columns
    import correctness
    from cases import CASES, FORKING, LIMITED, SAMPLING
    from harness import Session, as_json, finish_limits, measure_limits, report

    chosen = [name.strip() for name in given.only.split(",") if name.strip()] or list(CASES)
    if unknown := sorted(set(chosen) - set(CASES)):
        print(f"bench.py: no case {', '.join(unknown)}; there are {', '.join(CASES)}", file=sys.stderr)
        return 2
    peers = None if given.peers is None else frozenset(given.peers.split(","))
    session = Session(threads=given.threads, quick=given.quick, peers=peers)
    started = time.perf_counter()
    broken: list[str] = []
    for name in chosen:
        if name in FORKING:
            attempt(session, name, CASES[name], broken)
    if not given.no_checks:
        correctness.run(session)
    session.say("the machine's limits")
    measure_limits(session)
    for name in chosen:
        if name not in FORKING:
            if name in LIMITED:
                measure_limits(session, brief=True)
            attempt(session, name, CASES[name], broken)
    finish_limits(session)
    session.rows.sort(key=lambda row: list(CASES).index(row.case))
    if session.wrong:
        for row in session.rows:
            if row.case in SAMPLING and row.value is not None:
                row.value, row.note = 0.0, f"counts as zero: wrong {', '.join(session.wrong)}"
    print(report(session))
    print(f"\n{time.perf_counter() - started:.0f} s")
    path = given.json or RESULTS / time.strftime("bench-%Y%m%d-%H%M%S.json")
    whole = given.column and not session.wrong and not broken
    if whole:
        path = columns.MEASURED / f"{given.column}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(session), indent=1) + "\n")
    print(f"written to {path}")
    if whole:
        columns.write()
    elif given.column:
        print(f"no column: {', '.join([*session.wrong, *(f'case {name}' for name in broken)])}", file=sys.stderr)
    return int(bool(session.wrong or broken))


if __name__ == "__main__":
    sys.exit(main())
