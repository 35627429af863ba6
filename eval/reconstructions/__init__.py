"""The reconstructions folder: written, read, and measured by features and by the decoder."""
