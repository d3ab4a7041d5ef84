"""The compiled loops of Langevin equations: against plain numpy, in every scheme, size and width."""

import itertools

import langevin_tiles as tiles
import numpy as np
import pytest

from spu.base.errors import InternalError, UsageError
from spu.compiler import compile_network
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin
from spu.emulator.runs import langevin_kernels as kernels
from spu.emulator.runs import langevin_run
from spu.emulator.runs.langevin_plain import Plain, fields_of
from spu.problems.network import ThermodynamicNetwork

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
    for width, driven, ramped in zip(
        (1, 15, 16, 17, 33, 130), itertools.cycle((False, True)), itertools.cycle((False, False, True)), strict=False
    ):
        law = tiles.equation(n, SCHEMES[scheme], ramped=ramped)
        made = tiles.stepped(law, tiles.inputs(n, 9, ramped=ramped), width, driven=driven)
        assert_as_plain(made, width)


@pytest.mark.parametrize("n", [1, 3, 13, 31])
@pytest.mark.parametrize("scheme", REFINED)
@pytest.mark.parametrize(
    "kind",
    [
        *("independent", "correlated", "coarse", "tracked", "all panels together", "driven", "driven and tracked"),
        *("ramped", "ramped and driven"),
    ],
)
def test_steps_in_pieces_and_ghosts(kind, scheme, n):
    """From starts so far out that most take pieces, of one level and of many; ghosts that set out with the first."""
    more = {"correlated": kind == "correlated", "coarse": 1 + 2 * (kind == "coarse"), "ramped": "ramped" in kind}
    law = tiles.equation(n, REFINED[scheme], limit=0.4, **more)
    together = {"cache": 0} if kind == "all panels together" else {}
    made = tiles.stepped(
        law,
        tiles.inputs(n, 6, first=8, ramped="ramped" in kind),
        33,
        track="tracked" in kind,
        driven="driven" in kind,
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
@pytest.mark.parametrize(("driven", "ramped"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_same_bits_whatever_the_cuts_and_the_neighbours(scheme, precision, driven, ramped):
    """Steps in one call and in several, trajectories by themselves and among others, all panels together or not."""
    n, steps = 13, tiles.inputs(13, 12, first=8, ramped=ramped)
    refined = scheme in REFINED
    law = tiles.equation(n, SCHEMES[scheme], limit=0.5 if refined else np.inf, ramped=ramped)
    more = {"precision": precision, "far": 3.0 if refined else 1.0, "watch": 4 * refined}
    more |= {"driven": driven, "track": refined and not ramped}
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
    alone, among = (kernels.new_tile(n, 3, width, 12, precision, driven) for width in (1, 130))
    among.x[1:] = 2.5
    for each in (alone, among) if driven else ():
        each.own[0] = np.random.default_rng(1).normal(size=each.own[0].shape)
    a, b = (tiles.stepped(law, steps, 0, tile=each, **more).tile for each in (alone, among))
    assert np.array_equal(a.x[0], b.x[0]) and np.array_equal(a.w[0], b.w[0]) and np.array_equal(a.heat[0], b.heat[0])


@pytest.mark.parametrize("driven", [False, True])
def test_the_first_law_holds(driven):
    """Heat, work and energy at both ends, in whole steps and pieces, fields that rise, with and without own ones."""
    for name, scheme in REFINED.items():
        law = tiles.equation(6, scheme, limit=0.4)
        law = law._replace(stiffness=law.stiffness + law.stiffness.T)
        steps = tiles.inputs(6, 12)
        made = tiles.stepped(law, steps, 20, track=True, far=4.0, driven=driven)
        tile = made.tile
        own = tile.take("own") if driven else 0.0

        def energy(x, w, field, law=law):
            own = (law.cubic * x / 4 + law.quadratic / 3) * x**3 - field * x + 0.5 * law.mass * w**2
            return own.sum(axis=1) + 0.5 * (x * (x @ law.stiffness)).sum(axis=1)

        start = energy(*made.start, 0.3 + 0.3 * own)
        end = energy(tile.take("x"), tile.take("w"), tile.field[:6] + tile.field[6] * own)
        gap = end - start - tile.work.ravel() + tile.heat.ravel()
        assert np.abs(gap).max() < 1e-12 * np.abs(start).max(), name
        assert np.abs(tile.heat).max() > 1


def test_what_is_tallied():
    """Sums of z, the largest share of trajectories beyond 1 at a step, comparisons with ghosts: from plain steps."""
    for scheme in REFINED.values():
        n, count = 5, 4
        law, steps = tiles.equation(n, scheme), tiles.inputs(n, count, first=8)
        steps = steps._replace(sizes=np.full(count, 0.3 if scheme == kernels.BAOAB else 0.05))
        made = tiles.stepped(law, steps, 20, watch=count, far=1.5)
        tile, (start, _) = made.tile, made.start
        z = np.zeros((tile.width, count))
        for trajectory in range(tile.width):
            plain = Plain(law, *tiles.KEYS, tile.trajectory + trajectory)
            x, w = (each[trajectory] for each in made.start)
            for k, h in enumerate(steps.sizes):
                begin, change = fields_of(steps, k, np.zeros(n))
                z[trajectory, k] = plain.z(x, w, plain.force(x, begin + change / 2), change, h)
                x, w = plain.step(x, w, steps.first + k, h, begin, change, ghost=False)
        assert tile.rates.ravel() == pytest.approx(z.sum(axis=1), rel=1e-9)
        share = (z > 1).mean(axis=0).max()
        assert 0 < share < 1 and tile.tally[kernels.MOST_OVER] == share
        x, ghosts = tile.take("x"), tile.ghost.T
        own, mean = x[: len(ghosts)], x.mean(axis=0)
        check = (
            own - ghosts,
            (own - mean) ** 2 - (ghosts - mean) ** 2,
            (own - mean) ** 2,
            (own - start[: len(ghosts)]) ** 2,
        )
        assert np.moveaxis(tile.check, 2, 1) == pytest.approx(np.array(check), rel=1e-9, abs=1e-12)
        assert np.abs(check[0]).max() > 1e-4


# --- single precision ----------------------------------------------------------------------

ROUNDING = 2.0**-24


@pytest.mark.parametrize("n", [1, 2, 5, 13, 31, 70])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_single_precision_follows_double_on_the_same_noise(scheme, n):
    """Whole steps and pieces: ten roundings of the largest coordinate a step, beside it."""
    refined = scheme in REFINED
    for far, limit in ((1.0, np.inf), *([(4.0, 0.45)] if refined else [])):
        ramped = n % 2 == 0
        law = tiles.equation(n, SCHEMES[scheme], limit=limit, correlated=n == 13, coarse=1 + n % 2, ramped=ramped)
        steps = tiles.inputs(n, 9, first=8, ramped=ramped)
        found = {}
        for precision in ("double", "single"):
            made = tiles.stepped(law, steps, 64, precision=precision, far=far, watch=4 * refined, driven=n > 5)
            found[precision] = made
        size = np.abs(found["double"].start[0]).max()
        gap = found["single"].tile.take("x") - found["double"].tile.take("x")
        assert 0 < np.abs(gap).max() < 10 * ROUNDING * size * len(steps.sizes)
        assert found["single"].tile.tally[kernels.REFINED] == found["double"].tile.tally[kernels.REFINED]
        check = np.moveaxis(found["single"].tile.check[:, :, :16] - found["double"].tile.check, 0, -1)
        assert np.abs(check).max() < 100 * ROUNDING * size**2


def network(kind, n=7, **more):
    rng = np.random.default_rng(n)
    J = np.triu(rng.normal(size=(n, n)) / np.sqrt(n), 1)
    made = ThermodynamicNetwork(1.0, 0.1, 1.0, **{"input": rng.normal(size=n), "couplings": J + J.T, "units": n} | more)
    return langevin(lower(compile_network(made, "ideal", architecture=kind).device))


def runs(kind, scheme, steps=400, far=1.0, shrink=1.0, **more):
    """Settings of a run of 130 trajectories by steps that fit."""
    equation = network(kind, **more)
    unit = equation.units
    size = langevin_run.TYPICAL[scheme] / float(
        langevin_run.fastest(equation, langevin_run.linear_rate(equation), 2 * unit).max()
    )
    if scheme == "baoab":
        size = min(size, 0.2 * float((equation.mobility * equation.mass).min()))
    size *= shrink
    grid = langevin_run.Grid.of(
        np.array([3.0, steps]) * size, np.empty(0), lambda at: np.full(len(at), size), scheme in REFINED
    )
    start = far * np.random.default_rng(5).normal(size=(130, equation.n)) * unit
    return equation, {"grid": grid, "trajectories": 130, "seed": 1, "scheme": scheme, "start": start, "threads": 1}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_long_runs_in_single_precision_stay_beside_double(scheme):
    """Circuits in their units, 1e-9 and less; networks forget, so rounding does not add up: 1e-5 of a deviation."""
    equation, settings = runs("rlc-flux" if scheme == "baoab" else "rc-conductance", scheme)
    double, single = (langevin_run.run(equation, precision=each, **settings) for each in ("double", "single"))
    gap = (single.states - double.states) / equation.units
    assert np.abs(gap).max() < 1e-5 * double.states[-1].std(axis=0).max() / equation.units.min()
    assert single.rate == pytest.approx(double.rate, rel=0.05)
    if len(double.check) and double.check.any():
        assert np.abs(single.check[:, 2].mean(axis=0) / double.check[:, 2].mean(axis=0) - 1).max() < 0.5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kT": 0.0}, "x1 has no noise, and single precision"),
        ({"kT": 1e-9}, "single precision rounds x. by .* of what a step's noise does to it"),
        ({"shrink": 1e-10}, "single precision rounds x. by .*: double precision would do, or larger steps"),
    ],
)
def test_single_precision_is_refused_where_noise_is_not_far_above_rounding(more, words):
    equation, settings = runs("rc-conductance", "heun", steps=40, **more)
    with pytest.raises(UsageError, match=words) as caught:
        langevin_run.run(equation, precision="single", **settings)
    assert "\n" not in str(caught.value)
    langevin_run.run(equation, **settings)


def test_heat_is_booked_in_double_precision():
    equation, settings = runs("rc-conductance", "heun", steps=4)
    with pytest.raises(UsageError, match="heat and work are booked in double precision"):
        langevin_run.run(equation, precision="single", track=True, **settings)


@pytest.mark.parametrize("scheme", ["heun", "baoab"])
@pytest.mark.parametrize("name", ["deviation", "stiffness", "cubic", "mobility"])
def test_an_error_in_single_precision_gives_no_result(name, scheme, monkeypatch):
    """A parameter of the loops 5 % off, which plain numpy does not share."""
    equation, settings = runs("rlc-flux" if scheme == "baoab" else "rc-conductance", scheme, steps=8, far=2.0)
    langevin_run.run(equation, precision="single", **settings)
    pack = kernels.packed
    monkeypatch.setattr(
        kernels, "packed", lambda law, *how: pack(law._replace(**{name: 1.05 * getattr(law, name)}), *how)
    )
    with pytest.raises(InternalError, match="plain numpy takes it to"):
        langevin_run.run(equation, precision="single", **settings)
