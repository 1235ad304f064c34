"""Run one process per camera: its supervisor in the main process, the worker in it, and the wire between them."""
