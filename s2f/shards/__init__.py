"""A dataset folder packed as WebDataset tars."""
