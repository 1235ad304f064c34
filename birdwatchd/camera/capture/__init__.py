"""Read cameras and recordings: packets, decoded frames with their time, and what is kept of the video."""
