"""Describe settings that need more than a number: cameras, the broker, alert rules, channels, hours of a day."""

from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.base import Settings
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.hours import Bound, Window
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["AlertSettings", "Bound", "CameraSettings", "ChannelSettings", "MqttSettings", "Settings", "Window"]
