"""Fixtures of the tests that talk to a real broker."""

from tests.support.mqtt import wait_until, world

__all__ = ["wait_until", "world"]
