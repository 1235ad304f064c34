"""Make birdwatchd a service of systemd: its user, folders, secrets, units and the timer of the backup."""
