"""Networks only: signal to feature. Never imports `s2f` or `decoder`."""
