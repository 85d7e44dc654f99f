"""Files as Nequix and SevenNet write them: small ones of random numbers, and the published ones."""

import importlib.util
import io
import itertools
import json
import math
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.potential import known

FOUNDATION = Path(os.environ.get("EQUIPOT_FOUNDATION", "../shared/foundation"))
NEQUIX = ("nequix-mp-1", "nequix-mp-1-pft", "nequix-oam-1-pft")
SEVENNET = ("sevennet-0", "sevennet-0-22may2024", "sevennet-l3i5")
HEADER = {
    "cutoff": 4.0,
    "atomic_numbers": [1, 8, 14],
    "hidden_irreps": "4x0e + 3x1o + 2x2e",
    "lmax": 2,
    "n_layers": 3,
    "radial_basis_size": 5,
    "radial_mlp_size": 6,
    "radial_mlp_layers": 2,
    "radial_polynomial_p": 6.0,
    "mlp_init_scale": 4.0,
    "index_weights": False,
    "layer_norm": True,
    "scale": 8.0,
    "shift": 0.15,
    "avg_n_neighbors": 9.5,
    "atom_energies": {"1": -3.1, "8": -7.2, "14": -5.4},
    "train_path": "/somebody/private",
}


def published_nequix(name: str) -> Path:
    """Where a published file of Nequix lies, if it does."""
    return FOUNDATION / "nequix" / f"{name}.nqx"


def published_sevennet(name: str) -> Path:
    """Where a published checkpoint of SevenNet lies, if it does: in its package."""
    spec = importlib.util.find_spec("sevenn")
    folder = Path(spec.origin).parents[1] if spec and spec.origin else Path("not-installed")
    return folder / str(known.find(name).member)


def nequix_shapes(header: Mapping[str, Any]) -> Iterator[tuple[int, ...]]:
    """Shapes of the arrays in a file, in their order."""
    species = len(header["atomic_numbers"])
    hidden = [int(item.split("x")[0]) for item in header["hidden_irreps"].split("+")]
    yield (species,)
    for i in range(header["n_layers"]):
        entering = [species] if i == 0 else hidden
        leaving = hidden if i < header["n_layers"] - 1 else hidden[:1]
        before = [sum(leaving), *leaving[1:]]
        paths = [
            (l1, l3)
            for l1, l2, l3 in itertools.product(
                range(len(entering)), range(header["lmax"] + 1), range(len(before))
            )
            if abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == 0
        ]
        channels = sum(entering[l1] for l1, _ in paths)
        width = header["radial_mlp_size"]
        widths = [header["radial_basis_size"], *[width] * header["radial_mlp_layers"], channels]
        yield from itertools.pairwise(widths)
        yield from ((n, n) for n in entering)
        for l, width in enumerate(before):
            yield sum(entering[l1] for l1, l3 in paths if l3 == l), width
        yield from zip(entering, before, strict=False)
        if header["layer_norm"]:
            yield from ((n,) for n in before)
    yield hidden[0], 1


def nequix_arrays(header: Mapping[str, Any] = HEADER, seed: int = 0) -> list[np.ndarray]:
    """Random arrays of a file."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in nequix_shapes(header)]


def write_nequix(
    path: Path,
    arrays: list[np.ndarray] | None = None,
    end: bytes = b"",
    **changes: Any,
) -> Path:
    """Writes a file; arrays are random by default."""
    header = {**HEADER, **changes}
    stream = io.BytesIO()
    for array in nequix_arrays(header) if arrays is None else arrays:
        np.save(stream, array)
    path.write_bytes(json.dumps(header).encode() + b"\n" + stream.getvalue() + end)
    return path


SETTINGS = {
    "version": "0.9.1",
    "_model_type": "E3_equivariant_model",
    "_type_map": {14: 0, 1: 1, 8: 2},
    "chemical_species": ["Si", "H", "O"],
    "_number_of_species": 3,
    "irreps_manual": ["4x0e", *["4x0e+3x1e+2x2e"] * 2, "4x0e"],
    "channel": 4,
    "lmax": 2,
    "lmax_edge": -1,
    "lmax_node": -1,
    "is_parity": False,
    "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 5},
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.2, "poly_cut_p_value": 6},
    "cutoff": 4.0,
    "num_convolution_layer": 3,
    "weight_nn_hidden_neurons": [6, 6],
    "act_gate": {"e": "silu", "o": "tanh"},
    "act_scalar": {"e": "silu", "o": "tanh"},
    "act_radial": "silu",
    "self_connection_type": "linear",
    "interaction_type": "nequip",
    "use_bias_in_linear": False,
    "readout_as_fcn": False,
    "train_shift_scale": False,
    "train_denominator": False,
    "conv_denominator": [3.0, 3.5, 4.0],
    "_normalize_sph": True,
    "shift": [0.0, 0.0, 0.0],
    "scale": [1.0, 1.0, 1.0],
}


def sevennet_state(settings: Mapping[str, Any] = SETTINGS, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of a checkpoint, by name."""
    rng = np.random.default_rng(seed)
    layers = [
        [int(item.split("x")[0]) for item in irreps.split("+")]
        for irreps in settings["irreps_manual"]
    ]
    species, cutoff = len(settings["_type_map"]), settings["cutoff"]
    roots = np.arange(1, settings["radial_basis"]["bessel_basis_num"] + 1)
    shapes: dict[str, tuple[int, ...]] = {
        "onehot_to_feature_x.linear.weight": (species * layers[0][0],)
    }
    state = {"edge_embedding.basis_function.coeffs": (roots + 0.1) * math.pi / cutoff}
    for i, (entering, leaving) in enumerate(itertools.pairwise(layers)):
        before = [sum(leaving), *leaving[1:]]
        paths = [
            (l1, l2, l3)
            for l1, l2, l3 in itertools.product(
                range(len(entering)), range(settings["lmax"] + 1), range(len(before))
            )
            if abs(l1 - l2) <= l3 <= l1 + l2
        ]
        hidden = settings["weight_nn_hidden_neurons"]
        widths = [len(roots), *hidden, sum(entering[l1] for l1, _, _ in paths)]
        for j, shape in enumerate(itertools.pairwise(widths)):
            shapes[f"{i}_convolution.weight_nn.layer{j}.weight"] = shape
        flat = sum(n * m for n, m in zip(entering, before, strict=False))
        shapes[f"{i}_self_connection_intro.linear.weight"] = (flat,)
        shapes[f"{i}_self_interaction_1.linear.weight"] = (sum(n * n for n in entering),)
        tensors = [sum(entering[p[0]] for p in paths if p[2] == l) for l in range(len(before))]
        flat = sum(n * m for n, m in zip(tensors, before, strict=True))
        shapes[f"{i}_self_interaction_2.linear.weight"] = (flat,)
        state[f"{i}_convolution.denominator"] = np.array([settings["conv_denominator"][i]])
        for degrees in paths:
            if 0 not in degrees:
                # the signs of the e3nn that old checkpoints were made with, or of a later one
                sign = -1 if degrees in {(1, 2, 2), (2, 1, 2), (2, 2, 1)} else 1
                kind = "_".join(map(str, degrees))
                name = f"{i}_convolution.convolution._compiled_main_left_right._w3j_{kind}"
                state[name] = sign * clebsch_gordan(*degrees)
    shapes["reduce_input_to_hidden.linear.weight"] = (layers[-1][0] * 2,)
    shapes["reduce_hidden_to_energy.linear.weight"] = (2,)
    shapes["rescale_atomic_energy.shift"] = (species,)
    state.update({name: rng.normal(size=shape) for name, shape in shapes.items()})
    state["rescale_atomic_energy.scale"] = np.array([1.7, 1.2, 0.9])
    return {name: np.ascontiguousarray(value, np.float32) for name, value in state.items()}


def write_sevennet(path: Path, state: Any = None, extra: Any = None, **changes: Any) -> Path:
    """Writes a checkpoint as ``torch.save`` does; weights are random by default."""
    settings = {**SETTINGS, **changes}
    settings = {name: value for name, value in settings.items() if value is not None}
    found = sevennet_state(settings) if state is None else state
    checkpoint = {"model_state_dict": OrderedDict(found), "config": settings, "epoch": 3}
    write_torch(path, checkpoint if extra is None else {**checkpoint, "extra": extra})
    return path


class _Storage:
    def __init__(self, key: str, values: np.ndarray):
        self.key, self.values = key, values


class _Named:
    """Is pickled under a name, called with arguments."""

    def __init__(self, module: str, name: str, *args: Any):
        self.module, self.name, self.args = module, name, args

    def __reduce__(self) -> tuple[Any, tuple]:
        return getattr(sys.modules[self.module], self.name), self.args


def named(module: str, name: str, *args: Any) -> Any:
    """An object that a pickle makes by calling something of this name."""
    return _Named(module, name, *args)


def write_torch(path: Path, content: Any, kind: str = "FloatStorage") -> None:
    """Writes what ``torch.save`` writes: NumPy's arrays become tensors."""
    storages: list[_Storage] = []
    stand_ins = _stand_ins()

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if not isinstance(value, _Storage):
                return None
            torch: Any = sys.modules["torch"]
            return "storage", getattr(torch, kind), value.key, "cpu", value.values.size

        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return NotImplemented
            storage = _Storage(str(len(storages)), value)
            storages.append(storage)
            steps = tuple(step // value.itemsize for step in value.strides)
            utils: Any = sys.modules["torch._utils"]
            args = storage, 0, value.shape, steps, False, OrderedDict()
            return utils._rebuild_tensor_v2, args

    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        stream = io.BytesIO()
        Pickler(stream, protocol=2, fix_imports=False).dump(content)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", stream.getvalue())
        archive.writestr("model/version", b"3\n")
        for storage in storages:
            archive.writestr(f"model/data/{storage.key}", storage.values.tobytes(order="A"))


def _stand_ins() -> dict[str, types.ModuleType]:
    """Modules whose names a pickle of torch holds."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def function(module: str, name: str) -> Any:
        def stand_in(*args: Any) -> None:
            raise AssertionError("is only named")

        stand_in.__module__, stand_in.__qualname__, stand_in.__name__ = module, name, name
        return stand_in

    utils._rebuild_tensor_v2 = function("torch._utils", "_rebuild_tensor_v2")  # type: ignore[attr-defined]
    for kind in ("FloatStorage", "DoubleStorage", "QInt8Storage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    torch.device = function("torch", "device")  # type: ignore[attr-defined]
    return {"torch": torch, "torch._utils": utils}
