"""Voice to face: the pipeline, the losses of Speech2Face and its decoder, and what the voice leaves open."""
