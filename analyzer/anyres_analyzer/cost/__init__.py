"""What a size costs, in multiply-adds and in bytes."""
