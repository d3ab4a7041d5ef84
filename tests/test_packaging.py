"""What is installed from: the distribution's name, what is in it, and that it runs far from the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import spu
from spu.base.kernels import library
from spu.base.version import DISTRIBUTION, installation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_one_place_says_name_and_version():
    assert PROJECT["project"]["name"] == DISTRIBUTION
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "spu.base.version.__version__"}
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == spu.__version__


def test_hints_name_extras_that_there_are():
    """In code and in pages, and nobody else's distribution."""
    known = set(PROJECT["project"]["optional-dependencies"])
    assert installation("embedding") == "pip install 'spu-emulator[embedding]'"
    for place in ("spu", "cli", "docs", "README.md", "CHANGELOG.md", "tests", "examples"):
        files = [ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*")
        for file in files:
            if file.suffix not in (".py", ".md", ".toml") or "_build" in file.parts or file == Path(__file__):
                continue
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.-])spu\[[a-z]", text), file
            for extra in re.findall(r"""installation\(["']([a-z]+)["']\)|spu-emulator\\?\[([a-z]+)""", text):
                assert "".join(extra) in known, (file, extra)


def data_files() -> list[Path]:
    """Files of the package that are no modules, but for what compiled loops are made of."""
    found = [path for path in (ROOT / "spu").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    found = [path for path in found if path.parent.name != "__pycache__"]
    kernels = ROOT / "spu" / "base" / "kernels"
    return [path for path in found if kernels not in path.parents]


def test_every_file_of_the_package_is_in_it():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in (ROOT / "spu").rglob("__init__.py")}
    assert sorted(listed) == sorted([".".join(path.relative_to(ROOT).parts) for path in folders] + ["spu.cli"])
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["spu"]
    covered = {path for pattern in patterns for path in (ROOT / "spu").glob(pattern)}
    assert set(data_files()) <= covered


# --- built, and installed ------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both distributions, the wheel built from what the other one holds."""
    source = tmp_path_factory.mktemp("source") / "spu"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "*.egg-info", "_build", "results", "demo")
    shutil.copytree(ROOT, source, ignore=ignored)
    shutil.rmtree(source / "spu" / "base" / "kernels" / "lib", ignore_errors=True)
    shutil.copy(ROOT / ".pre-commit-config.yaml", source)
    into = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Package would be ignored" not in done.stdout + done.stderr
    (sdist,), (wheel,) = into.glob("*.tar.gz"), into.glob("*.whl")
    return sdist, wheel


@pytest.mark.long
def test_the_wheel_holds_the_package_and_nothing_else(built):
    _, wheel = built
    assert re.fullmatch(rf"spu_emulator-{re.escape(spu.__version__)}-py3-none-\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "spu").rglob("*.py")}
    modules |= {f"spu/cli/{path.name}" for path in (ROOT / "cli").glob("*.py")}
    data = {str(path.relative_to(ROOT)) for path in data_files()}
    libraries = {name for name in names if name.startswith("spu/base/kernels/lib/")}
    about = {name for name in names if ".dist-info/" in name}
    assert names == modules | data | libraries | about
    own = {path.stem for path in library.HERE.glob("*.so") if path.name.count(".") == 1}
    assert {Path(name).stem for name in libraries} == own
    assert any(name.endswith("licenses/LICENSE") for name in about)


@pytest.mark.long
def test_the_source_distribution_holds_its_tests(built, tmp_path):
    sdist, _ = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    for each in (
        "Makefile",
        "README.md",
        "setup.py",
        "tools/system_packages.sh",
        "examples/club8.toml",
        "docs/conf.py",
    ):
        assert (root / each).is_file(), each
    for place in ("tests", "netlists", "examples", "docs"):
        ours = {path.relative_to(ROOT) for path in (ROOT / place).rglob("*") if path.is_file()}
        theirs = {path.relative_to(root) for path in (root / place).rglob("*") if path.is_file()}
        missing = {path for path in ours - theirs if not {"__pycache__", "_build", "generated"} & set(path.parts)}
        assert not missing, sorted(missing)[:5]
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_floors.py", "tests/base/test_progress.py"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
def test_the_wheel_runs_far_from_the_checkout(built, tmp_path):
    """In an empty environment, with what the package needs on its path."""
    _, wheel = built
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    found = [path for path in sys.path if path.endswith("-packages")] or [sysconfig.get_path("purelib")]
    (own,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (own / "needed.pth").write_text("\n".join(found) + "\n")  # paths only: an editable install there stays asleep
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [python.with_name("spu"), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [python, "-c", "import spu, spu.cli.verbs as v; print(spu.__file__, v.__file__)"]
    done = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert all(place.startswith(str(tmp_path)) for place in done.stdout.split())
    assert run("--version") == f"spu-emulator {spu.__version__}\n"
    (tmp_path / "a.csv").write_text("2,-0.5\n-0.5,1\n")
    run("compile", "a.csv", "-o", "out", "--hardware", "spu8")
    assert "variance" in run("predict", "out")
    assert "PASS" in run("check", "out", "--level", "ideal", "--level", "answer", "--level", "ac")
    run("report", "out", "--level", "ideal", "--samples", "1000")
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
