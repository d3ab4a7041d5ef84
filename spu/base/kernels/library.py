"""The library of compiled loops that fits this processor.

`setup.py` compiles the sources in ``c/`` once for each class of processor, when the package is installed or a wheel is
made, so that nothing is compiled when it is used. All classes give the same bits (``c/simd.h`` says why), some sooner.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from spu.base.errors import UsageError

HERE = Path(__file__).parent / "lib"

ENVIRONMENT = "SPU_PROCESSOR"
"""Names a class of processor to be; the best that this one is unless given."""

CLASSES = ("avx512", "avx2", "neon", "plain")
"""From the fastest on; ``neon`` on ARM, ``plain`` everywhere else, slow for want of fused multiply-adds."""


def path_of(name: str) -> Path | None:
    """Where the library of a class lies; None where it was not built, being for another architecture."""
    places = (HERE / f"{name}{suffix}" for suffix in reversed(EXTENSION_SUFFIXES))
    return next((place for place in places if place.exists()), None)


@cache
def available() -> tuple[str, ...]:
    """Classes that were built and that this processor is, from the fastest on.

    Raises
    ------
    UsageError
        If none was built.
    """
    built = [name for name in CLASSES if path_of(name) is not None]
    if not built:
        raise UsageError(
            "spu's compiled loops are not built: install the package (in a checkout: python -m pip install --editable "
            ".), which takes a C compiler unless it is a wheel"
        )
    features = ctypes.CDLL(str(path_of(built[-1]))).processor_features()
    return tuple(name for name in built if features & {"avx512": 2, "avx2": 1}.get(name, ~0))


@cache
def library() -> ctypes.CDLL:
    """The library in use.

    Raises
    ------
    UsageError
        If none was built, or the class named by the environment is not this processor's.
    """
    names = available()
    wanted = os.environ.get(ENVIRONMENT) or names[0]
    if wanted not in names:
        raise UsageError(f"{ENVIRONMENT}={wanted}: this processor is {', '.join(names)}")
    return ctypes.CDLL(str(path_of(wanted)))


def text(name: str, of: ctypes.CDLL | None = None) -> str:
    """A constant string of a library."""
    found = ctypes.c_char.in_dll(of or library(), name)
    return ctypes.string_at(ctypes.addressof(found)).decode()
