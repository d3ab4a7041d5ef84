"""Physical constants, SI, and the unit in which netlists carry noise."""

BOLTZMANN = 1.380649e-23
"""k, J/K (exact, SI 2019). ngspice 39 uses CODATA 2014's value, 3.5e-7 smaller."""

ROOM_TEMPERATURE = 300.15
"""K: SPICE's 27 Celsius, and the default temperature of a device."""

UNIT_NOISE_DENSITY = 1e-9
"""V/sqrt(Hz), one-sided: every noise source of a circuit is an independent voltage of this
density on a node of its own (1 nV/sqrt(Hz), the unit analog designers think in);
transconductances route it into cells and couplers."""
