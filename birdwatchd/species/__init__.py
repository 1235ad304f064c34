"""Identify species: the network, fusion of its outputs into verdicts, learning from reviews, taxonomy."""
