"""Publish over MQTT: connection, topics, payloads, retained topics, commands and Home Assistant's discovery."""
