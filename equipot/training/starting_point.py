"""Where a run begins: with parameters drawn at random, or with those of a saved potential."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors
from equipot.data import columns
from equipot.data.dataset import Dataset
from equipot.data.structure import Structure, symbol
from equipot.models import registry
from equipot.potential import artefact, binding, evaluate, known, references, species, wall
from equipot.potential import heads as several
from equipot.potential.config import PotentialConfig
from equipot.potential.potential import Potential, PotentialSpec
from equipot.quantities import DERIVED, Quantity
from equipot.store import host_graph, statistics
from equipot.store.graph_store import GraphStore
from equipot.store.host_graph import ONE_HEAD
from equipot.training.config import TrainConfig
from equipot.training.folder import RunFolder

DEFAULT_MODEL = "mace"
"""The one that ``configs/train.yaml`` chooses."""

_MEASURED = 20_000  # structures of a store that a potential is compared with
_MOST_BINDING = 15.0  # eV per atom; no solid or molecule is bound by more


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StartingPoint:
    """What is known before graphs are built.

    Attributes:
      model_name: Name of the model.
      model_config: Its settings.
      species_table: Atomic number of each species, ascending.
      references: Reference energies, shift and scale, and sentences about them.
      potential: What training starts from, in the precision of the run; None for random parameters.
      fingerprint: SHA-256 of its file.
      heads: Names of the levels of theory.
      new: Atomic numbers that ``potential`` did not know before.
      graphs: Of the training split, where they had to be built; labels are those of ``potential``
        as it was.
    """

    model_name: str
    model_config: Any
    species_table: tuple[int, ...]
    references: references.References
    potential: Potential | None = None
    fingerprint: str | None = None
    heads: tuple[str, ...] = ONE_HEAD
    new: tuple[int, ...] = ()
    graphs: GraphStore | None = None


def find(
    config: TrainConfig, dataset: Dataset, model: tuple[str, Any] | None = None
) -> StartingPoint:
    """Reads ``init_from``, or takes elements and reference energies from the training split.

    Args:
      config: The run.
      dataset: Its data.
      model: Name and settings of its model, where they are known already.

    Raises:
      ArtefactError: If ``init_from`` is no intact potential.
      ConfigError: If the model, or what is added to it, is set otherwise than that of
        ``init_from``, or an element has no reference energy.
      DataError: If ``init_from`` does not know an element of the training split.
    """
    name, model_config = model or registry.config_from_mapping(config.model)
    if config.init_from is not None:
        path = known.resolve(config.init_from)
        return _from_potential(config, dataset, (name, model_config), path)
    table, heads = statistics.species_table(dataset.train), statistics.heads(dataset.train)
    return StartingPoint(
        model_name=name,
        model_config=registry.for_species(model_config, len(table)),
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


def _from_potential(
    config: TrainConfig, dataset: Dataset, model: tuple[str, Any], path: Path
) -> StartingPoint:
    potential = evaluate.cast(artefact.load(path), config.potential.dtype)
    of_model = _check_model(model, potential.spec, path)
    _check_added(config, potential.spec, path)
    untrained = _check_quantities(config.data.declared, potential.spec, path)
    potential, of_heads = _with_heads(dataset, potential)
    potential, new, of_elements = _with_elements(config, dataset, potential)
    spec = potential.spec
    if new and config.potential.reference_energies == "auto":
        fitted = dataclasses.replace(config.potential, reference_energies="least_squares")
        config = dataclasses.replace(config, potential=fitted)
    energies, shift, graphs, notes = _adapted(config, dataset, potential, new)
    _check_energies(dataset, spec, energies + shift, path)
    return StartingPoint(
        model_name=spec.model_name,
        model_config=spec.model_config,
        species_table=spec.species_table,
        references=references.References(
            atomic_energies=energies,
            shift=shift,
            scale=np.asarray(potential.params["scale"]),
            notes=(
                f"Training starts from {path}, with its parameters and settings",
                *of_model,
                *of_heads,
                *of_elements,
                *untrained,
                *notes,
            ),
        ),
        potential=dataclasses.replace(
            potential,
            params={**potential.params, "shift": shift},
            spec=dataclasses.replace(
                spec,
                atomic_energies=tuple(float(e) for e in energies.ravel()),
                train_shift=config.potential.train_shift,
                matmul_precision=config.potential.matmul_precision,
            ),
        ),
        fingerprint=hashlib.sha256(path.read_bytes()).hexdigest(),
        heads=spec.heads,
        new=new,
        graphs=graphs,
    )


def _with_heads(dataset: Dataset, potential: Potential) -> tuple[Potential, tuple[str, ...]]:
    """The potential with a head for each level of theory of the data, and a sentence on that."""
    there = statistics.heads(dataset.train)
    if there == ONE_HEAD or len(potential.spec.heads) > 1:
        return potential, ()
    if len(there) == 1:
        spec = dataclasses.replace(potential.spec, heads=there)
        return dataclasses.replace(potential, spec=spec), ()
    note = f"It gets a head for each of {', '.join(there)}, which all begin as the one it has"
    return several.with_heads(potential, there), (note,)


def _with_elements(
    config: TrainConfig, dataset: Dataset, potential: Potential
) -> tuple[Potential, tuple[int, ...], tuple[str, ...]]:
    """The potential for the elements that are wanted of it, those that are new, and sentences."""
    known, there = potential.spec.species_table, statistics.species_table(dataset.train)
    wanted = there if config.init_elements == "data" else tuple(sorted({*known, *there}))
    if wanted == known:
        return potential, (), ()
    potential, sources = species.with_species(potential, wanted)
    notes = [
        f"{symbol(new)} is new to it and begins as {symbol(source)}, the most similar it knows"
        for new, source in sources.items()
    ]
    if left := len(set(known) - set(wanted)):
        names = ", ".join(map(symbol, wanted))
        notes.append(f"It keeps the elements of the training split, {names}, and loses {left}")
    if sources and config.potential.reference_energies == "auto":
        notes.append(
            "Reference energies are fitted by least squares, since those of new elements are not"
            " known; potential.reference_energies=isolated takes them from isolated atoms"
        )
    return potential, tuple(sources), tuple(notes)


def _check_energies(
    dataset: Dataset, spec: PotentialSpec, energies: np.ndarray, path: Path
) -> None:
    """Refuses labels that no binding explains: of another program, or with other references.

    Reference energies and shift together count: where one is zero the other holds it all.
    """
    table = np.asarray(energies, np.float64).reshape(len(spec.heads), -1)
    each = []
    for s in columns.drawn(dataset.train, _MEASURED):
        if s.energy_weight > 0:
            head = host_graph.head_of(s, spec.heads)
            atoms = np.searchsorted(spec.species_table, s.atomic_numbers)
            each.append((s.energy - table[head][atoms].sum()) / len(atoms))
    if each and abs(np.median(each)) > _MOST_BINDING:
        raise errors.DataError(
            f"data.train: energies differ from those that init_from={path} gives the atoms by"
            f" {np.median(each):.1f} eV per atom (median), more than any binding; the labels are of"
            " another level of theory or program. Set potential.reference_energies=least_squares,"
            " or isolated where there are isolated atoms"
        )


def _check_model(given: tuple[str, Any], spec: PotentialSpec, path: Path) -> tuple[str, ...]:
    """Refuses settings of the model that are neither those of the potential nor the defaults.

    A model that nobody chose gives way to that of the potential, which is said.
    """
    given_name, wanted = given
    name, model_config, defaults = spec.model_name, spec.model_config, type(wanted)()
    if given_name != name:
        if given_name == DEFAULT_MODEL and wanted == defaults:
            return (f"The model is that of the potential, {name}, not {given_name}",)
        raise errors.ConfigError(
            f"model: init_from={path} is a potential of model {name}, received {given_name}; set"
            f" model={name}"
        )
    for field in dataclasses.fields(wanted):
        value, stored = getattr(wanted, field.name), getattr(model_config, field.name)
        if value not in (stored, getattr(defaults, field.name)):
            raise errors.ConfigError(
                f"model.{field.name}: init_from={path} has {stored}, received {value}; leave the"
                " model's settings out, they are those of the potential"
            )
    return ()


def _check_added(config: TrainConfig, spec: PotentialSpec, path: Path) -> None:
    """Refuses settings that would change what the potential is made of.

    Those of the repulsion were ignored before: a run that began with them goes on.
    """
    given, usual = config.potential, PotentialConfig()
    is_begun = RunFolder(Path(config.folder), config.name).config.exists()
    has = {
        "repulsion": wall.name(spec.repulsion, spec.wall),
        "scale": "a scale of its own",
        "shift": binding.name(spec.anchor_isolated, spec.bond_radii),
    }
    for key, own in has.items():
        value = getattr(given, key)
        if value in (own, getattr(usual, key)) or (is_begun and key == "repulsion"):
            continue
        raise errors.ConfigError(
            f"potential.{key}: init_from={path} has {own}, received {value}; leave it out, or train"
            " a new potential"
        )


def _check_quantities(
    declared: Mapping[str, Quantity], spec: PotentialSpec, path: Path
) -> tuple[str, ...]:
    """Refuses quantities that the potential lacks; a sentence on those that stay untrained."""
    known = {quantity.name: quantity for quantity in spec.quantities}
    for name, quantity in declared.items():
        stored = known.get(name)
        if stored is None:
            raise errors.ConfigError(
                f"data.quantities.{name}: init_from={path} predicts"
                f" {', '.join([*DERIVED, *known])} only.{errors.did_you_mean(name, known)} Take the"
                " declaration out, or train a new potential"
            )
        for key in ("per", "irreps", "unit", "sums_to_charge", "charges"):
            value, wanted = getattr(quantity, key), getattr(stored, key)
            if value != wanted:
                raise errors.ConfigError(
                    f"data.quantities.{name}.{key}: init_from={path} has {wanted!r}, received"
                    f" {value!r}"
                )
    left = [name for name in known if name not in declared]
    if not left:
        return ()
    listed = ", ".join(left)
    return (f"Not trained further, since data.quantities does not declare it: {listed}",)


def _adapted(
    config: TrainConfig, dataset: Dataset, potential: Potential, new: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, GraphStore | None, tuple[str, ...]]:
    """Reference energies and shift for the labels of the training split, and notes on them.

    Between them stand the graphs that were built for it, if any.

    With "auto" those of the potential. Least squares adds to its reference energies what best
    explains its errors. Reference energies that are given replace those of the elements in the
    training split; what then best explains the errors is a mean binding energy, and added to the
    shift. Levels of theory that the training split lacks keep theirs.
    """
    method, spec = config.potential.reference_energies, potential.spec
    energies = spec.references.reshape(spec.table_shape)
    shift = np.asarray(potential.params["shift"])
    if method == "auto":
        return energies, shift, None, ("Reference energies are those of that potential",)
    fits = method == "least_squares"
    train = columns.drawn(dataset.train, _MEASURED)
    graphs = evaluate.graphs_of(spec, train)
    begun = dataclasses.replace(potential, spec=with_wall(spec, graphs, new))
    predicted = evaluate.evaluate(begun, graphs)
    structures = tuple(
        dataclasses.replace(s, energy=s.energy - p.energy + (0.0 if fits else _references(s, spec)))
        if s.energy_weight > 0
        else s
        for s, p in zip(train, predicted, strict=True)
    )
    table = statistics.species_table(train)
    heads = _heads_of(dataset, spec)
    found = _fit(structures, dataset, table, heads, config)
    places = np.searchsorted(spec.species_table, table)
    rows = np.array([spec.heads.index(head) for head in heads])[:, None], places
    energies, shift = energies.copy(), shift.copy()
    own, shifts = (x.reshape(len(spec.heads), -1) for x in (energies, shift))  # views
    own[rows] = found.atomic_energies + (own[rows] if fits else 0.0)
    shifts[rows] += found.shift.astype(shift.dtype)
    notes = tuple(note for note in found.notes if references.UNIT not in note)
    if train is not dataset.train:
        graphs = None
        notes += (f"They are fitted to {len(train):,} structures of the store, drawn at random",)
    added = "Energies below are added to those of that potential"
    return energies, shift, graphs, (added, *notes) if fits else notes


def with_wall(spec: PotentialSpec, graphs: GraphStore, new: tuple[int, ...]) -> PotentialSpec:
    """The wall, where there is one, makes way for distances that are new to the potential.

    Args:
      spec: Of the potential that training starts from.
      graphs: Of the training split.
      new: Atomic numbers that the potential did not know.
    """
    if spec.wall is None:
        return spec
    table, found = spec.species_table, graphs.closest_pairs(spec.num_species)
    lowered = wall.lowered(spec.wall, found, table, spec.cutoff, new)
    return dataclasses.replace(spec, wall=lowered)


def _heads_of(dataset: Dataset, spec: PotentialSpec) -> tuple[str, ...]:
    """The levels of theory of a potential that the training split has."""
    there = statistics.heads(dataset.train)
    return tuple(head for head in spec.heads if len(spec.heads) == 1 or head in there)


def _references(structure: Structure, spec: PotentialSpec) -> float:
    """The sum of the potential's reference energies of a structure's atoms."""
    head = spec.heads.index(structure.head) if len(spec.heads) > 1 else 0
    atoms = np.searchsorted(spec.species_table, structure.atomic_numbers)
    return float(spec.references[head][atoms].sum())
