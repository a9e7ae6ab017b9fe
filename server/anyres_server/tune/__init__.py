"""Which provider, threads and batch are fastest on this machine, measured."""
