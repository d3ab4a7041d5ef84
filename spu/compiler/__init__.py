"""Problem and hardware to device: one file a pass.

Linear problems (`spu.compiler.linear`):

1. `spu.compiler.polarity`: readout signs.
2. `spu.compiler.congruence`: scaling of cells.
3. `spu.compiler.architectures`: what each architecture can hold; the most passive one wins.
4. `spu.compiler.embedding`: cells for the variables where not all cells are coupled (`spu.device.wiring`).
5. `spu.compiler.fit`: the physical scale that fits the ranges; where there is none,
   `spu.compiler.rescale`: another scaling of cells.
6. `spu.compiler.headroom`: the injected noise that suits the readout.
7. `spu.compiler.quantise`: codes, where the hardware's components are banks.
8. `spu.compiler.imperfections`: what is not ideal about the parts.
9. `spu.compiler.boards`: the errors of one board, where one is asked for.
10. `spu.compiler.conditional`: voltage sources at the cells of what is held.

Problems of a drift and a diffusion (`spu.compiler.drift`) have the third pass, the sixth, codes to the nearest, the
eighth and the ninth.

`spu.compiler.explain` says what each did, `spu.compiler.advice` what would help where all refuse.

Thermodynamic networks (`spu.compiler.polynomial`) have the third pass, codes to the nearest (`spu.device.banks`) and
`spu.compiler.boards`: the errors of one board. `spu.compiler.passes` is what
both have in common; `PASSES` says which problems take which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, cast

from spu.base.errors import InputError
from spu.base.names import shorten
from spu.compiler.architectures import register
from spu.compiler.compilation import Compilation, Pass
from spu.compiler.conditional import ConditionalPasses
from spu.compiler.drift import DriftPasses
from spu.compiler.embedding import EmbeddingOptions
from spu.compiler.linear import LinearPasses
from spu.compiler.passes import Options, Passes
from spu.compiler.polynomial import NetworkCompilation, PolynomialPasses
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.hardware_file import load_hardware
from spu.device.tolerance import checked_draw
from spu.problems.conditional import ConditionalProblem
from spu.problems.drift import DriftProblem
from spu.problems.network import ThermodynamicNetwork
from spu.problems.posed import pose
from spu.problems.problem import Problem, QuadraticProblem

__all__ = ["EmbeddingOptions", "Pass", "compile", "compile_network", "compile_problem", "register"]


PASSES: dict[type[Problem], type[Passes[Any, Any]]] = {
    ConditionalProblem: ConditionalPasses,
    QuadraticProblem: LinearPasses,
    DriftProblem: DriftPasses,
    ThermodynamicNetwork: PolynomialPasses,
}
"""By the class of problems: those that derive from it take the same passes."""

COMPILATION = "compilation"
"""What a compiled device keeps what the compiler decided and predicted of it under."""


def passes_of(problem: Problem) -> type[Passes[Any, Any]]:
    """The passes that a problem takes.

    Raises
    ------
    InputError
        If nobody knows how to compile its kind.
    """
    for kind, passes in PASSES.items():
        if isinstance(problem, kind):
            return passes
    known = " or ".join(kind.__name__ for kind in PASSES)
    raise InputError(f"no passes for a {type(problem).__name__}: derive it from {known}, or add its own to PASSES")


def compile_problem(
    problem: Problem | str | Path | Annotated[Any, "n n"],
    hardware: str | Path | Hardware | None = None,
    *,
    architecture: str | None = None,
    rounding: str = "answer",
    ensemble: int = 1,
    embedding: EmbeddingOptions | None = None,
    detail: str | Iterable[str] | None = None,
    speedup: float = 1.0,
    draw: int | None = None,
) -> Compilation:
    """Realize a problem on hardware by the first architecture that can hold it.

    Parameters
    ----------
    problem:
        What to compute: a problem of any kind; an (n, n) array, nested list, sparse matrix, DataFrame or DataArray,
        taken as the precision of a Gaussian; or the path of a problem file.
    hardware:
        A preset (``ideal``, ``spu8``), a hardware file, or a `Hardware`; None for what the problem file names, or
        ``ideal``.
    architecture:
        Force one of `spu.compiler.architectures.ARCHITECTURES`; None for the most passive one that can hold a linear
        problem, and of a network for what its file names, or the first that the hardware has.
    rounding:
        On quantised hardware, how codes are chosen: ``answer`` (codes, scale and D for the least error of the
        covariance), ``codes`` (only codes), ``nearest`` (each value for itself).
    ensemble:
        Number of programmings, chosen together, whose samples are merged; one where nothing is quantised.
    embedding:
        Strength of chains, their correction and the seed of their search, on wired hardware.
    detail:
        Which of the hardware's details the device is to have: tables (``switch``) or keys
        (``node.capacitance``), ``none``, or None for all. Codes are chosen for the ideal model whatever
        they are; the predicted error is that of the device in detail.
    speedup:
        Of a network: factor on energies and noise together, the same answers, sooner by that factor.
    draw:
        The number of a board, whose elements are drawn by the hardware's tolerance; None for one without errors.

    Raises
    ------
    Unrealizable
        With the reason and the number, for each architecture that was tried.
    InputError
        If there is no such problem, hardware, architecture, rounding or detail, or a number is not as said above.
    OptionError
        For an option without meaning for the problem, before any work.

    Examples
    --------
    >>> import spu
    >>> made = spu.compile_problem(spu.MatrixInverse([[2.0, 0.5], [0.5, 1.0]]), "ideal")
    >>> made.architecture, made.realizability, made.flipped
    ('rlc-capacitive', 'm-matrix-after-polarity', 1)
    >>> made.prediction.relative_error < 1e-9
    True
    """
    posed = pose(problem)
    passes = passes_of(posed.problem)
    for name, value in (("architecture", architecture), ("rounding", rounding)):
        if not isinstance(value, (str, type(None))):
            raise InputError(f"{name} is {shorten(value)}: it must be a name")
    if isinstance(ensemble, bool) or not isinstance(ensemble, Integral) or ensemble < 1:
        raise InputError(f"an ensemble has 1 programming or more, not {shorten(ensemble)}")
    if not isinstance(embedding, (EmbeddingOptions, type(None))):
        raise InputError(f"embedding is {shorten(embedding)}: it must be spu.EmbeddingOptions, or None")
    if isinstance(speedup, bool) or not isinstance(speedup, Real):
        raise InputError(f"speedup is {shorten(speedup)}: it must be a number")
    chosen = Options(
        architecture=architecture or posed.architecture,
        rounding=rounding,
        ensemble=int(ensemble),
        embedding=embedding,
        detail=_words(detail),
        speedup=float(speedup),
        draw=None if draw is None else checked_draw(draw, "draw"),
        trained=posed.trained,
    )
    passes.refuse(chosen.given)
    with _named_in(posed.file if hardware is None and posed.hardware else None):
        found = load_hardware((posed.hardware or "ideal") if hardware is None else hardware)
    with _named_in(posed.file if architecture is None and posed.architecture else None):
        made = cast(Compilation, passes(posed.problem, found, chosen).run())
    made.device.kept[COMPILATION] = made  # until the device is changed
    return made


def compile_network(
    network: ThermodynamicNetwork,
    hardware: str | Path | Hardware | None = None,
    *,
    architecture: str | None = None,
    speedup: float = 1.0,
    draw: int | None = None,
) -> NetworkCompilation:
    """`compile_problem` of a network.

    Raises
    ------
    Unrealizable, InputError
        As `compile_problem`.

    Examples
    --------
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(J2=1.0, J4=1.0, input=[0.5, -0.5], couplings=[[0.0, 0.2], [0.2, 0.0]])
    >>> made = spu.compile_network(network)
    >>> made.architecture, made.equation.coordinate, made.network.n
    ('rc-conductance', 'voltage', 2)
    """
    made = compile_problem(network, hardware, architecture=architecture, speedup=speedup, draw=draw)
    if not isinstance(made, NetworkCompilation):
        raise InputError(f"a {type(made.problem).__name__} is no network: compile and compile_problem take it")
    return made


def compile(
    problem: Problem | str | Path | Annotated[Any, "n n"],
    hardware: str | Path | Hardware | None = None,
    *,
    architecture: str | None = None,
    rounding: str = "answer",
    ensemble: int = 1,
    embedding: EmbeddingOptions | None = None,
    detail: str | Iterable[str] | None = None,
    speedup: float = 1.0,
    draw: int | None = None,
) -> Device:
    """Realize a problem on hardware: `compile_problem`, whose ``device`` this returns.

    Examples
    --------
    >>> import spu
    >>> spu.compile([[2.0, -0.5], [-0.5, 1.0]]).architecture
    'rlc-capacitive'
    """
    return compile_problem(
        problem,
        hardware,
        architecture=architecture,
        rounding=rounding,
        ensemble=ensemble,
        embedding=embedding,
        detail=detail,
        speedup=speedup,
        draw=draw,
    ).device


def _words(detail: Any) -> tuple[str, ...] | None:
    """Names of details, given one by one or in one string."""
    if detail is None:
        return None
    words = detail.split(",") if isinstance(detail, str) else detail
    words = list(words) if isinstance(words, Iterable) else [words]
    if not all(isinstance(word, str) for word in words):
        raise InputError(f"detail is {shorten(detail)}: it must be names such as 'switch', or None for all")
    names = tuple(word.strip() for word in words)
    return None if names == ("all",) else names


@contextmanager
def _named_in(file: Path | None) -> Iterator[None]:
    """Say of what a problem file names that it stands there, where nothing else is said."""
    try:
        yield
    except InputError as error:
        if file is None or error.file is not None:
            raise
        raise InputError(error.message, file=file) from None
