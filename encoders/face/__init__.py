"""Face networks, one a file; base.py is their interface, landmarks.py a network beside them."""
