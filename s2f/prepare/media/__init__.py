"""One input file to one recording or face crop."""
