"""The fast inside: operations on one array per irrep, channels last."""
