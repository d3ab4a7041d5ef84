"""The child process that holds ngspice: ``worker.py REQUEST RESULT``, run by ``confined.py``.

It imports nothing of the package. ngspice inside a process can call exit, hang or leak, so it never runs inside ours.
REQUEST is JSON (deck text and steps), RESULT an ``.npz`` of the vectors asked for, those alike as the rows of one
array, and a log with their names.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np


def _load() -> Any:
    """PySpice's ngspice, silent: its logger calls unknown stderr lines errors, we read the log ourselves."""
    logging.disable(logging.CRITICAL)
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared

    class Recorder(NgSpiceShared):
        log: list[str] = []  # noqa: RUF012 - one instance a process

        def send_char(self, message: str, ngspice_id: int) -> int:  # noqa: ARG002
            self.log.append(message)
            return 0

    return Recorder.new_instance()


def _command(ngspice: Any, text: str) -> None:
    from PySpice.Spice.NgSpice.Shared import NgSpiceCommandError

    try:
        ngspice.exec_command(text)
    except NgSpiceCommandError as error:
        ngspice.log.append(f"failed: {text}: {error}")


def _fetch(ngspice: Any, kind: str, names: list[str] | None) -> dict[str, np.ndarray]:
    """Vectors of the newest plot of a kind (``op``, ``ac``, ``noise``, ``tran``) that holds the first one asked for."""
    wanted = None if names is None else {name.lower() for name in names}
    first = names[0].lower() if names else "frequency" if kind in ("ac", "noise") else None
    # A noise run leaves two plots, spectra and totals; the spectra are the ones with a frequency.
    for plot in ngspice.plot_names:
        if not plot.startswith(kind):
            continue
        there = {name.lower(): name for name in _vectors(ngspice, plot)}
        if first is None or first in there:
            chosen = there if wanted is None else {low: name for low, name in there.items() if low in wanted}
            return {low: _values(ngspice, f"{plot}.{name}") for low, name in chosen.items()}
    return {}


def _vectors(ngspice: Any, plot: str) -> list[str]:
    """Names of the vectors of a plot. PySpice would read all their values, too: of thousands few may be asked for."""
    from PySpice.Spice.NgSpice.Shared import FFI, ffi

    every = ngspice._ngspice_shared.ngSpice_AllVecs(plot.encode())
    found: list[str] = []
    while every[len(found)] != FFI.NULL:
        found.append(ffi.string(every[len(found)]).decode())
    return found


def _values(ngspice: Any, name: str) -> np.ndarray:
    """The values of a vector, real or complex."""
    from PySpice.Spice.NgSpice.Shared import FFI, ffi

    vector = ngspice._ngspice_shared.ngGet_Vec_Info(name.encode())
    if vector.v_compdata == FFI.NULL:
        return np.frombuffer(ffi.buffer(vector.v_realdata, 8 * vector.v_length), dtype=np.float64).copy()
    return np.frombuffer(ffi.buffer(vector.v_compdata, 16 * vector.v_length), dtype=np.complex128).copy()


def _stacked(vectors: dict[str, np.ndarray]) -> list[tuple[list[str], np.ndarray]]:
    """The vectors with their names, those of one type and length together: files of thousands of arrays are slow."""
    alike: dict[tuple[str, int], list[str]] = {}
    for name, values in vectors.items():
        alike.setdefault((values.dtype.char, len(values)), []).append(name)
    return [(names, np.stack([vectors[name] for name in names])) for names in alike.values()]


def main(request_path: str, result_path: str) -> None:
    """Run one request and write its result."""
    from PySpice.Spice.NgSpice.Shared import NgSpiceCircuitError

    request = json.loads(Path(request_path).read_text())
    ngspice = _load()
    ngspice.log.clear()
    arrays: dict[str, Any] = {}
    named: dict[str, list[str]] = {}
    loaded = True
    try:
        ngspice.load_circuit(request["deck"])
    except (NgSpiceCircuitError, NameError):
        loaded = False
    marks = [len(ngspice.log)]
    for number, step in enumerate(request["steps"] if loaded else []):
        for command in step["commands"]:
            _command(ngspice, command)
        if step["kind"] is not None:
            for k, (names, values) in enumerate(_stacked(_fetch(ngspice, step["kind"], step["fetch"]))):
                key = f"{number}/{k}"
                arrays[key], named[key] = values, names
            _command(ngspice, "destroy all")
        marks.append(len(ngspice.log))
    log = {"lines": ngspice.log, "marks": marks, "loaded": loaded, "names": named}
    arrays["log"] = np.array(json.dumps(log))
    # Whole or not at all: ngspice may take this process with it at any time.
    with Path(f"{result_path}.part").open("wb") as file:
        np.savez(file, **arrays)
    Path(f"{result_path}.part").rename(result_path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
