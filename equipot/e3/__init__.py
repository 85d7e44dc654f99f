"""Representations of O(3), and functions and layers that commute with rotations and inversion.

Modules that share their name with a function (``clebsch_gordan``, ``spherical_harmonics``,
``tensor_product``) are reached by ``from equipot.e3.products.tensor_product import …``.
"""

from equipot.e3 import absent, dense, moved, nn
from equipot.e3.arrays.irreps import Irrep, Irreps, MulIrrep
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.arrays.mapping import vmap
from equipot.e3.arrays.operations import (
    as_irreps_array,
    concatenate,
    cross,
    dot,
    from_chunks,
    mean,
    norm,
    normal,
    ones,
    ones_like,
    stack,
    sum,
    where,
    zeros,
    zeros_like,
)
from equipot.e3.checks.compiled import jit_code
from equipot.e3.checks.equivariance import (
    assert_equivariant,
    assert_normalized,
    assert_output_dtype_matches_input_dtype,
    equivariance_test,
)
from equipot.e3.functions.activations import (
    gate,
    norm_activation,
    normalize_function,
    scalar_activation,
    shifted_softplus,
    soft_normalization,
    soft_odd,
)
from equipot.e3.functions.radial import (
    bessel,
    poly_envelope,
    polynomial_cutoff,
    safe_norm,
    soft_envelope,
    soft_one_hot_linspace,
    sus,
)
from equipot.e3.functions.scatter import index_add, scatter_max, scatter_mean, scatter_sum
from equipot.e3.products.functional_linear import FunctionalLinear
from equipot.e3.products.functional_tensor_product import (
    FunctionalFullyConnectedTensorProduct,
    FunctionalTensorProduct,
)
from equipot.e3.products.gradient import grad
from equipot.e3.products.harmonic_product import tensor_product_with_spherical_harmonics
from equipot.e3.products.reduced import (
    reduced_antisymmetric_tensor_product_basis,
    reduced_symmetric_tensor_product_basis,
    reduced_tensor_product_basis,
)
from equipot.e3.products.tensor_product import (
    elementwise_tensor_product,
    tensor_product,
    tensor_square,
)
from equipot.e3.products.tensor_product_paths import Instruction
from equipot.e3.so3.clebsch_gordan import clebsch_gordan, su2_clebsch_gordan, su2_generators
from equipot.e3.so3.legendre import legendre
from equipot.e3.so3.rotation_forms import (
    angles_to_axis_angle,
    angles_to_log_coordinates,
    angles_to_quaternion,
    axis_angle_to_angles,
    axis_angle_to_log_coordinates,
    axis_angle_to_quaternion,
    compose_angles,
    compose_axis_angle,
    compose_log_coordinates,
    compose_quaternion,
    identity_angles,
    identity_log_coordinates,
    identity_quaternion,
    inverse_angles,
    inverse_log_coordinates,
    inverse_quaternion,
    log_coordinates_to_angles,
    log_coordinates_to_axis_angle,
    log_coordinates_to_quaternion,
    quaternion_to_angles,
    quaternion_to_axis_angle,
    rand_axis_angle,
    rand_log_coordinates,
    rotation_angle_from_angles,
    rotation_angle_from_axis_angle,
    rotation_angle_from_log_coordinates,
    rotation_angle_from_quaternion,
)
from equipot.e3.so3.rotations import (
    angles_to_matrix,
    angles_to_xyz,
    axis_angle_to_matrix,
    log_coordinates_to_matrix,
    matrix_to_angles,
    matrix_to_axis_angle,
    matrix_to_log_coordinates,
    matrix_to_quaternion,
    matrix_x,
    matrix_y,
    matrix_z,
    quaternion_to_log_coordinates,
    quaternion_to_matrix,
    rand_angles,
    rand_matrix,
    rand_quaternion,
    rotation_angle_from_matrix,
    xyz_to_angles,
)
from equipot.e3.so3.spherical_harmonics import sh, spherical_harmonics
from equipot.e3.so3.wigner import generators

# The names of earlier e3nn versions.
IrrepsData = IrrepsArray
full_tensor_product = tensor_product
moved.keep_old_paths()

__all__ = [
    "FunctionalFullyConnectedTensorProduct",
    "FunctionalLinear",
    "FunctionalTensorProduct",
    "Instruction",
    "Irrep",
    "Irreps",
    "IrrepsArray",
    "IrrepsData",
    "MulIrrep",
    "angles_to_axis_angle",
    "angles_to_log_coordinates",
    "angles_to_matrix",
    "angles_to_quaternion",
    "angles_to_xyz",
    "as_irreps_array",
    "assert_equivariant",
    "assert_normalized",
    "assert_output_dtype_matches_input_dtype",
    "axis_angle_to_angles",
    "axis_angle_to_log_coordinates",
    "axis_angle_to_matrix",
    "axis_angle_to_quaternion",
    "bessel",
    "clebsch_gordan",
    "compose_angles",
    "compose_axis_angle",
    "compose_log_coordinates",
    "compose_quaternion",
    "concatenate",
    "cross",
    "dense",
    "dot",
    "elementwise_tensor_product",
    "equivariance_test",
    "from_chunks",
    "full_tensor_product",
    "gate",
    "generators",
    "grad",
    "identity_angles",
    "identity_log_coordinates",
    "identity_quaternion",
    "index_add",
    "inverse_angles",
    "inverse_log_coordinates",
    "inverse_quaternion",
    "jit_code",
    "legendre",
    "log_coordinates_to_angles",
    "log_coordinates_to_axis_angle",
    "log_coordinates_to_matrix",
    "log_coordinates_to_quaternion",
    "matrix_to_angles",
    "matrix_to_axis_angle",
    "matrix_to_log_coordinates",
    "matrix_to_quaternion",
    "matrix_x",
    "matrix_y",
    "matrix_z",
    "mean",
    "nn",
    "norm",
    "norm_activation",
    "normal",
    "normalize_function",
    "ones",
    "ones_like",
    "poly_envelope",
    "polynomial_cutoff",
    "quaternion_to_angles",
    "quaternion_to_axis_angle",
    "quaternion_to_log_coordinates",
    "quaternion_to_matrix",
    "rand_angles",
    "rand_axis_angle",
    "rand_log_coordinates",
    "rand_matrix",
    "rand_quaternion",
    "reduced_antisymmetric_tensor_product_basis",
    "reduced_symmetric_tensor_product_basis",
    "reduced_tensor_product_basis",
    "rotation_angle_from_angles",
    "rotation_angle_from_axis_angle",
    "rotation_angle_from_log_coordinates",
    "rotation_angle_from_matrix",
    "rotation_angle_from_quaternion",
    "safe_norm",
    "scalar_activation",
    "scatter_max",
    "scatter_mean",
    "scatter_sum",
    "sh",
    "shifted_softplus",
    "soft_envelope",
    "soft_normalization",
    "soft_odd",
    "soft_one_hot_linspace",
    "spherical_harmonics",
    "stack",
    "su2_clebsch_gordan",
    "su2_generators",
    "sum",
    "sus",
    "tensor_product",
    "tensor_product_with_spherical_harmonics",
    "tensor_square",
    "vmap",
    "where",
    "xyz_to_angles",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str) -> object:
    """Says of names that other packages have what there is instead."""
    raise absent.explain(__name__, name)
