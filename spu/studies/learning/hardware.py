"""A trained network as hardware holds it: couplings on codes, and every element a little off.

In problem units, and the same numbers as of the device that `spu.compile` makes (for ``rc-conductance``): there a
coupling is two transconductors, one each way, an input weight one, a bias a current source, and a cell's own potential
one nonlinear conductance.

Rounding: ``bits`` of magnitude and a sign, codes from ``-(2^bits - 1)`` to ``2^bits - 1`` of
``lsb = limit / (2^bits - 1)``, where the limit is the largest magnitude among the numbers of a kind, unless one is
given. To the nearest code; of two equally near ones the one closer to zero; beyond the limit the last one.

Mismatch: relative errors, normal, a draw for each element from the seed (`spu.device.tolerance`). The two
transconductors of a coupling err apart, so that it becomes slightly non-reciprocal: there is then no energy and no
heat. What differs from cell to cell in time or in noise (capacitances, noise sources) makes no network of one mobility
and one temperature: only the device itself has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, OptionError
from spu.base.names import shorten, suggest
from spu.device.banks import Bank
from spu.device.tolerance import Spread, Tolerance, checked_draw, checked_sigma, errors
from spu.problems.network import ThermodynamicNetwork
from spu.problems.trained import TrainedNetwork

__all__ = ["KINDS", "evenly", "on_hardware", "rounded"]

KINDS = ("couplings", "weights", "bias")
"""What has codes: couplings, input weights, and the inputs that act without an image."""


def rounded(
    values: Annotated[ArrayLike, "*s"], bits: int | None, limit: float | None = None
) -> Annotated[FloatArray, "*s"]:
    """Values on the codes of signed banks.

    Parameters
    ----------
    values:
        Of any shape.
    bits:
        Of the magnitude; None leaves them as they are.
    limit:
        What the last code stands for; their largest magnitude unless given.

    Raises
    ------
    InputError
        For bits that no bank has, or a limit that is not positive.
    """
    array = np.asarray(values, dtype=np.float64)
    if bits is None:
        return array
    most = float(np.abs(array).max(initial=0.0)) if limit is None else float(limit)
    if limit is not None and not 0 < most < np.inf:
        raise InputError(f"a limit is {shorten(limit)}: it must be positive and finite")
    bank = Bank(bits, 1.0, signed=True)
    return bank.values(bank.nearest(array * (bank.most / most))) * (most / bank.most) if most else array


def evenly(mismatch: float) -> Tolerance:
    """One standard deviation for all elements whose errors leave a network one: see `on_hardware`."""
    spread = Spread(checked_sigma(mismatch, "mismatch"))
    cell = {"polynomial_conductance": spread, "bias": spread}
    return Tolerance(cell, {"transconductance": spread}, {"transconductance": spread})


def on_hardware(
    trained: TrainedNetwork,
    bits: int | Mapping[str, int | None] | None = None,
    mismatch: float | Tolerance = 0.0,
    seed: int = 0,
    *,
    limits: Mapping[str, float] | None = None,
) -> TrainedNetwork:
    """A trained network as one board holds it.

    Parameters
    ----------
    trained:
        With real numbers.
    bits:
        Of ``couplings``, ``weights`` and ``bias``, by name, or one for all; real where there are none.
    mismatch:
        Standard deviation of the relative errors of transconductors (two a coupling, one a weight), bias currents and
        cells' own conductances; or one for each quantity.
    seed:
        Of the board: another one, another draw.
    limits:
        What the last codes stand for, by the same names; the largest magnitude of each unless given.

    Raises
    ------
    InputError
        For an unknown name, a number that is not as said above, or a tolerance that only a device can have.

    Examples
    --------
    >>> import spu
    >>> network = spu.ThermodynamicNetwork(couplings=[[0.0, 0.7], [0.7, 0.0]], units=2)
    >>> learnt = spu.TrainedNetwork(network=network, purpose="generative", duration=1.0, step=1e-3, visible=[0])
    >>> board = spu.on_hardware(learnt, bits=2, limits={"couplings": 1.0}).network
    >>> round(float(board.couplings[0, 1]), 4), board.reciprocal
    (0.6667, True)
    >>> spu.on_hardware(learnt, mismatch=0.01).network.reciprocal
    False
    """
    wanted = _bits(bits)
    most = _named(limits or {}, "limits")
    tolerance = mismatch if isinstance(mismatch, Tolerance) else evenly(mismatch)
    _require_network(tolerance)
    seed = checked_draw(seed)
    network, n = trained.network, trained.network.n

    def held(kind: str, values: FloatArray) -> FloatArray:
        return rounded(values, wanted.get(kind), most.get(kind))

    couplings = held("couplings", network.couplings)
    pairs = tolerance.coupler.get("transconductance", Spread())
    couplings = couplings * (1.0 + errors(pairs, seed, "coupler.transconductance", (n, n)))
    field = held("bias", network.input - network.bias)
    field = field * (1.0 + errors(tolerance.cell.get("bias", Spread()), seed, "cell.bias", (n,)))
    own = tolerance.cell.get("polynomial_conductance", Spread())
    gain = 1.0 + errors(own, seed, "cell.polynomial_conductance", (n,))
    made = ThermodynamicNetwork(
        network.J2 * gain,
        network.J3 * gain,
        network.J4 * gain,
        input=field,
        couplings=couplings,
        kT=network.kT,
        mobility=network.mobility,
        reciprocal=network.reciprocal and not pairs,
        variables=network.variables,
    )
    weights = trained.weights
    if weights is not None:
        lines = tolerance.input.get("transconductance", Spread())
        weights = held("weights", weights) * (1.0 + errors(lines, seed, "input.transconductance", weights.shape))
    return replace(trained, network=made, weights=weights)


def _bits(bits: int | Mapping[str, int | None] | None) -> dict[str, int | None]:
    if isinstance(bits, Mapping):
        return _named(bits, "bits")
    return dict.fromkeys(KINDS, bits)


V = TypeVar("V")


def _named(given: Mapping[str, V], what: str) -> dict[str, V]:
    if not isinstance(given, Mapping):
        raise OptionError(what, f"is {shorten(given)}: it must be numbers by name: {', '.join(KINDS)}")
    for name in given:
        if name not in KINDS:
            raise OptionError(what, f"has no {shorten(name)}; {suggest(str(name), KINDS)}")
    return dict(given)


def _require_network(tolerance: Tolerance) -> None:
    able = {"cell": ("polynomial_conductance", "bias"), "coupler": ("transconductance",)}
    for part, quantities in able.items():
        for quantity, sigma in getattr(tolerance, part).items():
            if sigma and quantity not in quantities:
                raise OptionError(
                    "mismatch",
                    f"is of {part}.{quantity}, which makes no network of one mobility and one temperature: compile "
                    "with it, and run the device",
                )
