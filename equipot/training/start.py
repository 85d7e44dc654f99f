"""Where a run begins: with parameters drawn at random, or with those of a saved potential."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors
from equipot.data.dataset import Dataset
from equipot.data.structure import Structure, symbol
from equipot.graphs import statistics
from equipot.graphs.host_graph import ONE_HEAD
from equipot.models import registry
from equipot.potential import artefact, evaluate, references
from equipot.potential.config import PotentialConfig
from equipot.potential.potential import Potential, PotentialSpec
from equipot.training.config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """What is known before graphs are built.

    Attributes:
      model_name: Name of the model.
      model_config: Its settings.
      species_table: Atomic number of each species, ascending.
      references: Reference energies, shift and scale, and sentences about them.
      potential: What training starts from, in the precision of the run; None for random parameters.
      fingerprint: SHA-256 of its file.
      heads: Names of the levels of theory.
    """

    model_name: str
    model_config: Any
    species_table: tuple[int, ...]
    references: references.References
    potential: Potential | None = None
    fingerprint: str | None = None
    heads: tuple[str, ...] = ONE_HEAD


def begin(config: TrainConfig, dataset: Dataset) -> Start:
    """Reads ``init_from``, or takes elements and reference energies from the training split.

    Raises:
      ArtefactError: If ``init_from`` is no intact potential.
      ConfigError: If the model, or what is added to it, is set otherwise than that of
        ``init_from``, or an element has no reference energy.
      DataError: If ``init_from`` does not know an element of the training split.
    """
    if config.init_from is not None:
        return _from_potential(config, dataset, Path(config.init_from).expanduser())
    name, model_config = registry.config_from_mapping(config.model)
    table, heads = statistics.species_table(dataset.train), statistics.heads(dataset.train)
    return Start(
        model_name=name,
        model_config=model_config,
        species_table=table,
        references=_fit(dataset.train, dataset, table, heads, config),
        heads=heads,
    )


def _fit(
    structures: Sequence[Structure],
    dataset: Dataset,
    table: tuple[int, ...],
    heads: tuple[str, ...],
    config: TrainConfig,
) -> references.References:
    """Reference energies, shift and scale from structures, for each head where there are several.

    Isolated atoms are those of the dataset.
    """
    if len(heads) > 1:
        return references.compute_references_by_head(
            structures, table, dataset.isolated_by_head, config.potential, heads
        )
    isolated = dataset.isolated_by_head.get(next(iter(heads)), dataset.isolated_atoms)
    return references.compute_references(structures, table, isolated, config.potential)


def _from_potential(config: TrainConfig, dataset: Dataset, path: Path) -> Start:
    potential = evaluate.cast(artefact.load(path), config.potential.dtype)
    spec = potential.spec
    _check_model(config.model, spec.model_name, spec.model_config, path)
    _check_added(config.potential, spec, path)
    unknown = sorted(set(statistics.species_table(dataset.train)) - set(spec.species_table))
    if unknown:
        raise errors.DataError(
            f"init_from: {path} does not know {', '.join(map(symbol, unknown))} of the training"
            f" split, only {', '.join(map(symbol, spec.species_table))}; remove those structures,"
            " or train a new potential"
        )
    energies, notes = _reference_energies(config, dataset, potential)
    return Start(
        model_name=spec.model_name,
        model_config=spec.model_config,
        species_table=spec.species_table,
        references=references.References(
            atomic_energies=energies,
            shift=np.asarray(potential.params["shift"]),
            scale=np.asarray(potential.params["scale"]),
            notes=(f"Training starts from {path}", *notes),
        ),
        potential=dataclasses.replace(
            potential,
            spec=dataclasses.replace(
                spec,
                atomic_energies=tuple(float(e) for e in energies.ravel()),
                train_shift=config.potential.train_shift,
                matmul_precision=config.potential.matmul_precision,
            ),
        ),
        fingerprint=hashlib.sha256(path.read_bytes()).hexdigest(),
        heads=spec.heads,
    )


def _check_model(given: Mapping[str, Any], name: str, model_config: Any, path: Path) -> None:
    """Refuses settings of the model that are neither those of the potential nor the defaults."""
    given_name, wanted = registry.config_from_mapping(given)
    if given_name != name:
        raise errors.ConfigError(
            f"model: init_from={path} is a potential of model {name}, received {given_name}; set"
            f" model={name}"
        )
    defaults = type(wanted)()
    for field in dataclasses.fields(wanted):
        value, stored = getattr(wanted, field.name), getattr(model_config, field.name)
        if value not in (stored, getattr(defaults, field.name)):
            raise errors.ConfigError(
                f"model.{field.name}: init_from={path} has {stored}, received {value}; leave the"
                " model's settings out, they are those of the potential"
            )


def _check_added(given: PotentialConfig, spec: PotentialSpec, path: Path) -> None:
    """Refuses what would be added to the model, but is not part of the potential."""
    if given.repulsion != "none" and spec.repulsion is None:
        raise errors.ConfigError(
            f"potential.repulsion: init_from={path} has none, received {given.repulsion}; leave it"
            " out, or train a new potential"
        )
    if spec.anchor_isolated and not given.anchor_isolated:
        raise errors.ConfigError(
            f"potential.anchor_isolated: init_from={path} has true, received false; leave it out,"
            " or train a new potential"
        )


def _reference_energies(
    config: TrainConfig, dataset: Dataset, potential: Potential
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Those of the potential with "auto"; least squares adds what best explains its errors."""
    method, spec = config.potential.reference_energies, potential.spec
    before = spec.references.reshape(spec.table_shape)
    if method == "auto":
        return before, ("Reference energies are those of that potential",)
    structures = dataset.train
    if method == "least_squares":
        predicted = evaluate.evaluate(potential, structures)
        structures = tuple(
            dataclasses.replace(s, energy=s.energy - p.energy) if s.energy_weight > 0 else s
            for s, p in zip(structures, predicted, strict=True)
        )
    found = _fit(structures, dataset, spec.species_table, spec.heads, config)
    if method == "least_squares":
        return before + found.atomic_energies, found.notes[:1]
    return found.atomic_energies, found.notes[:1]
