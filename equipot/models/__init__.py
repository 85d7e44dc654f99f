"""Architectures, one module each: from a graph to one interaction energy per atom."""
