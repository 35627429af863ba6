"""Synthetic people of known truth: rendered faces, and voices made from real recordings."""
