"""How stable the face of a voice is over segments, clips and lengths."""
