"""Network output in, what was asked for out."""
