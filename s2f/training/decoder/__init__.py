"""train_decoder.py."""
