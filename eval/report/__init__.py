"""The HTML report of a reconstructions folder."""
