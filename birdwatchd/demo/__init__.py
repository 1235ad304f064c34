"""The demonstration: cartoon birds, a simulated feeder camera, and what happened there, known exactly."""
