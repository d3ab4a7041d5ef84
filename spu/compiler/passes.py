"""The passes around the architectures: for each kind of mathematics what comes before them and after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Generic, TypeVar

from spu.base.errors import InputError, OptionError, Unrealizable
from spu.base.names import suggest
from spu.compiler.architectures import ARCHITECTURES
from spu.compiler.architectures.base import Architecture
from spu.compiler.compilation import Compilation
from spu.compiler.embedding import EmbeddingOptions
from spu.device.hardware import Hardware
from spu.problems.problem import Problem
from spu.problems.trained import TrainedNetwork

__all__ = ["Options", "Passes"]


@dataclass(frozen=True)
class Options:
    """What may be asked of a compilation; see `spu.compiler.compile_problem`."""

    architecture: str | None = None
    rounding: str = "answer"
    ensemble: int = 1
    embedding: EmbeddingOptions | None = None
    detail: tuple[str, ...] | None = None
    speedup: float = 1.0
    draw: int | None = None
    trained: TrainedNetwork | None = None

    @property
    def given(self) -> list[str]:
        """Names of those that are not as they would be anyway."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]


AnyProblem = TypeVar("AnyProblem", bound=Problem)
AnyCompilation = TypeVar("AnyCompilation", bound=Compilation)

Refused = list[tuple[str, Unrealizable]]
"""Architectures that were tried in vain, with the refusals."""


class Passes(ABC, Generic[AnyProblem, AnyCompilation]):
    """The passes of one problem on one hardware.

    Parameters
    ----------
    problem, hardware, options:
        What to compile, on what, and how.

    Attributes
    ----------
    cells, problems:
        What kind of cells they build, and of which problems, for messages.
    meaningless:
        Options without meaning here, each with what there is to say of it.
    """

    cells: ClassVar[str]
    problems: ClassVar[str]
    meaningless: ClassVar[Mapping[str, str]]

    def __init__(self, problem: AnyProblem, hardware: Hardware, options: Options) -> None:
        self.problem, self.hardware, self.options = problem, hardware, options

    @classmethod
    def refuse(cls, given: Iterable[str], parts: Mapping[str, str] | None = None) -> None:
        """Refuse what was given and means nothing here.

        Parameters
        ----------
        given:
            Names of options; ``parts`` says of which of the compiler's some are a part.

        Raises
        ------
        OptionError
            Saying why, and what would do.
        """
        for name in given:
            said = cls.meaningless.get((parts or {}).get(name, name))
            if said is not None:
                raise OptionError(name, said)

    def run(self) -> AnyCompilation:
        """All passes: the first architecture that can hold the problem is the one.

        Raises
        ------
        Unrealizable
            With the reason, for each architecture that was tried.
        InputError
            For an unknown architecture, or options that are not valid.
        """
        return self.finish(self.realized())

    def realized(self) -> AnyCompilation:
        """Those up to the device, with real values of its parts."""
        candidates = self._candidates()
        self.prepare()
        refused: Refused = []
        for candidate in candidates:
            try:
                return self.realize(candidate, refused)
            except Unrealizable as refusal:  # noqa: PERF203 - building one costs more than asking it does
                refused.append((candidate.name, refusal))
        raise self.refusal(refused)

    def _candidates(self) -> list[Architecture]:
        """Architectures of the hardware that hold such a problem, those first that are tried first."""
        wanted, names = self.options.architecture, self.hardware.architectures
        known = [each.name for each in ARCHITECTURES.values() if self.problem.task in each.kinds]
        self.require_size()
        if wanted is not None and wanted not in known:
            raise InputError(f"no architecture {wanted!r} for {self.problems}; {suggest(wanted, known)}")
        has = f"it has {', '.join(names)}"
        if wanted is not None and wanted not in names:
            raise Unrealizable(f"hardware {self.hardware.name} has no {wanted}; {has}")
        held = [name for name in self.order(known, names) if wanted in (None, name)]
        if not held:
            raise Unrealizable(
                f"hardware {self.hardware.name} has no {self.cells}; {has}: {self.problems} need "
                f"{' or '.join(known) or 'an architecture that is registered for their kind'}"
            )
        return [ARCHITECTURES[name] for name in held]

    @abstractmethod
    def require_size(self) -> None:
        """Refuse hardware of too few cells, or of the wrong wiring, before anything is worked out."""

    def order(self, known: Iterable[str], names: Iterable[str]) -> list[str]:
        """Those of the hardware in the order in which they are tried: ``known`` as registered, ``names`` as it has."""
        names = tuple(names)
        return [name for name in known if name in names]

    @abstractmethod
    def prepare(self) -> None:
        """What comes before the architectures."""

    @abstractmethod
    def realize(self, architecture: Architecture, refused: Refused) -> AnyCompilation:
        """What an architecture makes of it, or `Unrealizable`."""

    @abstractmethod
    def refusal(self, refused: Refused) -> Unrealizable:
        """Why no architecture could, and what would help."""

    @abstractmethod
    def finish(self, made: AnyCompilation) -> AnyCompilation:
        """What comes after the device: codes, details, the source in the hash."""
