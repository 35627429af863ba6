"""One simulated person: voice and face from a seed and a number."""
