"""The child process that holds ngspice: ``python worker.py REQUEST RESULT``; it imports nothing of the package.

ngspice inside a process can call exit, hang or leak, so it never runs inside ours. REQUEST is
JSON (deck text and steps), RESULT an ``.npz`` of the vectors asked for and the log.
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
    for plot_name in ngspice.plot_names:
        if not plot_name.startswith(kind):
            continue
        plot = ngspice.plot(None, plot_name)
        vectors = {name.lower(): vector for name, vector in plot.items()}
        if first is None or first in vectors:
            return {
                name: np.array(vector._data) for name, vector in vectors.items() if wanted is None or name in wanted
            }
    return {}


def main(request_path: str, result_path: str) -> None:
    """Run one request and write its result."""
    from PySpice.Spice.NgSpice.Shared import NgSpiceCircuitError

    request = json.loads(Path(request_path).read_text())
    ngspice = _load()
    ngspice.log.clear()
    arrays: dict[str, Any] = {}
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
            for name, data in _fetch(ngspice, step["kind"], step["fetch"]).items():
                arrays[f"{number}/{name}"] = data
            _command(ngspice, "destroy all")
        marks.append(len(ngspice.log))
    arrays["log"] = np.array(json.dumps({"lines": ngspice.log, "marks": marks, "loaded": loaded}))
    # Whole or not at all: ngspice may take this process with it at any time.
    with Path(f"{result_path}.part").open("wb") as file:
        np.savez(file, **arrays)
    Path(f"{result_path}.part").rename(result_path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
