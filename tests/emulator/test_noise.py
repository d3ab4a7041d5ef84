"""The random numbers: published answers, an independent generator, and the statistics of what comes out.

Statistical assertions raise at most `RATE` = 1e-10 false alarms each, and there are fewer than 1000 of
them (a matrix of correlations counts its entries), so that this file raises below 1e-7. Bounds are exact
where that is possible: Poisson and chi-square tails, the inequality of Dvoretzky, Kiefer, Wolfowitz and
Massart for distributions, Bernstein's for means of bounded numbers. Correlations over N = 2^20 are taken
as Gaussian; products of squares of normals, the most skewed ones, have a skewness of 8 / 2^10 there, so
bounds on them are those of 8 sigma (1.2e-15 for a Gaussian), and 8 sigma are a correlation of 0.8 %.
Seeds are fixed and were not chosen.
"""

import cmath
import math

import numpy as np
import pytest
from helpers import near
from scipy import special, stats

from spu.emulator.runs import noise
from spu.emulator.runs.noise import BLOCK, REPLAY, SAMPLES, fill_normals, key_of, normals, philox4x32

RATE = 1e-10
SIGMAS = 8.0
MASK = 2**32 - 1

WIDTH = 256
"""Columns whose bits are drawn at once."""


def filled(key, steps, trajectories, rows: int, first_block: int = 0) -> np.ndarray:
    """`fill_normals` with everything it needs; starts from NaN, so that what is left out shows."""
    out = np.full((rows, len(steps)), np.nan)
    columns = np.asarray(steps, dtype=np.uint64), np.asarray(trajectories, dtype=np.uint64)
    fill_normals(out, np.uint64(first_block), key, *columns)
    return out


# Philox


def philox_by_hand(counter, key) -> tuple[int, int, int, int]:
    """Salmon et al. (2011), section 3.3, in Python's own integers."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * x2, 2**32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return x0, x1, x2, x3


def philox(counter, key) -> tuple[int, ...]:
    found = np.zeros(4, dtype=np.uint64)
    philox4x32(np.array(counter, dtype=np.uint64), np.array(key, dtype=np.uint64), found)
    return tuple(int(word) for word in found)


# The known-answer file of Random123 (kat_vectors), philox4x32 with 10 rounds.
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_published_answers(counter, key, words):
    assert philox(counter, key) == words
    assert philox_by_hand(counter, key) == words


def test_philox_of_random_counters():
    draw = np.random.default_rng(1)
    for _ in range(500):
        counter, key = draw.integers(0, 2**32, 4).tolist(), draw.integers(0, 2**32, 2).tolist()
        assert philox(counter, key) == philox_by_hand(counter, key)


# Box-Muller


def box_muller_by_hand(word: int) -> tuple[float, float]:
    """Two normals by the documented use of bits, with the functions of the C library.

    40 bits and a half of radius, 22 bits and a half of angle within a quadrant, one bit that mirrors it
    at the diagonal, one that turns it by half a turn.
    """
    u = ((word >> 24) + 0.5) / 2**40
    angle = (((word >> 2) % 2**22 + 0.5) / 2**22 - 0.5) * math.pi / 2
    if word & 1:
        angle = math.pi / 2 - angle
    if word & 2:
        angle += math.pi
    # Sine and cosine of the angle as given: that of pi/2 - x by a table, for relative errors next to zeros.
    radius = math.sqrt(-2.0 * (math.log1p(u - 1.0) if u > 0.5 else math.log(u)))
    pair = cmath.rect(radius, angle)
    return pair.real, pair.imag


def box_muller(words) -> np.ndarray:
    words = np.asarray(words, dtype=np.uint64)
    out = np.full((2, len(words)), np.nan)
    noise.normal_pairs(words, out[0], out[1])
    return out


def extreme_words() -> list[int]:
    """Ends of every field, each in all quadrants: all ones, none, and what lies beside sqrt(1/2) and 1."""
    radii = [0, 1, 2, 2**39, 2**39 - 1, 2**40 - 1, 2**40 - 2]
    radii += [int(2**40 * math.sqrt(0.5) * 2.0**-k) + d for k in range(40) for d in (-1, 0, 1)]
    radii += [2**k for k in range(40)]
    angles = [0, 1, 2**21 - 1, 2**21, 2**22 - 2, 2**22 - 1]
    found = [(r % 2**40) << 24 | a << 2 | q for r in radii for a in angles for q in range(4)]
    return [0, 2**64 - 1, *found]


def test_box_muller_against_the_library():
    draw = np.random.default_rng(2)
    words = extreme_words() + draw.integers(0, 2**64, 20_000, dtype=np.uint64).tolist()
    found = box_muller(words)
    assert np.isfinite(found).all()
    expected = np.array([box_muller_by_hand(word) for word in words]).T
    radius = np.hypot(*expected)
    assert (np.abs(found - expected) / radius).max() < 1e-13
    # All four quadrants of the plane, and all eight octants.
    octant = np.floor(np.arctan2(found[1], found[0]) / (np.pi / 4)).astype(int)
    assert set(octant.tolist()) == set(range(-4, 4))


def test_the_ends_of_the_radius():
    """The largest radius is that of u = 2^-41, 7.54; the smallest that of 1 - 2^-41."""
    smallest, largest = np.hypot(*box_muller([2**64 - 1, 0]))
    assert largest == near(math.sqrt(2 * 41 * math.log(2)), rel=1e-13)
    assert smallest == near(math.sqrt(-2 * math.log1p(-(2.0**-41))), rel=1e-12)


def test_opposite_words_cancel():
    """Over any box of angles the mean of both normals is zero to rounding: the four quadrants mirror one another."""
    base = 12345 << 24
    words = [base | angle << 2 | quadrant for angle in range(4096) for quadrant in range(4)]
    assert np.abs(box_muller(words).mean(axis=1)).max() < 1e-14


# Addresses


def normal_by_hand(key, component: int, step: int, trajectory: int) -> float:
    words = philox_by_hand((component // 4, trajectory, step & MASK, step >> 32), key)
    word = words[0] << 32 | words[1] if component % 4 < 2 else words[2] << 32 | words[3]
    return box_muller_by_hand(word)[component % 2]


def test_every_normal_is_where_the_documentation_says():
    """Components in blocks of four, trajectory, step of 64 bits: each against the generator by hand."""
    draw = np.random.default_rng(3)
    steps = [0, 1, 2, 255, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**63, 2**64 - 1]
    trajectories = [0, 1, 99_999, 2**32 - 1]
    steps, trajectories = (each.ravel() for each in np.meshgrid(np.array(steps, dtype=np.uint64), trajectories))
    key = draw.integers(0, 2**32, 2, dtype=np.uint64)
    plain = tuple(int(word) for word in key)
    for first_block in (0, 3, 2**20):
        found = filled(key, steps, trajectories, 8, first_block)
        expected = [
            [
                normal_by_hand(plain, 4 * first_block + row, int(k), int(t))
                for k, t in zip(steps, trajectories, strict=True)
            ]
            for row in range(8)
        ]
        assert np.abs(found - np.array(expected)).max() < 1e-12
    # No two of them are alike.
    everything = filled(key, steps, trajectories, 64)
    assert len(np.unique(everything)) == everything.size


def test_normals_is_the_same_noise():
    """`normals` numbers steps from 0 and components from 0, for any width."""
    for width in (1, 2, 3, 4, 5, 9):
        found = normals(17, 6, width, purpose=REPLAY, trajectory=5)
        assert found.shape == (6, width)
        key = tuple(int(word) for word in key_of(17, REPLAY))
        expected = [[normal_by_hand(key, c, k, 5) for c in range(width)] for k in range(6)]
        assert np.abs(found - np.array(expected)).max() < 1e-12


def test_the_noise_of_a_seed_stays_what_it_is():
    """A change of the key is a change of every result ever published with a seed: it must not happen unseen."""
    assert key_of(0).tolist() == [3757552657, 2018376492]
    assert SAMPLES == 0 and REPLAY == 2


def test_keys_of_seeds_and_purposes_differ():
    seeds = [0, 1, 2, 3, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64, 2**128, 2**200, 2**200 + 1, 2**200 + 2**199]
    keys = {tuple(key_of(seed, purpose).tolist()) for seed in seeds for purpose in range(4)}
    assert len(keys) == 4 * len(seeds)
    assert all(0 <= word <= MASK for key in keys for word in key)
    assert np.array_equal(key_of(2**200), key_of(2**200))


@pytest.mark.parametrize("n", [1, 2, 3, 5, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH + 7, 1000])
def test_bits_do_not_depend_on_the_batch(n):
    """Any columns in any order, any number of rows, from any block on: the bits of the whole."""
    draw = np.random.default_rng(n)
    size = 1500
    steps = draw.integers(0, 2**64, size, dtype=np.uint64)
    trajectories = draw.integers(0, 2**32, size, dtype=np.uint64)
    key = key_of(2**200 + n)
    whole = filled(key, steps, trajectories, 6 * BLOCK)
    some = draw.permutation(size)[:n]
    assert np.array_equal(filled(key, steps[some], trajectories[some], 6 * BLOCK), whole[:, some])
    part = filled(key, steps[some], trajectories[some], 2 * BLOCK, 3)
    assert np.array_equal(part, whole[3 * BLOCK : 5 * BLOCK, some])
    # The same into rows of a larger array, as kernels pass them.
    out = np.full((3 * BLOCK, n), np.nan)
    fill_normals(out[BLOCK : 2 * BLOCK], np.uint64(2), key, steps[some], trajectories[some])
    assert np.array_equal(out[BLOCK : 2 * BLOCK], whole[2 * BLOCK : 3 * BLOCK, some])
    assert np.isnan(out[:BLOCK]).all() and np.isnan(out[2 * BLOCK :]).all()


# The distribution


def streamed(seed: int, rows: int, columns: int, blocks: int):
    """``blocks`` arrays (rows, columns) of one trajectory, one set of components after another."""
    steps, trajectories = np.arange(columns, dtype=np.uint64), np.zeros(columns, dtype=np.uint64)
    out = np.empty((rows, columns))
    for block in range(blocks):
        fill_normals(out, np.uint64(block * (rows // BLOCK)), key_of(seed), steps, trajectories)
        yield out


def bernstein(variance: float, bound: float, n: int) -> float:
    """What the mean of n independent numbers within +-bound exceeds with a probability below `RATE`, either way."""
    log = math.log(2 / RATE)
    return math.sqrt(2 * variance * log / n) + 2 * bound * log / (3 * n)


def test_tails():
    """Counts beyond 3, 4, 5 and 6 sigma among 4e8, against exact Poisson tails.

    Expected are 1.08e6, 2.5e4, 229 and 0.8: a tail at 3 sigma off by 0.7 %, at 4 by 4.3 % and at 5 by 50 % shows,
    and so would 12 beyond 6 sigma. That there are enough there is shown without statistics, by
    `test_box_muller_against_the_library`: the radius is a function of 40 bits that reaches 7.5.
    """
    rows, columns, blocks = 16, 1 << 14, 1526
    n = rows * columns * blocks
    beyond = {3: 0, 4: 0, 5: 0, 6: 0}
    above = 0
    size = np.empty((rows, columns))
    for out in streamed(5, rows, columns, blocks):
        far = out[np.abs(out, out=size) > 3]
        above += np.count_nonzero(far > 0)
        far = np.abs(far)
        for level in beyond:
            beyond[level] += np.count_nonzero(far > level)
    for level, found in beyond.items():
        law = stats.poisson(n * special.erfc(level / math.sqrt(2)))
        assert law.cdf(found) > RATE / 2 and law.sf(found - 1) > RATE / 2, (level, found, law.mean())
    both = beyond[3]
    assert stats.binomtest(above, both).pvalue > RATE  # as many on either side, to 0.6 %
    # What this would catch.
    for level, off in ((3, 0.007), (4, 0.043), (5, 0.5)):
        mean = n * special.erfc(level / math.sqrt(2))
        assert stats.poisson(mean).isf(RATE / 2) < mean * (1 + off)


def test_moments_to_order_12():
    """Of 2^25 normals within 5 sigma (beyond are `test_tails`): Bernstein's inequality, exact for bounded numbers.

    It would catch a mean of 0.0012, a variance off by 0.2 %, a fourth moment off by 0.41 %, a twelfth by 7 %.
    """
    rows, columns, blocks = 16, 1 << 14, 128
    n = rows * columns * blocks
    sums = np.zeros(13)
    for out in streamed(6, rows, columns, blocks):
        x = np.where(np.abs(out) <= 5, out, 0.0)
        power = x.copy()
        for order in range(1, 13):
            sums[order] += power.sum()
            power *= x
    expected = {m: special.gammainc((m + 1) / 2, 12.5) * special.factorial2(m - 1) for m in range(2, 25, 2)}
    for order in range(1, 13):
        exact = expected.get(order, 0.0)
        allowed = bernstein(expected[2 * order] - exact**2, 2 * 5.0**order, n)
        assert abs(sums[order] / n - exact) < allowed, order
        if order in (1, 2, 4, 12):
            assert allowed < {1: 0.0012, 2: 0.002, 4: 0.0041 * 3, 12: 0.07 * 10395}[order]


def test_the_distribution_function():
    """Kolmogorov-Smirnov over 2^22 (bound of Massart, exact for every N), and chi-square over 4096 equal cells.

    The first sees a distribution function off by 0.0017 anywhere, the second a density that ripples by 2.6 %
    (rms) from cell to cell.
    """
    out = np.concatenate([block.flatten() for block in streamed(7, 16, 1 << 14, 16)])
    n = len(out)
    cdf = np.sort(special.ndtr(out))
    ranks = np.arange(n + 1) / n
    distance = max((ranks[1:] - cdf).max(), (cdf - ranks[:-1]).max())
    allowed = math.sqrt(math.log(2 / RATE) / (2 * n))
    assert distance < allowed < 0.0017
    cells = 4096
    counts = np.bincount((cdf * cells).astype(int), minlength=cells)
    chi = ((counts - n / cells) ** 2).sum() / (n / cells)
    assert stats.chi2(cells - 1).sf(chi) > RATE and stats.chi2(cells - 1).cdf(chi) > RATE
    assert stats.chi2(cells - 1).isf(RATE) - cells < n * 0.026**2 / 4


# Independence


N = 1 << 20


def numbers(seed=8, *, rows=8, step=0, trajectory=0, purpose=SAMPLES, along="steps") -> np.ndarray:
    """(rows, N) components, along steps or along trajectories, from the given ones on."""
    count = np.arange(N, dtype=np.uint64)
    if along == "steps":
        return filled(key_of(seed, purpose), count + np.uint64(step), np.full(N, trajectory), rows)
    return filled(key_of(seed, purpose), np.full(N, step), count + np.uint64(trajectory), rows)


def worst_correlation(a: np.ndarray, b: np.ndarray, same: bool = False) -> float:
    """The largest correlation, in sigma, of any row of a with any of b: of values, squares, and both mixed.

    ``same``: b is a, and nothing is asked of a row with itself.
    """
    sigmas = np.zeros((3 * len(a), 3 * len(b)))
    size = 1 << 14  # stays in the cache
    for begin in range(0, a.shape[1], size):
        parts = [x[:, begin : begin + size] for x in (a, b)]
        both = [np.concatenate([x, (x * x - 1) * math.sqrt(0.5), np.sign(x)]) for x in parts]
        sigmas += both[0] @ both[1].T
    sigmas = np.abs(sigmas) / math.sqrt(a.shape[1])
    if same:
        n = len(a)
        index = np.arange(3 * n)
        sigmas[(index[:, None] % n) == (index % n)] = 0.0
    return float(sigmas.max())


def test_components_do_not_correlate():
    """28 pairs of 8 components, two of which share each Box-Muller word, and four each counter."""
    for along in ("steps", "trajectories"):
        x = numbers(along=along)
        assert worst_correlation(x, x, same=True) < SIGMAS
        own = (x**2).mean(axis=1)
        assert np.abs(own - 1).max() < SIGMAS * math.sqrt(2 / N)  # what the bounds above are in units of


@pytest.mark.parametrize(
    "other",
    [
        *({"step": k} for k in (1, 2, 3, 4, 64, WIDTH, 2**32)),
        *({"trajectory": t} for t in (1, 2, 64, WIDTH, 2**31)),
        *({"seed": s} for s in (9, 8 + 2**32, 8 + 2**64, 2**200)),
        {"purpose": REPLAY},
    ],
    ids=str,
)
def test_neighbours_do_not_correlate(other):
    """Steps, trajectories, seeds and purposes: 8 components with 8, values, squares and signs."""
    assert worst_correlation(numbers(), numbers(**other)) < SIGMAS


def test_step_and_trajectory_are_no_sum():
    """(step, trajectory) = (k, t + 1) is neither (k + 1, t) nor anything that correlates with it."""
    a, b = numbers(step=1), numbers(trajectory=1)
    assert not np.any(a == b)
    assert worst_correlation(a, b) < SIGMAS


def test_a_pair_of_box_muller():
    """Radius and angle: independent of one another, the one exponential and the other uniform.

    The angle, folded any number of times up to 64, must have no harmonic (a fold is how the quadrants are
    made), with any weight of the radius.
    """
    for rows in ((0, 1), (2, 3)):
        x, y = numbers(rows=4)[list(rows)]
        square = x**2 + y**2
        share = np.exp(-square / 2)  # uniform
        assert abs(share.mean() - 0.5) < bernstein(1 / 12, 0.5, N)
        assert np.abs(np.sort(share) - (np.arange(N) + 0.5) / N).max() < math.sqrt(math.log(2 / RATE) / (2 * N)) + 1 / N
        turn = (x + 1j * y) / np.sqrt(square)
        powers = turn.copy()
        for fold in range(1, 65):
            for weight in (1.0, math.sqrt(12) * (share - 0.5)):
                found = np.mean(powers * weight)
                assert max(abs(found.real), abs(found.imag)) < bernstein(0.5, math.sqrt(3), N), fold
            powers *= turn


def chi_square(a: np.ndarray, b: np.ndarray, cells: int = 32) -> float:
    """Chi-square of pairs on a grid of equal cells, cells^2 - 1 degrees of freedom."""
    i, j = ((special.ndtr(x.ravel()) * cells).astype(int) for x in (a, b))
    counts = np.bincount(i * cells + j, minlength=cells**2)
    return float(((counts - i.size / cells**2) ** 2).sum() / (i.size / cells**2))


def test_neighbours_fill_the_plane():
    """Pairs on a grid of 32 x 32: of a Box-Muller, across one, across counters, steps, trajectories.

    2^21 pairs: cells that are off by 1.4 % (rms) show.
    """
    x = numbers(rows=8)[:, : N // 2]
    later, beside = numbers(rows=8, step=1)[:, : N // 2], numbers(rows=8, trajectory=1)[:, : N // 2]
    pairs = {
        "pair": (x[::2], x[1::2]),
        "halves": (x[[0, 1, 4, 5]], x[[2, 3, 6, 7]]),
        "counters": (x[:4], x[4:]),
        "steps": (x[:4], later[:4]),
        "trajectories": (x[:4], beside[:4]),
    }
    law = stats.chi2(32**2 - 1)
    for name, (a, b) in pairs.items():
        found = chi_square(a, b)
        assert law.sf(found) > RATE and law.cdf(found) > RATE, name
    assert law.isf(RATE) - 32**2 < 2**21 * 0.014**2


def test_serial_correlation():
    """Along time, up to 4096 steps apart, of values and of squares: 8 transforms, 32768 correlations.

    Each is Gaussian to 8 / 2^10 (see above): 9 sigma, which is 2e-19, leaves room for all of them.
    """
    x = numbers(rows=4)
    worst = 0.0
    for values in (x, (x**2 - 1) / math.sqrt(2)):
        spectrum = np.abs(np.fft.rfft(values, 2 * N, axis=1)) ** 2
        correlation = np.fft.irfft(spectrum, axis=1)[:, 1:4097] / np.sqrt(N)
        worst = max(worst, float(np.abs(correlation).max()))
    assert 3.0 < worst < 9.0


def test_normals_in_floats_are_those_of_doubles_on_the_same_bits():
    """To 4e-7 of themselves: also the smallest and the largest radii, and angles at the edges; and as far out."""
    rng = np.random.default_rng(6)
    words = rng.integers(0, 2**64, size=300_000, dtype=np.uint64)
    low = np.uint64(0xFFFFFF)
    for k in range(41):  # radii of ever smaller u, and of ever smaller 1 - u
        few = words[2000 * k : 2000 * k + 1000]
        few[:] = few >> np.uint64(k) & ~low | few & low
        words[2000 * k + 1000 : 2000 * k + 2000] = ~few
    words[-8:] = [0, 1, 2, 3, ~np.uint64(0), low, low - np.uint64(3), ~low]
    double, single = np.empty((2, len(words))), np.empty((2, len(words)), dtype=np.float32)
    noise.normal_pairs(words, *double)
    noise.normal_pairs_in_floats(words, *single)
    assert np.abs(single / double - 1).max() < 4e-7
    assert np.abs(single).max() > 7.5
