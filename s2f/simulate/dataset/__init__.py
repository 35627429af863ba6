"""The dataset folder of simulated people: written, described, read again."""
