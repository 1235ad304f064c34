"""Follow what moves from frame to frame as tracks, also while birds overlap."""
