"""Packages that not everybody needs: imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

from spu.base.errors import UsageError
from spu.base.version import installation


def needed(package: str, what: str, extra: str | None = None) -> Any:
    """Import a package, for ``what``; ``extra`` is the option of spu's installation that brings it.

    Raises
    ------
    UsageError
        If it is not installed, saying what to install.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        missing = error.name or package
        install = installation(extra) if extra else f"pip install {missing}"
        raise UsageError(f"{what} needs {missing}, which is not installed: {install}") from None
