"""A head as geometry and paint, from MakeHuman."""
