"""Architectures, one file each: from a graph to one interaction energy per atom."""
