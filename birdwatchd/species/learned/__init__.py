"""Learn from reviewed visits, and recognise what is unlike the birds of its name."""
