"""Physical constants, SI, the unit in which circuits carry noise, and the number of the ground node."""

BOLTZMANN = 1.380649e-23
"""k, J/K (exact, SI 2019). ngspice 39 uses CODATA 2014's value, 3.5e-7 smaller."""

ROOM_TEMPERATURE = 300.15
"""K: SPICE's 27 Celsius, and the default temperature of a device."""

CELSIUS = 273.15
"""K at 0 Celsius."""

UNIT_NOISE_DENSITY = 1e-9
"""V/sqrt(Hz), one-sided: every noise source of a circuit is an independent voltage of this
density on a node of its own (1 nV/sqrt(Hz), the unit analog designers think in);
transconductances route it into cells and couplers."""

GROUND = -1
"""Number of the ground node wherever nodes are numbered; it has no equation."""
