"""Find out what is wrong: send a test bird through the running daemon, and collect what a bug report needs."""
