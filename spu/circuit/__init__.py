"""Circuits: elements and their equations, subcircuits, stamps, the readout, variations of one element."""
