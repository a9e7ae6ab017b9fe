"""Images in, network input out."""
