"""Names and layouts of published networks, one a file."""
