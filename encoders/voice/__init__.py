"""Voice encoders and their front ends."""
