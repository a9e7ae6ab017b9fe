"""Our own definitions of the field's networks; `catalogue` has them all."""
