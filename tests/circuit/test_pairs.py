"""Stamps of two-terminal elements, kept as pairs, add up to what their entries do."""

import numpy as np
import pytest

from spu.base.constants import GROUND
from spu.circuit.stamps import Stamps


@pytest.mark.parametrize("order", ["sorted", "as they come", "reversed ends"])
@pytest.mark.parametrize("kind", [float, complex])
def test_pairs_add_up(order, kind):
    draw = np.random.default_rng(3)
    n = 7
    ends = np.array([(a, b) for a in range(n) for b in range(a + 1, n) if draw.random() < 0.7])
    if order != "sorted":
        ends = np.concatenate([ends, ends[::3], [[2, 2], [GROUND, 4], [5, GROUND], [GROUND, GROUND]]])
        ends = ends[draw.permutation(len(ends))]
    if order == "reversed ends":
        ends = np.where(draw.random(len(ends))[:, None] < 0.5, ends, ends[:, ::-1])
    stamps = Stamps(n, 1, 0, 300.0)
    own = np.arange(0, n, 2)
    stamps.capacitance(own, np.full(len(own), GROUND), draw.uniform(1.0, 2.0, len(own)).astype(kind))
    stamps.capacitance(*ends.T, draw.uniform(1.0, 2.0, len(ends)).astype(kind))
    stamps.conductance(*ends.T, draw.uniform(1.0, 2.0, len(ends)).astype(kind))
    stamps.inductance(np.array([0]), np.array([1]), np.array([GROUND]), np.array([0.5], dtype=kind))
    for each in (stamps, stamps.magnitudes()):
        for name, found in (("E", each.E), ("F", each.F)):
            expected = each.dense(name)
            assert found.has_canonical_format and found.shape == expected.shape
            assert np.abs(found.toarray() - expected).max() < 1e-14 * np.abs(expected).max()
            assert np.abs(expected - expected.T).max() < 1e-14 or name == "F"
    assert (stamps.magnitudes().E.toarray() >= np.abs(stamps.E.toarray()) - 1e-14).all()
