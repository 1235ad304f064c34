"""Send alerts to people: Apprise and webhooks."""
