"""Everything the tool refuses or fails at, with what the command line needs to say it in one or two lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_MOST_CHARACTERS, _MOST_LINES = 390, 8
_LONGEST_PLACE = 160  # characters of a file's name in a message, its end


def clip(message: str, most: int = _MOST_CHARACTERS) -> str:
    """Cut a message to what people read: the net below those that quote what a file holds."""
    lines = message.splitlines()
    if len(lines) > _MOST_LINES:
        message = "\n".join(lines[:_MOST_LINES]) + " ..."
    return message if len(message) <= most else message[: most - 3] + "..."


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

    Examples
    --------
    >>> import spu
    >>> try:
    ...     spu.compile([[1.0, 2.0], [2.0, 1.0]])
    ... except spu.SpuError as error:
    ...     print(error.kind, error.exit_status, str(error).split(":")[0])
    input 2 the precision is not positive definite
    """

    kind = "error"
    exit_status = 2
    most_characters = _MOST_CHARACTERS

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None) -> None:
        message = clip(message, self.most_characters)
        super().__init__(message)
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is, from process to process: making it anew would take the arguments of each class's own.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        place = ""
        if self.file is not None:
            file = self.file if len(self.file) <= _LONGEST_PLACE else f"...{self.file[-_LONGEST_PLACE:]}"
            place = f"{file}:{self.line}: " if self.line is not None else f"{file}: "
        return clip(place + self.message, self.most_characters)


def _restored(kind: type[SpuError], arguments: tuple[Any, ...], state: dict[str, Any]) -> SpuError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class InputError(SpuError):
    """A file, an option or an argument that is not what it should be.

    Examples
    --------
    >>> import spu
    >>> try:
    ...     spu.GaussianSampling()
    ... except spu.InputError as error:
    ...     print(error)
    give exactly one of precision and covariance, not neither
    """

    kind = "input"


class KeyFault(InputError):
    """An `InputError` that remembers which key it is about, as a path, for whoever has the file to find its line."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


class UsageError(SpuError):
    """A combination of options that makes no sense."""

    kind = "usage"


class OptionError(UsageError):
    """An option that has no meaning for what it is given with, or a value that it cannot take.

    Attributes
    ----------
    option:
        Its name, as a keyword of Python; the command line calls it ``--name``.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option} {message}")
        self.option = option
        self.said = message

    @property
    def as_command(self) -> str:
        """The message with the option as the command line spells it."""
        return f"--{self.option.replace('_', '-')} {self.said}"


def refuse_options(what: str, given: Mapping[str, object]) -> None:
    """Refuse the first of the options that is given (neither None nor False): it means nothing for ``what``."""
    for option, value in given.items():
        if value is not None and value is not False:
            raise OptionError(option, f"is not for {what}")


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

    Examples
    --------
    >>> import spu
    >>> matrix = [[1.0, 0.99], [0.99, 1.0]]
    >>> try:
    ...     spu.compile(matrix, "spu8")
    ... except spu.Unrealizable as error:
    ...     print(error.reason.split(":")[0])
    hardware spu8 cannot hold this problem, not as rlc-capacitive
    >>> spu.compile(matrix, "ideal").architecture
    'rlc-capacitive'
    """

    kind = "unrealizable"
    most_characters = 1500  # what would help, and at what cost, is what the user needs now

    def __init__(self, message: str, *, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.reason = message
        self.details = details or {}


class CircuitError(SpuError):
    """A circuit that has no stationary law, or none that can be computed; ``nodes`` names the culprits.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device()
    >>> device.add_cell("a", capacitance=1e-9, noise=4e-20)
    >>> try:
    ...     spu.predict(device)
    ... except spu.CircuitError as error:
    ...     print(error.nodes, error.message.split(",")[0])
    ('a',) noise drives the charge of a
    """

    kind = "circuit"

    def __init__(self, message: str, *, nodes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes


class DeckError(SpuError):
    """A SPICE deck that ngspice does not take, or that lacks what the check needs.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("typing_error.cir").write_text('''a low pass
    ... r1 in out 1kk
    ... c1 out 0 1n
    ... .end
    ... ''')
    >>> try:
    ...     spu.read_netlist("typing_error.cir", probes=["out"])
    ... except spu.DeckError as error:
    ...     print(error.line, error.message.split(" is ")[0])
    2 r1: '1kk': 'kk'
    """

    kind = "deck"


class NonlinearNetlist(DeckError):
    """A deck with parts that are not linear, lumped elements: for ngspice alone; the place is that of the first.

    Examples
    --------
    >>> import spu
    >>> from pathlib import Path
    >>> _ = Path("clipper.cir").write_text('''a clipper
    ... r1 out 0 1k
    ... c1 out 0 1n
    ... d1 out 0 dio
    ... .model dio d
    ... .end
    ... ''')
    >>> try:
    ...     spu.read_netlist("clipper.cir", probes=["out"])
    ... except spu.NonlinearNetlist as error:
    ...     print(error.line, error.message.split(":")[0])
    4 d1 is a diode
    """

    kind = "nonlinear"


class SimulatorMissing(SpuError):
    """A simulator is needed and not installed."""

    kind = "simulator-missing"
    exit_status = 3


class SimulatorFailed(SpuError):
    """A simulator crashed, hung, or refused an analysis."""

    kind = "simulator"


class NgspiceMissing(SimulatorMissing):
    """ngspice is needed and not installed."""

    kind = "ngspice-missing"


class NgspiceFailed(SimulatorFailed):
    """ngspice crashed, hung, or refused an analysis."""

    kind = "ngspice"


class NotServed(SpuError):
    """A simulator was asked for an analysis that it has not."""

    kind = "not-served"


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
        from spu.base.version import __version__

        super().__init__(
            f"internal error of spu {__version__}, so no result is given: {what}; please report it, with the command "
            "and its files"
        )


class NumericalFailure(SpuError):
    """Numbers came up that double precision does not hold, or a matrix that it cannot solve."""

    kind = "numerical"


class SystemFailure(SpuError):
    """The system refused something: a file, a process, a stream."""

    kind = "system"


class OutOfMemory(SpuError):
    """There is not enough memory."""

    kind = "memory"


class Interrupted(SpuError):
    """The user ended the run."""

    kind = "interrupted"
    exit_status = 130


def as_refusal(error: BaseException) -> SpuError:
    """Give what any exception comes to for the user: the one place where those that nobody caught are sorted.

    Numerical failures of any library are a `NumericalFailure` that says where; what the system refuses is a
    `SystemFailure`; and what is neither is a bug, an `InternalError`.
    """
    if isinstance(error, SpuError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(str(error) or "interrupted")
    said = " ".join(str(error).split())
    said = said if len(said) <= _LONGEST else said[:_LONGEST] + "..."
    if isinstance(error, MemoryError):
        return OutOfMemory(f"not enough memory{': ' if said else ''}{said}")
    if isinstance(error, OSError):
        reason = error.strerror or said
        return SystemFailure(reason, file=error.filename) if isinstance(error.filename, str) else SystemFailure(reason)
    where = _place(error.__traceback__)
    if _is_numerical(error, said):
        return NumericalFailure(
            f"values too large, too small or too far apart for double precision: {type(error).__name__}: {said}{where}"
        )
    if isinstance(error, RecursionError):
        return InputError(f"something is nested too deeply to be read: {said}{where}")
    if isinstance(error, UnicodeError):
        return InputError(f"some text or name cannot be read or written: {said}{where}")
    return InternalError(f"{type(error).__name__}: {said}{where} (SPU_TRACEBACK=1 shows the traceback)")


_LONGEST = 160  # characters of an exception's own words

_OF_NUMBERS = (
    "integer string conversion",  # Python's limit of 4,300 digits
    "infs or nans",  # scipy, of its arguments
    "nan or inf",
    "inf or nan",
    "non-finite",
    "float nan to integer",
    "math domain error",
    "math range error",
    "encountered in",  # numpy's warnings, where they are errors
    "too large to convert",
)
"""Words by which a ValueError or a RuntimeWarning is one of numbers."""


def _is_numerical(error: BaseException, said: str) -> bool:
    if isinstance(error, ArithmeticError) or any(each.__name__ == "LinAlgError" for each in type(error).__mro__):
        return True
    of_numbers = any(words in said.lower() for words in _OF_NUMBERS)
    return isinstance(error, (ValueError, RuntimeWarning)) and of_numbers


def _place(traceback: TracebackType | None) -> str:
    """The innermost line of ours that an exception came through."""
    place = ""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if module.startswith("spu."):
            place = f" (in {module}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place
