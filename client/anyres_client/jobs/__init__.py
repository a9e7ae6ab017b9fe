"""Batch jobs: many images, whole results only, nothing twice, nothing lost."""
