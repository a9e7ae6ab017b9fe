"""Which sizes a graph takes, and who decides."""
