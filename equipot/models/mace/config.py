"""Settings of MACE.

Reference: Batatia et al. 2022, NeurIPS 35. arXiv:2206.07697; the variants are those of mace-torch.
"""

import dataclasses
from typing import Literal

from equipot import errors
from equipot.e3.arrays.irreps import Irrep
from equipot.models.settings import check_settings

Kind = Literal["residual", "agnostic", "density", "density_residual", "nonlinear"]
Gate = Literal["silu", "tanh"]
NONLINEAR: Kind = "nonlinear"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of MACE.

    Attributes:
      cutoff: Radius in Å within which atoms exchange messages.
      num_layers: Number of interaction layers, at least 1.
      lmax: Highest degree of the spherical harmonics and of the sums over neighbors.
      message_lmax: Highest degree of the features that atoms send (max_L in mace-torch).
      num_channels: Channels of every irrep.
      parity: Whether features keep irreps of both parities; without, only 0e, 1o, 2e, … are. Both
        are equivariant under inversion.
      correlation: Highest power of the sums over neighbors, 1 to 4: one number, or one for each
        layer. An energy of order 3 sees four bodies at a time.
      interaction: How sums become messages: residual adds the atom's own features by species,
        agnostic mixes the sum by species and forgets them, density and density_residual divide
        these two by a learned number of neighbors. In nonlinear, both atoms of an edge shape its
        radial weights, and the sum passes through a gate.
      first_interaction: The same for the first layer.
      sent_channels: Channels of every irrep of what atoms send: one number, or one for each layer;
        null for those of the features.
      radial_basis: Functions of a distance: bessel, gaussian or chebyshev.
      num_radial_basis: Their number.
      distance_transform: What is done to distances before: none, agnesi or soft, which take the
        covalent radii of both atoms into account.
      polynomial_cutoff: Exponent p of the envelope.
      radial_widths: Widths of the hidden layers of the radial networks.
      readout_width: Width of the hidden layer of the last readout; 0 makes it linear. Readouts of
        the other layers are linear.
      readout_biases: Whether the last readout has a second hidden layer, with biases.
      gate: Activation in the last readout: silu or tanh.
      shared_matrices: Number of matrices and of products' weights that those of all species are
        sums of; 0: each species has its own; by default 8 where training has more than 8 species.
    """

    cutoff: float = 5.0
    num_layers: int = 2
    lmax: int = 2
    message_lmax: int = 2
    num_channels: int = 64
    parity: bool = False
    correlation: int | tuple[int, ...] = 3
    interaction: Kind = "residual"
    first_interaction: Kind = "residual"
    sent_channels: int | tuple[int, ...] | None = None
    radial_basis: Literal["bessel", "gaussian", "chebyshev"] = "bessel"
    num_radial_basis: int = 8
    distance_transform: Literal["none", "agnesi", "soft"] = "none"
    polynomial_cutoff: int = 5
    radial_widths: tuple[int, ...] = (32, 32)
    readout_width: int = 16
    readout_biases: bool = False
    gate: Gate = "silu"
    shared_matrices: int | None = None

    def __post_init__(self) -> None:
        check_settings(
            self,
            num_layers=1,
            lmax=0,
            message_lmax=0,
            num_channels=1,
            num_radial_basis=1,
            polynomial_cutoff=2,
            readout_width=0,
            most={"lmax": 6, "message_lmax": 6},
        )
        for name in ("correlation", "sent_channels"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.num_layers:
                raise errors.ConfigError(
                    f"model.{name}: expected one number, or {self.num_layers}, one for each layer,"
                    f" received {list(value)}"
                )
        if min(self.orders) < 1 or max(self.orders) > 4:
            raise errors.ConfigError(
                f"model.correlation: expected 1 to 4, received {self.correlation}"
            )
        if max(self.orders) == 4 and self.lmax > 4:
            raise errors.ConfigError(
                "model.correlation: expected 1 to 3 where model.lmax is above 4 (the couplings of 4"
                f" would take gigabytes), received {self.correlation} with lmax {self.lmax}"
            )
        if min(self.widths_sent) < 1:
            raise errors.ConfigError(
                f"model.sent_channels: expected at least 1, received {self.sent_channels}"
            )
        self._check_basis()
        self._check_nonlinear()

    def _check_nonlinear(self) -> None:
        if self.is_nonlinear and self.parity:
            raise errors.ConfigError(
                "model.parity: expected false with interaction=nonlinear, whose gates would have "
                "no parity of their own, received true"
            )
        if self.readout_biases and not self.readout_width:
            raise errors.ConfigError(
                "model.readout_width: expected at least 1 with readout_biases=true, received 0"
            )

    def _check_basis(self) -> None:
        if self.radial_basis == "gaussian" and self.num_radial_basis < 2:
            raise errors.ConfigError(
                "model.num_radial_basis: expected at least 2 gaussians, received 1"
            )
        if self.radial_basis == "chebyshev" and self.distance_transform != "agnesi":
            raise errors.ConfigError(
                "model.distance_transform: expected agnesi with radial_basis=chebyshev, whose "
                f"polynomials explode outside of its range, received {self.distance_transform}"
            )

    @property
    def orders(self) -> tuple[int, ...]:
        """Highest power of each layer."""
        order = self.correlation
        return order if isinstance(order, tuple) else (order,) * self.num_layers

    @property
    def widths_sent(self) -> tuple[int, ...]:
        """Channels of what atoms send in each layer."""
        sent = self.sent_channels
        if isinstance(sent, tuple):
            return sent
        return (self.num_channels if sent is None else sent,) * self.num_layers

    @property
    def is_nonlinear(self) -> bool:
        """Whether a layer has weights that depend on the direction of an edge."""
        kinds = (self.first_interaction, *(self.interaction,) * (self.num_layers > 1))
        return NONLINEAR in kinds

    def irreps(self, lmax: int, parity: bool) -> dict[Irrep, int]:
        """Irreps to a degree with their channels, natural parity first."""
        signs = (1, -1) if parity else (1,)
        return {
            Irrep(l, sign * (-1) ** l): self.num_channels for l in range(lmax + 1) for sign in signs
        }
