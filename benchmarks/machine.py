"""What ran where: the class of the processor, and the versions of everything that was timed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

_LEVELS = (
    ("x86-64-v2", "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    ("x86-64-v3", "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"),
    ("x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl"),
)
"""What each level of the x86-64 psABI asks for beyond the one before, in the words of /proc/cpuinfo."""

_NAMES = {
    ("AuthenticAMD", 23): "Zen or Zen 2",
    ("AuthenticAMD", 25): "Zen 3",
    ("AuthenticAMD", 26): "Zen 5",
    ("GenuineIntel", 6, 63): "Haswell",
    ("GenuineIntel", 6, 79): "Broadwell",
    ("GenuineIntel", 6, 85): "Skylake, Cascade Lake or Cooper Lake",
    ("GenuineIntel", 6, 106): "Ice Lake",
    ("GenuineIntel", 6, 143): "Sapphire Rapids",
    ("GenuineIntel", 6, 207): "Emerald Rapids",
    ("GenuineIntel", 6, 173): "Granite Rapids",
}
"""Microarchitectures by vendor, family and model, of the servers that one usually gets."""


def version(package: str) -> str:
    """The installed version of a distribution, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor(cpuinfo: str | None = None) -> dict[str, Any]:
    """The class of the processor, as far as the operating system tells.

    Parameters
    ----------
    cpuinfo:
        The text of /proc/cpuinfo; read unless given.

    Returns
    -------
    ``model`` (its name), ``vendor``, ``family``, ``number`` (of the model), ``level`` (of x86-64, or the machine's
    architecture), ``width`` (of vector registers and of the units behind them, in words), ``name`` (of the
    microarchitecture; empty if not known), ``caches`` (of one core, as the system writes sizes).
    """
    if cpuinfo is None:
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text() if path.exists() else ""
    said = {}
    for line in cpuinfo.split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        said[key.strip()] = value.strip()
    flags = set(said.get("flags", said.get("Features", "")).split())
    vendor, family = said.get("vendor_id", ""), int(said.get("cpu family", 0))
    number, stepping = int(said.get("model", 0)), int(said.get("stepping", 0))
    level = platform.machine() if not vendor else "x86-64"
    for name, needed in _LEVELS:
        if not set(needed.split()) <= flags:
            break
        level = name
    micro = _NAMES.get((vendor, family), _NAMES.get((vendor, family, number), ""))
    if micro == "Zen 3" and "avx512f" in flags:
        micro = "Zen 4"
    if (vendor, family, number) == ("GenuineIntel", 6, 85):
        micro = "Skylake" if stepping <= 4 else "Cascade Lake" if stepping <= 7 else "Cooper Lake"
    if level == "x86-64-v4":
        # Zen 4 takes two cycles for what is 512 bits wide; Intel's servers and Zen 5 have units as wide.
        width = "AVX-512 on units of 256 bits" if micro == "Zen 4" else "AVX-512"
        width += " on units of 512 bits" if vendor == "GenuineIntel" or micro == "Zen 5" else ""
    else:
        width = "AVX2" if level == "x86-64-v3" else "NEON" if "asimd" in flags else "no AVX2"
    return {
        "model": said.get("model name", platform.processor()),
        "vendor": vendor,
        "family": family,
        "number": number,
        "level": level,
        "width": width,
        "name": micro,
        "caches": _caches(),
    }


def _caches() -> dict[str, str]:
    """Sizes of the caches that the first core sees."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return found


def blas() -> list[str]:
    """Each linear algebra library that is loaded: its name, version and the kernels that it chose."""
    try:
        from threadpoolctl import threadpool_info
    except ModuleNotFoundError:
        return []
    return [
        " ".join(str(each.get(key) or "") for key in ("internal_api", "version", "architecture")).strip()
        for each in threadpool_info()
        if each.get("user_api") == "blas"
    ]


def label(found: dict[str, Any], threads: int) -> str:
    """The class of a processor in a few words, as a column of a table is headed."""
    words = [f"{threads} core{'s' if threads > 1 else ''}", re.sub(r" on units.*", "", found["width"]), found["name"]]
    return ", ".join(word for word in words if word)


def machine(threads: int, quick: bool, kernels: str) -> dict[str, Any]:
    """What ran where; ``kernels`` is the class of the project's own."""
    found = processor()
    return {
        "label": label(found, threads),
        "processor": found,
        "blas": blas(),
        "kernels": kernels,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "threads": threads,
        "quick": quick,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("spu", "numpy", "scipy", "jax", "thermox", "diffrax", "torch")},
    }


def told(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The same for people: lines of a table."""
    chip = found["processor"]
    which = f"{chip['vendor']} family {chip['family']} model {chip['number']}".strip() if chip["vendor"] else ""
    return [
        ("processor", chip["model"]),
        ("class", ", ".join(word for word in (chip["level"], chip["width"], chip["name"], which) if word)),
        ("caches", ", ".join(f"{name} {size}" for name, size in chip["caches"].items())),
        ("cores", f"{found['cores']}, of which {found['threads']} were used; load {found['load']:.3g}"),
        ("linear algebra", ", ".join(found["blas"])),
        ("spu's kernels", found["kernels"]),
        ("versions", ", ".join(f"{name} {number}" for name, number in found["versions"].items() if number)),
    ]
