"""Measure how many visits of unknown objects get a bird's name in the demo, also after three reviews."""
