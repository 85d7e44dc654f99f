"""Constants of a model of mace-torch, which are no weights: what they were before rounding.

A model of float32 holds its cutoff, the frequencies of its basis and its couplings rounded to seven
digits. Its weights are what it learnt; these are not, and equipot's model has them exactly.
"""

from typing import Any

import numpy as np

from equipot.convert import mace_layers as layers
from equipot.convert import torch_modules
from equipot.e3.kernels.couplings import Power

_DECIMALS = "r_max", "covalent_radii", "a", "q", "p", "alpha", "c", "a_exp", "a_prefactor"
_ROUNDED = 1e-6


def constant(tensor: Any) -> np.ndarray:
    """A tensor of constants that were written as decimals, in float64.

    Those in float32 become the shortest decimals that round to them.
    """
    values = tensor.detach().cpu().numpy()
    if values.dtype != np.float32:
        return torch_modules.array(tensor)
    return np.array([float(str(x)) for x in values.reshape(-1)]).reshape(values.shape)


def exact_buffers(module: Any) -> dict[str, np.ndarray]:
    """Exact values of the constants that a float32 model holds rounded, by name of the buffer.

    Args:
      module: A ``MACE`` or ``ScaleShiftMACE``; another module has none.
    """
    if torch_modules.class_name(module) not in ("MACE", "ScaleShiftMACE"):
        return {}
    cutoff = float(constant(module.r_max))
    found = {}
    for name, buffer in module.named_buffers():
        leaf = name.rpartition(".")[2]
        if str(buffer.dtype) != "torch.float32":
            continue
        if leaf in _DECIMALS:
            found[name] = constant(buffer)
        elif (exact := _by_formula(leaf, torch_modules.array(buffer), cutoff)) is not None:
            found[name] = exact
    return found | _exact_couplings(module)


def _by_formula(leaf: str, values: np.ndarray, cutoff: float) -> np.ndarray | None:
    """What a constant was before rounding, or None for one that is not what its formula says."""
    if leaf == "bessel_weights":
        exact = np.pi / cutoff * np.arange(1.0, values.size + 1.0)
    elif leaf == "prefactor":
        exact = np.array((2.0 / cutoff) ** 0.5)
    elif leaf == "gaussian_weights":
        exact = np.linspace(0.0, cutoff, values.size)
    else:
        return None
    exact = exact.reshape(values.shape)
    return exact if np.allclose(values, exact, rtol=_ROUNDED, atol=0.0) else None


def _exact_couplings(module: Any) -> dict[str, np.ndarray]:
    found = {}
    for i, product in enumerate(module.products):
        contractions = product.symmetric_contractions
        irreps = [irrep for _, irrep in layers.irreps_of(contractions.irreps_in)]
        for j, (_, out) in enumerate(layers.irreps_of(contractions.irreps_out)):
            contraction = contractions.contractions[j]
            for order in range(1, int(contraction.correlation) + 1):
                leaf = f"U_matrix_{order}"
                buffer = getattr(contraction, leaf)
                name = f"products.{i}.symmetric_contractions.contractions.{j}.{leaf}"
                if str(buffer.dtype) == "torch.float32":
                    found[name] = layers.exact_table(buffer, irreps, Power(order, out), name)
    return found
