"""SPICE: the circuit as a netlist, and ngspice as the way to run one."""
