"""Flax layers: on an ``IrrepsArray`` here, on one array per irrep in ``channels``."""

from equipot.e3.nn.linear import Linear as Linear
