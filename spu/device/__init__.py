"""The programmed SPU: quantities, banks, imperfections, wiring, hardware, its file, its circuit."""
