"""What becomes of visitors that are no birds: how many get a bird's name, and how many after three reviews."""
