"""Delete what is worth least when a home grows too large or too old: clips before pictures, pictures before visits."""
