"""Which lines of a control block are harmless to leave out.

Nothing of a control block is ever executed here. One that only analyses and prints, as that of our own netlists,
changes nothing about the circuit and is left out without a word. One that could do more (run programs, read or
write files, change the circuit) is something its author counts on or a reader must be warned of.
"""

from __future__ import annotations

import re

from spu.base.names import shorten
from spu.spice.names import SWITCH

_ANALYSES = ("ac", "dc", "disto", "noise", "op", "pz", "sens", "sp", "tf", "tran", "run", "stop", "resume", "reset")
_RESULTS = (
    *("plot", "iplot", "asciiplot", "print", "echo", "let", "unlet", "compose", "define", "undefine", "settype"),
    *("setscale", "setplot", "display", "show", "showmod", "listing", "linearize", "fourier", "fft", "psd", "spec"),
    *("cross", "diff", "meas", "measure", "save", "trace", "status", "delete", "destroy", "rusage", "version", "quit"),
)
_FLOW = ("if", "else", "elseif", "end", "while", "repeat", "foreach", "dowhile", "break", "continue", "goto", "label")
_HARMLESS = frozenset((*_ANALYSES, *_RESULTS, *_FLOW, "set", "unset", "setseed", "step", "exit", "bye", "help"))
"""Commands of ngspice that neither read nor write files, run programs, nor change the circuit."""

_CHANGING = frozenset(("alter", "altermod", "alterparam", "mc_source", "edit", "option", "options"))

OPTIONS = frozenset(
    ("temp", "tnom", "rshunt", "cshunt", "gshunt", "rseries", "scale", "scalm", "no_auto_gnd", "ngbehavior")
)
"""Options, and variables of ngspice's, by which the same lines are another circuit."""


def forbidden(raw: str) -> str | None:
    """Say why a line of a control block cannot be left out without a word; None where it can.

    Parameters
    ----------
    raw:
        The physical line.
    """
    text = raw.strip()
    if not text or text[0] in "*#+":
        return None
    word = re.split(r"[\s(;=]", text.lower(), maxsplit=1)[0]
    if re.fullmatch(rf"alterparam {SWITCH}=[01]", text.lower()):
        return None
    if "`" in text:
        return "a backquote runs a program"
    if re.search(r"\b(shell|system)\b", text.lower()):
        return "shell runs a program"
    if word in _CHANGING or (word in ("set", "unset") and OPTIONS & set(re.findall(r"\w+", text.lower()))):
        return f"{word} changes the circuit: the deck must say what it is"
    if word not in _HARMLESS:
        return f"{shorten(word)[1:-1]} is more than an analysis"
    if ">" in text and word in ("echo", "print", "display", "show", "listing", "status", "rusage"):
        return "> writes a file"
    return None
