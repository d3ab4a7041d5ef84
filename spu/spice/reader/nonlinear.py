"""Netlists with parts that are not linear and lumped: read as far as a simulator alone has to be told of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spu.base.display import Shown
from spu.base.errors import NonlinearNetlist
from spu.spice.reader import Choices, self_contained
from spu.spice.reader.limits import MAX_INSTANCES, bytes_for
from spu.spice.reader.lines import Line, Source, read_source
from spu.spice.reader.placed import NEEDS_NGSPICE, node_name
from spu.spice.reader.readout import Probe, choose_probes

TAKEN = "import, inspect, check and report"
"""Verbs that take such a netlist."""

ALONE = f"spu {TAKEN} take it, and nothing else does"
"""What can be had of one: the end of every refusal."""

_KINDS = {
    **{letter: words.partition(" ")[2] for letter, words in NEEDS_NGSPICE.items()},
    "r": "resistor",
    "c": "capacitor",
    "l": "inductor",
    "k": "coupled inductor",
    "v": "voltage source",
    "i": "current source",
    "b": "behavioural source",
    "x": "subcircuit",
    **dict.fromkeys("efgh", "controlled source"),
}

_NODES = {**dict.fromkeys("rclvibdfhsw", 2), **dict.fromkeys("eg", 4), "q": 3, "j": 3, "m": 4, "z": 3}
"""Nodes that stand behind a name, by its letter: of switches and sources those that they join, at least."""


@dataclass(frozen=True, eq=False)
class NonlinearDeck(Shown):
    """A netlist that only ngspice runs.

    Attributes
    ----------
    path, files, title, probes, probed_by, text, choices:
        As of `spu.ReadNetlist`.
    why:
        Its first part that is not linear and lumped, with its place.
    parts:
        Kinds of elements, as they stand in the text, and how many there are of each.
    hash:
        Of the text and the choices.
    directory:
        The folder that it was imported to; None of one that lies elsewhere.
    """

    path: Path
    files: tuple[Path, ...]
    title: str
    probes: tuple[Probe, ...]
    probed_by: str
    why: str
    parts: dict[str, int]
    text: str
    choices: Choices
    hash: str
    directory: Path | None = None

    problem = None
    """Nothing says what it is to compute."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of what is read out."""
        return tuple(probe.name for probe in self.probes)


def read_nonlinear(
    path: str | Path,
    why: NonlinearNetlist,
    *,
    probes: Sequence[str] = (),
    max_instances: int = MAX_INSTANCES,
    include_outside: bool = False,
    ignore_control: bool = False,
) -> NonlinearDeck:
    """Read what is read out of a netlist that only ngspice runs, and what it is made of.

    Raises
    ------
    InputError, DeckError
        As `spu.read_netlist`.
    """
    path = Path(path)
    source = read_source(
        path, include_outside=include_outside, ignore_control=ignore_control, max_bytes=bytes_for(max_instances)
    )
    inside = {node_name(word.rpartition("=")[2].partition(",")[0].lower()) for word in probes}
    inside |= {node_name(word.partition(",")[2].lower()) for word in probes if "," in word}
    nodes = [*_nodes(source), *(node for node in sorted(inside) if "." in node)]  # the simulator knows them
    chosen = choose_probes(source, nodes, probes, str(path))
    text = self_contained(source, path)
    choices = Choices(tuple(probes), (), {}, max_instances, include_outside, ignore_control)
    said = json.dumps([choices.probes])
    return NonlinearDeck(
        path=path,
        files=tuple(source.files),
        title=source.title.strip(),
        probes=chosen.probes,
        probed_by=chosen.why,
        why=str(why),
        parts=_parts(source),
        text=text,
        choices=choices,
        hash=hashlib.sha256(f"{said}\n{text}".encode()).hexdigest()[:12],
    )


def _top(source: Source) -> list[Line]:
    """Elements outside of subcircuits."""
    found, depth = [], 0
    for line in source.lines:
        first = line.words[0]
        depth += first == ".subckt"
        if depth == 0 and first[0].isalpha():
            found.append(line)
        depth -= first == ".ends"
    return found


def _nodes(source: Source) -> list[str]:
    """Nodes that stand at top level."""
    nodes: dict[str, None] = {}
    for line in _top(source):
        words = line.text.lower().replace("(", " ").replace(")", " ").replace(",", " ").split()[1:]
        count = _NODES.get(line.words[0][0], 0)
        if line.words[0][0] == "x":
            plain = next((k for k, word in enumerate(words) if "=" in word or word == "params:"), len(words))
            count = plain - 1
        nodes |= dict.fromkeys(node_name(word) for word in words[: max(count, 0)])
    nodes.pop("0", None)
    return list(nodes)


def _parts(source: Source) -> dict[str, int]:
    letters = [line.words[0][0] for line in source.lines if line.words[0][0].isalpha()]
    return dict(Counter(_KINDS.get(letter, "other part") for letter in letters).most_common())
