"""Training clips that several tasks share."""
