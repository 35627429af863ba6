"""Against the known truth of simulated people."""
