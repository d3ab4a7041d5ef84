"""Is each sampler right? Computed before any speed is told: a figure of a sampler that is wrong counts as zero."""

from __future__ import annotations

import hashlib
from typing import Any

import adapter
import numpy as np
from harness import WORST, Check, Session, blas_threads
from networks import NumpyNetwork, Own
from numpy.typing import NDArray
from peers import BIAS, Diffrax, NumpyEuler, NumpyExact, Problem, Thermox, bias, missing, problem_of
from problems import alike_rc, cell_law, grid_precision, scattered

import spu
from spu.emulator.laws.estimate import trajectory_error
from spu.emulator.laws.stationary import Stationary

FloatArray = NDArray[np.float64]

FINE = 32
"""Readouts in the slowest time constant of the common problem: about six in a period of its oscillation."""


def common_problem() -> tuple[Stationary, float, Problem]:
    """The 8 lossy cells that all trajectory samplers run: law, interval (s), and the same as plain matrices."""
    law = cell_law(scattered(8, lossy=True))
    interval = float(law.time_constants[0]) / FINE
    return law, interval, problem_of(law, interval)


def deviations(
    law: Stationary, estimate: FloatArray, exact: FloatArray, *, steps: int, interval: float, count: int
) -> tuple[float, float, float]:
    """Root mean square and largest |estimate - exact| in standard errors, and the effective samples.

    ``estimate`` and ``exact`` are (p, p); the mean is known to be zero. Entries of the upper triangle.
    """
    error = trajectory_error(law, steps=steps, interval=interval, count=count)
    upper = np.triu_indices(len(exact))
    with np.errstate(all="ignore"):
        z = np.abs(estimate - exact)[upper] / np.sqrt(error.covariance_variance[upper])
        return float(np.sqrt((z**2).mean())), float(z.max()), error.effective_samples


def _second_moment(readouts: FloatArray) -> FloatArray:
    flat = readouts.reshape(-1, readouts.shape[-1])
    with np.errstate(all="ignore"):
        return np.asarray(flat.T @ flat / len(flat))


def _judge(session: Session, right: bool, sampler: str, what: str) -> str:
    if right:
        return "right"
    if sampler == "spu":
        session.wrong.append(what)
    return "WRONG"


def project_covariance(session: Session, cells: int, *, steps: int, count: int) -> None:
    """A long run of the project against the Lyapunov solution."""
    law = cell_law(scattered(cells))
    interval = float(law.time_constants[0]) / 4
    found = adapter.sampler(law, interval).moments(steps=steps, count=count, seed=1, threads=session.threads)
    exact = law.voltage_covariance
    estimate = found.covariance + np.outer(found.mean, found.mean)
    mean, worst, effective = deviations(law, estimate, exact, steps=steps, interval=interval, count=count)
    what = f"covariance, d = {2 * cells}"
    settings = f"{count} trajectories of {steps} readouts, a quarter of the slowest time constant apart"
    verdict = _judge(session, worst <= WORST, "spu", what)
    session.checks.append(Check("spu", adapter.VERSION, settings, what, verdict, None, mean, worst, effective))


def project_modal(session: Session) -> None:
    """The modal path of a nominal SPU against its exact law, where the project has one."""
    what = "covariance, modal path, 48 nominal cells"
    device = spu.compile(spu.GaussianSampling(precision=grid_precision(6, 8)), hardware="ideal")
    law, steps, count = adapter.law_of(device), session.pick(2000, 50), session.pick(256, 16)
    interval = float(law.time_constants[0]) / 4
    found = adapter.modal_sampler(device, interval).moments(steps=steps, count=count, seed=5, threads=session.threads)
    estimate = found.covariance + np.outer(found.mean, found.mean)
    size = {"steps": steps, "interval": interval, "count": count}
    mean, worst, effective = deviations(law, estimate, law.voltage_covariance, **size)
    verdict = _judge(session, worst <= WORST, "spu", what)
    session.checks.append(Check("spu", adapter.VERSION, "", what, verdict, None, mean, worst, effective))


def project_autocovariance(session: Session) -> None:
    """Lagged covariances of the project's trajectories against ``H expm(A lag) P H^T``.

    Trajectories are independent, so their scatter gives the standard error, with no theory to be wrong.
    """
    law, interval, _ = common_problem()
    steps, count, lags = session.pick(256, 64), session.pick(512, 64), (1, 5, 20)
    path = adapter.sampler(law, interval).record(steps=steps, count=count, seed=2, threads=session.threads)
    exact = law.autocovariance([lag * interval for lag in lags])
    z = []
    for lag, expected in zip(lags, exact, strict=True):
        each = np.einsum("tci,tcj->cij", path[lag:], path[:-lag], optimize=True) / (steps - lag)
        z.append(((each.mean(axis=0) - expected) / (each.std(axis=0, ddof=1) / np.sqrt(count))).ravel())
    found = np.abs(np.concatenate(z))
    what = f"autocovariance, d = 16, lags {', '.join(map(str, lags))}"
    verdict = _judge(session, bool(found.max() <= WORST), "spu", what)
    settings = f"{count} trajectories of {steps} readouts, {FINE} in the slowest time constant"
    session.checks.append(
        Check("spu", adapter.VERSION, settings, what, verdict, None, float(np.sqrt((found**2).mean())), found.max())
    )


def project_bits(session: Session) -> None:
    """The same seed gives the same bits on any number of threads."""
    law, interval, _ = common_problem()
    sampler, digests = adapter.sampler(law, interval), []
    for threads in (1, 2, 3):
        with blas_threads(threads):
            path = sampler.record(steps=session.pick(200, 20), count=session.pick(100, 10), seed=3, threads=threads)
        digests.append(hashlib.sha256(np.ascontiguousarray(path).tobytes()).hexdigest())
    what = "bits of a run on 1, 2 and 3 threads"
    verdict = _judge(session, len(set(digests)) == 1, "spu", what)
    session.checks.append(Check("spu", adapter.VERSION, "", what, verdict))


def project_network(session: Session, precision: str) -> None:
    """Moments of a network after so many steps, against numpy's own steps, in double precision, of other noise.

    Scheme and step are the same, so both have the same law. The scatter of trajectories gives the standard error.
    """
    n, count, steps = session.pick(32, 4), session.pick(4096, 256), session.pick(500, 10)
    what = f"moments, network of {n} units, {precision} precision"
    reference = NumpyNetwork()
    reference.prepare(n, count=count, steps=steps, threads=session.threads)
    upper = np.triu_indices(n)
    means, variances = [], []
    for states in (Own(n, count, steps, session.threads, precision).run(), reference.run()):
        moments = np.hstack([states, states[:, upper[0]] * states[:, upper[1]]])
        means.append(moments.mean(axis=0))
        variances.append(moments.var(axis=0, ddof=1) / count)
    z = np.abs(means[0] - means[1]) / np.sqrt(variances[0] + variances[1])
    worst = float(z.max())
    verdict = _judge(session, worst <= WORST, "spu", what)
    settings = f"{count} trajectories of {steps} steps, first and second moments against numpy's of other noise"
    mean = float(np.sqrt((z**2).mean()))
    session.checks.append(Check("spu", adapter.VERSION, settings, what, verdict, None, mean, worst, float(count)))


def peer(
    session: Session, sampler: Any, what: str, problem: Problem, law: Stationary, interval: float, **size: int
) -> None:
    """A peer's covariance: what its recursion tends to, and what it samples."""
    reason = "left out" if session.peers is not None and sampler.name.split()[0] not in session.peers else ""
    reason = reason or missing(*sampler.packages)
    if reason:
        session.checks.append(Check(sampler.name, sampler.version, "", what, reason))
        return
    sampler.prepare(problem, **size, threads=session.threads)
    tends_to = sampler.law(problem)
    law_error = bias(problem, tends_to)
    estimate = _second_moment(sampler.sample(4))
    exact = problem.H @ problem.covariance @ problem.H.T
    mean, worst, effective = deviations(law, estimate, exact, interval=interval, **size)
    # A method with a time step is started in its own law and has to hold that; an exact one has to hold the exact one.
    stated = 1e-9 < law_error <= 1.05 * BIAS
    own = problem.H @ tends_to @ problem.H.T if stated else exact
    held = deviations(law, estimate, own, interval=interval, **size)[1]
    verdict = ("biased as stated" if stated else "right") if held <= WORST else "WRONG"
    if verdict == "WRONG":
        relative = np.linalg.norm(estimate - exact) / np.linalg.norm(exact)
        verdict += f": sampled covariance off by {100 * relative:.3g} %"
    session.checks.append(
        Check(sampler.name, sampler.version, sampler.settings, what, verdict, law_error, mean, worst, effective)
    )


def thermox_law(session: Session) -> None:
    """What thermox's recursion tends to elsewhere, from its formulas (no sampling).

    The RC network is a control: there it is right, so it is the network that is at odds with its assumption,
    not the way in which it is called here.
    """
    sampler = Thermox()
    for what, law, divisor in (
        ("8 alike RC cells, a 32nd apart", cell_law(alike_rc(8)), FINE),
        ("lossy, a time constant apart", cell_law(scattered(8, lossy=True)), 1),
        ("lossy, a 1,000th of it apart", cell_law(scattered(8, lossy=True)), 1000),
        ("loss at 300 K, a 32nd apart", cell_law(scattered(8, lossy=True, cold=True)), FINE),
    ):
        found = problem_of(law, float(law.time_constants[0]) / divisor)
        with np.errstate(all="ignore"):
            error = bias(found, sampler.law(found))
        verdict = "right" if error < 1e-9 else f"WRONG: tends to a covariance off by {100 * error:.3g} %"
        session.checks.append(Check("thermox", sampler.version, "", f"its formulas, {what}", verdict, error))


def run(session: Session) -> None:
    """All checks but ngspice's, which is made of the samples that its own case takes."""
    for cells, steps, count in ((1, 20_000, 256), (8, 5_000, 256), (100, 400, 128)):
        session.say(f"correctness: spu, d = {2 * cells}")
        if session.quick:
            steps, count = min(steps, 50), 16
        project_covariance(session, cells, steps=steps, count=count)
    project_modal(session)
    project_autocovariance(session)
    project_bits(session)
    for precision in adapter.PRECISIONS:
        session.say(f"correctness: spu, networks in {precision} precision")
        project_network(session, precision)
    law, interval, problem = common_problem()
    pick = session.pick
    for sampler, steps, count in (
        (NumpyExact(), pick(1500, 40), pick(256, 16)),
        (NumpyEuler(), pick(16, 1), pick(512, 16)),
        (Diffrax(), pick(64, 2), pick(1024, 16)),
        (Thermox(), pick(640, 20), pick(128, 16)),
    ):
        session.say(f"correctness: {sampler.name}")
        peer(session, sampler, "covariance, d = 16 (lossy)", problem, law, interval, steps=steps, count=count)
    law = cell_law(alike_rc(8))
    interval = float(law.time_constants[0]) / FINE
    size = {"steps": pick(640, 20), "count": pick(128, 16)}
    peer(session, Thermox(), "covariance, 8 alike RC cells", problem_of(law, interval), law, interval, **size)
    thermox_law(session)
