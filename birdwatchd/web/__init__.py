"""Serve the page: see your birds, put a name right, know that the station works.

A process of its own (`child.py`), or the command `birdwatchd web`. It reads the database of a home through a connection
that cannot write, and notices by itself when something new is in it. Reviews go through the code of the command
`review`. It knows no camera and no network: neither torch nor libav nor OpenCV is loaded.
"""
