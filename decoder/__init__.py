"""Networks only: feature to image. Never imports `s2f` or `encoders`."""
