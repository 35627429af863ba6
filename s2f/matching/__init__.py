"""Matching voices with faces: networks, losses, identity weights, trials."""
