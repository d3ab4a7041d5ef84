"""What the package is called where it is installed from, and its version, where every floor can read them."""

__version__ = "0.1.0"

DISTRIBUTION = "spu-emulator"
"""As pip knows it: ``spu``, as it is imported and run, is the name of somebody else's distribution."""


def installation(*extras: str) -> str:
    """The command that installs it with these options, for messages."""
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'"
