"""Times the layers of ``equipot.e3`` against e3nn-jax on identical work.

    python -m scripts.benchmark e3 --repeats 15

* The convolution, with the hidden layers of its radial network before and the linear map after:
  its value, with the gradient for energy + forces (with respect to features, harmonics and radial
  basis), and with the gradient of a force loss (with respect to the parameters, of the squared norm
  of that gradient).
* Spherical harmonics to degree 3 of 20 000 vectors, alone and with the pullback of cotangents.
* The symmetric contraction of correlation 3 of 200 nodes × 32 × (0e+1o+2e+3o) to 0e+1o.

Both sides get the same numbers and parameters, and must give the same results before they are
timed; the two take turns. Needs the extra ``reference``.
"""

import argparse
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels import contraction, couplings
from equipot.e3.kernels.convolution import Path, convolution, paths
from equipot.e3.nn import channels
from equipot.e3.so3.spherical_harmonics import spherical_harmonics_components
from equipot.typing import Array, PyTree
from scripts.benchmark.timing import Timing, compile_once, in_turn


class Size(NamedTuple):
    """A convolution: numbers of edges, nodes and channels, highest degrees in and out."""

    edges: int
    nodes: int
    channels: int
    lmax_in: int
    lmax_out: int


SIZES = {
    "10 398 edges x 64 x (0e+1o)": Size(10398, 192, 64, 1, 3),
    "4 000 edges x 32 x (0e+1o+2e)": Size(4000, 250, 32, 2, 2),
}
BASIS, WIDTHS, LMAX_EDGES = 8, (64, 64), 3


class Convolution(nn.Module):
    """One message-passing layer as the models have it, up to the linear map."""

    size: Size

    @nn.compact
    def __call__(
        self,
        features: Mapping[Irrep, Array],
        edge_sh: Mapping[Irrep, Array],
        basis: Array,
        senders: Array,
        receivers: Array,
    ) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, channels]}`` to features of all irreps of the result."""
        couplings = list_paths(self.size)
        width = self.size.channels
        hidden, matrices = channels.RadialNetwork(
            WIDTHS, dict.fromkeys(couplings, width), name="radial"
        )(basis)
        components = {irrep: list(jnp.moveaxis(y, 1, 0)) for irrep, y in edge_sh.items()}
        messages = convolution(
            features,
            components,
            hidden,
            channels.radial_weights,
            matrices,
            senders,
            receivers,
            self.size.nodes,
        )
        outputs = dict.fromkeys(natural(self.size.lmax_out), width)
        return channels.PathLinear(outputs, name="linear_down")(messages)


def natural(lmax: int) -> tuple[Irrep, ...]:
    """0e, 1o, 2e, … to a degree."""
    return tuple(Irrep(l, (-1) ** l) for l in range(lmax + 1))


def list_paths(size: Size) -> tuple[Path, ...]:
    """The couplings of a convolution."""
    return paths(natural(size.lmax_in), natural(LMAX_EDGES), natural(size.lmax_out))


def convolution_tasks(size: Size) -> tuple[dict[str, tuple[Callable, Callable]], tuple, tuple]:
    """Pairs of functions (ours, theirs) and the arguments of each."""
    from scripts.peers import e3nn_layers

    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    features = {ir: normal(size.nodes, ir.dim, size.channels) for ir in natural(size.lmax_in)}
    edge_sh = {ir: normal(size.edges, ir.dim) for ir in natural(LMAX_EDGES)}
    basis = normal(size.edges, BASIS)
    ends = rng.integers(0, size.nodes, (2, size.edges)).astype(np.int32)
    senders, receivers = jnp.asarray(ends[0]), jnp.asarray(np.sort(ends[1]))
    layer = Convolution(size)
    geometry = features, edge_sh, basis, senders, receivers
    params = jax.jit(layer.init)(jax.random.key(0), *geometry)

    def irreps(lmax: int, width: int) -> str:
        return "+".join(f"{width}x{ir}" for ir in natural(lmax))

    their_layer = functools.partial(
        e3nn_layers.convolution,
        irreps=(
            irreps(size.lmax_in, size.channels),
            irreps(LMAX_EDGES, 1),
            irreps(size.lmax_out, size.channels),
        ),
        num_nodes=size.nodes,
    )
    convert = functools.partial(e3nn_layers.convolution_params, paths=list(list_paths(size)))
    theirs = lambda *x: their_layer(*x).array  # noqa: E731
    apply: Any = layer.apply
    ours = lambda *x: e3nn_layers.join(apply(*x))  # noqa: E731
    their_params = convert(params["params"])
    harmonics = jnp.concatenate(list(edge_sh.values()), axis=1)
    their_arguments = their_params, e3nn_layers.join(features), harmonics, *geometry[2:]
    tasks = {
        "forward": (layer.apply, theirs),
        "energy + forces": (forces(layer.apply), forces(theirs)),
        "gradient of a force loss": (loss_gradient(layer.apply), loss_gradient(theirs)),
    }
    check(ours(params, *geometry), theirs(*their_arguments), "convolution")
    found = jax.jit(loss_gradient(layer.apply))(params, *geometry)
    expected = jax.jit(loss_gradient(theirs))(*their_arguments)
    check(convert(found["params"]), expected, "gradient of a force loss of the convolution")
    return tasks, (params, *geometry), their_arguments


def forces(layer: Callable) -> Callable:
    """Value and gradients with respect to features, harmonics and basis of Σ sin(output)."""

    def energy(*arguments: PyTree) -> Array:
        outputs = jax.tree.leaves(layer(*arguments))
        return sum((jnp.sum(jnp.sin(z)) for z in outputs), start=jnp.zeros(()))

    return jax.value_and_grad(energy, argnums=(1, 2, 3))


def loss_gradient(layer: Callable) -> Callable:
    """Gradient with respect to the parameters of the squared norm of those gradients."""

    def loss(*arguments: PyTree) -> Array:
        _, gradients = forces(layer)(*arguments)
        return sum((jnp.sum(g**2) for g in jax.tree.leaves(gradients)), start=jnp.zeros(()))

    return jax.grad(loss)


def harmonics_tasks(count: int = 20_000, lmax: int = 3) -> tuple[dict, tuple, tuple]:
    """Spherical harmonics of unit vectors, alone and with the pullback of given cotangents."""
    from scripts.peers import e3nn_layers

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, 3))
    vectors = jnp.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), jnp.float32)
    weights = jnp.asarray(rng.standard_normal((count, (lmax + 1) ** 2)), jnp.float32)
    columns = list(jnp.moveaxis(weights, 1, 0))

    def ours(vectors: Array, _: PyTree) -> list[Any]:
        return [y for degree in spherical_harmonics_components(vectors, lmax) for y in degree]

    def theirs(vectors: Array, _: PyTree) -> Array:
        return e3nn_layers.harmonics(vectors, lmax)

    def with_pullback(function: Callable) -> Callable:
        def both(vectors: Array, weights: PyTree) -> tuple[PyTree, Array]:
            values, pull = jax.vjp(lambda v: function(v, None), vectors)
            return values, pull(weights)[0]

        return both

    check(jnp.stack(ours(vectors, None), axis=1), theirs(vectors, None), "harmonics")
    tasks = {
        "value": (ours, theirs),
        "with gradient": (with_pullback(ours), with_pullback(theirs)),
    }
    return tasks, (vectors, columns), (vectors, weights)


def contraction_tasks() -> tuple[dict, tuple, tuple]:
    """The symmetric contraction; both couple the same powers, in different orthonormal bases."""
    from scripts.peers import e3nn_layers

    nodes, width, num_species, correlation = 200, 32, 2, 3
    irreps_in, irreps_out = natural(3), natural(1)
    rng = np.random.default_rng(0)
    features = {
        ir: jnp.asarray(rng.standard_normal((nodes, ir.dim, width)), jnp.float32)
        for ir in irreps_in
    }
    species = jnp.asarray(rng.integers(0, num_species, nodes), jnp.int32)
    counts = couplings.powers(irreps_in, irreps_out, correlation)
    weights = {
        power: jnp.asarray(rng.standard_normal((num_species, count, width)), jnp.float32)
        for power, count in counts.items()
    }
    dense = e3nn_layers.couplings("0e+1o+2e+3o", "0e+1o", correlation)
    their_weights = {
        (order, irrep): jnp.asarray(
            rng.standard_normal((num_species, u.shape[-2], width)), jnp.float32
        )
        for (order, irrep), u in dense.items()
    }
    numbers = sorted(count for count in counts.values())
    if numbers != sorted(w.shape[1] for w in their_weights.values()):
        raise ValueError(f"expected equal numbers of couplings, found {numbers} here")

    def ours(weights: PyTree, features: PyTree, species: Array) -> PyTree:
        return contraction.symmetric_contraction(
            features, weights, species, irreps_out, correlation
        )

    theirs = functools.partial(e3nn_layers.contraction, dense=dense, correlation=correlation)

    def slope(function: Callable) -> Callable:
        def energy(*arguments: PyTree) -> Array:
            outputs = jax.tree.leaves(function(*arguments))
            return sum((jnp.sum(jnp.sin(b)) for b in outputs), start=jnp.zeros(()))

        return jax.grad(energy, argnums=(0, 1))

    flat = jnp.concatenate([jnp.swapaxes(x, 1, 2) for x in features.values()], axis=2)
    tasks = {"forward": (ours, theirs), "with gradient": (slope(ours), slope(theirs))}
    return tasks, (weights, features, species), (their_weights, flat, species)


def check(found: PyTree, expected: PyTree, what: str) -> None:
    """Refuses to time functions that do not agree.

    Raises:
      ValueError: The numbers differ by more than 1e-3 of the largest.
    """
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        difference = float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))
        if not difference < 1e-3:
            raise ValueError(f"{what}: results differ by {difference:.1e} of the largest number")


def compare(title: str, tasks: Mapping, ours: tuple, theirs: tuple, repeats: int) -> list[dict]:
    """Times pairs of functions, prints a table, returns its rows."""
    rows = []
    print(
        f"\n{title}\n{'':26}{'equipot':>25}{'e3nn-jax':>25}   ratio      compile, s    memory, MB"
    )
    for task, functions in tasks.items():
        timings = in_turn(
            {
                "equipot": compile_once(functions[0], *ours),
                "e3nn-jax": compile_once(functions[1], *theirs),
            },
            repeats,
        )
        mine, peer = timings["equipot"], timings["e3nn-jax"]
        print(
            f"{task:26}{_milliseconds(mine):>25}{_milliseconds(peer):>25}"
            f"{peer.median / mine.median:7.1f}×"
            f"{mine.compile_seconds:9.1f} /{peer.compile_seconds:5.1f}"
            f"{mine.temporary_mb:8.0f} /{peer.temporary_mb:5.0f}"
        )
        rows.append({"title": title, "task": task} | {k: v._asdict() for k, v in timings.items()})
    return rows


def _milliseconds(timing: Timing) -> str:
    low, high = timing.minimum * 1e3, timing.maximum * 1e3
    return f"{timing.median * 1e3:.2f} ms ({low:.2f}-{high:.2f})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    parser.add_argument(
        "--repeats",
        type=int,
        default=15,
        help="timed calls of each convolution; ten times as many of what is short",
    )


def run(arguments: argparse.Namespace) -> list[dict]:
    """Times everything; returns one row for each comparison."""
    rows = []
    for name, size in SIZES.items():
        rows += compare(f"convolution, {name}", *convolution_tasks(size), arguments.repeats)
    rows += compare(
        "spherical harmonics, 20 000 vectors, lmax 3", *harmonics_tasks(), 10 * arguments.repeats
    )
    rows += compare(
        "symmetric contraction, 200 nodes x 32 x (0e+1o+2e+3o) -> 0e+1o, correlation 3",
        *contraction_tasks(),
        10 * arguments.repeats,
    )
    return rows
