"""What the check adds to a netlist before ngspice runs it, and what was edited in it."""
