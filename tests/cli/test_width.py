"""Every verb on several devices: no line is wider than a screen, and with --verbose nothing is left out."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.layout import WIDTH
from spu.cli import cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

NAMES = [f"pressure_at_the_outlet_of_the_second_stage_{k}" for k in range(1, 9)]

TOLERANCE = "cell.capacitance=1%,cell.capacitance.process=5%,cell.conductance=1%"

LINEAR = {
    "inspect": ["--budget", "--stability"],
    "predict": [],
    "simulate": ["--samples", "200", "--lags", "2", "--no-output"],
    "check": ["--level", "ideal", "--level", "answer", "--level", "op"],
    "corners": ["--tolerance", TOLERANCE, "--temperature", "250,300"],
    "yield": ["--limit", "5%", "--draws", "50", "--tolerance", TOLERANCE],
    "plan": ["--error", "10%"],
}

DEVICES = ("demo", "ota8", "spu8-board", "plain")

SLOW = {"demo": (), "ota8": (), "spu8-board": ("corners", "yield", "plan"), "plain": ()}
"""What takes long there, and prints the same tables."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of devices: the demo, three with long names, a network, an import; and matrices."""
    folder = tmp_path_factory.mktemp("w")
    matrix = np.array(spu.load_problem(EXAMPLES / "club8.toml")[0].precision)
    rows = "\n".join(",".join(map(repr, row)) for row in matrix.tolist())
    (folder / "A.csv").write_text(",".join(NAMES) + "\n" + rows + "\n")
    (folder / "b.csv").write_text("\n".join(map(str, range(8))) + "\n")
    for name in ("ota8", "spu8-board", "ideal"):
        target = folder / ("plain" if name == "ideal" else name)
        assert run(["compile", folder / "A.csv", "--hardware", name, "-o", target, "--explain"])
    assert run(["compile", EXAMPLES / "club8.toml", "-o", folder / "demo", "--explain"])
    assert run(["compile", EXAMPLES / "neurons.toml", "-o", folder / "network"])
    assert run(["import", folder / "ota8" / "device.cir", "-o", folder / "imported"])
    return folder


def run(words, *, wide=False):
    """What a verb prints, whose lines are held to the width of a screen."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code in (0, 1), f"{words}: {done.output}"
    lines = [line for line in done.stdout.split("\n") if "/" not in line]  # paths are never broken
    assert wide or max(map(len, lines)) <= WIDTH, max(lines, key=len)
    return done.stdout


@pytest.mark.parametrize(
    ("device", "verb"), [(device, verb) for device in DEVICES for verb in LINEAR if verb not in SLOW[device]]
)
def test_linear_devices(made, device, verb):
    run([verb, made / device, *LINEAR[verb]])


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "network"],
        ["predict", "network"],
        ["predict", "network", "--unit", "x1", "--times", "0.1,0.2,0.5,1"],
        ["simulate", "network", "--trajectories", "20", "--heat", "--times", "0.1,0.2,0.3,0.4", "--no-output"],
        ["check", "network", "--level", "ideal", "--level", "answer"],
        ["import", "ota8/device.cir"],
        ["inspect", "imported"],
        ["predict", "imported"],
        ["check", "imported", "--level", "op"],
        ["anneal", str(EXAMPLES / "petersen.toml"), "--runs", "10"],
        ["solve", "A.csv", "b.csv", "--error", "10%"],
        ["invert", "A.csv", "--error", "10%"],
        ["logdet", "A.csv", "--error", "20%"],
        ["lstsq", "A.csv", "b.csv", "--error", "10%"],
        ["plan", "A.csv", "--error", "1%", "--measure", "2"],
        ["regress", str(EXAMPLES / "nile.csv"), "--samples", "100"],
        ["scaling", "inverse", "--dimensions", "2,4", "--draws", "1"],
    ],
    ids=lambda words: " ".join(Path(word).name for word in words[:2]),
)
def test_other_verbs(made, words):
    run([made / word if (made / word).exists() else word for word in words])


def test_verbose_leaves_nothing_out(made):
    short, whole = (run(["inspect", made / "ota8", *more], wide=bool(more)) for more in ([], ["--verbose"]))
    assert "--verbose" in short and "--verbose" not in whole
    assert all(name in line for name, line in zip(NAMES, whole.split("\n")[5:], strict=False))
    short, whole = (
        run(["check", made / "ota8", "--level", "ideal", *more], wide=bool(more)) for more in ([], ["--verbose"])
    )
    assert "--verbose" in short and "false alarms" in whole and "compilation" in whole and "--verbose" not in whole
    run(["compile", EXAMPLES / "wine.toml", "-o", made / "wine"])
    short, whole = (run(["inspect", made / "wine", *more], wide=bool(more)) for more in ([], ["--verbose"]))
    assert "... and 58 more (all with --verbose)" in short
    assert sum("proline" in line for line in whole.split("\n")) == 13


def test_results_in_python_say_the_same(made):
    found = spu.predict(made / "ota8")
    assert str(found) + "\n" == run(["predict", made / "ota8"])
    assert found.in_full() + "\n" == run(["predict", made / "ota8", "--verbose"], wide=True)
    assert NAMES[0] in found.in_full()
