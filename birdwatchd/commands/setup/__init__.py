"""Begin: write a first configuration, and choose a model."""
