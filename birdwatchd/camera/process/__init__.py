"""Decode in child processes: `supervisor` in the main process, `worker` in a camera's, and the `wire` between them."""
