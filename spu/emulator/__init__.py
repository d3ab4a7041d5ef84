"""The emulator: exact statistics, exact steps, random numbers."""
