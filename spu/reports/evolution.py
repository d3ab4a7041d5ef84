"""Evolution as plain text."""

from __future__ import annotations

from spu.base.layout import table
from spu.base.numbers import in_words, plural
from spu.studies.learning.evolve import FINER, Evolution

_MACHINES = (1, 10, 100, 1000)


def evolution_text(found: Evolution) -> str:
    """The champion's error, how evolution went, the notch, and what larger ones would take."""
    settings, notch, plateau = found.settings, found.notch, found.target.plateau
    layers = " x ".join(str(width) for width in settings.layers)
    escaped = f"escaped in generation {found.escaped}" if found.escaped is not None else "not escaped"
    if found.reached is not None:
        escaped += "; ended as the error was small enough" if found.reached else "; ended with the generations"
    rows = [
        ["champion, fresh noise", f"{found.error:.5f}", f"{found.bar:.5f}", f"{settings.step / FINER:g}"],
        ["the same at the step of evolution", f"{found.coarse:.5f}", f"{found.coarse_bar:.5f}", f"{settings.step:g}"],
        ["the same without noise (kT = 0)", f"{found.cold:.5f}", "-", f"{settings.step / FINER:g}"],
        ["plateau (y = 0)", f"{plateau:.5f}", "-", "-"],
    ]
    lines = [
        f"{found.target.name} by {layers} units, read at t = {settings.duration:g}, kT = {1 / settings.beta:g}",
        f"{plural(found.generations, 'generation')} of {settings.population}: {escaped} ({found.workers})",
        "",
        table(["error", "value", "standard error", "step"], rows),
        "",
        f"notch: lowest at t = {notch.lowest:g}; 20 % earlier or later {notch.depth(0.2):.3g} times the error at "
        f"t = {notch.duration:g}, 50 % {notch.depth(0.5):.3g} times (the smaller side)",
    ]
    if found.rate is None:
        return "\n".join([*lines, "", "nothing was left to do: no speed was measured"])
    rows = [
        [
            str(each["what"]),
            f"{each['neuron_steps']:.2g}",
            *(in_words(each["seconds"] / machines) for machines in _MACHINES),
        ]
        for each in found.scaling
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"{found.rate:.3g} neuron-steps a second here; machines such as this would take",
            table(["", "neuron-steps", *(plural(machines, "machine") for machines in _MACHINES)], rows),
            "neuron-steps = runs x units x steps; time = neuron-steps / (neuron-steps a second x machines)",
        ]
    )
