"""Recordings measured and transformed."""
