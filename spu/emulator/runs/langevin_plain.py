"""Steps of a few trajectories in plain numpy, on the same noise: what the compiled loops are held against.

One trajectory at a time, written from the equation and not from the loops. The first and the last steps of
every run go through here (`spu.emulator.runs.langevin_run`), so a loop that does something else gives no result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import InternalError
from spu.base.kernels.door import Precision
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs.noise import BLOCK, fill_normals

WordArray = NDArray[np.uint64]

TOLERANCE: dict[Precision, float] = {"double": 1e-9, "single": 2e-5}
"""Of a coordinate, and of how far it went, by which the two may differ: rounding, in another order, and to floats."""

TIES: dict[Precision, float] = {"double": 0.0, "single": 1e-4}
"""How near to the limit a rate is to be for the loops to halve a step, or not, by the rounding of floats."""

MOST_PIECES = 100
"""Pieces of steps that are taken again at most, of a trajectory."""


class Factors(NamedTuple):
    """Of a step: on couplings at its beginning, their change in it, and on the amplitude of its noise."""

    couplers: float = 1.0
    change: float = 0.0
    noise: float = 1.0


UNRAMPED = Factors()


class _Enough(Exception):
    """More pieces than are worth taking again, or a step that may be halved or not."""


class Plain:
    """Steps of one trajectory.

    Parameters
    ----------
    law:
        The equation, as the loops have it.
    key, bridge_key:
        Of the noise of steps, and inside them.
    trajectory:
        Which one.
    precision:
        Of the loops; here all is in double precision.
    """

    def __init__(
        self,
        law: kernels.Law,
        key: WordArray,
        bridge_key: WordArray,
        trajectory: int,
        precision: Precision = "double",
    ) -> None:
        self.law, self.key, self.bridge_key, self.trajectory = law, key, bridge_key, trajectory
        self.pieces = 0
        self.most = MOST_PIECES
        self.ties = TIES[precision]
        self._pulled: tuple[FloatArray, FloatArray] | None = None
        self._drawn: dict[int, FloatArray] = {}

    def normals(self, addresses: range, key: WordArray) -> FloatArray:
        """(m, n) of m addresses, correlated."""
        n = len(self.law.mobility)
        out = np.empty((-(-n // BLOCK) * BLOCK, len(addresses)))
        where = np.array(addresses, dtype=np.uint64)
        fill_normals(out, np.uint64(0), key, where, np.full(len(where), self.trajectory, dtype=np.uint64))
        z = out[:n].T
        return np.asarray(z @ self.law.factor.T if len(self.law.factor) else z)

    def draw(self, first: int, last: int) -> None:
        """Draw the normals of steps ``first`` to ``last - 1`` together, which is sooner than one by one."""
        coarse = self.law.coarse
        found = self.normals(range(first * coarse, last * coarse), self.key).reshape(last - first, coarse, -1)
        self._drawn = dict(enumerate(found.sum(axis=1) / np.sqrt(coarse), first))

    def of_step(self, number: int) -> FloatArray:
        """(n,) normals of a step."""
        if number not in self._drawn:
            self.draw(number, number + 1)
        return self._drawn[number]

    def deviation(self, h: float) -> FloatArray:
        """(n,) of the noise of ``h`` seconds."""
        law = self.law
        if law.scheme != kernels.BAOAB:
            return np.asarray(law.deviation * np.sqrt(h))
        return np.asarray(law.deviation * np.sqrt(-np.expm1(-2 * law.friction * h) / (2 * law.friction)))

    def pull(self, x: FloatArray) -> FloatArray:
        """(n,) ``stiffness x``."""
        if self._pulled is None or self._pulled[0] is not x:  # a step asks twice: whether it is halved, and for itself
            self._pulled = x, self.law.stiffness @ x
        return self._pulled[1]

    def force(self, x: FloatArray, field: FloatArray, couplers: float = 1.0) -> FloatArray:
        """(n,); ``couplers`` is the factor on couplings."""
        law = self.law
        return np.asarray(field - couplers * self.pull(x) - law.slope * x - law.quadratic * x**2 - law.cubic * x**3)

    def z(self, x: FloatArray, w: FloatArray, force: FloatArray, more: FloatArray, h: float) -> float:
        """Rate times step; ``more`` is what fields and factors change the force by in a step."""
        law = self.law
        push = law.mobility * (np.abs(force) + np.abs(more))
        inertial = law.scheme == kernels.BAOAB
        reach = np.abs(x) + h * (np.abs(w) + h * push if inertial else push)
        rate = law.linear + float((law.mobility * (2 * np.abs(law.quadratic) + 3 * law.cubic * reach) * reach).max())
        return h * float(np.sqrt(rate)) if inertial else h * rate

    def halves(self, z: float, limit: float) -> bool:
        """Whether a piece is taken in halves."""
        if abs(z - limit) < self.ties * limit:
            raise _Enough
        return z > limit

    def piece(
        self, x: FloatArray, w: FloatArray, noise: FloatArray, field: FloatArray, h: float, couplers: float = 1.0
    ) -> tuple[FloatArray, FloatArray]:
        """One piece of a step, by the scheme."""
        law = self.law
        if law.scheme == kernels.BAOAB:
            w = w + 0.5 * h * law.mobility * self.force(x, field, couplers)
            x = x + 0.5 * h * w
            w = np.exp(-law.friction * h) * w + noise
            x = x + 0.5 * h * w
            return x, w + 0.5 * h * law.mobility * self.force(x, field, couplers)
        first = law.mobility * self.force(x, field, couplers)
        if law.scheme == kernels.HEUN:
            second = law.mobility * self.force(x + h * first + noise, field, couplers)
            return x + 0.5 * h * (first + second) + noise, w
        return x + h * first + noise, w

    def step(
        self,
        x: FloatArray,
        w: FloatArray,
        number: int,
        h: float,
        begin: FloatArray,
        change: FloatArray,
        ghost: bool,
        factors: Factors = UNRAMPED,
    ) -> tuple[FloatArray, FloatArray]:
        """Step ``number``; a ghost takes it in halves at least, and holds itself to half the limit."""
        law = self.law
        z = self.of_step(number)
        middle, couplers = begin + 0.5 * change, factors.couplers + 0.5 * factors.change
        if law.scheme == kernels.LEIMKUHLER_MATTHEWS:
            noise = 0.5 * (z + self.of_step(number + 1)) * self.deviation(h) * factors.noise
            return self.piece(x, w, noise, middle, h, couplers)
        noise = z * self.deviation(h) * factors.noise
        # The loops judge a whole step by its mean field, the ghosts' and what is halved by that at its beginning.
        more = change - factors.change * self.pull(x)
        whole = not ghost and not self.halves(self.z(x, w, self.force(x, middle, couplers), more, h), law.limit)
        if whole:
            self.pieces += 1
            return self.piece(x, w, noise, middle, h, couplers)
        limit = 0.5 * law.limit if ghost else law.limit
        return self._walk(x, w, number, h, (begin, change, factors), (int(ghost), limit), 0, 0, noise)

    def _walk(
        self,
        x: FloatArray,
        w: FloatArray,
        number: int,
        h: float,
        driven: tuple[FloatArray, FloatArray, Factors],
        rule: tuple[int, float],
        level: int,
        place: int,
        noise: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Piece ``place`` of the ``2**level`` of a step."""
        own = h / 2**level
        base, limit = rule
        begin, change, factors = driven

        def at(share: float) -> tuple[FloatArray, float]:
            return begin + change * share, factors.couplers + factors.change * share

        force = self.force(x, *at(place / 2**level))
        if level >= base and not self.halves(self.z(x, w, force, change - factors.change * self.pull(x), own), limit):
            self.pieces += 1
            if self.pieces > self.most:
                raise _Enough
            field, couplers = at((place + 0.5) / 2**level)
            return self.piece(x, w, noise, field, own, couplers)
        address = ((1 << level) + place) << kernels.STEP_BITS | number
        bridge = self.normals(range(address, address + 1), self.bridge_key)[0]
        decay = np.exp(-self.law.friction * own / 2)  # 1 where there is no velocity
        share = 1 + decay**2
        first = decay / share * noise + self.deviation(own / 2) * factors.noise / np.sqrt(share) * bridge
        more = (level + 1, 2 * place, first), (level + 1, 2 * place + 1, noise - decay * first)
        for each in more:
            x, w = self._walk(x, w, number, h, driven, rule, *each)
        return x, w


def fields_of(steps: kernels.LangevinSteps, k: int, own: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n,) field at the beginning of step k of these, and its change, of a trajectory with its own fields (n,)."""
    n = len(own)
    low, high = (row[:n] + row[n] * own for row in steps.fields[steps.segment[k] :][:2])
    return low + steps.begin[k] * (high - low), (steps.end[k] - steps.begin[k]) * (high - low)


def factors_of(steps: kernels.LangevinSteps, k: int) -> Factors:
    """Those of step k of these."""
    low, high = steps.fields[steps.segment[k] :][:2, -2:]
    first, last = (low + share * (high - low) for share in (steps.begin[k], steps.end[k]))
    mean_square = (first[1] ** 2 + first[1] * last[1] + last[1] ** 2) / 3
    return Factors(float(first[0]), float(last[0] - first[0]), float(np.sqrt(mean_square)))


class Span:
    """A few steps of some trajectories, before they are taken; `verify` afterwards.

    Parameters
    ----------
    law, key, bridge_key, steps, period, watch:
        As the loops have them.
    tiles:
        All of them.
    trajectories:
        Whose, rising.
    precision:
        Of the loops.
    """

    def __init__(
        self,
        law: kernels.Law,
        key: WordArray,
        bridge_key: WordArray,
        steps: kernels.LangevinSteps,
        period: int,
        watch: int,
        tiles: list[kernels.LangevinTile],
        trajectories: list[int],
        precision: Precision = "double",
    ) -> None:
        self.steps, self.tolerance = steps, TOLERANCE[precision]
        self.followed = []
        begins, ends = steps.first % period, steps.first % period + len(steps.sizes)
        watched = ends <= watch and (tiles[0].open[0] or begins == 0)
        for number in trajectories:
            tile = next(each for each in reversed(tiles) if each.trajectory <= number)
            column = number - tile.trajectory
            plain = Plain(law, key, bridge_key, tile.trajectory + column, precision)
            begun = tile.column("x", column).astype(float), tile.column("w", column).astype(float)
            own = tile.column("own", column).astype(float) if len(tile.own) else np.zeros(len(begun[0]))
            self.followed.append((plain, begun, own, tile.column("x", column), False))
            if column < tile.ghost.shape[1] and watched:
                if begins:
                    begun = tile.column("ghost", column).astype(float), tile.column("ghost_w", column).astype(float)
                self.followed.append((plain, begun, own, tile.column("ghost", column), True))

    def verify(self) -> None:
        """Take the steps.

        Raises
        ------
        InternalError
            If they end elsewhere.
        """
        steps = self.steps
        for plain, (x, w), own, found, ghost in self.followed:
            plain.pieces, begun, size = 0, x, np.abs(x)
            plain.draw(steps.first, steps.first + len(steps.sizes) + 1)
            try:
                for k, h in enumerate(steps.sizes):
                    driven = fields_of(steps, k, own)
                    x, w = plain.step(x, w, steps.first + k, float(h), *driven, ghost, factors_of(steps, k))
                    size = np.maximum(size, np.abs(x))
            except _Enough:
                continue
            if not np.isfinite(x).all():
                continue
            gap = np.abs(found - x) / np.maximum(size + np.abs(x - begun), 1e-300)
            worst = int(np.argmax(gap))
            if not gap[worst] <= self.tolerance:
                raise InternalError(
                    f"steps {steps.first} to {steps.first + len(steps.sizes)} of trajectory {plain.trajectory}"
                    f"{', halved,' if ghost else ''} take coordinate {worst} from {begun[worst]:.6g} to "
                    f"{found[worst]:.9g}, and plain numpy takes it to {x[worst]:.9g}"
                )
