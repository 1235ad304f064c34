"""Read what pages show: lists of visits a page at a time, species, days, and what changed since the last look."""
