"""Speak MQTT: connection, topics, payloads, retained state, commands and Home Assistant's discovery."""
