"""Decide who may see the page: what stands in front of its routes and of its connections."""
