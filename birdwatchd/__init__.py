"""birdwatchd: know which birds visit your cameras. This package is the daemon and its command line."""

__version__ = "0.1.0"
