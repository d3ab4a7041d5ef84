"""Do answers lie within their own error bars as often as these say? Random problems of every kind, many runs of each.

    python benchmarks/algebra_calibration.py --runs 300
    python benchmarks/algebra_calibration.py --runs 300 --kinds inverse linear --largest 16

Every run has a problem of its own, of 2 to `--largest` variables (64) and a condition of 1 to `--condition` (1e4), both
drawn evenly in their logarithms, on ideal hardware: one device of one programming. Of each answer **one** entry is
looked at, drawn at random before the run, since entries of one answer depend on one another. What is held against
chance, of each kind:

- the shares of entries within one and within two standard errors, against 68.27 % and 95.45 %, by the exact binomial
  law (printed with the interval of Clopper and Pearson);
- the p-values ``erfc(|z| / sqrt 2)``, against the uniform law, by Kolmogorov and Smirnov;
- the squared distance of the whole answer from the exact one, over the square of the stated relative error, whose mean
  is 1: printed with its standard error, and judged at 5 of these, as its law has a tail. Of determinants it is that
  of the one number.

Of optimisation it is the interval of the probability of success: one of 95 % from `--few` runs, against the share of 29
times as many others. It is exact, and so holds the truth 95 % of times or more: only too few are held against it.

Errors are those of averages over hundreds of correlated readouts. They are normal to a few per cent of a standard error
where the answer is a covariance: what that does to the shares is below 0.5 %, and is seen from some 10,000 runs on.

Exit status 1 where anything lies outside of chance: one false alarm in ``1 / --level`` runs of this command (1,000), as
the level is shared out among all tests (Bonferroni).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import erfc
from scipy.stats import beta, binom, kstest, ortho_group

import spu
from spu.base.arrays import FloatArray
from spu.studies.annealing import interval_of

ERROR = 0.05
"""Relative error that is asked for: enough readouts for errors that are nearly normal."""

FAR = 5.0
"""Standard errors at which a mean squared error is judged."""

GROUPS = 30
"""Of runs of one optimisation problem, each of which gives an interval."""

WITHIN = {1: 0.6826894921370859, 2: 0.9544997361036416}


@dataclass(frozen=True)
class Outcome:
    """One run: the error of one entry in its standard errors, and the squared error over the stated one's, if any."""

    z: float
    ratio: float | None = None


@dataclass(frozen=True)
class Draw:
    """What is random of a problem."""

    rng: np.random.Generator
    n: int
    condition: float
    seed: int

    def definite(self, condition: float | None = None) -> FloatArray:
        """A symmetric positive definite (n, n) matrix of this condition, in random directions."""
        values = self.values(self.condition if condition is None else condition)
        Q = self.rotation()
        A = (Q * values) @ Q.T
        return 0.5 * (A + A.T)

    def rotation(self) -> FloatArray:
        """A random orthogonal matrix."""
        return np.asarray(ortho_group.rvs(self.n, random_state=self.rng)) if self.n > 1 else np.ones((1, 1))

    def values(self, condition: float) -> FloatArray:
        """Numbers (n,) up to 1 whose ratio is at most this, evenly in their logarithms; both ends are there."""
        logs = np.append(self.rng.random(max(self.n - 2, 0)), [0.0, 1.0])[: self.n]
        return np.exp(-np.log(condition) * np.sort(logs))

    def vector(self) -> FloatArray:
        """(n,) standard normals."""
        return self.rng.standard_normal(self.n)


def outcome(found: object, stated: object, exact: object, draw: Draw, relative: float | None = None) -> Outcome | None:
    """One entry of an answer; None where no entry has noise."""
    a, s, e = (np.atleast_1d(np.asarray(each, dtype=float)).ravel() for each in (found, stated, exact))
    noisy = np.flatnonzero(s > 0)
    if not len(noisy):
        return None
    k = int(draw.rng.choice(noisy))
    ratio = None if relative is None else float((np.linalg.norm(a - e) / np.linalg.norm(e) / relative) ** 2)
    return Outcome(float((a[k] - e[k]) / s[k]), ratio)


def answered(problem: spu.Problem, draw: Draw, error: float = ERROR) -> Outcome | None:
    """By the one-line command of any linear problem."""
    found = spu.answer(problem, error=error, seed=draw.seed, compare=True, threads=1)
    return outcome(found.answer, found.standard_error, found.exact, draw, found.relative_error)


def gaussian(draw: Draw) -> Outcome | None:
    """A Gaussian of given covariance and mean: its covariance."""
    return answered(spu.GaussianSampling(covariance=draw.definite(), mean=draw.vector()), draw)


def inverse(draw: Draw) -> Outcome | None:
    """The inverse of a positive definite matrix."""
    return answered(spu.MatrixInverse(draw.definite()), draw)


def linear(draw: Draw) -> Outcome | None:
    """A positive definite system."""
    return answered(spu.LinearSystem(draw.definite(), draw.vector()), draw)


def held(draw: Draw) -> dict[str, float]:
    """Some of the variables, not all, at random values."""
    count = int(draw.rng.integers(1, max(draw.n, 2)))
    which = draw.rng.permutation(draw.n)[: min(count, draw.n - 1)]
    return {f"x{k + 1}": float(draw.rng.normal()) for k in which}


def conditional(draw: Draw) -> Outcome | None:
    """A Gaussian some of whose variables are held."""
    return answered(spu.ConditionalGaussian(precision=draw.definite(), held=held(draw)), draw)


def conditional_linear(draw: Draw) -> Outcome | None:
    """A positive definite system some of whose unknowns are prescribed."""
    return answered(spu.ConditionalSystem(draw.definite(), draw.vector(), held=held(draw)), draw)


def lyapunov(draw: Draw) -> Outcome | None:
    """A P + P A^T = Q, neither symmetric nor of full rank."""
    S, K = draw.definite(), draw.rng.standard_normal((draw.n, draw.n))
    A = S + draw.rng.exponential() * (K - K.T) / draw.n
    B = draw.rng.standard_normal((draw.n, int(draw.rng.integers(1, draw.n + 1))))
    return answered(spu.LyapunovEquation(A, B @ B.T), draw)


def general(draw: Draw) -> Outcome | None:
    """A square system that is neither symmetric nor definite."""
    A = draw.rotation() * draw.values(draw.condition) @ draw.rotation()
    return answered(spu.GeneralSystem(A, draw.vector()), draw)


def least_squares(draw: Draw) -> Outcome | None:
    """Twice as many equations as unknowns; the condition of the normal equations is the square."""
    left = np.linalg.qr(draw.rng.standard_normal((2 * draw.n, draw.n)))[0]
    A = left * draw.values(np.sqrt(draw.condition)) @ draw.rotation()
    return answered(spu.LeastSquares(A, draw.rng.standard_normal(2 * draw.n)), draw)


def exponential(draw: Draw) -> Outcome | None:
    """exp(A t) of a matrix that is not normal, with t of the order of its slowest time or less."""
    S, K = draw.definite(min(draw.condition, 30.0)), draw.rng.standard_normal((draw.n, draw.n))
    A = -S + 0.5 * K / np.sqrt(draw.n)
    problem = spu.MatrixExponential(A, float(np.exp(draw.rng.uniform(np.log(0.1), np.log(1.0)))))
    return answered(problem, draw, 4 * ERROR)  # its readouts go as n over the square of the error


def determinant(draw: Draw) -> Outcome | None:
    """Log det A, by Bennett's estimate along ramps; its bar is the only one there is."""
    device = spu.compile(spu.Determinant(draw.definite()))
    found = spu.log_determinant(device, 400, seed=draw.seed)
    return outcome(found.log_determinant, found.standard_error, found.exact, draw)


KINDS: dict[str, Callable[[Draw], Outcome | None]] = {
    "gaussian": gaussian,
    "inverse": inverse,
    "linear": linear,
    "conditional": conditional,
    "conditional-linear": conditional_linear,
    "lyapunov": lyapunov,
    "exponential": exponential,
    "general-linear": general,
    "least-squares": least_squares,
    "determinant": determinant,
}
"""What draws a problem of a kind and answers it; a new kind is one entry."""


@dataclass
class Judged:
    """A kind's outcomes against chance: p-values of tests by name, and what is printed of it."""

    tests: dict[str, float] = field(default_factory=dict)
    far: bool = False
    line: str = ""


def exact_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's."""
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    return low, 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))


def judge(outcomes: list[Outcome]) -> Judged:
    """Shares, p-values and squares of the outcomes of one kind."""
    z = np.array([each.z for each in outcomes])
    found, parts = Judged(), [f"{len(z):5d}"]
    for sigmas, share in WITHIN.items():
        inside = int((np.abs(z) < sigmas).sum())
        low, high = exact_interval(inside, len(z))
        found.tests[f"within {sigmas}"] = float(
            min(1.0, 2 * min(binom.cdf(inside, len(z), share), binom.sf(inside - 1, len(z), share)))
        )
        parts.append(f"{100 * inside / len(z):6.1f} % ({100 * low:4.1f} to {100 * high:5.1f})")
    found.tests["uniform"] = float(kstest(erfc(np.abs(z) / np.sqrt(2)), "uniform").pvalue)
    parts.append(f"{found.tests['uniform']:9.2g}")
    squares = np.array([each.ratio for each in outcomes if each.ratio is not None])
    if len(squares) > 1:
        error = float(squares.std(ddof=1) / np.sqrt(len(squares)))
        found.far = abs(float(squares.mean()) - 1.0) > FAR * error
        parts.append(f"{squares.mean():7.3f} +- {error:.3f}")
    found.line = "  ".join(parts)
    return found


def optimisation(runs: int, few: int, seed: int, largest: int) -> Judged:
    """Intervals of the probability of success of Ising problems, by `few` runs each, against all others of a device."""
    inside = total = 0
    for number in range(-(-runs // GROUPS)):
        rng = np.random.default_rng([seed, number, 77])
        n = int(rng.integers(2, min(largest, 8) + 1))
        J = np.triu(rng.choice([-1.0, 1.0], size=(n, n)), 1)
        found = spu.anneal(spu.Ising(J + J.T, h=rng.normal(size=n)), runs=GROUPS * few, seed=seed + number, threads=1)
        assert found.reference is not None and found.successes is not None
        there = found.costs <= found.reference + 1e-9 * abs(found.reference)
        assert there.sum() == found.successes
        for group in there.reshape(GROUPS, few).sum(axis=1).tolist():
            low, high = interval_of(group, few)
            inside += low <= (found.successes - group) / ((GROUPS - 1) * few) <= high
            total += 1
    low, high = exact_interval(inside, total)
    judged = Judged({"within interval": float(binom.cdf(inside, total, 0.95))})
    judged.line = (
        f"{total:5d}  {100 * inside / total:6.1f} % of intervals of 95 % ({100 * low:4.1f} to {100 * high:5.1f})"
    )
    return judged


def draws(name: str, runs: int, seed: int, largest: int, condition: float) -> list[Draw]:
    """The problems of a kind."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run, *name.encode()])
        n = int(np.exp(rng.uniform(np.log(2), np.log(largest + 1))))
        found.append(Draw(rng, min(n, largest), float(np.exp(rng.uniform(0.0, np.log(condition)))), seed + run))
    return found


def main(given: list[str] | None = None) -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "ising"], default=[*KINDS, "ising"])
    parser.add_argument("--largest", type=int, default=64, help="variables")
    parser.add_argument("--condition", type=float, default=1e4, help="at most")
    parser.add_argument("--few", type=int, default=20, help="runs of an interval of a probability of success")
    parser.add_argument("--level", type=float, default=1e-3, help="chance of a false alarm of the whole command")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(given)
    print("kind                 runs    within 1 error (95 %)     within 2 errors (95 %)   uniform  squares, stated 1")
    judged: dict[str, Judged] = {}
    for name in asked.kinds:
        started = time.perf_counter()
        if name == "ising":
            found = optimisation(asked.runs, asked.few, asked.seed, asked.largest)
        else:
            problems = draws(name, asked.runs, asked.seed, asked.largest, asked.condition)
            found = judge([each for each in map(KINDS[name], problems) if each is not None])
        judged[name] = found
        print(f"{name:18s} {found.line}  {time.perf_counter() - started:6.0f} s", flush=True)
    count = sum(len(each.tests) for each in judged.values())
    wrong = [
        f"{name}: {test} (p = {p:.1e})"
        for name, each in judged.items()
        for test, p in each.tests.items()
        if p < asked.level / count
    ]
    wrong += [f"{name}: squared errors are not as stated" for name, each in judged.items() if each.far]
    print(f"{count} tests at {asked.level / count:.1e} each: {'; '.join(wrong) or 'all within chance'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
