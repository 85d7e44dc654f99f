"""Operators of a node give the scalars that products of every single feature give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import testing
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels import environments
from equipot.e3.products.tensor_product import coupling

NODES, CHANNELS = 3, 2


def natural(lmax):
    return tuple(Irrep(l, (-1) ** l) for l in range(lmax + 1))


def both(lmax):
    return tuple(Irrep(l, p) for l in range(lmax + 1) for p in (1, -1))


def dim(irreps):
    return sum(irrep.dim for irrep in irreps)


def product(layer, weights, features, environment):
    """One layer written out: a dictionary of irreps, path by path."""
    result = {irrep: np.zeros((NODES, irrep.dim, CHANNELS)) for irrep in layer.after}
    for path, weight in zip(layer.paths, weights, strict=True):
        fan_in = sum(other.out == path.out for other in layer.paths)
        term = np.einsum(
            "abc,nau,nbu->ncu", coupling(*path), features[path.node], environment[path.edge]
        )
        result[path.out] += weight * term / np.sqrt(fan_in)
    return result


def split(array, irreps):
    first = environments.starts(irreps)
    return {irrep: array[:, first[irrep] : first[irrep] + irrep.dim] for irrep in irreps}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lmax", "allowed", "number"),
    [(0, natural, 2), (2, natural, 1), (2, natural, 3), (1, both, 3), (2, both, 3)],
)
def test_scalars_are_those_of_products_made_one_after_the_other(lmax, allowed, number):
    rng = np.random.default_rng(0)
    chain = environments.layers(natural(lmax), allowed(lmax), number)
    weights = [rng.normal(size=(len(layer.paths), CHANNELS)) for layer in chain]
    around = [rng.normal(size=(NODES, dim(natural(lmax)), CHANNELS)) for _ in chain]
    first = rng.normal(size=(NODES, dim(chain[0].before), CHANNELS))
    features = split(first, chain[0].before)
    with jax.enable_x64(True):
        for n, layer in enumerate(chain, start=1):
            features = product(layer, weights[n - 1], features, split(around[n - 1], natural(lmax)))
            q = environments.scalar_operator(
                chain[:n],
                [jnp.asarray(w) for w in weights[:n]],
                [jnp.asarray(a) for a in around[:n]],
            )
            scalars = np.sum(np.asarray(q) * first, axis=1)
            expected = features[environments.SCALAR][:, 0]
            testing.assert_close(scalars, expected, testing.F64_EXACT, f"scalars of layer {n}")


def test_the_last_layer_makes_scalars_from_what_the_environment_has():
    *_, last = environments.layers(natural(2), both(2), 3)
    assert last.after == (Irrep("0e"),)
    assert last.before == natural(2)
    assert [path.node for path in last.paths] == [path.edge for path in last.paths]


def test_irreps_that_are_out_of_reach_or_of_no_use_are_left_out():
    first, second, _ = environments.layers(natural(1), both(1), 3)
    assert first.after == (Irrep("0e"), Irrep("1e"), Irrep("1o"))  # 1o x 1o has no 0o
    assert second.after == natural(1)
