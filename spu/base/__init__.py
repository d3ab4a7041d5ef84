"""What every floor uses and what knows nothing of circuits: errors, names, files, arrays, numbers."""
