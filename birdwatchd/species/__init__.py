"""Name birds: network, batching, fusion of moments into a verdict, taxonomy."""
