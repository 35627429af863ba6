"""Face encoders: `features(image)` and `logits(feature)`."""
