"""Detect what moves in a picture and is no wind, rain, shadow or change of light: background model and false motion."""
