"""What models begin with: the edges that messages run along, and functions of their vectors.

Plain functions, called from inside a model's ``__call__``; a parameter that one of them makes
belongs to the model, under the name that its files have always had.
"""

from typing import Any

from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import radial
from equipot.e3.kernels.convolution import Components
from equipot.e3.so3.spherical_harmonics import spherical_harmonics_components
from equipot.graphs import pairs
from equipot.models.context import ModelContext
from equipot.typing import Array, Float, Int


def directed(
    context: ModelContext,
    edge_vectors: Float[Array, "pairs 3"],
    senders: Int[Array, " pairs"],
    receivers: Int[Array, " pairs"],
) -> tuple[Float[Array, "edges 3"], Int[Array, " edges"], Int[Array, " edges"]]:
    """Edge vectors, senders and receivers of directed edges, whatever the form of the graph.

    Args:
      context: Says which form that is.
      edge_vectors: From sender to receiver, Å.
      senders: Where each edge starts.
      receivers: Where it ends.
    """
    if context.directed:
        return edge_vectors, senders, receivers
    return pairs.both_ways(edge_vectors, senders, receivers)


def harmonics(
    edge_vectors: Float[Array, "edges 3"], lmax: int, *, solid: bool = False
) -> dict[Irrep, Components]:
    """Spherical harmonics of the directions up to a degree, 0e, 1o, 2e and on.

    Args:
      edge_vectors: Å.
      lmax: Highest degree.
      solid: Whether those of degree l are multiplied by the length in Å to the power of l.
    """
    degrees: Any = spherical_harmonics_components(radial.safe_normalize(edge_vectors), lmax)
    if solid:
        lengths = radial.safe_norm(edge_vectors)
        degrees = [[lengths**l * y for y in components] for l, components in enumerate(degrees)]
    return {Irrep(l, (-1) ** l): components for l, components in enumerate(degrees)}


def bessel_basis(
    module: nn.Module,
    lengths: Float[Array, " edges"],
    number: int,
    cutoff: float,
    exponent: int,
    *,
    trainable: bool = False,
    xplor_start: float | None = None,
) -> Float[Array, "edges basis"]:
    """Bessel functions of the distance times an envelope, zero beyond the cutoff.

    Args:
      module: The model; where they are trainable it gets the parameter ``bessel_roots``.
      lengths: Å.
      number: How many functions.
      cutoff: Å.
      exponent: Exponent p of the polynomial envelope.
      trainable: Whether the frequencies are parameters.
      xplor_start: Å; where the envelope of XPLOR begins to fall, which then takes its place.
    """
    if trainable:
        roots = module.param("bessel_roots", radial.whole_numbers, (number,), lengths.dtype)
        basis = radial.bessel_with_roots(lengths, roots, cutoff)
    else:
        basis = radial.bessel(lengths, number, cutoff)
    if xplor_start is None:
        envelope = radial.polynomial_cutoff(lengths, cutoff, exponent)
    else:
        envelope = radial.xplor_cutoff(lengths, cutoff, xplor_start)
    return basis * envelope[:, None]


def embedding(
    module: nn.Module, species: Int[Array, " nodes"], width: int, like: Float[Array, "..."]
) -> Float[Array, "nodes channels"]:
    """The numbers that stand for the species of each atom, from the parameter ``embedding``.

    Args:
      module: The model, with the field ``context``.
      species: Index of each atom's species.
      width: How many numbers.
      like: An array of the dtype wanted.
    """
    context: ModelContext = module.context  # type: ignore[attr-defined]
    shape = (context.num_species, width)
    return module.param("embedding", nn.initializers.normal(1.0), shape, like.dtype)[species]
