"""Write the video of a visit as MP4, as the camera sent it."""
