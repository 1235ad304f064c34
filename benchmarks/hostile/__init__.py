"""Watch cameras that attack their viewer, and say what that cost: memory, seconds, and what the log said."""
