"""What a check works out once: counted."""

from pathlib import Path

import numpy as np
import pytest

import spu
from spu.crosscheck import context
from spu.crosscheck.levels.power import smallest_change
from spu.device.lower import lower
from spu.emulator.laws import law, sensitivity
from spu.folder import write_folder

EXAMPLES = Path(__file__).parents[2] / "examples"


def club8():
    problem, hardware = spu.load_problem(EXAMPLES / "club8.toml")
    return spu.compile_problem(problem, hardware)


def rc_with_a_mean():
    precision = np.array([[2.0, -0.7, 0.0], [-0.7, 1.5, -0.5], [0.0, -0.5, 1.8]])
    return spu.compile_problem(spu.LinearSystem(precision, np.array([1.0, 0.0, -1.0])))


@pytest.fixture
def counted(monkeypatch):
    """How often laws were solved, and perturbed."""
    found = {"laws": 0, "perturbations": 0, "equations": 0}

    def count(module, name, key):
        whole = getattr(module, name)

        def counting(*given):
            found[key] += 1
            return whole(*given)

        monkeypatch.setattr(module, name, counting)

    count(law, "stationary", "laws")
    count(context, "sensitivities", "perturbations")
    count(sensitivity, "stochastic_ode", "equations")
    return found


@pytest.mark.parametrize("make", [club8, rc_with_a_mean])
def test_levels_ideal_and_op_solve_one_law_and_perturb_it_once(tmp_path, counted, make):
    write_folder(tmp_path / "device", make())
    counted.update(laws=0, perturbations=0, equations=0)
    found = spu.check(tmp_path / "device", levels=["ideal", "op"])
    assert found.verdict == "pass"
    assert {level.detects["elements"] + level.detects["unseen"] for level in found.levels.values() if level.detects}
    assert counted == {"laws": 1, "perturbations": 1, "equations": 0}


def test_all_levels_together_solve_one_law_and_perturb_it_once(tmp_path, counted):
    write_folder(tmp_path / "device", rc_with_a_mean())
    counted.update(laws=0, perturbations=0, equations=0)
    assert spu.check(tmp_path / "device").verdict == "pass"
    # Level answer derives what it reads; equations alike entry by entry have the law that is known.
    assert counted["laws"] <= 2 and counted["perturbations"] == 1 and counted["equations"] == 0


def test_the_hardest_of_equals_is_the_first_of_them():
    """Which of parameters that are seen alike is named does not hang on the last bit."""
    circuit = lower(rc_with_a_mean().device)
    of = context.Context(circuit, None, None, None)
    moved = np.ones(len(of.sensitivities.names))
    moved[-1] -= 1e-14  # seen worst, by rounding alone
    assert smallest_change(of, moved, 1e-8)["hardest"] == of.sensitivities.names[0]
    moved[-1] -= 1e-3
    assert smallest_change(of, moved, 1e-8)["hardest"] == of.sensitivities.names[-1]
