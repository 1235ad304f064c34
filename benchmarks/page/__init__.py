"""How fast the page answers with a million visits, and what it holds in memory."""
