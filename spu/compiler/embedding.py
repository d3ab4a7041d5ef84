"""Pass 4: which cells of a wired hardware hold which variable, chains of cells, and what chains cost.

A matrix whose couplings are all couplers of the hardware is placed, one cell a variable. Another one is
embedded: a variable takes a chain of cells, joined by couplers of strength K (a multiple of the largest
diagonal entry of the matrix as scaled for the cells). With the precision Q of the cells without chains,
the (cells, variables) membership V, the chains' Laplacian L (at strength 1) and

    G = (V^T Q V)^-1,   Pi = I - V G V^T Q,   Z = Pi L^+ Pi^T / K,

the cells' covariance is ``(Q + K L)^-1 = V G V^T + Z - Z Q Z + ...``: the wanted one at K -> oo, and
``Z = O(1/K)`` is what a finite strength costs. (Expand the resolvent about the chains' common modes, as
for a constraint enforced by a penalty; a test checks both slopes.) What can be done about it:

``uncorrected``     ``V^T Q V`` is the target and each variable is read as the mean of its chain, R v:
                    error O(1/K).
``first-order``     The same cells, read as ``(I - E A / 2) R v`` with ``E = R Z R^T``: O(1/K^2). ``A = G^-1``.
``all-orders``      The same with ``E = R (Q + K L)^-1 R^T - G`` and the series summed: no error. Like the
                    one before, a dense linear map (n, n) near I that runs outside the device.
``pre-distorted``   Q is changed such that the marginal precision of one cell a chain (a Schur complement)
                    is the target at this very K. Nothing is left to do outside.

Cells that are not read, once eliminated, couple whatever they are coupled to: pre-distortion has to find
chains and read cells where the target has those couplings too, and each must leave every part positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, Unrealizable
from spu.base.names import suggest
from spu.base.sparse import canonical, off_diagonal
from spu.compiler.chains import (
    DISTORTED,
    EXACT,
    Chains,
    Choice,
    Embedding,
    Placed,
    Search,
    Target,
    upper_entries,
)
from spu.device.hardware import Range
from spu.device.wiring import Wiring

__all__ = ["CORRECTIONS", "EmbeddingOptions", "Placer"]


CORRECTIONS = ("auto", "pre-distorted", "first-order", "all-orders", "uncorrected")

DEFAULT_STRENGTH = 10.0
"""Of chains where neither the couplers' range nor anybody says."""


@dataclass(frozen=True)
class EmbeddingOptions:
    """What may be asked of an embedding.

    Parameters
    ----------
    strength:
        K; None for the hardware's.
    correction:
        One of `CORRECTIONS`. ``auto`` is the pre-distorted one if there is one that the hardware holds;
        else the first-order one, or the one to all orders where the first leaves more than a tenth.
    seed:
        Of the search for chains.

    Raises
    ------
    InputError
        For an unknown correction, or a strength or seed that is none.

    Examples
    --------
    Three variables that are all coupled, on a square of four cells, of which only neighbours are:

    >>> import spu
    >>> from dataclasses import replace
    >>> square = replace(spu.load_hardware("ideal"), wiring="grid 2x2")
    >>> triangle = [[2.0, -0.5, -0.5], [-0.5, 2.0, -0.5], [-0.5, -0.5, 2.0]]
    >>> made = spu.compile_problem(triangle, square, embedding=spu.EmbeddingOptions(strength=20.0))
    >>> made.embedding.cells, made.embedding.longest_chain
    (4, 2)
    """

    strength: float | None = None
    correction: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            raise InputError(f"no correction {self.correction!r}; {suggest(self.correction, CORRECTIONS)}")
        if self.strength is not None and not 0 < self.strength < np.inf:
            raise InputError(f"the chain strength is {self.strength:g}: it must be positive, and finite")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"the seed of the embedding is {self.seed}: it must be 0 or more, below 2^31")


class Placer:
    """Finds cells for the variables of a matrix; remembers the chains found for a pattern of couplings.

    Parameters
    ----------
    wiring:
        The hardware's graph; None where any two cells have a coupler.
    options:
        What is asked for.
    """

    def __init__(self, wiring: Wiring | None, options: EmbeddingOptions, *, repeat: Choice | None = None) -> None:
        self.wiring, self.options = wiring, options
        self._searches: dict[bytes, Search] = {}
        self._repeat = repeat
        self.chosen: Choice | None = None

    def uncorrected(self) -> Placer | None:
        """A placer that repeats the last choice without correction; None where there is nothing to correct."""
        if self.chosen is None or self.options.correction == "uncorrected":
            return None
        other = Placer(self.wiring, EmbeddingOptions(correction="uncorrected"), repeat=self.chosen)
        other._searches = self._searches
        return other

    @property
    def stopped(self) -> bool:
        """Whether the clock ended a search, so that another machine may find other chains."""
        return any(search.stopped for search in self._searches.values())

    def fits(self, matrix: sp.csr_array, names: tuple[str, ...]) -> bool:
        """Whether a matrix needs no chains; as `place`."""
        return self.wiring is None or self._search(matrix, names).direct() is not None

    def cells(self, matrix: sp.csr_array, names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of one cell a variable, such that every coupling of a matrix (canonical) is a coupler.

        Raises
        ------
        Unrealizable
            If that was not found: chains are for matrices whose covariance is their inverse.
        """
        if self.wiring is None:
            return names
        places = self._search(matrix, names).places
        if places is None:
            raise Unrealizable(
                f"the couplings do not fit the wiring {self.wiring.spec} cell by cell, and a drift that is no gradient "
                "cannot be spread over chains of cells"
            )
        return tuple(self.wiring.names[k] for k in places)

    def place(
        self,
        matrix: sp.csr_array,
        own: FloatArray,
        names: tuple[str, ...],
        fit: Callable[[Placed], float],
        chain: Range,
        *,
        signed: bool = False,
    ) -> Placed:
        """Put a matrix on cells.

        Parameters
        ----------
        matrix:
            (n, n), canonical, largest diagonal entry 1.
        own:
            (n,) sums of its rows.
        names:
            Of the variables; also of the cells where the hardware has no names for them.
        fit:
            Scales what is placed to the hardware's ranges; raises `Unrealizable` where it does not fit.
            Its result is the factor from the matrix to component values.
        chain:
            Range of chain couplers.
        signed:
            Whether couplers and own parts may have either sign; else only ``entries <= 0 <= own``.

        Raises
        ------
        Unrealizable
            If no place was found, or nothing that was found lies in the hardware's ranges.
        """
        ends, entries = upper_entries(matrix)
        if self.wiring is None:
            weights = canonical(sp.eye_array(len(names)))
            return Placed(names, own, matrix.diagonal(), ends, entries, weights)
        search = self._search(matrix, names)
        direct = search.direct()
        if direct is not None:
            cells = tuple(self.wiring.names[k] for k in direct)
            report = Embedding(dict(zip(names, ((c,) for c in cells), strict=True)), len(cells), 1, None, "placed")
            weights = canonical(sp.eye_array(len(names)))
            return Placed(cells, own, matrix.diagonal(), ends, entries, weights, embedding=report)
        target = Target(matrix.toarray(), own, names, self.wiring, signed)
        if self._repeat is not None:
            return target.build(self._repeat, "uncorrected")
        if chain.max <= 0:
            raise Unrealizable(
                "the couplings do not fit the wiring cell by cell, and this hardware has no couplers for chains"
            )
        return self._correct(target, search, fit, chain)

    def _search(self, matrix: sp.csr_array, names: tuple[str, ...]) -> Search:
        assert self.wiring is not None
        pattern = off_diagonal(matrix)
        key = pattern.indptr.tobytes() + pattern.indices.tobytes()
        if key not in self._searches:
            self._searches[key] = Search(pattern, names, self.wiring, self.options.seed)
        return self._searches[key]

    def _correct(self, target: Target, search: Search, fit: Callable[[Placed], float], chain: Range) -> Placed:
        """The correction asked for, or the best one that fits."""
        wanted = self.options.correction
        candidates = search.chains()
        if wanted in ("auto", "pre-distorted"):
            found = self._pre_distorted(target, candidates, fit, chain)
            if found is not None:
                return found
            if wanted == "pre-distorted":
                raise Unrealizable(
                    f"pre-distortion met the target with none of {len(candidates)} embeddings: what chains couple "
                    "beyond the target cannot be taken back, or parts would be negative or out of range; stronger "
                    "chains, or another correction, may do"
                )
        choice = Choice(candidates[0], None, self._strength(target, candidates[0], None, fit, chain))
        plain = target.build(choice, "uncorrected")
        fit(plain)
        self.chosen = choice
        if wanted == "uncorrected":
            return plain
        first = target.build(choice, "first-order")
        if wanted == "auto" and target.error(first) > 0.1 * target.error(plain) + EXACT:
            wanted = "all-orders"
        return target.build(choice, "all-orders") if wanted == "all-orders" else first

    def _pre_distorted(
        self, target: Target, candidates: list[Chains], fit: Callable[[Placed], float], chain: Range
    ) -> Placed | None:
        """The first that is exact and fits, of the embeddings with the fewest cells first."""
        n = target.n
        if n > DISTORTED:
            return None
        left = int(np.clip(200 * (20 / n) ** 3, 4, 200))  # Newton iterations are costly in large networks
        for chains in candidates:
            choices = target.readings(chains)
            if not choices:
                continue
            try:
                strength = self._strength(target, chains, choices[0], fit, chain)
            except Unrealizable:
                continue
            for roots in choices:
                choice = Choice(chains, roots, strength)
                left -= 1
                try:
                    found = target.pre_distorted(choice)
                    if found is not None:
                        fit(found)
                        self.chosen = choice
                        return found
                except Unrealizable:  # out of range
                    pass
                if left <= 0:
                    return None
        return None

    def _strength(
        self,
        target: Target,
        chains: Chains,
        roots: tuple[int, ...] | None,
        fit: Callable[[Placed], float],
        chain: Range,
    ) -> float:
        """K: as asked, else as strong as couplers get where the rest of the matrix has its scale."""
        if self.options.strength is not None:
            return self.options.strength
        if not np.isfinite(chain.max):
            return DEFAULT_STRENGTH
        return chain.max / fit(target.build(Choice(chains, roots, 0.0), "uncorrected"))
