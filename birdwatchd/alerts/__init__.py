"""Tell others: MQTT topics and payloads, the outbox's publisher."""
