"""Equivariant features in one dense array, and the layers that act on them."""

from equipot.e3.dense.features import (
    add,
    change_max_degree_or_type,
    even_degree_mask,
    odd_degree_mask,
    reflect,
    rotate,
)
from equipot.e3.dense.layers import Dense, Embed

__all__ = [
    "Dense",
    "Embed",
    "add",
    "change_max_degree_or_type",
    "even_degree_mask",
    "odd_degree_mask",
    "reflect",
    "rotate",
]
