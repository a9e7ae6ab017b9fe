"""Which way a size goes through a network, by what it costs: whole, in exact tiles, or not."""
