"""What is known exactly of a circuit's motion: covariances, modes, spectra, rest, time scales."""
