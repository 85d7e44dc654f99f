"""The saved potential, ``*.equipot``: all that is needed to run it, in a file that is not a pickle.

The file is a zip of JSON and ``.npy`` arrays (``archive.py`` has its manifest and checksums):

    manifest.json          format, format version, versions of equipot and jax, SHA-256 of every
                           part
    potential.json         model and its settings, species, reference energies, cutoff, precision,
                           units
    provenance.json        how it was trained
    distance_range.json    the distances of its training set (not in every file)
    params/<path>.npy      the parameters, by their path in the tree
    probe/<name>.npy       a small structure and what the potential said of it
    probe/others/<name>.npy  the same of each quantity beside energy, forces and stress

It is checked when it is loaded: the checksums of all parts, and the prediction for the probe.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import equipot
from equipot import config, errors
from equipot.data.distance_range import DistanceRange
from equipot.data.structure import Structure
from equipot.models import registry
from equipot.potential import archive, arrays, checks, evaluate, known, probe
from equipot.potential.potential import Potential, PotentialSpec
from equipot.store import host_graph
from equipot.typing import PyTree

KIND = "equipot potential"
FORMAT_VERSION = 1
SUFFIX = known.SUFFIX
DISTANCE_RANGE = "distance_range.json"
UNITS = {
    "length": "Å",
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³, (1/V) ∂E/∂ε, tension positive",
}

_PROBE = {  # kind of number and count of axes
    "positions": ("f", 2),
    "atomic_numbers": ("i", 1),
    "cell": ("f", 2),
    "energies": ("f", 1),
    "forces": ("f", 2),
    "stress": ("f", 2),
}
_PARTS = {
    "potential.json",
    "provenance.json",
    DISTANCE_RANGE,
    *(f"probe/{name}.npy" for name in _PROBE),
}
_FOLDERS = ("params/", "probe/others/")


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
      path: Name of the file, or of a published potential that was fetched.
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
    path = known.resolve(path)
    version, parts = archive.read_archive(path, KIND, FORMAT_VERSION)
    unknown = [name for name in parts if name not in _PARTS and not name.startswith(_FOLDERS)]
    if unknown:
        raise errors.ArtefactError(
            f"{path}: the part {unknown[0]} is unknown to this version of equipot; upgrade with pip"
            " install --upgrade equipot"
        )
    try:
        spec = _spec_from_parts(parts)
        checks.check_spec(spec)
        potential = Potential(
            spec=spec,
            params=_params_from_parts(parts),
            provenance=_json_part(parts, "provenance.json"),
            distance_range=_range_from_parts(parts, spec),
        )
        stored = _probe_from_parts(parts, spec)
        checks.check_probe(stored, spec)
        checks.check_params(spec, potential.params)
    except errors.ConfigError as error:
        raise errors.ArtefactError(f"{path}: {error}; was it made by another version?") from error
    except (errors.ArtefactError, errors.DataError) as error:
        raise errors.ArtefactError(
            f"{path}: {error}; the file does not hold what it should"
        ) from error
    return Artefact(potential=potential, probe=stored, path=path, format_version=version)


def _describe(spec: PotentialSpec) -> dict[str, Any]:
    """The specification as JSON, with the cutoff and units spelt out for other readers.

    What a potential lacks is not mentioned, so that versions that know nothing of it can read it.
    """
    fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    fields = {name: value for name, value in fields.items() if value is not None}
    if spec.heads == host_graph.ONE_HEAD:
        del fields["heads"]
    if not spec.quantities:
        del fields["quantities"]
    model = {"name": fields.pop("model_name"), **config.to_mapping(fields.pop("model_config"))}
    return {**config.to_mapping(fields), "model": model, "cutoff": spec.cutoff, "units": UNITS}


def _spec_from_parts(parts: Mapping[str, bytes]) -> PotentialSpec:
    mapping = _json_part(parts, "potential.json")
    fields = {key: value for key, value in mapping.items() if key not in ("cutoff", "units")}
    model = fields.pop("model", None)
    if not isinstance(model, dict):
        raise errors.ArtefactError(f"potential.json: expected the group 'model', found {model!r}")
    if isinstance(fields.get("wall"), dict):
        fields["wall"] = {"seen": 1.0, **fields["wall"]}  # files of before do not say it
    name, model_config = registry.config_from_mapping(model)
    fields |= {"model_name": name, "model_config": model_config}
    spec = config.from_mapping(PotentialSpec, fields, "potential")
    for key, own in {"cutoff": spec.cutoff, "units": UNITS}.items():
        if mapping.get(key, own) != own:
            raise errors.ArtefactError(
                f"potential.json: {key} is {mapping[key]!r}, the model has {own!r}"
            )
    return spec


def _range_to_parts(potential: Potential) -> dict[str, bytes]:
    span = potential.distance_range
    return {} if span is None else {DISTANCE_RANGE: archive.write_json(span.to_mapping())}


def _range_from_parts(parts: Mapping[str, bytes], spec: PotentialSpec) -> DistanceRange | None:
    if DISTANCE_RANGE not in parts:
        return None
    span = DistanceRange.from_mapping(_json_part(parts, DISTANCE_RANGE))
    if not span.elements or not set(span.elements) <= set(spec.species_table):
        raise errors.DataError(
            f"range of distances: expected elements among {list(spec.species_table)}, those of the"
            f" potential, found {list(span.elements)}"
        )
    return span


def _params_to_parts(params: PyTree) -> dict[str, bytes]:
    """Flattens a tree of mappings; the path of a leaf becomes the name of its part."""
    parts = {}
    for name, leaf in checks.leaves(params).items():
        array = np.asarray(leaf)
        if not np.isfinite(array).all():
            raise errors.NonFiniteError(f"params/{name} holds NaN or infinity; nothing was saved")
        parts[f"params/{name}.npy"] = arrays.to_bytes(array)
    return parts


def _params_from_parts(parts: Mapping[str, bytes]) -> PyTree:
    tree: dict[str, Any] = {}
    for part in parts:
        if not part.startswith("params/"):
            continue
        *folders, name = part.removeprefix("params/").removesuffix(".npy").split("/")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
            if not isinstance(branch, dict):
                raise errors.ArtefactError(f"{part}: {folder} is an array and a folder")
        branch[name] = _array_part(parts, part)
    return tree


def _probe_to_parts(stored: probe.Probe) -> dict[str, bytes]:
    contents = {
        "positions": stored.structure.positions,
        "atomic_numbers": stored.structure.atomic_numbers,
        "cell": stored.structure.cell,
        "energies": stored.prediction.energies,
        "forces": stored.prediction.forces,
        "stress": stored.prediction.stress,
    }
    others = {f"others/{name}": array for name, array in stored.prediction.others.items()}
    named = (contents | others).items()
    return {f"probe/{name}.npy": arrays.to_bytes(array) for name, array in named}


def _probe_from_parts(parts: Mapping[str, bytes], spec: PotentialSpec) -> probe.Probe:
    found = {}
    others = {f"probe/others/{quantity.name}.npy" for quantity in spec.quantities}
    for part in parts:
        if part.startswith("probe/others/") and part not in others:
            raise errors.ArtefactError(f"the part {part} belongs to no quantity of the potential")
    for name, (kind, num_axes) in _PROBE.items():
        array = found[name] = _array_part(parts, f"probe/{name}.npy")
        if array.dtype.kind != kind or array.ndim != num_axes:
            raise errors.ArtefactError(
                f"probe/{name}.npy holds {array.dtype}{list(array.shape)}, which is something else"
            )
    structure = Structure(
        positions=found["positions"],
        atomic_numbers=found["atomic_numbers"],
        cell=found["cell"],
        pbc=np.ones(3, bool),
        source="probe of the potential",
        head=spec.heads[0],
    )
    prediction = evaluate.HostPrediction(
        energy=float(found["energies"].sum()),
        energies=found["energies"],
        forces=found["forces"],
        stress=found["stress"],
        has_stress=True,
        others={
            quantity.name: _array_part(parts, f"probe/others/{quantity.name}.npy")
            for quantity in spec.quantities
        },
    )
    return probe.Probe(structure=structure, prediction=prediction, dtype=spec.dtype)


def _array_part(parts: Mapping[str, bytes], name: str) -> np.ndarray:
    try:
        return arrays.from_bytes(_part(parts, name))
    except ValueError as error:
        raise errors.ArtefactError(
            f"{name} is no array as equipot writes it ({errors.brief(error)})"
        ) from error


def _json_part(parts: Mapping[str, bytes], name: str) -> dict[str, Any]:
    return archive.read_json(_part(parts, name), name)


def _part(parts: Mapping[str, bytes], name: str) -> bytes:
    if name not in parts:
        raise errors.ArtefactError(f"the part {name} is missing")
    return parts[name]
