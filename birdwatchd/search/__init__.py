"""Find visits that look alike by their embeddings."""
