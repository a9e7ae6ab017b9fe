"""The commands that this part brings, one a file."""
