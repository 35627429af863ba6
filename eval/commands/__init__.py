"""The commands of `s2f-eval`, a module each with `add_arguments` and `run`."""
