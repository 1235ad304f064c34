"""Describe settings that need more than a number: what all have in common, alert rules, channels, hours of a day."""

from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.base import Settings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.hours import Bound, Window

__all__ = ["AlertSettings", "Bound", "ChannelSettings", "Settings", "Window"]
