"""Simulated people: synthetic faces of known truth paired with real voices."""
