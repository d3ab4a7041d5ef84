"""Ways to run a netlist, one file a simulator."""
