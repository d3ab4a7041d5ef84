"""Write the reference netlists of this folder anew, from examples/.

python netlists/regenerate.py [FOLDER]
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import spu

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"


def devices() -> dict[str, spu.Device]:
    """The example devices by the name of their netlist."""
    found = {"by_hand": runpy.run_path(str(EXAMPLES / "by_hand.py"))["device"]()}
    for file in ("club8.toml", "karate_club.mtx", "wine.toml"):
        problem, hardware = spu.load_problem(EXAMPLES / file)
        found[Path(file).stem] = spu.compile(problem, hardware or "ideal")
    matrix, vector, _ = runpy.run_path(str(EXAMPLES / "fin.py"))["system"]()
    found["fin"] = spu.compile(spu.LinearSystem(matrix, vector))
    return found


def main() -> None:
    """Write each netlist into the folder given, or here."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, device in devices().items():
        (folder / f"{name}.cir").write_text(spu.netlist(device), encoding="utf-8")
        print(folder / f"{name}.cir")


if __name__ == "__main__":
    main()
