"""Pass 8: the level of detail. What is not ideal about the parts is put on the device; no code is chosen anew.

The codes stay those of the ideal model: what its imperfections cost is for the prediction to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import numpy as np

from spu.base.arrays import IntArray
from spu.device.device import Device
from spu.device.hardware import Hardware
from spu.device.imperfections import Detail
from spu.device.noise_shaping import series_sources
from spu.device.wiring import Wiring


def chosen_detail(hardware: Hardware, names: Iterable[str] | None) -> Detail:
    """What of a hardware's detail is taken.

    Parameters
    ----------
    names:
        Tables or keys (`Detail.only`); ``all`` and ``none`` stand alone. None for all.

    Raises
    ------
    InputError
        For a name that the hardware says nothing of.
    """
    words = ["all"] if names is None else list(names)
    if words == ["all"]:
        return hardware.detail
    return hardware.detail.only([] if words == ["none"] else words)


def put_detail(device: Device, detail: Detail, wiring: Wiring | None) -> None:
    """Set the level of detail of a device; with switches, couplers at code 0 are there and are added.

    Noise that is to be a voltage becomes one (`spu.device.noise_shaping.series_sources`).

    Between cells of the device the hardware has a coupler wherever its wiring does, used or not: the open
    switches of an unused one couple, too.
    """
    device.detail = detail
    if "source" in detail.noise:  # of it the device keeps what its cells are
        if detail.noise["source"] == "voltage":
            series_sources(device)
        device.detail = replace(detail, noise={key: value for key, value in detail.noise.items() if key != "source"})
    banks = device.coupler_columns.banks
    if detail.switch and banks and not any(bank.offset for bank in banks.values()):
        _add_idle(device, _idle(device, wiring))


def _idle(device: Device, wiring: Wiring | None) -> IntArray:
    """(m, 2) couplers that the hardware has between the device's cells and the device does not use."""
    n = len(device.cell_names)
    used = {tuple(sorted(pair)) for pair in device.coupler_ends.tolist()}
    if wiring is None:
        there = list(combinations(range(n), 2))
    else:
        number = {name: k for k, name in enumerate(device.cell_names)}
        places = [[number.get(wiring.names[end], -1) for end in edge] for edge in wiring.edges.tolist()]
        there = [(min(edge), max(edge)) for edge in places if min(edge) >= 0]
    return np.array([edge for edge in there if edge not in used], dtype=np.int64).reshape(-1, 2)


def _add_idle(device: Device, ends: IntArray) -> None:
    columns, zeros = device.coupler_columns, np.zeros(len(ends), dtype=np.int64)
    device.coupler_ends = np.concatenate([device.coupler_ends, ends])
    columns.extend(len(ends), {})
    columns.codes = {key: np.concatenate([codes, zeros]) for key, codes in columns.codes.items()}
    device.programmings = [
        replace(
            programming,
            coupler_codes={key: np.concatenate([codes, zeros]) for key, codes in programming.coupler_codes.items()},
        )
        for programming in device.programmings
    ]
