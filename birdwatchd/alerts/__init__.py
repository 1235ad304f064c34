"""Decide which visits trigger an alert: rules, sun and clock, names, and the engine that the store calls."""
