"""Laws of many boards at once, against those of one board at a time; and published figures of scatter."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import near

import spu
from spu.base.errors import InputError, InternalError, UsageError
from spu.base.kernels.library import ENVIRONMENT, available
from spu.base.threads import at_most
from spu.device.hardware import LINEAR_ARCHITECTURES
from spu.emulator.equations import monomials
from spu.emulator.laws import many
from spu.emulator.laws.draws import Cells, States, laws_of_cells

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from domain_cases import Refused, draw

A = np.array([[2.0, -0.5, 0.3], [-0.5, 1.0, 0.2], [0.3, 0.2, 1.5]])
DETAILS = (
    {},
    {"node": {"capacitance": 1e-12, "conductance": 1e-6}},
    {"inductor": {"series_resistance": 1.0, "capacitance": 1e-12}},
    {"buffer": {"bandwidth": 1e8}},
)


def scattered(n=4, seed=0, inductance=True, **more):
    """Cells that all differ, all coupled."""
    rng = np.random.default_rng(seed)
    device = spu.Device(temperature=300.0)
    for k in range(n):
        cell = {"capacitance": 1e-9, "conductance": 1e-3, "inductance": 1e-6, "noise": 4e-20}
        if not inductance:
            del cell["inductance"]
        device.add_cell(f"x{k}", **{key: value * rng.uniform(0.5, 2.0) for key, value in cell.items()}, **more)
    for i in range(n):
        for j in range(i):
            device.add_coupler(f"x{i}", f"x{j}", capacitance=3e-10 * rng.uniform(0.5, 2.0), conductance=1e-4)
    return device


def drawn(device, count, sigma=0.05, seed=1):
    return np.exp(np.random.default_rng(seed).normal(0.0, sigma, (count, len(spu.elements_of(device)))))


def agree(device, factors, within=1e-9):
    """Each law beside that of the board alone; returns how many boards were solved side by side."""
    laws = spu.laws_of_draws(device, factors)
    for k, row in enumerate(factors):
        try:
            alone = spu.predict(spu.varied(device, row))
        except spu.CircuitError as error:
            assert not laws.stable[k] and laws.why[k] == error.message
            assert np.isnan(laws.voltage_covariance[k]).all() and np.isnan(laws.covariance[k]).all()
            continue
        assert laws.stable[k]
        for mean, covariance, own_mean, own in (
            (laws.voltage_mean[k], laws.voltage_covariance[k], alone.voltage_mean, alone.voltage_covariance),
            (laws.mean[k], laws.covariance[k], alone.mean, alone.covariance),
        ):
            spread = np.sqrt(own.diagonal())
            assert (np.abs(covariance - own) <= within * np.outer(spread, spread)).all()
            assert (np.abs(mean - own_mean) <= within * (np.abs(own_mean) + spread)).all()
    return len(factors) - len(laws.read) - len(laws.why)


@pytest.mark.parametrize("detail", DETAILS, ids=lambda each: "+".join(each) or "ideal")
@pytest.mark.parametrize("architecture", [name for name in LINEAR_ARCHITECTURES if name != "rc-drift"])
def test_every_architecture(architecture, detail):
    device = spu.compile(spu.GaussianSampling(precision=A, mean=[0.1, -0.2, 0.3]), architecture=architecture)
    device.temperature, device.detail = 300.0, spu.Detail(**detail)
    family, _ = many.family_of(device, spu.elements_of(device))
    states = architecture == "rc-transconductor" or ("inductor" in detail and architecture.startswith("rlc"))
    assert type(family) is (States if states else Cells)
    assert agree(device, drawn(device, 9)) == 9


def test_a_drift():
    device = spu.compile(spu.LyapunovEquation([[1.0, 2.0], [-1.0, 0.5]], [[1.0, 0.3], [0.3, 2.0]]))
    assert agree(device, drawn(device, 5)) == 5


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9, 16, 17])
@pytest.mark.parametrize("inductance", [True, False])
def test_cells_of_any_number(n, inductance):
    device = scattered(n, inductance=inductance, bias=1e-6)
    assert agree(device, drawn(device, 3)) == 3


def test_devices_of_the_whole_domain():
    """Random ones: scattered, with conserved charges, wired, quantised, ensembles, any readout."""
    kinds, fast = set(), 0
    for seed in range(50):
        try:
            device = draw(seed).subject
        except Refused:
            continue
        if not isinstance(device, spu.Device) or len(device.cell_names) > 10 or "switch" in device.detail.to_dict():
            continue
        fast += agree(device, drawn(device, 2, seed=seed))
        found = many.family_of(device, spu.elements_of(device))
        kinds.add(type(found and found[0]))
    assert kinds >= {Cells, States} and fast > 30


def test_large_scatter_keeps_its_digits():
    assert agree(scattered(8), drawn(scattered(8), 8, sigma=0.5)) == 8


def test_boards_that_are_not_stable():
    """A negative conductance that some draws make too large, with and without inductors."""
    for cell in ({}, {"inductance": 1e-6}):
        device = spu.Device(temperature=0.0)
        for name in "ab":
            device.add_cell(name, capacitance=1e-9, conductance=1e-3, active_conductance=-9e-4, noise=4e-20, **cell)
        device.add_coupler("a", "b", capacitance=1e-10, transconductance=(1e-5, -1e-5))
        factors = drawn(device, 12, sigma=0.1)
        agree(device, factors)
        laws = spu.laws_of_draws(device, factors)
        assert 0 < laws.stable.sum() < 12 and "unstable" in next(iter(laws.why.values()))


def test_the_mode_that_no_noise_reaches_decides_too():
    device = spu.Device(temperature=0.0)
    device.add_cell("heard", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_cell("silent", capacitance=1e-9, conductance=1e-3, active_conductance=-9.9e-4)
    device.add_coupler("heard", "silent", transconductance=(1e-5, 0.0))
    agree(device, drawn(device, 12, sigma=0.05))


def test_a_board_does_not_depend_on_its_neighbours_pieces_or_threads(monkeypatch):
    for device in (scattered(8), scattered(4, inductance=False), spu.compile(A, architecture="rc-transconductor")):
        factors = drawn(device, 61, sigma=0.05)
        whole = spu.laws_of_draws(device, factors)
        assert len(whole.read) == 0
        order = np.random.default_rng(0).permutation(61)
        moved = spu.laws_of_draws(device, factors[order])
        assert np.array_equal(moved.voltage_covariance, whole.voltage_covariance[order])
        with monkeypatch.context() as patch:
            patch.setattr(many, "_PIECE", 7)
            for threads in (1, 3):
                with at_most(threads):
                    cut = spu.laws_of_draws(device, factors)
                assert np.array_equal(cut.voltage_covariance, whole.voltage_covariance)
                assert np.array_equal(cut.voltage_mean, whole.voltage_mean)
        for k in (0, 60):
            assert np.array_equal(
                spu.laws_of_draws(device, factors[k : k + 1]).voltage_covariance[0], whole.voltage_covariance[k]
            )


BITS = """
import hashlib, numpy as np, spu
found = hashlib.sha256()
for architecture in ("rlc-capacitive", "rc-resistive", "rc-transconductor"):
    device = spu.compile([[2.0, -0.5, 0.3], [-0.5, 1.0, 0.2], [0.3, 0.2, 1.5]], architecture=architecture)
    kinds = spu.elements_of(device)
    factors = 1.0 + 0.01 * ((np.arange(19 * len(kinds)) * 7919) % 13 - 6.0).reshape(19, -1)
    laws = spu.laws_of_draws(device, factors)
    assert not laws.read
    found.update(laws.voltage_covariance.tobytes() + laws.voltage_mean.tobytes())
print(found.hexdigest())
"""


def test_the_same_bits_on_every_processor():
    found = set()
    for name in available():
        environment = {**os.environ, ENVIRONMENT: name}
        command = [sys.executable, "-c", BITS]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_of_no_boards_and_of_wrong_factors():
    device = scattered(2)
    count = len(spu.elements_of(device))
    laws = spu.laws_of_draws(device, np.empty((0, count)))
    assert laws.voltage_covariance.shape == (0, 2, 2) and laws.covariance.shape == (0, 2, 2)
    for wrong in (np.ones(count), np.ones((2, count + 1)), np.zeros((1, count)), np.full((1, count), np.nan)):
        with pytest.raises(InputError, match="positive numbers"):
            spu.laws_of_draws(device, wrong)
    network = spu.compile(spu.ThermodynamicNetwork(J2=1.0, J4=1.0, input=[0.5], couplings=[[0.0]]))
    with pytest.raises(UsageError):
        spu.laws_of_draws(network, np.ones((1, len(spu.elements_of(network)))))


def test_switched_units():
    """So far apart are their rates that each board is solved by itself, in more digits."""
    device = spu.compile(A, hardware=spu.load_hardware("spu8-switched"))
    assert agree(device, drawn(device, 2)) == 0


def test_coefficients_of_temperature_and_filters_of_noise():
    """Factors that enter as ``1 + a (f - 1)``, and states that are no cells'."""
    device = scattered(3)
    device.detail = spu.Detail(
        noise={"bandwidth": 2e7, "flicker_corner": 1e4, "flicker_low": 1e3, "flicker_high": 1e5},
        temperature={"capacitance": 3e-3, "conductance": -1e-3, "noise": 2e-3, "reference": 290.0},
    )
    _, factors = many.family_of(device, spu.elements_of(device))
    assert (factors.slopes != 1).sum() == 3 and factors.known.all()
    assert agree(device, drawn(device, 3, sigma=0.2)) == 3


def test_an_element_that_enters_otherwise_makes_its_boards_go_the_ordinary_way(monkeypatch):
    device = scattered(2)
    device.detail = spu.Detail(node={"capacitance": 1e-11})
    monkeypatch.setattr(monomials, "_alone", lambda *_: None)
    factors = drawn(device, 4)
    factors[:2, -1] = 1.0
    assert agree(device, factors) == 2


def test_a_law_that_hangs_on_more_than_elements_goes_the_ordinary_way(monkeypatch):
    device = scattered(2)
    monkeypatch.setattr(many, "_SAID", tuple(name for name in many._SAID if name != "probes"))
    assert agree(device, drawn(device, 2)) == 0


def test_the_loop_refuses_what_does_not_fit():
    device = scattered(2)
    family, _ = many.family_of(device, spu.elements_of(device))
    room = np.zeros(10)
    with pytest.raises(InternalError, match="room"):
        laws_of_cells.bind(
            family.made, 1, 0, np.ones(family.elements), family.places, family.basis, family.probes, room
        )
    solve = family.solver()
    with pytest.raises(InternalError, match="factors"):
        solve(np.ones((1, 1)), np.empty((1, 2)), np.empty((1, 2, 2)), np.empty(1))


# What is published of scatter


def alike(quality):
    """Four cells, all to all, couplers a quarter of their own capacitance; Q of a cell with its couplers."""
    capacitance, inductance = 1e-9, 1e-6
    resistance = quality * np.sqrt(inductance / (1.75 * capacitance))
    device = spu.Device(temperature=0.0)
    for k in range(4):
        device.add_cell(
            f"x{k}", capacitance=capacitance, conductance=1 / resistance, inductance=inductance, noise=4e-20
        )
    for i in range(4):
        for j in range(i):
            device.add_coupler(f"x{i}", f"x{j}", capacitance=capacitance / 4)
    return device


def test_scatter_of_inductances_leaves_equal_noise_its_covariance():
    for device in (alike(3.0), alike(10.0)):
        elements = spu.elements_of(device)
        factors = np.ones((200, len(elements)))
        inductances = np.array(elements.kinds) == "cell.inductance"
        factors[:, inductances] = 1.0 + 0.1 * np.random.default_rng(1).uniform(-3, 3, (200, 4))
        laws = spu.laws_of_draws(device, factors)
        nominal = spu.predict(device).voltage_covariance
        assert np.abs(laws.voltage_covariance / nominal - 1.0).max() < 1e-12


@pytest.mark.parametrize(
    ("quality", "sigma", "published"),
    [(3, 0.01, 0.52), (3, 0.05, 2.6), (3, 0.1, 5.3), (10, 0.01, 0.43), (10, 0.05, 2.1), (10, 0.1, 4.1)],
)
def test_published_errors_of_scattered_resistances(quality, sigma, published):
    """The mean error of 5,000 boards against a mean of 300, printed with two digits: four of its standard errors."""
    device = alike(quality)
    elements = spu.elements_of(device)
    tolerance = spu.Tolerance(cell={"conductance": sigma})
    factors = spu.draw_factors(elements, tolerance, 5000, seed=3)
    conductances = np.array(elements.kinds) == "cell.conductance"
    factors[:, conductances] = 1.0 / factors[:, conductances]  # R is what scatters
    P = spu.laws_of_draws(device, factors, elements).voltage_covariance
    nominal = spu.predict(device).voltage_covariance
    scale = np.einsum("dij,ij->d", P, nominal) / np.einsum("dij,dij->d", P, P)
    errors = 100.0 * np.linalg.norm(scale[:, None, None] * P - nominal, axis=(1, 2)) / np.linalg.norm(nominal)
    digit = 0.01 if published < 1 else 0.1
    assert errors.mean() == near(published, 0.0) or abs(errors.mean() - published) < (
        4.0 * errors.std() / np.sqrt(300) + digit / 2
    )
