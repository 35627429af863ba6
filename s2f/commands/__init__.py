"""The commands of `s2f`, one module each with `add_arguments` and `run`; imported when called."""
