"""Measure how well birds are seen in video whose truth is known to the pixel, against other programs on the same video.

A case is a drawn scene with one kind of disturbance (wind, rain, shadows, key frames ...) and either no bird or birds
whose every box is known. It is encoded as cameras encode, given to each method as a file, and scored.
"""
