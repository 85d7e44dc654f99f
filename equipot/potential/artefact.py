"""The saved potential, ``*.equipot``: all that is needed to run it, in a file that is no pickle.

The file is a zip of JSON and ``.npy`` arrays (``archive.py`` has its manifest and checksums):

    manifest.json          format, format version, versions of equipot and jax, SHA-256 of every
                           part
    potential.json         model and its settings, species, reference energies, cutoff, precision,
                           units
    provenance.json        how it was trained
    distance_range.json    the distances of its training set (not in every file)
    params/<path>.npy      the parameters, by their path in the tree
    probe/<name>.npy       a small structure and what the potential said of it

It is checked when it is loaded: the checksums of all parts, and the prediction for the probe.
"""

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import equipot
from equipot import config, errors
from equipot.data.distance_range import DistanceRange
from equipot.data.structure import Structure
from equipot.graphs import host_graph
from equipot.models import registry
from equipot.potential import archive, evaluate, probe
from equipot.potential.potential import Potential, PotentialSpec, init_params
from equipot.typing import PyTree

KIND = "equipot potential"
FORMAT_VERSION = 1
SUFFIX = ".equipot"
DISTANCE_RANGE = "distance_range.json"
UNITS = {
    "length": "Å",
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³, (1/V) ∂E/∂ε, tension positive",
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Artefact:
    """What a file holds.

    Attributes:
      potential: Specification and parameters, these in NumPy.
      probe: A structure and what the potential said of it.
      path: Where it was read from.
      format_version: Of the file.
    """

    potential: Potential
    probe: probe.Probe
    path: Path
    format_version: int

    def check(self, found: evaluate.HostPrediction, spec: PotentialSpec) -> None:
        """Compares a prediction for the probe with the stored one.

        Raises:
          ArtefactError: If they differ by more than rounding.
        """
        probe.check_probe(self.probe, found, spec, str(self.path))


def save(path: str | Path, potential: Potential) -> Path:
    """Writes a potential; the file appears whole or not at all.

    The bytes depend on the potential and on the versions of equipot and jax alone.

    Args:
      path: Name of the file, by custom ending in ``.equipot``; what stood there is replaced.
      potential: What to save. It is evaluated once, on the probe.

    Returns:
      The path.

    Raises:
      ArtefactError: If the provenance holds something that is no JSON, or the disk does not take
        the file.
      NonFiniteError: If a parameter, or the prediction for the probe, is not finite.
    """
    path = Path(path)
    parts = {
        "potential.json": archive.write_json(_describe(potential.spec)),
        "provenance.json": archive.write_json(config.to_mapping(potential.provenance)),
        **_range_to_parts(potential),
        **_params_to_parts(potential.params),
        **_probe_to_parts(probe.make_probe(potential)),
    }
    versions = {"equipot": equipot.__version__, "jax": jax.__version__}
    archive.write_archive(path, KIND, FORMAT_VERSION, parts, versions=versions)
    return path


def load(path: str | Path, verify: bool = True) -> Potential:
    """Reads a potential and checks it.

    Args:
      path: Name of the file.
      verify: Whether the stored probe is evaluated and compared, which compiles a small program
        (some seconds); checksums are always checked. ``EquipotCalculator`` does it in its own
        program, at no cost.

    Raises:
      ArtefactError: If the file is missing, foreign, damaged, of a newer format, of an unknown
        model, or no longer says of its probe what it said.
    """
    artefact = read(path)
    if verify:
        potential, structure = artefact.potential, artefact.probe.structure
        artefact.check(evaluate.evaluate(potential, [structure], 1)[0], potential.spec)
    return artefact.potential


def read(path: str | Path) -> Artefact:
    """Reads everything that a file holds and checks its checksums; nothing is compiled.

    Raises:
      ArtefactError: If the file is missing, foreign, damaged, of a newer format, or of an unknown
        model.
    """
    path = Path(path)
    version, parts = archive.read_archive(path, KIND, FORMAT_VERSION)
    try:
        spec = _spec_from_json(_read_json(parts, "potential.json"))
        potential = Potential(
            spec=spec,
            params=_params_from_parts(parts),
            provenance=_read_json(parts, "provenance.json"),
            distance_range=_range_from_parts(parts, spec),
        )
        stored = _probe_from_parts(parts, spec)
    except errors.ConfigError as error:
        raise errors.ArtefactError(f"{path}: {error}; was it made by another version?") from error
    except (KeyError, ValueError, TypeError) as error:
        raise errors.ArtefactError(
            f"{path}: a part does not hold what it should ({error}); the file was not written by"
            " equipot"
        ) from error
    _check_params(potential, path)
    return Artefact(potential=potential, probe=stored, path=path, format_version=version)


def _describe(spec: PotentialSpec) -> dict[str, Any]:
    """The specification as JSON, with the cutoff and units spelt out for other readers.

    What a potential lacks is not mentioned, so that versions that know nothing of it can read it.
    """
    fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    fields = {name: value for name, value in fields.items() if value is not None}
    if spec.heads == host_graph.ONE_HEAD:
        del fields["heads"]
    model = {"name": fields.pop("model_name"), **config.to_mapping(fields.pop("model_config"))}
    return {**config.to_mapping(fields), "model": model, "cutoff": spec.cutoff, "units": UNITS}


def _spec_from_json(mapping: Mapping[str, Any]) -> PotentialSpec:
    fields = {key: value for key, value in mapping.items() if key not in ("cutoff", "units")}
    name, model_config = registry.config_from_mapping(fields.pop("model"))
    fields |= {"model_name": name, "model_config": model_config}
    return config.from_mapping(PotentialSpec, fields, "potential")


def _range_to_parts(potential: Potential) -> dict[str, bytes]:
    span = potential.distance_range
    return {} if span is None else {DISTANCE_RANGE: archive.write_json(span.to_mapping())}


def _range_from_parts(parts: Mapping[str, bytes], spec: PotentialSpec) -> DistanceRange | None:
    if DISTANCE_RANGE not in parts:
        return None
    span = DistanceRange.from_mapping(_read_json(parts, DISTANCE_RANGE))
    if not span.elements or not set(span.elements) <= set(spec.species_table):
        raise errors.DataError(
            f"range of distances: expected elements among {list(spec.species_table)}, those of the"
            f" potential, found {list(span.elements)}"
        )
    return span


def _params_to_parts(params: PyTree) -> dict[str, bytes]:
    """Flattens a tree of mappings; the path of a leaf becomes the name of its part."""
    parts = {}
    for name, leaf in _leaves(params).items():
        array = np.asarray(leaf)
        if not np.isfinite(array).all():
            raise errors.NonFiniteError(f"params/{name} holds NaN or infinity; nothing was saved")
        parts[f"params/{name}.npy"] = _write_array(array)
    return parts


def _params_from_parts(parts: Mapping[str, bytes]) -> PyTree:
    tree: dict[str, Any] = {}
    for part, data in parts.items():
        if not part.startswith("params/"):
            continue
        *folders, name = part.removeprefix("params/").removesuffix(".npy").split("/")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[name] = _read_array(data)
    return tree


def _check_params(potential: Potential, path: Path) -> None:
    """Compares the parameters with those that the model of this version has; compiles nothing."""
    spec = potential.spec
    with jax.enable_x64(spec.dtype == "float64"):
        ones = jnp.ones(spec.table_shape, spec.dtype)
        expected = _leaves(
            jax.eval_shape(lambda key: init_params(spec, key, ones, ones), jax.random.key(0))
        )
    found = _leaves(potential.params)
    for name in sorted(expected.keys() | found.keys()):
        shapes = [leaves[name].shape if name in leaves else None for leaves in (expected, found)]
        if shapes[0] != shapes[1]:
            raise errors.ArtefactError(
                f"{path}: params/{name} has shape {shapes[1]}, expected {shapes[0]} (None is for"
                f" none); the model {spec.model_name} of this version of equipot is another one"
            )


def _leaves(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree of mappings by their path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(key.key) for key in path): leaf for path, leaf in leaves}


def _probe_to_parts(stored: probe.Probe) -> dict[str, bytes]:
    arrays = {
        "positions": stored.structure.positions,
        "atomic_numbers": stored.structure.atomic_numbers,
        "cell": stored.structure.cell,
        "energies": stored.prediction.energies,
        "forces": stored.prediction.forces,
        "stress": stored.prediction.stress,
    }
    return {f"probe/{name}.npy": _write_array(array) for name, array in arrays.items()}


def _probe_from_parts(parts: Mapping[str, bytes], spec: PotentialSpec) -> probe.Probe:
    def array(name: str) -> np.ndarray:
        return _read_array(parts[f"probe/{name}.npy"])

    structure = Structure(
        positions=array("positions"),
        atomic_numbers=array("atomic_numbers"),
        cell=array("cell"),
        pbc=np.ones(3, bool),
        source="probe of the potential",
        head=spec.heads[0],
    )
    prediction = evaluate.HostPrediction(
        energy=float(array("energies").sum()),
        energies=array("energies"),
        forces=array("forces"),
        stress=array("stress"),
        has_stress=True,
    )
    return probe.Probe(structure=structure, prediction=prediction, dtype=spec.dtype)


def _write_array(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def _read_array(data: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _read_json(parts: Mapping[str, bytes], name: str) -> dict[str, Any]:
    return json.loads(parts[name])
