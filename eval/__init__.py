"""Every figure: metrics, evaluations, `s2f-eval`."""
