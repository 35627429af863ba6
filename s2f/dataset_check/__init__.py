"""`s2f data check`: is a dataset folder complete, is it honest."""
