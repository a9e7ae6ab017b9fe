"""The model card: composed from an analysis, stamped into a file, shown."""
