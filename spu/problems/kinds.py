"""The register of kinds of problem: what is asked of a kind anywhere stands here, by its task.

A kind from outside of the package is added by `register`, before files of its task are read::

    class Trace(Answer):
        name = "trace of the inverse"

        def of(self, mean, covariance):
            return np.array([covariance.trace()])

        def error(self, mean_error, covariance_error):
            return np.array([np.linalg.norm(covariance_error.diagonal())])

    class InverseTrace(MatrixInverse):
        task = "trace"

    register(Kind("trace", InverseTrace, Trace(), "find the trace of an inverse"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spu.base.errors import InputError
from spu.base.files import key_line
from spu.base.names import shorten, suggest
from spu.problems.answers import Answer

__all__ = ["KINDS", "Document", "Kind", "ProblemFile", "kind_of", "register", "tasks_of"]


@dataclass(frozen=True)
class Document:
    """A ``.toml`` file that poses a problem, parsed and not looked at."""

    path: Path
    text: str = field(repr=False)
    values: dict[str, Any]

    def refuse(self, message: str, key: str) -> InputError:
        """An error that names the file, and the line of a key."""
        return InputError(message, file=self.path, line=key_line(self.text, key) if key else None)

    def name(self, key: str, wanted: str = "a name") -> str | None:
        """A name that may be given.

        Raises
        ------
        InputError
            If it is anything but a word.
        """
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.refuse(f"{key} is {shorten(value)}: it must be {wanted}", key)
        return value

    def hardware(self, wanted: str = "a name") -> str | None:
        """The hardware that it names: a preset, or the path of a ``.toml`` file (a relative one from this one's)."""
        name = self.name("hardware", wanted)
        return str(self.path.parent / name) if name is not None and name.lower().endswith(".toml") else name


@dataclass(frozen=True)
class ProblemFile:
    """A problem as a file poses it, with the hardware and architecture that the file names."""

    problem: Any
    hardware: str | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes
    ----------
    task : str
        Its name, in files and as ``problem.task``.
    cls : type of Problem
        The class of its problems. Read by the package it is called with the keys below, and ``variables``.
    answer : Answer
        What of the samples answers it.
    words : str
        What is to be done: "solve a linear system".
    does : str
        What a device made for it does, as the head of a netlist says it: "solves A x = b with this matrix A".
    caption : str
        Above the matrix, in a report.
    matrices, vectors, values : tuple of str
        Keys of files and arguments of the class, as which they are kept as attributes: matrices, of which exactly
        one is given (the first is what a bare matrix file stands for); vectors; and whatever else there is, given
        to the class as it stands in the file.
    optional : tuple of str
        Those vectors and values that may be left out.
    beside : str
        The vector that a report shows beside the matrix, instead of the mean; empty for none.
    tables : tuple of str
        Those values that may be the name of a matrix file, too.
    read : callable, optional
        What reads its ``.toml`` files, where the keys above do not say it all.
    restore : callable, optional
        The same of what `Problem.to_dict` gave, and the name of a file for messages.
    """

    task: str
    cls: type[Any]
    answer: Answer
    words: str
    does: str = "answers a problem with this matrix A"
    caption: str = "Matrix"
    matrices: tuple[str, ...] = ("matrix",)
    vectors: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    beside: str = ""
    tables: tuple[str, ...] = ()
    read: Callable[[Document], ProblemFile] | None = None
    restore: Callable[[Mapping[str, Any], str | Path | None], Any] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """All that poses a problem, but for the names of its variables."""
        return (*self.matrices, *self.vectors, *self.values)


KINDS: dict[str, Kind] = {}
"""Task to kind; each is registered beside its class."""


def register(kind: Kind) -> Kind:
    """Add a kind of problem.

    Raises
    ------
    ValueError
        If there is one of that task, or its class is of another task.
    """
    if kind.task in KINDS:
        raise ValueError(f"there is a kind of problem for the task {kind.task!r}: {KINDS[kind.task].cls.__name__}")
    if kind.cls.task != kind.task:
        raise ValueError(f"{kind.cls.__name__}.task is {kind.cls.task!r}: it must be {kind.task!r}")
    KINDS[kind.task] = kind
    return kind


def tasks_of(cls: type[Any]) -> tuple[str, ...]:
    """Tasks of all kinds whose problems are of a class, or derive from it."""
    return tuple(task for task, kind in KINDS.items() if issubclass(kind.cls, cls))


def kind_of(task: object) -> Kind:
    """The kind of problem of a task.

    Raises
    ------
    InputError
        If there is none.
    """
    if not isinstance(task, str) or task not in KINDS:
        raise InputError(f"unknown task {shorten(task)}; {suggest(task, sorted(KINDS))}")
    return KINDS[task]
