"""What holds for every call, whatever its service: errors to codes, who may call, how often."""
