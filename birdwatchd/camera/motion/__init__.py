"""Detect motion that may be birds, with a background model and the suppression of false motion."""
