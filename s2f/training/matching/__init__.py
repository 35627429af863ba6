"""train_matching.py."""
