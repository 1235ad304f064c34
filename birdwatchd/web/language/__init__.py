"""Say what the page says in the language of whoever looks at it."""
