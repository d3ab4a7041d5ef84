"""Everything the tool refuses or fails at, with what the command line needs to say it in one or two lines."""

from __future__ import annotations

from pathlib import Path


class SpuError(Exception):
    """A refusal a user can act on: never a bug of ours, but for `InternalError`.

    Parameters
    ----------
    message:
        One or two lines: what is wrong and what would be right.
    file, line:
        Where, if the trouble is in a file; ``line`` counts from 1.

    Attributes
    ----------
    kind:
        A stable word for programs (``error.kind`` under ``--json``).
    exit_status:
        The exit status of the command line: 2 for bad input and whatever cannot
        be realized, 3 for a missing ngspice, 70 for an error of our own.
    """

    kind = "error"
    exit_status = 2

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line

    def __str__(self) -> str:
        place = ""
        if self.file is not None:
            place = f"{self.file}:{self.line}: " if self.line is not None else f"{self.file}: "
        return place + self.message


class InputError(SpuError):
    """A file, an option or an argument that is not what it should be."""

    kind = "input"


class KeyFault(InputError):
    """An `InputError` that remembers which key it is about, as a path, for whoever has the file to find its line."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


class UsageError(SpuError):
    """A combination of options that makes no sense."""

    kind = "usage"


class OutputError(SpuError):
    """A folder or file that cannot, or must not, be written."""

    kind = "output"


class Unrealizable(SpuError):
    """The hardware cannot hold this problem; the message gives the reason and the number.

    Attributes
    ----------
    reason:
        The message without the place.
    details:
        Numbers behind the reason, JSON-able (for instance ``rho``, or the element, its
        value and its range).
    """

    kind = "unrealizable"

    def __init__(self, message: str, *, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.reason = message
        self.details = details or {}


class CircuitError(SpuError):
    """A circuit that has no stationary law, or none that can be computed; ``nodes`` names the culprits."""

    kind = "circuit"

    def __init__(self, message: str, *, nodes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes


class DeckError(SpuError):
    """A SPICE deck that ngspice does not take, or that lacks what the check needs."""

    kind = "deck"


class NonlinearNetlist(DeckError):
    """A deck with parts that are not linear, lumped elements: for ngspice alone; the place is that of the first."""

    kind = "nonlinear"


class NgspiceMissing(SpuError):
    """ngspice is needed and not installed."""

    kind = "ngspice-missing"
    exit_status = 3


class NgspiceFailed(SpuError):
    """ngspice crashed, hung, or refused an analysis."""

    kind = "ngspice"


class InternalError(SpuError):
    """The program found itself wrong: a result that its own exact law rules out, never shown as a result.

    Parameters
    ----------
    what:
        One line with the figures that show it; how to report it is added here.
    """

    kind = "internal"
    exit_status = 70

    def __init__(self, what: str) -> None:
        from spu import __version__

        super().__init__(
            f"internal error of spu {__version__}, so no result is given: {what}; please report it, with the command "
            "and its files"
        )
