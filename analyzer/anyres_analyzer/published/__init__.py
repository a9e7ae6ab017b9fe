"""Published networks, rebuilt layer by layer, and the figures that their papers give for them."""
