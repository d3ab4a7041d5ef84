"""A netlist that carries its own Monte Carlo, for whoever has ngspice and nothing else.

Every toleranced value is multiplied by factors that ngspice draws anew whenever it loads the circuit. What is one draw
for all of a quantity (``process``) is a parameter of the whole netlist, what is each element's own (``mismatch``) one
inside its subcircuit. ``.param montecarlo`` switches them: at 0 every factor is 1, and the netlist is the nominal one.

ngspice (39) makes a function of a parameter whose text draws a random number, so that each use of it is another draw.
Therefore each draw, ``z_...``, is used in one place only, by a parameter of plain text, which is worked out once: once
for the netlist, or once for each instance of a subcircuit.

Which parameters of a subcircuit an element moves, and by which power of its factor, is measured: the device is lowered
with that factor, and what was found is held against a whole board with factors of its own for all elements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spu.base.arrays import FloatArray
from spu.base.errors import InputError, InternalError
from spu.circuit.circuit import Circuit, Instances
from spu.device.device import Device
from spu.device.lower import lower
from spu.device.tolerance import MOST, Spread
from spu.device.variation import Elements, Group, elements_of, varied
from spu.spice.dialects.dialect import Dialect, Measurement, Tolerances, number
from spu.spice.names import SWITCH

__all__ = ["BoardsDialect", "MonteCarlo"]

_DRAWS = {"normal": "agauss(0,1,1)", "uniform": "aunif(0,1)", "lognormal": "agauss(0,1,1)"}
"""What ngspice draws for each distribution."""

_EXACT = 1e-12


@dataclass(frozen=True, eq=False)
class Varying:
    """A quantity whose elements err, in one subcircuit.

    Attributes
    ----------
    name:
        Of its parameters.
    group, spread:
        Its elements, and how they spread.
    powers:
        Of its factor, by parameter of the subcircuit.
    sigmas:
        (k,) of the mismatch of each instance, where these differ.
    """

    name: str
    group: Group
    spread: Spread
    powers: dict[str, float]
    sigmas: FloatArray | None

    @property
    def process(self) -> str:
        """The parameter of the whole netlist by which all of its kind err."""
        return f"process_{self.group.kind}_{_word(self.group.quantity)}"


class MonteCarlo:
    """What a netlist says of the boards of a device.

    Parameters
    ----------
    device:
        Of linear cells, with its tolerance; one programming.

    Raises
    ------
    InputError
        If nothing has a tolerance, if it has a ramp or nonlinear cells, if elements that share a process have it in
        different distributions, or if what errs is not what a power of its factor multiplies in the netlist.
    """

    def __init__(self, device: Device) -> None:
        circuit = lower(device)
        if any(not element.linear for group in circuit.instances for element in group.subcircuit.elements):
            raise InputError("a netlist with its own Monte Carlo is of linear cells: spu compile --draw N makes boards")
        if circuit.ramp is not None:
            raise InputError("a netlist with its own Monte Carlo has no ramp: set device.ramp = None")
        elements = elements_of(device)
        spreads = elements.spreads(device.tolerance)
        if not any(spreads):
            raise InputError(
                "nothing of this device has a tolerance: give the hardware a table [tolerance], or set device.tolerance"
            )
        self._device = device
        self.varying: dict[str, list[Varying]] = {group.subcircuit.name: [] for group in circuit.instances}
        for group, where, spread in zip(elements.groups, elements.slices, spreads, strict=True):
            if not spread:
                continue
            factors = np.ones(len(elements))
            factors[where] = 2.0
            self._find(circuit, lower(varied(device, factors, elements)), group, spread, elements.values[where])
        self._processes = self._shared_draws()
        self._hold(device, circuit, elements)

    # --- what errs, and where ----------------------------------------------------------------

    def _find(self, circuit: Circuit, doubled: Circuit, group: Group, spread: Spread, values: FloatArray) -> None:
        """Which parameters change as all elements of a group are doubled."""
        moved = False
        own = spread.sigmas(values)
        for before, after in zip(circuit.instances, doubled.instances, strict=True):
            powers = {}
            for key, nominal in before.parameters.items():
                used = (nominal != 0) & np.isfinite(nominal)
                ratios = np.unique((after.parameters[key][used] / nominal[used]).round(12))
                if not len(ratios) or (ratios == 1.0).all():
                    continue
                power = math.log2(ratios[0]) if len(ratios) == 1 and ratios[0] > 0 else math.nan
                if not abs(2 * power - round(2 * power)) < 1e-9:
                    raise InputError(
                        f"{group.name}: the netlist's parameter {key} of {before.subcircuit.name} is no power of it"
                    )
                powers[key] = round(2 * power) / 2
            if not powers:
                continue
            moved = True
            sigmas = None
            if spread.mismatch and spread.at is not None:
                sigmas = np.nan_to_num(_of_instances(self._device, before, group, own))
            words = group.quantity if group.kind == "detail" or len(group.keys) > 1 else group.keys[0]
            name = _word(words)
            self.varying[before.subcircuit.name].append(Varying(name, group, spread, powers, sigmas))
        if not moved:
            raise InputError(f"{group.name} has a tolerance, and no parameter of the netlist's subcircuits follows it")

    def _shared_draws(self) -> dict[str, str]:
        """Distributions of what is drawn once, by quantity."""
        found: dict[str, str] = {}
        for each in self._all():
            if each.spread.process:
                before = found.setdefault(each.group.quantity, each.spread.distribution)
                if _DRAWS[before] != _DRAWS[each.spread.distribution]:
                    raise InputError(
                        f"the process of {each.group.quantity} is one draw, {before} in one place and "
                        f"{each.spread.distribution} in another: ngspice draws it in one distribution"
                    )
        return found

    def _all(self) -> list[Varying]:
        return [each for several in self.varying.values() for each in several]

    def _hold(self, device: Device, circuit: Circuit, elements: Elements) -> None:
        """Hold what was found against a board on which every element has a factor of its own."""
        made = np.random.default_rng(0)
        factors = np.ones(len(elements))
        spreads = elements.spreads(device.tolerance)
        for where, group, spread in zip(elements.slices, elements.groups, spreads, strict=True):
            if spread:
                factors[where] = made.uniform(0.8, 1.25, len(group))
        board = lower(varied(device, factors, elements))
        for before, after in zip(circuit.instances, board.instances, strict=True):
            for key, values in before.parameters.items():
                expected = np.array(values)
                for each in self.varying[before.subcircuit.name]:
                    if key in each.powers:
                        own = factors[elements.slices[elements.groups.index(each.group)]]
                        its = _of_instances(device, before, each.group, own)
                        expected *= np.where(np.isnan(its), 1.0, its) ** each.powers[key]
                found = after.parameters[key]
                same = (found == expected) | (abs(found - expected) <= _EXACT * abs(expected))
                if not same.all():
                    raise InternalError(f"{key} of {before.subcircuit.name} does not follow the board's elements")

    # --- lines -------------------------------------------------------------------------------

    def before(self, dialect: Dialect) -> Iterator[str]:
        """The switch, and what all of a quantity share."""
        yield from dialect.section("Monte Carlo: 0 is the nominal circuit, 1 draws a board as ngspice loads it")
        yield f".param {SWITCH}=0"
        yield dialect.comment(
            "z_...: drawn numbers, anew at each use, so that each is used once; their seed is that of setseed, below."
        )
        for quantity, distribution in self._processes.items():
            yield dialect.parameter(f"z_process_{_word(quantity)}", _drawn(distribution))
            yield dialect.parameter(f"d_{_word(quantity)}", f"z_process_{_word(quantity)}")
        said = set()
        for each in self._all():
            if each.spread.process and each.process not in said:
                said.add(each.process)
                draw = f"d_{_word(each.group.quantity)}"
                yield dialect.parameter(each.process, _factor(each.spread, number(each.spread.process), draw))

    def settings(self, group: Instances) -> dict[str, FloatArray]:
        """Further values that each instance gives."""
        found = self.varying[group.subcircuit.name]
        return {f"s_{each.name}": each.sigmas for each in found if each.sigmas is not None}

    def derived(self, group: Instances, dialect: Dialect) -> Iterator[str]:
        """Parameters inside a subcircuit: draws, factors, and the values that result."""
        moved: dict[str, list[str]] = {}
        for each in self.varying[group.subcircuit.name]:
            factors = [each.process] if each.spread.process else []
            if each.spread.mismatch:
                sigma = number(each.spread.mismatch) if each.sigmas is None else f"s_{each.name}"
                yield dialect.derived(f"z_{each.name}", _drawn(each.spread.distribution))
                yield dialect.derived(f"m_{each.name}", _factor(each.spread, sigma, f"z_{each.name}"))
                factors.append(f"m_{each.name}")
            for key, power in each.powers.items():
                words = "*".join(factors)
                moved.setdefault(key, []).extend(_powered(words, power))
        for key, multiplied in moved.items():
            yield dialect.derived(_drifted(key), key + "".join(multiplied))

    def element(self, group: Instances, line: str) -> str:
        """A line of an element with the values that result in place of the nominal ones."""
        names = {key for each in self.varying[group.subcircuit.name] for key in each.powers}

        def inside(expression: re.Match[str]) -> str:
            return re.sub(
                r"[A-Za-z_]\w*", lambda word: _drifted(word[0]) if word[0] in names else word[0], expression[0]
            )

        return re.sub(r"\{[^}]*\}", inside, line)


def _of_instances(device: Device, instances: Instances, group: Group, values: FloatArray) -> FloatArray:
    """(k,) for each instance the value of its element, out of those of a group; NaN where it has none."""
    if group.kind == "detail":
        return np.broadcast_to(values, len(instances.names))
    if group.kind == "shared":  # one instance for each place where a source drives a cell, in their order
        return np.asarray(values)
    if group.kind == "cell":
        by_row = np.full(len(device.cell_names), np.nan)
        rows = instances.nodes[:, 0]
    elif group.kind == "shared":  # its places are listed as the device lists them
        by_row = np.full(len(instances.names), np.nan)
        rows = np.arange(len(instances.names))
    else:
        by_row = np.full(len(device.coupler_ends), np.nan)
        numbers = {pair: row for row, pair in enumerate(map(tuple, device.coupler_ends.tolist()))}
        rows = np.array([numbers[pair] for pair in map(tuple, instances.nodes[:, :2].tolist())])
    by_row[group.rows] = values
    return np.asarray(by_row[rows])


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _drifted(key: str) -> str:
    return f"{key}_mc"


def _drawn(distribution: str) -> str:
    return f"{SWITCH} ? {_DRAWS[distribution]} : 0"


def _factor(spread: Spread, sigma: str, draw: str) -> str:
    """``1 + relative error``, of a draw."""
    if spread.distribution == "uniform":
        return f"1+sqrt(3)*{sigma}*{draw}"
    cut = f"max(-{MOST:g},min({MOST:g},{draw}))"
    if spread.distribution == "normal":
        return f"1+{sigma}*{cut}"
    return f"1+{SWITCH}*(exp(sqrt(ln(1+{sigma}*{sigma}))*{cut}-ln(1+{sigma}*{sigma})/2)-1)"


def _powered(words: str, power: float) -> list[str]:
    if power == 1:
        return [f"*{words}"]
    if power == -1:
        return [f"/({words})"]
    size = f"sqrt({words})" if abs(power) == 0.5 else f"({words})**{number(abs(power))}"
    return [f"{'*' if power > 0 else '/'}{size}"]


class BoardsDialect(Dialect):
    """ngspice's language for a netlist that runs its own boards."""

    run = (
        "Run it:      ngspice -b {file}     (no other file and no Python needed)",
        "It draws boards with the tolerances that stand below, one after the other, and prints the variance of",
        "each cell on each board, then mean and standard deviation over boards. By themselves the lines before",
        ".control are the nominal circuit: .param montecarlo=1 makes whatever is run with them draw a board.",
    )

    def __init__(self, boards: int, seed: int) -> None:
        self.boards, self.first = boards, seed + 1

    def options(self, chosen: Tolerances) -> list[str]:
        """Without a seed: ngspice would take it up at each reset, and every board would be the same."""
        return [line.replace(f" seed={chosen.seed}", "") for line in super().options(chosen)]

    def analysis(self, wanted: Measurement) -> Iterator[str]:
        """Variances of each board, by ``.noise``."""
        yield ".control"
        yield "set noaskquit"
        yield "set sqrnoise"
        yield "* which boards: the first is number `first`, and each has its own seed"
        yield "setplot const"
        yield f"let first = {self.first}"
        yield f"let boards = {self.boards}"
        yield "let board = first"
        for k in range(len(wanted.probes)):
            yield f"let total{k} = 0"
            yield f"let squares{k} = 0"
        yield "echo"
        yield "echo variances of each board from .noise, integrated over frequency, V^2"
        yield f"alterparam {SWITCH}=1"
        yield "while const.board < const.first + const.boards"
        yield "setseed $&const.board"
        yield "reset"
        for k, (probe, node) in enumerate(zip(wanted.probes, wanted.nodes, strict=True)):
            yield f"noise v({node}) {wanted.source} dec {wanted.per_decade} {wanted.low:.6g} {wanted.high:.6g}"
            yield "setplot previous"
            yield "let whole = integ(onoise_spectrum)"
            yield "let found = whole[length(whole)-1]"
            yield f"echo BOARD $&const.board {probe}: variance $&found"
            yield f"let const.total{k} = const.total{k} + found"
            yield f"let const.squares{k} = const.squares{k} + found * found"
        yield "destroy all"
        yield "setplot const"
        yield "let board = board + 1"
        yield "end"
        yield "echo"
        for k, (probe, variance) in enumerate(zip(wanted.probes, wanted.variance, strict=True)):
            yield f"let centre = total{k} / boards"
            yield f"let spread = sqrt(abs(squares{k} / boards - centre * centre))"
            yield f"echo RESULT boards {probe}: mean $&centre deviation $&spread nominal {variance:.9e}"
        yield "quit"
        yield ".endc"
