"""`s2f prepare`: from the datasets people have on disk to a dataset folder."""
