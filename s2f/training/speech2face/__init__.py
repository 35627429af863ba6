"""train_s2f.py."""
