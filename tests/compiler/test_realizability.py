"""What the compiler says of a matrix it cannot hold, and of what it did to one it can."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import frustrated, m_matrix, near, off_diagonal, scaled

import spu
from spu.compiler import compile_problem
from spu.compiler import congruence as congruence_module
from spu.compiler.advice import _elimination
from spu.compiler.congruence import congruence
from spu.compiler.polarity import polarity

IDEAL = spu.load_hardware("ideal")
SINGLE = replace(IDEAL, architectures=("rlc-capacitive", "rc-resistive"))
PASSIVE = replace(IDEAL, architectures=(*SINGLE.architectures, "rlc-capacitive-dual", "rc-resistive-dual"))


def beyond(n: int = 6) -> np.ndarray:
    """No H-matrix."""
    A = frustrated(np.random.default_rng(0), n, 200.0)
    assert congruence(A).rho > 1
    return A


def refusal(problem: spu.Problem, hardware: spu.Hardware, **how: str) -> spu.Unrealizable:
    with pytest.raises(spu.Unrealizable) as caught:
        spu.compile(problem, hardware, **how)
    return caught.value


def test_refusal_says_what_is_wrong_and_what_would_help():
    A = beyond()
    found = refusal(spu.GaussianSampling(precision=A, mean=np.ones(6)), PASSIVE)
    rho = congruence(A).rho
    assert found.details["class"] == "any"
    assert found.details["rho"] == rho
    assert set(found.details["refused"]) == set(PASSIVE.architectures)
    assert [step["name"] for step in found.details["passes"]] == ["polarity", "scaling", *["architecture"] * 4]
    advice = found.details["advice"]
    assert {name for name, why in advice["architectures"].items() if why is None} == {"rc-transconductor"}
    assert "rc-transconductor would hold it, which this hardware lacks" in found.reason
    assert f"all off-diagonals times {0.99 / rho:.4g}" in found.reason
    # The shrunk matrix is held with the margin promised, and its errors are those promised.
    shrink = advice["shrink"]
    near_by = np.diag(np.diag(A)) + shrink["theta"] * off_diagonal(A)
    made = compile_problem(spu.GaussianSampling(precision=near_by), PASSIVE)
    assert made.rho == near(0.99, 1e-9)
    target, held = np.linalg.inv(A), made.prediction.covariance
    assert shrink["covariance_relative_error"] == near(np.linalg.norm(held - target) / np.linalg.norm(target), 1e-6)
    assert shrink["kullback_leibler"] == near(spu.kullback_leibler(np.ones(6), held, np.ones(6), target), 1e-6)
    assert shrink["mean_relative_error"] == 0.0


def test_shrunk_linear_system_has_another_solution():
    A, b = beyond(), np.arange(6) - 2.0
    shrink = refusal(spu.LinearSystem(A, b), PASSIVE).details["advice"]["shrink"]
    x = np.linalg.solve(np.diag(np.diag(A)) + shrink["theta"] * off_diagonal(A), b)
    exact = np.linalg.solve(A, b)
    assert shrink["mean_relative_error"] == near(np.linalg.norm(x - exact) / np.linalg.norm(exact), 1e-9)


def test_dropping_what_no_polarity_mends():
    A = np.array([[2.0, 0.5, 0.0, 0.1], [0.5, 2.0, -0.7, 0.0], [0.0, -0.7, 1.5, -0.3], [0.1, 0.0, -0.3, 1.0]])
    A[0, 2] = A[2, 0] = -0.4
    found = refusal(spu.GaussianSampling(precision=A), SINGLE)
    assert found.details["class"] == "diagonally-dominant"
    assert found.details["margin"] > 0
    advice = found.details["advice"]
    assert advice["shrink"] is None
    single = advice["single_rail"]
    assert single["theta"] == 1.0
    assert 1 <= single["dropped"] <= 2
    options = []
    for i, j in zip(*np.nonzero(np.triu(A, 1)), strict=True):
        B = A.copy()
        B[i, j] = B[j, i] = 0.0
        if polarity(B).signs is not None:
            target = np.linalg.inv(A)
            options.append(np.linalg.norm(np.linalg.inv(B) - target) / np.linalg.norm(target))
    assert single["covariance_relative_error"] >= min(options) * (1 - 1e-9)
    assert "rlc-capacitive-dual or rc-resistive-dual or rc-transconductor would hold it" in found.reason


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("any_sign", [True, False])
def test_elimination_leaves_what_is_promised(any_sign, seed):
    A = frustrated(np.random.default_rng(seed), 9, 200.0)
    gone, products = _elimination(A, any_sign)
    assert products == sum(8 - k for k in range(len(gone)))

    def left(gone: list[int]) -> np.ndarray:
        # Of the y that are sampled, those that are not eliminated: the Schur complement.
        rest = [k for k in range(9) if k not in gone]
        inner = np.linalg.solve(A[np.ix_(gone, gone)], A[np.ix_(gone, rest)])
        return A[np.ix_(rest, rest)] - A[np.ix_(rest, gone)] @ inner

    def held(M: np.ndarray) -> bool:
        return congruence(M).rho <= 0.99 and (any_sign or polarity(M).signs is not None)

    assert [held(left(gone[:k])) for k in range(len(gone) + 1)] == [False] * len(gone) + [True]
    spu.compile(spu.GaussianSampling(precision=left(gone)), PASSIVE if any_sign else SINGLE)


def test_only_the_wrong_coupling_is_dropped():
    """One frustrated coupling behind a random choice of signs: the best polarity leaves one coupling wrong."""
    rng = np.random.default_rng(3)
    A = m_matrix(rng, 10, 20.0) + np.eye(10)
    i, j = np.argwhere(np.triu(A < 0))[-1]
    A[i, j] = A[j, i] = -0.1 * A[i, j]
    signs = rng.choice([-1.0, 1.0], 10)
    found = refusal(spu.GaussianSampling(precision=signs[:, None] * A * signs), SINGLE)
    assert found.details["advice"]["single_rail"]["dropped"] == 1


def test_transforms_and_their_cost():
    hardware = PASSIVE
    found = refusal(spu.GaussianSampling(precision=beyond()), hardware)
    elimination, whitening = found.details["advice"]["transforms"]
    assert whitening["multiplications_per_sample"] == 21
    assert elimination["multiplications_per_sample"] < 21
    assert "white noise" in whitening["device"]


def test_forced_architecture_names_one_that_the_hardware_has():
    found = refusal(spu.GaussianSampling(precision=beyond()), IDEAL, architecture="rlc-capacitive-dual")
    assert "rc-transconductor, which this hardware has, has the couplers for it" in found.reason


def test_explain_of_an_exact_compilation():
    A = scaled(np.random.default_rng(2), 8)
    signs = np.where(np.arange(8) % 3, 1.0, -1.0)
    made = compile_problem(spu.GaussianSampling(precision=signs[:, None] * A * signs))
    steps = made.explain()
    assert [step.name for step in steps] == ["polarity", "scaling", "architecture", "fit", "device"]
    for step in steps:
        assert step.covariance_relative_error < 1e-10
        assert 0 <= step.kullback_leibler < 1e-18
    assert steps[0].data["flipped"] == made.flipped > 0
    assert steps[1].data["margin"] == near(made.margin, 1e-9)
    assert steps[1].data["rho"] == made.rho
    largest = max(made.device.cell_columns.arrays["capacitance"])
    assert steps[3].data["scale_factor"] > largest
    assert made.margin == near(1 - max(_shares(made.device)), 1e-9)


def _shares(device: spu.Device) -> list[float]:
    """Of every cell, what its couplers take of its row of the capacitance matrix."""
    taken = np.zeros(len(device.cell_names))
    for side in (0, 1):
        np.add.at(taken, device.coupler_ends[:, side], device.coupler_columns.arrays["capacitance"])
    own = np.nan_to_num(device.cell_columns.arrays["capacitance"])
    return list(taken / (own + taken))


def test_explain_blames_the_pass_that_errs():
    """Resistors at 300 K add (kT/c) I: an error of the last pass, of none before."""
    A = m_matrix(np.random.default_rng(1), 4, 20.0)
    made = compile_problem(
        spu.GaussianSampling(precision=A, mean=np.ones(4)),
        replace(IDEAL, temperature=300.0),
        architecture="rc-resistive",
    )
    *before, last = made.explain()
    assert all(step.covariance_relative_error < 1e-12 for step in before)
    assert last.covariance_relative_error == made.prediction.relative_error > 1e-5
    S = made.prediction.covariance
    assert last.kullback_leibler == near(spu.kullback_leibler(np.ones(4), S, np.ones(4), np.linalg.inv(A)), 1e-6)


def test_explain_names_refused_architectures():
    made = compile_problem(spu.GaussianSampling(precision=beyond()))
    refused = [step.data["architecture"] for step in made.explain() if step.data.get("refused")]
    assert refused == ["rlc-capacitive", "rc-resistive", "rlc-capacitive-dual", "rc-resistive-dual"]
    assert made.architecture == "rc-transconductor"
    assert made.margin is None


def test_command_line_explains(tmp_path):
    from click.testing import CliRunner

    from spu.cli import cli

    np.savetxt(tmp_path / "a.csv", beyond(), delimiter=",")
    out = tmp_path / "out"
    command = ["compile", str(tmp_path / "a.csv"), "-o", str(out), "--explain"]
    said = CliRunner().invoke(cli, command).output
    assert "3. architecture: rlc-capacitive refused: plain couplers" in said
    assert "9. device: noise of every part at 0 K" in said
    told = json.loads(CliRunner().invoke(cli, [*command, "--json"]).output)
    assert [step["name"] for step in told["explain"]][-2:] == ["fit", "device"]
    assert told["explain"][-1]["covariance_relative_error"] == told["predicted_covariance_relative_error"]
    np.savetxt(tmp_path / "b.csv", [[2.0, 0.5, 0.6], [0.5, 2.0, 0.7], [0.6, 0.7, 2.0]], delimiter=",")
    told = json.loads(CliRunner().invoke(cli, ["compile", str(tmp_path / "b.csv"), "-o", str(out), "--json"]).output)
    assert told["architecture"] == "rlc-capacitive-dual"
    assert told["common_mode"]["largest_rms"] > 0
    assert told["realizability"]["margin"] > 0
    predicted = json.loads(CliRunner().invoke(cli, ["predict", str(out), "--json"]).output)
    assert predicted["common_mode"]["variance"] == told["common_mode"]["variance"]


def test_rho_is_found_when_it_is_asked_for(monkeypatch):
    """Rows bound it where the matrix is dominant; where they do not, as with no part of any cell's own, it decides."""
    asked = []
    honest = congruence_module._radius
    monkeypatch.setattr(congruence_module, "_radius", lambda block: asked.append(block) or honest(block))
    dominant = np.diag([3.0, 3.0, 3.0]) - np.ones((3, 3))
    made = compile_problem(dominant + 0.5 * np.eye(3))
    assert made.realizability == "m-matrix" and not asked
    assert made.rho == near(2.0 / 2.5, 1e-9) and made.rho == made.rho and len(asked) == 1
    floating = congruence(dominant)
    assert floating.dominant and not floating.below_one and len(asked) == 2 and floating.rho == near(1.0, 1e-9)
    assert floating.bound >= floating.rho
