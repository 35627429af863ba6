"""Pictures and recordings as inputs of the evaluations of faces."""
