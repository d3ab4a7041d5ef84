"""The compiled loops of Langevin equations: against plain numpy, in every scheme, size and width."""

import itertools

import langevin_tiles as tiles
import numpy as np
import pytest

from spu.emulator.runs import langevin_kernels as kernels

SCHEMES = {
    "euler-maruyama": kernels.EULER_MARUYAMA,
    "leimkuhler-matthews": kernels.LEIMKUHLER_MATTHEWS,
    "baoab": kernels.BAOAB,
    "heun": kernels.HEUN,
}
REFINED = {name: number for name, number in SCHEMES.items() if name != "leimkuhler-matthews"}


def columns(width):
    return sorted({0, width // 2, min(16, width - 1), width - 1})


def assert_as_plain(made, width, tolerance=1e-11, ghosts=False):
    for trajectory in columns(width):
        x, w = made.plain(trajectory)
        assert made.tile.column("x", trajectory) == pytest.approx(x, rel=tolerance, abs=tolerance)
        assert made.tile.column("w", trajectory) == pytest.approx(w, rel=tolerance, abs=tolerance)
        if ghosts and trajectory < 16:
            x, w = made.plain(trajectory, ghost=True)
            assert made.tile.column("ghost", trajectory) == pytest.approx(x, rel=tolerance, abs=tolerance)
            assert made.tile.column("ghost_w", trajectory) == pytest.approx(w, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("n", [1, 2, 4, 5, 12, 13, 31, 70])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_whole_steps_of_every_size(scheme, n):
    for width in (1, 15, 16, 17, 33, 130):
        made = tiles.stepped(tiles.equation(n, SCHEMES[scheme]), tiles.inputs(n, 9), width)
        assert_as_plain(made, width)


@pytest.mark.parametrize("n", [1, 3, 13, 31])
@pytest.mark.parametrize("scheme", REFINED)
@pytest.mark.parametrize("kind", ["independent", "correlated", "coarse", "tracked", "all panels together"])
def test_steps_in_pieces_and_ghosts(kind, scheme, n):
    """From starts so far out that most take pieces, of one level and of many; ghosts that set out with the first."""
    law = tiles.equation(
        n, REFINED[scheme], limit=0.4, correlated=kind == "correlated", coarse=1 + 2 * (kind == "coarse")
    )
    together = {"cache": 0} if kind == "all panels together" else {}
    made = tiles.stepped(
        law,
        tiles.inputs(n, 6, first=8),
        33,
        track=kind == "tracked",
        watch=7,
        far=30.0 if scheme == "baoab" else 5.0,
        **together,
    )
    tally = made.tile.tally
    assert tally[kernels.REFINED] > 33 and tally[kernels.PIECES] > 3 * tally[kernels.REFINED]
    assert tally[kernels.COMPARED] == 1
    assert_as_plain(made, 33, 1e-9, ghosts=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("precision", ["double", "single"])
def test_the_same_bits_whatever_the_cuts_and_the_neighbours(scheme, precision):
    """Steps in one call and in several, trajectories by themselves and among others, all panels together or not."""
    n, steps = 13, tiles.inputs(13, 12, first=8)
    refined = scheme in REFINED
    law = tiles.equation(n, SCHEMES[scheme], limit=0.5 if refined else np.inf)
    more = {"precision": precision, "far": 3.0 if refined else 1.0, "watch": 4 * refined, "track": refined}
    whole = tiles.stepped(law, steps, 130, **more)
    for other in (tiles.stepped(law, steps, 130, cache=0, **more), tiles.stepped(law, steps, 130, **more)):
        assert all(np.array_equal(a, b) for a, b in zip(whole.results, other.results, strict=True))
    cut = None
    for first, last in itertools.pairwise((0, 1, 6, 12)):
        part = steps._replace(
            first=8 + first,
            **{key: getattr(steps, key)[first:last].copy() for key in ("sizes", "segment", "begin", "end")},
        )
        cut = tiles.stepped(law, part, 130, tile=cut and cut.tile, **more)
    for name in ("x", "w", "heat", "work"):
        assert np.array_equal(getattr(whole.tile, name), getattr(cut.tile, name)), name
    more |= {"watch": 0}
    alone, among = (kernels.new_tile(n, 3, width, 12, precision) for width in (1, 130))
    among.x[1:] = 2.5
    a, b = (tiles.stepped(law, steps, 0, tile=each, **more).tile for each in (alone, among))
    assert np.array_equal(a.x[0], b.x[0]) and np.array_equal(a.w[0], b.w[0]) and np.array_equal(a.heat[0], b.heat[0])


def test_the_first_law_holds():
    """Heat, work and energy at both ends, in whole steps and pieces, fields that rise."""
    for name, scheme in REFINED.items():
        law = tiles.equation(6, scheme, limit=0.4)
        law = law._replace(stiffness=law.stiffness + law.stiffness.T)
        steps = tiles.inputs(6, 12)
        made = tiles.stepped(law, steps, 20, track=True, far=4.0)
        tile = made.tile

        def energy(x, w, field, law=law):
            own = (law.cubic * x / 4 + law.quadratic / 3) * x**3 - field * x + 0.5 * law.mass * w**2
            return own.sum(axis=1) + 0.5 * (x * (x @ law.stiffness)).sum(axis=1)

        start = energy(*made.start, np.full(6, 0.3))
        end = energy(tile.take("x"), tile.take("w"), tile.field)
        gap = end - start - tile.work.ravel() + tile.heat.ravel()
        assert np.abs(gap).max() < 1e-12 * np.abs(start).max(), name
        assert np.abs(tile.heat).max() > 1
