"""Answer addresses: one module for each part of the page."""
