"""s2f: hear a voice, see a face, and measure honestly how far that goes."""

__version__ = "0.1.0"
