"""Damages a saved potential, on the disk or inside with checksums repaired, and reads it."""

import functools
import io
import json
import math
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any
from unittest import mock

import jax
import numpy as np

from equipot.models import registry
from equipot.potential import archive, arrays, artefact, checks, evaluate, probe
from equipot.potential import potential as potentials
from equipot.potential.repulsion import between_covalent_radii
from tests.fuzz import harness, mutations

_MODELS: Mapping[str, dict[str, Any]] = {
    "nequip": {"num_layers": 1, "lmax": 1, "num_channels": 2, "radial_widths": [4]},
    "allegro": {"num_layers": 1, "lmax": 1, "num_channels": 2, "num_scalars": 4},
    "mace": {"num_layers": 1, "lmax": 1, "num_channels": 2, "radial_widths": [4]},
}


def subjects() -> list[str]:
    """Each model, damaged on the disk and inside."""
    return [f"{name} {where}" for name in _MODELS for where in ("outside", "inside")]


def attempt(subject: str, seed: int) -> harness.Outcome:
    """Damages a potential and reads it.

    Args:
      subject: One of ``subjects``.
      seed: Decides the damage.
    """
    name, where = subject.split()
    rng = np.random.default_rng([seed, subjects().index(subject)])
    intact = _saved(name)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = pathlib.Path(folder) / "a.equipot"
        if where == "outside":
            damaged, damage = mutations.mutate(intact, rng)
            path.write_bytes(damaged)
        else:
            damage = _damage_inside(name, path, rng)
        read = functools.partial(_read, path, name, where)
        return harness.judge(subject, seed, damage, read, [path.name])


@functools.cache
def _saved(name: str) -> bytes:
    """A small potential with random parameters and a made-up probe: nothing is compiled."""
    model_name, model_config = registry.config_from_mapping(
        {"name": name, "cutoff": 3.5, **_MODELS[name]}
    )
    spec = potentials.PotentialSpec(
        model_name=model_name,
        model_config=model_config,
        species_table=(1, 8),
        atomic_energies=(-13.6, -432.0),
        avg_num_neighbors=12.0,
        repulsion=between_covalent_radii((1, 8)),
    )
    rng, ones = np.random.default_rng(0), jax.numpy.ones(2, "float32")
    shapes = jax.eval_shape(
        lambda key: potentials.init_params(spec, key, ones, ones), jax.random.key(0)
    )
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)
    structure = probe.make_structure(spec.species_table, spec.cutoff)
    count = len(structure.positions)
    prediction = evaluate.HostPrediction(
        energy=0.0,
        energies=rng.normal(size=count),
        forces=rng.normal(size=(count, 3)),
        stress=rng.normal(size=(3, 3)),
        has_stress=True,
    )
    made_up = probe.Probe(structure=structure, prediction=prediction, dtype=spec.dtype)
    potential = potentials.Potential(
        spec=spec, params=params, provenance={"config": {"seed": 0, "data": ["a", "b"]}}
    )
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = pathlib.Path(folder) / "a.equipot"
        with mock.patch.object(probe, "make_probe", lambda potential: made_up):
            artefact.save(path, potential)
        return path.read_bytes()


@functools.cache
def _parts(name: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = pathlib.Path(folder) / "a.equipot"
        path.write_bytes(_saved(name))
        return archive.read_archive(path, artefact.KIND, artefact.FORMAT_VERSION)[1]


def _damage_inside(name: str, path: pathlib.Path, rng: np.random.Generator) -> str:
    """Damages one part and writes the file anew, as a mistaken program would."""
    parts = dict(_parts(name))
    json_only = rng.random() < 0.4
    known = [part for part in sorted(parts) if part.endswith(".json") or not json_only]
    chosen = known[int(rng.integers(len(known)))]
    kind = int(rng.integers(12))
    if kind == 0:
        del parts[chosen]
        damage = "taken out"
    elif kind == 1:
        parts[f"{chosen}_"] = parts.pop(chosen)
        damage = "renamed"
    elif kind == 2:
        parts[f"{chosen}/more.npy"] = parts[chosen]
        damage = "again, below its own name"
    else:
        parts[chosen], damage = mutations.mutate(parts[chosen], rng)
    archive.write_archive(path, artefact.KIND, artefact.FORMAT_VERSION, parts, versions={})
    return f"{chosen}: {damage}"


def _read(path: pathlib.Path, name: str, where: str) -> str:
    found = artefact.read(path)
    if where == "outside":
        parts = _parts(name)
    else:
        _, parts = archive.read_archive(path, artefact.KIND, artefact.FORMAT_VERSION)
    for leaf_name, leaf in checks.leaves(found.potential.params).items():
        stored = np.load(io.BytesIO(parts[f"params/{leaf_name}.npy"]), allow_pickle=False)
        if stored.dtype != leaf.dtype or not np.array_equal(stored, leaf):
            return f"params/{leaf_name} is not what stands in the file"
        if not np.isfinite(leaf).all():
            return f"params/{leaf_name} is not finite"
    for key in ("energies", "forces", "stress"):
        stored = arrays.from_bytes(parts[f"probe/{key}.npy"])
        if not np.array_equal(stored, getattr(found.probe.prediction, key)):
            return f"probe/{key} is not what stands in the file"
    described = json.loads(archive.write_json(artefact._describe(found.potential.spec)))
    return _difference(json.loads(parts["potential.json"]), described, "potential")


def _difference(stored: Any, found: Any, place: str) -> str:
    """What the file says and the specification does not; defaults may be added."""
    if isinstance(stored, dict) and isinstance(found, dict):
        told = ((key, value) for key, value in stored.items() if value is not None)
        parts = (_difference(value, found.get(key), f"{place}.{key}") for key, value in told)
        return next((part for part in parts if part), "")
    if isinstance(stored, float) and not math.isfinite(stored):
        return f"{place} is {stored}"
    if stored in ({}, []) and not found:
        return ""
    return "" if stored == found else f"{place} is {found}, in the file {stored}"
