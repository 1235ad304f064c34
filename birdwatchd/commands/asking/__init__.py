"""Ask a person about one visit after the other."""
