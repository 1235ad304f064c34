"""Commands that look after a home: back it up, mend it, limit it, put right what a wrong clock has stamped."""
