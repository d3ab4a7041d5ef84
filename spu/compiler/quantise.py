"""Pass 7: codes for hardware whose components are banks, in the metric of the answer.

The real-valued device of the passes before is brought onto the codes of its banks. Codes, the physical
scale and the scaling D of the cells (``M -> f D M D``, undone in the readout) are chosen together, so that
the covariance of the problem variables is closest to the wanted one; gains of the readout, which are
numbers and not parts, are fitted to the rounded device. Which integers: `spu.compiler.rounding`.

An ensemble is K programmings of one wiring whose samples are merged: each one is chosen so that the
merged covariance of it and all before it is closest to the target. Where several are equally close, one is taken
that is not among those before it: what is not ideal about the parts then averages, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.choice import first_largest, without_rounding
from spu.base.errors import Unrealizable
from spu.base.sparse import canonical
from spu.circuit.readout import Readout
from spu.compiler.fit import beyond
from spu.compiler.rounding import CELL, PASSIVE, TRANS, Aim, Banks, Rounded, choose, nearest
from spu.device.banks import Bank
from spu.device.columns import Columns
from spu.device.device import Device
from spu.device.hardware import Hardware, Range
from spu.device.quantities import TRANSCONDUCTANCE
from spu.emulator.dynamics import device_law
from spu.problems.problem import QuadraticProblem

ROUNDINGS = ("answer", "codes", "nearest")
"""How codes are chosen: all that is said above; codes alone (scale, D and gains as they were); each value to the
nearest one."""

_MOST_CHOSEN = 20_000
"""With more banks than this, or a sparse problem, every value goes to the nearest code."""


@dataclass(frozen=True, eq=False)
class Quantised:
    """A quantised device, and how its codes came about.

    Attributes
    ----------
    device:
        With banks, codes, fitted readout, and the further programmings of an ensemble.
    how:
        One of `ROUNDINGS`.
    bank_count:
        Number of banks.
    """

    device: Device
    how: str
    bank_count: int


def quantised(hardware: Hardware) -> bool:
    """Whether any component of the hardware is a bank."""
    return any(limits.bank is not None for part in (hardware.cell, hardware.coupler) for limits in part.values())


def quantise(
    device: Device,
    hardware: Hardware,
    problem: QuadraticProblem,
    *,
    how: str = "answer",
    ensemble: int = 1,
    seed: int = 0,
) -> Quantised:
    """Bring a compiled device onto the codes of its hardware.

    Parameters
    ----------
    device:
        As an architecture returns it; its values are real numbers within the ranges of the hardware.
    how:
        One of `ROUNDINGS`.
    ensemble:
        Number of programmings.
    seed:
        Of the scalings D that are tried.

    Raises
    ------
    Unrealizable
        If no rounding leaves a network with a stationary law.
    """
    cell, coupler = _banks_of(device, hardware)
    work = _Work(device, hardware, problem, cell, coupler)
    if work.simple:
        return Quantised(work.nearest(), "nearest", work.bank_count)
    rng = np.random.default_rng(seed)
    made: list[tuple[IntArray, Device]] = []
    lack = np.zeros_like(work.target)  # the sum of what the programmings so far fall short of
    # Fewer tries of a larger network, which take longer, and in an ensemble, which corrects itself.
    tries = int(np.clip(300 // len(work.values), 1, 30)) if ensemble == 1 else 2
    for _ in range(ensemble):
        rounded = work.best(work.target + lack, rng, how, tries, [codes for codes, _ in made])
        member, covariance = work.build(*rounded, work.target + lack, fit=how == "answer")
        lack += work.target - covariance
        made.append((rounded[1].codes, member))
    first = made[0][1]
    first.programmings = [member.programming for _, member in made[1:]]
    return Quantised(first, how, work.bank_count)


def to_nearest(device: Device, hardware: Hardware) -> int:
    """Set every value of a device that is a bank's on this hardware to its nearest code; the number of banks."""
    cell, coupler = _banks_of(device, hardware)
    device.set_banks(cell, coupler, _nearest(device.cell_columns, cell), _nearest(device.coupler_columns, coupler))
    return len(cell) * len(device.cell_names) + len(coupler) * len(device.coupler_ends)


def _banks_of(device: Device, hardware: Hardware) -> tuple[dict[str, Bank], dict[str, Bank]]:
    """Banks of cells, and of the couplers that the device has, by quantity."""
    cell = {key: limits.bank for key, limits in hardware.cell.items() if limits.bank is not None}
    coupler = {
        key: limits.bank
        for key, limits in hardware.coupler.items()
        if limits.bank is not None and _held(device.coupler_columns, device.coupler_columns.parts[key].keys)
    }
    return cell, coupler


def _held(columns: Columns, keys: tuple[str, ...]) -> bool:
    return any(columns.holds(key) for key in keys)


@dataclass(frozen=True, eq=False)
class _Scaled:
    """The real-valued network at a scale and a D: values (k,) of its banks, and the factor (n,) of T's columns."""

    values: FloatArray
    columns: FloatArray


class _Work:
    """One device on its way to codes: the matrix M of its voltages' law, its banks and its target."""

    def __init__(
        self,
        device: Device,
        hardware: Hardware,
        problem: QuadraticProblem,
        cell: dict[str, Bank],
        coupler: dict[str, Bank],
    ) -> None:
        self.hardware, self.problem, self.cell, self.coupler = hardware, problem, cell, coupler
        n = len(device.cell_names)
        # An inductor shorts a cell's conductance at DC, and capacitances make the covariance; else conductances do.
        resonant = _held(device.cell_columns, ("inductance",))
        self.quantity = "capacitance" if resonant else "conductance"
        self.device = device
        self._round_the_rest()
        arrays, ends = device.coupler_columns.arrays, device.coupler_ends
        self.own = np.nan_to_num(device.cell_columns.arrays[self.quantity])
        passive = np.nan_to_num(arrays[self.quantity])
        forward, back = (np.nan_to_num(arrays[key]) for key in TRANSCONDUCTANCE.keys)
        if resonant:
            forward = back = np.zeros(len(ends))
        self.passive, self.trans = np.flatnonzero(passive), np.flatnonzero((forward != 0) | (back != 0))
        kinds = [(CELL, n), (PASSIVE, len(self.passive)), (TRANS, len(self.trans))]
        every = np.arange(n)
        a, b = ends.T if len(ends) else np.zeros((2, 0), dtype=np.int64)
        self.values = np.concatenate([self.own, passive[self.passive], forward[self.trans]])
        ranges = [
            hardware.cell[self.quantity],
            hardware.coupler[self.quantity],
            hardware.coupler[TRANSCONDUCTANCE.quantity],
        ]
        self.banks = _banks(
            n,
            np.repeat([kind for kind, _ in kinds], [count for _, count in kinds]),
            np.concatenate([every, a[self.passive], a[self.trans]]),
            np.concatenate([every, b[self.passive], b[self.trans]]),
            ranges,
            float(np.abs(self.values).max(initial=0.0)),
        )
        self.bank_count = int(
            sum(len(device.cell_names) for _ in cell) + sum(len(device.coupler_ends) for _ in coupler)
        )
        self.simple = (
            problem.sparse
            or len(self.values) > _MOST_CHOSEN
            or not np.array_equal(forward, back)
            or all(limits.bank is None for limits in ranges)
        )
        if not self.simple:
            self._calibrate()

    def _round_the_rest(self) -> None:
        """Nominal values that no problem sets (a resonator's conductance...) go to their nearest codes first."""
        for columns, banks in ((self.device.cell_columns, self.cell), (self.device.coupler_columns, self.coupler)):
            for quantity, bank in banks.items():
                if quantity not in (self.quantity, TRANSCONDUCTANCE.quantity):
                    for key in columns.parts[quantity].keys:
                        values = bank.values(bank.nearest(np.nan_to_num(columns.arrays[key])))
                        columns.arrays[key] = np.where(values != 0, values, np.nan)

    def _calibrate(self) -> None:
        """``P = e M^-1 + p I`` out of the exact law of the real-valued device."""
        law = device_law(self.device)
        P = np.asarray(law.voltage_covariance)
        self.voltage_mean = law.voltage_mean
        inverse = np.linalg.inv(self.banks.matrix(self.values))
        columns = np.column_stack([inverse.ravel(), np.eye(len(inverse)).ravel()])
        sizes = np.linalg.norm(columns, axis=0)
        e, p = np.linalg.lstsq(columns / sizes, P.ravel(), rcond=None)[0] / sizes
        self.energy, self.floor = float(e), max(float(p), 0.0)
        self.T = self.device.readout.matrix.toarray()
        self.target = np.asarray(self.problem.target_covariance)
        self.size = float(np.linalg.norm(self.target))

    def aim(self, target: FloatArray, columns: FloatArray, fit: bool) -> Aim:
        return Aim(target, self.size, self.T * columns, self.energy, self.floor, fit)

    # Scales and scalings

    def scaled(self, d: FloatArray, share: float) -> _Scaled | None:
        """The network of ``f D M D``, f a share of the most that all ranges allow; None where nothing fits."""
        banks = self.banks
        here = banks.kind != CELL
        values = self.values * np.where(here, d[banks.a] * d[banks.b], 1.0)
        # A passive coupler is also in the diagonal, where what is left is the cell's own.
        diagonal = np.diag(banks.matrix(self.values)) * d**2
        edges = banks.kind == PASSIVE
        for ends in (banks.a, banks.b):
            np.subtract.at(diagonal, ends[edges], values[edges])
        values[~here] = np.where(np.abs(diagonal) > 1e-12 * np.abs(values).max(), diagonal, 0.0)
        least, most = banks.offset + banks.lsb * banks.least, banks.offset + banks.lsb * banks.most
        with np.errstate(divide="ignore", invalid="ignore"):
            high = np.min(np.where(values > 0, most / values, np.where(values < 0, least / values, np.inf)))
            low = np.max(np.where(values > 0, least / values, np.where(values < 0, most / values, 0.0)), initial=0.0)
            below = (values == 0) & ((least > 0) | (most < 0))
        if (values[~here] < 0).any() or below.any() or not np.isfinite(high) or low > high * (1 + 1e-9):
            return None
        factor = max(share * high, low)
        return _Scaled(values * factor, d * np.sqrt(factor))

    def candidates(self, rng: np.random.Generator, count: int) -> Iterator[_Scaled]:
        """The full range at the D given, then about ``count`` random scales and D around it."""
        n = self.banks.n
        base = self.scaled(np.ones(n), 1.0)
        yield base or _Scaled(self.values, np.ones(n))
        for _ in range(count):
            spread = rng.choice([0.03, 0.1, 0.2])
            found = self.scaled(np.exp(spread * rng.standard_normal(n)), rng.uniform(0.8, 1.0))
            if found is not None:
                yield found

    def best(
        self, target: FloatArray, rng: np.random.Generator, how: str, count: int, taken: Sequence[IntArray]
    ) -> tuple[_Scaled, Rounded]:
        """The candidate whose rounding comes closest to a target; of equals one whose codes are not yet taken."""
        best: tuple[_Scaled, Rounded] | None = None
        for at in self.candidates(rng, count):
            aim = self.aim(target, at.columns, how == "answer")
            if how == "nearest":
                found = nearest(self.banks, aim, at.values)
            else:
                found = choose(self.banks, aim, at.values, taken=taken)
            if best is None or found.better(best[1], taken):
                best = at, found
            if how != "answer":
                break
        assert best is not None
        if not np.isfinite(best[1].error):
            raise Unrealizable(
                f"rounded to the {self.bank_count} banks of hardware {self.hardware.name} the network has no "
                "stationary law: more bits are needed",
                details={"banks": self.bank_count},
            )
        return best

    # Devices

    def build(self, at: _Scaled, rounded: Rounded, target: FloatArray, *, fit: bool) -> tuple[Device, FloatArray]:
        """The device with chosen codes, gains fitted to its exact law; and its covariance."""
        values = self.banks.offset + self.banks.lsb * rounded.codes
        device = self._with_values(values)
        law = device_law(device)
        T = self.T * at.columns
        P = np.asarray(law.voltage_covariance)
        S = T @ P @ T.T
        gains = self.aim(target, at.columns, fit).gains(S, rounded.gains if fit else None, settled=True)
        T = gains[:, None] * T
        readout = self.device.readout
        offset, bias = self._mean(T, values)
        device._readout = Readout(readout.variables, canonical(sp.csr_array(T)), offset)
        device.cell_columns.arrays["bias"] = bias
        device.problem = self.device.problem
        return device, T @ P @ T.T

    def _mean(self, T: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Offset of the readout and bias currents for the rounded network and its readout."""
        device = self.device
        offset, bias = device.readout.offset, device.cell_columns.arrays["bias"]
        if np.isnan(bias).all():
            return offset, bias
        # Each voltage keeps its part in its variable: a gain made smaller asks for a larger voltage.
        now, before = np.abs(T).sum(axis=0), np.abs(self.T).sum(axis=0)
        larger = np.divide(before, now, out=np.ones_like(now), where=now > 0)
        if self.problem.kind.answer.deterministic:
            # The right-hand side stays what was given: a current that knew the rounded matrix would know x.
            currents = np.nan_to_num(bias) / larger
        else:
            M, voltages = self.banks.matrix(values), self.voltage_mean * larger
            currents = without_rounding(M @ voltages, np.abs(M) @ np.abs(voltages), len(M))
        allowed = self.hardware.cell["bias"]
        if beyond(currents, allowed).any():
            if self.problem.kind.answer.deterministic:
                worst = first_largest(np.maximum(allowed.min - currents, currents - allowed.max))
                raise Unrealizable(
                    f"bias of cell {device.cell_names[worst]} would be {currents[worst]:.4g} A at the scale of the "
                    f"codes, outside its range {allowed.min:.4g} to {allowed.max:.4g} A"
                )
            return self.problem.target_mean, np.full_like(bias, np.nan)
        return offset, np.where(currents != 0, currents, np.nan)

    def nearest(self) -> Device:
        """Every value to the nearest code, nothing else changed."""
        self.device.set_banks(
            self.cell,
            self.coupler,
            _nearest(self.device.cell_columns, self.cell),
            _nearest(self.device.coupler_columns, self.coupler),
        )
        return self.device

    def _with_values(self, values: FloatArray) -> Device:
        """A copy of the device with the matrix's values in place, and codes where there are banks."""
        device, n, m = self.device, self.banks.n, len(self.passive)
        cells, couplers = (
            {key: columns.arrays[key].copy() for key in columns.keys}
            for columns in (device.cell_columns, device.coupler_columns)
        )
        cells[self.quantity] = np.where(values[:n] != 0, values[:n], np.nan)
        for keys, where, found in (
            ((self.quantity,), self.passive, values[n : n + m]),
            (TRANSCONDUCTANCE.keys, self.trans, values[n + m :]),
        ):
            for key in keys:
                couplers[key][where] = np.where(found != 0, found, np.nan)
        copy = Device.from_arrays(
            device.cell_names,
            cells,
            device.coupler_ends,
            couplers,
            temperature=device.temperature,
            readout=device.readout,
            architecture=device.architecture,
        )
        copy.set_banks(
            self.cell,
            self.coupler,
            _nearest(copy.cell_columns, self.cell),
            _nearest(copy.coupler_columns, self.coupler),
        )
        return copy


def _nearest(columns: Columns, banks: dict[str, Bank]) -> dict[str, IntArray]:
    """Codes nearest to the values of columns, by key."""
    return {
        key: bank.nearest(np.nan_to_num(columns.arrays[key]))
        for quantity, bank in banks.items()
        for key in columns.parts[quantity].keys
    }


def _banks(n: int, kind: IntArray, a: IntArray, b: IntArray, ranges: list[Range], peak: float) -> Banks:
    """The banks of a network; what is not quantised has steps too fine to matter, as far as its range goes."""
    finest = min((limits.bank.lsb for limits in ranges if limits.bank is not None), default=peak)
    bits = max((limits.bank.bits for limits in ranges if limits.bank is not None), default=0)
    columns = []
    for limits in ranges:
        if limits.bank is not None:
            first, last = limits.bank.within(limits.min, limits.max)
            columns.append((limits.bank.lsb, limits.bank.offset, first, last))
        else:
            step = finest * 2.0 ** max(-34, bits - 50)  # fine enough to be none, for all that doubles hold
            reach = 2**51 * step
            columns.append((step, 0.0, int(max(limits.min, -reach) / step), int(min(limits.max, reach) / step)))
    lsb, offset, least, most = (np.array([column[k] for column in columns])[kind] for k in range(4))
    return Banks(n, kind, a, b, lsb, offset, least.astype(np.int64), most.astype(np.int64))
