"""The joint distribution of voice and face, and what an ideal observer can reach."""
