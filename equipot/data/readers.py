"""From a file or folder to labelled structures in eV and Å, with sentences on what was found."""

import dataclasses
import pathlib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from equipot import errors
from equipot.data import (
    bulk,
    cache,
    contents,
    declared,
    label_keys,
    label_units,
    labels,
    nan_labels,
    numbers,
    paths,
    structure,
)
from equipot.data import config as data_config
from equipot.data.formats import ase_files, deepmd, frame, mace_h5, npz
from equipot.quantities import DERIVED, NONE, Quantity, every

ISOLATED = frozenset({"isolatedatom", "isolatedatoms", "singleatom", "freeatom"})
"""Values of ``config_type`` that mark an isolated atom, ignoring case and separators."""

_SAME_ENERGY = 1e-6  # eV
_LARGEST_WEIGHT = 1e9


def read_structures(
    path: str | pathlib.Path, config: data_config.DataConfig | None = None
) -> list[structure.Structure]:
    """Reads the structures of one file or folder; frames of isolated atoms are left out.

    Args:
      path: A name as ``paths.resolve`` takes it.
      config: Keys and units; None finds the keys and assumes eV and Å. Labels are optional.

    Raises:
      DataError: If the file cannot be read, or a label in it is wrong or ambiguous.
    """
    config = config or data_config.DataConfig(train=str(path))
    return list(read_file(path, config).structures)


def read_file(path: str | pathlib.Path, config: data_config.DataConfig) -> contents.FileContents:
    """Reads one file or folder, from the cache if it was slow to read before.

    Args:
      path: A name as ``paths.resolve`` takes it.
      config: Format, keys and units.

    Raises:
      DataError: If the file cannot be read, or a label in it is wrong or ambiguous.
    """
    resolved = paths.resolve(path)
    key = cache.key(resolved, config) if config.cache and resolved.is_file() else None
    cached = cache.load(key) if key else None
    if cached is not None:
        return cached
    start = time.perf_counter()
    content = read_frames(resolved, config.format, config.declared)
    made = convert(content, config, name_of(resolved))
    if key and time.perf_counter() - start > cache.WORTHWHILE_SECONDS:
        cache.save(key, made)
    return made


def name_of(path: pathlib.Path) -> str:
    """What messages call a file or folder."""
    return path.resolve().name if path.name in ("", ".", "..") else path.name


def read_frames(
    path: pathlib.Path, chosen: str | None, quantities: Mapping[str, Quantity] = NONE
) -> frame.FrameFile:
    """Reads the frames of a file or folder without changing them.

    Args:
      path: An existing file or folder.
      chosen: Its format; None determines it from the name.
      quantities: The declared ones by name, for formats that need to know them.

    Raises:
      DataError: If the file cannot be read.
    """
    given = chosen
    if chosen is None:
        chosen = "deepmd" if deepmd.is_system(path) else path.suffix.removeprefix(".")
        chosen = "h5" if mace_h5.is_h5(path) else chosen
    if chosen == "deepmd":
        content = deepmd.read(path, quantities)
    elif chosen == "npz":
        content = npz.read(path, quantities)
    elif chosen == "h5":
        content = mace_h5.read(path)
    else:
        content = ase_files.read(path, given)
    if not content.frames:
        raise errors.DataError(f"{path}: expected at least one frame, but the file holds none")
    return content


def convert(
    content: frame.FrameFile, config: data_config.DataConfig, name: str
) -> contents.FileContents:
    """Turns the frames of a file into structures in eV and Å.

    Args:
      content: Frames as they are in the file.
      config: Keys and units.
      name: The file, for messages.

    Raises:
      DataError: If a label is wrong or ambiguous.
    """
    return convert_with(content, config, name)[0]


def convert_with(
    content: frame.FrameFile, config: data_config.DataConfig, name: str
) -> tuple[contents.FileContents, label_keys.LabelKeys, label_units.Scales]:
    """As ``convert``, with the keys and units that were found.

    Args:
      content: Frames as they are in the file.
      config: Keys and units.
      name: The file, for messages.

    Raises:
      DataError: If a label is wrong or ambiguous.
    """
    given = label_keys.present_keys(content.frames)
    content, left_out = nan_labels.without(content, config)
    if left_out:
        config = _without_emptied(config, content, given, name)
    keys = label_keys.find_keys(content, config, name)
    scales = label_units.scales(content, config, keys, name)
    stated = label_units.stated(content, config, keys, name)
    _check_info_keys(content, config, name)
    isolated: dict[str, dict[int, float]] = {"": {}}
    structures: list[structure.Structure] = []
    together = bulk.fields(
        content.frames, (keys.energy, scales.energy), (keys.forces, scales.forces), scales.length
    )
    for index, item in enumerate(content.frames):
        if together is None:
            made = _structure(item, config, keys, scales, name)
        else:
            made = _completed(together[index], item, config, keys, scales, name)
        if _is_isolated(item) and config.energy_key == data_config.IGNORED:
            continue
        if _is_isolated(item):
            add_isolated(isolated.setdefault(made.head, {}), made)
        else:
            structures.append(made)
    known = {z for energies in isolated.values() for z in energies}
    others = config.declared
    frames = [item for item in content.frames if not _is_isolated(item)]
    said = declared.remarks(frames, structures, keys.others, others)
    made = contents.FileContents(
        structures=tuple(structures),
        isolated_atoms=isolated.pop(""),
        isolated_by_head=isolated,
        found=(
            summary(_counts(structures, others), len(structures), known, keys, name),
            *_remarks(content, config, keys, name),
            *(f"{name}: {sentence}" for sentence in (*said, *left_out)),
        ),
        keys_present=tuple(given),
        length_unit_given=bool(config.length_unit) or "length" in stated,
        units_given=tuple(
            quantity
            for quantity in ("energy", "forces")
            if getattr(config, f"{quantity}_unit") or quantity in stated
        ),
    )
    return made, keys, scales


def _without_emptied(
    config: data_config.DataConfig, content: frame.FrameFile, before: Sequence[str], name: str
) -> data_config.DataConfig:
    """Without keys of which this file had labels, but none without a NaN."""
    options = ("energy_key", "forces_key", "stress_key")
    gone = {*before} - {*label_keys.present_keys(content.frames)}
    emptied = [own for own in options if getattr(config, own) in gone]
    if "energy_key" in emptied:
        check_no_isolated(content, config.energy_key or "", name)
    return dataclasses.replace(config, **dict.fromkeys(emptied, data_config.IGNORED))


def _is_isolated(item: frame.Frame) -> bool:
    if "config_type" not in item.values:
        return False
    marked = str(item.values["config_type"]).casefold()
    return "".join(filter(str.isalnum, marked)) in ISOLATED


def check_no_isolated(content: frame.FrameFile, key: str, name: str) -> None:
    """Refuses marked isolated atoms among frames none of which has the key of the energies.

    Raises:
      DataError: Naming the first.
    """
    for item in content.frames:
        if _is_isolated(item):
            raise errors.DataError(
                f"{name}, {item.where}: an isolated atom needs an energy; it has no '{key}'"
                " (data.energy_key)"
            )


def _check_info_keys(content: frame.FrameFile, config: data_config.DataConfig, name: str) -> None:
    frames = [item for item in content.frames if not _is_isolated(item)]
    present = label_keys.present_keys(frames)
    for option in ("group_key", "head_key"):
        key = getattr(config, option)
        if frames and key is not None and key not in present:
            raise errors.DataError(
                f"{name}: no frame has the key '{key}' (data.{option})."
                f"{errors.did_you_mean(key, present)} Keys: {', '.join(present) or 'none'}"
            )


def _structure(
    item: frame.Frame,
    config: data_config.DataConfig,
    keys: label_keys.LabelKeys,
    scales: label_units.Scales,
    name: str,
) -> structure.Structure:
    """One frame in eV and Å; a label that is absent gets a weight of zero."""
    where = f"{name}, {item.where}"
    values, count = item.values, len(item.atomic_numbers)
    cell = _lengths(item.cell, "cell", scales.length, where)
    positions = _lengths(item.positions, "positions", scales.length, where)
    pbc = np.array(item.pbc, bool)
    _check_atoms_and_cell(count, cell[pbc], where)
    weights = _weights(values, config, where)
    volume = float(abs(np.linalg.det(cell))) if pbc.all() else 0.0
    fields: dict[str, Any] = {}
    if (key := keys.energy) is not None and key in values:
        energy = labels.scalar(values[key], key, where)
        fields |= {"energy": energy * scales.energy, "energy_weight": weights["energy"]}
    if (key := keys.forces) is not None and key in values:
        forces = labels.forces(values[key], key, count, where)
        fields |= {"forces": forces * scales.forces, "forces_weight": weights["forces"]}
    if (key := keys.stress) is not None and key in values and volume > 0.0:
        stress = labels.stress(values[key], key, volume, where, scales.stress)
        fields |= {"stress": stress, "stress_weight": weights["stress"]}
    fields |= _others(values, config, keys, weights, positions, pbc, where)
    return structure.Structure(
        positions=positions,
        atomic_numbers=numbers.whole(item.atomic_numbers, "atomic numbers", where),
        cell=cell,
        pbc=pbc,
        source=where,
        group=_text(values, config.group_key),
        head=_head(values, config.head_key, where),
        **fields,
    )


def _completed(
    fields: dict[str, Any],
    item: frame.Frame,
    config: data_config.DataConfig,
    keys: label_keys.LabelKeys,
    scales: label_units.Scales,
    name: str,
) -> structure.Structure:
    """As ``_structure``, from what ``bulk`` has read and checked."""
    where, values, key = f"{name}, {item.where}", item.values, keys.stress
    stress, has_stress = np.zeros((3, 3)), False
    weights = _weights(values, config, where)
    if key is not None and key in values and fields["pbc"].all():
        volume = float(abs(np.linalg.det(fields["cell"])))
        stress = labels.stress(values[key], key, volume, where, scales.stress)
        has_stress = True
    made = structure.assemble(
        **fields
        | _others(values, config, keys, weights, fields["positions"], fields["pbc"], where)
        | {
            "stress": stress,
            "energy_weight": weights["energy"] * fields["energy_weight"],
            "forces_weight": weights["forces"] * fields["forces_weight"],
            "stress_weight": weights["stress"] * has_stress,
            "source": where,
            "group": _text(values, config.group_key),
            "head": _head(values, config.head_key, where),
        }
    )
    if has_stress:
        structure.check_array("stress", stress, made.where)
    return made


def _others(
    values: Mapping[str, Any],
    config: data_config.DataConfig,
    keys: label_keys.LabelKeys,
    weights: Mapping[str, float],
    positions: np.ndarray,
    pbc: np.ndarray,
    where: str,
) -> dict[str, Any]:
    """Declared labels and the total charge of a frame."""
    if not config.quantities:
        return {"others": {}, "charge": 0.0}
    own = config.declared
    charge = declared.charge(values, keys.others, own, where)
    found = declared.read(values, keys.others, own, weights, charge, positions, pbc, where)
    return {"others": found, "charge": charge}


def _lengths(value: Any, what: str, scale: float, where: str) -> np.ndarray:
    array = numbers.real(value, what, where) * scale
    structure.check_array(what, array, where)
    return array


def _check_atoms_and_cell(count: int, vectors: np.ndarray, where: str) -> None:
    """Stops if a frame has no atoms, or its periodic lattice vectors are missing or flat."""
    if count == 0:
        raise errors.DataError(f"{where}: holds no atoms; remove the frame")
    right_angled = np.prod(np.linalg.norm(vectors, axis=1)) ** 2
    if len(vectors) and np.linalg.det(vectors @ vectors.T) <= bulk.FLAT * right_angled:
        raise errors.DataError(
            f"{where}: is periodic along {len(vectors)} directions, but its lattice vectors "
            f"{vectors.tolist()} do not span as many; give the cell or set pbc to F"
        )


def _weights(
    values: Mapping[str, Any], config: data_config.DataConfig, where: str
) -> dict[str, float]:
    """The weight in the loss of each label of a frame, by quantity."""
    common = _weight(values, config.weight_key, where)
    weights = dict.fromkeys(every(config.declared), common)
    for name, key in config.weight_keys.items():
        weights[name] = common * _weight(values, key, where)
    return weights


def _weight(values: Mapping[str, Any], key: str | None, where: str) -> float:
    if key is None or key not in values:
        return 1.0
    weight = labels.scalar(values[key], key, where)
    if not 0.0 <= weight <= _LARGEST_WEIGHT:
        raise errors.DataError(
            f"{where}: the weight '{key}' is {weight}, expected 0 or more, up to "
            f"{_LARGEST_WEIGHT:g}"
        )
    return weight


def _text(values: Mapping[str, Any], key: str | None) -> str:
    value = values.get(key, "") if key else ""
    return str(value.item() if isinstance(value, np.generic) else value)


def _head(values: Mapping[str, Any], key: str | None, where: str) -> str:
    head = _text(values, key)
    if key is not None and not head:
        raise errors.DataError(
            f"{where}: has no '{key}', expected the name of its level of theory (data.head_key);"
            " add it, or remove the frame"
        )
    return head


def add_isolated(known: dict[int, float], made: structure.Structure) -> None:
    """Adds the energy of an isolated atom, in eV, to those known.

    Raises:
      DataError: If the frame has several atoms or no energy, or its element has another energy.
    """
    if len(made.atomic_numbers) != 1:
        raise errors.DataError(
            f"{made.where}: expected an isolated atom, one atom alone, but the frame has "
            f"{len(made.atomic_numbers)} atoms; take it out, or its mark config_type"
        )
    if made.energy_weight == 0.0 and made.energy == 0.0:  # a weight of 0 leaves its energy
        raise errors.DataError(f"{made.where}: an isolated atom needs an energy; it has none")
    add_energy(known, int(made.atomic_numbers[0]), made.energy, made.where)


def add_energy(known: dict[int, float], number: int, energy: float, where: str) -> None:
    """Adds the energy in eV of an isolated atom to those known.

    Raises:
      DataError: If the same element has another energy already.
    """
    if abs(known.setdefault(number, energy) - energy) > _SAME_ENERGY:
        raise errors.DataError(
            f"{where}: isolated {chemical_symbols[number]} has two energies, {known[number]} and "
            f"{energy} eV; keep one frame of it"
        )


def _counts(
    structures: Sequence[structure.Structure], others: Mapping[str, Quantity]
) -> dict[str, int]:
    """How many structures have a label of each quantity."""
    return {name: sum(s.label(name) is not None for s in structures) for name in every(others)}


def summary(
    counts: Mapping[str, int],
    frames: int,
    isolated: Collection[int],
    keys: label_keys.LabelKeys,
    name: str,
) -> str:
    """One sentence on the frames and labels of a file.

    Args:
      counts: How many frames have a label of each quantity, by name.
      frames: How many frames there are.
      isolated: Atomic numbers of isolated atoms.
      keys: The key of each label.
      name: The file.
    """
    parts = []
    for label, count in counts.items():
        key = getattr(keys, label) if label in DERIVED else keys.others.get(label)
        parts.append(f"{label} from '{key}' ({count})" if key else f"no {label}")
    atoms = ", ".join(chemical_symbols[z] for z in sorted(isolated))
    tail = f"; isolated atoms as reference energies: {atoms}" if isolated else ""
    return f"{name}: {frames} frames; {', '.join(parts)}{tail}"


def _remarks(
    content: frame.FrameFile,
    config: data_config.DataConfig,
    keys: label_keys.LabelKeys,
    name: str,
) -> list[str]:
    """Sentences on labels that were chosen among several, converted or left out."""
    remarks = [f"{name}: {remark}" for remark in keys.remarks]
    remarks += [f"{name}: {remark}" for remark in label_units.overruled(content, config)]
    if keys.stress is not None and labels.is_virial(keys.stress):
        remarks.append(f"{name}: '{keys.stress}' is read as -stress x volume")
    open_cells = sum(keys.stress in item.values and not np.all(item.pbc) for item in content.frames)
    if open_cells:
        remarks.append(
            f"{name}: the stress of {open_cells} frames is left out, because they are not periodic "
            f"in all three directions"
        )
    frames = [item for item in content.frames if not _is_isolated(item)]
    for key in filter(None, (config.weight_key, *config.weight_keys.values())):
        unweighted = sum(key not in item.values for item in frames)
        if unweighted:
            remarks.append(f"{name}: {unweighted} frames have no '{key}' and weigh 1")
    return remarks
