"""The cases: each a function that measures and adds rows. What is compared with what, at which size, to what goal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import adapter
import numpy as np
import scipy.linalg as la
from commands import Failed, command, fresh_install, python, spu_command
from correctness import FINE, common_problem, deviations
from harness import (
    PAUSE,
    WORST,
    Check,
    Contestant,
    Row,
    Session,
    alternate,
    best_blas_threads,
    measure_limits,
    ratio,
    where,
)
from machine import version
from networks import DiffraxNetwork, Learning, NumpyNetwork, Own, TorchNetwork, classifier, generator
from peers import BIAS, Diffrax, Ngspice, NumpyEuler, NumpyExact, Thermox, ThermoxLinalg, missing
from problems import (
    NOMINAL_TIME,
    cell_law,
    chain,
    dense_precision,
    grid_precision,
    nominal_step,
    orthogonal_step,
    scattered,
)
from shares import of_command

import spu
from spu.base.constants import BOLTZMANN
from spu.base.kernels import library
from spu.emulator.laws.estimate import trajectory_error

COMMON = "8 lossy RLC cells, d = 16"


def _absent(session: Session, peer: Any) -> str:
    """Why a peer is not run; empty if it is."""
    if session.peers is not None and peer.name.split()[0] not in session.peers:
        return "left out"
    return missing(*peer.packages)


def _own(session: Session, sampler: adapter.Sampler, steps: int, count: int) -> Contestant:
    def work() -> None:
        sampler.run(steps=steps, count=count, seed=0, threads=session.threads)

    return Contestant(work, float(steps * count))


def case_1(session: Session) -> None:
    """Exact steps against thermox as it is documented."""
    law, interval, problem = common_problem()
    sampler = adapter.sampler(law, interval)
    peer, compiled = Thermox(documented=True), Thermox()
    what = f"exact step a trajectory, {COMMON}"
    if reason := _absent(session, peer):
        session.rows.append(Row("1", what, peer.name, peer.version, goal=130, reach=200, note=reason))
        return
    steps = session.pick(20_000, 200)
    peer.prepare(problem, count=1, steps=steps, threads=session.threads)
    compiled.prepare(problem, count=1, steps=steps, threads=session.threads)
    own = {
        "batch": _own(session, sampler, session.pick(4096, 8), session.pick(1024, 8)),
        "one": _own(session, sampler, steps, 1),
    }
    times = alternate(
        session,
        {
            **own,
            "documented": Contestant(peer.run, peer.units, peer.blas),
            "compiled": Contestant(compiled.run, compiled.units),
        },
        budget=25.0,
    )
    went = {name: where(session, contestant) for name, contestant in own.items()}
    step = {"states": sampler.size, "rank": sampler.rank}
    for mine, other, label, more, setting in (
        (
            "batch",
            "documented",
            "1,024 trajectories against one",
            {"goal": 130, "reach": 200, "key": "thermox documented"},
            peer.settings,
        ),
        ("one", "documented", "one trajectory each", {}, peer.settings),
        ("one", "compiled", "one each, thermox preprocessed and compiled", {}, compiled.settings),
    ):
        found = {**ratio(times[mine], times[other]), **more, **step, "where": went[mine]}
        session.rows.append(Row("1", f"{what}: {label}", peer.name, peer.version, setting, **found))


def _batch(session: Session, case: str, peer: Any, key: str, goal: float, reach: float) -> None:
    """Exact steps of 1,024 trajectories against a peer's."""
    law, interval, problem = common_problem()
    sampler = adapter.sampler(law, interval)
    count, what = session.pick(1024, 8), f"exact step, 1,024 trajectories, {COMMON}"
    if reason := _absent(session, peer):
        session.rows.append(Row(case, what, peer.name, peer.version, goal=goal, reach=reach, note=reason))
        return
    peer.prepare(problem, count=count, steps=session.pick(128, 8), threads=session.threads)
    own = _own(session, sampler, session.pick(4096, 8), count)
    times = alternate(session, {"spu": own, "peer": Contestant(peer.run, peer.units, peer.blas)})
    session.rows.append(
        Row(
            case,
            what,
            peer.name,
            peer.version,
            peer.settings,
            **ratio(times["spu"], times["peer"]),
            goal=goal,
            reach=reach,
            states=sampler.size,
            rank=sampler.rank,
            where=where(session, own),
            key=key,
        )
    )


def case_2(session: Session) -> None:
    """Exact steps of a batch against thermox at its best."""
    _batch(session, "2", Thermox(), "thermox batch", 5, 15)


def case_3(session: Session) -> None:
    """Exact steps of a batch against plain numpy."""
    _batch(session, "3", NumpyExact(), "numpy batch", 6, 10)


def case_3b(session: Session) -> None:
    """Simulated time against methods with a time step, as fine as a 1 % covariance asks."""
    law, interval, problem = common_problem()
    sampler = adapter.sampler(law, interval)
    for peer, steps in ((NumpyEuler(), session.pick(1, 1)), (Diffrax(), session.pick(8, 1))):
        count = session.pick(1024, 8)
        what = f"simulated time, 1,024 trajectories, read {FINE} times a time constant, {COMMON}"
        if reason := _absent(session, peer):
            session.rows.append(Row("3b", what, peer.name, peer.version, note=reason))
            continue
        peer.prepare(problem, count=count, steps=steps, threads=session.threads)
        own = _own(session, sampler, session.pick(4096, 8), count)
        times = alternate(session, {"spu": own, "peer": Contestant(peer.run, peer.units, peer.blas)})
        found = {**ratio(times["spu"], times["peer"]), "where": where(session, own)}
        session.rows.append(Row("3b", what, peer.name, peer.version, peer.settings, **found))


def case_4(session: Session) -> None:
    """Time to a 1 % covariance by trajectory, against ngspice with noise sources."""
    device = scattered(8)
    law = adapter.law_of(device)
    exact = law.voltage_covariance
    needed = (np.trace(exact) ** 2 / (exact**2).sum() + 1.0) / BIAS**2
    what = f"time to a 1 % covariance, 8 RLC cells ({needed:,.0f} effective samples)"
    interval, count = float(law.time_constants[0]), session.pick(1024, 16)
    each = trajectory_error(law, steps=1000, interval=interval, count=1).effective_samples / 1000
    samples = int(np.ceil((needed if not session.quick else 200) / each / count)) * count

    def own() -> None:
        adapter.simulate(
            device, samples=samples, interval=interval, trajectories=count, seed=0, threads=session.threads
        )

    share = needed / (samples * each)  # of the effective samples needed that one call gives, whole steps and all
    reason = "left out" if session.peers is not None and "ngspice" not in session.peers else Ngspice.missing()
    if reason:
        session.rows.append(Row("4", what, "ngspice", goal=4000, reach=10000, note=reason))
        return
    peer = Ngspice(device, threads=session.threads)
    short, rounds = session.pick(2000, 100), session.pick(6, 1)
    # What starting it costs is taken off below, as a long run starts once: the least of a few, so that no more is.
    began = min(peer.run(short, number)[0] for number in range(session.pick(3, 1)))
    probe, _ = peer.run(4 * short, 0)
    rate = max(probe - began, 1e-3) / (3 * short)
    # ngspice fills its limit of some 20 s in a few rounds, between which the project runs.
    long = session.pick(int(np.clip(3.5 / rate, 4 * short, 10**6)), peer.burn + 500)
    own()
    mine, theirs, paths = [], [], []
    for number in range(rounds):
        # One call is over in some 20 ms, ngspice runs for seconds: calls before and after it, and their median, so
        # that what else the machine does in a moment decides neither.
        calls = [_timed(own) for _ in range(session.pick(10, 1))]
        taken, path = peer.run(long, number + 1)
        calls += [_timed(own) for _ in range(session.pick(10, 1))]
        mine.append(float(np.median(calls)) / (samples * each) * needed)
        per_sample = max(taken - began, 1e-9) / max(long - short, 1)
        steps = len(path)
        effective = trajectory_error(law, steps=steps, interval=peer.interval, count=peer.threads).effective_samples
        theirs.append(per_sample * steps / effective * needed)
        paths.append(path)
    settings = (
        f"{peer.settings}; extrapolated from {rounds} runs of {long} samples, start and burn-in not counted; "
        f"spu: the median of 20 calls around each of them of spu.simulate, from the device on, its guard included, "
        f"{count} trajectories, readouts {interval:.3g} s apart, "
        f"all included ({1 / share:.3g} of the effective samples needed)"
    )
    readouts = np.concatenate(paths, axis=1)
    flat = (readouts - law.voltage_mean).reshape(-1, len(exact))
    estimate = flat.T @ flat / len(flat)
    size = {"steps": readouts.shape[0], "interval": peer.interval, "count": readouts.shape[1]}
    mean, worst, effective = deviations(law, estimate, exact, **size)
    held = deviations(law, estimate, peer.predicted, **size)[1]
    error = float(np.linalg.norm(peer.predicted - exact) / np.linalg.norm(exact))
    verdict = "biased as stated" if held <= WORST else "WRONG"
    session.checks.append(
        Check(
            "ngspice",
            peer.version,
            "law's error: of noise that is sampled and held, exactly",
            "covariance, d = 16",
            verdict,
            error,
            mean,
            worst,
            effective,
        )
    )
    found = {**ratio(np.array(mine), np.array(theirs)), "where": where(session, Contestant(own)), "key": "ngspice"}
    session.rows.append(Row("4", what, "ngspice", peer.version, settings, **found, goal=4000, reach=10000))


def _timed(work: Callable[[], object]) -> float:
    time.sleep(PAUSE)
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def case_5(session: Session) -> None:
    """What share of the machine's own limit a dense exact step reaches."""
    for full, count, steps in ((16, 1024, 8192), (256, 256, 256), (2048, 256, 12)):
        size = full
        if session.quick:
            size, count, steps = min(size, 32), 8, 4
        if size == 2048:
            sampler = adapter.sampler_of_step(orthogonal_step(size))
            problem = "a random dense step"
        else:
            law = cell_law(scattered(size // 2))
            sampler = adapter.sampler(law, float(law.time_constants[0]) / FINE)
            problem = f"{size // 2} RLC cells"
        own = _own(session, sampler, steps, count)
        times = alternate(session, {"spu": own}, budget=8.0)["spu"]
        measure_limits(session, brief=True)
        best = float(times.min())
        session.rows.append(
            Row(
                "5",
                f"share of the machine's limit, d = {size}",
                "this machine",
                "",
                f"d = {size}: {problem}, r = {sampler.rank}, {count} trajectories; limit: 2 d (d + r) flop at the "
                "product peak and r normals at theirs, the highest peaks seen in this run; best time (range: worst)",
                value=0.0,  # until finish_limits knows the peaks; then also the range, of the times given here
                low=float(times.max()),
                high=best,
                unit="of limit",
                own=best,
                goal=0.75,
                reach=0.9,
                states=sampler.size,
                rank=sampler.rank,
                where=where(session, own),
                key=f"limit {full}",
            )
        )


def case_6(session: Session) -> None:
    """The modal state update of a nominal SPU against dense propagation."""
    precision = grid_precision(*session.pick((25, 40), (3, 4)))
    count, interval = 64, 1.0  # in units of the nominal cell's sqrt(L C)
    what = f"state update, nominal {len(precision):,} cells (d = {2 * len(precision):,}), 64 trajectories"
    peer = NumpyExact()
    device = spu.compile(spu.GaussianSampling(precision=precision), hardware="ideal")
    sampler = adapter.modal_sampler(device, interval * NOMINAL_TIME)
    _, _, problem = common_problem()
    step = nominal_step(precision, interval)
    zero = np.zeros_like(step.transition)
    peer.prepare(
        type(problem)(zero, zero, zero, zero, interval, step),
        count=count,
        steps=session.pick(4, 2),
        threads=session.threads,
    )
    own = _own(session, sampler, session.pick(64, 2), count)
    times = alternate(session, {"spu": own, "peer": Contestant(peer.run, peer.units, peer.blas)})
    session.rows.append(
        Row(
            "6",
            what,
            "numpy, dense",
            peer.version,
            peer.settings,
            **ratio(times["spu"], times["peer"]),
            goal=15,
            reach=30,
            where=where(session, own),
            key="modal",
        )
    )


def case_7(session: Session) -> None:
    """Compile and predict a nominal SPU, against an eigendecomposition of the same size."""
    shape = session.pick((25, 40), (3, 4))
    grid = grid_precision(*shape)
    random = np.random.default_rng(0).standard_normal(grid.shape)
    symmetric = random + random.T

    # As many threads as suit the peer; the project gets the same.
    blas = best_blas_threads(lambda: np.linalg.eigh(symmetric), session.threads)
    everyone = {"goal": 2.5, "reach": 1.5, "key": "compile all to all"}
    for label, precision, more in (
        (f"{shape[0]} x {shape[1]} grid", grid, {"goal": 10.0, "reach": 3.0, "key": "compile grid"}),
        ("all to all", dense_precision(len(grid)), everyone),
    ):
        what = f"compile + predict, nominal {len(grid):,} cells, {label}"

        def own(precision: np.ndarray = precision) -> object:
            return adapter.compile_and_predict(precision)

        contestants = {
            "spu": Contestant(own, blas=blas),
            "peer": Contestant(lambda: np.linalg.eigh(symmetric), blas=blas),
        }
        times = alternate(session, contestants, rounds=5, budget=15.0)
        found = ratio(times["peer"], times["spu"])
        found["own"], found["other"] = found["other"], found["own"]
        session.rows.append(
            Row(
                "7",
                what,
                "numpy eigh",
                version("numpy"),
                f"numpy.linalg.eigh of a random symmetric {len(grid)} x {len(grid)} matrix; "
                f"spu: problem in, prediction out, no files; BLAS threads: {blas}, the peer's best",
                **found,
                unit="x slower",
                at_most=True,
                where=where(session, contestants["spu"]),
                **more,
            )
        )


def case_8(session: Session) -> None:
    """Predict scattered cells against scipy's Lyapunov solver."""
    for full, small in ((200, 5), (1000, 8)):
        cells = session.pick(full, small)
        device = scattered(cells, neighbours=session.pick(4, 1))
        dense = adapter.law_of(device).dense
        Q = -dense.B @ dense.B.T

        def peer(A: np.ndarray = dense.A, Q: np.ndarray = Q) -> object:
            return la.solve_continuous_lyapunov(A, Q)

        def covariance(device: spu.Device = device) -> object:
            return adapter.predict(device)

        def constants(device: spu.Device = device) -> object:
            return adapter.predict(device).time_constants

        # One solution of the larger takes scipy some ten seconds: few rounds, and no search for the best threads.
        large = full > 200
        blas = session.threads if large else best_blas_threads(peer, session.threads)
        contestants = {"covariance": Contestant(covariance, blas=blas), "peer": Contestant(peer, blas=blas)}
        if not large:
            contestants["with time constants"] = Contestant(constants, blas=blas)
        rounds = {"rounds": 3, "budget": 25.0, "warm": False} if large else {"rounds": 7, "budget": 15.0}
        times = alternate(session, contestants, **rounds)
        which = "" if large else ", the peer's best"
        for name, more in (
            ("covariance", {"goal": 3.0, "reach": 8.0, "key": f"predict {full}"}),
            ("with time constants", {}),
        ):
            if name not in times:
                continue
            session.rows.append(
                Row(
                    "8",
                    f"predict, {cells:,} scattered cells (d = {2 * cells:,}){'' if more else ', ' + name}",
                    "scipy solve_continuous_lyapunov",
                    version("scipy"),
                    "the same A and Q in energy coordinates; spu: device in, prediction out (time constants are found "
                    "when asked for); couplers to the 4 next cells of a ring on either side; "
                    f"BLAS threads: {blas}{which}",
                    **ratio(times[name], times["peer"]),
                    where=where(session, contestants[name]),
                    **more,
                )
            )


def case_9(session: Session) -> None:
    """What starting costs, beyond importing numpy and scipy.linalg."""
    commands = {
        "base": python("import numpy, scipy.linalg"),
        "import spu": python("import spu"),
        "import all": python("import spu\nfor name in spu.__all__: getattr(spu, name)"),
        "spu --help": spu_command("--help"),
    }
    contestants = {name: Contestant(lambda words=words: command(words)) for name, words in commands.items()}
    times = alternate(session, contestants, rounds=session.pick(11, 2), budget=25.0)
    base = times["base"]
    for name, bounds in (
        ("import spu", {"goal": 0.5, "reach": 0.2}),
        ("spu --help", {"goal": 0.5, "reach": 0.2}),
        ("import all", {}),
    ):
        more = times[name] - base
        session.rows.append(
            Row(
                "9",
                f"{name}{' of its public names' if name == 'import all' else ''}: more than the libraries",
                "import numpy, scipy.linalg",
                version("numpy"),
                f"processes of their own; scipy {version('scipy')}; median difference",
                value=float(np.median(more)),
                low=float(more.min()),
                high=float(more.max()),
                unit="s",
                own=float(times[name].min()),
                other=float(base.min()),
                at_most=True,
                where=of_command(lambda more, words=commands[name]: command(words, more)),
                **bounds,
            )
        )


def case_10(session: Session) -> None:
    """Independent draws from the stationary law: shown, without a goal."""
    law = cell_law(scattered(8))
    samples = session.pick(500_000, 1000)
    root = la.cholesky(law.voltage_covariance, lower=True)
    mean, covariance = law.voltage_mean, law.voltage_covariance
    rng = np.random.default_rng(0)
    own = Contestant(
        lambda: adapter.independent_samples(law, samples=samples, seed=0, threads=session.threads), samples
    )
    times = alternate(
        session,
        {
            "spu": own,
            "multivariate_normal": Contestant(
                lambda: rng.multivariate_normal(mean, covariance, size=samples, method="cholesky"), samples
            ),
            "z @ L.T": Contestant(lambda: rng.standard_normal((samples, len(root))) @ root.T, samples),
        },
    )
    went = where(session, own)
    for name, settings in (
        ("multivariate_normal", "Generator(PCG64).multivariate_normal(method='cholesky')"),
        ("z @ L.T", "Generator(PCG64).standard_normal and a product with a Cholesky factor made before"),
    ):
        what = "independent draw of the voltages, 8 RLC cells"
        found = {**ratio(times["spu"], times[name]), "where": went}
        session.rows.append(Row("10", what, f"numpy {name}", version("numpy"), settings, **found))


def case_11(session: Session) -> None:
    """Euler-Maruyama steps of thermodynamic networks: against numpy, diffrax and the machine's limit."""
    small, large = {"goal": 4.0, "reach": 6.0}, {"goal": 1.0, "reach": 1.1}
    sizes: tuple[tuple[int, int, int, dict[str, float], dict[str, float]], ...] = (
        (32, 1024, 1000, small, small),
        (1000, 256, 20, large, {}),
    )
    for full, count, steps, numpy_bounds, diffrax_bounds in sizes:
        n = full
        if session.quick:
            n, count, steps = min(n, 8), 8, 4
        what = f"Euler-Maruyama step of a network of {n:,} quartic units, {count:,} trajectories"
        own = {}
        for precision in adapter.PRECISIONS:
            prepared = Own(n, count, steps, session.threads, precision)
            own[precision] = Contestant(prepared.run, prepared.units)
        contestants = dict(own)
        peers: dict[str, NumpyNetwork | DiffraxNetwork] = {}
        double, single, diffrax = NumpyNetwork(), NumpyNetwork(np.float32), DiffraxNetwork()
        for peer in (double, single, diffrax):
            if _absent(session, peer) or (peer is single and "single" not in own):
                continue
            peer.prepare(n, count=count, steps=steps, threads=session.threads)
            peers[peer.name] = peer
            contestants[peer.name] = Contestant(peer.run, peer.units, peer.blas)
        times = alternate(session, contestants, budget=15.0)
        went = {precision: where(session, contestant) for precision, contestant in own.items()}
        halved = {} if full == 32 else {"goal": 1.8, "reach": 2.0}
        for precision, peer, more in (
            ("double", double, {**numpy_bounds, "key": f"network {full} numpy"}),
            ("double", diffrax, {**diffrax_bounds, "key": f"network {full} diffrax"}),
            ("single", double, {**halved, "key": f"network {full} single"}),
            ("single", single, {}),
        ):
            whose = what if precision == "double" else f"{what}, spu in single precision"
            row = Row("11", whose, peer.name, peer.version, **more)
            if reason := _absent(session, peer) or ("" if precision in own else "spu offers no single precision"):
                row.note = reason
            else:
                for name, value in ratio(times[precision], times[peer.name]).items():
                    setattr(row, name, value)
                row.settings, row.where = peer.settings, went[precision]
            session.rows.append(row)
        measure_limits(session, brief=True)
        limit = 2.0 * n * n / session.limits["products"] + n / session.limits["normals"]
        best, worst = float(times["double"].min()), float(times["double"].max())
        session.rows.append(
            Row(
                "11",
                f"share of the machine's limit, {n:,} units",
                "this machine",
                "",
                "limit: 2 n^2 flop at the product peak and n normals at theirs; nothing for the polynomial",
                value=limit / best,
                low=limit / worst,
                high=limit / best,
                unit="of limit",
                own=best,
                other=limit,
                where=went["double"],
                key=f"network {full} limit",
                **({"goal": 0.6, "reach": 0.8} if full == 32 else {}),
            )
        )


def _seconds(row: Row, taken: list[float]) -> None:
    """Make a row one of seconds: the median, its range and the least."""
    row.value, row.low, row.high, row.own = float(np.median(taken)), min(taken), max(taken), min(taken)
    row.unit, row.at_most = "s", True


def case_12(session: Session) -> None:
    """The first simulate of a fresh install, and the second."""
    bounds = {"goal": 5.0, "reach": 1.5, "key": "first run"}
    settings = (
        "the demo's device and samples; a process of its own each time, wall clock; fresh: a copy of the installed "
        "package without compiled modules, with empty folders for home and caches (those of numpy and scipy are as "
        "installed); guard included"
    )
    samples = session.pick("100000", "1000")
    with TemporaryDirectory(prefix="spu-bench-") as scratch:
        demo = Path(scratch) / "demo"
        problem = Path(__file__).parent.parent / "examples" / "club8.toml"
        command(spu_command("compile", str(problem), "-o", str(demo)))
        words = spu_command("simulate", str(demo), "--samples", samples)
        first: list[float] = []
        second: list[float] = []
        began, fresh = time.perf_counter(), {}
        for number in range(session.pick(3, 1)):
            if time.perf_counter() - began > 30.0:
                break
            fresh = fresh_install(Path(scratch) / f"fresh{number}")
            first.append(_timed(lambda fresh=fresh: command(words, fresh)))
            second.append(_timed(lambda fresh=fresh: command(words, fresh)))
            if not (Path(fresh["PYTHONPATH"]) / "spu" / "__pycache__").exists():
                raise Failed("what ran was not the fresh install")
        again = fresh_install(Path(scratch) / "sampled")
        for what, taken, more in (("first", first, bounds), ("second", second, {})):
            row = Row("12", f"{what} spu simulate of a fresh install", "", settings=settings, **more)
            row.where = of_command(lambda added: command(words, {**again, **added}))
            _seconds(row, taken)
            session.rows.append(row)


def case_13(session: Session) -> None:
    """A netlist of 3,000 RC sections: whole commands."""
    sections = session.pick(3000, 30)
    predict = Row("13", f"a chain of {sections:,} RC sections: spu predict", "", goal=2.0, reach=0.5)
    check = Row("13", f"a chain of {sections:,} RC sections: spu check, levels op and ac", "", goal=60.0, reach=20.0)
    predict.key, check.key = "chain predict", "chain check"
    session.rows += [predict, check]
    without_ngspice = "left out" if session.peers is not None and "ngspice" not in session.peers else Ngspice.missing()
    with TemporaryDirectory(prefix="spu-bench-") as scratch:
        deck, folder = Path(scratch) / "chain.cir", Path(scratch) / "chain"
        deck.write_text(chain(sections))
        command(spu_command("import", str(deck), "-o", str(folder)))
        _on_chain(predict, spu_command("predict", str(deck), "--json"), "", session.pick(5, 1), patience=30.0)
        levels = ("--level", "op", "--level", "ac")
        words = spu_command("check", str(folder), *levels, "--json")
        _on_chain(check, words, without_ngspice, 1, patience=120.0)


def _on_chain(row: Row, words: list[str], reason: str, rounds: int, *, patience: float) -> None:
    """Time a command a few times, of which the first is sampled, too; or say why there is no time.

    It is ended after ``patience`` seconds, many times what is wanted of it, so that the others get their turn.
    """
    taken: list[float] = []
    said: dict[str, Any] = {}

    def run(more: dict[str, str]) -> None:
        before = time.perf_counter()
        said.update(json.loads(command(words, more, limit=patience)))
        taken.append(time.perf_counter() - before)

    if not reason:
        try:
            row.where = of_command(run)
            while not taken or (len(taken) < rounds and sum(taken) < 8.0):
                run({})
            reason = "" if said.get("verdict", "pass") == "pass" else f"verdict: {said['verdict']}"
        except Failed as error:
            reason = str(error)
    row.settings = (
        "the command, as a process of its own, wall clock; every resistor makes noise, the last node is read out; the "
        "first run is sampled while it is timed"
    )
    row.note = reason
    if not reason:
        _seconds(row, taken)


def case_14(session: Session) -> None:
    """Neuron-steps of what learns, in single precision: against a plain loop of torch, and the machine's limit."""
    for full, build, count, steps, bounds in (
        (74, classifier, 1024, 400, {"goal": 3.0, "reach": 4.0}),
        (1296, generator, 256, 100, {"goal": 1.0, "reach": 1.2}),
    ):
        count, steps = session.pick((count, steps), (8, 4))
        net = build()
        n = net.n
        prepared = Learning(net, count, steps, session.threads, "single")
        own, peer = Contestant(prepared.run, prepared.units), TorchNetwork()
        contestants = {"spu": own}
        absent = _absent(session, peer)
        if not absent:
            peer.prepare(net, count=count, steps=steps, threads=session.threads)
            contestants["torch"] = Contestant(peer.run, peer.units)
        times = alternate(session, contestants, budget=12.0)
        best, worst = float(times["spu"].min()), float(times["spu"].max())
        rate = f"{n / best:.3g} neuron-steps a second"
        went = where(session, own)
        what = f"Euler-Maruyama step of {n:,} units that learn, {count:,} trajectories, single precision"
        row = Row("14", what, peer.name, peer.version, where=went, key=f"learning {full} torch", **bounds)
        if absent:
            row.note = absent if absent == "left out" else f"{absent}: {peer.install}"
        else:
            for name, value in ratio(times["spu"], times["torch"]).items():
                setattr(row, name, value)
            row.settings = f"{peer.settings}; {rate}"
        session.rows.append(row)
        measure_limits(session, brief=True)
        pairs = np.count_nonzero(net.couplings)
        limit = 2.0 * pairs / session.limits["single products"] + n / session.limits["normals"]
        session.rows.append(
            Row(
                "14",
                f"share of the machine's limit, {n:,} units that learn",
                "this machine",
                "",
                "limit: 2 flop a coupling at the peak of single-precision products and n normals at theirs; nothing "
                f"for the polynomial, and none for couplings that are not there; {rate}",
                value=limit / best,
                low=limit / worst,
                high=limit / best,
                unit="of limit",
                own=best,
                other=limit,
                where=went,
                key=f"learning {full} limit",
                goal=0.6,
                reach=0.8,
            )
        )


def case_15(session: Session) -> None:
    """Tasks of linear algebra against thermox.linalg: the error at equal simulated time, and running time."""
    n, samples, runs = session.pick(64, 4), session.pick(10_000, 50), session.pick(8, 2)
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = (Q * np.geomspace(1.0, 0.05, n)) @ Q.T
    A, b = 0.5 * (A + A.T), rng.standard_normal(n)
    for task, words in (("solve", "A x = b"), ("inv", "inverse"), ("expnegm", "exp(-A)")):
        what = f"{words}, {n} variables, condition 20, {samples:,} readouts of one trajectory, matrix in, answer out"
        own = adapter.Linalg(task, A, b, samples=samples, threads=session.threads)
        found = [own.run(seed) for seed in range(runs)]
        mine = float(np.sqrt(np.mean([error**2 for error, _ in found])))
        expected = found[0][1]
        verdict = "right" if mine < 4.0 * expected else "WRONG"
        answer = f"answer of one trajectory, d = {n}"
        session.checks.append(Check("spu", "", f"from rest, {words}", answer, verdict, None, mine / expected))
        for compiled in (False, True):
            peer = ThermoxLinalg(task, compiled=compiled)
            if reason := _absent(session, peer):
                session.rows.append(Row("15", what, peer.name, peer.version, note=reason))
                break
            peer.prepare(A, b, samples=samples, dt=own.dt)
            theirs = float(np.sqrt(np.mean([own.error(peer.run(seed)) ** 2 for seed in range(runs)])))
            contestants = {"spu": Contestant(own.run), "peer": Contestant(peer.run)}
            times = alternate(session, contestants, rounds=5, budget=10.0)
            note = (
                f"relative error at equal simulated time, rms of {runs} runs: {mine:.3g} against {theirs:.3g}; "
                f"{expected:.3g} is expected of the law"
            )
            more = {**ratio(times["spu"], times["peer"]), "where": where(session, contestants["spu"])}
            key = f"thermox linalg {task}{' jit' if compiled else ''}"
            session.rows.append(Row("15", what, peer.name, peer.version, f"{peer.settings}; {note}", **more, key=key))


def case_16(session: Session) -> None:
    """Exact laws of many boards against a loop over scipy's Lyapunov solver."""
    boards, few = session.pick((10_000, 1000), (40, 4))
    device = scattered(8)
    elements = spu.elements_of(device)
    factors = np.exp(0.05 * np.random.default_rng(0).standard_normal((boards, len(elements))))
    A, Q = cell_equations(elements, factors[:few])
    own = Contestant(lambda: spu.laws_of_draws(device, factors, elements), float(boards))
    peer = Contestant(lambda: [la.solve_continuous_lyapunov(a, -q) for a, q in zip(A, Q, strict=True)], float(few))
    found, wanted = spu.laws_of_draws(device, factors[:few], elements), np.array(peer.work())[:, :8, :8]
    off = float(np.abs(found.voltage_covariance / wanted - 1.0).max())
    if not off < 1e-8:
        raise Failed(f"the laws differ by {off:.1e}")
    times = alternate(session, {"spu": own, "peer": peer}, rounds=9, budget=30.0)
    row = Row(
        "16",
        f"exact law of a board of 8 RLC cells, 16 states, all {len(elements)} values of each drawn; {boards:,} boards",
        "scipy",
        version("scipy"),
        f"solve_continuous_lyapunov in a loop, matrices given (the project makes its own of the factors); they differ "
        f"by {off:.0e}; least times: {times['spu'].min() * 1e6:.3g} and {times['peer'].min() * 1e6:.3g} us a board; "
        f"loops of class {library.text('processor_class')}, {session.threads} threads",
        **ratio(times["spu"], times["peer"]),
        goal=50.0,
        reach=100.0,
        where=where(session, own),
        key="laws of boards",
    )
    session.rows.append(row)


def cell_equations(elements: spu.Elements, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drift and noise of boards of cells with injected noise, at 300.15 K, (d, 2 n, 2 n): no code of the project.

    States are voltages, and currents of inductors in a unit that makes both alike.
    """
    values = dict.fromkeys(elements.kinds)
    for kind, where_it_is in zip([group.name for group in elements.groups], elements.slices, strict=True):
        values[kind] = elements.values[where_it_is] * factors[:, where_it_is]
    cells, count = values["cell.capacitance"].shape[1], len(factors)
    C = np.zeros((count, cells, cells))
    C[:, range(cells), range(cells)] = values["cell.capacitance"]
    names = [name.removeprefix("capacitance of ") for name in elements.names[:cells]]
    ends = [name.split(" of ")[1] for name in elements.names if name.startswith("capacitance of ")][cells:]
    for k, pair in enumerate(ends):
        a, b = next((a, b) for a in range(cells) for b in range(cells) if pair == f"{names[a]}-{names[b]}")
        value = values["coupler.capacitance"][:, k]
        for i, j, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
            C[:, i, j] += sign * value
    back = np.linalg.inv(C)
    noise = values["cell.noise"] + 4.0 * BOLTZMANN * 300.15 * values["cell.conductance"]
    unit = float(np.sqrt(values["cell.inductance"].mean() / values["cell.capacitance"].mean()))
    A, Q = np.zeros((2, count, 2 * cells, 2 * cells))
    A[:, :cells, :cells] = -back * values["cell.conductance"][:, None, :]
    A[:, :cells, cells:] = -back / unit
    A[:, range(cells, 2 * cells), range(cells)] = unit / values["cell.inductance"]
    Q[:, :cells, :cells] = (back * (0.5 * noise)[:, None, :]) @ back
    return A, Q


def case_17(session: Session) -> None:
    """Two workers of one thread against one, on a yield whose boards are solved one at a time."""
    draws = session.pick(8_000, 12)
    with TemporaryDirectory(prefix="spu-bench-") as scratch:
        folder = Path(scratch) / "eight"
        problem = Path(__file__).parent.parent / "examples" / "club8.toml"
        command(spu_command("compile", str(problem), "-o", str(folder)))
        words = ["yield", str(folder), "--limit", "1e-9:1", "--metric", "time-constant"]
        words += ["--tolerance", "cell.conductance=5%", "--draws", str(draws), "--json"]
        said, taken = {}, {}
        for workers in (1, 2, 1, 2)[: session.pick(4, 2)]:
            kept = Path(scratch) / f"kept{len(list(Path(scratch).iterdir()))}"
            before = time.perf_counter()
            text = command(spu_command(*words, "--cluster", f"local:{workers}", "-o", str(kept)), limit=600.0)
            taken.setdefault(workers, []).append(time.perf_counter() - before)
            said.setdefault(workers, json.loads(text)["yield"])
    if said[1] != said[2]:
        raise Failed(f"two workers found {said[2]}, one {said[1]}")
    session.rows.append(
        Row(
            "17",
            f"yield of {draws:,} boards by their time constants: two workers of one thread",
            "one worker",
            "",
            f"--cluster local:2 against local:1, whole commands, least of {len(taken[1])}; the same yield",
            value=min(taken[1]) / min(taken[2]),
            low=min(taken[1]) / max(taken[2]),
            high=max(taken[1]) / min(taken[2]),
            own=min(taken[2]),
            other=min(taken[1]),
            goal=1.7,
            reach=1.9,
            key="two workers",
        )
    )


CASES: dict[str, Callable[[Session], None]] = {
    "1": case_1,
    "2": case_2,
    "3": case_3,
    "3b": case_3b,
    "4": case_4,
    "5": case_5,
    "6": case_6,
    "7": case_7,
    "8": case_8,
    "9": case_9,
    "10": case_10,
    "11": case_11,
    "12": case_12,
    "13": case_13,
    "14": case_14,
    "15": case_15,
    "16": case_16,
    "17": case_17,
}

SAMPLING = frozenset({"1", "2", "3", "3b", "4", "5", "6", "10", "11", "12", "14", "15"})
"""Cases whose figures rest on the project's samplers, and count as zero where those are wrong."""

FORKING = frozenset({"4", "9", "12", "13", "17"})
"""Cases that start processes: run first, since forking a process that holds JAX's threads may deadlock."""

LIMITED = frozenset({"1", "2", "3", "5", "11", "14"})
"""Cases that are held against the machine's limit."""
