"""Whatever poses a problem: a problem itself, a bare matrix, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spu.base.errors import InputError
from spu.base.names import shorten
from spu.problems.files import read_problem
from spu.problems.gaussian import GaussianSampling
from spu.problems.problem import Problem
from spu.problems.trained import TrainedNetwork, is_trained, load_trained

__all__ = ["Posed", "pose"]


@dataclass(frozen=True)
class Posed:
    """A problem, and what the file that poses it names.

    Attributes
    ----------
    problem:
        Of any kind.
    hardware, architecture:
        To compile it on and as; None where nothing is named.
    file:
        None where there is none.
    trained:
        Whose network the problem is, where it was trained.
    """

    problem: Problem
    hardware: str | None = None
    architecture: str | None = None
    file: Path | None = None
    trained: TrainedNetwork | None = None


def pose(
    given: Any,
    *,
    task: str | None = None,
    covariance: bool = False,
    vector: Any = None,
) -> Posed:
    """Take what a user may pass for a problem.

    Parameters
    ----------
    given:
        A problem; a trained network; an (n, n) array, nested list, sparse matrix, DataFrame or DataArray, taken as
        the precision of a Gaussian; the path of a problem file, or of the folder of a trained network.
    task, covariance, vector:
        As of `load_problem`: how a matrix file is to be read.

    Raises
    ------
    InputError
        If it is nothing of the kind, or not a valid problem.
    """
    if isinstance(given, Posed):
        return given
    if isinstance(given, (str, Path)):
        return _from_file(Path(given), {"task": task, "covariance": covariance, "vector": vector})
    if isinstance(given, TrainedNetwork):
        return Posed(given.network, trained=given)
    if isinstance(given, Problem):
        return Posed(given)
    if _is_array(given):
        return Posed(GaussianSampling(precision=given))
    wanted = "pass a problem (spu.GaussianSampling...), a square matrix, its precision, or the path of a problem file"
    if not isinstance(given, type) and (hasattr(given, "subject") or hasattr(given, "readout")):
        what = type(given).__name__
        raise InputError(f"a {what} is compiled already: predict, simulate and check take it; to compile, {wanted}")
    raise InputError(f"{' '.join(shorten(given).split())} is no problem: {wanted}")


def _is_array(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return True
    return any(hasattr(given, name) for name in ("to_numpy", "tocoo", "__array__")) and hasattr(given, "shape")


def _from_file(file: Path, how: dict[str, Any]) -> Posed:
    if is_trained(file) and not (file / "device.json").is_file():
        trained = load_trained(file)
        return Posed(trained.network, file=file, trained=trained)
    if _is_folder(file):
        raise InputError(
            "is a folder: compile takes the file of a problem; predict, simulate and check take folders", file=file
        )
    posed = read_problem(file, **how)
    return Posed(posed.problem, posed.hardware, posed.architecture, file)


def _is_folder(file: Path) -> bool:
    try:
        return file.is_dir()
    except (OSError, ValueError):  # a name that no file can have is for the reader to refuse
        return False
