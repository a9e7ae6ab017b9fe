"""Our own definitions of the networks that we export, one a file."""
