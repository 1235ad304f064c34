"""Decode in child processes: supervisors in the main process, children, and the wire between them."""
