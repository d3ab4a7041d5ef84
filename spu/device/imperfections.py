"""Levels of detail: which imperfections of real parts a device is modelled with.

A `Detail` says what hardware adds to ideal parts: `TABLES` lists the tables of a hardware file, their
keys and units. All keys are optional; what is not there is ideal. The device carries what was chosen,
and `spu.device.build` turns it into elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal

from spu.base.errors import InputError, KeyFault
from spu.base.names import shorten, suggest
from spu.base.numbers import engineering, number
from spu.circuit.acquisition import MOST_BITS

__all__ = ["TABLES", "Detail", "Key", "Value", "detail_from_dict", "key_of", "known_effects"]

Value = float | int | str
"""Of a key: a number, a whole number or a word."""


@dataclass(frozen=True)
class Key:
    """What may stand behind a key of a table.

    Attributes
    ----------
    unit:
        Of its value; empty for bare numbers and words.
    meaning:
        In words, for messages, budgets and reports.
    kind:
        ``positive``, ``signed`` (zero, too), ``fraction`` (above 0, at most 1), ``whole`` (1 or more) or ``word``.
    choices:
        Of a word.
    needs:
        Keys of the same table, without any of which it means nothing.
    setting:
        Whether it only says how what it needs is, and has no effect of its own: it is kept wherever that is kept.
    """

    unit: str
    meaning: str
    kind: Literal["positive", "signed", "fraction", "whole", "word"] = "positive"
    choices: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    setting: bool = False

    @property
    def varies(self) -> bool:
        """Whether boards differ in it: it is a number that can be a little larger, and no setting."""
        return not self.setting and self.kind in ("positive", "signed", "fraction")

    def shown(self, value: Value | None) -> str:
        """The value for people."""
        if isinstance(value, str):
            return value
        if self.unit.startswith("1/"):
            return f"{number(value)} {self.unit[1:]}"
        return engineering(value, self.unit) if self.unit else number(value)


TABLES: dict[str, dict[str, Key]] = {
    "switch": {
        "on_resistance": Key("ohm", "on-resistance of the switches"),
        "off_resistance": Key("ohm", "off-resistance of the switches", needs=("on_resistance",)),
        "off_capacitance": Key("F", "off-capacitance of the switches", needs=("on_resistance",)),
    },
    "inductor": {
        "series_resistance": Key("ohm", "series resistance of the inductors"),
        "capacitance": Key("F", "self-capacitance of the inductors"),
    },
    "node": {
        "capacitance": Key("F", "capacitance of the nodes to ground"),
        "conductance": Key("S", "leakage of the nodes to ground"),
    },
    "buffer": {
        "bandwidth": Key("Hz", "bandwidth of the buffers"),
        "offset": Key("V", "offset of the buffers", "signed", needs=("bandwidth",)),
    },
    "transconductor": {
        "noise_gamma": Key("", "noise of the transconductors"),
        "output_conductance": Key("", "output conductance of the transconductors"),
        "offset": Key("V", "offset of the transconductors", "signed"),
        "linear_range": Key("V", "linear range of the transconductors"),
    },
    "noise": {
        "bandwidth": Key("Hz", "bandwidth of the noise sources"),
        "flicker_corner": Key("Hz", "1/f corner of the noise sources"),
        "flicker_low": Key("Hz", "1/f noise from", needs=("flicker_corner",), setting=True),
        "flicker_high": Key("Hz", "1/f noise to", needs=("flicker_corner",), setting=True),
        "flicker_poles": Key("", "1/f noise: poles a decade", "whole", needs=("flicker_corner",), setting=True),
        "source": Key("", "noise is a", "word", choices=("current", "voltage")),
        "clock": Key("Hz", "clock of the injected noise's samples, which are held for its period"),
        "kind": Key("", "law of the samples", "word", ("gaussian", "binary"), needs=("clock",), setting=True),
        "register": Key("", "bits of the register that binary noise comes from", "whole", needs=("clock",)),
        "summed": Key("", "bits that a sample of binary noise is the sum of", "whole", needs=("clock",)),
        "bits": Key("", "bits of the converter that makes the samples", "whole", needs=("clock",)),
        "crest": Key("", "full scale of that converter over the rms of the samples", needs=("bits",), setting=True),
    },
    "readout": {
        "bandwidth": Key("Hz", "bandwidth of the readouts"),
        "noise": Key("V/rtHz", "noise of the readouts", needs=("bandwidth",)),
        "offset": Key("V", "offset of the readouts", "signed"),
        "gain_error": Key("", "gain error of the readouts", "signed"),
        "crosstalk": Key("", "crosstalk of neighbouring readouts", "signed"),
        "sampling_rate": Key("Hz", "sampling of the readouts"),
        "jitter": Key("s", "jitter of the sampling", needs=("sampling_rate",)),
        "sample_noise": Key("V", "noise of each sample"),
        "full_scale": Key("V", "clipping of the readouts"),
        "bits": Key("", "quantisation of the readouts", "whole", needs=("full_scale",)),
    },
    "temperature": {
        **{
            quantity: Key("1/K", f"temperature coefficient of {words}", "signed")
            for quantity, words in (
                ("capacitance", "capacitances"),
                ("conductance", "conductances"),
                ("inductance", "inductances"),
                ("transconductance", "transconductances"),
                ("noise", "injected noise"),
                ("bias", "bias currents"),
            )
        },
        "reference": Key(
            "K",
            "temperature coefficients from",
            needs=("capacitance", "conductance", "inductance", "transconductance", "noise", "bias"),
            setting=True,
        ),
    },
}
"""Tables and keys of ``[detail.TABLE]``; ``[noise]`` and ``[readout]`` stand in hardware files by themselves, too.

``switch``: of one unit of a bank; a branch of k units has k switches in parallel. ``inductor``: of each
inductor, in cells and couplers. ``node``: from each cell's node to ground. ``buffer``: the first-order
buffer (-3 dB) at each input of a coupling transconductor. ``transconductor``: of each coupling transconductor and
active conductance; noise of the output current over 4kT times the transconductance, output conductance over
transconductance, the voltage that adds to that at the input, and V of a current ``g V tanh(v/V)``.

``readout``: see `spu.device.readout_chain`.

``noise``: of each injected source, its first-order bandwidth (-3 dB); the frequency at which its 1/f noise is as strong
as its white noise, the band in which it is 1/f, and the poles a decade that make it (1). ``source`` is for compilers:
whether noise is a ``current`` into the cell or a ``voltage`` in series with its conductance; cells of devices have
``noise`` or ``noise_voltage``. ``clock``, ``kind``, ``register``, ``summed``, ``bits``, ``crest``: it is made by an
FPGA or a converter (`spu.circuit.clocked.Clocked`).

``temperature``: relative change of values (of noise: of its density) for each kelvin above the reference
(`spu.base.constants.ROOM_TEMPERATURE` unless given), in cells and couplers; of a device at 0 K, which makes no thermal
noise, values are those at the reference.
"""


def key_of(effect: str) -> Key:
    """The key that ``table.key`` names."""
    table, _, key = effect.partition(".")
    return TABLES[table][key]


def known_effects() -> tuple[str, ...]:
    """All keys of all tables, as ``table.key``."""
    return tuple(f"{table}.{key}" for table, keys in TABLES.items() for key in keys)


OPEN = 1e12
"""ohm: an open switch whose off-resistance is not given. Without any leak the charge behind it would be anybody's."""


@dataclass(frozen=True)
class Detail:
    """What is not ideal about a device's parts; nothing, unless given.

    Parameters
    ----------
    switch, inductor, node, buffer, transconductor, noise, readout, temperature:
        ``{key: value}`` with the keys and units of `TABLES`. An empty one means ideal.

    Raises
    ------
    InputError
        For an unknown key, a value that its key (`Key.kind`) does not take, a key without those that it needs, switches
        without on-resistance, or an off-resistance that is not between the on-resistance and `OPEN`.

    Examples
    --------
    >>> import spu
    >>> detail = spu.Detail(node={"capacitance": 1e-11}, switch={"on_resistance": 1.0})
    >>> detail.effects
    ('switch.on_resistance', 'node.capacitance')
    >>> detail.only(["node"]).to_dict()
    {'node': {'capacitance': 1e-11}}
    """

    switch: Mapping[str, Any] = field(default_factory=dict)
    inductor: Mapping[str, Any] = field(default_factory=dict)
    node: Mapping[str, Any] = field(default_factory=dict)
    buffer: Mapping[str, Any] = field(default_factory=dict)
    transconductor: Mapping[str, Any] = field(default_factory=dict)
    noise: Mapping[str, Any] = field(default_factory=dict)
    readout: Mapping[str, Any] = field(default_factory=dict)
    temperature: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table, keys in TABLES.items():
            given = getattr(self, table)
            if not isinstance(given, Mapping):
                raise KeyFault(f"detail.{table} must be a table of {', '.join(keys)}, not {shorten(given)}", table)
            for key in given:
                if key not in keys:
                    message = f"detail.{table} has no key {shorten(key)}; {suggest(key, keys)}"
                    raise KeyFault(message, table, str(key))
            values = {key: _checked(given[key], table, key) for key in keys if key in given}
            object.__setattr__(self, table, values)
        if self.switch and "on_resistance" not in self.switch:
            raise KeyFault("detail.switch needs an on_resistance (ohm): that of a closed switch", "switch")
        if self.switch:
            closed, opened = self.switch["on_resistance"], self.switch.get("off_resistance", OPEN)
            if not closed < opened <= OPEN:
                key = "off_resistance" if "off_resistance" in self.switch else "on_resistance"
                raise KeyFault(
                    f"detail.switch.{key} is {self.switch[key]:g}: an open switch must leak less than a closed one "
                    f"({closed:g} ohm), and has {OPEN:g} ohm at most, which it also has if nothing is said",
                    *("switch", key),
                )

        if self.readout.get("bits", 1) > MOST_BITS:
            raise KeyFault(
                f"detail.readout.bits is {self.readout['bits']}: converters have at most {MOST_BITS}", "readout", "bits"
            )
        if not self.readout.get("gain_error", 0.0) > -1.0:
            raise KeyFault(
                f"detail.readout.gain_error is {self.readout['gain_error']:g}: no gain is left, it is above -1",
                *("readout", "gain_error"),
            )
        self._check_flicker()
        for effect in self.effects:
            table, _, key = effect.partition(".")
            needs = key_of(effect).needs
            if needs and not any(need in getattr(self, table) for need in needs):
                raise KeyFault(f"detail.{effect} means nothing without {' or '.join(needs)}", table, key)

    def _check_flicker(self) -> None:
        if "flicker_corner" not in self.noise:
            return
        low, high = (self.noise.get(f"flicker_{end}") for end in ("low", "high"))
        if low is None or high is None:
            raise KeyFault(
                "detail.noise.flicker_corner needs flicker_low and flicker_high (Hz): the band in which noise is 1/f",
                *("noise", "flicker_corner"),
            )
        if not low < high:
            raise KeyFault(
                f"detail.noise.flicker_high is {high:g} Hz: it must be above flicker_low, {low:g} Hz",
                *("noise", "flicker_high"),
            )

    def __bool__(self) -> bool:
        return any(getattr(self, table) for table in TABLES)

    @property
    def effects(self) -> tuple[str, ...]:
        """What is given, as ``table.key``; settings of others (`Key.setting`), too."""
        return tuple(f"{table}.{key}" for table in TABLES for key in getattr(self, table))

    def only(self, names: Iterable[str]) -> Detail:
        """Keep some of it.

        Parameters
        ----------
        names:
            Names of tables (``switch``) or single keys (``node.capacitance``).

        Raises
        ------
        InputError
            For a name that is none, that is not given here, or a switch without its on-resistance.
        """
        wanted = set()
        valid = [*(table for table in TABLES if getattr(self, table)), *self.effects]
        for name in names:
            if name not in valid:
                known = name in TABLES or name in known_effects()
                why = "this hardware says nothing of it" if known else "there is no such detail"
                raise InputError(f"detail {shorten(name)}: {why}; {suggest(name, [*valid, 'all', 'none'])}")
            wanted |= {effect for effect in self.effects if effect == name or effect.startswith(f"{name}.")}
        for effect in self.effects:
            table, key = effect.partition(".")[0], key_of(effect)
            if key.setting and any(f"{table}.{need}" in wanted for need in key.needs):
                wanted.add(effect)
        return Detail(**_nested({effect: self[effect] for effect in self.effects if effect in wanted}))

    def __getitem__(self, effect: str) -> Value:
        table, _, key = effect.partition(".")
        found: Value = getattr(self, table)[key]
        return found

    def number(self, effect: str) -> float:
        """The value of a key that is a number."""
        return float(self[effect])

    def scaled(self, effect: str, factor: float) -> Detail:
        """The same with one value, a number, multiplied."""
        table, _, key = effect.partition(".")
        return replace(self, **{table: {**getattr(self, table), key: self.number(effect) * factor}})

    def to_dict(self) -> dict[str, dict[str, Value]]:
        """The tables that are given, as hardware and device files hold them."""
        return {table: dict(getattr(self, table)) for table in TABLES if getattr(self, table)}


def _nested(values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {}
    for effect, value in values.items():
        table, _, key = effect.partition(".")
        found.setdefault(table, {})[key] = value
    return found


def _checked(value: Any, table: str, name: str) -> Value:
    key, where = TABLES[table][name], f"detail.{table}.{name}"
    if key.kind == "word":
        if value not in key.choices:
            message = f"{where} is {shorten(value)}: {suggest(str(value), key.choices)}"
            raise KeyFault(message, table, name)
        return str(value)
    unit = f" in {key.unit}" if key.unit else ""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise KeyFault(f"{where} must be a number{unit}, not {shorten(value)}", table, name)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if key.kind == "whole":
        if not (found >= 1 and found.is_integer()):
            raise KeyFault(f"{where} is {found:g}: it must be a whole number, 1 or more", table, name)
        return int(found)
    size = abs(found) if key.kind == "signed" else found
    if not 1e-60 < size < 1e60 and not (key.kind == "signed" and found == 0):
        unit = f" ({key.unit})" if key.unit else ""
        sign = "zero or a number of either sign" if key.kind == "signed" else "positive"
        raise KeyFault(f"{where} is {found:g}: it must be {sign}{unit}, and finite", table, name)
    if key.kind == "fraction" and found > 1:
        raise KeyFault(f"{where} is {found:g}: it must be at most 1", table, name)
    return found


def detail_from_dict(data: Any) -> Detail:
    """A `Detail` out of nested tables, as `Detail.to_dict` gives them.

    Raises
    ------
    InputError
        As `Detail`, or for an unknown table.
    """
    if not isinstance(data, Mapping):
        raise KeyFault(f"detail must be a table of {', '.join(TABLES)}, not {shorten(data)}")
    for table in data:
        if table not in TABLES:
            raise KeyFault(f"detail has no table {shorten(table)}; {suggest(table, TABLES)}", str(table))
    return Detail(**data)
