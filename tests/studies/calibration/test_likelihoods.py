"""The likelihood of a path is that of its covariance matrix, and all derivatives are those of differences."""

from __future__ import annotations

import numpy as np
import pytest

import spu
from spu.studies.calibration.grid import grid_of
from spu.studies.calibration.model import READOUT, Model, Point, Reading, Sought
from spu.studies.calibration.paths import Filtered, Paths, scan

INTERVAL = 1e-7
rng = np.random.default_rng(4)
PATHS = [rng.standard_normal((2, 17, 2)) + 0.3, rng.standard_normal((1, 60, 2)) + 0.3]


def device() -> spu.Device:
    made = spu.Device(temperature=300.0, detail=spu.Detail(node={"capacitance": 3e-11}))
    for name, capacitance in (("a", 1e-9), ("b", 1.1e-9)):
        made.add_cell(name, capacitance=capacitance, conductance=1e-3, inductance=1e-5, noise=4e-20)
    made.add_coupler("a", "b", capacitance=3e-10)
    return made


def model(noise: float, band: float | None) -> Model:
    """With all elements sought, and of the readout what there is."""
    made = device()
    elements = spu.elements_of(made)
    known = {"readout.gain": True, "readout.band": band is not None, "readout.noise": noise > 0}
    readout = tuple((name, channel) for name in READOUT if known[name] for channel in range(2))
    sought = Sought(elements, np.arange(len(elements)), readout, ("a", "b"))
    rms = np.sqrt(spu.predict(made).voltage_covariance.diagonal())
    bands = None if band is None else np.array([band, 1.3 * band])
    return Model(made, sought, Reading(np.eye(2), np.array([1.0, 1.1]), noise * rms, bands))


READOUTS = [(0.0, None), (0.3, None), (0.3, 3e6)]


@pytest.fixture(params=READOUTS, ids=["bare", "noisy", "filtered"])
def made(request):
    found = model(*request.param)
    theta = 0.1 * np.random.default_rng(1).standard_normal(len(found.sought))
    return found, theta


def covariance(point: Point, count: int) -> np.ndarray:
    """(2 n, 2 n) of n samples: nothing but the definition."""
    F, lags = point.sampled(INTERVAL).F, []
    state = point.P @ point.G.T
    for _ in range(count):
        lags.append(point.G @ state)
        state = F @ state
    blocks = [[lags[i - j] if i >= j else lags[j - i].T for j in range(count)] for i in range(count)]
    return np.block(blocks) + np.kron(np.eye(count), np.diag(point.R))


def by_definition(point: Point, offset: np.ndarray) -> float:
    found = 0.0
    for group in PATHS:
        C = covariance(point, group.shape[1])
        for path in group - offset:
            y = path.ravel()
            found -= 0.5 * (np.linalg.slogdet(C)[1] + y @ np.linalg.solve(C, y))
    return found


def slopes(model, theta, function, step=1e-4):
    """(k, ...) central differences."""
    return np.array(
        [
            (function(model.at(theta + step * e)) - function(model.at(theta - step * e))) / (2 * step)
            for e in np.eye(len(theta))
        ]
    )


def test_the_likelihood_of_paths_is_that_of_their_covariance(made):
    model, theta = made
    point = model.at(theta)
    found = Paths(PATHS, INTERVAL).value(point)
    offset = Filtered(point.sampled(INTERVAL), PATHS).offset
    assert found == pytest.approx(by_definition(point, offset), rel=1e-9)
    for moved in (*np.eye(2), *-np.eye(2)):  # the likeliest offset
        assert by_definition(point, offset + 0.01 * moved) < found


def test_scores_of_paths_are_slopes(made):
    model, theta = made
    likelihood = Paths(PATHS, INTERVAL)
    terms = likelihood.terms(model.at(theta))
    expected = slopes(model, theta, likelihood.value)
    assert terms.value == pytest.approx(likelihood.value(model.at(theta)), rel=1e-12)
    np.testing.assert_allclose(terms.score, expected, atol=2e-7 * np.abs(expected).max())


def test_changes_of_covariances_and_spectra_are_slopes(made):
    model, theta = made
    point = model.at(theta)
    angles, frequencies = np.array([0.0, 0.3, 1.0, 3.0]), np.array([1e4, 1e6, 2e6])

    def figures(at: Point) -> np.ndarray:
        parts = at.covariance, at.sampled(INTERVAL).spectra(angles)[0], at.densities(frequencies)[0]
        return np.concatenate([part.astype(complex).ravel() for part in parts])

    slope = slopes(model, theta, figures, 1e-5)
    ends = np.cumsum([0, 4, 16, 12])
    for number, found in enumerate(
        (
            point.covariance_change,
            point.sampled(INTERVAL).spectra(angles)[1].swapaxes(0, 1),
            point.densities(frequencies)[1].swapaxes(0, 1),
        )
    ):
        expected = slope[:, ends[number] : ends[number + 1]].reshape(found.shape)
        np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())


def test_spectra_sum_up_the_covariances(made):
    """With their aliases: over all angles they are the covariance, and densities are those of the emulator."""
    model, theta = made
    point = model.at(theta)
    grid = grid_of(point.poles, INTERVAL)
    means = point.sampled(INTERVAL).spectra(grid.nodes.ravel())[0].real.reshape(-1, 2, 2, 2).mean(axis=1)
    total = (means * grid.widths[:, None, None]).sum(axis=0) / np.pi
    np.testing.assert_allclose(total, point.covariance, rtol=2e-5, atol=2e-5)


def test_densities_are_the_emulators():
    made = model(0.0, None)
    frequencies = [1e5, 1.4e6]
    found = made.at(np.zeros(len(made.sought))).densities(np.array(frequencies))[0]
    expected = spu.spectrum(made.device, frequencies).density
    gain = made.reading.gain / made.unit
    np.testing.assert_allclose(found, expected * np.outer(gain, gain), rtol=1e-9)


def test_the_information_of_a_path_is_what_its_score_spreads_by():
    """Over many drawn records of the model, scores have mean zero and the information as their covariance."""
    made = model(0.3, None)
    k, drawn, count = len(made.sought), 200, 200
    point = made.at(np.zeros(k))
    root = np.linalg.cholesky(covariance(point, count))
    draws = np.random.default_rng(8).standard_normal((drawn, 2 * count)) @ root.T
    law, paths = point.sampled(INTERVAL), draws.reshape(drawn, 1, count, 2)
    scores = np.array([Filtered(law, [path]).score() for path in paths])
    terms = [Paths([path], INTERVAL).terms(point) for path in paths[:20]]
    information = terms[0].fisher
    kept = [0, 2, 4, 8, k - 1]
    own = np.sqrt(information.diagonal()[kept])
    z = scores[:, kept] / own
    assert np.abs(z.mean(axis=0) * np.sqrt(drawn)).max() < 4  # false alarms: 3e-4
    assert (
        np.abs(z.var(axis=0) - 1).max() < 4 * np.sqrt(2 / drawn) + 0.03
    )  # ends of a path of 200 samples: some per cent
    residuals = np.array([each.residual for each in terms])
    assert abs((residuals**2).mean() - 1) < 4 * np.sqrt(2 / residuals.size)  # false alarms: 6e-5


def test_blocks_of_a_recursion_are_the_recursion():
    rng = np.random.default_rng(0)
    M, start = 0.3 * rng.standard_normal((3, 3)), rng.standard_normal((2, 3))
    for count in (0, 1, 2, 7, 50):
        pushes = rng.standard_normal((2, count, 3))
        states = [start]
        for t in range(count):
            states.append(states[-1] @ M.T + pushes[:, t])
        np.testing.assert_allclose(scan(M, pushes, start), np.stack(states, axis=1), atol=1e-12)


def test_elements_that_are_no_powers_are_differentiated_too():
    """A gain error e makes a gain of 1 + e; a bandwidth is a power of what the circuit holds."""
    made = device().at_detail(spu.Detail(readout={"gain_error": 0.2, "bandwidth": 3e6}))
    elements = spu.elements_of(made)
    numbers = np.array([elements.number(name) for name in ("readout.gain_error", "readout.bandwidth", "noise of a")])
    sought = Sought(elements, numbers, (), ("a", "b"))
    model = Model(made, sought, Reading(np.eye(2), np.ones(2), np.zeros(2)))
    assert [each is None for each in model.powers.of] == [True, False, False]
    theta = np.zeros(3)
    found, expected = model.at(theta).covariance_change, slopes(model, theta, lambda at: at.covariance)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
