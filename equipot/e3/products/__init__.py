"""Tensor products of irreps, linear maps between them, and bases reduced to irreps."""
