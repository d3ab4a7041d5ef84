"""The benchmark runs, tells who is missing, and would notice a sampler that is wrong."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's modules, which lie beside its script and not in a package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    found = {name: importlib.import_module(name) for name in MODULES}
    yield found
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == BENCHMARKS:
            del sys.modules[name]


MODULES = ("columns", "commands", "correctness", "harness", "machine", "peers", "problems", "shares")

CASES = ("1", "2", "3", "3b", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17")


@pytest.mark.parametrize(
    "cases", [("1", "10", "14", "15", "16"), pytest.param(CASES, marks=pytest.mark.long)], ids=["some", "all"]
)
def test_quick_run_without_peers(cases, tmp_path, modules):
    path = tmp_path / "found.json"
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--peers", "none", "--json", str(path)]
    command += [] if cases == CASES else ["--only", ",".join(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["format"] == "spu-bench/2"
    assert found["machine"]["label"].startswith("2 cores, ")
    assert {row["case"] for row in found["rows"]} == {*cases}
    own = [check["verdict"] for check in found["checks"] if check["sampler"] == "spu"]
    assert own.count("right") >= 5
    assert not any(verdict.startswith("WRONG") for verdict in own)
    left_out = [row for row in found["rows"] if row["case"] in ("1", "2", "3", "4")]
    assert {row["note"] for row in left_out} == {"left out"}
    assert "thermox" in done.stdout
    assert f"class {found['machine']['processor']['level']}" in " ".join(done.stdout.split())
    assert "Where the time goes" in done.stdout
    if cases == CASES:
        wanted = {key for line in modules["columns"].LINES for key in line.keys}
        # Peers that are left out have one row for all that would be held against them.
        assert wanted - {row["key"] for row in found["rows"]} <= {
            "thermox documented",
            "thermox batch",
            "numpy batch",
            "ngspice",
        }


def test_unknown_case_is_refused():
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--only", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no case 99" in done.stderr


def test_a_missing_torch_is_told_with_how_to_install_it(modules, monkeypatch):
    cases = importlib.import_module("cases")
    monkeypatch.setitem(sys.modules, "torch", None)
    session = modules["harness"].Session(quick=True)
    modules["harness"].measure_limits(session, brief=True)
    cases.case_14(session)
    notes = [row.note for row in session.rows if row.key.endswith("torch")]
    assert notes == ["not installed: pip install torch --index-url https://download.pytorch.org/whl/cpu"] * 2
    shares = [row.value for row in session.rows if row.key.endswith("limit")]
    assert len(shares) == 2 and all(0 < share < 1.2 for share in shares)


def test_torch_runs_the_same_equation(modules):
    """Means of 4,000 trajectories of both, within 6 standard errors, and the same spread."""
    pytest.importorskip("torch")
    networks = importlib.import_module("networks")
    net = networks.network(6)
    peer = networks.TorchNetwork()
    peer.prepare(net, count=4000, steps=300, threads=1)
    own = networks.Learning(net, 4000, 300, 1, "single").run()
    theirs = peer.run()
    assert theirs.shape == own.shape == (4000, 6)
    error = np.sqrt((own.var(axis=0) + theirs.var(axis=0)) / 4000)
    assert (np.abs(own.mean(axis=0) - theirs.mean(axis=0)) < 6 * error).all()
    assert np.abs(own.std(axis=0) / theirs.std(axis=0) - 1).max() < 0.07


def test_missing_peer_is_told(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "thermox", None)
    session = modules["harness"].Session(quick=True)
    law, interval, problem = modules["correctness"].common_problem()
    modules["correctness"].peer(
        session, modules["peers"].Thermox(), "covariance", problem, law, interval, steps=2, count=2
    )
    assert [check.verdict for check in session.checks] == ["not installed"]


def test_formulas_of_the_recursions(modules):
    peers = modules["peers"]
    _, _, problem = modules["correctness"].common_problem()
    exact = peers.NumpyExact()
    assert peers.bias(problem, exact.law(problem)) < 1e-9
    for method in (peers.NumpyEuler(), peers.Diffrax()):
        count = peers.substeps(problem, lambda h, method=method: method._law(problem, h))
        found = peers.bias(problem, method._law(problem, problem.interval / count))
        assert 0.3 * peers.BIAS < found <= peers.BIAS
    # Euler is of first order, ShARK's covariance of second or better.
    for method, order in ((peers.NumpyEuler(), 1), (peers.Diffrax(), 2)):
        coarse, fine = (peers.bias(problem, method._law(problem, problem.interval / n)) for n in (4000, 8000))
        assert coarse / fine > 0.9 * 2**order
    # thermox's formula holds where the drift is normal, and not on an RLC network.
    assert peers.bias(problem, peers.Thermox().law(problem)) > 1.0
    law = modules["problems"].cell_law(modules["problems"].alike_rc(4))
    normal = peers.problem_of(law, float(law.time_constants[0]))
    assert peers.bias(normal, peers.Thermox().law(normal)) < 1e-9


def test_a_wrong_sampler_is_noticed(modules):
    correctness = modules["correctness"]
    law, interval, problem = correctness.common_problem()
    exact = problem.H @ problem.covariance @ problem.H.T
    size = {"steps": 20_000, "interval": interval, "count": 100}
    assert correctness.deviations(law, exact, exact, **size)[1] == 0
    assert correctness.deviations(law, 1.1 * exact, exact, **size)[1] > modules["harness"].WORST


def test_nominal_step_keeps_the_energy(modules):
    problems = modules["problems"]
    step = problems.nominal_step(problems.grid_precision(2, 3), 0.7)
    found = step.transition @ step.transition.T + step.factor @ step.factor.T
    np.testing.assert_allclose(found, np.eye(12), atol=1e-12)


def test_where_the_time_goes(modules):
    shares = modules["shares"]
    a = np.random.default_rng(0).standard_normal((600, 600))
    for place, work in (
        ("products", lambda: a @ a),
        ("decompositions", lambda: np.linalg.qr(a[:150, :150])),
        ("memory", lambda: np.exp(a)),
        ("Python", lambda: [k for k in range(100_000) if k % 7 == 3]),
    ):
        with modules["harness"].blas_threads(1):
            found = shares.of_work(work, 0.4)
        assert max(found.places, key=found.places.get) == place, found
        assert sum(found.places.values()) == pytest.approx(1)
        assert set(found.places) <= set(shares.PLACES)
    # What waits takes no processor time.
    assert shares.of_work(lambda: time.sleep(0.05), 0.1) is None


def test_where_the_time_of_a_command_goes(modules):
    shares, commands = modules["shares"], modules["commands"]
    words = commands.python("sum(k % 7 for k in range(3_000_000))")
    found = shares.of_command(lambda more: commands.command(words, more))
    assert found.places["Python"] > 0.9
    # Children, too, and what is killed.
    code = f"{words[-1]}; sum(k % 7 for k in range(9_000_000)); import os; os.kill(os.getpid(), 9)"
    code = f"import subprocess; subprocess.run({commands.python(code)!r})"
    killed = shares.of_command(lambda more: commands.command(commands.python(code), more))
    assert killed.samples > 1.5 * found.samples


def test_without_a_compiler_it_is_not_told(modules, monkeypatch):
    shares, harness = modules["shares"], modules["harness"]
    monkeypatch.setenv("CC", "/bin/false")
    shares._built.cache_clear()
    shares._loaded.cache_clear()
    assert shares.of_work(lambda: sum(range(10**6)), 0.1) is None
    assert shares.of_command(lambda more: None) is None
    assert "not told" in harness.report(harness.Session(quick=True))


def test_functions_are_found_in_a_library(modules):
    shares = modules["shares"]
    found = shares.symbols(str(shares._built()))
    begin = found.begins[found.names.index("tick")]
    assert found.at(begin) == found.at(begin + 8) == "tick"
    assert found.at(0) == ""
    assert shares.symbols(__file__).names == []


@pytest.mark.parametrize(
    ("path", "symbol", "place"),
    [
        ("/x/libscipy_openblas-1.so", "dgemm_kernel_ZEN", "products"),
        ("/x/libscipy_openblas-1.so", "dgemm_oncopy_HASWELL", "products"),
        ("/x/libscipy_openblas-1.so", "dsyrk_kernel_L", "products"),
        ("/x/libscipy_openblas-1.so", "scipy_dlaed4_64_", "decompositions"),
        ("/x/libscipy_openblas-1.so", "dsymv_L_SKYLAKEX", "decompositions"),
        ("/x/libscipy_openblas-1.so", "blas_thread_server", "waiting"),
        ("/x/spu/base/kernels/lib/avx2.cpython-311.so", "draw_panel_double", "normals"),
        ("/x/spu/base/kernels/lib/avx2.cpython-311.so", "rows_of_panel_single.isra.0", "products"),
        ("/x/spu/base/kernels/lib/avx2.cpython-311.so", "step_modes", "kernels"),
        ("/home/me/spu/.venv/site-packages/numpy/_core/_multiarray_umath.cpython-311.so", "", "memory"),
        ("/x/site-packages/scipy/linalg/_flapack.cpython-311.so", "", "decompositions"),
        ("/x/site-packages/numpy/_core/_multiarray_umath.cpython-311.so", "", "memory"),
        ("/lib/libc.so.6", "memcpy", "memory"),
        ("/lib/libm.so.6", "exp", "memory"),
        ("/lib/libc.so.6", "sched_yield", "waiting"),
        ("/usr/lib/libpython3.11.so.1.0", "_PyEval_EvalFrameDefault", "Python"),
        ("/usr/bin/python3.11", "", "Python"),
        ("/x/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so", "", "Python"),
        ("/usr/lib/libngspice.so.0", "", "other"),
        ("[vdso]", "", "other"),
    ],
)
def test_places(modules, path, symbol, place):
    assert modules["shares"].place(path, symbol) == place


V3 = "fma sse4_2 sse4_1 ssse3 pni popcnt cx16 lahf_lm avx avx2 bmi1 bmi2 f16c abm movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("vendor", "family", "model", "stepping", "flags", "level", "label"),
    [
        ("AuthenticAMD", 25, 17, 1, V4, "x86-64-v4", "2 cores, AVX-512, Zen 4"),
        ("AuthenticAMD", 25, 1, 1, V3, "x86-64-v3", "2 cores, AVX2, Zen 3"),
        ("GenuineIntel", 6, 85, 7, V4, "x86-64-v4", "2 cores, AVX-512, Cascade Lake"),
        ("GenuineIntel", 6, 63, 2, V3, "x86-64-v3", "2 cores, AVX2, Haswell"),
        ("GenuineIntel", 6, 999, 2, V3, "x86-64-v3", "2 cores, AVX2"),
        ("GenuineIntel", 6, 23, 2, "cx16 lahf_lm", "x86-64", "2 cores, no AVX2"),
    ],
)
def test_class_of_the_processor(modules, vendor, family, model, stepping, flags, level, label):
    machine = modules["machine"]
    info = f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: X\n"
    found = machine.processor(f"{info}stepping\t: {stepping}\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert (found["level"], machine.label(found, 2)) == (level, label)


def test_class_of_an_arm_processor(modules, monkeypatch):
    machine = modules["machine"]
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    found = machine.processor("BogoMIPS\t: 50.00\nFeatures\t: fp asimd\n\n")
    assert (found["level"], machine.label(found, 2)) == ("aarch64", "2 cores, NEON")


def test_the_table_of_the_page_is_what_was_measured(modules, tmp_path):
    columns = modules["columns"]
    text = columns.PAGE.read_text()
    assert columns.BEGIN + columns.table() + columns.END in text
    copy = tmp_path / "benchmarks.md"
    copy.write_text(text)
    columns.write(copy)
    assert copy.read_text() == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(4712.0, "x", "4,700x"), (14.3, "x", "14x"), (5.94, "x", "5.9x"), (1.034, "x", "1.03x"), (0.883, "x", "0.88x"),
     (0.976, "", "0.98"), (1.47, " s", "1.5 s"), (None, "x", "-"), (0.0, "x", "0.00x")],
)  # fmt: skip
def test_figures_of_the_table(modules, value, unit, text):
    assert modules["columns"].figure(value, unit) == text


def test_a_column_takes_a_whole_run():
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--column", "x", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a column takes a whole run" in done.stderr


def test_a_fresh_install_is_found_first_and_has_no_caches(modules, tmp_path):
    commands = modules["commands"]
    fresh = commands.fresh_install(tmp_path / "fresh")
    assert not [*tmp_path.rglob("__pycache__")]
    assert not [*(tmp_path / "fresh" / "home").iterdir()]
    found = commands.command(commands.python("import spu.cli; print(spu.__file__, spu.cli.__file__)"), fresh)
    assert all(Path(each).is_relative_to(tmp_path) for each in found.split())
    assert (tmp_path / "fresh" / "spu" / "__pycache__").exists()  # the second run finds it


def test_a_command_that_fails_says_why(modules):
    commands = modules["commands"]
    with pytest.raises(commands.Failed, match="exit status 1: too bad"):
        commands.command(commands.python("import sys; sys.exit('too bad')"))
    with pytest.raises(commands.Failed, match="not done in 1 s"):
        commands.command(commands.python("import time; time.sleep(30)"), limit=1.0)


def test_a_wrong_network_is_noticed(modules, monkeypatch):
    session = modules["harness"].Session(quick=True, threads=1)
    modules["correctness"].project_network(session, "double")
    assert session.checks[-1].verdict == "right" and not session.wrong
    right = modules["correctness"].Own.run
    monkeypatch.setattr(modules["correctness"].Own, "run", lambda self: right(self) + 0.1)
    modules["correctness"].project_network(session, "double")
    assert session.checks[-1].verdict == "WRONG" and session.wrong


def test_where_the_time_of_the_own_kernels_goes(modules):
    """Their functions keep their names, or the table would not tell products from normals."""
    law, interval, _ = modules["correctness"].common_problem()
    sampler = modules["correctness"].adapter.sampler(law, interval)
    found = modules["shares"].of_work(lambda: sampler.run(steps=4000, count=64, seed=0, threads=1), 0.4).places
    assert 0.2 < found["products"] < 0.9
    assert 0.1 < found["normals"] < 0.8
