"""Fuse the logits of a visit's crops into a verdict: prior, calibration, rollup to higher ranks."""
