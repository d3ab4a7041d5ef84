"""Ways to run a netlist, one file a simulator; the check asks them for analyses as data."""

from spu.spice.simulators.ngspice import Ngspice
from spu.spice.simulators.ngspice_wasm import NgspiceWasm
from spu.spice.simulators.simulator import SIMULATORS, Simulator, find_simulator, find_simulators, register
from spu.spice.simulators.vacask import Vacask

__all__ = ["SIMULATORS", "Simulator", "find_simulator", "find_simulators", "register"]

register(Ngspice())
register(NgspiceWasm())
register(Vacask())
