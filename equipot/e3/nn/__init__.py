"""Flax layers: on an ``IrrepsArray`` here, on one array per irrep in ``channels``."""

from equipot.e3.nn.fully_connected_tensor_product import (
    FullyConnectedTensorProduct as FullyConnectedTensorProduct,
)
from equipot.e3.nn.linear import Linear as Linear
from equipot.e3.nn.multi_layer_perceptron import MultiLayerPerceptron as MultiLayerPerceptron
from equipot.e3.nn.rms_norm import RMSNorm as RMSNorm
from equipot.e3.nn.symmetric_tensor_product import SymmetricTensorProduct as SymmetricTensorProduct
