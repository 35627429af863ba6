"""Weights in and out: published files read safely, checkpoint folders verified, described, exported and published."""
