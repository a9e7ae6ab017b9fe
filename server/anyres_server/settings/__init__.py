"""What a server can be told."""
