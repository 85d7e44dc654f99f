"""Random keys whose draws take a third of the time to compile, for parameters of tests.

Threefry, the generator of jax, is what takes longest in compiling the draw of a model's
parameters. This one mixes the bits of a counter: good enough to leave no parameter at a special
value, and for nothing else.

Reference: the mixing function "lowbias32" of Wellons 2018,
https://nullprogram.com/blog/2018/07/31/
"""

import functools
import math
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import random

from equipot.typing import Array, UInt

_ODD = np.uint32(0x9E3779B9)


def key(seed: int) -> Array:
    """A key of this generator, which all of ``jax.random`` takes."""
    return jax.random.key(seed, impl=_generator())


@functools.cache
def _generator() -> Hashable:
    return random.define_prng_impl(
        key_shape=(1,), seed=_seed, split=_split, random_bits=_bits, fold_in=_fold_in, name="quick"
    )


def _mixed(x: UInt[Array, "*shape"]) -> UInt[Array, "*shape"]:
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _seed(seed: Array) -> UInt[Array, "1"]:
    return _mixed(seed.astype(jnp.uint32) ^ _ODD).reshape(1)


def _fold_in(own: UInt[Array, "1"], data: Array | int) -> UInt[Array, "1"]:
    return _mixed(own * _ODD + jnp.asarray(data).astype(jnp.uint32))


def _split(own: UInt[Array, "1"], shape: tuple[int, ...]) -> UInt[Array, "*shape 1"]:
    return _mixed(own[0] + _ODD * _counter(shape)).reshape(*shape, 1)


def _bits(own: UInt[Array, "1"], width: int, shape: tuple[int, ...]) -> UInt[Array, "*shape"]:
    low = _mixed(_mixed(_counter(shape) ^ _ODD) + own[0] * _ODD)
    if width == 64:
        high = _mixed(low ^ _ODD).astype(jnp.uint64)
        return ((high << 32) | low.astype(jnp.uint64)).reshape(shape)
    return low.astype({8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[width]).reshape(shape)


def _counter(shape: tuple[int, ...]) -> UInt[Array, " numbers"]:
    return jax.lax.iota(jnp.uint32, math.prod(shape))
