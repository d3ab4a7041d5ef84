"""Chains of cells on wired hardware: their search, their places, what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.choice import ROUNDING
from spu.base.errors import Unrealizable
from spu.base.sparse import row_numbers, without_small
from spu.base.version import installation
from spu.device.wiring import Wiring

__all__ = ["Embedding", "Placed"]


Chains = tuple[tuple[int, ...], ...]
"""For each variable the numbers of its cells."""

TRIES = 16
"""Embeddings looked for, each from its own seed; fewer, but at least `_FEWEST`, for large graphs (`_WORK`)."""

_FEWEST = 2

_WORK = 6e6
"""Couplings times couplers to be looked at, over all tries: a count, not a time, so that every machine does alike."""

SECONDS = 600.0
"""After which the search stops all the same. The result then says that another machine may find another one."""

_STEPS = 20_000
"""Of the search for a subgraph: a number of steps, not a time, so that every machine finds the same."""

_SEARCHED = 400
"""Largest number of variables that is searched for as a subgraph; larger ones fit by name or number."""

_EMBEDDED = 2000
"""Largest number of cells with chains, whose covariance is a dense matrix here."""

EXACT = 1e-11
"""Relative errors below this are none: far above rounding, far below what a correction leaves that does not meet."""

_RIDGE = 1e-5
"""Weight of a Newton step's length beside what it mends: the step is unique then, where parts have one effect."""

DISTORTED = 40
"""Largest number of variables that is pre-distorted: Newton's equations have n (n + 1) / 2 rows."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """What was placed where, and at which cost.

    Attributes
    ----------
    variables:
        Names of the cells of each variable (on dual rails: of each rail).
    cells, longest_chain:
        Cells used, and most of one variable.
    strength:
        K; None where there are no chains.
    method:
        ``placed`` (no chains), or one of `CORRECTIONS` other than ``auto``.
    uncorrected_error, error:
        Relative error of the covariance (Frobenius), from the exact law of the circuit: of the same chains
        read the same way but for the correction, and of the device (before its values go to the codes of
        banks). None until predicted; the first also where these chains are out of range without correction.
    """

    variables: dict[str, tuple[str, ...]]
    cells: int
    longest_chain: int
    strength: float | None
    method: str
    uncorrected_error: float | None = None
    error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give it as a dictionary that JSON can hold."""
        return {**vars(self), "variables": {name: list(cells) for name, cells in self.variables.items()}}


@dataclass(frozen=True, eq=False)
class Placed:
    """A matrix on cells, of which N are used.

    Attributes
    ----------
    names:
        Of the cells.
    own, diagonal:
        (N,) parts to ground (sums of the rows), and the diagonal, both without the chains.
    ends, entries:
        (m, 2) coupled cells, and the (m,) entries of the matrix there; zero for none.
    chain_ends, strength:
        (k, 2) cells joined by chain couplers of strength K each.
    weights:
        (n, N): variables, in the units of the matrix given, are ``weights @`` cells.
    embedding:
        None where the hardware has a coupler between any two cells.
    """

    names: tuple[str, ...]
    own: FloatArray
    diagonal: FloatArray
    ends: IntArray
    entries: FloatArray
    weights: sp.csr_array
    chain_ends: IntArray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    strength: float = 0.0
    embedding: Embedding | None = None

    @property
    def all_ends(self) -> IntArray:
        """(m + k, 2) ends of all couplers, those of chains last."""
        return np.concatenate([self.ends, self.chain_ends])

    @property
    def chain_degrees(self) -> IntArray:
        """(N,) chain couplers of each cell."""
        return np.bincount(self.chain_ends.ravel(), minlength=len(self.names))

    @property
    def coupler_values(self) -> FloatArray:
        """(m + k,) of plain couplers: ``-entries``, then the chains' strengths."""
        return np.concatenate([-self.entries, self.chain_strengths])

    @property
    def covariance(self) -> FloatArray:
        """(N, N) of the cells, chains included, in the units of the matrix; without thermal noise."""
        return _inverse(_precision(self))

    @property
    def chain_strengths(self) -> FloatArray:
        """(k,) strengths of the chain couplers."""
        return np.full(len(self.chain_ends), self.strength)


class Choice(NamedTuple):
    """Chains with the cell that is read of each (numbers of hardware cells); None to read the mean."""

    chains: Chains
    roots: tuple[int, ...] | None
    strength: float


class Search:
    """Places for a pattern of couplings, (n, n) without diagonal: one cell a variable, or chains."""

    def __init__(self, pattern: sp.csr_array, names: tuple[str, ...], wiring: Wiring, seed: int) -> None:
        self.names, self.wiring, self.seed = names, wiring, seed
        self.n = pattern.shape[0]
        rows = row_numbers(pattern)
        upper = pattern.indices > rows
        self.edges = np.column_stack([rows[upper], pattern.indices[upper].astype(np.int64)])
        if self.n > wiring.n:
            raise too_few_cells(self.n, wiring)
        self.stopped = False
        """Whether the clock ended the search for chains."""
        self.places = self._by_number() or self._by_name() or self._as_subgraph()
        """One cell for each variable, where that was found without looking for chains."""
        self._chains: list[Chains] | Unrealizable | None = None

    def direct(self) -> list[int] | None:
        """One cell for each variable, such that every coupling is a coupler; None if that was not found.

        Raises
        ------
        Unrealizable
            As `chains`, which are looked for first: they may all be of one cell.
        """
        if self.places is None and len(best := self.chains()[0]) == sum(map(len, best)):
            self.places = [chain[0] for chain in best]
        return self.places

    def _fits(self, cells: IntArray) -> bool:
        """Whether every coupling is a coupler."""
        pairs = np.sort(cells[self.edges], axis=1) @ [self.wiring.n, 1]
        return bool(np.isin(pairs, self.wiring.edges @ [self.wiring.n, 1]).all())

    def _by_number(self) -> list[int] | None:
        cells = np.arange(self.n)
        return cells.tolist() if self._fits(cells) else None

    def _by_name(self) -> list[int] | None:
        number = {name.lower(): k for k, name in enumerate(self.wiring.names)}
        cells = [number.get(name.lower(), -1) for name in self.names]
        return cells if min(cells) >= 0 and self._fits(np.array(cells)) else None

    def _as_subgraph(self) -> list[int] | None:
        """A subgraph monomorphism by VF2 (Cordella et al., IEEE PAMI 26:1367, 2004); None if none was found."""
        import networkx as nx
        from networkx.algorithms.isomorphism import GraphMatcher

        degrees = np.bincount(self.edges.ravel(), minlength=self.n)
        room = np.sort(self.wiring.degrees)[::-1][: self.n]
        if self.n > _SEARCHED or (np.sort(degrees)[::-1] > room).any():
            return None

        class Limited(GraphMatcher):
            steps = 0

            def syntactic_feasibility(self, cell: int, variable: int) -> bool:
                self.steps += 1
                if self.steps > _STEPS:
                    raise TimeoutError
                return bool(super().syntactic_feasibility(cell, variable))

        hardware, wanted = nx.Graph(), nx.Graph()
        hardware.add_nodes_from(range(self.wiring.n))
        hardware.add_edges_from(self.wiring.edges.tolist())
        # The most coupled variables first: they have the fewest places.
        wanted.add_nodes_from(np.argsort(-degrees, kind="stable").tolist())
        wanted.add_edges_from(self.edges.tolist())
        try:
            found = next(Limited(hardware, wanted).subgraph_monomorphisms_iter(), None)
        except TimeoutError:
            return None
        if found is None:
            return None
        cell_of = {variable: cell for cell, variable in found.items()}
        return [cell_of[k] for k in range(self.n)]

    def chains(self) -> list[Chains]:
        """The embeddings found, none twice; fewest cells first, then shortest chains.

        Raises
        ------
        Unrealizable
            If none was found, or minorminer is not there to look for one.
        """
        if self._chains is None:
            try:
                self._chains = self._embed()
            except Unrealizable as refusal:
                self._chains = refusal
        if isinstance(self._chains, Unrealizable):
            raise self._chains
        return self._chains

    def _embed(self) -> list[Chains]:
        """Minor embeddings by minorminer (Cai, Macready, Roy, arXiv 1406.2741)."""
        missing = (
            "the couplings do not fit the wiring cell by cell (none of: by number, by name, as a subgraph within "
            f"{_STEPS} steps), and chains of cells are found by minorminer, which is not installed: "
            f"{installation('embedding')}, or pip install minorminer"
        )
        if self.n > _EMBEDDED:
            raise Unrealizable(
                f"the couplings of {self.n} variables do not fit the wiring by number or by name, and chains are "
                f"looked for up to {_EMBEDDED} variables"
            )
        try:
            import minorminer
        except ImportError:
            raise Unrealizable(missing) from None
        free = np.setdiff1d(np.arange(self.n), self.edges)
        started, tries = time.monotonic(), 0
        wanted = int(np.clip(_WORK / (len(self.edges) * len(self.wiring.edges)), _FEWEST, TRIES))
        found: set[Chains] = set()
        while tries < wanted and not self.stopped:
            result = minorminer.find_embedding(
                self.edges.tolist(),
                self.wiring.edges.tolist(),
                random_seed=self.seed + tries,
                timeout=max(1, int(SECONDS)),
                tries=1 if found else 10,
            )
            tries += 1
            self.stopped = time.monotonic() - started > SECONDS
            if result:
                chains = self._with_free(result, free)
                if chains is not None:
                    found.add(chains)
        if not found:
            why = " and stopped by the clock," if self.stopped else ""
            raise Unrealizable(
                f"no embedding of {self.n} variables and {len(self.edges)} couplings into wiring {self.wiring.spec} "
                f"({self.wiring.n} cells, {len(self.wiring.edges)} couplers) was found after {tries} tries,{why} "
                f"{time.monotonic() - started:.1f} seconds; there may be one all the same: another seed, or a "
                "sparser matrix",
                details={"tries": tries, "cells": self.wiring.n, "couplers": len(self.wiring.edges)},
            )
        return sorted(found, key=lambda chains: (sum(map(len, chains)), max(map(len, chains)), chains))

    def _with_free(self, found: dict[int, list[int]], free: IntArray) -> Chains | None:
        """Give uncoupled variables cells that are left over; None if there are too few."""
        used = [cell for chain in found.values() for cell in chain]
        left = np.setdiff1d(np.arange(self.wiring.n), used)[: len(free)]
        if len(left) < len(free):
            return None
        single = dict(zip(free.tolist(), left.tolist(), strict=True))
        return tuple(tuple(sorted(found[k])) if k in found else (single[k],) for k in range(self.n))


def too_few_cells(n: int, wiring: Wiring, each: int = 1) -> Unrealizable:
    """The refusal of a problem with more variables, of so many cells each, than the hardware has cells for."""
    needed = n * each
    return Unrealizable(
        f"{n} variables need at least {needed} cells; wiring {wiring.spec} has {wiring.n}: {needed - wiring.n} missing",
        details={"cells_needed": needed, "cells": wiring.n},
    )


class _Layout:
    """Chains side by side as N cells: which belongs to whom, and which couplers lie between them."""

    def __init__(self, chains: Chains, wiring: Wiring) -> None:
        n, cells = len(chains), [cell for chain in chains for cell in chain]
        self.cells = np.array(cells)
        self.owner = np.repeat(np.arange(n), [len(chain) for chain in chains])
        self.sizes = np.bincount(self.owner, minlength=n)
        local = np.full(wiring.n, -1)
        local[self.cells] = np.arange(len(cells))
        ends = local[wiring.edges]
        ends = np.sort(ends[(ends >= 0).all(axis=1)], axis=1)
        ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
        inside = self.owner[ends[:, 0]] == self.owner[ends[:, 1]]
        self.chain_ends, self.ends = ends[inside], ends[~inside]

    @property
    def n_cells(self) -> int:
        return len(self.cells)

    @property
    def membership(self) -> FloatArray:
        """V, (N, n)."""
        return (self.owner[:, None] == np.arange(len(self.sizes))).astype(np.float64)

    @property
    def means(self) -> FloatArray:
        """R, (n, N): each row reads the mean of a chain."""
        return (self.membership / self.sizes).T


class Target:
    """The matrix wanted of the variables, and how cells can be programmed for it.

    The cells' precision is held as parts, all sums of ``value * d d^T``: ``d`` a unit vector for a part
    to ground, a difference of two for a coupling (the entry is ``-value``).
    """

    def __init__(
        self, matrix: FloatArray, own: FloatArray, names: tuple[str, ...], wiring: Wiring, signed: bool
    ) -> None:
        self.matrix, self.own, self.names, self.wiring, self.signed = matrix, own, names, wiring, signed
        self.n = len(matrix)
        self.covariance = _inverse(matrix)
        self._layouts: dict[Chains, _Layout] = {}

    def layout(self, chains: Chains) -> _Layout:
        if chains not in self._layouts:
            self._layouts[chains] = _Layout(chains, self.wiring)
        layout = self._layouts[chains]
        if layout.n_cells > _EMBEDDED:
            raise Unrealizable(
                f"{layout.n_cells} cells in chains are more than the {_EMBEDDED} that are corrected here"
            )
        return layout

    def build(self, choice: Choice, method: str) -> Placed:
        """Cells with ``V^T Q V`` the target, each coupling shared by all couplers between two chains."""
        layout = self.layout(choice.chains)
        own, values = self._shared(layout)
        if choice.roots is None:
            weights = layout.means
        else:
            weights = self._selection(layout, choice.roots)
        if method in ("first-order", "all-orders"):
            weights = self._corrected(layout, own, values, choice.strength, weights, method)
        return self._placed(layout, choice, own, values, weights, method)

    def error(self, placed: Placed) -> float:
        """Relative error of the covariance (Frobenius), in the units of the matrix, without thermal noise."""
        covariance = placed.weights @ placed.covariance @ placed.weights.T
        return float(la.norm(covariance - self.covariance) / la.norm(self.covariance))

    def _shared(self, layout: _Layout) -> tuple[FloatArray, FloatArray]:
        """(N,) parts to ground and (m,) values of couplings."""
        a, b = layout.owner[layout.ends].T
        pair = np.minimum(a, b) * self.n + np.maximum(a, b)
        _, which, count = np.unique(pair, return_inverse=True, return_counts=True)
        values = -self.matrix[a, b] / count[which]
        if not self.signed:
            return (np.maximum(self.own, 0.0) / layout.sizes)[layout.owner], values
        # What couplings of either sign take of the diagonal, and an even share of the rest.
        taken, net = np.zeros(layout.n_cells), np.zeros(layout.n_cells)
        for end in layout.ends.T:
            np.add.at(taken, end, np.abs(values))
            np.add.at(net, end, values)
        total, wanted = np.bincount(layout.owner, taken, self.n), np.diag(self.matrix)
        part = np.where(total > 0, np.minimum(1.0, 0.9 * wanted / np.where(total > 0, total, 1.0)), 0.0)
        rest = (wanted - part * total) / layout.sizes
        return part[layout.owner] * taken + rest[layout.owner] - net, values

    def _corrected(
        self, layout: _Layout, own: FloatArray, values: FloatArray, strength: float, means: FloatArray, method: str
    ) -> FloatArray:
        """The readout of ``first-order`` or ``all-orders``, (n, N)."""
        V, G, A = layout.membership, self.covariance, self.matrix
        Q, L = _assembled(own, layout.ends, values), _laplacian(layout)
        if method == "first-order":
            # R Pi, without the difference of two large numbers
            deviation = means - G @ (V.T @ Q)
            E = deviation @ la.pinvh(L) @ deviation.T / strength
            return np.asarray(means - E @ A @ means / 2.0)
        # S (G + E) S^T = G: S = C W^(-1/2) C^-1 with G = C C^T and W = C^-1 (G + E) C^-T; near I, - E A / 2.
        C = la.cholesky(G, lower=True)
        W = la.solve_triangular(C, means @ self._inverse(Q + strength * L) @ means.T, lower=True)
        W = la.solve_triangular(C, W.T, lower=True)
        sizes, vectors = la.eigh((W + W.T) / 2.0)
        S = C @ (vectors / np.sqrt(sizes)) @ vectors.T @ la.solve_triangular(C, np.eye(self.n), lower=True)
        return np.asarray(S @ means)

    def _inverse(self, precision: FloatArray) -> FloatArray:
        try:
            return _inverse(precision)
        except la.LinAlgError:
            raise Unrealizable(
                "the chains do not hold: with their strength the cells' matrix is not positive definite; "
                "ask for stronger ones (--chain-strength)"
            ) from None

    def _selection(self, layout: _Layout, roots: tuple[int, ...]) -> FloatArray:
        """R, (n, N): each row reads one cell."""
        return (layout.cells == np.array(roots)[:, None]).astype(np.float64)

    def _placed(
        self,
        layout: _Layout,
        choice: Choice,
        own: FloatArray,
        values: FloatArray,
        weights: FloatArray,
        method: str,
    ) -> Placed:
        names = tuple(self.wiring.names[k] for k in layout.cells)
        strength = choice.strength
        # What is but rounding of the largest diagonal entry is not built.
        own, built = np.where(np.abs(own) > ROUNDING, own, 0.0), np.abs(values) > ROUNDING
        Q = _assembled(own, layout.ends[built], values[built])
        if self.signed and strength > 0:
            self._inverse(Q + strength * _laplacian(layout))
        chains = [tuple(self.wiring.names[cell] for cell in chain) for chain in choice.chains]
        return Placed(
            names,
            own,
            np.diag(Q).copy(),
            layout.ends[built],
            -values[built],
            without_small(weights),
            layout.chain_ends if strength > 0 else layout.chain_ends[:0],
            strength,
            Embedding(
                dict(zip(self.names, chains, strict=True)),
                layout.n_cells,
                int(layout.sizes.max()),
                strength,
                method,
            ),
        )

    # Pre-distortion

    def readings(self, chains: Chains) -> list[tuple[int, ...]]:
        """Which cell of each chain to read, in order of promise: where most couplings are, then with one change.

        Cells of a chain that hang together without the one that is read couple, once eliminated, all
        variables that they are coupled to. Plain couplers cannot take that back: the target must have
        these couplings, unless there is another coupler for them. Chains without such a cell give none.
        """
        layout = self.layout(chains)
        best, others = [], []
        for i, chain in enumerate(chains):
            cells = np.flatnonzero(layout.owner == i)
            beside = self._neighbours(layout, i)
            ranked = sorted(range(len(chain)), key=lambda k: -len(beside[k]))
            sound = [k for k in ranked if len(chain) == 1 or self._removable(layout, cells, beside, k)]
            if not sound:
                return []
            best.append(chain[sound[0]])
            others += [(i, chain[k]) for k in sound[1:]]
        first = tuple(best)
        return [first, *((*first[:i], cell, *first[i + 1 :]) for i, cell in others)]

    def _neighbours(self, layout: _Layout, i: int) -> list[set[int]]:
        """Variables that each cell of a chain can be coupled to."""
        beside: dict[int, set[int]] = {int(cell): set() for cell in np.flatnonzero(layout.owner == i)}
        for here, there in (layout.ends.T, layout.ends[:, ::-1].T):
            for cell, other in zip(here[layout.owner[here] == i], there[layout.owner[here] == i], strict=True):
                j = int(layout.owner[other])
                if self.matrix[i, j]:
                    beside[int(cell)].add(j)
        return list(beside.values())

    def _removable(self, layout: _Layout, cells: IntArray, beside: list[set[int]], root: int) -> bool:
        """Whether the couplings made by eliminating all of a chain but one cell can be part of the target."""
        import networkx as nx

        if self.signed:
            return True
        chain = nx.Graph()
        chain.add_nodes_from(range(len(cells)))
        inside = np.isin(layout.chain_ends, cells).all(axis=1)
        chain.add_edges_from((layout.chain_ends[inside] - cells[0]).tolist())
        chain.remove_node(root)
        for part in nx.connected_components(chain):
            outside = set().union(*(beside[k] for k in range(len(cells)) if k not in part))
            bound = sorted(set().union(*(beside[k] for k in part)) - outside)
            if any(not self.matrix[j, k] for j in bound for k in bound if j < k):
                return False
        return True

    def pre_distorted(self, choice: Choice) -> Placed | None:
        """Cells whose marginal precision at the read cells is the target; None if Newton does not get there.

        Bounded least squares in each step (`scipy.optimize.lsq_linear`): parts stay positive where they
        must. With ``W = [I, -P_re P_ee^-1]`` (r read, e eliminated) the marginal precision ``S = P_rr -
        P_re P_ee^-1 P_er`` changes by ``(W d)(W d)^T`` with the value of a part d.
        """
        from scipy.optimize import lsq_linear

        assert choice.roots is not None
        layout = self.layout(choice.chains)
        own, values = self._shared(layout)
        read = np.flatnonzero(np.isin(layout.cells, choice.roots))
        rest = np.setdiff1d(np.arange(layout.n_cells), read)
        a, b = layout.owner[layout.ends].T
        used = np.ones(len(a), dtype=bool) if self.signed else self.matrix[a, b] != 0
        parts = _parts(layout.n_cells, layout.ends[used])
        theta = np.concatenate([own, values[used]])
        chains = choice.strength * _laplacian(layout)
        upper = np.triu_indices(self.n)
        size, before = la.norm(self.matrix), np.inf
        for _ in range(30):
            P = (parts * theta) @ parts.T + chains
            try:
                W = -la.cho_solve(la.cho_factor(P[np.ix_(rest, rest)]), P[np.ix_(rest, read)]).T
            except la.LinAlgError:
                return None
            miss = P[np.ix_(read, read)] + W @ P[np.ix_(rest, read)] - self.matrix
            missed = float(la.norm(miss)) / size
            if missed > before / 2.0:  # the nearest that the bounds allow is not near enough, or rounding is reached
                break
            before, best = missed, theta
            if missed == 0.0:
                break
            seen = parts[read] + W @ parts[rest]
            jacobian = (seen[upper[0]] * seen[upper[1]]) / size
            low = np.full(len(theta), -np.inf) if self.signed else -theta - 1e-300
            ridge = _RIDGE * float(np.sqrt((jacobian**2).sum(axis=0).max()))
            stacked = np.vstack([jacobian, ridge * np.eye(len(theta))])
            wanted = np.concatenate([-miss[upper] / size, np.zeros(len(theta))])
            step = lsq_linear(stacked, wanted, bounds=(low, np.inf), method="bvls").x
            theta = theta + step if self.signed else np.maximum(theta + step, 0.0)
        if before > EXACT * self.n:
            return None
        values = np.zeros(len(used))
        values[used] = best[layout.n_cells :]
        return self._placed(
            layout,
            choice,
            best[: layout.n_cells],
            values,
            self._selection(layout, choice.roots),
            "pre-distorted",
        )


def upper_entries(matrix: sp.csr_array) -> tuple[IntArray, FloatArray]:
    """(m, 2) coupled pairs, in order, and their (m,) entries."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=matrix.indices.dtype), np.diff(matrix.indptr))
    upper = matrix.indices > rows
    upper &= matrix.data != 0
    places = np.flatnonzero(upper)
    ends = np.empty((len(places), 2), dtype=np.int64)
    ends[:, 0], ends[:, 1] = rows[places], matrix.indices[places]
    return ends, matrix.data[places]


def _parts(n_cells: int, ends: IntArray) -> FloatArray:
    """(N, N + m) a column d for each part: to ground, then between two cells."""
    couplings = np.zeros((n_cells, len(ends)))
    k = np.arange(len(ends))
    couplings[ends[:, 0], k], couplings[ends[:, 1], k] = 1.0, -1.0
    return np.hstack([np.eye(n_cells), couplings])


def _assembled(own: FloatArray, ends: IntArray, values: FloatArray) -> FloatArray:
    """Q, (N, N), of parts to ground and couplings."""
    Q = np.diag(own).astype(np.float64)
    a, b = ends.T
    np.add.at(Q, (a, a), values)
    np.add.at(Q, (b, b), values)
    np.add.at(Q, (a, b), -values)
    np.add.at(Q, (b, a), -values)
    return Q


def _laplacian(layout: _Layout) -> FloatArray:
    """L, (N, N), of all chains."""
    return _assembled(np.zeros(layout.n_cells), layout.chain_ends, np.ones(len(layout.chain_ends)))


def _precision(placed: Placed) -> FloatArray:
    """(N, N) of the cells, chains included."""
    return _assembled(placed.own, placed.all_ends, placed.coupler_values)


def _inverse(matrix: FloatArray) -> FloatArray:
    """Of a symmetric positive definite matrix."""
    inverse = la.cho_solve(la.cho_factor(matrix), np.eye(len(matrix)))
    return np.asarray((inverse + inverse.T) / 2.0)
