"""From a matrix to its answer: what a device says, how sure that is, and how long it takes."""
