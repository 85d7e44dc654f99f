"""What a potential adds around a model: precision, reference energies, scale."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from equipot import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class PotentialConfig:
    """Settings shared by all models.

    Attributes:
      dtype: Precision of parameters and features: float32 or float64.
      reference_energies: Energy of each isolated atom: "isolated" takes frames marked
        ``config_type=IsolatedAtom`` and single atoms without periodicity, "least_squares" fits one
        energy per element to the training set, "none" takes zero, a mapping ``{H: -13.6, O:
        -432.0}`` gives them in eV; "auto" is "isolated" where all elements have one and
        "least_squares" elsewhere.
      scale: Unit of the model's output in eV; "forces_mean" takes the deviation of normally
        distributed force components whose mean length is that of the training forces, which a few
        very large ones do not set; "forces_rms" takes the root mean square of the
        training forces.
      train_shift: Whether the mean binding energy per element, first fitted by least squares, is
        trained further.
      shift: Where the mean binding energy of an element acts: "constant", on every atom, which is
        right for molecules, clusters and surfaces; "bonds", on atoms that have a bond, so that
        an atom without neighbors has its reference energy exactly; "neighbors" is the switch of the
        first versions, for runs that these began.
      matmul_precision: Precision of matrix products on accelerators: highest, high (TF32 on
        NVIDIA) or default.
      repulsion: "wall" adds a wall that keeps atoms apart below the shortest distances of the
        training set, as steep as the forces on its closest pairs, where the model no longer sees
        how near they are; "zbl" adds the repulsion of screened nuclei (Ziegler, Biersack and
        Littmark) between atoms closer than the sum of their covalent radii; the model learns the
        rest; "fitted" is the old wall, which reaches 15 % beyond these distances and costs
        accuracy there, for runs that began with it.
    """

    dtype: Literal["float32", "float64"] = "float32"
    reference_energies: (
        Literal["auto", "isolated", "least_squares", "none"] | Mapping[str, float]
    ) = "auto"
    scale: Literal["forces_mean", "forces_rms"] | float = "forces_mean"
    train_shift: bool = False
    shift: Literal["constant", "bonds", "neighbors"] = "constant"
    matmul_precision: Literal["highest", "high", "default"] = "highest"
    repulsion: Literal["none", "zbl", "fitted", "wall"] = "wall"

    def __post_init__(self) -> None:
        if not isinstance(self.scale, str) and not 0 < self.scale < math.inf:
            raise errors.ConfigError(
                "potential.scale: expected forces_mean, forces_rms or a positive number of eV,"
                f" received {self.scale!r}"
            )
