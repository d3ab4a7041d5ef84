"""Random files and command lines: whatever comes in, a run ends within seconds, by one message and a known status.

    python benchmarks/fuzz.py --runs 30000 --seed 0 --jobs 2
    python benchmarks/fuzz.py --case 1234                        one case again: its files, its words, what it said

Case k of seed s has the number 1,000,000 s + k, of which files, spoils and command lines are functions (`fuzz_cases`).
Each runs in a child forked off this process, which has imported everything, with limits on time and memory, its own
temporary folder, and real streams and exit status. Held of each: no traceback; an exit status of `EXPECTED`; with
``--json`` exactly one JSON object on standard output; no message of over 8 lines or 400 characters; nothing left in the
temporary folder, or aside in the working folder. Printed: a table of verbs and statuses, and each fault with its case.
Exit status 1 if there was a fault.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: threads do not survive a fork

import argparse
import collections
import importlib
import json
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_cases import Case, make_materials, prepare, run_here

import spu
from spu.cli import ending
from spu.cli.verbs import VERBS, cli

EXPECTED = frozenset({0, 1, 2, 3, 130, 141, 143})
SECONDS = 30.0
MEMORY = 1_500 * 2**20
"""Bytes of memory that a run may come to have; twice that is the most that it gets."""

MOST_CHARACTERS, MOST_LINES = 400, 8


@dataclass
class Result:
    """What became of a case: the statuses of its commands, and its faults."""

    case: Case
    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)


def warm_up(place: Path) -> Path:
    """Import everything, compile the kernels and write the materials; gives their folder."""
    for module in pkgutil.walk_packages(spu.__path__, "spu."):
        if not module.name.endswith((".worker", "__main__")):
            importlib.import_module(module.name)
    for verb in VERBS:
        assert cli.get_command(None, verb) is not None  # type: ignore[arg-type]
    materials = place / "materials"
    make_materials(materials)
    before = Path.cwd()
    scratch = place / "warm"
    shutil.copytree(materials, scratch)
    os.chdir(scratch)
    try:
        for words in (
            *("simulate out --samples 200 --lags 3", "simulate out --samples 200 --interval 1e-8 --trajectories 100"),
            *(
                "simulate lin --samples 100 --method modal",
                "simulate imp --samples 200 --method dense --trajectories 1",
            ),
            *("simulate codes --independent --samples 200", "simulate net --trajectories 10 --heat --inputs in.csv"),
            *(
                "simulate net --start equilibrium --scheme baoab",
                "simulate deck.cir --samples 300",
                "simulate big --samples 50",
            ),
            *("predict net", "predict imp --band 1 1e6", "inspect out --plot p.png", "check out --level answer"),
        ):
            run_here(words.split())
    finally:
        os.chdir(before)
    shutil.rmtree(scratch)
    return materials


def run_numbers(numbers: Iterable[int], materials: Path, place: Path, jobs: int = 1) -> Iterator[Result]:
    """Run cases, several at a time; results as they come."""
    waiting = iter(numbers)
    running: dict[int, tuple[_Run, float]] = {}
    exhausted = False
    while running or not exhausted:
        while not exhausted and len(running) < jobs:
            number = next(waiting, None)
            if number is None:
                exhausted = True
                break
            run = _Run(number, materials, place / str(number))
            running[run.start()] = (run, time.monotonic())
        for process, (run, since) in list(running.items()):
            done, status, usage = os.wait4(process, os.WNOHANG)
            late = time.monotonic() - since > SECONDS
            if not done and late:
                os.killpg(process, signal.SIGKILL)
                done, status, usage = os.wait4(process, 0)
            if not done:
                continue
            del running[process]
            run.ended(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, time.monotonic() - since, late)
            if run.is_over():
                yield run.result
            else:
                running[run.start()] = (run, time.monotonic())
        time.sleep(0.003)


class _Run:
    """A case on its way, command by command."""

    def __init__(self, number: int, materials: Path, place: Path) -> None:
        self.place = place
        self.folder, self.scratch = place / "work", place / "tmp"
        shutil.copytree(materials, self.folder)
        self.scratch.mkdir()
        self.result = Result(prepare(number, self.folder))
        self.words: list[str] = []

    def start(self) -> int:
        """Fork a child for the next command; gives its number."""
        self.words = self.result.case.commands[len(self.result.statuses)]
        process = os.fork()
        if process == 0:
            self._child()
        return process

    def _child(self) -> None:
        status = 99
        try:
            os.setpgid(0, 0)
            os.chdir(self.folder)
            os.environ["TMPDIR"] = tempfile.tempdir = str(self.scratch)
            for number, name in ((0, os.devnull), (1, self.place / "out"), (2, self.place / "err")):
                handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(handle, number)
                os.close(handle)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_DATA, (2 * MEMORY, 2 * MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**29, 2**29))
            sys.argv = ["spu", *self.words]
            ending._take_signals()
            ending._take_streams()
            try:
                cli.main(self.words, prog_name="spu")
            except SystemExit as end:
                status = int(end.code or 0)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)

    def ended(self, status: int, memory: int, seconds: float, late: bool) -> None:
        """Judge a command."""
        result = self.result
        result.statuses.append(status)
        result.seconds = max(result.seconds, seconds)
        out = (self.place / "out").read_bytes().decode(errors="replace") if (self.place / "out").exists() else ""
        err = (self.place / "err").read_bytes().decode(errors="replace") if (self.place / "err").exists() else ""
        faults = [f"took over {SECONDS:g} s"] if late else [f"ended with {status}"] if status not in EXPECTED else []
        if memory > MEMORY:
            faults.append(f"took {memory / 2**20:.0f} MiB")
        if "Traceback (most recent call last)" in out + err:
            faults.append("traceback")
        if not late:
            faults += judge_streams(self.words, status, out, err)
            left = [path.name for path in self.scratch.iterdir()]
            left += [str(path.relative_to(self.folder)) for path in self.folder.rglob(".spu*")]
            if left:
                faults.append(f"left {left[0]} behind")
        last = (err or out).strip().splitlines()[-1:] or [""]
        result.faults += [f"{fault}: {last[0][:300]}" for fault in faults]
        result.said.append(
            f"{status} after {seconds:.2f} s, {memory / 2**20:.0f} MiB\n{out[:3000]}\n{err[:3000]}".rstrip()
        )

    def is_over(self) -> bool:
        """Whether there is nothing more to run; what the case wrote is then gone."""
        result = self.result
        if not result.faults and result.statuses[-1] == 0 and len(result.statuses) < len(result.case.commands):
            return False
        shutil.rmtree(self.place, ignore_errors=True)
        return True


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def judge_streams(words: list[str], status: int, out: str, err: str) -> list[str]:
    """What is wrong with the output of a run."""
    faults = []
    message = err[err.rfind("error: ") + len("error: ") :] if "error: " in err else ""
    as_json = "--json" in words and status != 141 and not ({"--help", "-h", "--version"} & {*words})
    if as_json:
        try:
            found = json.loads(out, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return [*faults, "standard output is not one JSON object"]
        if not isinstance(found, dict):
            faults.append("standard output is not an object")
        elif status in (2, 70) and "error" not in found and found.get("verdict") != "error":
            faults.append("no error in the object")
        elif isinstance(found.get("error"), dict):
            message = str(found["error"].get("message"))
    elif status in (2, 3, 70) and not message and not (status in (2, 3) and words[0] in ("check", "report") and out):
        faults.append("no message")
    # What would help where hardware cannot hold a problem, and at what cost, is told a line each.
    most = 1500 if "What would help:" in message else MOST_CHARACTERS
    if len(message.strip()) > most or len(message.strip().splitlines()) > MOST_LINES:
        faults.append(f"a message of {len(message)} characters, {len(message.splitlines())} lines")
    if any(len(line) > MOST_CHARACTERS + 20 for line in err.splitlines()):
        faults.append("a line of over 400 characters on standard error")
    return faults


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the case to begin with")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--case", type=int, help="run this one alone and show what it says")
    parser.add_argument(
        "--keep", action="store_true", help="with --case: leave its files as the case begins, in ./case"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Path(folder)
        materials = warm_up(place)
        if arguments.case is not None:
            if arguments.keep:
                shutil.copytree(materials, "case")
                prepare(arguments.case, Path("case"))
            (result,) = run_numbers([arguments.case], materials, place)
            print(result.case, *result.said, *result.faults, sep="\n")
            return int(bool(result.faults))
        first = 1_000_000 * arguments.seed + arguments.first
        began = time.monotonic()
        statuses: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        faults = 0
        results = run_numbers(range(first, first + arguments.runs), materials, place, arguments.jobs)
        for count, result in enumerate(results, start=1):
            for words, status in zip(result.case.commands, result.statuses, strict=False):
                statuses[words[0] if words[0] in VERBS else "other"][status] += 1
            if count % 1000 == 0:
                print(f"{count} cases, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if result.faults:
                faults += 1
                print(
                    f"FAULT in case {result.case.number}: {result.case}"[:700], *result.faults, sep="\n    ", flush=True
                )
        columns = sorted({status for row in statuses.values() for status in row})
        print(f"{'verb':10}", *(f"{status:>7}" for status in columns))
        for verb, row in sorted(statuses.items()):
            print(f"{verb:10}", *(f"{row[status]:7}" for status in columns))
        print(f"{arguments.runs} cases, {faults} with faults, {time.monotonic() - began:.0f} s")
        return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
