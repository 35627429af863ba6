"""Correlations of face measures between two folders of pictures."""
