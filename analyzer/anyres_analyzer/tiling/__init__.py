"""How an image may be cut so that tiles equal the whole."""
