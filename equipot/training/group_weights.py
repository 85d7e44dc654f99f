"""Weights of structures by their group, as the loss has them."""

import dataclasses
from collections.abc import Mapping, Sequence

from equipot import errors
from equipot.data.dataset import Dataset
from equipot.data.stored.structures import StoredStructures
from equipot.data.structure import Structure


def weighted(dataset: Dataset, groups: Mapping[str, float]) -> Dataset:
    """The dataset with weights of training and validation multiplied by a factor of the group.

    The test split stays as it is. So does the fingerprint, which names the data.

    Args:
      dataset: The data.
      groups: Factors by the name of the group; 1 for a group that is not named.

    Raises:
      ConfigError: If there are groups and the data are in a store.
      DataError: If no structure is of a group that is named.
    """
    if not groups:
        return dataset
    if isinstance(dataset.train, StoredStructures):
        raise errors.ConfigError(
            "loss.groups: expected none with data in a store, whose weights are those of its files;"
            " give the files weights of their own (data.weight_key) and prepare the store again"
        )
    known = sorted({s.group for part in (dataset.train, dataset.valid) for s in part})
    for name in groups:
        if name not in known:
            raise errors.DataError(
                f"loss.groups: no training or validation frame is of the group '{name}'."
                f"{errors.did_you_mean(name, known)} Groups: {', '.join(known)}"
            )
    return dataclasses.replace(
        dataset, train=_weighted(dataset.train, groups), valid=_weighted(dataset.valid, groups)
    )


def _weighted(
    structures: Sequence[Structure], groups: Mapping[str, float]
) -> tuple[Structure, ...]:
    return tuple(_times(s, groups.get(s.group, 1.0)) for s in structures)


def _times(structure: Structure, factor: float) -> Structure:
    if factor == 1.0:
        return structure
    return dataclasses.replace(
        structure,
        energy_weight=factor * structure.energy_weight,
        forces_weight=factor * structure.forces_weight,
        stress_weight=factor * structure.stress_weight,
        others={
            name: label._replace(weight=factor * label.weight)
            for name, label in structure.others.items()
        },
    )
