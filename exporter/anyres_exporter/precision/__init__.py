"""Faster variants of a model, written only where they answer as fp32 does."""
