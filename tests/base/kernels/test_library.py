"""The library that fits the processor: which there are, which is taken, and that all give the same bits."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from spu.base.errors import UsageError
from spu.base.kernels import library


def run_as(name: str, code: str, **environment: str) -> str:
    """What a process prints that takes the library of a class."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {library.ENVIRONMENT: name, "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_best_is_taken():
    names = library.available()
    assert names and list(names) == [name for name in library.CLASSES if name in names]
    if not os.environ.get(library.ENVIRONMENT):
        assert library.text("processor_class") == names[0]


def test_another_class_can_be_chosen():
    for name in library.available():
        code = "from spu.base.kernels.library import text; print(text('processor_class'))"
        assert run_as(name, code).strip() == name


def test_a_class_that_is_not_there(monkeypatch):
    monkeypatch.setenv(library.ENVIRONMENT, "z80")
    library.library.cache_clear()
    try:
        with pytest.raises(UsageError, match="SPU_PROCESSOR=z80: this processor is"):
            library.library()
    finally:
        library.library.cache_clear()


def test_nothing_built(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "HERE", tmp_path)
    library.available.cache_clear()
    try:
        with pytest.raises(UsageError, match="not built: install the package"):
            library.available()
    finally:
        library.available.cache_clear()


BITS = """
import hashlib
import numpy as np
from spu.emulator.runs import kernels
from spu.emulator.runs.noise import key_of, normals
from spu.emulator.runs.run import Method, run
from spu.emulator.runs.kernels import DenseStep, ModalStep
from spu.base.selected_inverse import SparseCholesky
import langevin_tiles
import scipy.sparse as sp

total = hashlib.sha256()
def add(*arrays):
    for each in arrays:
        total.update(np.ascontiguousarray(each).tobytes())

add(normals(3, 1001, 7), normals(2**70, 5, 1, trajectory=9))
draw = np.random.default_rng(1)
for n, r, p in ((1, 1, 1), (2, 0, 2), (5, 3, 2), (16, 16, 8), (13, 70, 13), (130, 40, 31)):
    matrix = draw.standard_normal((n, n + r)) / (4 * np.sqrt(n + r))
    matrix[:, n:] *= np.tri(n, r)
    start = DenseStep(draw.standard_normal((n, n)), np.eye(n)[:p], 0)
    how = Method("dense", "", start, DenseStep(matrix, np.eye(n)[:p], n), n, max(n, r), p)
    for trajectories, steps, lags in ((1, 70, 2), (7, 33, 0), (16, 20, 1), (33, 50, 3), (130, 9, 0)):
        sums = run(how, trajectories=trajectories, steps=steps, seed=4, lags=lags, every=3)
        add(sums.total, sums.products, sums.kept, sums.ends)
for systems, shown in ((1, 2), (3, 1), (4, 2)):
    pair = 0.3 * draw.standard_normal((2, systems, 2, 2))
    step = ModalStep(pair[0].copy(), pair[1].copy(), shown)
    how = Method("modal", "", step, step, 2 * systems, 4, systems * shown)
    for trajectories, steps in ((1, 70), (7, 33), (130, 9)):
        sums = run(how, trajectories=trajectories, steps=steps, seed=4, lags=1, every=3)
        add(sums.total, sums.products, sums.kept, sums.ends)
for made in langevin_tiles.all_kinds((1, 5, 13, 31), (1, 17, 33, 130)):
    add(*made.results)
def line(n):
    return sp.diags_array([-np.ones(n - 1), np.full(n, 2.2), -np.ones(n - 1)], offsets=[-1, 0, 1])
matrix = sp.kron(line(40), sp.eye_array(30)) + sp.kron(sp.eye_array(40), line(30))
factor = SparseCholesky(matrix.tocsr())
add(factor.selected_inverse().data, factor.sample_solve(normals(1, 1200, 5)))
print(total.hexdigest())
"""


def test_every_class_gives_the_same_bits():
    """Normals; dense and modal runs of many sizes, single and partial panels, lags; Langevin steps; sparse loops."""
    found = {name: run_as(name, BITS) for name in library.available()}
    assert len(set(found.values())) == 1, found
    assert len(next(iter(found.values())).strip()) == hashlib.sha256().digest_size * 2


@pytest.mark.long
@pytest.mark.parametrize("name", library.available())
def test_no_loop_leaves_its_arrays(name, tmp_path):
    """The same runs in a library with the checks of gcc's address and undefined-behaviour sanitizers."""
    flags = {"avx512": ["-mavx512f", "-mavx512dq", "-mfma"], "avx2": ["-mavx2", "-mfma"]}.get(name, [])
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-sanitize=alignment"]
    source = library.HERE.parent / "c" / "kernels.c"
    built = tmp_path / library.path_of(name).name
    define = '-DSOURCES="checked"'
    common = ["-std=gnu11", "-O1", "-g", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC"]
    subprocess.run(["gcc", *common, *flags, *checks, define, str(source), "-o", str(built)], check=True)
    preload = [
        subprocess.run(["gcc", f"-print-file-name={each}"], capture_output=True, text=True, check=True).stdout.strip()
        for each in ("libasan.so", "libubsan.so")
    ]
    begin = f"""
from pathlib import Path
from spu.base.kernels import library
library.HERE = Path({str(tmp_path)!r})
library.available = lambda: ({name!r},)
"""
    settings = {"LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0"}
    assert run_as(name, begin + BITS, **settings) == run_as(name, BITS)


def test_a_run_is_what_its_numbers_say():
    """Products of packed matrices against numpy: all shapes up to a few groups of rows, with blocks of zeros."""
    from spu.emulator.runs.kernels import DenseStep
    from spu.emulator.runs.noise import normals
    from spu.emulator.runs.run import Method, run

    draw = np.random.default_rng(5)
    for n in (*range(1, 28), 47, 64):
        r = int(draw.integers(0, 9))
        matrix = draw.standard_normal((n, n + r)) / (3 * np.sqrt(n + r))
        matrix[draw.random(matrix.shape) < 0.3] = 0
        matrix[:, int(draw.integers(n + r))] = 0
        observe, start = np.eye(n)[:: max(1, n // 3)], draw.standard_normal((n, n))
        step = DenseStep(matrix, np.ascontiguousarray(observe), n)
        how = Method("dense", "", DenseStep(start, step.observe, 0), step, n, max(n, r), len(observe))
        trajectories, steps = int(draw.integers(1, 40)), 5
        sums = run(how, trajectories=trajectories, steps=steps, seed=8, every=1)
        for t in range(trajectories):
            z = normals(8, steps, max(n, r), trajectory=t)
            x = start @ z[0, :n]
            for k in range(steps):
                if k:
                    x = matrix @ np.concatenate([x, z[k, :r]])
                assert np.abs(sums.kept[t, k] - observe @ x).max() < 1e-13 * max(1, np.abs(x).max())
