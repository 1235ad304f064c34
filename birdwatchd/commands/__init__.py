"""Run what a person types: one module per command, and what they print."""
