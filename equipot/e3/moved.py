"""Where modules of earlier versions stand now: for this version their old paths lead there too."""

import importlib
import sys

ROOMS = {
    "arrays": ("irreps", "irreps_array", "mapping", "notation", "operations", "slicing"),
    "so3": (
        "clebsch_gordan",
        "legendre",
        "rotation_forms",
        "rotations",
        "spherical_harmonics",
        "wigner",
    ),
    "products": (
        "functional_linear",
        "functional_tensor_product",
        "gradient",
        "harmonic_product",
        "path_weights",
        "reduced",
        "tensor_product",
        "tensor_product_paths",
    ),
    "functions": ("activations", "radial", "radial_transforms", "scatter"),
    "checks": ("compiled", "equivariance"),
}


def keep_old_paths() -> None:
    """Lets ``equipot.e3.irreps`` and the like be imported as ``equipot.e3.arrays.irreps``."""
    package = __name__.rpartition(".")[0]
    for room, names in ROOMS.items():
        for name in names:
            module = importlib.import_module(f"{package}.{room}.{name}")
            sys.modules.setdefault(f"{package}.{name}", module)
            vars(sys.modules[package]).setdefault(name, module)
