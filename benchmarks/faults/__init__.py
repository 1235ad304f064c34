"""Break a running station in every way that a station breaks, and count what is lost.

Everything is real: the daemon with its camera processes, cameras over RTSP, the broker, SQLite on a file system. What
came is known from the drawn film and from when each camera began to play it; what was published, from a subscriber of
the broker; what was due to be published, from a trigger in the database.
"""
