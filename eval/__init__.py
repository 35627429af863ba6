"""Metrics as pure functions on arrays, and the `s2f-eval` command."""
