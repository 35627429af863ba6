"""Readers of the formats in which weights were published; none runs anything that a file says."""
