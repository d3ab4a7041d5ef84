"""Where a linear circuit's power comes from and where it goes, exactly: from its elements and its stationary law.

The energy ``x^T E x / 2`` of capacitors and inductors is on the average what it was. Of ``E x' = F x + s + K n``
therefore

    E[x^T F x] + s^T E[x] + E[x^T K n] = 0,

and each term is a sum over elements, of which each writes its own stamps (`spu.circuit.elements`): what it takes up is
``-E[x^T F_e x]``, what a constant source delivers ``s_e^T E[x]``, and what a noise source puts in
``tr(K_e^T E^-1 K) / 2``, however strong the others are. In thermal equilibrium each resistor takes up what its own
noise puts in, on the average over all of them.

What a noise source is modelled with (`Element.role`) takes up nothing and delivers nothing; what drives its signal into
the circuit delivers what the source does.

Unknowns that no capacitance and no inductance holds follow noise at once: of their white part, whose power grows with
the bandwidth without limit, and goes from resistor to resistor, nothing is counted on either side.

Of large sparse networks only those covariances are needed that elements have a product in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from spu.base.arrays import FloatArray
from spu.base.errors import CircuitError
from spu.base.selected_inverse import NotPositiveDefinite, SparseCholesky
from spu.base.sparse import canonical, is_diagonal, row_numbers, scaled, with_data
from spu.circuit.circuit import FlatElements, stamp_circuit
from spu.circuit.stamps import Stamps
from spu.emulator.equations.descriptor import reduce
from spu.emulator.equations.linear import StochasticODE
from spu.emulator.laws.equilibrium import Equilibrium, LargeEquilibrium
from spu.emulator.laws.large import SparseStationary
from spu.emulator.laws.law import Law
from spu.emulator.laws.stationary import EXTENDED, Stationary

__all__ = ["ElementPower", "PowerBalance", "mean_power"]

_HELD = 1e-6
"""What the two sides may differ by, of either: more says that doubles do not resolve the law."""

_DENSE = 1500
"""States up to which matrices are inverted as a whole."""


@dataclass(frozen=True)
class ElementPower:
    """One element of a subcircuit, over all its instances.

    Attributes
    ----------
    subcircuit, element:
        Names of the template and of the element in it.
    kind:
        ``resistor``, ``source`` (of constant current or voltage), ``noise source``, or ``active`` (whatever is
        controlled).
    count:
        How many instances have a value that is not zero.
    size:
        Sum of their magnitudes, in the unit of the element's value.
    taken:
        W that they take up, on the average; negative where they deliver.
    injected:
        W that their own noise puts into the circuit.
    """

    subcircuit: str
    element: str
    kind: str
    count: int
    size: float
    taken: float
    injected: float = 0.0


@dataclass(frozen=True)
class PowerBalance:
    """Mean powers of a circuit at its stationary law, W.

    Attributes
    ----------
    elements:
        All that take up or deliver, those that only store left out.
    white:
        Whether nodes without capacitance carry white noise, whose power is in no sum.
    """

    elements: tuple[ElementPower, ...]
    white: bool = False

    def _sum(self, kind: str) -> tuple[float, float]:
        held = [each for each in self.elements if each.kind == kind]
        return sum(each.taken for each in held), sum(each.injected for each in held)

    @property
    def losses(self) -> float:
        """What resistors take up: ``E[v^2] / r`` of each, that of the mean included."""
        return self._sum("resistor")[0]

    @property
    def thermal(self) -> float:
        """What the noise of resistors puts in."""
        return self._sum("resistor")[1]

    @property
    def noise(self) -> float:
        """What injected noise puts in."""
        return self._sum("noise source")[1]

    @property
    def sources(self) -> float:
        """What constant currents and voltages deliver."""
        return -self._sum("source")[0]

    @property
    def active(self) -> float:
        """What controlled sources deliver; negative where they take up."""
        return -self._sum("active")[0]

    @property
    def supplied(self) -> float:
        """All that comes from outside of the circuit: noise, constant sources, and active elements that deliver."""
        return self.noise + self.sources + max(self.active, 0.0)

    @property
    def heat(self) -> float:
        """What is given off: by resistors beyond their own noise, and by active elements that take up."""
        return self.losses - self.thermal + max(-self.active, 0.0)

    @property
    def imbalance(self) -> float:
        """``|in - out|`` of all that goes in and out, relative: rounding."""
        into = self.thermal + self.noise + self.sources + self.active
        size = self.losses + self.thermal + self.noise + abs(self.sources) + abs(self.active)
        return abs(into - self.losses) / size if size > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it, W."""
        sums = ("losses", "thermal", "noise", "sources", "active", "supplied", "heat", "imbalance", "white")
        return {key: getattr(self, key) for key in sums} | {"elements": [asdict(each) for each in self.elements]}


def mean_power(law: Law) -> PowerBalance:
    """The mean power of every element.

    Raises
    ------
    CircuitError
        If doubles do not resolve the law, of a large network a covariance is not known that an element has a product
        in, or a white noise voltage is in series with a resistor.
    """
    sde = law.sde
    if sde.origin is None:
        raise CircuitError("the equation is no circuit's: it has no elements to take up power")
    unknowns = _unknowns(sde)
    covariance, inverse = _covariance(law), _inverse_energy(sde)
    X, N, mean = unknowns.right, unknowns.noise, unknowns.mean
    found: list[ElementPower] = []
    white, hidden = False, list[FlatElements]()
    for flat in sde.origin.circuit.flatten():
        role = flat.element.role
        stamps = unknowns.alone(flat)
        kind = _kind(stamps)
        if kind is None or role in ("signal", "flicker"):
            continue
        if role == "series":
            raise CircuitError(
                "a white noise voltage in series with a resistor gives it power without limit: say how wide it is, "
                "as the bandwidth of noise"
            )
        if unknowns.hides(flat):
            hidden.append(flat)
            continue
        F, K, s = stamps.F, sp.csr_array(stamps.K * np.sqrt(0.5)), stamps.s
        taken, injected = -float(s @ mean), 0.0
        if F.nnz:
            taken -= covariance(canonical(X.T @ F @ X)) + float(mean @ (F @ mean))
            if N.nnz:  # what follows noise at once moves with the noise: E[y n^T] is E^-1 K / 2
                both = sp.csr_array(F + F.T)
                taken -= 0.5 * inverse(canonical(sde.K @ N.T @ both @ X))
                white = white or bool(abs(N.T @ both @ N).sum() > 0)
        if K.nnz:
            injected = 0.5 * inverse(canonical(sde.K @ K.T @ X))
        if role == "noise":  # what its signal drives in is the noise source's
            kind, taken, injected = "noise source", 0.0, injected - taken
        count, amount = counted(flat)
        found.append(ElementPower(flat.group.subcircuit.name, flat.element.name, kind, count, amount, taken, injected))
    balance = PowerBalance(tuple(found), white)
    if hidden:
        # Of equations that are reduced in general nobody solves for the currents of voltage sources: what these and
        # whatever their currents control deliver is what is left.
        rest = balance.losses - balance.thermal - balance.noise - balance.sources - balance.active
        count = sum(len(flat.group.names) for flat in hidden)
        if all(flat.element.role == "noise" for flat in hidden):
            return PowerBalance(
                (*found, ElementPower("", "noise voltages", "noise source", count, 0.0, 0.0, rest)), white
            )
        return PowerBalance((*found, ElementPower("", "voltage sources", "source", count, 0.0, -rest)), white)
    if not balance.imbalance <= _HELD:
        raise CircuitError(
            f"powers of the circuit do not balance, by {balance.imbalance:.1g}: doubles do not resolve its law"
        )
    return balance


def _kind(stamps: Stamps) -> str | None:
    """What an element is, by what it stamps; None where it only stores."""
    if stamps.conductors or not stamps.passive:
        return "resistor" if stamps.passive else "active"
    if stamps.K.nnz:
        return "noise source"
    return "source" if stamps.s.any() else None


def counted(flat: FlatElements) -> tuple[int, float]:
    """How many instances of an element have a value that is not zero, and the sum of their magnitudes."""
    values = flat.values if flat.values.ndim == 1 else np.abs(flat.values).max(axis=1)
    return int(np.count_nonzero(values)), float(np.abs(values).sum())


@dataclass(frozen=True, eq=False)
class _Unknowns:
    """The N unknowns of a circuit, ``x = right y + mean - right E[y] + noise w``, w white noise of unit intensity.

    Attributes
    ----------
    right, noise, mean:
        (N, n), (N, m) and (N,), the mean that of x.
    stamps:
        Of all elements, for their numbers.
    known:
        Whether the currents of voltage sources are among them.
    """

    right: sp.csr_array
    noise: sp.csr_array
    mean: FloatArray
    stamps: Stamps
    known: bool

    def alone(self, flat: FlatElements) -> Stamps:
        """The stamps of one element over all its instances."""
        whole = self.stamps
        stamps = Stamps(whole.node_count, whole.branch_count, whole.source_count, whole.temperature)
        flat.element.stamp(stamps, flat.nodes, flat.noise, flat.values, flat.branches)
        return stamps

    def hides(self, flat: FlatElements) -> bool:
        """Whether an element's power takes a current that is not known."""
        if self.known or not flat.branches:
            return False
        voltage = np.concatenate([*self.stamps.voltage_branches, np.empty(0, np.int64)])
        return any(bool(np.isin(branches, voltage).any()) for branches in flat.branches)


def _unknowns(sde: StochasticODE) -> _Unknowns:
    assert sde.origin is not None
    stamps, names = stamp_circuit(sde.origin.circuit)
    if sde.origin.elimination is not None:
        solved = sde.origin.elimination.solved
        right, noise, constant = solved.right, solved.noise, solved.constant
    else:
        reduced = reduce(stamps, names)
        right, noise, constant = sp.csr_array(reduced.X), sp.csr_array(reduced.N), reduced.x0
    known = sde.origin.elimination is not None
    return _Unknowns(right, sp.csr_array(noise * np.sqrt(0.5)), right @ sde.mean + constant, stamps, known)


# --- traces of products with matrices that are known on a pattern --------------------------

Trace = Callable[[sp.csr_array], float]
"""Gives ``tr(A B)`` of a sparse A, (n, n)."""


def _with_dense(B: FloatArray) -> Trace:
    return lambda A: float(A.data @ B[A.indices, row_numbers(A)])


def _with_diagonal(values: FloatArray) -> Trace:
    return lambda A: float(A.diagonal() @ values)


class _WithInverse:
    """``B = scale (factor of S E S)^-1 scale``, entries of it where they are asked for; symmetric."""

    def __init__(self, factor: SparseCholesky, scale: FloatArray, selected: sp.csr_array | None = None) -> None:
        self.factor, self.scale, self.selected = factor, scale, selected

    def __call__(self, A: sp.csr_array) -> float:
        if self.selected is None:
            self.selected = self.factor.selected_inverse()
        if not _within(A, self.selected):
            pattern = canonical(with_data(A, np.ones(A.nnz)))
            self.factor = SparseCholesky(self.factor.matrix, canonical(pattern + pattern.T))
            self.selected = self.factor.selected_inverse()
        found = scaled(self.selected, self.scale, self.scale)
        return float(A.multiply(found.T).sum())


def _within(A: sp.csr_array, B: sp.csr_array) -> bool:
    """Whether B stores all entries that A does."""
    stored = with_data(A, np.ones(A.nnz)).multiply(with_data(B, np.ones(B.nnz)))
    return bool(stored.nnz == A.nnz)


def _covariance(law: Law) -> Trace:
    """With the covariance of the states."""
    if isinstance(law, (Equilibrium, LargeEquilibrium)):
        energy, level = law.energy, law.level
        if energy.factor is None:
            return _with_diagonal(level * energy.scale**2)
        return _WithInverse(energy.factor, np.sqrt(level) * energy.scale)
    if isinstance(law, SparseStationary):
        return _of_cells(law)
    found = cast(Stationary, law)
    if found.closed is not None and found.sde.E.shape[0] > EXTENDED:
        return _with_dense(found.closed.multiply(np.eye(found.sde.E.shape[0])))
    to_state = found.dense.to_state
    return _with_dense(to_state @ found.covariance @ to_state.T)


def _of_cells(law: SparseStationary) -> Trace:
    """With the covariance of a large network of cells of one kind: voltages and currents are uncorrelated there."""
    n = law.coupling.n
    voltages = _WithInverse(law.coupling, np.full(n, np.sqrt(law.inverse)))
    variance = law.state_variance

    def trace(A: sp.csr_array) -> float:
        among = canonical(A[:n, :n])
        rest = canonical(A[n:, n:])
        if not is_diagonal(rest):
            raise CircuitError("powers of so large a network: the covariances of its currents are not known")
        total = voltages(among) + law.own * float(among.diagonal().sum())
        return total + float(rest.diagonal() @ variance[n:])

    return trace


def _inverse_energy(sde: StochasticODE) -> Trace:
    """With the inverse of E."""
    E = canonical(sde.E)
    size = np.sqrt(np.asarray(abs(E).max(axis=1).todense()).ravel())
    scale = 1.0 / np.where(size > 0, size, 1.0)
    if is_diagonal(E):
        return _with_diagonal(1.0 / E.diagonal())
    unit = scaled(E, scale, scale)
    if len(scale) <= _DENSE:
        return _with_dense(scale[:, None] * la.inv(unit.toarray()) * scale)
    try:
        return _WithInverse(SparseCholesky(canonical((unit + unit.T) / 2)), scale)
    except NotPositiveDefinite:
        raise CircuitError(
            "powers of so large a network are known where capacitances and inductances store energy"
        ) from None
