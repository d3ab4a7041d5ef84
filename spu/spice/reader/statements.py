"""From logical lines to definitions: subcircuits with ports, parameters, functions, models and statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from spu.base.names import shorten
from spu.spice.reader.control import OPTIONS
from spu.spice.reader.expressions import RESERVED, Expression, ExpressionError, Function, parse
from spu.spice.reader.limits import MAX_DEPTH, MAX_PARAMETERS
from spu.spice.reader.lines import OPTIONS_COMMANDS, Line
from spu.spice.reader.numbers import parse_number


@dataclass(frozen=True)
class Token:
    """A word, an expression in braces or quotes (without them), or one of ``( ) , =``."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"({self.text})" if self.kind == "expression" else self.text


@dataclass(frozen=True)
class Assignment:
    """``name=value`` with its line."""

    expression: Expression
    line: Line


@dataclass(frozen=True)
class Statement:
    """An element's line: its name (lower case), and what stands behind, settings ``name=value`` apart."""

    line: Line
    name: str
    tokens: tuple[Token, ...]
    settings: dict[str, Expression]


@dataclass(frozen=True)
class Model:
    """A ``.model``: its type and its settings."""

    kind: str
    settings: dict[str, Expression]
    line: Line


@dataclass(eq=False)
class Definition:
    """A subcircuit as written; the deck itself is one without ports.

    Attributes
    ----------
    name:
        Lower case; empty for the deck itself.
    ports:
        Local node names.
    defaults:
        Parameters of the ``.subckt`` line, which a call may set.
    parameters:
        Those of ``.param`` lines.
    statements:
        Elements, read as far as splitting into tokens; what they mean is worked out where they are used.
    inner:
        Subcircuits defined inside.
    outer:
        The definition around it.
    """

    name: str
    line: Line
    outer: Definition | None = None
    ports: tuple[str, ...] = ()
    defaults: dict[str, Assignment] = field(default_factory=dict)
    parameters: dict[str, Assignment] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    inner: dict[str, Definition] = field(default_factory=dict)

    @cached_property
    def words(self) -> frozenset[str]:
        """Words of its elements' lines, nodes among them."""
        return frozenset(token.text for statement in self.statements for token in statement.tokens)

    def subcircuit(self, name: str) -> Definition | None:
        """The definition that a name means here."""
        here: Definition | None = self
        while here is not None:
            if name in here.inner:
                return here.inner[name]
            here = here.outer
        return None

    def model(self, name: str) -> Model | None:
        """The model that a name means here."""
        here: Definition | None = self
        while here is not None:
            if name in here.models:
                return here.models[name]
            here = here.outer
        return None


@dataclass
class Program:
    """A deck as definitions.

    Attributes
    ----------
    top:
        The deck itself.
    global_nodes:
        Nodes that mean the same in every subcircuit.
    options:
        Of ``.options`` and ``.temp``.
    parameter_count:
        Of ``.param`` lines, in all definitions.
    """

    top: Definition
    global_nodes: set[str] = field(default_factory=set)
    options: dict[str, Assignment] = field(default_factory=dict)
    parameter_count: int = 0


_TOKEN = re.compile(r"""\s*(?:\{(?P<braces>[^{}]*)\}|'(?P<quotes>[^']*)'|(?P<mark>[(),=])|(?P<word>[^\s(){}'",=]+))""")
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
PASSIVE_MODELS = ("r", "res", "c", "cap", "l", "ind")
"""Types of models of resistors, capacitors and inductors."""
_BEHAVIOURAL = frozenset(("v", "i", "value", "vol", "cur", "q", "flux"))
"""Settings of elements whose values are expressions, braces or not."""

Bare: TypeAlias = Literal["number", "name", "word", "expression"]
"""What ngspice takes where there are neither braces nor quotes: a number only; a parameter's name, too; an expression
without blanks; anything.

Of an expression where it wants a number, as in ``r1 a b 10k-5``, it reads a part, or something else.
"""
_FUNC = re.compile(r"\.func\s+([a-z_][a-z0-9_]*)\s*\(([^()]*)\)\s*=?\s*(.+)", re.IGNORECASE)


def tokens(line: Line, text: str | None = None) -> list[Token]:
    """Split a line into tokens.

    Raises
    ------
    DeckError
        For braces or quotes that do not match.
    """
    text = (line.text if text is None else text).lower().rstrip()
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].strip()
            raise line.refuse(
                "double quotes are not taken here" if rest[0] == '"' else f"{rest[0]} without its counterpart"
            )
        kind = str(match.lastgroup)
        found.append(Token("expression" if kind in ("braces", "quotes") else kind, match[kind]))
        at = match.end()
    return found


def split_settings(
    line: Line, given: Sequence[Token], bare: Bare = "name"
) -> tuple[list[Token], dict[str, Expression]]:
    """Part tokens into those before the first ``name=`` and the settings by name.

    Parameters
    ----------
    line, given:
        The line, and its tokens from where settings may begin.
    bare:
        What values may be without braces; those of behavioural sources are expressions anyhow.

    Raises
    ------
    DeckError
        For a name set twice, or a value that cannot be read.
    """
    starts = [
        k for k in range(len(given) - 1) if given[k].kind == "word" and given[k + 1] == Token("mark", "=")
    ]  # fmt: skip
    plain = list(given[: starts[0]]) if starts else list(given)
    settings: dict[str, Expression] = {}
    for k, end in zip(starts, [*starts[1:], len(given)], strict=False):
        name, value = given[k].text, list(given[k + 2 : end])
        while value and value[-1] == Token("mark", ","):
            value.pop()
        if _NAME.fullmatch(name) is None:
            raise line.refuse(f"{shorten(name)} cannot be set: a name is of letters, digits and underscores")
        if name in settings:
            raise line.refuse(f"{name} is set twice")
        settings[name] = expression_of(line, value, name, "expression" if name in _BEHAVIOURAL else bare)
    return plain, settings


def expression_of(line: Line, given: Sequence[Token], what: str, bare: Bare = "name") -> Expression:
    """Parse the expression that some tokens make.

    Parameters
    ----------
    line, given:
        The line, and the tokens.
    what:
        For messages.
    bare:
        What the tokens may be without braces.

    Raises
    ------
    DeckError
        If they make none.
    """
    if not given:
        raise line.refuse(f"{what} has no value")
    text = given[0].text if len(given) == 1 else " ".join(map(str, given))
    if bare == "word" and len(given) > 1:
        raise line.refuse(f"{what}: {shorten(text)} has blanks or parentheses: it stands in braces, as in {{2*x}}")
    if bare in ("number", "name") and not (len(given) == 1 and given[0].kind == "expression"):
        _refuse_bare(line, text, what, bare)
    try:
        return parse(text)
    except ExpressionError as error:
        raise line.refuse(f"{what}: {error}") from None


def _refuse_bare(line: Line, text: str, what: str, bare: Bare) -> None:
    """Refuse what is neither a number nor, where that is taken, a name."""
    if bare == "name" and _NAME.fullmatch(text):
        return
    try:
        parse_number(text)
    except ValueError as error:
        hint = ": an expression stands in braces, as in {2*x}" if str(error).endswith("is not a number") else ""
        raise line.refuse(f"{what}: {error}{hint}") from None


def read_program(lines: Sequence[Line], file: str) -> Program:
    """Sort logical lines into definitions.

    Raises
    ------
    DeckError
        With file and line: subcircuits that do not end, names defined twice, lines that cannot be read.
    """
    program = Program(Definition("", Line("", 1, file)))
    here = program.top
    depth = 0
    for line in lines:
        word = line.words[0]
        if word == ".subckt":
            depth += 1
            if depth > MAX_DEPTH:
                raise line.refuse(f"subcircuits are defined within one another more than {MAX_DEPTH} deep")
            here = _subcircuit(line, here)
        elif word == ".ends":
            if here.outer is None:
                raise line.refuse(".ends without .subckt")
            if len(line.words) > 1 and line.words[1] != here.name:
                raise line.refuse(f".ends {line.words[1]} where {here.name} (line {here.line.number}) is to end")
            depth -= 1
            here = here.outer
        elif word == ".global":
            program.global_nodes |= set(line.words[1:])
        elif word in OPTIONS_COMMANDS:
            _options(line, program)
        elif word == ".temp":
            _set(program.options, "temp", Assignment(expression_of(line, tokens(line)[1:], ".temp", "number"), line))
        elif word[0] == ".":
            _command(line, here, program)
        else:
            _statement(line, here)
    if here.outer is not None:
        raise here.line.refuse(f".subckt {here.name} has no .ends")
    return program


def without_parentheses(given: list[Token], first: int, last: int) -> list[Token]:
    """Tokens, without the parentheses that enclose all of those from ``first`` until ``last``."""
    if [token.text for token in (*given[first : first + 1], *given[last - 1 : last])] == ["(", ")"]:
        return [*given[:first], *given[first + 1 : last - 1], *given[last:]]
    return given


def _subcircuit(line: Line, outer: Definition) -> Definition:
    plain, settings = split_settings(line, [t for t in tokens(line)[1:] if t.text != "params:"], "word")
    for name in settings:
        _refuse_reserved(line, name)
    plain = without_parentheses(plain, 1, len(plain))
    if not plain or any(token.kind != "word" for token in plain):
        raise line.refuse(".subckt takes a name, nodes and parameters: .subckt NAME node ... [param=default ...]")
    name, ports = plain[0].text, tuple(token.text for token in plain[1:])
    if name in outer.inner:
        first = outer.inner[name].line
        raise line.refuse(f"subcircuit {name} is defined twice (first in {first.file}:{first.number})")
    if len(set(ports)) < len(ports) or {"0", "gnd"} & set(ports):
        raise line.refuse(f"the nodes of subcircuit {name} must differ from one another and from ground")
    found = Definition(name, line, outer, ports)
    found.defaults = {key: Assignment(value, line) for key, value in settings.items()}
    outer.inner[name] = found
    return found


def _options(line: Line, program: Program) -> None:
    given = tokens(line)[1:]
    if any(token.text in "()" for token in given if token.kind == "mark"):
        raise line.refuse(".options takes NAME=value, without parentheses")
    equals = Token("mark", "=")
    for k, token in enumerate(given):
        if token.text not in OPTIONS or given[k - 1 : k] == [equals]:
            continue
        if given[k + 1 : k + 2] != [equals]:
            raise line.refuse(f".options {token.text} has no value: write {token.text}=value")
        value = expression_of(line, given[k + 2 : k + 3], token.text, "number")
        _set(program.options, token.text, Assignment(value, line))


def _set(assignments: dict[str, Assignment], name: str, assignment: Assignment) -> None:
    if name in assignments:
        first = assignments[name].line
        raise assignment.line.refuse(f"{name} is set twice (first in {first.file}:{first.number}): keep one")
    assignments[name] = assignment


def _command(line: Line, here: Definition, program: Program) -> None:
    word = line.words[0]
    if word == ".param":
        plain, settings = split_settings(line, tokens(line)[1:], "expression")
        if plain or not settings:
            raise line.refuse(".param takes name=value; functions are written as .func f(x) {...}")
        program.parameter_count += len(settings)
        if program.parameter_count > MAX_PARAMETERS:
            raise line.refuse(f"more than {MAX_PARAMETERS} parameters")
        for name, value in settings.items():
            _refuse_reserved(line, name)
            if name in here.defaults:
                raise line.refuse(f"{name} is a parameter of the .subckt line already")
            _set(here.parameters, name, Assignment(value, line))
    elif word == ".func":
        found = _FUNC.fullmatch(line.text)
        if found is None:
            raise line.refuse(".func takes name(arguments) {expression}")
        name, arguments = found[1].lower(), tuple(a.strip().lower() for a in found[2].split(",") if a.strip())
        if name in here.functions or len(set(arguments)) < len(arguments):
            raise line.refuse(f"{name} or one of its arguments is defined twice")
        body = expression_of(line, tokens(line, found[3]), f".func {name}", "expression")
        here.functions[name] = Function(name, arguments, body)
    elif word == ".model":
        given = [token for token in tokens(line)[1:] if token.text not in ("(", ")")]
        passive = len(given) > 1 and given[1].text in PASSIVE_MODELS
        plain, settings = split_settings(line, given, "number" if passive else "expression")
        if len(plain) != 2:
            raise line.refuse(".model takes a name, a type and parameters")
        name = plain[0].text
        if name in here.models:
            first = here.models[name].line
            raise line.refuse(f"model {shorten(name)} is defined twice (first in {first.file}:{first.number})")
        here.models[name] = Model(plain[1].text, settings, line)
    # .ic and .nodeset say where a transient begins, which a stationary law forgets.


def _refuse_reserved(line: Line, name: str) -> None:
    if name in RESERVED:
        raise line.refuse(f"{name} has a meaning of its own in expressions: call the parameter another name")


def _statement(line: Line, here: Definition) -> None:
    given = tokens(line)
    name = given[0].text
    if given[0].kind != "word" or not name[0].isalpha():
        raise line.refuse(f"{shorten(name)} is no element: names begin with the letter of their kind")
    if len(given) > 1 and given[1] == Token("mark", "="):
        raise line.refuse(f"{shorten(name)} is no element; .param sets parameters")
    plain, settings = split_settings(line, given[1:], "word" if name[0] == "x" else "name")
    if any(name == other.name for other in here.statements[-1:]):
        raise line.refuse(f"{name} stands there twice")
    here.statements.append(Statement(line, name, tuple(plain), settings))
