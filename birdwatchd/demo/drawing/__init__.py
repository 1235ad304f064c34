"""Draw the demo's birds, other animals and backdrops."""
