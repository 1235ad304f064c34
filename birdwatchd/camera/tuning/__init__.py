"""Draw what a camera's motion detection sees, as a sheet or a video."""
