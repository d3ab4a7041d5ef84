"""What a device is compiled from, as a digest: exact on every processor, where the values computed of it are not."""

from __future__ import annotations

import json

from spu.base.digest import Digest
from spu.device.hardware import Hardware
from spu.device.wiring import Wiring
from spu.problems.problem import Problem

_APART = ("name", "description", "detail", "wiring")


def source_of(problem: Problem, hardware: Hardware, wiring: Wiring | None, *options: object) -> str:
    """Digest of the problem as it was posed, the hardware, its graph, the options and the version of the program.

    Name and description of the hardware make no difference; what is of its detail is in the device's hash itself.
    """
    from spu.base.version import __version__

    found = Digest()
    found.text(__version__, *map(repr, options))
    found.content(problem.posed())
    found.text(json.dumps({key: value for key, value in hardware.to_dict().items() if key not in _APART}))
    if wiring is not None:
        found.text(*wiring.names)
        found.numbers(wiring.edges.ravel())
    return found.hexdigest()
