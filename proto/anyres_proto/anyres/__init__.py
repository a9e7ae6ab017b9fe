"""The generated stubs of our own protocol, by package path."""
