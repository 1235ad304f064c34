"""Compare rules that make one name of a visit's moments, on recorded clips of real birds."""
