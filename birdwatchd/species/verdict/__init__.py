"""Fuse what the network said of a visit's crops into a verdict: place and season, calibration, ranks."""
