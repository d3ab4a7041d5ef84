"""What is sampled: runs, their kernels and their noise."""
