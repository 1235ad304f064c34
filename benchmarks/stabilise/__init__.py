"""Compare ways to find how far a camera has moved: the gate's own least squares, and those of OpenCV."""
