"""A device in formats of other trades: KiCad's schematics, a bill of materials."""
