"""Converters of readouts in netlists of our own (`spu.spice.converters`), taken out before the rest is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spu.base.errors import InputError
from spu.circuit.acquisition import Acquisition
from spu.spice.names import SAMPLED, SAMPLED_KEYS
from spu.spice.reader.lines import Line

_NUMBER = r"([-+0-9.e]+)"
_READS = re.compile(
    rf"bcode_(\w+) code_\1 0 v={_NUMBER}\*\(min\(max\(floor\(v\(([^\s(),]+)\)/\2\),-{_NUMBER}\),{_NUMBER}\)\+0\.5\)"
)
_CLIPS = re.compile(rf"bcode_(\w+) code_\1 0 v=min\(max\(v\(([^\s(),]+)\),-{_NUMBER}\),\3\)")


def without_converters(lines: Sequence[Line]) -> tuple[list[Line], dict[str, Acquisition]]:
    """The lines of a netlist but for its converters, and what these are, by the node they read.

    A line that is not one of ours word for word stays. One whose node is used by another is none.
    """
    found: dict[str, Acquisition] = {}
    kept: list[Line] = []
    dropped: set[str] = set()
    for line in lines:
        text = " ".join(line.text.lower().split())
        reads, clips = _READS.fullmatch(text), _CLIPS.fullmatch(text)
        try:
            if reads is not None:
                step, half = float(reads[2]), float(reads[4])
                bits = int(half).bit_length()
                if half != 2.0 ** (bits - 1) or float(reads[5]) != half - 1.0:
                    raise InputError("no converter")
                found[reads[3]] = Acquisition(bits=bits, full_scale=step * half)
                dropped.add(f"code_{reads[1]}")
            elif clips is not None:
                found[clips[2]] = Acquisition(full_scale=float(clips[3]))
                dropped.add(f"code_{clips[1]}")
            else:
                kept.append(line)
        except (InputError, ValueError, OverflowError):
            raise line.refuse(
                "a converter has steps from -2^(bits - 1) to 2^(bits - 1) - 1, from 1 to 24 bits of them"
            ) from None
    for line in kept:
        if dropped & set(re.findall(r"[\w.]+", line.text.lower())):
            raise line.refuse("nothing may hang on what a converter reads: it is no voltage of the circuit")
    return kept, found


def acquisition_read(comments: Sequence[str], read: dict[str, Acquisition], nodes: Sequence[str]) -> Acquisition | None:
    """What converters at ``nodes``, and the header, say of an acquisition; None where nothing does.

    Raises
    ------
    InputError
        If converters are not all alike, or not one for each node.
    """
    if read and (set(read) != {node.lower() for node in nodes} or len(set(read.values())) > 1):
        raise InputError(
            "converters (bcode_NAME) are one for each voltage that is read, and all alike: edit them together, or take "
            "all of them out"
        )
    found = next(iter(read.values()), Acquisition())
    for comment in comments:
        if SAMPLED in comment:
            said = dict(re.findall(rf"(\w+)={_NUMBER}", comment.partition(SAMPLED)[2]))
            try:
                given: dict[str, Any] = {key: float(said[key]) for key in SAMPLED_KEYS if key in said}
                found = replace(found, **given)
            except ValueError:
                raise InputError(f'the header\'s line "{SAMPLED} ..." holds a number that is none') from None
            break
    return found or None
