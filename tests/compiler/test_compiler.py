"""What the compiler chooses, and that what it chose holds the problem: predicted from the circuit."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import balanced, disconnected, frustrated, m_matrix, near, off_diagonal, scaled, unquantised, weak_links
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import spu
from spu.compiler import compile_problem
from spu.compiler.congruence import congruence, own_fraction
from spu.compiler.fit import Elements, fit_scale
from spu.compiler.polarity import polarity
from spu.device.hardware import Hardware, Range

IDEAL = spu.load_hardware("ideal")
SPU8 = unquantised(spu.load_hardware("spu8"))
KINDS = {
    "m-matrix": m_matrix,
    "balanced": balanced,
    "frustrated": frustrated,
    "scaled": scaled,
    "disconnected": disconnected,
}
SIZES = (1, 2, 3, 7, 20)


def limited(base: Hardware = IDEAL, **ranges: Range) -> Hardware:
    """``cell_capacitance=Range(...)`` and the like put in place of what the hardware has."""
    cell, coupler = dict(base.cell), dict(base.coupler)
    for key, value in ranges.items():
        kind, quantity = key.split("_")
        {"cell": cell, "coupler": coupler}[kind][quantity] = value
    return replace(base, cell=cell, coupler=coupler)


def only(architecture: str, base: Hardware = IDEAL) -> Hardware:
    return replace(base, architectures=(architecture,))


def passive(device: spu.Device) -> None:
    """Every capacitance, conductance and inductance that is built is positive; nothing else couples."""
    for item in [*device.cells, *device.couplers]:
        for quantity, value in item.values.items():
            if quantity != "bias":
                assert value > 0, (item, quantity)
    assert all("transconductance" not in coupler.values for coupler in device.couplers)


@pytest.mark.parametrize("condition", [10.0, 1e3, 1e6])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_random_matrices(kind, n, condition):
    if n < {"frustrated": 3, "disconnected": 2, "scaled": 2}.get(kind, 1):
        return
    A = KINDS[kind](np.random.default_rng(n), n, condition)
    made = compile_problem(spu.GaussianSampling(precision=A))
    assert made.prediction.relative_error < 1e-9
    if kind == "frustrated":
        assert made.architecture == ("rlc-capacitive-dual" if made.rho < 1 else "rc-transconductor")
        assert made.realizability in (("h-matrix", "diagonally-dominant") if made.rho < 1 else ("any",))
        assert "rlc-capacitive" in made.reason
        assert "contradict" in made.reason
        assert made.flipped == 0
    else:
        assert made.architecture == "rlc-capacitive"
        assert made.reason.endswith("the most passive one this hardware has")
        assert made.realizability == ("m-matrix-after-polarity" if (off_diagonal(A) > 0).any() else "m-matrix")
        passive(made.device)
        assert len(made.device.couplers) == np.count_nonzero(np.triu(A, 1))
    # The radius, computed from the definition.
    root = np.sqrt(np.diag(A))
    rho = np.abs(np.linalg.eigvals(np.abs(off_diagonal(A)) / np.outer(root, root))).max()
    assert made.rho == pytest.approx(rho, rel=1e-9, abs=1e-12)
    assert made.mean == "zero"


@pytest.mark.parametrize("architecture", ["rlc-capacitive", "rc-resistive", "rc-transconductor"])
@pytest.mark.parametrize("kind", ["m-matrix", "balanced", "scaled", "disconnected"])
def test_every_architecture_holds_what_the_passive_ones_hold(kind, architecture):
    A = KINDS[kind](np.random.default_rng(0), 6, 100.0)
    mean = np.arange(6) - 2.5
    made = compile_problem(spu.GaussianSampling(precision=A, mean=mean), architecture=architecture)
    assert made.architecture == architecture
    assert made.reason.endswith("(as asked)")
    assert made.prediction.relative_error < 1e-11
    assert made.prediction.mean == pytest.approx(mean, rel=1e-11, abs=1e-12)
    assert made.mean == ("offset" if architecture == "rlc-capacitive" else "bias")
    if architecture != "rc-transconductor":
        passive(made.device)
        assert made.flipped == (0 if kind != "balanced" else int((made.device.readout.matrix.diagonal() < 0).sum()))


def test_flipped_cells_are_read_backwards():
    A = balanced(np.random.default_rng(1), 6)
    made = compile_problem(spu.GaussianSampling(precision=A))
    gains = made.device.readout.matrix.diagonal()
    assert 0 < made.flipped == (gains < 0).sum() < 6
    assert (off_diagonal(A * np.sign(np.outer(gains, gains))) <= 0).all()


def test_no_congruence_where_none_is_needed():
    made = compile_problem(spu.GaussianSampling(precision=m_matrix(np.random.default_rng(2), 8)))
    assert made.scale_spread == 1.0
    needed = compile_problem(spu.GaussianSampling(precision=scaled(np.random.default_rng(2), 8)))
    assert 1 < needed.scale_spread < 200


@pytest.mark.parametrize("seed", range(10))
def test_congruence_leaves_every_cell_something(seed):
    A = scaled(np.random.default_rng(seed), 2 + seed, 1e4)
    found = congruence(A)
    assert not found.dominant
    assert found.scale is not None
    assert (found.scale > 0).all()
    assert own_fraction(A, found.scale).min() > 0


def test_congruence_refuses_what_is_no_h_matrix():
    A = np.array([[1.0, 0.9, 0.5], [0.9, 1.0, 0.9], [0.5, 0.9, 1.0]])
    assert np.linalg.eigvalsh(A + 0.2 * np.eye(3)).min() > 0
    found = congruence(A + 0.2 * np.eye(3))
    assert found.rho > 1
    assert found.scale is None


@pytest.mark.parametrize("link", [1e-1, 1e-2])
def test_links_between_unequal_blocks(link):
    A = weak_links(np.random.default_rng(0), 4, link)
    assert np.linalg.eigvalsh(A).min() > 0
    made = compile_problem(spu.GaussianSampling(precision=A))
    assert made.architecture == "rlc-capacitive"
    assert made.prediction.relative_error < 1e-9


@pytest.mark.parametrize("link", [1e-4, 1e-8, 1e-12])
def test_weak_links(link):
    """The Perron vector decays as the link to the power of the distance; the scaling need not."""
    A = weak_links(np.random.default_rng(0), 6, link)
    made = compile_problem(spu.GaussianSampling(precision=A))
    assert made.architecture == "rlc-capacitive"
    assert made.prediction.relative_error < 1e-9
    assert made.scale_spread < 1e4


def test_covariance_of_a_sparse_precision():
    """Given by its covariance, a chain is still a chain: 1e-17 is no coupler, and no sign to be frustrated by."""
    A = m_matrix(np.random.default_rng(3), 8, 100.0)
    chain = np.triu(np.tril(A, 1), -1) + 0.1 * np.eye(8)
    made = compile_problem(spu.GaussianSampling(covariance=np.linalg.inv(chain)))
    assert made.architecture == "rlc-capacitive"
    assert len(made.device.couplers) == 7


# Polarity


@pytest.mark.parametrize("seed", range(10))
def test_polarity_against_every_choice(seed):
    """Two-colouring against all 2^n choices of signs, on sparse matrices of random signs."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 7))
    A = np.triu(rng.choice([-1.0, 0.0, 0.0, 1.0], (n, n)), 1)
    A = A + A.T + 10 * np.eye(n)
    choices = [np.array([1 - 2 * ((code >> k) & 1) for k in range(n)]) for code in range(2**n)]
    possible = any((off_diagonal(s[:, None] * A * s) <= 0).all() for s in choices)
    found = polarity(A)
    assert (found.signs is not None) == possible
    if possible:
        assert (off_diagonal(found.signs[:, None] * A * found.signs) <= 0).all()
    else:
        cycle = list(found.frustrated)
        assert len(cycle) >= 3
        assert len(set(cycle)) == len(cycle)
        edges = [A[a, b] for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True)]
        assert all(edges)
        assert np.prod(-np.sign(edges)) < 0


# Linear systems and means


@pytest.mark.parametrize("kind", KINDS)
def test_linear_system(kind):
    rng = np.random.default_rng(4)
    A, b = KINDS[kind](rng, 9, 1e4), rng.standard_normal(9)
    made = compile_problem(spu.LinearSystem(matrix=A, vector=b))
    signed = "rc-resistive-dual" if made.rho < 1 else "rc-transconductor"
    assert made.architecture == (signed if kind == "frustrated" else "rc-resistive")
    assert made.mean == "bias"
    assert np.linalg.norm(made.prediction.mean - np.linalg.solve(A, b)) < 1e-10 * np.linalg.norm(made.prediction.mean)
    assert made.prediction.relative_error < 1e-10
    assert made.prediction.covariance_relative_error < 1e-10
    assert not made.device.readout.offset.any()


def test_linear_system_does_not_fit_resonators():
    problem = spu.LinearSystem(matrix=[[2.0, -1.0], [-1.0, 2.0]], vector=[1.0, 0.0])
    with pytest.raises(spu.Unrealizable, match="inductor shorts"):
        spu.compile(problem, hardware="spu8")
    with pytest.raises(spu.Unrealizable, match="inductor shorts"):
        spu.compile(problem, architecture="rlc-capacitive")


def test_mean_falls_back_on_the_readout():
    """A bias beyond its range: a sampling problem holds the mean in the readout, a linear system is refused."""
    hardware = limited(only("rc-resistive"), cell_bias=Range(min=-1e-12, max=1e-12))
    A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    made = compile_problem(spu.GaussianSampling(precision=A, mean=[1.0, 2.0]), hardware)
    assert made.mean == "offset"
    assert made.prediction.mean == near(np.array([1.0, 2.0]), 1e-12)
    assert all("bias" not in cell.values for cell in made.device.cells)
    with pytest.raises(spu.Unrealizable, match=r"bias of cell x1 would be .* A, outside its range -1e-12 to 1e-12 A"):
        spu.compile(spu.LinearSystem(matrix=A, vector=[1.0, 2.0]), hardware)


# Hardware


def test_too_many_variables_for_spu8():
    with pytest.raises(spu.Unrealizable, match="9 variables need 9 cells; hardware spu8 has 8") as caught:
        spu.compile(spu.MatrixInverse(matrix=np.eye(9)), hardware="spu8")
    assert caught.value.details["cells_needed"] == 9


def test_spu8_holds_eight():
    A = m_matrix(np.random.default_rng(0), 8, 20.0)
    made = compile_problem(spu.GaussianSampling(precision=A), SPU8)
    assert made.architecture == "rlc-capacitive"
    assert made.device.temperature == 300.15
    assert made.prediction.relative_error < 1e-12  # the thermal noise is in kT_eff
    quantised = compile_problem(spu.GaussianSampling(precision=A), "spu8")
    assert 1e-12 < quantised.prediction.relative_error < 2e-3
    for device in (made.device, quantised.device):
        for cell in device.cells:
            assert 1.28e-10 <= cell.values["capacitance"] <= 8.288e-9
        for coupler in device.couplers:
            assert coupler.values.get("capacitance", 0.0) <= 2.016e-9 * (1 + 1e-12)


def test_thermal_noise_is_predicted_not_hidden():
    """RC cells at 300 K: the resistors' (kT/c) I is in the predicted error, exactly."""
    A = m_matrix(np.random.default_rng(1), 4, 20.0)
    made = compile_problem(spu.GaussianSampling(precision=A), replace(only("rc-resistive"), temperature=300.0))
    gain = made.device.readout.matrix.diagonal()
    extra = np.diag(gain**2) * 1.380649e-23 * 300 / 1e-9
    assert made.prediction.covariance - np.linalg.inv(A) == pytest.approx(extra, rel=1e-6, abs=1e-12)
    expected = np.linalg.norm(extra) / np.linalg.norm(np.linalg.inv(A))
    assert made.prediction.relative_error == pytest.approx(expected, rel=1e-6)
    assert expected > 1e-9


def test_forced_architectures_are_refused_with_their_reason():
    A = frustrated(np.random.default_rng(0), 4)
    problem = spu.GaussianSampling(precision=A)
    for name in ("rlc-capacitive", "rc-resistive"):
        with pytest.raises(spu.Unrealizable, match=f"{name}: plain couplers give off-diagonals <= 0 only") as caught:
            spu.compile(problem, architecture=name)
        assert len(caught.value.details["frustrated_cycle"]) >= 3
    with pytest.raises(spu.Unrealizable, match="hardware spu8 has no rc-resistive; it has rlc-capacitive"):
        spu.compile(problem, hardware="spu8", architecture="rc-resistive")
    with pytest.raises(spu.InputError, match=r"no architecture 'rc-resistve'.*rc-resistive"):
        spu.compile(problem, architecture="rc-resistve")


PAIR = np.array([[2.0, -0.5], [-0.5, 1.0]])


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        (
            limited(SPU8, coupler_capacitance=Range(min=1e-9, max=1.1e-9), cell_capacitance=Range(1e-9, 5e-11, 1e-9)),
            r"cell x1 would be 3e-09 F when coupler x1-x2 is at its minimum, outside its range 5e-11 to 1e-09 F",
        ),
        (
            limited(SPU8, coupler_capacitance=Range(min=0.0, max=1e-11)),
            r"coupler x1-x2 would be 1.28e-10 F when cell x2 is at its minimum, outside its range 0 to 1e-11 F",
        ),
        (
            limited(
                only("rc-resistive"),
                coupler_conductance=Range(0.75e-3, 0.7e-3, 0.8e-3),
                cell_conductance=Range(1e-3, 0.9e-3, 1.1e-3),
            ),
            r"cell x1 would be 0.0027 S when cell x2 is at its minimum, outside its range 0.0009 to 0.0011 S",
        ),
    ],
)
def test_values_out_of_range_are_named(hardware, message):
    with pytest.raises(spu.Unrealizable, match=message) as caught:
        spu.compile(spu.GaussianSampling(precision=PAIR), hardware)
    assert {"element", "value", "range", "unit"} <= caught.value.details.keys()


def test_cell_without_own_capacitance():
    """A Laplacian-like row leaves cell x1 nothing of its own: not built, or, where one must be, scaled away."""
    A = np.array([[1.0, -1.0], [-1.0, 2.0]])
    held = spu.compile(spu.GaussianSampling(precision=A), hardware="spu8")
    assert all(1.28e-10 <= cell.values["capacitance"] <= 8.3e-9 for cell in held.cells)
    made = compile_problem(spu.GaussianSampling(precision=A))
    assert "capacitance" not in made.device.cells[0].values
    assert made.prediction.relative_error < 1e-13


@pytest.mark.parametrize(
    "hardware",
    [
        limited(only("rlc-capacitive"), coupler_capacitance=Range(min=0.0, max=0.0)),
        limited(only("rc-resistive"), coupler_conductance=Range(min=0.0, max=0.0)),
        limited(only("rc-transconductor"), coupler_transconductance=Range(min=0.0, max=1e-3)),
    ],
)
def test_hardware_without_such_couplers(hardware):
    with pytest.raises(spu.Unrealizable, match="coupler x1-x2"):
        spu.compile(spu.GaussianSampling(precision=PAIR), hardware)


def test_smallest_transconductance():
    hardware = limited(only("rc-transconductor"), coupler_transconductance=Range(min=1e-4, max=1e-3))
    device = spu.compile(spu.GaussianSampling(precision=np.array([[2.0, 1e-2], [1e-2, 2.0]])), hardware)
    assert device.couplers[0].values["transconductance"] >= 1e-4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    cell_low=st.floats(-11, -9),
    cell_decades=st.floats(0.1, 3),
    coupler_low=st.floats(-11, -9),
    coupler_decades=st.floats(0.1, 3),
)
def test_in_range_or_refused(seed, n, cell_low, cell_decades, coupler_low, coupler_decades):
    """Whatever the ranges, what is built lies in them and answers the problem, or nothing is built."""
    cell = Range(10**cell_low, 10**cell_low, 10 ** (cell_low + cell_decades))
    coupler = Range(min=10**coupler_low, max=10 ** (coupler_low + coupler_decades))
    hardware = limited(only("rlc-capacitive"), cell_capacitance=cell, coupler_capacitance=coupler)
    A = m_matrix(np.random.default_rng(seed), n, 30.0)
    try:
        made = compile_problem(spu.GaussianSampling(precision=A), hardware)
    except spu.Unrealizable as refusal:
        assert "outside its range" in refusal.reason
        assume(False)
    tolerance = 1e-9
    for item in made.device.cells:
        assert cell.min * (1 - tolerance) <= item.values["capacitance"] <= cell.max * (1 + tolerance)
    for item in made.device.couplers:
        assert coupler.min * (1 - tolerance) <= item.values["capacitance"] <= coupler.max * (1 + tolerance)
    assert made.prediction.relative_error < 1e-11


def test_fit_takes_the_nominal_value_where_it_can():
    group = Elements("cell", "F", ["a", "b"], np.array([1.0, 0.5]), Range(min=1.0, max=10.0))
    assert fit_scale(3.0, [group]) == 3.0
    assert fit_scale(1.0, [group]) == 2.0
    assert fit_scale(40.0, [group]) == 10.0


@pytest.mark.parametrize("rho_gap", [1e-2, 1e-5])
def test_scaling_undoes_a_badly_scaled_matrix(rho_gap):
    # D L D with L barely dominant: only a scaling close to D^-1 leaves every cell a fair part of its own. One that
    # lifts single cells instead is just as feasible, and spreads time constants over ten decades.
    laplacian = np.diag([2.0, 3.0, 2.0, 3.0, 2.0]) - np.eye(5, k=1) - np.eye(5, k=-1)
    laplacian[1, 3] = laplacian[3, 1] = laplacian[0, 4] = laplacian[4, 0] = -1.0
    d = np.array([1.0, 30.0, 0.1, 5.0, 0.5])
    matrix = d[:, None] * (laplacian + rho_gap * np.eye(5)) * d
    found = spu.compile_problem(spu.GaussianSampling(precision=matrix), architecture="rc-resistive")
    assert found.prediction.relative_error < 1e-9
    assert found.scale_spread < 400  # D's own is 300
    assert found.prediction.time_constants[0] / found.prediction.time_constants[-1] < 1e3 / rho_gap
