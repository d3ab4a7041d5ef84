"""Packages that not everybody needs: imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

from spu.base.errors import UsageError


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
        install = f"spu[{extra}]" if extra else missing
        raise UsageError(f"{what} needs {missing}, which is not installed: pip install '{install}'") from None
