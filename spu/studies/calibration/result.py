"""What a calibration gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from spu.base.arrays import FloatArray
from spu.base.display import Result
from spu.device.device import Device
from spu.studies.calibration.identified import Combination
from spu.studies.calibration.judged import Difference, Goodness

__all__ = ["Calibrated", "Calibration", "Heard"]


@dataclass(frozen=True)
class Calibrated:
    """One value.

    Attributes
    ----------
    name, kind:
        ``conductance of x1``, ``cell.conductance``; ``readout.gain of x1``, ``readout.gain``.
    value, standard_error:
        SI; the error is infinite where the record does not tell.
    nominal:
        Of the design, or as it was given.
    tolerance:
        Stated standard deviation of the relative error; 0 where none is stated.
    """

    name: str
    kind: str
    value: float
    standard_error: float
    nominal: float
    tolerance: float

    @property
    def deviation(self) -> float:
        """From the nominal value, relative."""
        return self.value / self.nominal - 1.0

    @property
    def sigmas(self) -> float | None:
        """The same in standard deviations of the stated tolerance; None without one."""
        return self.deviation / self.tolerance if self.tolerance else None

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        keys = ("name", "kind", "value", "standard_error", "nominal", "deviation", "tolerance", "sigmas")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True, eq=False)
class Heard:
    """Spectra of each channel: as measured, as fitted, as designed.

    Attributes
    ----------
    frequencies:
        (f,) Hz.
    measured, fitted, designed:
        (f, c) one-sided, units of the record squared a hertz.
    """

    frequencies: FloatArray
    measured: FloatArray
    fitted: FloatArray
    designed: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Result):
    """Values of a board's parts, with their errors, and whether to believe them.

    Attributes
    ----------
    elements, readout:
        The values: of the device, and of the readout where these were sought.
    covariance:
        (k, k) of the logarithms of all of them, in the combinations that the record tells of.
    unidentified:
        Combinations that the record does not tell of.
    goodness:
        Whether the fitted model explains the record.
    differs:
        Whether the board differs from its design, where, and whether its tolerance explains it; None where no element
        was sought.
    board:
        The device with these values.
    kind, method, prior:
        Of the record; of the likelihood: ``exact``, ``whittle``, ``wishart``; whether tolerances were a prior.
    channels, samples, interval:
        Of the record. Samples of all paths; of spectra averages of all frequencies.
    steps:
        Of the fit.
    heard:
        Spectra for a picture; None of independent samples.
    device_hash:
        Of the design.
    warnings:
        What should be known of the record.

    Examples
    --------
    >>> import spu
    >>> device = spu.Device(temperature=300.0)
    >>> device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    >>> board = spu.varied(device, [1.05, 0.9])
    >>> run = spu.simulate(board, samples=20_000, interval=3e-7, seed=1)
    >>> found = spu.calibrate(device, run)
    >>> [(each.name, abs(each.value - true) < 4 * each.standard_error) for each, true in zip(
    ...     found.elements, (1.05e-9, 0.9e-3))]
    [('capacitance of out', True), ('conductance of out', True)]
    >>> found.goodness.fits, found.differs.differs, found.unidentified
    (True, True, ())
    """

    elements: tuple[Calibrated, ...]
    readout: tuple[Calibrated, ...]
    covariance: Annotated[FloatArray, "k k"]
    unidentified: tuple[Combination, ...]
    goodness: Goodness
    differs: Difference | None
    board: Device
    kind: str
    method: str
    prior: bool
    channels: tuple[str, ...]
    samples: int
    interval: float | None
    steps: int
    heard: Heard | None
    device_hash: str
    warnings: tuple[str, ...] = ()

    in_short = ("kind", "method", "samples", "steps")

    @property
    def values(self) -> tuple[Calibrated, ...]:
        """Elements, then values of the readout."""
        return (*self.elements, *self.readout)

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: what the record does not tell has the error null."""
        differs = self.differs
        return {
            "elements": [each.to_dict() for each in self.elements],
            "readout": [each.to_dict() for each in self.readout],
            "unidentified": [{"words": each.words, "powers": each.powers} for each in self.unidentified],
            "goodness": {
                "fits": self.goodness.fits,
                "tests": [
                    {key: getattr(test, key) for key in ("name", "meaning", "statistic", "freedom", "p_value")}
                    for test in self.goodness.tests
                ],
            },
            "differs": None
            if differs is None
            else {
                "differs": differs.differs,
                **{key: getattr(differs, key) for key in ("test", "statistic", "freedom", "p_value")},
                "within_tolerance": differs.within_tolerance,
                "within_p_value": differs.within,
                "kinds": [
                    {key: getattr(each, key) for key in ("kind", "elements", "alone", "needed", "within")}
                    for each in differs.kinds
                ],
            },
            **{key: getattr(self, key) for key in ("kind", "method", "prior", "channels", "samples", "interval")},
            **{key: getattr(self, key) for key in ("steps", "covariance", "device_hash", "warnings")},
        }
