"""Asks an anyres server: library, command line, batch jobs."""
