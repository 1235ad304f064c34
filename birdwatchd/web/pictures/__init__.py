"""Make pictures of crops for the page, each once, and keep them on the disk within a bound."""
