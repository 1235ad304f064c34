"""Programs that make what the project ships: the reference pages, the demo's model."""
