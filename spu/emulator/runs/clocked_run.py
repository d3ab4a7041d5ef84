"""Runs under noise that a clock makes: exact steps of the state between its edges, with the samples themselves.

Readouts come at a fixed interval that is a whole number q of J-th parts of the clock's period, q and J without a common
divisor, so that they go through J phases evenly spread over the period; where the first one lies within its J-th part
is drawn from the seed. From readout to readout the state goes exactly: the sample that is held to the next edge, whole
periods with one sample each, the sample of the last part, and the thermal noise of all of it. Normal samples of whole
periods are drawn by what they add up to; others one by one.

Samples have addresses (`spu.emulator.runs.noise`): a period, a trajectory, a source. Of a register each trajectory
begins at another place, drawn from the seed. Samples that are not normal are followed from so long before the first
readout that nothing remembers the beginning (`_FORGOTTEN`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import gcd

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from spu.base.arrays import FloatArray
from spu.base.errors import UsageError
from spu.base.registers import sequence
from spu.base.threads import one_blas_thread
from spu.emulator.laws.clocked import ClockedLaw, gathered
from spu.emulator.laws.estimate import SamplingError
from spu.emulator.laws.propagate import factor, step_law
from spu.emulator.runs.guard import Tests, around, either, normal
from spu.emulator.runs.noise import BLOCK, fill_normals, key_of
from spu.emulator.runs.run import Sums

PHASES = 61
"""Parts of a period on whose edges readouts fall, at least; a prime, so that most numbers of them have no divisor in
common with it."""

CLOCKED = 31
"""Purpose of the samples' random numbers."""

_FORGOTTEN = 32.0
"""Longest time constants before the first readout: what is left of the beginning is e^-32."""

_PIECE, _READOUTS, _REGISTER = 1024, 512, 16384
"""Periods that are stepped together; readouts of a chunk; periods of which a register's bits are at hand."""

_MOST = 2e11
"""Samples of a run."""

_LAGS, _STARTS = 2000, 16
"""Lags, and phases to count them from, by which errors are worked out: of more, evenly spread ones."""

WIDE = 4.0
"""Sums of products of independent signs are within tails of Gaussian ones four times as wide (Vershynin,
High-Dimensional Probability, 2018, theorem 6.1.1): by so much deviations are divided where samples are not normal."""

_SLACK = 1e-8
"""Relative rounding of laws and sums that is no deviation."""


@dataclass(frozen=True)
class Grid:
    """Readouts every ``parts`` of ``phases`` parts of a period, s."""

    period: float
    parts: int
    phases: int

    @classmethod
    def near(cls, law: ClockedLaw, interval: float) -> Grid:
        """The one whose interval is nearest to one that is wished, s."""
        period = law.clocked.period
        if interval * PHASES < period:
            return cls(period, 1, round(period / interval))
        wanted, cycle = max(1, round(interval / period * PHASES)), law.clocked.cycle or 1
        for away in range(10 * PHASES):
            for parts in (wanted + away, wanted - away):
                # So that all phases of all periods of a cycle come up.
                if parts > 0 and gcd(parts, PHASES * cycle) == 1:
                    return cls(period, parts, PHASES)
        raise AssertionError("some number nearby has no divisor in common")

    @property
    def interval(self) -> float:
        """S between readouts."""
        return self.period * self.parts / self.phases


@dataclass(frozen=True, eq=False)
class _Leg:
    """From one readout to the next: what the state, the old and the new sample, and normals of the rest become.

    ``between`` is the number of whole periods, which come before ``last``, (n, n); None where no edge is between.
    """

    old: FloatArray
    new: FloatArray
    between: int
    last: FloatArray | None
    factor: FloatArray


@dataclass(frozen=True, eq=False)
class ClockedRun:
    """A run that is planned.

    Attributes
    ----------
    law:
        Of the circuit.
    grid:
        When it is read.
    trajectories, steps, seed:
        As of any run.
    """

    law: ClockedLaw
    grid: Grid
    trajectories: int
    steps: int
    seed: int
    _legs: dict[int, _Leg] = field(default_factory=dict, repr=False)
    _reaches: dict[int, FloatArray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        width = self.law.drive.shape[1] * self.law.clocked.width * self.trajectories
        periods = self.burn + (self.steps * self.grid.parts / self.grid.phases if not self.law.clocked.normal else 0)
        if periods * width > _MOST:
            raise UsageError(
                f"the run would draw {periods * width:.1g} samples of noise, one by one ({_MOST:g} at most): ask for "
                "fewer samples, or a shorter interval"
            )

    @cached_property
    def offset(self) -> float:
        """Where readouts lie within their part of a period, 0 to 1."""
        return float(np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(CLOCKED, 1))).random())

    @property
    def burn(self) -> int:
        """Periods before the first readout that are stepped, too."""
        if self.law.clocked.normal:
            return 0
        return int(np.ceil(_FORGOTTEN * self.law.time_constants[0] / self.grid.period))

    def phase(self, place: int) -> float:
        """Share of the period at which a readout in a part of it comes."""
        return (place + self.offset) / self.grid.phases

    # --- steps -----------------------------------------------------------------------------

    @cached_property
    def _transition(self) -> FloatArray:
        return np.asarray(la.expm(self.law.dense.A * (self.grid.interval / self.law.dense.time)))

    @cached_property
    def _thermal(self) -> FloatArray:
        """(n, n) covariance of the thermal noise from readout to readout."""
        law = self.law
        if law.held.all():
            return np.zeros_like(law.dense.A)
        white = law.dense.B[:, ~law.held]
        return step_law(law.dense.A, white @ white.T, self.grid.interval / law.dense.time)[1]

    def _part(self, share: float) -> tuple[FloatArray, FloatArray]:
        """Of a share of a period: (n, n) what the state and (n, h) what a sample of each source becomes."""
        n = len(self.law.dense.A)
        carried = self.law.carried(share)
        return carried[:n, :n], carried[:n, n:] @ self.law.drive

    def _leg(self, place: int) -> _Leg:
        if place not in self._legs:
            self._legs[place] = self._made(place)
        return self._legs[place]

    def _made(self, place: int) -> _Leg:
        grid, law = self.grid, self.law
        edges, new = divmod(place + grid.parts, grid.phases)
        if edges == 0:
            push = self._part(grid.parts / grid.phases)[1]
            return _Leg(push, np.zeros_like(push), 0, None, factor(self._thermal))
        n, whole = len(law.dense.A), edges - 1
        _, old = self._part(1.0 - self.phase(place))
        last, pushed = self._part(self.phase(new))
        power = np.linalg.matrix_power(law.period[:n, :n], whole)
        covariance = self._thermal
        if law.clocked.normal and whole:
            push = law.period[:n, n:] @ law.drive
            covariance = covariance + last @ gathered(law.period[:n, :n], push @ push.T, whole) @ last.T
            whole = 0
        return _Leg(last @ power @ old, pushed, whole, last, factor(covariance))

    def _reach(self, periods: int) -> FloatArray:
        """(n, periods h) what samples of consecutive periods make of the state, the earliest first."""
        if periods not in self._reaches:
            n = len(self.law.dense.A)
            push, transition = self.law.period[:n, n:] @ self.law.drive, self.law.period[:n, :n]
            blocks = []
            for _ in range(periods):
                blocks.append(push)
                push = transition @ push
            self._reaches[periods] = np.hstack(blocks[::-1])
        return self._reaches[periods]

    def _through(self, state: FloatArray, first: int, periods: int, samples: Samples) -> FloatArray:
        """A state (n, trajectories) after whole periods from number ``first`` on."""
        n = len(state)
        transition = self.law.period[:n, :n]
        for start in range(0, periods, _PIECE):
            many = min(_PIECE, periods - start)
            drawn = samples.of(first + start, many)
            state = np.linalg.matrix_power(transition, many) @ state
            state = state + self._reach(many) @ drawn.reshape(-1, drawn.shape[2])
        return state

    # --- a run -----------------------------------------------------------------------------

    def readouts(self) -> Iterator[FloatArray]:
        """(n, trajectories) states, about those that constant sources alone would make, readout by readout."""
        law, grid, burn = self.law, self.grid, self.burn
        n, width = len(law.dense.A), self.trajectories
        samples = Samples(law, self.seed, width)
        transition, pushed = self._part(self.phase(0))
        if law.clocked.normal:
            held = transition @ law.joint[:n, :n] @ transition.T
            root = factor(held + law.thermal_covariance)
            state = root @ _normals(self.seed, 0, root.shape[1], width)
        else:
            root = factor(law.thermal_covariance)
            state = transition @ self._through(np.zeros((n, width)), 0, burn, samples)
            state = state + root @ _normals(self.seed, 0, root.shape[1], width)
        current = samples.of(burn, 1)[0]
        state = state + pushed @ current
        yield state
        for k in range(1, self.steps):
            before, after = ((j * grid.parts) // grid.phases for j in (k - 1, k))
            leg = self._leg(((k - 1) * grid.parts) % grid.phases)
            moved = self._transition @ state + leg.old @ current
            if leg.between:
                assert leg.last is not None
                moved += leg.last @ self._through(np.zeros((n, width)), burn + before + 1, leg.between, samples)
            if after > before:
                # Normal samples of whole periods have no numbers of their own.
                current = samples.of(burn + after if not law.clocked.normal else k, 1)[0]
                moved += leg.new @ current
            if leg.factor.shape[1]:
                moved += leg.factor @ _normals(self.seed, k, leg.factor.shape[1], width)
            state = moved
            yield state

    def count(
        self,
        *,
        lags: int = 0,
        every: int = 0,
        progress: Callable[[int, int], None] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Sums:
        """Run, and count as `spu.emulator.runs.run.run` does."""
        H, offset = self.law.dense.H, self.law.dense.H @ self.law.shift
        probes, width = len(H), self.trajectories
        total, products = np.zeros(probes), np.zeros((lags + 1, probes, probes))
        past: FloatArray = np.empty((0, probes, width))
        kept: list[FloatArray] = []
        done, state = 0, np.empty((0, width))
        chunk: list[FloatArray] = []

        def close() -> None:
            nonlocal total, past
            new = np.array(chunk)
            total = total + new.sum(axis=(0, 2))
            both = np.concatenate([past, new])
            for lag in range(lags + 1):
                later = new[max(0, lag - len(past)) :]
                earlier = both[len(both) - lag - len(later) : len(both) - lag]
                products[lag] += np.tensordot(later, earlier, axes=((0, 2), (0, 2)))
            past = both[len(both) - min(lags, len(both)) :]
            chunk.clear()

        with one_blas_thread():
            for k, state in enumerate(self.readouts()):
                seen = H @ state - offset[:, None]
                chunk.append(seen)
                if every and k % every == 0:
                    kept.append(seen.T)
                done = k + 1
                if len(chunk) == _READOUTS or done == self.steps:
                    close()
                    if progress is not None:
                        progress(done * width, self.steps * width)
                    if interrupted():
                        break
        pairs = np.maximum(done - np.arange(lags + 1), 0) * width
        shown = np.stack(kept, axis=1) if kept else np.empty((width, 0, probes))
        return Sums(done, done * width, total, products, pairs, shown, state, total, products)

    # --- what is expected ------------------------------------------------------------------

    def expected(self, steps: int) -> FloatArray:
        """(n, n) covariance of the state on average over the phases of the first ``steps`` readouts."""
        law, grid = self.law, self.grid
        n, cycles, rest = len(law.dense.A), *divmod(steps, grid.phases)
        step = law.carried(1.0 / grid.phases)
        first = law.carried(self.phase(0)) @ law.joint @ law.carried(self.phase(0)).T
        found = cycles * gathered(step, first, grid.phases) if cycles else np.zeros_like(first)
        if grid.parts == 1 and rest:
            found = found + gathered(step, first, rest)
        else:
            for k in range(rest):
                carried = law.carried(self.phase((k * grid.parts) % grid.phases))
                found = found + carried @ law.joint @ carried.T
        return np.asarray(found[:n, :n] / steps + law.thermal_covariance)

    @cached_property
    def _independent(self) -> ClockedLaw:
        """The law of bits that come from no register."""
        law = self.law
        return replace(law, clocked=replace(law.clocked, register=None)) if law.clocked.register else law

    def memory(self, left: FloatArray, steps: int, thermal: bool = True) -> Memory:
        """Of one trajectory: what readouts of ``left`` (h, n) times the states remember, with or without thermal noise.

        Variances are times the number of readouts; of a register's bits they are those of independent ones.
        """
        law, grid = self._independent, self.grid
        white = law.thermal_covariance if thermal else np.zeros_like(law.thermal_covariance)
        n, dense = len(law.dense.A), law.dense
        interval = grid.interval / dense.time
        most = min(steps, int(np.ceil(16.0 * law.time_constants[0] / grid.interval)) + 1)
        stride = -(-most // _LAGS)
        coarse = np.linalg.matrix_power(self._transition, stride)
        lefts = [left]
        for _ in range((most - 1) // stride):
            lefts.append(lefts[-1] @ coarse)
        table = np.array(lefts)
        starts = np.unique(np.linspace(0, grid.phases - 1, min(_STARTS, grid.phases)).round().astype(int)).tolist()
        squares, mean = np.zeros((len(left), len(left))), np.zeros((len(left), len(left)))
        longest = np.zeros(len(left))
        for place in starts:
            phase = self.phase(place)
            carried = law.carried(phase)
            moments = carried @ law.joint @ carried.T
            inside = (grid.phases - 1 - place) // grid.parts  # readouts that hear the same sample
            held, weights = [], []
            if inside:
                jump = -(-inside // 256)
                step, now = law.carried(jump * grid.parts / grid.phases), moments
                for k in range(0, inside + 1, jump):
                    if k:
                        held.append(left @ (now[:n, :n] + la.expm(dense.A * (k * interval)) @ white) @ left.T)
                        weights.append((min(k + jump, inside + 1) - k, k))
                    now = step @ now
                if jump > 1:  # those between the first two
                    held.append(left @ (moments[:n, :n] + white) @ left.T)
                    weights.append((jump - 1, 1))
            beyond = inside + 1
            edge = (law.carried(1.0 - phase) @ moments)[:n, :n]
            rest = beyond * interval - (1.0 - phase) * law.span
            right = la.expm(dense.A * rest) @ edge + la.expm(dense.A * (beyond * interval)) @ white
            tail = table @ right @ left.T
            own = left @ (moments[:n, :n] + white) @ left.T
            every = np.concatenate([np.array(held).reshape(-1, *own.shape), tail])
            many = np.concatenate([[w for w, _ in weights], np.full(len(tail), stride)])
            lag = np.concatenate([[k for _, k in weights], beyond + stride * np.arange(len(tail))])
            share = many * np.clip(1.0 - lag / steps, 0.0, None)
            diagonals = np.einsum("kii->ki", every)
            crossed = np.einsum("k,ki,kj->ij", share, diagonals, diagonals) + np.einsum(
                "k,kij,kji->ij", share, every, every
            )
            squares += np.outer(np.diag(own), np.diag(own)) + own**2 + 2.0 * crossed
            gathered_mean = np.einsum("k,kij->ij", share, every)
            mean += own + gathered_mean + gathered_mean.T
            reach = np.diag(own) + 2.0 * np.einsum("k,ki->i", many * (lag < steps), np.abs(diagonals))
            longest = np.maximum(longest, reach)
        return Memory(squares / len(starts), mean / len(starts), longest)

    def repeats(self, steps: int) -> float:
        """How often a register comes around in all trajectories together, from one on."""
        cycle = self.law.clocked.cycle
        if cycle is None:
            return 1.0
        return max(1.0, self.trajectories * steps * self.grid.interval / (cycle * self.grid.period))

    def scatter(self, left: FloatArray, steps: int) -> Memory:
        """Variances of what is estimated of ``left`` (h, n) times the states, and largest weights, of the whole run.

        After a register came around it tells nothing new, and what it makes scatters no less than over one cycle; but
        no more than as if there had been one reading, and where each trajectory saw all of its places at all phases
        only those scatter that are left over (taken as large as four times their rms).
        """
        found, count = self.memory(left, steps), float(self.trajectories * steps)
        again = self.repeats(steps)
        if again == 1.0:
            return Memory(found.squares / count, found.mean / count, found.longest)
        held = self.memory(left, steps, thermal=False)
        covariance = left @ (self.law.covariance - self.law.thermal_covariance) @ left.T
        own = np.diag(covariance)
        most = np.outer(own, own) + covariance**2
        places = self.grid.phases * (self.law.clocked.cycle or 1)
        over = min(1.0, 4.0 * places / steps)
        squares = np.minimum(held.squares * again / count, over**2 * most)
        scale = np.sqrt(np.minimum(1.0, over**2 * own / np.maximum(np.diag(held.mean) * again / count, 1e-300)))
        mean = held.mean * again / count * np.outer(scale, scale)
        longest = np.minimum(held.longest * again, count * np.sqrt(np.diag(squares)))
        return Memory(
            np.maximum(found.squares - held.squares, 0.0) / count + squares,
            (found.mean - held.mean) / count + mean,
            found.longest - held.longest + longest,
        )

    def error(self, transform: FloatArray, steps: int) -> SamplingError:
        """Errors of variables (q, p) of the probes, about their law's mean; bounds where samples are not normal."""
        left = transform @ self.law.dense.H
        found = self.scatter(left, steps)
        covariance = left @ self.law.covariance @ left.T
        independent = float(np.trace(covariance) ** 2 + (covariance**2).sum())
        scatter = float(found.squares.sum())
        effective = independent / scatter if scatter > 0 else float(self.trajectories * steps)
        return SamplingError(found.squares, np.diag(found.mean).copy(), effective, found.mean)

    def hold(self, sums: Sums) -> Tests:
        """Hold what was counted against the law, direction by direction (`spu.emulator.runs.guard`)."""
        law, steps = self.law, sums.readouts
        tests, H = Tests(), self.law.dense.H
        covariance = H @ self.expected(steps) @ H.T
        size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        heard = np.flatnonzero(size > 1e-9 * size.max(initial=0.0))
        unit = H[heard] / size[heard, None]
        values, vectors = la.eigh(covariance[np.ix_(heard, heard)] / np.outer(size[heard], size[heard]))
        sure = values > 1e-9 * values.max(initial=0.0)
        turn = (vectors[:, sure] / np.sqrt(values[sure])).T
        found = self.scatter(turn @ unit, steps)
        wide = 1.0 if law.clocked.normal else WIDE
        turned = turn / size[heard]
        count = float(sums.samples)
        off = turned @ sums.products[0][np.ix_(heard, heard)] @ turned.T - count * np.eye(len(turn))
        off = np.sign(off) * np.maximum(np.abs(off) - _SLACK * count, 0.0) / wide
        # Phases stand for all; what lies between them is no longer than this.
        squares, longest = 1.2 * count**2 * found.squares / 2.0, 1.2 * found.longest
        own = np.diag(squares)
        tests.add(
            around(np.diag(off), own, longest, np.full(len(turn), count)),
            lambda k: f"the variance of direction {k} of the probes is off by {off[k, k] * wide / count:.2g} of it",
        )
        i, j = np.triu_indices(len(turn), 1)
        tests.add(
            either(off[i, j], squares[i, j], np.sqrt(longest[i] * longest[j])),
            lambda k: (
                f"directions {i[k]} and {j[k]} of the probes have a correlation of {off[i[k], j[k]] * wide / count:.2g}"
            ),
        )
        mean = turned @ sums.total[heard] / wide
        tests.add(
            normal(mean, 1.2 * count**2 * np.diag(found.mean)),
            lambda k: f"the mean of direction {k} of the probes is off by {mean[k] * wide / count:.2g} of its rms",
        )
        return tests


@dataclass(frozen=True, eq=False)
class Memory:
    """What readouts remember of one another, on average over the phases of the clock.

    Attributes
    ----------
    squares:
        (h, h) variance of an entry of the estimated covariance.
    mean:
        (h, h) covariance of the estimated mean.
    longest:
        (h,) largest sum of correlations of a readout with all others.
    """

    squares: FloatArray
    mean: FloatArray
    longest: FloatArray


class Samples:
    """The samples of all sources, of unit size as the law's ``drive`` takes them."""

    def __init__(self, law: ClockedLaw, seed: int, trajectories: int) -> None:
        self.clocked, self.sources, self.trajectories = law.clocked, law.drive.shape[1], trajectories
        self._key = key_of(seed, CLOCKED)
        if law.clocked.register is not None:
            assert law.clocked.cycle is not None
            random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(CLOCKED, 2)))
            self._starts = random.integers(0, law.clocked.cycle, trajectories).tolist()
            self._delays = law.clocked.delays(self.sources)
            self._first, self._bits = 0, np.empty((0, 0, 0), dtype=np.int8)

    def of(self, first: int, periods: int) -> FloatArray:
        """(periods, sources, trajectories) of consecutive periods."""
        if self.clocked.register is not None:
            return self._registered(first, periods)
        rows, width = self.sources * self.clocked.width, self.trajectories
        out = np.empty((-(-rows // BLOCK) * BLOCK, periods * width))
        steps = np.repeat(np.arange(first, first + periods, dtype=np.uint64), width)
        fill_normals(out, np.uint64(0), self._key, steps, np.tile(np.arange(width, dtype=np.uint64), periods))
        normals = out[:rows].reshape(self.sources, self.clocked.width, periods, width)
        return self.clocked.shaped(np.moveaxis(normals, (2, 0, 3, 1), (0, 1, 2, 3)))

    def _registered(self, first: int, periods: int) -> FloatArray:
        if not (self._first <= first and first + periods <= self._first + len(self._bits)):
            self._first, self._bits = first, self._block(first, max(periods, _REGISTER))
        counted = self._bits[first - self._first : first - self._first + periods]
        return (2.0 * counted - self.clocked.width) / np.sqrt(self.clocked.width)

    def _block(self, first: int, periods: int) -> NDArray[np.int8]:
        """(periods, sources, trajectories) how many of a sample's bits are one."""
        register = self.clocked.register
        assert register is not None
        found = np.zeros((periods, self.sources, self.trajectories), dtype=np.int8)
        for column, start in enumerate(self._starts):
            for source, delays in enumerate(self._delays.tolist()):
                for delay in delays:
                    found[:, source, column] += sequence(register, start + first - delay, periods)
        return found


def _normals(seed: int, step: int, rows: int, trajectories: int) -> FloatArray:
    """(rows, trajectories) of one readout."""
    out = np.empty((-(-max(rows, 1) // BLOCK) * BLOCK, trajectories))
    steps = np.full(trajectories, step, dtype=np.uint64)
    fill_normals(out, np.uint64(0), key_of(seed), steps, np.arange(trajectories, dtype=np.uint64))
    return out[:rows]
