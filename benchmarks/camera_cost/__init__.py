"""Measure what seeing costs, in processor time and memory, against bare decoding and another program on the same video.

What is measured is the camera process that the daemon starts, over the pipe that it writes to. The video is drawn here
and encoded as cameras encode. Processor time (user and system, of the process and its children) is the measure, not
the clock on the wall, so that a busy machine changes little.
"""
