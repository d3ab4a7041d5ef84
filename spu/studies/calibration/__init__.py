"""What the parts of a board measure, from what it was measured to do: `calibrate`."""

from spu.studies.calibration.calibrate import calibrate
from spu.studies.calibration.compensate import compensate
from spu.studies.calibration.result import Calibrated, Calibration

__all__ = ["Calibrated", "Calibration", "calibrate", "compensate"]
