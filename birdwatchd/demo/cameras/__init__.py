"""Simulate cameras: scenes, visits with their truth, and a server of real video."""
