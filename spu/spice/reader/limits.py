"""How much of a netlist is read before it is refused: a deck from outside must end."""

from __future__ import annotations

from dataclasses import dataclass

from spu.base.errors import DeckError

MAX_INSTANCES = 100_000
"""Expansions of subcircuits, unless an option says otherwise."""

MAX_BYTES = 16 * 2**20
"""Of the deck and its includes together, for so many instances; the limits grow together."""

MAX_PARAMETERS = 20_000
"""Of all subcircuits together."""

MAX_INCLUDES = 16
"""Includes within includes."""

MAX_FILES = 500
"""Includes in all: a file that is included twice counts twice."""

MAX_DEPTH = 50
"""Subcircuits within subcircuits, parentheses within parentheses, functions within functions."""

MAX_EXPRESSION = 10_000
"""Characters of one expression."""

MAX_OPERATIONS = 20_000
"""Of working out one expression, with the functions it calls."""

MAX_STATEMENT = 200_000
"""Characters of one logical line."""

_STEPS_PER_INSTANCE = 30
"""Elements read and operations worked out, on average over the instances allowed."""


@dataclass
class Budget:
    """What is left of the work that a deck may cost.

    Attributes
    ----------
    instances:
        Expansions of subcircuits still allowed.
    steps:
        Elements and operations still allowed.
    """

    instances: int = MAX_INSTANCES
    steps: int = MAX_INSTANCES * _STEPS_PER_INSTANCE

    @classmethod
    def of(cls, instances: int) -> Budget:
        """The budget of a deck with at most so many instances."""
        return cls(instances, max(instances, 10_000) * _STEPS_PER_INSTANCE)

    def expand(self, most: int, file: str, line: int) -> None:
        """Count one expansion of a subcircuit.

        Raises
        ------
        DeckError
            Naming the option that raises the limit.
        """
        self.instances -= 1
        if self.instances < 0:
            raise DeckError(
                f"makes more than {most} instances of subcircuits; spu import --max-instances N allows more",
                file=file,
                line=line,
            )

    def spend(self, file: str, line: int) -> None:
        """Count one operation.

        Raises
        ------
        DeckError
            Once there have been too many.
        """
        self.steps -= 1
        if self.steps < 0:
            raise DeckError(
                "takes too long to work out; spu import --max-instances N allows more work", file=file, line=line
            )


def bytes_for(instances: int) -> int:
    """Most bytes of a deck with at most so many instances."""
    return max(MAX_BYTES, MAX_BYTES // MAX_INSTANCES * instances)
