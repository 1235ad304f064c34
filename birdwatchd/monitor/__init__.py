"""Show how the station is: what its numbers mean, the web addresses that give them, and how to read them again."""
