"""birdwatchd: know which birds visit your cameras. This package is the daemon and its command line."""

__version__ = "0.2.0.dev0"
