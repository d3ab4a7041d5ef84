"""Tiles of made-up Langevin equations, stepped by the compiled loops and by plain numpy."""

import itertools
from dataclasses import dataclass

import numpy as np

from spu.base.kernels.products import resident
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs.langevin_plain import Plain, factors_of, fields_of
from spu.emulator.runs.noise import key_of

KEYS = key_of(4), key_of(4, 5)


@dataclass
class Stepped:
    """A tile after its steps; ``start`` (width, n) holds its coordinates and velocities before."""

    law: kernels.Law
    steps: kernels.LangevinSteps
    tile: kernels.LangevinTile
    start: tuple[np.ndarray, np.ndarray]

    @property
    def results(self):
        """All that it holds."""
        tile = self.tile
        return [getattr(tile, key) for key in ("x", "w", "ghost", "ghost_w", "heat", "work", "rates", "check", "tally")]

    def own(self, trajectory):
        """Fields of its own."""
        tile = self.tile
        return tile.column("own", trajectory) if len(tile.own) else np.zeros(tile.x.shape[1])

    def plain(self, trajectory, ghost=False):
        """Coordinates and velocities of a trajectory by plain numpy."""
        steps, plain = self.steps, Plain(self.law, *KEYS, self.tile.trajectory + trajectory)
        plain.most = 100_000
        x, w = (each[trajectory] for each in self.start)
        for k, h in enumerate(steps.sizes):
            driven = fields_of(steps, k, self.own(trajectory))
            x, w = plain.step(x, w, steps.first + k, float(h), *driven, ghost, factors_of(steps, k))
        return x, w


def equation(n, scheme, *, limit=np.inf, correlated=False, coarse=1, seed=0, ramped=False):
    """A law whose forces, noises and rates are of order one; a band of couplings is left out."""
    rng = np.random.default_rng([n, scheme, seed])
    stiffness = np.eye(n) + 0.5 * rng.normal(size=(n, n)) / np.sqrt(n)
    stiffness[:, n // 3 : n // 2] = np.diag(np.diag(stiffness))[:, n // 3 : n // 2]
    factor = np.empty((0, 0))
    if correlated:
        both = np.eye(n) + rng.normal(size=(n, n)) / np.sqrt(n)
        both = both @ both.T
        factor = np.linalg.cholesky(both / np.sqrt(np.outer(np.diag(both), np.diag(both))))
    inertial = scheme == kernels.BAOAB
    mobility = rng.uniform(0.5, 2, n)
    return kernels.Law(
        stiffness=stiffness,
        quadratic=0.2 * rng.normal(size=n),
        cubic=rng.uniform(0.2, 1, n),
        mobility=mobility,
        deviation=rng.uniform(0.5, 1.5, n),
        factor=factor,
        friction=rng.uniform(1, 3, n) if inertial else np.zeros(n),
        mass=1 / mobility if inertial else np.zeros(n),
        slope=rng.normal(size=n) if ramped else np.zeros(n),
        linear=4.0,
        scheme=scheme,
        coarse=coarse,
        limit=limit,
        ramped=int(ramped),
    )


def inputs(n, count, first=7, ramped=False):
    """Steps of three sizes, in fields that stay, jump and rise, as factors do: on trajectories' own fields, and, if
    ramped, on couplings and noise.
    """
    rng = np.random.default_rng(n)
    fields = rng.normal(size=(3, n + kernels.FACTORS))
    fields[:, -2:] = np.abs(fields[:, -2:]) if ramped else 1.0
    rising = np.arange(count) >= count // 2
    share = np.where(rising, np.arange(count) - count // 2, 0) / count
    return kernels.LangevinSteps(
        first,
        np.repeat([0.03, 0.02, 0.025], -(-count // 3))[:count].copy(),
        np.where(rising, 1, 0).astype(np.int64),
        share,
        np.where(rising, share + 1 / count, 0.0),
        fields,
    )


def stepped(
    law,
    steps,
    width,
    *,
    precision="double",
    track=False,
    watch=0,
    period=8,
    far=1.0,
    cache=None,
    tile=None,
    driven=False,
):
    """Take the steps from starts of size ``far``; those of a tile that was stepped before from where it is."""
    n = len(law.mobility)
    if tile is None:
        tile = kernels.new_tile(n, 3, width, max(1, len(steps.sizes)), precision, driven)
        rng = np.random.default_rng(n)
        tile.put("x", far * rng.normal(size=(tile.width, n)))
        if law.scheme == kernels.BAOAB:
            tile.put("w", rng.normal(size=(tile.width, n)))
        if driven:
            tile.put("own", rng.normal(size=(tile.width, n)))
        tile.field[:-2], tile.field[-2:] = 0.3, 1.0
    start = tile.take("x"), tile.take("w")
    room = resident(precision) if cache is None else cache
    kernels.advance[precision](tile, kernels.packed(law, precision), *KEYS, steps, period, watch, track, room)
    return Stepped(law, steps, tile, start)


def all_kinds(sizes, widths, precisions=("double", "single")):
    """Every scheme with and without what it may have: pieces, correlated noise, coarse sums, heat, ghosts."""
    for precision in precisions:
        for n in sizes:
            for scheme in range(4):
                refined = scheme != kernels.LEIMKUHLER_MATTHEWS
                for (k, width), ramped in itertools.product(enumerate(widths), (False, True)):
                    limit = 0.3 if refined and k != 1 else np.inf
                    law = equation(n, scheme, limit=limit, correlated=k % 2 == 1, coarse=1 + k % 3, ramped=ramped)
                    tracked = refined and k % 2 == 0 and not ramped
                    more = {"track": tracked, "watch": 4 * refined, "far": 1 + 2 * refined * (k == 2)}
                    more |= {"precision": precision, "cache": 0 if k == 2 else None}
                    yield stepped(law, inputs(n, 12, first=8, ramped=ramped), width, **more)
