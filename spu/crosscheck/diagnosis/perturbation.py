"""What a change of a few elements does to every transfer function, exactly and for thousands of changes at once.

Modified nodal analysis gives ``(s E - F) x = K n`` with all unknowns, none eliminated. An element touches few
of them (`Perturbations.unknowns`), so with ``Z = (s E - F)^-1`` known once, the response of a circuit that differs
there by ``D`` follows from small matrices alone (Sherman, Morrison and Woodbury):
``Z' = Z - Z_R (1 + D Z_RR)^-1 D Z_R^T``. How well such a response fits a measured one then costs products of
small matrices too (`Scene.residual`): inner products of all columns and rows of Z are tabulated.

The element's own stamp says what it adds (`local_stamps`): no kind of element is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spu.base.arrays import ComplexArray, FloatArray, IntArray
from spu.base.constants import GROUND, UNIT_NOISE_DENSITY
from spu.base.sequences import Lazy
from spu.circuit.circuit import Circuit, Instances, NoiseSource, Subcircuit, stamp_circuit
from spu.circuit.readout import Readout
from spu.circuit.variations import electrical_ports, noise_ports

_CHUNK = 2_000_000
"""Numbers in the largest array that a residual makes at once."""


@dataclass(frozen=True, eq=False)
class Perturbations:
    """k changes of a circuit, each of r unknowns and q noise sources.

    Attributes
    ----------
    unknowns, sources:
        (k, r) and (k, q): their numbers; ground and sources that play no part have the number behind the last one.
        An unknown may occur twice, what stands there then adds.
    E, F, K, s:
        (k, r, r), (k, r, r), (k, r, q) and (k, r): what is added to the equations.
    S:
        (k, r, r) susceptance of added inductors, 1/H: adds ``S / s``.
    """

    unknowns: IntArray
    sources: IntArray
    E: FloatArray
    F: FloatArray
    K: FloatArray
    s: FloatArray
    S: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.unknowns)

    def take(self, rows: IntArray | slice) -> Perturbations:
        """Some of them."""
        return Perturbations(
            self.unknowns[rows],
            self.sources[rows],
            self.E[rows],
            self.F[rows],
            self.K[rows],
            self.s[rows],
            None if self.S is None else self.S[rows],
        )

    def scaled(self, factors: FloatArray) -> Perturbations:
        """Each times a number, (k,)."""
        matrix, vector = factors[:, None, None], factors[:, None]
        return replace(
            self,
            E=self.E * matrix,
            F=self.F * matrix,
            K=self.K * matrix,
            s=self.s * vector,
            S=None if self.S is None else self.S * matrix,
        )

    def touched(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(r,) unknowns and (q,) sources that any of the changes touches."""
        parts = [self.E, self.F] if self.S is None else [self.E, self.F, self.S]
        used = (self.s != 0).any(axis=0) | (self.K != 0).any(axis=(0, 2))
        for part in parts:
            used |= (part != 0).any(axis=(0, 1)) | (part != 0).any(axis=(0, 2))
        return used, (self.K != 0).any(axis=(0, 1))

    def only(self, used: NDArray[np.bool_], heard: NDArray[np.bool_]) -> Perturbations:
        """Without the other unknowns and sources."""
        square = np.ix_(np.arange(len(self)), used, used)
        return Perturbations(
            self.unknowns[:, used],
            self.sources[:, heard],
            self.E[square],
            self.F[square],
            self.K[np.ix_(np.arange(len(self)), used, heard)],
            self.s[:, used],
            None if self.S is None else self.S[square],
        )


def compact(changes: Perturbations) -> Perturbations:
    """Perturbations without what none of them touches."""
    return changes.only(*changes.touched())


def both(first: Perturbations, second: Perturbations) -> Perturbations:
    """Two changes made together, one by one along k."""

    def diagonal(a: FloatArray, b: FloatArray) -> FloatArray:
        out = np.zeros((len(a), a.shape[1] + b.shape[1], a.shape[2] + b.shape[2]))
        out[:, : a.shape[1], : a.shape[2]], out[:, a.shape[1] :, a.shape[2] :] = a, b
        return out

    return Perturbations(
        np.concatenate([first.unknowns, second.unknowns], axis=1),
        np.concatenate([first.sources, second.sources], axis=1),
        diagonal(first.E, second.E),
        diagonal(first.F, second.F),
        diagonal(first.K, second.K),
        np.concatenate([first.s, second.s], axis=1),
    )


@dataclass(frozen=True, eq=False)
class LocalStamps:
    """What instances of a subcircuit add: (k, r, r) E and F, (k, r, q) K, (k, r) s.

    Unknowns are its electrical ports, its internal nodes, its branches, in that order; sources its noise ports.
    """

    E: FloatArray
    F: FloatArray
    K: FloatArray
    s: FloatArray

    def __sub__(self, other: LocalStamps) -> LocalStamps:
        return LocalStamps(self.E - other.E, self.F - other.F, self.K - other.K, self.s - other.s)

    def __neg__(self) -> LocalStamps:
        return LocalStamps(-self.E, -self.F, -self.K, -self.s)


def local_stamps(template: Subcircuit, parameters: Mapping[str, FloatArray], temperature: float) -> LocalStamps:
    """Stamp k instances of a subcircuit, each on nodes and sources of its own."""
    count = len(next(iter(parameters.values())))
    electrical, noise = electrical_ports(template), noise_ports(template)
    p, q = len(electrical), len(noise)
    nodes = np.zeros((count, len(template.ports)), dtype=np.int64)
    nodes[:, electrical] = np.arange(count * p).reshape(count, p)
    nodes[:, noise] = np.arange(count * q).reshape(count, q)
    stamps, _ = stamp_circuit(
        Circuit(
            temperature=temperature,
            nodes=Lazy((count * p, str)),
            instances=[Instances(template, Lazy((count, str)), nodes, dict(parameters))],
            sources=Lazy((count * q, lambda k: NoiseSource(str(k), thermal=False))),
            probes=Lazy(),
            probe_nodes=np.zeros((0, 2), dtype=np.int64),
            readout=Readout.__new__(Readout),
            hash="",
        )
    )
    unknown = np.arange(stamps.size)
    port = unknown < count * p
    owner = np.where(port, unknown // max(p, 1), (unknown - count * p) % count)
    role = np.where(port, unknown % max(p, 1), p + (unknown - count * p) // count)
    width = stamps.size // count

    def square(matrix: object) -> FloatArray:
        entries = matrix.tocoo()  # type: ignore[attr-defined]
        out = np.zeros((count, width, width))
        out[owner[entries.row], role[entries.row], role[entries.col]] = entries.data
        return out

    entries = stamps.K.tocoo()
    K = np.zeros((count, width, q))
    K[owner[entries.row], role[entries.row], entries.col % max(q, 1)] = entries.data
    s = np.zeros((count, width))
    s[owner, role] = stamps.s
    return LocalStamps(square(stamps.E), square(stamps.F), K, s)


@dataclass(frozen=True, eq=False)
class System:
    """A circuit's equations, with the places in them of every instance of every subcircuit.

    Attributes
    ----------
    E, F, K, s:
        (N, N), (N, N), (N, m) and (N,): all unknowns.
    probes:
        (p, N): probe voltages from the unknowns.
    """

    circuit: Circuit
    E: FloatArray
    F: FloatArray
    K: FloatArray
    s: FloatArray
    probes: FloatArray

    @cached_property
    def stamps(self) -> list[LocalStamps]:
        """Of every group of instances."""
        return [local_stamps(g.subcircuit, g.parameters, self.circuit.temperature) for g in self.circuit.instances]

    @cached_property
    def unknowns(self) -> list[IntArray]:
        """For every group of instances (k, r) numbers of its unknowns as in `LocalStamps`; N for ground."""
        circuit, size = self.circuit, len(self.E)
        internal = [len(group.subcircuit.internal_nodes) for group in circuit.instances]
        next_node, next_branch = len(circuit.nodes), len(circuit.node_names())
        found = []
        for group, count, stamps in zip(circuit.instances, internal, self.stamps, strict=True):
            rows = np.arange(len(group.names))
            ports = group.nodes[:, electrical_ports(group.subcircuit)]
            columns = [np.where(ports == GROUND, size, ports)]
            columns += [(next_node + j * len(rows) + rows)[:, None] for j in range(count)]
            next_node += count * len(rows)
            branches = stamps.E.shape[1] - ports.shape[1] - count
            columns += [(next_branch + j * len(rows) + rows)[:, None] for j in range(branches)]
            next_branch += branches * len(rows)
            found.append(np.concatenate(columns, axis=1))
        return found

    @cached_property
    def sources(self) -> list[IntArray]:
        """For every group of instances (k, q) numbers of its noise sources."""
        return [group.nodes[:, noise_ports(group.subcircuit)] for group in self.circuit.instances]

    def response(self, frequencies: FloatArray) -> ComplexArray:
        """(f, p, m) transfer functions, V per V, from every noise source to every probe."""
        out = np.empty((len(frequencies), len(self.probes), self.K.shape[1]), dtype=np.complex128)
        for k, frequency in enumerate(frequencies):
            out[k] = self.probes @ np.linalg.solve(2j * np.pi * frequency * self.E - self.F, self.K)
        return out / UNIT_NOISE_DENSITY

    def operating_point(self) -> FloatArray:
        """(p,) DC voltages of the probes."""
        return np.asarray(self.probes @ np.linalg.solve(-self.F, self.s))

    def perturbed(self, change: Perturbations) -> System:
        """With one perturbation (k = 1) made."""
        size = len(self.E)
        E, F, s = (np.pad(array, (0, 1)) for array in (self.E, self.F, self.s))
        K = np.pad(self.K, ((0, 1), (0, 1)))
        R, C = change.unknowns[0], change.sources[0]
        np.add.at(E, np.ix_(R, R), change.E[0])
        np.add.at(F, np.ix_(R, R), change.F[0])
        np.add.at(K, np.ix_(R, C), change.K[0])
        np.add.at(s, R, change.s[0])
        return replace(self, E=E[:size, :size], F=F[:size, :size], K=K[:size, :-1], s=s[:size])

    def place(self, group: int, rows: IntArray, stamps: LocalStamps) -> Perturbations:
        """What stamps of some instances change, where these stand."""
        return Perturbations(
            self.unknowns[group][rows], self.sources[group][rows], stamps.E, stamps.F, stamps.K, stamps.s
        )

    def stamped(self, group: int, rows: IntArray, parameters: Mapping[str, FloatArray]) -> LocalStamps:
        """The stamps of some instances with some parameters changed."""
        instances = self.circuit.instances[group]
        values = {name: parameters.get(name, array[rows]) for name, array in instances.parameters.items()}
        return local_stamps(instances.subcircuit, values, self.circuit.temperature)

    def present(self, group: int, rows: IntArray) -> LocalStamps:
        """The stamps of some instances as they are."""
        known = self.stamps[group]
        return LocalStamps(known.E[rows], known.F[rows], known.K[rows], known.s[rows])


def system(circuit: Circuit) -> System:
    """Stamp a circuit."""
    stamps, _ = stamp_circuit(circuit)
    size = stamps.size
    probes = np.zeros((len(circuit.probes), size + 1))
    each = np.arange(len(circuit.probes))
    p, n = circuit.probe_nodes.T
    np.add.at(probes, (each, np.where(p == GROUND, size, p)), 1.0)
    np.add.at(probes, (each, np.where(n == GROUND, size, n)), -1.0)
    dense = (stamps.E.toarray(), stamps.F.toarray(), stamps.K.toarray(), stamps.s)
    return System(circuit, *dense, probes[:, :size])


@dataclass(frozen=True, eq=False)
class Scene:
    """A measurement at f complex frequencies of p probes driven by m inputs, and the tables that judge changes.

    Attributes
    ----------
    points:
        (f,) values of s, 1/s; all zero at DC.
    difference:
        (f, p, m) weighted: measured less expected.
    expected:
        (f, p, m), not weighted.
    weights:
        (p, m).
    creep:
        At DC, 1/s: what stands for s in the admittance of inductors that are added. Else zero.
    Z:
        (f, N + 1, N + 1) impedances, with a row and a column of zeros for ground.
    cross, left, right:
        Inner products of the columns of ``W_p P Z`` with the difference and among themselves, and of the rows of
        ``[Z K; 1] W_m`` among themselves.
    """

    points: ComplexArray
    difference: ComplexArray
    Z: ComplexArray
    cross: ComplexArray
    left: ComplexArray
    right: ComplexArray
    expected: ComplexArray
    weights: FloatArray
    creep: float = 0.0

    @property
    def at_dc(self) -> bool:
        """Whether it is an operating point."""
        return self.creep > 0

    @property
    def total(self) -> float:
        """The weighted square of the difference."""
        return float((np.abs(self.difference) ** 2).sum())

    def narrowed(self, chosen: IntArray) -> Scene:
        """At some of the frequencies."""
        return replace(
            self,
            **{
                name: getattr(self, name)[chosen]
                for name in ("points", "difference", "Z", "cross", "left", "right", "expected")
            },
        )

    def residual(self, changes: Perturbations) -> FloatArray:
        """(k,) weighted square of what is left of the difference if each change is made.

        Infinite where the changed circuit has no solution.
        """
        out = np.empty(len(changes))
        for rows in self._chunks(changes):
            part = changes.take(rows)
            X, cross, left, right = self._gather(part)
            out[rows] = self.total + _inner(X, left @ X @ np.swapaxes(right, -1, -2) - 2.0 * cross)
        return np.where(np.isfinite(out), np.maximum(out, 0.0), np.inf)

    def step(self, changes: Perturbations, nearby: Perturbations) -> tuple[FloatArray, FloatArray]:
        """For a move from each change towards the nearby one: (k,) slopes and (k,) curvatures (Gauss and Newton)."""
        slope, curvature = np.empty(len(changes)), np.empty(len(changes))
        for rows in self._chunks(changes):
            X, cross, left, right = self._gather(changes.take(rows))
            move = self._gather(nearby.take(rows))[0] - X
            turned = np.swapaxes(right, -1, -2)
            slope[rows] = _inner(move, cross - left @ X @ turned)
            curvature[rows] = _inner(move, left @ move @ turned)
        return slope, curvature

    def _chunks(self, changes: Perturbations) -> list[slice]:
        r, c = changes.E.shape[1], changes.E.shape[1] + (1 if self.at_dc else changes.K.shape[2])
        size = max(1, _CHUNK // max(1, len(self.points) * c * max(c, r)))
        return [slice(k, k + size) for k in range(0, len(changes), size)]

    def _gather(self, changes: Perturbations) -> tuple[ComplexArray, ComplexArray, ComplexArray, ComplexArray]:
        """X with ``dH = left_R X right_C``, (k, f, r, c), and the tables at those rows and columns."""
        R = changes.unknowns
        first = self.Z.shape[1]
        if self.at_dc:
            C, drive = np.concatenate([R, np.full((len(R), 1), first)], axis=1), changes.s[:, :, None]
        else:
            C, drive = np.concatenate([R, first + changes.sources], axis=1), changes.K / UNIT_NOISE_DENSITY
        every = np.arange(len(self.points))[None, :, None, None]
        ZR = self.Z[every, R[:, None, :, None], R[:, None, None, :]]
        s = self.points[None, :, None, None]
        D = s * changes.E[:, None] - changes.F[:, None]
        if changes.S is not None:
            D = D + changes.S[:, None] / (s if not self.at_dc else self.creep)
        with np.errstate(invalid="ignore", over="ignore"):  # a guess that overflows explains nothing
            T = _solve(np.eye(R.shape[1]) + D @ ZR, D)
            X = np.concatenate([-T, drive[:, None] - T @ (ZR @ drive[:, None])], axis=-1)
        cross = self.cross[every, R[:, None, :, None], C[:, None, None, :]]
        left = self.left[every, R[:, None, :, None], R[:, None, None, :]]
        right = self.right[every, C[:, None, :, None], C[:, None, None, :]]
        return X, cross, left, right


def _solve(a: ComplexArray, b: ComplexArray) -> ComplexArray:
    """Solve many small systems; not-a-number for those that are singular."""
    try:
        return np.asarray(np.linalg.solve(a, b))
    except np.linalg.LinAlgError:
        with np.errstate(all="ignore"):  # a guess far off may overflow: its determinant is then nan, not regular
            regular = np.abs(np.linalg.det(a)) > 0
        out = np.full(b.shape, np.nan, dtype=np.complex128)
        out[regular] = np.linalg.solve(a[regular], b[regular])
        return out


def _inner(a: ComplexArray, b: ComplexArray) -> FloatArray:
    """(k,) real inner products of (k, f, r, c) arrays."""
    return np.asarray(np.einsum("kfrc,kfrc->k", a.conj(), b).real)


def scene(
    equations: System,
    points: ComplexArray,
    measured: ComplexArray,
    outputs: FloatArray,
    inputs: FloatArray,
    creep: float = 0.0,
) -> Scene:
    """Tabulate a measurement.

    Parameters
    ----------
    points:
        (f,) values of s.
    measured:
        (f, p, m) what was measured.
    outputs, inputs:
        (p,) and (m,) weights: a difference times both is in units of what is allowed.
    creep:
        Above zero for an operating point, whose one input is all constant sources together, at s = 0: a rate, 1/s,
        so slow that inductors are as good as shorts.
    """
    size = len(equations.E)
    drive = equations.s[:, None] if creep > 0 else equations.K / UNIT_NOISE_DENSITY
    count = drive.shape[1]
    Z = np.zeros((len(points), size + 1, size + 1), dtype=np.complex128)
    for k, s in enumerate(points):
        Z[k, :size, :size] = np.linalg.inv(s * equations.E - equations.F)
    left = (outputs[:, None] * equations.probes) @ Z[:, :size, :]
    # Behind ground's row of zeros: each input itself, and a row of zeros for sources that play no part.
    right = np.zeros((len(points), size + 2 + count, count), dtype=np.complex128)
    right[:, :size] = Z[:, :size, :size] @ drive
    expected = np.asarray(equations.probes @ right[:, :size], dtype=np.complex128)
    right[:, size + 1 : -1] = np.eye(count)
    right *= inputs
    difference = (measured - expected) * outputs[:, None] * inputs
    turned = np.conj(np.swapaxes(left, 1, 2))
    return Scene(
        points=points,
        difference=difference,
        Z=Z,
        cross=turned @ difference @ np.conj(np.swapaxes(right, 1, 2)),
        left=turned @ left,
        right=np.conj(right) @ np.swapaxes(right, 1, 2),
        expected=expected,
        weights=outputs[:, None] * inputs,
        creep=creep,
    )
