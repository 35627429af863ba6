"""Published trial lists: read, resolved to files, scored."""
