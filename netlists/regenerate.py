"""Write the reference netlists of this folder anew, from examples/.

python netlists/regenerate.py [FOLDER]
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import spu
from spu.spice.dialects import DIALECTS

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"

IN_ALL_DIALECTS = ("club8", "coloured_noise", "fin", "shared_noise", "wine")

BY_MODULES = ("annealing", "determinant", "neurons")
"""What besides these only a language can say that holds modules of Verilog-A."""


def devices() -> dict[str, spu.Device]:
    """The example devices by the name of their netlist."""
    found = {"by_hand": runpy.run_path(str(EXAMPLES / "by_hand.py"))["device"]()}
    for file in ("club8.toml", "karate_club.mtx", "wine.toml", "shared_noise.toml", "determinant.toml"):
        problem, hardware = spu.load_problem(EXAMPLES / file)
        found[Path(file).stem] = spu.compile(problem, hardware or "ideal")
    problem, _ = spu.load_problem(EXAMPLES / "club8.toml")
    found["club8_switched"] = spu.compile(problem, "spu8-switched")
    matrix, vector, _ = runpy.run_path(str(EXAMPLES / "fin.py"))["system"]()
    found["fin"] = spu.compile(spu.LinearSystem(matrix, vector))
    given = spu.load_network(EXAMPLES / "neurons.toml")
    found["neurons"] = spu.compile(given.network, given.hardware or "ideal")
    problem, hardware = spu.load_problem(EXAMPLES / "petersen.toml")
    noise = {"bandwidth": 1e7, "flicker_corner": 1e5, "flicker_low": 1e3, "flicker_high": 1e6}
    board = replace(spu.load_hardware("spu8"), detail=spu.Detail(noise=noise))
    found["coloured_noise"] = spu.compile([[2.0, -0.5], [-0.5, 1.0]], board)
    found["annealing"] = spu.compile(problem, hardware)
    return found


def main() -> None:
    """Write each netlist into the folder given, or here."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, device in devices().items():
        (folder / f"{name}.cir").write_text(spu.netlist(device), encoding="utf-8")
        print(folder / f"{name}.cir")
        for dialect in DIALECTS.values():
            held = name in BY_MODULES and dialect.says_all and not dialect.reads_modules
            if dialect.name != "ngspice" and (name in IN_ALL_DIALECTS or held):
                file = folder / "dialects" / f"{name}{dialect.ending}"
                file.parent.mkdir(exist_ok=True)
                file.write_text(spu.netlist(device, dialect=dialect.name), encoding="utf-8")
                print(file)


if __name__ == "__main__":
    main()
