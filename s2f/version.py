"""The version of s2f; `pyproject.toml` reads it here."""

__version__ = "0.1.0"
