"""Operators of newer opsets in the words of older ones."""
