"""Where structures come from, how they are split, and the keys and units of their labels."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

from equipot import errors, units
from equipot import quantities as quantities_

IGNORED = "none"
_OF_READING = (
    *("format", "group_key", "head_key", "weight_key", "nan_labels"),
    *("energy_key", "forces_key", "stress_key"),
    *("energy_unit", "length_unit", "forces_unit", "stress_unit"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The ``data`` group of the configuration.

    Attributes:
      train: Structure file, or several: whatever ASE reads (also as .gz, .xz, .bz2), an .npz of
        rMD17 or sGDML, a DeePMD folder or a parent of such folders, an .h5 of mace_prepare_data or
        a folder of such files; or one store made by ``equipot prepare``. ``equipot://data/``
        begins the name of a shipped file, ``equipot://reference/`` that of one below the folder
        ``$EQUIPOT_REFERENCE_DATA``.
      valid: Files of the validation split; None sets frames aside from ``train``.
      test: Files of the test split; None sets frames aside from ``train`` if asked for below.
      isolated_atoms: File of isolated atoms, one in each frame, with their energies; they are
        reference energies beside those of frames marked ``config_type=IsolatedAtom``.
      num_train: Exact number of training frames; None keeps all that remain.
      num_valid: Exact number of validation frames; wins over ``valid_fraction``.
      num_test: Exact number of test frames; wins over ``test_fraction``.
      valid_fraction: Share of ``train`` set aside for validation where ``valid`` is None.
      test_fraction: Share of ``train`` set aside for testing where ``test`` is None.
      split: Whether frames are set aside at random, in file order (sequential: training,
        validation, test), or at random from each group of ``group_key`` in proportion to its size
        (stratified).
      split_seed: Seed of the random split.
      split_file: JSON file with lists ``train``, ``valid`` and ``test`` of frames of ``train``,
        counted from 0 without isolated atoms; fractions and ``split`` do not matter then.
      format: An ASE format, ``"npz"`` or ``"deepmd"``; None guesses from the name.
      energy_key: Key of the energies; None looks for the usual names, ``"none"`` ignores them.
      forces_key: Likewise of the forces.
      stress_key: Likewise of the stress or virial; a key with "virial" in its name holds
        −stress × volume.
      energy_unit: eV, kcal/mol, Hartree, …; None is what the file states, else eV.
      length_unit: Angstrom, Bohr, …; None is what the file states, else Angstrom.
      forces_unit: eV/Angstrom, Hartree/Bohr, …; None is the unit of energy over that of length.
      stress_unit: eV/Angstrom^3, GPa, …, for a virial a unit of energy; None is derived likewise.
      group_key: Key of ``info`` by whose values tables of errors are broken down.
      head_key: Key of ``info`` that names the level of theory of each frame, where data of several
        are trained together: each has its own head of the model and its own reference energies.
      weight_key: Key of ``info`` that holds the weight of each frame in the loss.
      quantities: What structures are labelled with beside energy, forces and stress, by name.
      cache: Keep what slow formats gave in the cache folder (``EQUIPOT_CACHE``).
      weight_keys: Keys of ``info`` that hold a weight of one label of each frame, by the name of
        its quantity, as in ``{energy: config_energy_weight}``; on top of ``weight_key``.
      nan_labels: Whether a label with NaN in it is "refused", or "absent": the frame then has no
        such label.
      store: Where structures are while training: "never" keeps them in memory, "always" in a store
        of arrays in the cache folder that is mapped into memory, "auto" there if they would take
        more than half of the memory that is free. A store made by ``equipot prepare`` is named as
        ``train`` instead.

    Raises:
      ConfigError: At an unknown unit, or a number or fraction out of its range.
    """

    train: str | tuple[str, ...]
    valid: str | tuple[str, ...] | None = None
    test: str | tuple[str, ...] | None = None
    isolated_atoms: str | None = None
    num_train: int | None = None
    num_valid: int | None = None
    num_test: int | None = None
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    split: Literal["random", "sequential", "stratified"] = "random"
    split_seed: int = 0
    split_file: str | None = None
    format: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    energy_unit: str | None = None
    length_unit: str | None = None
    forces_unit: str | None = None
    stress_unit: str | None = None
    group_key: str | None = None
    head_key: str | None = None
    weight_key: str | None = None
    quantities: Mapping[str, quantities_.QuantityConfig] = dataclasses.field(default_factory=dict)
    cache: bool = True
    weight_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    nan_labels: Literal["refused", "absent"] = "refused"
    store: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        if not self.files("train"):
            raise errors.ConfigError(
                "data.train: expected a structure file or several, received none"
            )
        for name, smallest in (("num_train", 1), ("num_valid", 0), ("num_test", 0)):
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise errors.ConfigError(
                    f"data.{name}: expected at least {smallest} frames, received {value}"
                )
        for name in ("valid_fraction", "test_fraction"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise errors.ConfigError(
                    f"data.{name}: expected a share from 0 up to 1, received {value}"
                )
        self._check_units()
        self.declared  # refuses what contradicts itself  # noqa: B018
        known = quantities_.every(self.declared)
        for name in self.weight_keys:
            if name not in known:
                raise errors.ConfigError(
                    f"data.weight_keys: unknown quantity '{name}'."
                    f"{errors.did_you_mean(name, known)} Known: {', '.join(known)}"
                )
        if self.split == "stratified" and self.group_key is None:
            raise errors.ConfigError(
                "data.split: stratified takes frames from each group; expected data.group_key, the"
                " key that holds the group of each frame, received null"
            )

    def _check_units(self) -> None:
        readers = {
            "energy_unit": units.energy_in_ev,
            "length_unit": units.length_in_angstrom,
            "forces_unit": units.force_in_ev_per_angstrom,
        }
        for name, reader in readers.items():
            value = getattr(self, name)
            if value is not None:
                try:
                    reader(value)
                except errors.ConfigError as error:
                    raise errors.ConfigError(f"data.{name}: {error}") from None
        if self.stress_unit is not None:
            _check_stress_unit(self.stress_unit)

    def of_reading(self) -> dict[str, Any]:
        """The settings that shape what is read from a file, as plain data."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _OF_READING}
        found["weight_keys"] = dict(self.weight_keys)
        found["quantities"] = {k: dataclasses.asdict(own) for k, own in self.quantities.items()}
        return found

    @functools.cached_property
    def declared(self) -> dict[str, quantities_.Quantity]:
        """The table of the declared quantities."""
        return quantities_.declared(self.quantities)

    def files(self, split: Literal["train", "valid", "test"]) -> tuple[str, ...]:
        """Names of the files of a split; empty where there are none."""
        value = getattr(self, split)
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else tuple(value)


def _check_stress_unit(name: str) -> None:
    """A stress has a unit of stress, a virial one of energy; which it is shows in the file only."""
    if units.is_energy(name):
        return
    try:
        units.stress_in_ev_per_cubic_angstrom(name)
    except errors.ConfigError as error:
        raise errors.ConfigError(f"data.stress_unit: {error}") from None
