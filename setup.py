"""Builds the compiled loops: the same C sources once for each class of processor (everything else: pyproject.toml)."""

from __future__ import annotations

import hashlib
import platform
import sys
from copy import copy
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES, PLACE = Path("spu/base/kernels/c"), Path("spu/base/kernels/lib")

CLASSES = {
    "x86_64": {"avx512": ["-mavx512f", "-mavx512dq", "-mfma"], "avx2": ["-mavx2", "-mfma"], "plain": []},
    "aarch64": {"neon": []},
}
"""For each architecture the classes of spu/base/kernels/library.py, and the compiler's flags for each."""

ALIKE = {"amd64": "x86_64", "arm64": "aarch64"}

# What is written is what is computed: nothing is contracted or reordered.
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
WARNINGS = ["-Wall", "-Wextra"]


def digest() -> str:
    """Of the sources; tests ask the libraries for it."""
    files = sorted(SOURCES.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


class Build(build_ext):
    """Side by side, and without the entry point of a Python module: ctypes loads them."""

    def finalize_options(self) -> None:
        """Compile all classes at once."""
        super().finalize_options()
        self.parallel = self.parallel or True

    def run(self) -> None:
        """Into a folder that is no package: these are no modules."""
        if self.inplace or self.editable_mode:
            PLACE.mkdir(exist_ok=True)
        super().run()

    def build_extension(self, ext: Extension) -> None:
        """In a folder of its own: all classes are compiled from one source, at once."""
        own = copy(self)
        own.build_temp = str(Path(self.build_temp) / ext.name)
        super(Build, own).build_extension(ext)

    def get_export_symbols(self, _ext: Extension) -> list[str]:
        """None: sources say what they show."""
        return []

    def get_ext_filename(self, fullname: str) -> str:
        """Without the tag of one Python: they know nothing of it."""
        return str(Path(*fullname.split("."))) + EXTENSION_SUFFIXES[-1]


class Wheel(bdist_wheel):
    """One for all Pythons on a platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """Any Python 3, no binary interface of its own, this platform."""
        return "py3", "none", super().get_tag()[2]


machine = platform.machine().lower()
setup(
    cmdclass={"build_ext": Build, "bdist_wheel": Wheel},
    ext_modules=[
        Extension(
            f"spu.base.kernels.lib.{name}",
            sources=[str(SOURCES / "kernels.c")],
            depends=[str(path) for path in sorted(SOURCES.iterdir())],
            define_macros=[("SOURCES", f'"{digest()}"')],
            extra_compile_args=FLAGS + WARNINGS + flags,
            # Without them what is exact still runs; what needs them says so. Elsewhere a compiler is required.
            optional=sys.platform == "win32",
        )
        for name, flags in CLASSES.get(ALIKE.get(machine, machine), {"plain": []}).items()
    ],
)
