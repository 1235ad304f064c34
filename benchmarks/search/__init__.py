"""How long it takes to find what looks alike among a million embeddings, and whether the answers are right."""
