"""Problems of a drift and a diffusion on RC cells with transconductors: values, ranges, scales, codes."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la

import spu
from spu.base.errors import InputError, OptionError, Unrealizable
from spu.circuit.scales import NetworkScales, Scales
from spu.compiler.drift import DriftCompilation
from spu.device.banks import Bank
from spu.device.hardware import Hardware, Range, ReadoutRange
from spu.folder import read_folder, write_folder
from spu.problems.answers import COVARIANCE, MEAN
from spu.problems.drift import DriftProblem
from spu.problems.kinds import KINDS, Kind, register

IDEAL = spu.load_hardware("ideal")
A = np.array([[2.0, 1.0, 0.0], [-1.0, 1.0, -0.5], [0.0, 0.25, 3.0]])
Q = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 1.5]])


class Posed(DriftProblem):
    """A problem of any drift, force and readout; its answer is a covariance."""

    task = "posed-drift"

    def __init__(self, matrix, diffusion, force=None, reads=None, lag=None):
        matrix = np.array(matrix, dtype=float)
        count = len(matrix) if reads is None else len(reads)
        self._set(matrix=matrix, diffusion=diffusion, variables=tuple(f"x{k + 1}" for k in range(count)))
        self._set_drift(
            matrix,
            np.array(diffusion, dtype=float),
            force=None if force is None else np.array(force, dtype=float),
            reads=None if reads is None else np.array(reads, dtype=float),
            names=None if reads is None else [f"z{k + 1}" for k in range(len(matrix))],
        )


class Solved(Posed):
    """The same, whose answer is a mean."""

    task = "solved-drift"


@pytest.fixture(autouse=True)
def kinds():
    """Kinds that nobody else sees."""
    for cls, answer in ((Posed, COVARIANCE), (Solved, MEAN)):
        register(Kind(cls.task, cls, answer, "try a drift", values=("diffusion",)))
    yield
    for cls in (Posed, Solved):
        del KINDS[cls.task]


def with_ranges(cell=None, coupler=None, **changes) -> Hardware:
    return replace(IDEAL, cell={**IDEAL.cell, **(cell or {})}, coupler={**IDEAL.coupler, **(coupler or {})}, **changes)


def matrices(device):
    """C, G, one-sided S and bias currents of a device's values alone."""
    n = len(device.cell_names)
    cell = {key: np.nan_to_num(device.cell_columns.arrays[key]) for key in device.cell_columns.keys}
    G = np.diag(cell["conductance"] + cell["active_conductance"])
    ends, arrays = device.coupler_ends, device.coupler_columns.arrays
    G[ends[:, 0], ends[:, 1]] += arrays["transconductance_ab"]
    G[ends[:, 1], ends[:, 0]] += arrays["transconductance_ba"]
    B = device.shared.factor(n)
    return cell["capacitance"], G, np.diag(cell["noise"]) + B @ B.T, cell["bias"]


def test_what_is_built_is_the_equation_in_other_units():
    problem = Posed(A, Q, force=[1.0, -2.0, 0.5])
    made = spu.compile_problem(problem)
    assert isinstance(made, DriftCompilation) and (made.architecture, made.mean) == ("rc-drift", "bias")
    c, G, S, bias = matrices(made.device)
    scales = made.device.scales
    assert isinstance(scales, Scales) and not isinstance(scales, NetworkScales)
    assert np.ptp(c) == 0
    np.testing.assert_allclose(G * scales.time / c[0], A, rtol=1e-12)
    assert np.abs(G).max() == pytest.approx(1e-3)  # the largest entry is the nominal conductance
    # dv = -G v / c dt + sqrt(S / 2) / c dW, v = coordinate z, t = time tau
    np.testing.assert_allclose(S / (2 * c[0] ** 2) * scales.time / scales.coordinate**2, Q, rtol=1e-12)
    assert S.max() == pytest.approx(4e-20)
    np.testing.assert_allclose(bias * scales.time / (c[0] * scales.coordinate), [1.0, -2.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(made.prediction.mean, la.solve(A, [1.0, -2.0, 0.5]), rtol=1e-10)
    np.testing.assert_allclose(made.prediction.covariance, la.solve_continuous_lyapunov(A, Q), rtol=1e-10)
    assert made.second == scales.time


def test_one_time_scale_whatever_the_scale_of_the_problem():
    """No cell is scaled by itself: readout gains are all one number, and rates those of the problem over one second."""
    for factor in (1e-6, 1.0, 1e8):
        made = spu.compile_problem(spu.LyapunovEquation(A * factor, Q))
        gains = made.device.readout.matrix
        assert np.ptp(gains.diagonal()) == 0 and gains.nnz == 3
        found = np.sort_complex(made.prediction.law.poles * made.second)
        np.testing.assert_allclose(found, np.sort_complex(-la.eigvals(A * factor)), rtol=1e-9)
        assert made.prediction.relative_error < 1e-12


def test_a_cell_without_loss_has_none_and_one_that_drives_itself_an_active_part():
    problem = spu.LyapunovEquation([[-0.2, 2.0, 0.0], [-2.0, 0.0, 2.0], [0.0, -2.0, 2.5]], 1.0)
    made = spu.compile_problem(problem)
    conductance = made.device.cell_columns.arrays["conductance"]
    active = made.device.cell_columns.arrays["active_conductance"]
    assert np.isnan(conductance).tolist() == [True, True, False]
    assert np.isnan(active).tolist() == [False, True, True] and active[0] < 0
    assert made.prediction.relative_error < 1e-10
    passive = replace(IDEAL, cell={key: value for key, value in IDEAL.cell.items() if key != "active_conductance"})
    with pytest.raises(Unrealizable, match="cell x1 needs a negative conductance of its own"):
        spu.compile_problem(problem, passive)
    with pytest.raises(Unrealizable, match="outside its range") as caught:
        limits = {"active_conductance": Range(min=-1e-6), "conductance": Range(nominal=1e-3, min=1e-4)}
        spu.compile_problem(problem, with_ranges(limits))
    assert "conductance of cell x1 would be 0" in caught.value.reason


@pytest.mark.parametrize(
    ("cell", "coupler", "said"),
    [
        ({"conductance": Range(nominal=1e-3, min=9e-4, max=1e-3)}, {}, "conductance of cell x3 would be 0.0027 S"),
        ({}, {"transconductance": Range(min=0.0)}, "transconductor x2-x3 is needed; this hardware has none"),
        (
            {"conductance": Range(nominal=1e-3, max=1e-3)},
            {"transconductance": Range(min=-1e-2, max=-1e-12)},
            "transconductor x1-x2 is needed",
        ),
        ({"noise": Range(nominal=4e-20, min=3.9e-20, max=4e-20)}, {}, "noise of cell x2 would be 7.8e-20 A^2/Hz"),
    ],
)
def test_ranges_are_kept(cell, coupler, said):
    with pytest.raises(Unrealizable) as caught:
        spu.compile_problem(spu.LyapunovEquation(A, [1.0, 2.0, 2.0]), with_ranges(cell, coupler))
    assert said in caught.value.reason
    assert caught.value.reason.startswith("hardware ideal cannot hold this problem, not as rc-drift: ")


def test_values_move_into_their_ranges():
    limits = with_ranges(
        {"conductance": Range(nominal=3e-5, max=3e-5), "noise": Range(nominal=1e-22, max=1e-22)},
        {"transconductance": Range(min=-5e-6, max=5e-6)},
    )
    made = spu.compile_problem(spu.LyapunovEquation(A, Q), limits)
    _, G, S, _ = matrices(made.device)
    assert np.abs(G - np.diag(np.diag(G))).max() == pytest.approx(5e-6)
    assert np.diag(S).max() == pytest.approx(1e-22)
    assert made.prediction.relative_error < 1e-12


def test_a_force_beyond_the_bias_is_an_offset_unless_the_mean_is_what_is_asked_for():
    limits = with_ranges({"bias": Range(min=-1e-12, max=1e-12)})
    given = (A, Q, [1.0, -2.0, 0.5])
    made = spu.compile_problem(Posed(*given), limits)
    assert made.mean == "offset" and made.prediction.mean_relative_error < 1e-12
    with pytest.raises(Unrealizable, match="bias of cell x1 would be"):
        spu.compile_problem(Solved(*given), limits)
    assert spu.compile_problem(Solved(*given)).mean == "bias"


def test_more_cells_than_variables():
    reads = np.array([[1.0, 0.0, -0.5], [0.0, 2.0, 0.0]])
    problem = Posed(A, Q, force=[1.0, 0.0, 0.0], reads=reads)
    made = spu.compile_problem(problem)
    assert made.device.cell_names == ["z1", "z2", "z3"] and made.device.readout.variables == ("x1", "x2")
    P = la.solve_continuous_lyapunov(A, Q)
    np.testing.assert_allclose(made.prediction.covariance, reads @ P @ reads.T, rtol=1e-10)
    np.testing.assert_allclose(made.prediction.mean, reads @ la.solve(A, [1.0, 0.0, 0.0]), rtol=1e-10)
    with pytest.raises(Unrealizable, match="2 variables need 3 cells; hardware ideal has 2"):
        spu.compile_problem(problem, replace(IDEAL, max_cells=2))


def test_thermal_noise_is_part_of_the_predicted_error():
    warm = replace(IDEAL, temperature=300.0)
    made = spu.compile_problem(spu.LyapunovEquation(A, Q), warm)
    c, G, S, _ = matrices(made.device)
    scales = made.device.scales
    thermal = 4 * 1.380649e-23 * 300.0 * np.diag(np.diag(G))
    held = la.solve_continuous_lyapunov(G / c[0], (S + thermal) / (2 * c[0] ** 2)) / scales.coordinate**2
    wanted = la.solve_continuous_lyapunov(A, Q)
    error = np.linalg.norm(held - wanted) / np.linalg.norm(wanted)
    assert made.prediction.relative_error == pytest.approx(error, rel=1e-6) and 1e-5 < error < 1e-2


def test_noise_suits_the_readout():
    quiet = replace(IDEAL, readout=ReadoutRange(noise_floor=1e-3, full_swing=1.0))
    made = spu.compile_problem(spu.LyapunovEquation(A, Q), quiet)
    assert made.levels.noise > 4e-20 and made.levels.floor_headroom > -1e-6
    assert np.sqrt(np.diag(made.prediction.voltage_covariance)).min() == pytest.approx(1e-3)
    assert made.prediction.relative_error < 1e-12
    narrow = replace(quiet, cell={**IDEAL.cell, "noise": Range(nominal=4e-20, max=1e-19)})
    with pytest.raises(Unrealizable, match="no level lies between noise floor and full swing"):
        spu.compile_problem(spu.LyapunovEquation(A, Q), narrow)


def test_without_noise_a_mean_is_held_all_the_same():
    made = spu.compile_problem(Solved(A, np.zeros((3, 3)), [1.0, -2.0, 0.5]))
    np.testing.assert_allclose(made.prediction.mean, la.solve(A, [1.0, -2.0, 0.5]), rtol=1e-10)
    assert np.abs(made.prediction.voltage_mean).max() == pytest.approx(1e-3)
    with pytest.raises(Unrealizable, match="neither noise nor a force"):
        spu.compile_problem(Posed(A, np.zeros((3, 3))))


# Banks, wiring, details


def banked(bits: int, **changes) -> Hardware:
    steps = 2**bits - 1
    return with_ranges(
        {"conductance": Range(nominal=1e-3, bank=Bank(bits, 2e-3 / steps))},
        {"transconductance": Range(min=-np.inf, bank=Bank(bits, 2e-3 / steps, signed=True))},
        name=f"bits{bits}",
        **changes,
    )


def test_codes_are_the_nearest_and_the_scale_is_chosen_for_the_answer():
    matrix = A * [[1.0, 0.77, 0.0], [0.913, 1.0, 0.61], [0.0, 0.81, 0.57]]
    problem = spu.LyapunovEquation(matrix, Q)
    errors = {}
    for bits in (4, 8, 12):
        nearest = spu.compile_problem(problem, banked(bits), rounding="nearest")
        chosen = spu.compile_problem(problem, banked(bits))
        assert chosen.rounding == "answer" and nearest.rounding == "nearest"
        assert chosen.banks == 3 + 2  # cells, couplers
        assert chosen.prediction.relative_error <= nearest.prediction.relative_error
        columns = chosen.device.coupler_columns
        assert set(columns.banks) == {"transconductance"}
        step = columns.banks["transconductance"].lsb
        np.testing.assert_allclose(columns.arrays["transconductance_ab"], step * columns.codes["transconductance_ab"])
        # Nothing moves by more than half a step of what it was made from.
        _, G, _, _ = matrices(chosen.device)
        factor = chosen.realization.factor
        assert np.abs(G - matrix * factor).max() <= step / 2 * (1 + 1e-9)
        errors[bits] = chosen.prediction.relative_error
    assert errors[12] < errors[8] < errors[4] and errors[12] < 2e-3


def test_codes_that_leave_no_law_say_so():
    unstable = [[1.0, 40.0], [0.02, 1.0]]  # eigenvalues 1 +- 0.89
    with pytest.raises(Unrealizable, match="no stationary law: more bits are needed"):
        spu.compile_problem(spu.LyapunovEquation(unstable, 1.0), banked(3), rounding="nearest")


def test_options_without_meaning_are_refused_by_name():
    problem = spu.LyapunovEquation(A, Q)
    for name, value in (("ensemble", 2), ("speedup", 2.0), ("draw", 1), ("embedding", spu.EmbeddingOptions())):
        with pytest.raises(OptionError, match=name):
            spu.compile_problem(problem, **{name: value})
    with pytest.raises(InputError, match="no rounding 'codes'"):
        spu.compile_problem(problem, rounding="codes")
    with pytest.raises(InputError, match="no architecture 'rc-resistive' for problems of a drift"):
        spu.compile_problem(problem, architecture="rc-resistive")
    with pytest.raises(Unrealizable, match="has no linear cells"):
        spu.compile_problem(problem, "spu8")
    with pytest.raises(InputError, match="no architecture 'rc-drift'"):
        spu.compile_problem(spu.MatrixInverse([[2.0, 1.0], [1.0, 2.0]]), architecture="rc-drift")


def test_wired_hardware_holds_what_fits_cell_by_cell():
    line = replace(IDEAL, wiring="grid 1x4")
    made = spu.compile_problem(spu.LyapunovEquation(A, Q), line)
    assert set(made.device.cell_names) < {"r0c0", "r0c1", "r0c2", "r0c3"}
    assert made.prediction.relative_error < 1e-12
    full = A + 0.1 * np.ones((3, 3))
    with pytest.raises(Unrealizable, match="do not fit the wiring grid 1x4 cell by cell"):
        spu.compile_problem(spu.LyapunovEquation(full, Q), line)


def test_details_cost_what_the_device_says():
    detailed = replace(IDEAL, detail=spu.Detail(node={"capacitance": 1e-12}))
    made = spu.compile_problem(spu.LyapunovEquation(A, Q), detailed)
    assert made.ideal.relative_error < 1e-12 < made.prediction.relative_error < 1e-2
    assert [step.name for step in made.explain()] == ["architecture", "fit", "device", "detail"]
    plain = spu.compile_problem(spu.LyapunovEquation(A, Q), detailed, detail="none")
    assert plain.prediction.relative_error < 1e-12


# The door


def test_folders_keep_the_scales(tmp_path):
    made = spu.compile_problem(spu.LyapunovEquation(A, Q))
    write_folder(tmp_path / "out", made)
    folder = read_folder(tmp_path / "out")
    assert folder.device.scales == made.device.scales
    assert folder.compiled["scales"] == {"time": made.second, "coordinate": made.device.scales.coordinate}
    assert folder.device.noises == made.device.noises and folder.device.hash == made.device.hash
    text = (tmp_path / "out" / "problem.json").read_text()
    (tmp_path / "out" / "problem.json").write_text(text.replace('"coordinate"', '"koordinate"'))
    with pytest.raises(InputError, match=r"compiled\.scales"):
        read_folder(tmp_path / "out")


def test_what_it_says():
    made = spu.compile_problem(spu.LyapunovEquation(A, Q))
    said = dict(made.facts())
    assert said["problem"] == "solve a Lyapunov equation, 3 variables"
    assert said["time"] == "one unit of the problem's is 3 us" and "V in every cell" in said["scaling"]
    assert made.to_dict()["scales"]["time"] == made.second
    assert str(made).startswith("problem")


def test_the_hash_is_of_the_problem_not_of_last_bits():
    problem = spu.LyapunovEquation(A, Q)
    first, again = spu.compile(problem), spu.compile(problem)
    assert first.as_compiled and first.hash == again.hash
    other = spu.compile(spu.LyapunovEquation(A, Q * 2))
    assert other.hash != first.hash
    first.shared.amplitudes[0] *= 1.01
    assert not first.as_compiled and first.hash != again.hash
