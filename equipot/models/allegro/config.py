"""The settings of Allegro."""

import dataclasses
from typing import Literal, TypeAlias

from equipot import errors
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels import environments
from equipot.models.settings import check_settings

Activation: TypeAlias = Literal["silu", "mish", "gelu", "ssp", "tanh"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of Allegro.

    Attributes:
      cutoff: Radius in Å within which atoms interact: all that an atom's energy depends on.
      num_layers: Number of layers, at least 1; each couples one more environment.
      lmax: Highest degree of the tensors and spherical harmonics.
      num_scalars: Scalar features of a pair in each layer.
      num_channels: Tensor features of a pair, the same number for every irrep.
      parity: Whether tensors of both parities are kept; without, only 0e, 1o, 2e, … are. Both are
        equivariant under inversion.
      radial_basis: ``bessel``: Bessel functions times an embedding of both species, or ``spline``:
        splines with weights of their own for each ordered pair of species.
      num_radial_basis: Number of functions of the distance.
      polynomial_cutoff: Exponent p of the envelope of the Bessel functions.
      spline_span: Number of splines that overlap.
      embedding_dim: Width of the embedding of distance and species, even.
      embedding_widths: Hidden layers between that and the first scalars.
      latent_widths: Hidden layers of the perceptron of every layer; none is a linear map.
      readout_widths: Hidden layers between all scalars of a pair and its energy.
      embedding_activation: Nonlinearity of the first perceptron.
      latent_activation: Nonlinearity of those of the layers.
      readout_activation: Nonlinearity of the last one.
      pair_cutoffs: For each species of the center the radius in Å for each species of the
        neighbor, both in ascending atomic number, none above ``cutoff``; empty for the same
        everywhere.
      trainable_bessel: Whether the frequencies of the Bessel functions are parameters.
      species_norm: Whether sums over the neighbors of an atom are multiplied by a parameter of its
        species.
    """

    cutoff: float = 5.0
    num_layers: int = 2
    lmax: int = 2
    num_scalars: int = 64
    num_channels: int = 32
    parity: bool = False
    radial_basis: Literal["bessel", "spline"] = "bessel"
    num_radial_basis: int = 8
    polynomial_cutoff: int = 6
    spline_span: int = 6
    embedding_dim: int = 64
    embedding_widths: tuple[int, ...] = (64,)
    latent_widths: tuple[int, ...] = (64,)
    readout_widths: tuple[int, ...] = (32,)
    embedding_activation: Activation = "silu"
    latent_activation: Activation = "silu"
    readout_activation: Activation = "silu"
    pair_cutoffs: tuple[tuple[float, ...], ...] = ()
    trainable_bessel: bool = False
    species_norm: bool = False

    def __post_init__(self) -> None:
        check_settings(
            self,
            num_layers=1,
            lmax=0,
            num_scalars=1,
            num_channels=1,
            num_radial_basis=1,
            polynomial_cutoff=2,
            spline_span=0,
        )
        if self.embedding_dim < 1 or (self.radial_basis == "bessel" and self.embedding_dim % 2):
            raise errors.ConfigError(
                "model.embedding_dim: expected an even number, half of it for each end of a pair, "
                f"received {self.embedding_dim}"
            )
        if self.radial_basis == "spline" and self.spline_span > self.num_radial_basis:
            raise errors.ConfigError(
                f"model.spline_span: expected 0 to {self.num_radial_basis}, the number of splines, "
                f"received {self.spline_span}"
            )
        if not all(0 < r <= self.cutoff for row in self.pair_cutoffs for r in row):
            raise errors.ConfigError(
                f"model.pair_cutoffs: expected radii above 0 and up to the cutoff {self.cutoff}, "
                f"received {self.pair_cutoffs}"
            )

    @property
    def harmonics(self) -> tuple[Irrep, ...]:
        """Irreps of the spherical harmonics, of natural parity: 0e, 1o, 2e."""
        return tuple(Irrep(l, (-1) ** l) for l in range(self.lmax + 1))

    @property
    def layers(self) -> tuple[environments.Layer, ...]:
        """The couplings of every layer."""
        both = tuple(Irrep(l, p) for l in range(self.lmax + 1) for p in (1, -1))
        allowed = both if self.parity else self.harmonics
        return environments.layers(self.harmonics, allowed, self.num_layers)

    def check_species(self, num_species: int) -> None:
        """Refuses radii of pairs for another number of species.

        Raises:
          ConfigError: If ``pair_cutoffs`` is no square of that many rows.
        """
        table = self.pair_cutoffs
        if table and [len(row) for row in table] != [num_species] * num_species:
            raise errors.ConfigError(
                f"model.pair_cutoffs: expected {num_species} rows of {num_species} radii, one for"
                f" each species, received {[list(row) for row in table]}"
            )
