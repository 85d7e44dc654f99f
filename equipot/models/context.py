"""What a model needs to know about the potential that it becomes part of."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelContext:
    """Facts that are not settings: they come from the data, or from whoever calls the model.

    Attributes:
      species_table: Atomic number of each species, ascending.
      avg_num_neighbors: Mean number of neighbors in the training set.
      num_heads: Number of levels of theory; 1 for a model that cannot tell them apart.
      directed: Whether edges are directed; without, each is a pair, see ``equipot.graphs.pairs``.
      outputs: Further quantities to predict for each atom: name and irreps, as in ``0e+2e``.
    """

    species_table: tuple[int, ...]
    avg_num_neighbors: float
    num_heads: int = 1
    directed: bool = False
    outputs: tuple[tuple[str, str], ...] = ()

    @property
    def num_species(self) -> int:
        """Number of species that the model knows."""
        return len(self.species_table)
