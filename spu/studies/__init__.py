"""Many devices, or many runs of one: budgets of error, activation curves, margins of stability."""
