"""Codes for a board that is known: those whose values, as they are there, answer best.

The covariance of the board is exact at every step. Between steps it is taken as linear in the codes, by its
derivatives; on that line codes are moved, one at a time or in pairs, as long as the error of the answer falls. Gains of
the readout, which are numbers and not parts, are fitted to what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from spu.base.arrays import FloatArray, IntArray
from spu.base.errors import InputError, UsageError
from spu.base.files import read_json
from spu.base.sparse import canonical
from spu.circuit.readout import Readout
from spu.compiler.rounding import Aim
from spu.device.device import Device
from spu.device.subject import Subject, subject_of
from spu.device.variation import Elements, elements_of, varied
from spu.emulator.dynamics import device_law
from spu.problems.answers import COVARIANCE
from spu.problems.problem import linear_problem
from spu.studies.calibration.model import Model, Reading, Sought
from spu.studies.calibration.result import Calibration

__all__ = ["compensate"]

_ROUNDS, _MOVES = 12, 400
"""Steps, and moves of codes within one, at most."""

_BETTER = 1e-6
"""Relative fall of the error below which it is none."""


def compensate(device: Subject, board: Calibration | Mapping[str, float] | str | Path) -> Device:
    """A compiled device as it is on a board that was calibrated, with the codes and gains that answer best there.

    Parameters
    ----------
    device:
        Compiled for the board's hardware, for the same problem or another one, with that problem.
    board:
        What `calibrate` found, the file of its ``--json``, or factors by names of elements. What it does not name,
        such as a coupler that was not in use, is taken as made.

    Returns
    -------
    Device
        With the board's values and errors. Banks have other codes; values that are no banks stay what the board has,
        so that of these only the gains of the readout are made up for.

    Raises
    ------
    InputError
        If the board names no element of the device, or the file is no calibration.
    UsageError
        If the device was compiled for no problem whose answer is a covariance; if it is of another architecture than
        the device that was calibrated, or a board with values of its own already.

    Examples
    --------
    >>> import spu
    >>> problem = spu.GaussianSampling(precision=[[2.0, -0.5], [-0.5, 1.0]])
    >>> device = spu.compile(problem, hardware="spu8-8bit")
    >>> factors = {"capacitance of x1": 1.04, "capacitance of x2": 0.97}
    >>> known = spu.compensate(device, factors)
    >>> board = spu.varied(device, [factors.get(name, 1.0) for name in spu.elements_of(device).names])
    >>> board.problem = problem
    >>> spu.predict(known).relative_error < 0.5 * spu.predict(board).relative_error
    True
    """
    found = subject_of(device)
    if not isinstance(found, Device) or found.programmings:
        raise UsageError("what is programmed for a board is one device, no circuit and no ensemble")
    problem = linear_problem(found.problem)
    if problem is None or problem.kind.answer is not COVARIANCE:
        raise UsageError("codes for a board are chosen for a problem whose answer is a covariance: the device has none")
    elements = elements_of(found)
    made = varied(found, _factors(found, elements, board), elements)
    made.problem = found.problem
    target = np.asarray(problem.target_covariance)
    best, error = _with_gains(made, target)
    here = elements_of(made)
    banks = _Banks.of(made, here)
    for _ in range(_ROUNDS if len(banks.numbers) else 0):
        moves = _moves(best, here, banks, target)
        if not moves.any():
            break
        trial, other = _with_gains(banks.moved(best, moves), target)
        if other >= error * (1 - _BETTER):
            break
        best, error = trial, other
    return best


def _factors(device: Device, elements: Elements, board: Any) -> FloatArray:
    if isinstance(board, Calibration):
        known = {each.name: each.value / each.nominal for each in board.elements}
        _refuse_other(device, board.device_hash, board.architecture)
    elif isinstance(board, (str, Path)):
        data = read_json(Path(board))
        known = _read(data, Path(board))
        _refuse_other(device, data.get("device_hash"), data.get("architecture"))
    else:
        known = dict(board)
    found = np.ones(len(elements))
    named = [k for k, name in enumerate(elements.names) if name in known]
    if not named:
        raise InputError(f"the board says nothing of this device, which has {', '.join(elements.names[:3])}...")
    for k in named:
        found[k] = known[elements.names[k]]
    return found


def _refuse_other(device: Device, calibrated: str | None, architecture: str | None) -> None:
    """Values are relative to those of the design: a device of other parts has others, and a board has its own."""
    if calibrated is None or calibrated == device.hash:
        return
    if architecture != device.architecture:
        raise UsageError(
            f"the board that was calibrated is {architecture}, and the device {device.architecture}: compile for the "
            "board's hardware"
        )
    changed = device.origin is not None and not device.as_compiled
    if changed or device.cell_columns.errors or device.coupler_columns.errors:
        raise UsageError(
            "the device is a board with values of its own, and what was calibrated is relative to another device: "
            "compile it anew, or calibrate it as it is"
        )


def _read(data: dict[str, Any], path: Path) -> dict[str, float]:
    """Factors of the elements of a calibration's JSON."""
    try:
        return {str(each["name"]): float(each["value"]) / float(each["nominal"]) for each in data["elements"]}
    except (TypeError, KeyError, ValueError, ZeroDivisionError):
        raise InputError(
            'is no calibration: "elements" with name, value and nominal, as spu calibrate --json', file=path
        ) from None


def _with_gains(device: Device, target: FloatArray) -> tuple[Device, float]:
    """The device with the gains of its variables that bring it closest to a target, and its relative error there."""
    readout = device.readout
    law = device_law(device)
    S = np.asarray(law.readout_moments[1])
    size = float(np.linalg.norm(target))
    gains = Aim(target, size, readout.matrix.toarray(), 1.0, 0.0).gains(S, settled=True)
    found = copy(device)
    matrix = canonical(sp.csr_array(gains[:, None] * readout.matrix.toarray()))
    offset = readout.offset + readout.matrix @ law.voltage_mean - matrix @ law.voltage_mean
    found._readout = Readout(readout.variables, matrix, offset)
    found.problem = device.problem
    return found, float(np.linalg.norm(gains[:, None] * S * gains - target)) / size


@dataclass(frozen=True, eq=False)
class _Banks:
    """The elements that are values of codes: where they stand among all, and where their codes are."""

    numbers: IntArray
    places: tuple[tuple[bool, str, str, int], ...]

    @classmethod
    def of(cls, device: Device, elements: Elements) -> _Banks:
        numbers, places = [], []
        for group, where in zip(elements.groups, elements.slices, strict=True):
            columns = device.cell_columns if group.kind == "cell" else device.coupler_columns
            if group.kind == "detail" or group.quantity not in columns.banks or len(group.keys) > 1:
                continue
            for number, row in zip(range(where.start, where.stop), group.rows.tolist(), strict=True):
                numbers.append(number)
                places.append((group.kind == "cell", group.quantity, group.keys[0], row))
        return cls(np.array(numbers, dtype=np.int64), tuple(places))

    def steps(self, device: Device) -> tuple[FloatArray, IntArray, IntArray]:
        """(k,) what one code more changes, relative to the value, and how many codes it may go down and up."""
        relative, down, up = [], [], []
        for cell, quantity, key, row in self.places:
            columns = device.cell_columns if cell else device.coupler_columns
            bank, code = columns.banks[quantity], int(columns.codes[key][row])
            value = bank.offset + bank.lsb * code
            relative.append(bank.lsb / value)
            # What is there stays there, with the sign that it has: a coupler that vanishes is another wiring.
            least, most = (bank.least, bank.most) if bank.offset else (1, bank.most) if code > 0 else (bank.least, -1)
            down.append(code - least)
            up.append(most - code)
        return np.array(relative), np.maximum(down, 0), np.maximum(up, 0)

    def moved(self, device: Device, moves: IntArray) -> Device:
        """The device with codes that many higher."""
        made = copy(device)
        for (cell, _, key, row), move in zip(self.places, moves.tolist(), strict=True):
            (made.cell_columns if cell else made.coupler_columns).codes[key][row] += move
        for columns in (made.cell_columns, made.coupler_columns):
            columns.set_codes(dict(columns.codes))
        made.problem = device.problem
        return made


def _moves(device: Device, elements: Elements, banks: _Banks, target: FloatArray) -> IntArray:
    """(k,) by how much codes change where the covariance is linear in them."""
    readout = device.readout
    variables, matrix = tuple(readout.variables), readout.matrix.toarray()
    ones = np.ones(len(variables))
    model = Model(device, Sought(elements, banks.numbers, (), variables), Reading(matrix, ones, 0.0 * ones))
    point = model.at(np.zeros(len(banks.numbers)))
    unit = np.outer(model.unit, model.unit)
    S, changes = point.covariance * unit, point.covariance_change * unit
    relative, down, up = banks.steps(device)
    p = len(S)
    rows, columns = np.triu_indices(p)
    weight = np.where(rows == columns, 1.0, np.sqrt(2.0))
    J = (changes[:, rows, columns] * weight).T * relative
    r = (S - target)[rows, columns] * weight
    # Gains make up for what is along them.
    gains = np.zeros((len(rows), p))
    for k in range(p):
        moved = np.zeros((p, p))
        moved[k] += S[k]
        moved[:, k] += S[:, k]
        gains[:, k] = moved[rows, columns] * weight
    basis = np.linalg.qr(gains)[0]
    J, r = J - basis @ (basis.T @ J), r - basis @ (basis.T @ r)
    return _descend(J.T @ J, J.T @ r, down, up)


def _descend(gram: FloatArray, slope: FloatArray, down: IntArray, up: IntArray) -> IntArray:
    """(k,) whole numbers within bounds that make ``z^T gram z + 2 slope^T z`` small, by moves of one or two by one."""
    k = len(slope)
    z = np.zeros(k, dtype=np.int64)
    diagonal = gram.diagonal()
    signs = np.array([-1.0, 1.0])
    for _ in range(_MOVES):
        g = slope + gram @ z
        single = 2.0 * signs * g[:, None] + diagonal[:, None]  # (k, 2)
        single[z <= -down, 0] = np.inf
        single[z >= up, 1] = np.inf
        flat = single.ravel()
        cross = 2.0 * np.kron(gram, np.outer(signs, signs))
        pairs = flat[:, None] + flat + cross
        own = np.arange(2 * k) // 2
        pairs[own[:, None] == own] = np.inf
        best_pair, best_one = np.unravel_index(int(np.argmin(pairs)), pairs.shape), int(np.argmin(flat))
        least = min(float(pairs[best_pair]) if k > 1 else np.inf, float(flat[best_one]))
        if least >= -1e-12 * float(diagonal.max()):
            break
        chosen = [best_one] if flat[best_one] <= least else list(best_pair)
        for index in chosen:
            z[index // 2] += int(signs[index % 2])
    return z
