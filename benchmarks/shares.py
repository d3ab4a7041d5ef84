"""Where the time goes: the processor time of a piece of work, by what kind of code it was spent in.

A timer of the operating system interrupts the process whenever it has used 4 ms of processor time, whichever thread
did, and `sampler.c` notes the address of the instruction that was running. Addresses are looked up in the symbol
tables of the libraries that they lie in. So shares are measured and add up to one, nothing is modelled, and nothing
that is timed elsewhere runs while samples are taken. Of n samples a share p has a standard error of
``sqrt(p (1 - p) / n)``.

What a processor waits for memory inside a product counts as the product: addresses do not tell.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import os
import re
import resource
import shutil
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PLACES = {
    "products": "level 3 of BLAS (packing included), and the project's own matrix products",
    "decompositions": "LAPACK and the rest of BLAS, SuperLU, ARPACK",
    "normals": "the project's normal numbers, where a function of its own draws them",
    "kernels": "the project's other compiled loops (a step by modes draws its own normals)",
    "memory": "copies and allocation by libc, numpy's and scipy's passes over arrays and libm, which they call",
    "Python": "the interpreter, its modules, loading of libraries",
    "waiting": "threads of a library that spin until there is something to do",
    "other": "anything else",
}
"""What the columns mean."""

_TICK = 4000
"""us of processor time between samples: the clock of the operating system ticks no faster."""

_CAPACITY = 1 << 16


@dataclass(frozen=True)
class Shares:
    """Where the processor time of one piece of work went.

    Attributes
    ----------
    places:
        Share of the samples, by name of `PLACES`; those that were never seen are left out.
    samples:
        How many there were.
    cores:
        Processors in use, on average.
    system:
        Share of the processor time that was the operating system's (page faults, most of it). It is part of the
        places: a fault counts where the memory was touched.
    """

    places: dict[str, float]
    samples: int
    cores: float
    system: float


def of_work(work: Callable[[], object], seconds: float) -> Shares | None:
    """Repeat some work in this process for so long; None where no sampler can be built, or nothing was seen."""
    library = _loaded()
    if library is None:
        return None
    memory = np.zeros(_CAPACITY, dtype=np.uint64)
    with _used(resource.RUSAGE_SELF) as used:
        if library.spu_bench_begin(memory.ctypes.data, len(memory), _TICK):
            return None
        try:
            began = time.perf_counter()
            work()
            while time.perf_counter() - began < seconds:
                work()
        finally:
            count = library.spu_bench_end()
    return _shares(_places(memory[:count], Path("/proc/self/maps").read_text()), used)


def of_command(run: Callable[[dict[str, str]], object]) -> Shares | None:
    """Run a command, and what it starts, once: ``run`` is given the environment variables that it needs more."""
    built = _built()
    if built is None:
        return None
    with tempfile.TemporaryDirectory(prefix="spu-bench-") as folder:
        with _used(resource.RUSAGE_CHILDREN) as used:
            run({"LD_PRELOAD": str(built), "SPU_BENCH_SAMPLES": folder})
        found: Counter[str] = Counter()
        for path in Path(folder).glob("*.samples"):
            samples, maps = np.fromfile(path, dtype=np.uint64), path.with_suffix(".map")
            if maps.exists():
                found += _places(samples[samples > 0], maps.read_text())
    return _shares(found, used)


@dataclass
class _Used:
    """Seconds, by the clock and of processors."""

    wall: float = 0.0
    user: float = 0.0
    system: float = 0.0


@contextmanager
def _used(who: int) -> Iterator[_Used]:
    found, began, before = _Used(), time.perf_counter(), resource.getrusage(who)
    yield found
    after = resource.getrusage(who)
    found.wall = time.perf_counter() - began
    found.user, found.system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


def _shares(found: Counter[str], used: _Used) -> Shares | None:
    total, busy = sum(found.values()), used.user + used.system
    if not total or not busy:
        return None
    places = {name: found[name] / total for name in PLACES if found[name]}
    return Shares(places, total, busy / used.wall, used.system / busy)


# The sampler


@functools.cache
def _built() -> Path | None:
    """The sampler, compiled once a run of the benchmark; None without a C compiler or on another system."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="spu-bench-")
    _kept.append(folder)
    built = Path(folder.name) / "sampler.so"
    source = Path(__file__).with_name("sampler.c")
    done = subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", built, source], capture_output=True, check=False)
    return built if done.returncode == 0 else None


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Folders that last as long as this process."""


@functools.cache
def _loaded() -> ctypes.CDLL | None:
    built = _built()
    if built is None:
        return None
    library = ctypes.CDLL(str(built))
    library.spu_bench_begin.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
    library.spu_bench_end.restype = ctypes.c_long
    return library


# From addresses to places


def _places(samples: np.ndarray, maps: str) -> Counter[str]:
    """How many samples lie in each place."""
    regions = []  # begin, end, offset in the file, file
    for line in maps.splitlines():
        words = line.split(maxsplit=5)
        if "x" in words[1]:
            begin, end = (int(word, 16) for word in words[0].split("-"))
            regions.append((begin, end, int(words[2], 16), words[5] if len(words) > 5 else ""))
    starts = [region[0] for region in regions]
    found: Counter[str] = Counter()
    for address in samples.tolist():
        number = bisect.bisect_right(starts, address) - 1
        if number < 0 or address >= regions[number][1]:
            found["other"] += 1
            continue
        begin, _, offset, path = regions[number]
        found[place(path, symbols(path).at(address - begin + offset) if path.startswith("/") else "")] += 1
    return found


_PRODUCT = re.compile(
    r"^[sd]_?(gemm|symm|syrk|syr2k|trmm)|gemm_(small|batch)|^gemm_driver|^(inner_|)gemm_thread|COMPUTE_EDGE|_gemm_"
)

_OWN_NORMAL = re.compile(r"^draw_|normal|philox|box_muller")

_OWN_PRODUCT = re.compile(r"product|multiply|rows_of_panel|micro")

_SPIN = re.compile(r"^blas_thread_server$|^exec_blas|^inner_thread$|^inner_advanced_thread$")

_LINALG = re.compile(r"/(_superlu|_arpack|_umath_linalg|_fblas|_flapack|cython_(blas|lapack)|_propack)[^/]*$")


def place(path: str, symbol: str) -> str:
    """Which of `PLACES` code belongs to, by the file that it lies in and the name of its function."""
    name = Path(path).name
    if "openblas" in name or name.startswith(("libblas", "libmkl", "liblapack")):
        bare = symbol.removeprefix("scipy_")
        return "waiting" if _SPIN.search(bare) else "products" if _PRODUCT.search(bare) else "decompositions"
    if "/spu/base/kernels/" in path:
        return "normals" if _OWN_NORMAL.search(symbol) else "products" if _OWN_PRODUCT.search(symbol) else "kernels"
    if _LINALG.search(path):
        return "decompositions"
    if "/numpy/" in path or "/scipy/" in path or name.startswith(("libm.so", "libm-", "libmvec")):
        return "memory"
    if name.startswith(("libc.so", "libc-")):
        return "waiting" if symbol in ("sched_yield", "__sched_yield") else "memory"
    if name.startswith(("libpython", "python", "ld-linux", "_")) or ".cpython-" in name:
        return "Python"
    return "other"


@dataclass
class _Symbols:
    """The functions of a library: where in its file each begins and ends."""

    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def at(self, offset: int) -> str:
        """The function that the byte at this place of the file belongs to; empty if none is known."""
        number = bisect.bisect_right(self.begins, offset) - 1
        return self.names[number] if number >= 0 and offset < self.ends[number] else ""


@functools.cache
def symbols(path: str) -> _Symbols:
    """Read the symbol tables of an ELF file of 64 bits, little-endian; none of anything else."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return _Symbols()
    if content[:6] != b"\x7fELF\x02\x01":
        return _Symbols()
    programs, sections = struct.unpack_from("<QQ", content, 32)
    program_size, program_count, section_size, section_count = struct.unpack_from("<HHHH", content, 54)
    loads = []  # address, offset, size in the file
    for number in range(program_count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", content, programs + number * program_size)
        if kind == 1:
            loads.append((address, offset, size))
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", content, sections + number * section_size) for number in range(section_count)
    ]
    found: dict[int, tuple[int, str]] = {}
    for header in headers:
        if header[1] not in (2, 11):  # symbols, dynamic symbols
            continue
        strings = headers[header[6]][4]
        table = np.frombuffer(content, _SYMBOL, count=header[5] // _SYMBOL.itemsize, offset=header[4])
        for entry in table[(table["info"] & 15 == 2) & (table["value"] > 0)].tolist():  # defined functions
            name, _, _, _, value, size = entry
            begin = strings + name
            text = content[begin : content.index(b"\0", begin)].decode(errors="replace")
            for address, offset, extent in loads:
                if address <= value < address + extent:
                    found[value - address + offset] = (size, text)
    begins = sorted(found)
    nexts = [*begins[1:], len(content)]
    # Hand-written assembly often states no size: such a function ends where the next one begins.
    ends = [begin + found[begin][0] if found[begin][0] else after for begin, after in zip(begins, nexts, strict=True)]
    return _Symbols(begins, ends, [found[begin][1] for begin in begins])


_SYMBOL = np.dtype(
    {"names": ["name", "info", "other", "shndx", "value", "size"], "formats": ["<u4", "u1", "u1", "<u2", "<u8", "<u8"]}
)
"""An entry of a symbol table."""
