"""Voice to face feature to face: pipeline and losses of Speech2Face."""
