"""What an adaptor finds in a dataset's copy, and the tables that datasets are published with."""
