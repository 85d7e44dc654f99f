"""SevenNet: a checkpoint of ``torch.save``, read without torch.

The model is NequIP with irreps that have no parity, a self-connection common to all species, Bessel
functions of trained frequencies, and sums divided by the number of neighbors, not by its root. The
checkpoint holds its own Clebsch–Gordan coefficients; where the sign is another than ours it goes
into the matrices.

Reference: Park et al. 2024, J. Chem. Theory Comput. 20, 4857. DOI 10.1021/acs.jctc.4c00190
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import parameters
from equipot.convert.foundation import layers, torch_archive
from equipot.data.structure import chemical_symbols
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.kernels import convolution
from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.models import nequip as model
from equipot.potential.potential import Potential, PotentialSpec

_SILU = 1.6791767923989418  # e3nn of torch finds it by a sample; it stands in no file
_SETTINGS = {  # what our model has no other form of
    "_model_type": "E3_equivariant_model",
    "is_parity": False,
    "self_connection_type": "linear",
    "interaction_type": "nequip",
    "use_bias_in_linear": False,
    "readout_as_fcn": False,
    "act_radial": "silu",
    "act_scalar": {"e": "silu", "o": "tanh"},
    "act_gate": {"e": "silu", "o": "tanh"},
}
_SORTED_SINCE = (0, 11)  # version that sorts radial weights by output
_FORMER_NAMES = {
    "EdgeEmbedding": "edge_embedding",
    "reducing_nn_input_to_hidden": "reduce_input_to_hidden",
    "reducing_nn_hidden_to_energy": "reduce_hidden_to_energy",
    "denumerator": "denominator",
}


def read(path: Path) -> Potential:
    """The potential in a checkpoint, in float64.

    Args:
      path: A ``.pth`` file; nothing in it is run.

    Raises:
      ConversionError: If it is damaged, names anything but tensors and settings, or is of another
        architecture.
    """
    found = torch_archive.read(path)
    parts = found if isinstance(found, Mapping) else {}
    settings, state = parts.get("config"), parts.get("model_state_dict")
    if not isinstance(settings, Mapping) or not isinstance(state, Mapping):
        raise errors.ConversionError(
            f"{path}: expected a checkpoint of SevenNet, with settings and weights, found"
            f" {', '.join(map(str, list(parts)[:5])) or type(found).__name__}"
        )
    try:
        return _Checkpoint(settings, state, path).potential()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, errors.EquipotError):
            raise
        raise errors.ConversionError(
            f"{path}: its settings are not those of the versions of SevenNet that equipot knows, up"
            f" to 0.13 ({type(error).__name__}: {errors.brief(error)})"
        ) from error


class _Checkpoint:
    """Settings and weights of a file, each asked for by name."""

    def __init__(self, settings: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> None:
        self._settings, self._path = settings, path
        self._state = {_current_name(name): value for name, value in state.items()}
        self._check_settings()
        self._numbers = self._atomic_numbers()
        self._order = np.argsort(self._numbers)
        self._irreps = [self._widths(text) for text in self._layers()]
        self._config = self._read_config()

    def potential(self) -> Potential:
        """All of it."""
        config, count = self._config, len(self._numbers)
        # One number of neighbors is kept here; what layers have besides goes into their matrices.
        average = float(self._array("0_convolution.denominator", (1,))[0])
        params = parameters.zeros(model.Model, config, count, average)
        embedding = self._array("onehot_to_feature_x.linear.weight").reshape(count, -1)
        params["embedding"][...] = embedding[self._order] / math.sqrt(count)
        coefficients = self._array(
            "edge_embedding.basis_function.coeffs", (config.num_radial_basis,)
        )
        params["bessel_roots"][...] = coefficients * config.cutoff / math.pi
        scale = 1.0
        for i in range(config.num_layers):
            layers.fill(
                params[f"interaction_{i}"],
                self._layer(i),
                scale=scale,
                basis_ratio=2.0 / config.cutoff / math.sqrt(2.0 / config.cutoff),
                avg_num_neighbors=average,
            )
            scale = _SILU / parameters.silu_constant()
        layers.put(params["readout"], "0e", self._readout() * scale, "readout")
        shift, factor = (
            np.broadcast_to(self._array(f"rescale_atomic_energy.{name}").reshape(-1), (count,))
            for name in ("shift", "scale")
        )
        spec = PotentialSpec(
            model_name="nequip",
            model_config=config,
            species_table=tuple(self._numbers[self._order].tolist()),
            atomic_energies=tuple(shift[self._order].tolist()),
            avg_num_neighbors=average,
            dtype="float64",
        )
        scales = {"scale": factor[self._order], "shift": np.zeros(count)}
        return Potential(spec=spec, params={"model": params, **scales})

    def _check_settings(self) -> None:
        for name, wanted in _SETTINGS.items():
            if self._settings.get(name, wanted) != wanted:
                raise self._refused(name, wanted)
        if self._settings.get("use_modality", False):
            raise errors.ConversionError(
                f"{self._path}: tells several levels of theory apart inside its layers"
                " (use_modality), which equipot's NequIP does not; such a checkpoint cannot be read"
            )

    def _refused(self, name: str, wanted: Any) -> errors.ConversionError:
        return errors.ConversionError(
            f"{self._path}: expected {name}: {wanted} in the settings of SevenNet, received"
            f" {self._settings.get(name)!r}, which equipot cannot read"
        )

    def _atomic_numbers(self) -> np.ndarray:
        """Atomic numbers in the order of the file's types."""
        kinds = self._settings.get("_type_map")
        if not isinstance(kinds, Mapping) or sorted(kinds.values()) != list(range(len(kinds))):
            raise self._refused("_type_map", "an index for each atomic number")
        numbers = np.array(sorted(kinds, key=lambda z: kinds[z]))
        if not ((numbers > 0) & (numbers < len(chemical_symbols))).all():
            raise self._refused("_type_map", "atomic numbers")
        return numbers

    def _layers(self) -> list[str]:
        """Irreps before each layer and after the last one."""
        count = int(self._settings["num_convolution_layer"])
        manual = self._settings.get("irreps_manual")
        if not manual:
            width, lmax = self._settings["channel"], self._settings["lmax"]
            full = "+".join(f"{width}x{l}e" for l in range(lmax + 1))
            manual = [f"{width}x0e", *[full] * (count - 1), f"{width}x0e"]
        if len(manual) != count + 1:
            raise self._refused("irreps_manual", f"irreps for {count} layers")
        return manual

    def _widths(self, text: str) -> dict[Irrep, int]:
        irreps = {item.ir: item.mul for item in Irreps(text)}
        if list(irreps) != [Irrep(l, 1) for l in range(len(irreps))]:
            raise self._refused("irreps_manual", "0e, 1e, 2e and on")
        return irreps

    def _read_config(self) -> model.Config:
        settings, hidden = self._settings, self._irreps[1]
        expected = [hidden] * (len(self._irreps) - 2) + [{layers.SCALAR: hidden[layers.SCALAR]}]
        if self._irreps[1:] != expected or self._irreps[0] != expected[-1]:
            raise self._refused("irreps_manual", "the same in all layers but the last")
        lmax = len(hidden) - 1
        if {settings.get("lmax_edge", -1), settings.get("lmax_node", -1)} - {-1, lmax}:
            raise self._refused("lmax_edge and lmax_node", lmax)
        envelope, basis = settings["cutoff_function"], settings["radial_basis"]
        kinds = envelope.get("cutoff_function_name"), basis.get("radial_basis_name")
        if kinds[0] not in ("XPLOR", "poly_cut") or kinds[1] != "bessel":
            raise self._refused("cutoff_function and radial_basis", "XPLOR or poly_cut, and bessel")
        is_xplor, widths = kinds[0] == "XPLOR", tuple(hidden.values())
        power = 6 if is_xplor else envelope.get("poly_cut_p_value", 6)
        if power != int(power):
            raise self._refused("poly_cut_p_value", "a whole number")
        return model.Config(
            cutoff=float(settings["cutoff"]),
            num_layers=len(self._irreps) - 1,
            lmax=lmax,
            num_channels=widths[0] if len(set(widths)) == 1 else widths,
            symmetry="so3",
            solid_harmonics=not settings.get("_normalize_sph", _is_late(settings)),
            num_radial_basis=int(basis.get("bessel_basis_num", 8)),
            polynomial_cutoff=int(power),
            xplor_start=float(envelope["cutoff_on"]) if is_xplor else None,
            radial_widths=tuple(settings["weight_nn_hidden_neurons"]),
            trainable_bessel=True,
            self_connection="common",
        )

    def _layer(self, index: int) -> layers.Layer:
        entering, leaving = self._irreps[index], self._irreps[index + 1]
        gates = sum(width for irrep, width in leaving.items() if irrep.l > 0)
        before = {**leaving, layers.SCALAR: leaving[layers.SCALAR] + gates}
        harmonics = [Irrep(l, 1) for l in range(self._config.lmax + 1)]
        couplings = convolution.paths(tuple(entering), harmonics, tuple(leaving))
        by_output = sorted(couplings, key=lambda path: path.out.l)  # stable
        tensors = {irrep: 0 for irrep in leaving}
        for path in by_output:
            tensors[path.out] += entering[path.node]
        down = self._linear(f"{index}_self_interaction_2", tensors, before)
        denominator = float(self._array(f"{index}_convolution.denominator", (1,))[0])
        paths, starts = [], dict.fromkeys(tensors, 0)
        for path in by_output:
            start = starts[path.out]
            starts[path.out] = start + entering[path.node]
            sign = self._sign(index, path) * (-1) ** path.edge.l  # vectors to the sender
            matrix = down[path.out][start : starts[path.out]] * (sign / denominator)
            paths.append((path, matrix))
        return layers.Layer(
            place=f"layer {index}",
            linear_up=self._linear(f"{index}_self_interaction_1", entering, entering),
            radial=self._radial(index, couplings, by_output, entering),
            paths=paths,
            self_connection=self._linear(f"{index}_self_connection_intro", entering, before),
        )

    def _radial(
        self,
        index: int,
        couplings: Sequence[convolution.Path],
        by_output: Sequence[convolution.Path],
        entering: Mapping[Irrep, int],
    ) -> list[np.ndarray]:
        """Matrices of the radial network for a plain silu, the last one's columns by output."""
        widths = [self._config.num_radial_basis, *self._config.radial_widths]
        widths.append(sum(entering[path.node] for path in couplings))
        found = []
        for i, shape in enumerate(itertools.pairwise(widths)):
            matrix = self._array(f"{index}_convolution.weight_nn.layer{i}.weight", shape)
            found.append(matrix / math.sqrt(shape[0]) * (_SILU if i else 1.0))
        order = by_output if _version(self._settings) >= _SORTED_SINCE else couplings
        starts, start = {}, 0
        for path in order:
            starts[path] = start
            start += entering[path.node]
        columns = [np.arange(starts[p], starts[p] + entering[p.node]) for p in by_output]
        return [*found[:-1], found[-1][:, np.concatenate(columns)]]

    def _sign(self, index: int, path: convolution.Path) -> int:
        """The sign of the file's coefficients beside ours."""
        degrees = path.node.l, path.edge.l, path.out.l
        if 0 in degrees:
            return 1
        kind = "_".join(map(str, degrees))
        name = f"{index}_convolution.convolution._compiled_main_left_right._w3j_{kind}"
        ours = clebsch_gordan(*degrees)
        theirs = self._array(name, ours.shape)
        sign = 1 if float(np.sum(ours * theirs)) > 0 else -1
        if not np.allclose(theirs, sign * ours, atol=1e-5):
            raise errors.ConversionError(
                f"{self._path}: expected coefficients {name} equal to those of rotations, up to a"
                " sign; the file is damaged or in another basis"
            )
        return sign

    def _readout(self) -> np.ndarray:
        """Two linear maps one after the other, as a matrix [channels, 1]."""
        width = self._irreps[-1][layers.SCALAR]
        first = self._array("reduce_input_to_hidden.linear.weight").reshape(width, -1)
        second = self._array("reduce_hidden_to_energy.linear.weight", (first.shape[1],))
        return (first @ second[:, None]) / math.sqrt(len(second))

    def _linear(
        self, name: str, before: Mapping[Irrep, int], after: Mapping[Irrep, int]
    ) -> dict[Irrep, np.ndarray]:
        """The matrices of an ``e3nn.o3.Linear``, normalised."""
        shapes = {irrep: (n, after[irrep]) for irrep, n in before.items() if irrep in after}
        flat = self._array(
            f"{name}.linear.weight", (sum(math.prod(shape) for shape in shapes.values()),)
        )
        found, start = {}, 0
        for irrep, shape in shapes.items():
            end = start + math.prod(shape)
            found[irrep] = flat[start:end].reshape(shape) / math.sqrt(shape[0])
            start = end
        return found

    def _array(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Weights of a name, in float64."""
        return parameters.numbers(self._state.get(name), shape, f"{self._path}, {name}")


def _is_late(settings: Mapping[str, Any]) -> bool:
    """Whether the version is one that has unit vectors where nothing is said of them."""
    return _version(settings) >= (0, 10)


def _version(settings: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in str(settings["version"]).split(".")[:2])


def _current_name(name: str) -> str:
    """The name of a weight in later versions."""
    name = name.replace(" ", "_")
    for former, current in _FORMER_NAMES.items():
        name = name.replace(former, current)
    return name
