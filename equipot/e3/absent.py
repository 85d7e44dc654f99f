"""Names that users of e3nn-jax or E3x may look for and that are not here, with what to use."""

_SIGNALS = "signals on the sphere and on SO(3) are not part of equipot"
_E3NN = {
    **dict.fromkeys(
        (
            "SO3Signal",
            "SphericalSignal",
            "betas_to_spherical_signal",
            "from_s2grid",
            "get_s2fft_grid_resolution",
            "legendre_transform_from_s2grid",
            "legendre_transform_to_s2grid",
            "m0_values_to_irrepsarray",
            "s2_dirac",
            "s2_irreps",
            "to_s2grid",
            "to_s2point",
        ),
        _SIGNALS,
    ),
    "config": "there is no global configuration: pass the normalisation to each call",
    "equinox": "layers are modules of flax, in equipot.e3.nn",
    "experimental": "messages are in equipot.e3.kernels, products with harmonics in "
    "tensor_product_with_spherical_harmonics",
    "flax": "layers are in equipot.e3.nn; BatchNorm has no counterpart, see RMSNorm there",
    "haiku": "layers are modules of flax, in equipot.e3.nn; BatchNorm and Dropout have no "
    "counterpart",
    "legacy": "FunctionalTensorProduct and Instruction are in equipot.e3 itself",
    "perm": "the permutations behind reduced_tensor_product_basis are not public",
    "radius_graph": "equipot.store.neighbors.neighbor_list makes lists, periodic ones too",
    "utils": "assert_equivariant and its relatives are in equipot.e3 itself",
}
_E3X = {
    "Config": "there is no global configuration: pass cartesian_order and others to each call",
    "delley_quadrature": "quadratures of the sphere are not part of equipot",
    "lebedev_quadrature": "quadratures of the sphere are not part of equipot",
    "matrix": "matrices of features are not part of equipot",
    "nn": "layers are in equipot.e3.dense itself",
    "ops": "these functions are in equipot.e3.dense itself",
    "so3": "these functions are in equipot.e3.dense itself",
}


def explain(module: str, name: str) -> AttributeError:
    """The error for a name that a module has not: what there is instead, where that is known."""
    reason = (_E3X if module.endswith("dense") else _E3NN).get(name)
    hint = f": {reason}; see docs/e3/coming_from.md" if reason else ""
    return AttributeError(f"module '{module}' has no attribute '{name}'{hint}", name=name)
