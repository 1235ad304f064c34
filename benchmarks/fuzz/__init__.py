"""Feed every parser of the main process inputs that nobody meant, and measure what it makes of them."""
