"""Settings beyond the defaults of each model, under which it obeys every contract as well.

The first of a model is cheap to compile and changes much at once; it belongs to the default tests.
A new variant is one entry here.
"""

from collections.abc import Mapping
from typing import Any

_PAIR_CUTOFFS = ((3.0, 2.4, 2.7), (2.5, 2.8, 2.9), (2.6, 2.3, 3.0))  # Å, for H, C and O

VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "allegro": {
        "splines": {"radial_basis": "spline", "spline_span": 3, "pair_cutoffs": _PAIR_CUTOFFS},
        "pair_cutoffs": {"pair_cutoffs": _PAIR_CUTOFFS},
        "trained": {"trainable_bessel": True, "species_norm": True},
        "parity": {"parity": True},
    },
    "mace": {
        "density_agnesi": {
            "interaction": "density_residual",
            "first_interaction": "density",
            "radial_basis": "chebyshev",
            "distance_transform": "agnesi",
        },
        "soft": {"distance_transform": "soft", "interaction": "agnostic", "readout_width": 0},
        "gaussians": {"radial_basis": "gaussian", "gate": "tanh"},
        "shared": {"shared_matrices": 3},
        "heads": {"heads": ("first", "second")},
        "nonlinear": {
            "interaction": "nonlinear",
            "first_interaction": "nonlinear",
            "sent_channels": 3,
            "readout_biases": True,
        },
        "mixed": {"interaction": "nonlinear", "sent_channels": (2, 3)},
        "parity": {"parity": True},
    },
    "nequip": {
        "trained": {"trainable_bessel": True, "species_norm": True, "readout_widths": (6,)},
        "shared": {"shared_matrices": 3},
        "parity": {"parity": True},
        "norm": {"norm": "rms", "self_connection": "common"},
        "rotations": {"symmetry": "so3", "lmax": 1, "num_layers": 3},
        "xplor": {"xplor_start": 2.4, "solid_harmonics": True},
        "heads": {"heads": ("first", "second")},
    },
}
"""Changed settings, by model and name; ``heads`` are levels of theory, not the model's own."""
