"""Compiled loops: their C sources, the library made of them, and the one door through which Python calls them."""
