"""Follow what moves from frame to frame as tracks: while birds overlap, and while a bird sits still."""
