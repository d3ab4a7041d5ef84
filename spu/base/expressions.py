"""Expressions of subcircuit parameters: printed for SPICE and evaluated here, from one definition.

What follows from other parameters (the value of a bank from its code, the resistance of a switch from
the bit that closes it) is written once, with Python's operators on `Expression`. Only sums, products,
``floor``, ``abs``, ``max`` and ``sqrt`` are used, which every SPICE has; there are no conditionals.

>>> code = parameter("code")
>>> bit = whole(code / 4) - 2 * whole(code / 8)
>>> bit.text
'floor(code/4)-2*floor(code/8)'
>>> bit({"code": 5.0})
1.0
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

_SUM, _PRODUCT, _ATOM = range(3)


@dataclass(frozen=True, eq=False)
class Expression:
    """A function of named parameters.

    Attributes
    ----------
    text:
        As SPICE reads it, without braces.
    function:
        From values by name (numbers, or arrays of one shape) to the value.
    rank:
        How tightly the text binds: what stands in brackets beside an operator, and what need not.
    """

    text: str
    function: Callable[[Mapping[str, Any]], Any]
    rank: int = _ATOM

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value where the parameters have the given ones."""
        return self.function(values)

    def _within(self, rank: int) -> str:
        return self.text if self.rank >= rank else f"({self.text})"

    def __add__(self, other: Expression | float) -> Expression:
        other = _expression(other)
        return Expression(f"{self.text}+{other.text}", partial(_applied, operator.add, self, other), _SUM)

    def __radd__(self, other: float) -> Expression:
        return _expression(other) + self

    def __sub__(self, other: Expression | float) -> Expression:
        other = _expression(other)
        return Expression(f"{self.text}-{other._within(_PRODUCT)}", partial(_applied, operator.sub, self, other), _SUM)

    def __rsub__(self, other: float) -> Expression:
        return _expression(other) - self

    def __mul__(self, other: Expression | float) -> Expression:
        other = _expression(other)
        if self.text == "1":
            return other
        text = f"{self._within(_PRODUCT)}*{other._within(_PRODUCT)}"
        return Expression(text, partial(_applied, operator.mul, self, other), _PRODUCT)

    def __rmul__(self, other: float) -> Expression:
        return _expression(other) * self

    def __truediv__(self, other: Expression | float) -> Expression:
        other = _expression(other)
        if other.text == "1":
            return self
        text = f"{self._within(_PRODUCT)}/{other._within(_ATOM)}"
        return Expression(text, partial(_applied, operator.truediv, self, other), _PRODUCT)

    def __rtruediv__(self, other: float) -> Expression:
        return _expression(other) / self


def _applied(function: Callable[..., Any], *arguments: Any) -> Any:
    """A function of expressions, of which the last argument has the values."""
    *expressions, values = arguments
    return function(*(each(values) for each in expressions))


def _constant(value: float, _values: Mapping[str, Any]) -> float:
    return value


def _expression(value: Expression | float) -> Expression:
    if isinstance(value, Expression):
        return value
    text = str(value) if isinstance(value, int) else repr(float(value))
    return Expression(text, partial(_constant, value))


def parameter(name: str) -> Expression:
    """A parameter of the subcircuit."""
    return Expression(name, operator.itemgetter(name))


def whole(value: Expression) -> Expression:
    """The whole part, downwards."""
    return Expression(f"floor({value.text})", partial(_applied, np.floor, value))


def size(value: Expression) -> Expression:
    """The absolute value."""
    return Expression(f"abs({value.text})", partial(_applied, np.abs, value))


def root(value: Expression) -> Expression:
    """The square root."""
    return Expression(f"sqrt({value.text})", partial(_applied, np.sqrt, value))


def at_least(least: float, value: Expression) -> Expression:
    """The larger one of the two."""
    bound = _expression(least)
    return Expression(f"max({value.text},{bound.text})", partial(_applied, np.maximum, value, bound))


def bit(code: Expression, number: int) -> Expression:
    """Bit ``number`` of a whole number >= 0, 0 or 1."""
    shifted = code if number == 0 else whole(code / 2**number)
    return shifted - 2 * whole(code / 2 ** (number + 1))
