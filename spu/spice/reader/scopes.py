"""Parameters where they are used: scopes of expansions, as ngspice nests them.

A subcircuit sees its own parameters, then those of whoever calls it, and so on to the deck's own (dynamic
scope: ngspice's, and LTspice's). What stands in a call is worked out where the call stands.
Parameters are worked out when first asked for, in whatever order they stand; the resolution keeps a stack
of its own, so that a chain of thousands is no deeper than Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from spu.base.errors import NonlinearNetlist
from spu.spice.reader.expressions import Expression, ExpressionError, Function, Linear, NotLinear, Value, evaluate
from spu.spice.reader.limits import Budget
from spu.spice.reader.lines import Line
from spu.spice.reader.statements import Definition


@dataclass(eq=False)
class _Cell:
    """A parameter: its expression, and its value once known."""

    line: Line
    expression: Expression | None = None
    value: float | None = None


@dataclass(eq=False)
class Scope:
    """One expansion of a definition, as far as its parameters go."""

    definition: Definition
    budget: Budget
    caller: Scope | None = None
    constants: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    """Local nodes that a source holds, V: factors of a ramp."""
    _cells: dict[str, _Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for assignments in (self.definition.defaults, self.definition.parameters):
            for name, assignment in assignments.items():
                self._cells[name] = _Cell(assignment.line, assignment.expression)

    def give(self, name: str, value: float, line: Line) -> None:
        """Give a parameter the value that a call sets."""
        self._cells[name] = _Cell(line, value=value)

    def number(self, expression: Expression, line: Line, what: str) -> float:
        """Work an expression out to a number.

        Raises
        ------
        DeckError
            At the line, saying of what.
        NonlinearNetlist
            If it holds voltages or currents.
        """
        value = self._value(expression, line, what, behavioural=False)
        if isinstance(value, Linear):
            if any(value.terms.values()):
                raise NonlinearNetlist(
                    f"{what} depends on a voltage or current: only ngspice can run this deck",
                    file=line.file,
                    line=line.number,
                )
            return value.constant
        return value

    def value(self, expression: Expression, line: Line, what: str) -> Value:
        """Work out the expression of a source, voltages and currents allowed; raises as `number`."""
        return self._value(expression, line, what, behavioural=True)

    def _value(self, expression: Expression, line: Line, what: str, *, behavioural: bool) -> Value:
        try:
            return evaluate(expression, _View(self, line, None), behavioural=behavioural)
        except NotLinear as error:
            raise NonlinearNetlist(
                f"{what}: {error}: only ngspice can run this deck", file=line.file, line=line.number
            ) from None
        except ExpressionError as error:
            raise line.refuse(f"{what}: {error}") from None

    def function(self, name: str) -> Function | None:
        """The ``.func`` that a name means here."""
        return next((s.definition.functions[name] for s in self._chain() if name in s.definition.functions), None)

    def _chain(self) -> Iterator[Scope]:
        here: Scope | None = self
        while here is not None:
            yield here
            here = here.caller

    def find(self, name: str) -> tuple[Scope, _Cell] | None:
        """The parameter that a name means here."""
        for scope in self._chain():
            cell = scope._cells.get(name)
            if cell is not None:
                return scope, cell
        return None

    def resolve(self, name: str) -> float | None:
        """The value of a parameter, None if there is no such one.

        Raises
        ------
        DeckError
            At the line of the parameter that needs itself or cannot be worked out.
        """
        found = self.find(name)
        if found is None:
            return self._constant(name)
        stack: list[tuple[Scope, str, _Cell]] = [(found[0], name, found[1])]
        entered: set[int] = set()
        while stack:
            scope, own, cell = stack[-1]
            if cell.value is not None:
                stack.pop()
                continue
            assert cell.expression is not None
            waiting: list[tuple[Scope, str, _Cell]] = []
            for needed in scope._needed(cell.expression):
                self.budget.spend(cell.line.file, cell.line.number)
                start = scope._start(needed, own)
                there = None if start is None else start.find(needed)
                if there is not None and there[1].value is None:
                    if id(there[1]) in entered or there[1] is cell:
                        raise cell.line.refuse(f"parameter {own} depends on itself, by way of {needed}")
                    waiting.append((there[0], needed, there[1]))
            if waiting:
                entered.add(id(cell))
                stack += waiting
                continue
            cell.value = scope._work_out(cell, own)
            entered.discard(id(cell))
            stack.pop()
        return found[1].value

    def _start(self, name: str, own: str) -> Scope | None:
        """Where to look for a name: in ``.subckt s a r={r}`` the second r is the caller's."""
        return self.caller if name == own and self.caller is not None else self

    def _constant(self, name: str) -> float | None:
        return next(scope.constants.get(name) for scope in self._chain() if scope.caller is None)

    def _needed(self, expression: Expression) -> set[str]:
        """Parameters that an expression names, by way of functions too."""
        names = set(expression.names)
        seen: set[str] = set()
        calls = set(expression.functions)
        while calls:
            name = calls.pop()
            function = self.function(name)
            if name in seen or function is None:
                continue
            seen.add(name)
            names |= function.body.names - set(function.arguments)
            calls |= function.body.functions
            self.budget.spend(self.definition.line.file, self.definition.line.number)
        return names

    def _work_out(self, cell: _Cell, own: str) -> float:
        assert cell.expression is not None
        try:
            value = evaluate(cell.expression, _View(self, cell.line, own))
        except NotLinear as error:
            raise cell.line.refuse(f"{own}: {error}") from None
        except ExpressionError as error:
            raise cell.line.refuse(f"{own}: {error}") from None
        if isinstance(value, Linear):
            raise cell.line.refuse(f"{own}: a parameter cannot depend on voltages or currents")
        return value


class _View:
    """A scope as an expression at some line sees it."""

    def __init__(self, scope: Scope, line: Line, own: str | None) -> None:
        self._scope = scope
        self._line = line
        self._own = own

    def parameter(self, name: str) -> Value:
        if name == "temper":
            raise ExpressionError("temper is worked out anew at each temperature by ngspice: write the number")
        scope = self._scope if self._own is None else self._scope._start(name, self._own)
        value = None if scope is None else scope.resolve(name)
        if value is None:
            raise ExpressionError(f"there is no parameter {name!r}")
        return value

    def function(self, name: str) -> Function | None:
        return self._scope.function(name)

    def held(self, node: str) -> float | None:
        return self._scope.held.get(node)

    def step(self) -> None:
        self._scope.budget.spend(self._line.file, self._line.number)
