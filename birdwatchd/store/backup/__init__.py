"""Copy a home where a broken disk or a failed upgrade does not reach it, and bring it back from there."""
