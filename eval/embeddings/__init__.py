"""Voice and face embeddings of anybody's system: matching, verification, retrieval, comparison."""
