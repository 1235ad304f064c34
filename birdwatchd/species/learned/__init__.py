"""Learn from reviewed visits, and detect visits that are outliers of their species."""
