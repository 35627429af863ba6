"""Checkpoint folders: strict loading, hashes, provenance, model card, publishing."""
