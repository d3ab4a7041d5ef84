"""A netlist on disk in VACASK's language: read as it lies there, kept from doing harm.

Of VACASK's statements those pass that describe a circuit: its own models, parameters, subcircuits and instances, and
our own modules of Verilog-A, which the netlist holds word for word. Of the block of commands the options stay, analyses
and output are left out. All else is refused by name: other files (``embed``, ``include``, models), conditions, sweeps,
commands that change the circuit or run programs, and behavioural instances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from spu.base.errors import DeckError
from spu.base.files import read_bytes
from spu.base.names import shorten
from spu.spice.deck import MAX_BYTES, Deck, header_hash, refuse_explosion
from spu.spice.dialects.vacask import MASTERS, MODULES
from spu.spice.modules import files
from spu.spice.reader.limits import MAX_STATEMENT
from spu.spice.reader.lines import Line

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

_INSTANCE = re.compile(rf"({_NAME})\s*\(([^()]*)\)\s*({_NAME})\b(.*)")
"""Name, nodes, master, parameters."""

_PLAIN = ("parameters", "model", "ground", "subckt", "ends", "load", "include")

_LEFT_OUT = ("analysis", "save", "abort", "clear", "print")
"""Commands that change nothing of what is run."""

_MOVING = re.compile(r'alter\s+instance\("(\w+)"\)\s+type="pwl"')
"""What a netlist with a ramp does before its own transient."""

_WAVE = re.compile(r'type="dc"\s+wave=')
"""A source that follows its wave where it is told to."""

_START = re.compile(r"\bic\s*=\s*\{([^{}]*)\}")

_EMBED = re.compile(r'embed\s+"([^"]*)"\s*<<<(\w+)')

_STRINGS = ("ind1", "ind2", "ctlinst", "type")
"""Parameters whose values stand in quotes."""


class Statement(Line):
    """A line in VACASK's language; its words are those of the same line in SPICE: without parentheses."""

    @cached_property
    def words(self) -> list[str]:
        """Its words, lower case."""
        return self.text.lower().replace("(", " ").replace(")", " ").split()

    @property
    def instance(self) -> tuple[str, list[str], str, str] | None:
        """Name, nodes, master and parameters of an instance; None of anything else."""
        found = _INSTANCE.fullmatch(self.text)
        if found is None or found[1].lower() in _PLAIN:
            return None
        return found[1], found[2].replace(",", " ").split(), found[3], found[4]


@dataclass(frozen=True)
class VacaskDeck(Deck):
    """As `Deck`, in VACASK's language; lines of the circuit come first, then options."""

    dialect = "vacask"

    def text(self, replace: dict[str, str] | None = None, extra: tuple[str, ...] = ()) -> str:
        """Print the deck for VACASK, with lines of some top-level elements replaced and lines added.

        Where nodes are at time zero stands in comments, ``// start: NODE VOLTS``: it is a matter of each transient.
        """
        replace = replace or {}
        depth = 0
        circuit, options = ["a deck under check"], []
        for line in self.lines:
            first = line.words[0]
            depth += (first == "subckt") - (first == "ends")
            if first in ("options", ".ic"):
                options.append(line.text)
            else:
                circuit.append(replace.get(first, line.text) if depth == 0 else line.text)
        starts = [f"// start: {' '.join(text.split()[1:])}" for text in options if text.startswith(".ic")]
        commands = [text for text in options if not text.startswith(".ic")]
        return "\n".join([*circuit, *extra, *starts, "control", "abort always", *commands, "endc", ""])

    def held(self, volts: Mapping[str, float]) -> Deck:
        """The same with other constant values (V, of ``dc``) of those of some sources that are at top level."""
        there = {id(line): name for name, line in self.top_level().items() if name in volts}
        lines = [
            replace(line, text=re.sub(r"\bdc\s*=\s*\S+", f"dc={float(volts[there[id(line)]])!r}", line.text, count=1))
            if id(line) in there
            else line
            for line in self.lines
        ]
        return replace(self, lines=tuple(lines))

    def top_level(self) -> dict[str, Line]:
        """Elements outside subcircuits by name (lower case)."""
        found: dict[str, Line] = {}
        depth = 0
        for line in self.lines:
            first = line.words[0]
            depth += (first == "subckt") - (first == "ends")
            if depth == 0 and isinstance(line, Statement) and line.instance is not None:
                found[first] = line
        return found

    def spelled(self, name: str) -> str:
        """A node as the netlist writes it, of which upper and lower case are not known."""
        return self.names.node(name)

    @cached_property
    def names(self) -> Names:
        """Nodes and instances as they are written."""
        return Names.of(line.text for line in self.lines)


@dataclass
class Scope:
    """Names in a subcircuit, or at top level, as they are written, by their lower case; masters of its instances."""

    nodes: dict[str, str] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    masters: dict[str, str] = field(default_factory=dict)


@dataclass
class Names:
    """How VACASK spells what analyses name in lower case, with dots: ``x1.n2`` is ``X1:n2``.

    Attributes
    ----------
    scopes:
        By the name of the subcircuit; the top level's is ``""``.
    """

    scopes: dict[str, Scope]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Names:
        """Of the lines of a netlist."""
        scopes, opened = {"": Scope()}, [""]
        for line in map(str.strip, lines):
            if line == "ends" and len(opened) > 1:
                opened.pop()
            match = _INSTANCE.match(line)
            if line.startswith("subckt "):
                name, _, ports = line[len("subckt ") :].partition("(")
                opened.append(name.strip())
                scope = scopes.setdefault(opened[-1], Scope())
                scope.nodes |= {node.lower(): node for node in ports.rstrip(") ").replace(",", " ").split()}
            elif match is not None and match[1] not in _PLAIN:
                scope = scopes[opened[-1]]
                scope.instances[match[1].lower()] = match[1]
                scope.masters[match[1].lower()] = match[3]
                for node in match[2].replace(",", " ").split():
                    scope.nodes.setdefault(node.lower(), node)
        return cls(scopes)

    def node(self, path: str) -> str:
        """A node."""
        return self._spelled(path, lambda scope: scope.nodes)

    def instance(self, path: str) -> str:
        """An instance."""
        return self._spelled(path, lambda scope: scope.instances)

    def _spelled(self, path: str, kind: Callable[[Scope], dict[str, str]]) -> str:
        *outer, last = path.split(".")
        scope, found = self.scopes[""], []
        for part in outer:
            found.append(scope.instances.get(part, part))
            scope = self.scopes.get(scope.masters.get(part, ""), Scope())
        return ":".join([*found, kind(scope).get(last, last)])


def read_vacask(path: Path, *, include_outside: bool = False, ignore_control: bool = False) -> VacaskDeck:
    """Read a netlist.

    Parameters
    ----------
    path:
        The file.
    include_outside:
        Has no meaning: nothing is included.
    ignore_control:
        Go on without commands that are neither options, analyses nor output.

    Raises
    ------
    InputError
        If the file cannot be read.
    DeckError
        With file and line, for what is not run.
    """
    del include_outside
    content = read_bytes(path, MAX_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DeckError("is no text in UTF-8", file=str(path)) from None
    reading = _Reading(str(path), ignore_control)
    lines = list(reading.statements(text))
    refuse_explosion(lines, "subckt", "ends", lambda line: line.text.partition("(")[0].strip() not in _PLAIN)
    _refuse_twins(lines)
    _refuse_strangers(lines)
    return VacaskDeck(tuple(lines), str(path), header_hash(text.splitlines()[:5]))


@dataclass
class _Reading:
    file: str
    ignore_control: bool
    embedded: set[str] = field(default_factory=set)

    @property
    def modules(self) -> list[str]:
        """Models of the files that are embedded."""
        return [f"spu_{name}" for name, file in files().items() if file.stem in self.embedded]

    def statements(self, text: str) -> Iterator[Statement]:
        """Statements that describe the circuit, then options, and where nodes start."""
        commands: list[Statement] = []
        inside = done = False
        waves: dict[str, Statement] = {}
        for line in self._logical(text):
            first = line.text.split(None, 1)[0]
            if inside:
                inside, done = first != "endc", first == "endc"
                if moved := _MOVING.fullmatch(line.text):
                    if waves.pop(moved[1], None) is None:
                        raise line.refuse(f"{moved[1]} has no wave to follow, or follows it already")
                elif re.match(r"analysis\s+\S+\s+tran\b", line.text) and waves:
                    name, source = next(iter(waves.items()))
                    raise source.refuse(f'{name} stands still in that transient: alter instance("{name}") type="pwl"')
                elif not done:
                    commands += self._command(line, first)
            elif first == "control":
                if done:
                    raise line.refuse("a second block of commands, and VACASK takes one")
                inside = True
            else:
                self._look_at(line, first)
                if _WAVE.search(line.text):
                    waves[first] = line
                yield line
        if inside:
            raise DeckError("control without endc", file=self.file)
        yield from commands

    def _logical(self, text: str) -> Iterator[Statement]:
        """Lines without comments; those that end within brackets go on in the next one. The first one is a title."""
        pieces: list[str] = []
        begun = depth = until = 0
        every = text.replace("\r\n", "\n").split("\n")
        for number, physical in enumerate(every, start=1):
            if number == 1 or number <= until:
                continue
            if not pieces and (found := _EMBED.fullmatch(physical.strip())) is not None:
                until = self._embedded(found, every, number)
                continue
            # What ends a line for Python, and not for VACASK, would end a comment here and not there.
            if len(physical.splitlines()) > 1 or any(
                not (letter.isprintable() or letter == "\t") for letter in physical
            ):
                raise DeckError("a character that is no text", file=self.file, line=number)
            code = re.sub(r"[ \t]{2,}", " ", _code(physical)).strip()
            if "/*" in code:
                raise DeckError("comments of several lines are not read: write // on each", file=self.file, line=number)
            if not code:
                continue
            begun = begun if pieces else number
            pieces.append(code)
            depth += sum(code.count(each) for each in "([{") - sum(code.count(each) for each in ")]}")
            if sum(map(len, pieces)) > MAX_STATEMENT:
                raise DeckError(f"a statement of more than {MAX_STATEMENT:,} letters", file=self.file, line=begun)
            if depth <= 0:
                yield Statement(" ".join(pieces), begun, self.file)
                pieces, depth = [], 0
        if pieces:
            raise DeckError("a bracket that is opened here is never closed", file=self.file, line=begun)

    def _embedded(self, begun: re.Match[str], every: Sequence[str], number: int) -> int:
        """The last line of a file within the netlist, which has to be one of our own, word for word."""
        name, mark = begun[1], begun[2]
        end = next((k for k in range(number, len(every)) if every[k].strip() == f">>>{mark}"), None)
        own = next((file for file in files().values() if file.name == name), None)
        if end is None or own is None or every[number:end] != own.read_text(encoding="utf-8").splitlines():
            ours = " and ".join(sorted({file.name for file in files().values()}))
            raise DeckError(
                f"embeds the file {shorten(name)}: only {ours} are, word for word as spu export writes them",
                file=self.file,
                line=number,
            )
        self.embedded.add(own.stem)
        return end + 1

    def _look_at(self, line: Statement, first: str) -> None:
        """Refuse a statement that is none of a linear circuit."""
        text = line.text
        if first == "load":
            found = re.fullmatch(r'load\s+"(\w+)\.(osdi|va)"', text)
            known = MODULES if found is None or found[2] == "osdi" else self.embedded
            if found is None or found[1] not in known:
                raise line.refuse(
                    f"only {', '.join(MODULES)} of VACASK's own models, and files that are embedded, are loaded: "
                    f"{shorten(text)}"
                )
        elif first == "include":
            if text.split() != ["include", '"builtins.inc"']:
                raise line.refuse(f"only builtins.inc is included: {shorten(text)}")
        elif first == "ground":
            if text.split() != ["ground", "0"]:
                raise line.refuse(f"ground is node 0 here: {shorten(text)}")
        elif first == "model":
            found = re.fullmatch(rf"model\s+{_NAME}\s+({_NAME})\b(.*)", text)
            if found is None or found[1] not in (*_KNOWN, *self.modules):
                raise line.refuse(f"a model is of {', '.join((*_KNOWN, *self.modules))}: {shorten(text)}")
            self._settings(line, found[2])
        elif first == "parameters":
            self._settings(line, text[len("parameters") :], strings=())
        elif first == "ends":
            if text != "ends":
                raise line.refuse(f"ends stands alone: {shorten(text)}")
        elif first == "subckt":
            found = re.fullmatch(rf"subckt\s+({_NAME})\s*\(([^()]*)\)", text)
            if found is None or not _nodes(found[2].replace(",", " ").split()):
                raise line.refuse(f"subckt NAME (NODES) is meant: {shorten(text)}")
        else:
            made = line.instance
            if made is None or not _nodes(made[1]):
                raise line.refuse(f"is no statement that is run here: {shorten(text)}")
            self._settings(line, made[3])

    def _settings(self, line: Statement, text: str, strings: tuple[str, ...] = _STRINGS) -> None:
        """Refuse what is no list of parameters; texts in quotes are for some only."""
        quoted = re.findall(r'(\S*?)\s*=\s*"', text)
        amiss = [key for key in quoted if key not in strings]
        if amiss or text.count('"') != 2 * len(quoted) or not _listed(text):
            raise line.refuse(f"parameters are NAME=EXPRESSION, without texts: {shorten(line.text)}")

    def _command(self, line: Statement, first: str) -> list[Statement]:
        """What stays of a command."""
        if first == "options":
            self._settings(line, line.text[len("options") :], strings=_TEXTS)
            return [line]
        if first in _LEFT_OUT:
            return self._starts(line) if re.match(r"analysis\s+\S+\s+tran\b", line.text) else []
        if self.ignore_control:
            return []
        raise line.refuse(f"the command {shorten(first)} is not run; --ignore-control goes on without it")

    def _starts(self, line: Statement) -> list[Statement]:
        """Where nodes are at time zero, as a transient says it: ``ic={"node", volts, ...}``."""
        found = _START.search(line.text)
        if found is None:
            return []
        words = [word.strip() for word in found[1].split(",")]
        pairs = list(zip(words[::2], words[1::2], strict=False))
        if len(words) % 2 or not all(re.fullmatch(r'"\w+"', node) and _number(volts) for node, volts in pairs):
            raise line.refuse(f'ic={{"NODE", VOLTS, ...}} is meant: {shorten(found[0])}')
        return [Statement(f".ic {node[1:-1]} {volts}", line.number, line.file) for node, volts in pairs]


_KNOWN = tuple(master for master, _ in MASTERS.values())
"""Kinds of element that a netlist may have models of."""

_TEXTS = ("tran_method", "rawfile", "relref", "relrefsol", "relrefres", "relreflte", "tolmode")
"""Options whose values stand in quotes."""


def _nodes(names: Sequence[str]) -> bool:
    return all(re.fullmatch(r"\w+", name) for name in names)


def _listed(text: str) -> bool:
    """Whether a text is a list of NAME=VALUE."""
    rest = re.sub(r'"[A-Za-z0-9_:]*"', "0", text)
    rest = re.sub(r"\[[-+0-9.eE,\s]*\]", "0", rest)
    if re.search(r"[^\w\s.+\-*/%()<>=!&|?:,$]", rest):
        return False
    words = re.split(r"(?<![<>=!])=(?!=)", rest)
    if len(words) == 1:
        return not rest.strip()
    heads = [words[0], *(re.split(r"\s+(?=\$?\w+\s*$)", word)[-1] for word in words[1:-1])]
    return all(re.fullmatch(rf"\s*\$?{_NAME}\s*", head) for head in heads)


def _code(line: str) -> str:
    """A line without its comment; two slashes in quotes are none."""
    quoted = False
    for k, letter in enumerate(line):
        quoted ^= letter == '"'
        if not quoted and line.startswith("//", k):
            return line[:k]
    return line


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_strangers(lines: Sequence[Statement]) -> None:
    """Refuse instances of what the netlist neither describes nor declares: VACASK has more than is looked at here."""
    known = set(_BUILT_IN)
    for line in lines:
        words = line.text.replace("(", " ").split()
        if words[0] in ("model", "subckt") and len(words) > 1:
            known.add(words[1])
    for line in lines:
        made = line.instance
        if made is not None and made[2] not in known:
            raise line.refuse(f"there is no model and no subcircuit {shorten(made[2])}")


_BUILT_IN = tuple(master for master in _KNOWN if master not in MODULES)
"""Models that ``builtins.inc`` declares."""


def _refuse_twins(lines: Iterable[Statement]) -> None:
    """Refuse names of one subcircuit, or of the netlist, that differ by case only: the check tells none apart."""
    scopes: list[tuple[set[str], dict[str, str]]] = [(set(), {})]
    for line in lines:
        first = line.words[0]
        if first == "subckt":
            scopes.append((set(), {}))
        elif first == "ends" and len(scopes) > 1:
            scopes.pop()
        made = line.instance
        if made is None:
            continue
        instances, nodes = scopes[-1]
        if first in instances:
            raise line.refuse(f"there is another {first}: names that differ by case only are not told apart")
        instances.add(first)
        for node in made[1]:
            if nodes.setdefault(node.lower(), node) != node:
                raise line.refuse(
                    f"nodes {nodes[node.lower()]} and {node} differ by case only: they are not told apart"
                )
