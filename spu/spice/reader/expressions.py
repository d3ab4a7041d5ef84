r"""Expressions of parameters and of behavioural sources: parsed once, worked out in any scope.

The grammar is that of ngspice's parameters: ``? :``, ``||``, ``&&``, comparisons, ``+ -``, ``* / % \``,
unary ``- + !``, ``^`` or ``**`` (left to right, and before the sign: ``-2^2`` is -4), functions. What ngspice
works out in a way of its own is refused: a negative base under ``^``, which loses its sign; a sign behind an operator
(``2*-x+1`` is -2*(x+1) to it), but for a number's; comparisons of comparisons; a choice within a choice. So is what
hangs on the last bit, as numbers travel through texts of 16 digits: comparing, rounding or choosing by numbers that
differ by no more.

Values are numbers, or in behavioural sources `Linear` combinations of voltages and currents: the
coefficients come out of exact arithmetic on linear forms, never from differences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from spu.spice.reader.limits import MAX_DEPTH, MAX_EXPRESSION, MAX_OPERATIONS
from spu.spice.reader.numbers import parse_number

Node: TypeAlias = tuple[Any, ...]
"""A node of a parsed expression: its kind, then what belongs to it."""


class ExpressionError(ValueError):
    """An expression that cannot be read or worked out; whoever knows the line adds it."""


class NotLinear(ExpressionError):
    """An expression of voltages and currents that is not linear in them."""


@dataclass(frozen=True)
class Linear:
    """``constant + sum of coefficient * quantity``.

    ``terms`` maps ``("v", node)`` and ``("i", source)`` to coefficients.
    """

    constant: float
    terms: dict[tuple[str, str], float] = field(default_factory=dict)

    def plus(self, other: Linear, sign: float = 1.0) -> Linear:
        """The sum, or the difference."""
        terms = dict(self.terms)
        for key, coefficient in other.terms.items():
            terms[key] = terms.get(key, 0.0) + sign * coefficient
        return Linear(self.constant + sign * other.constant, terms)

    def times(self, factor: float) -> Linear:
        """A multiple."""
        return Linear(self.constant * factor, {key: value * factor for key, value in self.terms.items()})


Value: TypeAlias = "float | Linear"


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes
    ----------
    text:
        As written.
    tree:
        Its nodes.
    names:
        Parameters that it names, functions' bodies aside.
    functions:
        Functions that it calls.
    """

    text: str
    tree: Node
    names: frozenset[str]
    functions: frozenset[str]


@dataclass(frozen=True)
class Function:
    """A ``.func``."""

    name: str
    arguments: tuple[str, ...]
    body: Expression


class Scope(Protocol):
    """Where an expression is worked out."""

    def parameter(self, name: str) -> Value:
        """The value of a parameter."""

    def function(self, name: str) -> Function | None:
        """A function defined in the deck."""

    def held(self, node: str) -> float | None:
        """The constant voltage at which a source with a waveform of its own holds a node; None of all others."""

    def step(self) -> None:
        """Count one operation; raises when there have been too many."""


# --- parsing -------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?[a-z0-9_.]*)"
    r"|(?P<name>[a-z_][a-z0-9_.]*)"
    r"|(?P<op>\*\*|==|!=|<>|<=|>=|&&|\|\||[-+*/%\\^<>!?:(),]))"
)
_BRANCH = re.compile(r"\s*([^\s(),]+)\s*(?:,\s*([^\s(),]+)\s*)?\)")
_COMPARING = ("==", "!=", "<>", "<", ">", "<=", ">=")
_LEVELS = (("||",), ("&&",), _COMPARING, ("+", "-"), ("*", "/", "%", "\\"))


@lru_cache(maxsize=20_000)
def parse(text: str) -> Expression:
    """Parse an expression.

    Raises
    ------
    ExpressionError
        If it cannot be read, is too long or nested too deeply.
    """
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"an expression has more than {MAX_EXPRESSION} characters")
    return _Parser(text.lower()).whole(text)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._kind = ""
        self._token = ""
        self._names: set[str] = set()
        self._functions: set[str] = set()
        self._advance()

    def whole(self, written: str) -> Expression:
        if not self._kind:
            raise ExpressionError("an expression is missing")
        tree = self._ternary()
        if self._kind:
            raise self._wrong()
        return Expression(written, tree, frozenset(self._names), frozenset(self._functions))

    def _wrong(self) -> ExpressionError:
        what = f"{self._token!r} is not expected" if self._kind else "something is missing at the end"
        return ExpressionError(f"in the expression {_shown(self._text)}, {what}")

    def _advance(self) -> None:
        if not self._text[self._at :].strip():
            self._kind = self._token = ""
            return
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            at = self._at + len(self._text[self._at :]) - len(self._text[self._at :].lstrip())
            raise ExpressionError(f"in the expression {_shown(self._text)}, {self._text[at]!r} is not expected")
        self._kind = str(found.lastgroup)
        self._token = found[self._kind]
        self._at = found.end()

    def _take(self, token: str) -> bool:
        if self._kind == "op" and self._token == token:
            self._advance()
            return True
        return False

    def _ternary(self, leading: bool = True, inside: bool = False) -> Node:
        """A choice, or what stands in one: ``leading`` where a sign may come first, ``inside`` between ? and :."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"an expression is nested more than {MAX_DEPTH} deep")
        condition = self._binary(0, leading)
        if self._take("?"):
            yes = self._ternary(leading=False, inside=True)
            if not self._take(":"):
                raise self._wrong()
            condition = ("inner if" if inside else "if", condition, yes, self._ternary(leading=False))
        self._depth -= 1
        return condition

    def _binary(self, level: int, leading: bool) -> Node:
        """One level of operators, left to right; a chain of them is one node however long."""
        if level == len(_LEVELS):
            return self._unary(leading)
        first = self._binary(level + 1, leading)
        rest: list[tuple[str, Node]] = []
        while self._kind == "op" and self._token in _LEVELS[level]:
            operator = self._token
            self._advance()
            rest.append((operator, self._binary(level + 1, leading=False)))
        if len(rest) > 1 and _LEVELS[level] is _COMPARING:
            raise self._unclear("a comparison of a comparison")
        return ("chain", first, tuple(rest)) if rest else first

    def _unary(self, leading: bool) -> Node:
        signs = ""
        while self._kind == "op" and self._token in ("-", "+", "!"):
            signs += self._token
            self._advance()
        if len(signs) > 1 and signs.strip("!"):
            raise self._unclear("signs in a row")
        is_number = self._kind == "number"
        operand = self._power()
        if signs.strip("!") and not leading and not (is_number and operand[0] == "number"):
            raise self._unclear("a sign behind an operator")
        if "!" in signs and not leading and operand[0] == "chain":
            raise self._unclear("! before a power")
        return ("signs", signs, operand) if signs.strip("+") else operand

    def _power(self) -> Node:
        first = self._atom()
        rest: list[tuple[str, Node]] = []
        while self._kind == "op" and self._token in ("^", "**"):
            self._advance()
            sign = ""
            if self._kind == "op" and self._token in ("-", "+"):
                sign = self._token
                self._advance()
                if self._kind != "number":
                    raise self._unclear("a sign behind an operator")
            exponent = self._atom()
            if sign and self._kind == "op" and self._token in ("^", "**"):
                raise self._unclear("a signed exponent before another")
            rest.append(("^", ("signs", sign, exponent) if sign else exponent))
        return ("chain", first, tuple(rest)) if rest else first

    def _unclear(self, what: str) -> ExpressionError:
        return ExpressionError(
            f"in the expression {_shown(self._text)}, {what} is not what it seems to ngspice: write parentheses"
        )

    def _atom(self) -> Node:
        kind, token = self._kind, self._token
        if kind == "number":
            try:
                value = parse_number(token)
            except ValueError as error:
                raise ExpressionError(str(error)) from None
            self._advance()
            return ("number", value)
        if kind == "name":
            if token in ("v", "i") and re.match(r"\s*\(", self._text[self._at :]):
                return self._branch(token)
            self._advance()
            if self._kind == "op" and self._token == "(":
                return self._call(token)
            self._names.add(token)
            return ("name", token)
        if self._take("("):
            inner = self._ternary()
            if not self._take(")"):
                raise self._wrong()
            return inner
        raise self._wrong()

    def _branch(self, kind: str) -> Node:
        """``v(a)``, ``v(a,b)``, ``i(v1)``: what stands in there are names of the circuit, not expressions."""
        found = _BRANCH.match(self._text, self._text.index("(", self._at) + 1)
        if found is None or (kind == "i" and found[2]):
            raise ExpressionError(f"in the expression {_shown(self._text)}, {kind}(...) is not of nodes or a source")
        self._at = found.end()
        self._advance()
        return (kind, found[1], found[2])

    def _call(self, name: str) -> Node:
        self._advance()
        arguments = []
        if not self._take(")"):
            arguments.append(self._ternary())
            while self._take(","):
                arguments.append(self._ternary())
            if not self._take(")"):
                raise self._wrong()
        self._functions.add(name)
        return ("call", name, tuple(arguments))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


# --- working out ---------------------------------------------------------------------------


def evaluate(expression: Expression, scope: Scope, *, behavioural: bool = False) -> Value:
    """Work an expression out.

    Parameters
    ----------
    expression, scope:
        What, and where.
    behavioural:
        Whether it is the expression of a source, in which ngspice's functions differ a little from a parameter's.

    Raises
    ------
    ExpressionError
        For an unknown name or function, a division by zero, a result that is not finite.
    NotLinear
        Where voltages or currents do not enter linearly.
    """
    try:
        return _Evaluation(scope, [MAX_OPERATIONS], behavioural).value(expression.tree)
    except ExpressionError as error:
        if "expression" in str(error):
            raise
        raise type(error)(f"{error} (in the expression {_shown(expression.text)})") from None


class _Evaluation:
    def __init__(
        self,
        scope: Scope,
        left: list[int],
        behavioural: bool,
        depth: int = 0,
        local: dict[str, Value] | None = None,
    ) -> None:
        self._scope = scope
        self._left = left
        self._behavioural = behavioural
        self._depth = depth
        self._local = local or {}

    def value(self, node: Node) -> Value:
        self._scope.step()
        self._left[0] -= 1
        if self._left[0] < 0:
            raise ExpressionError(f"an expression takes more than {MAX_OPERATIONS} operations")
        kind = node[0]
        if kind == "number":
            return float(node[1])
        if kind == "name":
            return self._local[node[1]] if node[1] in self._local else self._scope.parameter(node[1])
        if kind == "chain":
            total = self.value(node[1])
            for operator, operand in node[2]:
                if operator in ("&&", "||") and self._truth(total, operator) == (operator == "||"):
                    total = float(operator == "||")  # what stands behind is not looked at
                    continue
                total = self._operate(operator, total, self.value(operand))
            return total
        if kind == "signs":
            inner = self.value(node[2])
            for sign in reversed(node[1]):
                if sign == "!":
                    inner = float(not self._truth(inner, "!"))
                elif sign == "-":
                    inner = inner.times(-1.0) if isinstance(inner, Linear) else -inner
            return inner
        if kind == "if":
            return self.value(node[2] if self._truth(self.value(node[1]), "?") else node[3])
        if kind == "inner if":
            if not self._truth(self.value(node[1]), "?"):
                raise ExpressionError(
                    "a choice between ? and :, whose second branch ngspice does not find: write (...)"
                )
            return self.value(node[2])
        if kind == "call":
            return self._call(node[1], node[2])
        if kind == "i":
            return Linear(0.0, {("i", node[1]): 1.0})
        if node[2] is None:
            held = self._scope.held(node[1])
            return Linear(0.0, {("v", node[1]): 1.0}) if held is None else held
        return Linear(0.0, {("v", node[1]): 1.0}).plus(Linear(0.0, {("v", node[2]): 1.0}), -1.0)

    def _close(self, x: float, y: float, size: float) -> bool:
        """Whether two numbers may have another order in ngspice: by rounding they differ, or in a source are equal."""
        return abs(x - y) <= _LAST_BITS * max(abs(size), abs(y)) and (self._behavioural or x != y)

    def _truth(self, value: Value, where: str) -> bool:
        number = _number(value, where)
        if 0 < abs(number) < _LAST_BITS:
            raise ExpressionError(f"{number:g} before {where!r} hangs on the last bit")
        return number != 0

    def _operate(self, operator: str, a: Value, b: Value) -> Value:
        if operator in _COMPARING and self._close(x := _number(a, operator), y := _number(b, operator), x):
            raise ExpressionError(f"{x:.17g} {operator} {y:.17g} hangs on the last bit")
        return _operate(operator, a, b)

    def _call(self, name: str, nodes: tuple[Node, ...]) -> Value:
        function = self._scope.function(name)
        if function is not None:
            if self._depth >= MAX_DEPTH:
                raise ExpressionError(f"functions call one another more than {MAX_DEPTH} deep, or without end: {name}")
            if len(nodes) != len(function.arguments):
                raise ExpressionError(f"{name} takes {len(function.arguments)} arguments, not {len(nodes)}")
            local = dict(zip(function.arguments, map(self.value, nodes), strict=True))
            inner = _Evaluation(self._scope, self._left, self._behavioural, self._depth + 1, local)
            return inner.value(function.body.tree)
        if name in ("ternary_fcn", "if"):
            if len(nodes) != 3:
                raise ExpressionError(f"{name} takes 3 arguments, not {len(nodes)}")
            return self.value(nodes[1] if self._truth(self.value(nodes[0]), name) else nodes[2])
        if name in _RANDOM:
            raise ExpressionError(f"{name} draws a random number: give the value that is meant")
        if name not in _FUNCTIONS:
            raise ExpressionError(f"there is no function {name!r}; {', '.join(sorted(_FUNCTIONS))} are known")
        count, compute = _FUNCTIONS[name]
        if len(nodes) != count and not (count < 0 and len(nodes) >= -count):
            raise ExpressionError(f"{name} takes {abs(count)} arguments, not {len(nodes)}")
        numbers = [_number(self.value(node), name) for node in nodes]
        if self._behavioural and name == "pow" and numbers[0] < 0 and math.fmod(numbers[1], 2.0) != 0:
            raise ExpressionError("pow of a negative number, which ngspice's sources take without its sign")
        if name in _STEPS and self._close(*_STEPS[name](numbers[0]), numbers[0]):
            raise ExpressionError(f"{name}({numbers[0]:.17g}) hangs on the last bit")
        try:
            return _finite(compute(*numbers), name)
        except ExpressionError:
            raise
        except (ValueError, OverflowError, ZeroDivisionError):
            raise ExpressionError(f"{name}({', '.join(f'{x:g}' for x in numbers)}) has no value") from None


def _number(value: Value, where: str) -> float:
    if isinstance(value, Linear):
        if any(value.terms.values()):
            raise NotLinear(f"{where!r} of a voltage or current is not linear")
        return value.constant
    return value


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise ExpressionError(f"{where!r} gives a number that is not finite")
    return float(value)


def _operate(operator: str, a: Value, b: Value) -> Value:
    if operator in ("+", "-", "*", "/") and (isinstance(a, Linear) or isinstance(b, Linear)):
        return _operate_linear(operator, a, b)
    x, y = _number(a, operator), _number(b, operator)
    if operator in _COMPARISONS:
        return float(_COMPARISONS[operator](x, y))
    if y == 0 and operator in ("/", "%", "\\"):
        raise ExpressionError("a division by zero")
    if operator == "^" and x < 0 and (y != int(y) or int(y) % 2):
        raise ExpressionError("a negative number under ^ or **, which ngspice takes without its sign: write pow()")
    try:
        return _finite(_OPERATORS[operator](x, y), operator)
    except (OverflowError, ValueError, ZeroDivisionError) as error:  # ValueError: 0^-1
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"{x:g} {operator} {y:g} has no finite value") from None


def _operate_linear(operator: str, a: Value, b: Value) -> Linear:
    x, y = (value if isinstance(value, Linear) else Linear(value) for value in (a, b))
    if operator in ("+", "-"):
        found = x.plus(y, 1.0 if operator == "+" else -1.0)
    elif operator == "/":
        divisor = _number(y, "division by")
        if divisor == 0:
            raise ExpressionError("a division by zero")
        found = Linear(x.constant / divisor, {key: value / divisor for key, value in x.terms.items()})
    elif any(x.terms.values()):
        found = x.times(_number(y, "product"))
    else:
        found = y.times(x.constant)
    for value in (found.constant, *found.terms.values()):
        _finite(value, operator)
    return found


_LAST_BITS = 1e-13
"""Relative: the digits of a number that ngspice hands from text to text."""
_STEPS: dict[str, Callable[[float], tuple[float, float]]] = {
    **dict.fromkeys(("int", "floor", "ceil"), lambda x: (x, round(x))),
    "nint": lambda x: (x, math.floor(x) + 0.5),
    "sgn": lambda x: (x, 0.0),
}
"""Of functions that jump: the argument, and where the next jump is."""


def _pwr(x: float, y: float) -> float:
    if x < 0:
        raise ExpressionError("pwr of a negative number, which simulators sign differently: write pow()")
    return math.pow(x, y)


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
    "<>": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    ">": lambda x, y: x > y,
    "<=": lambda x, y: x <= y,
    ">=": lambda x, y: x >= y,
    "&&": lambda x, y: x != 0 and y != 0,
    "||": lambda x, y: x != 0 or y != 0,
}
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "%": math.fmod,
    "\\": lambda x, y: float(math.trunc(x / y)),
    "^": math.pow,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., float]]] = {
    "sqrt": (1, math.sqrt),
    "sqr": (1, lambda x: x * x),
    "exp": (1, math.exp),
    "ln": (1, math.log),
    "log": (1, math.log),
    "log10": (1, math.log10),
    "abs": (1, abs),
    "sgn": (1, lambda x: float((x > 0) - (x < 0))),
    "min": (-2, min),
    "max": (-2, max),
    "pow": (2, math.pow),
    "pwr": (2, _pwr),
    "int": (1, lambda x: float(math.trunc(x))),
    "nint": (1, lambda x: float(round(x))),
    "floor": (1, lambda x: float(math.floor(x))),
    "ceil": (1, lambda x: float(math.ceil(x))),
    "sin": (1, math.sin),
    "cos": (1, math.cos),
    "tan": (1, math.tan),
    "asin": (1, math.asin),
    "acos": (1, math.acos),
    "atan": (1, math.atan),
    "arctan": (1, math.atan),
    "sinh": (1, math.sinh),
    "cosh": (1, math.cosh),
    "tanh": (1, math.tanh),
    "asinh": (1, math.asinh),
    "acosh": (1, math.acosh),
    "atanh": (1, math.atanh),
}
"""Functions of ngspice's parameters, with their numbers of arguments (negative: at least so many)."""

RESERVED = frozenset(
    (*_FUNCTIONS, "ternary_fcn", "temper", "time", "hertz", "gauss", "agauss", "unif", "aunif", "limit")
)
"""Names that ngspice never takes for a parameter's."""

_RANDOM = frozenset(("gauss", "agauss", "unif", "aunif", "limit", "rand", "random", "flat", "mc", "white"))
