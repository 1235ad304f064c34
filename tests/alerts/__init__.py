"""Tests of telling: topics, payloads, the publisher, Home Assistant, commands."""
