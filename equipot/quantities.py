"""The quantities that structures are labelled with and potentials predict: one table.

Energy, forces and stress are always there; the latter two are derivatives of the first. Others are
declared in ``data.quantities``: a potential learns each as a sum over atoms, or for each atom, of
outputs that turn by the irreps of the quantity. Whatever goes through quantities one after another
(reading, audit, cache, loss, metrics, tables, pictures, files) asks this table, and what holds
labels or predictions holds them by name.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from equipot import errors


class Label(NamedTuple):
    """A label with its weight in the loss, of one structure or of a batch of them.

    Attributes:
      value: Of the shape of its quantity, one for each atom or structure.
      weight: For each structure; 0 where there is no label, and the value then zero.
    """

    value: Any
    weight: Any


_IRREP = re.compile(r"(?:(\d+)x)?(\d+)([eo])")
_CARTESIAN: Mapping[str, tuple[int, ...]] = {
    "0e": (),
    "0o": (),
    "1o": (3,),
    "1e": (3,),
    "0e+2e": (3, 3),
}
_MOST_COMPONENTS = 1000
# Names of other things in our files.
_TAKEN = frozenset({"cell", "charge", "elements", "energies", "group", "groups", "head"})
_TAKEN |= {"loss", "numbers", "pbc", "positions", "seconds", "species", "step", "units"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a quantity is.

    Attributes:
      name: As in the configuration, in files of predictions and in tables.
      per: Whether each atom has one, or each structure.
      irreps: How it turns and reflects, as in ``1o`` (a vector), ``0e+2e`` (a symmetric matrix),
        ``1e`` (a magnetic moment).
      unit: Unit of its labels, its predictions and its errors; a word for tables only, unless the
        quantity is energy, forces or stress.
      shown: Unit of its errors in tables for people.
      factor: How many of these one unit is.
      is_extensive: Whether errors are divided by the number of atoms.
      keys: Usual names in files, in small letters.
      sums_to_charge: Whether the values of a structure's atoms add up to its charge.
      charges: Name of the quantity whose values q of the atoms add Σ q (r − r̄) to it, where r̄ is
        the mean of the positions; empty for none.
    """

    name: str
    per: Literal["atom", "structure"]
    irreps: str
    unit: str
    shown: str
    factor: float = 1.0
    is_extensive: bool = False
    keys: frozenset[str] = frozenset()
    sums_to_charge: bool = False
    charges: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value: Cartesian where there is such a form.

        Else the components of the irreps, one after another in the order of ``equipot.e3``.
        """
        cartesian = _CARTESIAN.get(self.irreps)
        return (_dimension(self.irreps),) if cartesian is None else cartesian

    @property
    def components(self) -> int:
        """How many numbers one value has."""
        return math.prod(self.shape)

    def show(self, error: float) -> str:
        """An error as tables for people have it, without its unit."""
        value = self.factor * error
        return f"{value:.2f}" if self.name in DERIVED else f"{value:.4g}"


ENERGY = Quantity(
    name="energy", per="structure", irreps="0e", unit="eV", shown="meV/atom", factor=1e3,
    is_extensive=True,
)  # fmt: skip
FORCES = Quantity(name="forces", per="atom", irreps="1o", unit="eV/Å", shown="meV/Å", factor=1e3)
STRESS = Quantity(
    name="stress", per="structure", irreps="0e+2e", unit="eV/Å³", shown="meV/Å³", factor=1e3
)
DERIVED: Mapping[str, Quantity] = {q.name: q for q in (ENERGY, FORCES, STRESS)}
"""Energy and its derivatives, which every potential has."""
NONE: Mapping[str, Quantity] = {}
"""Where nothing is declared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantityConfig:
    """A quantity as a user declares it.

    Attributes:
      per: Whether each atom has a value, or each structure (a sum over its atoms), default
        structure.
      irreps: How it turns and reflects: 0e a number, 1o a vector, 1e an axial vector, 0e+2e a
        symmetric matrix (3 × 3 or six numbers xx yy zz yz xz xy); others such as 2x0e+1o+3o as
        numbers in the order of ``equipot.e3``, default 0e.
      unit: Its unit, a word for tables, default none.
      key: Its key in files; null for its name, default null.
      sums_to_charge: Whether the values of a structure's atoms add up to its charge, which stands
        in files under ``charge`` and is 0 where it does not, default false.
      charges: Name of a quantity of atoms, their charges, that adds its dipole Σ q (r − r̄), in Å
        times its unit; null for none, default null.
    """

    per: Literal["atom", "structure"] = "structure"
    irreps: str = "0e"
    unit: str = ""
    key: str | None = None
    sums_to_charge: bool = False
    charges: str | None = None


def declared(configs: Mapping[str, QuantityConfig]) -> dict[str, Quantity]:
    """The table of the declared quantities, in order.

    Args:
      configs: By name.

    Raises:
      ConfigError: If a declaration contradicts itself or another one, or a name is taken.
    """
    table = {name: _quantity(name, config) for name, config in configs.items()}
    for name, quantity in table.items():
        if quantity.charges:
            _check_charges(name, quantity, table)
    return table


def configured(quantities: Iterable[Quantity]) -> dict[str, QuantityConfig]:
    """How quantities would be declared, by name: the inverse of ``declared``."""
    return {
        quantity.name: QuantityConfig(
            per=quantity.per,
            irreps=quantity.irreps,
            unit=quantity.unit,
            key=min(quantity.keys, default=None),
            sums_to_charge=quantity.sums_to_charge,
            charges=quantity.charges or None,
        )
        for quantity in quantities
    }


def every(others: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """Energy, forces and stress, then the others."""
    return {**DERIVED, **others}


def irreps_of(text: str, where: str) -> list[tuple[int, int, Literal[1, -1]]]:
    """Multiplicity, degree and parity of each part of irreps such as ``2x0e+1o``.

    Raises:
      ConfigError: If they are none, or have no component.
    """
    found: list[tuple[int, int, Literal[1, -1]]] = []
    for part in text.split("+"):
        match = _IRREP.fullmatch(part.strip())
        if match is None:
            raise errors.ConfigError(
                f"{where}: expected irreps such as 0e, 1o or 0e+2e, received '{text}'"
            )
        found.append((int(match[1] or 1), int(match[2]), 1 if match[3] == "e" else -1))
    size = sum(multiplicity * (2 * degree + 1) for multiplicity, degree, _ in found)
    if not 0 < size <= _MOST_COMPONENTS or any(multiplicity < 1 for multiplicity, _, _ in found):
        raise errors.ConfigError(
            f"{where}: expected irreps of 1 to {_MOST_COMPONENTS} components, received '{text}'"
        )
    return found


@functools.cache
def _dimension(irreps: str) -> int:
    return sum(m * (2 * degree + 1) for m, degree, _ in irreps_of(irreps, "irreps"))


def _quantity(name: str, config: QuantityConfig) -> Quantity:
    where = f"data.quantities.{name}"
    if name in DERIVED or name in _TAKEN or not name.isidentifier():
        raise errors.ConfigError(
            f"{where}: expected a name of letters, digits and underscores other than"
            f" {', '.join([*DERIVED, *sorted(_TAKEN)])}"
        )
    irreps = "+".join(
        f"{multiplicity}x{degree}{'e' if parity > 0 else 'o'}".removeprefix("1x")
        for multiplicity, degree, parity in irreps_of(config.irreps, f"{where}.irreps")
    )
    if config.sums_to_charge and (config.per, irreps) != ("atom", "0e"):
        raise errors.ConfigError(
            f"{where}.sums_to_charge: expected a quantity per atom of irreps 0e, this one is per"
            f" {config.per} of irreps {irreps}"
        )
    return Quantity(
        name=name,
        per=config.per,
        irreps=irreps,
        unit=config.unit,
        shown=config.unit,
        keys=frozenset({(config.key or name).casefold()}),
        sums_to_charge=config.sums_to_charge,
        charges=config.charges or "",
    )


def _check_charges(name: str, quantity: Quantity, table: Mapping[str, Quantity]) -> None:
    where, other = f"data.quantities.{name}", table.get(quantity.charges)
    if (quantity.per, quantity.irreps) != ("structure", "1o"):
        raise errors.ConfigError(
            f"{where}.charges: expected a quantity per structure of irreps 1o, a dipole, this one"
            f" is per {quantity.per} of irreps {quantity.irreps}"
        )
    if other is None or not other.sums_to_charge:
        raise errors.ConfigError(
            f"{where}.charges: expected the name of a quantity with sums_to_charge=true, received"
            f" '{quantity.charges}'"
        )
