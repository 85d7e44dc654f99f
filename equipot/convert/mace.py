"""Models of mace-torch: MACE and ScaleShiftMACE, one of their heads.

    E_i = E0[s, head] + scale[head] (readouts of all layers + repulsion)_i + shift[head]

Nothing is anchored: an atom without neighbors keeps the energy that the model gives it. Whatever
is not recognised is refused. ``mace_config`` reads the settings, ``mace_layers`` the layers.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.convert import mace_config, mace_nonlinear, torch_modules
from equipot.convert import mace_layers as layers
from equipot.convert.mace_constants import constant
from equipot.convert.mace_layers import SCALAR
from equipot.e3.arrays.irreps import Irrep
from equipot.models import registry
from equipot.models.context import ModelContext
from equipot.models.mace.config import NONLINEAR, Config
from equipot.potential.potential import Potential, PotentialSpec
from equipot.potential.repulsion import ZBL
from equipot.typing import PyTree

_PARTS = (
    "node_embedding",
    "radial_embedding",
    "spherical_harmonics",
    "atomic_energies_fn",
    "interactions",
    "products",
    "readouts",
    "scale_shift",
    "pair_repulsion_fn",
)
_ZBL_DECAYS = (3.2, 0.9423, 0.4028, 0.2016)
_ZBL_COULOMB, _ZBL_BOHR = 14.3996, 0.529


def convert(module: Any, head: str | None = None) -> Potential:
    """Reads a model of mace-torch: a potential in float64 with the same energies.

    Args:
      module: A ``MACE`` or ``ScaleShiftMACE``.
      head: Which of its heads; needed where there are several.

    Raises:
      ConversionError: If it holds anything that cannot be read exactly.
      ConfigError: If there is no such head, or several and none is named.
    """
    layers.expect(module, ("MACE", "ScaleShiftMACE"), "mace", "model")
    _check_parts(module)
    index = mace_config.head_index(module, head)
    numbers = [int(z) for z in module.atomic_numbers]
    species, table = np.argsort(numbers), tuple(sorted(numbers))
    config = mace_config.read_config(module)
    scale, shift = _read_scale_shift(module, index)
    spec = PotentialSpec(
        model_name="mace",
        model_config=config,
        species_table=table,
        atomic_energies=tuple(_read_energies(module, index)[species].tolist()),
        avg_num_neighbors=mace_config.read_average(module),
        dtype="float64",
        anchor_isolated=False,
        repulsion=_read_repulsion(module, table, config.cutoff, scale),
    )
    template = _template(spec)
    found = _read_model(module, config, template, species, index)
    params = {
        "model": _arranged(found, template, ()),
        "scale": np.full(len(numbers), scale),
        "shift": np.full(len(numbers), shift),
    }
    return Potential(spec=spec, params=params)


def _check_parts(module: Any) -> None:
    unknown = set(torch_modules.children(module)) - set(_PARTS)
    if unknown:
        raise errors.ConversionError(
            f"expected a MACE of {', '.join(_PARTS)}; found also {', '.join(sorted(unknown))}, "
            "which equipot cannot read"
        )


def _read_energies(module: Any, index: int) -> np.ndarray:
    """Reference energies of a head, one for each species of the file."""
    layers.expect(module.atomic_energies_fn, "AtomicEnergiesBlock", "mace", "atomic_energies_fn")
    return np.atleast_2d(torch_modules.array(module.atomic_energies_fn.atomic_energies))[index]


def _read_scale_shift(module: Any, index: int) -> tuple[float, float]:
    if "scale_shift" not in torch_modules.children(module):
        return 1.0, 0.0
    block = module.scale_shift
    layers.expect(block, "ScaleShiftBlock", "mace", "scale_shift")
    scale, shift = (np.atleast_1d(torch_modules.array(x)) for x in (block.scale, block.shift))
    return float(scale[index]), float(shift[index])


def _read_repulsion(
    module: Any, species_table: Sequence[int], cutoff: float, scale: float
) -> ZBL | None:
    if "pair_repulsion_fn" not in torch_modules.children(module):
        return None
    zbl = module.pair_repulsion_fn
    layers.expect(zbl, "ZBLBasis", "mace", "pair_repulsion_fn")
    radii = constant(zbl.covalent_radii)[list(species_table)]
    if 2.0 * radii.max() > cutoff:
        raise errors.ConversionError(
            f"pair_repulsion_fn: atoms repel to {2.0 * radii.max():.2f} Å, the sum of their "
            f"covalent radii, beyond the cutoff {cutoff:g} Å, where the energy would jump"
        )
    return ZBL(
        covalent_radii=tuple(radii.tolist()),
        polynomial_cutoff=int(zbl.p),
        coulomb=_ZBL_COULOMB,
        length=float(constant(zbl.a_prefactor)) * _ZBL_BOHR,
        exponent=float(constant(zbl.a_exp)),
        coefficients=tuple(constant(zbl.c).tolist()),
        decays=_ZBL_DECAYS,
        factor=scale,
    )


def _read_model(
    module: Any, config: Config, template: PyTree, species: np.ndarray, index: int
) -> dict[str, Any]:
    """All parameters by name; also of irreps that are zero in theirs and absent in ours."""
    embedding = layers.read_linear(module.node_embedding.linear, "node_embedding.linear")
    params: dict[str, Any] = {"embedding": embedding[SCALAR][species]}
    for i, (block, product) in enumerate(zip(module.interactions, module.products, strict=True)):
        kind = config.interaction if i else config.first_interaction
        place = f"interactions.{i}"
        if kind == NONLINEAR:
            params[f"interaction_{i}"] = mace_nonlinear.read_interaction(block, species, place)
        else:
            params[f"interaction_{i}"] = _read_interaction(block, kind, species, place)
        place = f"products.{i}"
        layers.expect(product, "EquivariantProductBasisBlock", "mace", place)
        if (kind.endswith("residual") or kind == NONLINEAR) and not product.use_sc:
            raise errors.ConversionError(f"{place}: a skip connection left out cannot be read")
        summed = {_out(name) for name in template[f"interaction_{i}"]["linear"]}
        weights = layers.read_contraction(
            product.symmetric_contractions, sorted(summed), config.orders[i], species, place
        )
        linear = layers.read_linear(product.linear, f"{place}.linear")
        params[f"product_{i}"] = weights | {"linear": layers.linear_params(linear)}
    return params | _read_readouts(module, config, index)


def _read_interaction(block: Any, kind: str, species: np.ndarray, place: str) -> dict[str, Any]:
    up = layers.read_linear(block.linear_up, f"{place}.linear_up")
    matrices = layers.read_network(block.conv_tp_weights, f"{place}.conv_tp_weights")
    *hidden, last = [matrix * len(matrix) ** 0.5 for matrix in matrices]
    radial = {f"hidden_{i}": matrix for i, matrix in enumerate(hidden)}
    paths = layers.read_couplings(block.conv_tp, f"{place}.conv_tp")
    entries, start = {}, 0
    for path, entry, width, ratio in paths:
        name = entries[entry] = "_".join(map(str, path))
        radial[name] = ratio * last[:, start : start + width]
        start += width
    layers.expect(block.linear, "Linear", "e3nn", f"{place}.linear")
    down = {entries[i]: block for i, _, block in torch_modules.linear_blocks(block.linear)}
    name = "skip" if kind.endswith("residual") else "mixing"
    params = {
        "linear_up": layers.linear_params(up),
        "radial": radial,
        "linear": down,
        name: layers.read_species_linear(block.skip_tp, species, f"{place}.skip_tp"),
    }
    if kind.startswith("density"):
        (matrix,) = layers.read_network(block.density_fn, f"{place}.density_fn")
        params["density"] = matrix[:, 0] * len(matrix) ** 0.5
    return params


def _read_readouts(module: Any, config: Config, index: int) -> dict[str, Any]:
    """Readouts of all layers; a model that reads the last alone has zeros for the others."""
    readouts, count = list(module.readouts), config.num_layers
    params: dict[str, Any] = {}
    for i in range(count - len(readouts)):
        params[f"readout_{i}"] = {str(SCALAR): np.zeros((config.num_channels, 1))}
    for i, readout in enumerate(readouts, count - len(readouts)):
        place = f"readouts.{i}"
        if torch_modules.class_name(readout) == "LinearReadoutBlock":
            matrix = layers.read_linear(readout.linear, place)[SCALAR][:, [index]]
            params[f"readout_{i}"] = layers.linear_params({SCALAR: matrix})
            continue
        units = config.readout_width * index + np.arange(config.readout_width)
        first = layers.read_linear(readout.linear_1, f"{place}.linear_1")[SCALAR][:, units]
        second = layers.read_linear(
            readout.linear_2, f"{place}.linear_2", biases=config.readout_biases
        )[SCALAR]
        gain = layers.relative_constant(readout.non_linearity.acts[0], config.gate, place)
        params[f"readout_{i}_hidden"] = layers.linear_params({SCALAR: first})
        second = gain * second[units][:, [index]]
        params[f"readout_{i}"] = layers.linear_params({SCALAR: second})
        if config.readout_biases:
            middle = layers.read_linear(readout.linear_mid, f"{place}.linear_mid", biases=True)
            matrix = gain * middle[SCALAR][np.ix_(units, units)]
            params[f"readout_{i}_middle"] = layers.linear_params({SCALAR: matrix})
            params[f"readout_{i}_middle_bias"] = torch_modules.linear_bias(readout.linear_mid)[
                units
            ]
            params[f"readout_{i}_bias"] = torch_modules.linear_bias(readout.linear_2)[[index]]
    return params


def _template(spec: PotentialSpec) -> PyTree:
    """The shapes of all parameters of our model."""
    context = ModelContext(
        species_table=spec.species_table, avg_num_neighbors=spec.avg_num_neighbors
    )
    model = registry.build_model(spec.model_name, spec.model_config, context)
    ends = jnp.asarray([0, 1], jnp.int32), jnp.asarray([1, 0], jnp.int32)
    vectors = jnp.asarray([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), vectors, ends[0], *ends)["params"]


def _arranged(found: Any, template: PyTree, place: tuple[str, ...]) -> PyTree:
    """What was found, in the tree of our parameters.

    The matrices after a convolution receive the factor that ``channels.PathLinear`` divides by:
    it counts the paths that we have, so it is known here only.
    """
    if isinstance(template, dict):
        missing = set(template) - set(found)
        if missing:
            raise errors.ConversionError(
                f"{'.'.join(place) or 'model'}: expected weights of {', '.join(sorted(missing))}, "
                "which the model does not have"
            )
        tree = {key: _arranged(found[key], template[key], (*place, key)) for key in template}
        return _with_fan_in(tree) if _is_path_linear(place) else tree
    if found.shape != template.shape:
        raise errors.ConversionError(
            f"{'.'.join(place)}: expected weights of shape {template.shape}, received {found.shape}"
        )
    return np.asarray(found, order="C")


def _is_path_linear(place: tuple[str, ...]) -> bool:
    return len(place) == 2 and place[0].startswith("interaction_") and place[1] == "linear"


def _with_fan_in(tree: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outs = {name: _out(name) for name in tree}
    fan_in = dict.fromkeys(outs.values(), 0)
    for name, matrix in tree.items():
        fan_in[outs[name]] += len(matrix)
    return {name: matrix * fan_in[outs[name]] ** 0.5 for name, matrix in tree.items()}


def _out(path: str) -> Irrep:
    """The irrep that a path leads to, by the name of its weights."""
    return Irrep(path.rpartition("_")[2])
