"""Structures as graphs on the host, without jax: neighbor lists, sizes, statistics, packing."""
