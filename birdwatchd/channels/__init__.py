"""Send alerts to people through channels other than MQTT: Apprise and webhooks."""
