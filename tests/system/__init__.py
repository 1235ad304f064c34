"""Tests of the whole system as its users run it: real processes, a real RTSP server, a real broker."""
