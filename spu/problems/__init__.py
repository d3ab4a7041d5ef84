"""What to compute: one file a kind of problem, and their files."""
