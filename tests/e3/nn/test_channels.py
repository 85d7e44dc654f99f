"""Layers on one array per irrep commute with rotations and keep unit variance when made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import testing
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Path
from equipot.e3.nn import channels
from tests.e3.layers import assert_equivariant, random_variables

SCALAR, PSEUDO, VECTOR, AXIAL, TENSOR = map(Irrep, ("0e", "0o", "1o", "1e", "2e"))
NODES = 6


def features(widths, nodes=NODES, dtype="float64", seed=0):
    generator = np.random.default_rng(seed)
    return {
        irrep: jnp.asarray(generator.standard_normal((nodes, irrep.dim, width)), dtype)
        for irrep, width in widths.items()
    }


def messages(widths, nodes=NODES, seed=0):
    generator = np.random.default_rng(seed)
    return {
        path: jnp.asarray(generator.standard_normal((nodes, path.out.dim, width)))
        for path, width in widths.items()
    }


def variance(x):
    return float(np.mean(np.square(x)))


MIXED = {SCALAR: 4, PSEUDO: 3, VECTOR: 2, AXIAL: 2, TENSOR: 5}
PATHS = {
    Path(SCALAR, SCALAR, SCALAR): 30,
    Path(VECTOR, VECTOR, SCALAR): 50,
    Path(SCALAR, VECTOR, VECTOR): 40,
    Path(VECTOR, VECTOR, AXIAL): 20,
}


def test_linear_commutes_with_rotations_and_inversion():
    with jax.enable_x64(True):
        layer = channels.Linear({SCALAR: 3, PSEUDO: 2, VECTOR: 5, TENSOR: 1})
        params = random_variables(layer, features(MIXED))
        assert_equivariant(lambda x: layer.apply(params, x), features(MIXED))


def test_linear_leaves_out_irreps_that_its_input_lacks():
    layer = channels.Linear({SCALAR: 3, VECTOR: 2})
    inputs = jax.random.key(0), features({SCALAR: 4}, 6, "float32")
    result, params = jax.eval_shape(layer.init_with_output, *inputs)
    assert set(result) == {SCALAR}
    assert set(params["params"]) == {"0e"}


def test_linear_is_a_matrix_over_the_root_of_its_inputs():
    with jax.enable_x64(True):
        x = features({VECTOR: 4})
        init = jax.jit(channels.Linear({VECTOR: 3}).init_with_output)
        y, params = init(jax.random.key(1), x)
        weight = params["params"]["1o"]
        expected = np.einsum("nmi,io->nmo", x[VECTOR], weight) / 2
        testing.assert_close(y[VECTOR], expected, testing.F64_EXACT, "linear")


def test_path_linear_commutes_with_rotations_and_inversion():
    with jax.enable_x64(True):
        layer = channels.PathLinear({SCALAR: 3, VECTOR: 2, AXIAL: 4})
        params = random_variables(layer, messages(PATHS))
        assert_equivariant(lambda z: layer.apply(params, z), messages(PATHS))


def test_path_linear_is_one_matrix_on_all_channels_of_an_irrep():
    with jax.enable_x64(True):
        z = messages(PATHS)
        layer = channels.PathLinear({SCALAR: 3})
        params = random_variables(layer, z)
        y = jax.jit(lambda z: layer.apply(params, z, 0.5))(z)
        weights = params["params"]
        assert set(weights) == {"0e_0e_0e", "1o_1o_0e"}
        joined = np.concatenate([z[path] for path in list(PATHS)[:2]], axis=-1)
        matrix = np.concatenate([weights["0e_0e_0e"], weights["1o_1o_0e"]])
        expected = 0.5 * joined @ matrix / np.sqrt(80)
        testing.assert_close(y[SCALAR], expected, testing.F64_EXACT, "path linear")


@pytest.mark.parametrize("num_species", [3, 20])
def test_species_linear_commutes_with_rotations_and_inversion(num_species):
    with jax.enable_x64(True):
        species = jnp.asarray([0, 2, 1, 1, 0, 2], jnp.int32)
        layer = channels.SpeciesLinear({SCALAR: 3, PSEUDO: 2, VECTOR: 5}, num_species)
        params = random_variables(layer, features(MIXED), species)
        assert_equivariant(lambda x: layer.apply(params, x, species), features(MIXED))


@pytest.mark.parametrize("num_species", [3, 20])
def test_species_linear_gives_each_atom_the_matrix_of_its_species(num_species):
    with jax.enable_x64(True):
        species = jnp.asarray([0, 2, 1, 1, 0, 2], jnp.int32)
        x = features({VECTOR: 4})
        layer = channels.SpeciesLinear({VECTOR: 3}, num_species)
        y, params = jax.jit(layer.init_with_output)(jax.random.key(2), x, species)
        weight = np.asarray(params["params"]["1o"])[np.asarray(species)]
        expected = np.asarray(x[VECTOR]) @ weight / 2
        testing.assert_close(y[VECTOR], expected, testing.F64_EXACT, "every atom")


def test_shared_linear_commutes_with_rotations_and_inversion():
    with jax.enable_x64(True):
        species = jnp.asarray([0, 2, 1, 1, 0, 2], jnp.int32)
        layer = channels.SharedLinear({SCALAR: 3, PSEUDO: 2, VECTOR: 5}, 20, 4)
        params = random_variables(layer, features(MIXED), species)
        assert_equivariant(lambda x: layer.apply(params, x, species), features(MIXED))


def test_shared_linear_gives_each_atom_its_sum_of_the_shared_matrices():
    with jax.enable_x64(True):
        species = jnp.asarray([0, 2, 1, 1, 0, 2], jnp.int32)
        x = features({VECTOR: 4})
        layer = channels.SharedLinear({VECTOR: 3}, 5, 2)
        y, params = jax.jit(layer.init_with_output)(jax.random.key(2), x, species)
        weights = params["params"]
        assert weights["of_species"].shape == (5, 2) and weights["1o"].shape == (2, 4, 3)
        own = np.tensordot(weights["of_species"][species], weights["1o"], axes=1)
        expected = np.asarray(x[VECTOR]) @ own / np.sqrt(2 * 4)
        testing.assert_close(y[VECTOR], expected, testing.F64_EXACT, "every atom")


def test_gate_commutes_with_rotations_and_inversion():
    with jax.enable_x64(True):
        widths = channels.gate_channels(MIXED)
        assert widths == {**MIXED, SCALAR: 4 + 2 + 2 + 5}
        assert_equivariant(channels.gate, features(widths))
        result = jax.eval_shape(channels.gate, features(widths))
        assert {irrep: x.shape[-1] for irrep, x in result.items()} == MIXED


def test_gate_without_scalars_of_its_own_keeps_only_what_it_gates():
    with jax.enable_x64(True):
        widths = channels.gate_channels({VECTOR: 3})
        assert widths == {SCALAR: 3, VECTOR: 3}
        assert set(jax.eval_shape(channels.gate, features(widths))) == {VECTOR}


def test_gate_multiplies_each_channel_by_its_own_scalar():
    with jax.enable_x64(True):
        x = features({SCALAR: 5, VECTOR: 2, TENSOR: 1})
        closed = np.array(x[SCALAR])
        closed[..., 3] = -1e3  # silu(−1000) = 0
        result = jax.tree.map(np.asarray, jax.jit(channels.gate)({**x, SCALAR: closed}))
        assert np.all(result[VECTOR][..., 1] == 0)
        assert np.all(result[VECTOR][..., 0] != 0) and np.all(result[TENSOR] != 0)


def test_radial_network_is_zero_where_its_basis_is():
    with jax.enable_x64(True):
        network = channels.RadialNetwork((16, 16), {path: 3 for path in PATHS})
        basis = jnp.asarray([[0.3, -0.2, 0.9], [0.0, 0.0, 0.0]])
        variables = random_variables(network, basis)

        @jax.jit
        def weights(basis):
            hidden, matrices = network.apply(variables, basis)
            return channels.radial_weights(matrices, hidden)

        result = jax.tree.map(np.asarray, weights(basis))
        assert set(result) == set(PATHS)
        assert all(np.all(w[1] == 0) and np.all(w[0] != 0) for w in result.values())


def test_add_counts_a_missing_irrep_as_zero():
    with jax.enable_x64(True):
        x, y = features({SCALAR: 2, VECTOR: 3}), features({VECTOR: 3, TENSOR: 1}, seed=1)
        result = channels.add(x, y)
        assert set(result) == {SCALAR, VECTOR, TENSOR}
        testing.assert_close(result[VECTOR], x[VECTOR] + y[VECTOR], testing.F64_EXACT, "sum")
        assert np.all(result[TENSOR] == y[TENSOR])


def test_variance_is_one_after_linear_layers_when_made():
    with jax.enable_x64(True):
        wide = {SCALAR: 128, VECTOR: 96}
        x = features(wide, nodes=64)
        species = jnp.asarray(np.arange(64) % 3, jnp.int32)
        for layer, *inputs in (
            (channels.Linear(wide), x),
            (channels.SpeciesLinear(wide, 3), x, species),
            (channels.SharedLinear(wide, 3, 64), x, species),
            (channels.PathLinear({SCALAR: 128, VECTOR: 128}), messages(PATHS, nodes=64)),
        ):
            y, _ = jax.jit(layer.init_with_output)(jax.random.key(0), *inputs)
            for irrep, value in y.items():
                assert abs(variance(value) - 1) < 0.1, irrep


def test_variance_is_one_after_the_gate():
    with jax.enable_x64(True):
        widths = channels.gate_channels({SCALAR: 200, PSEUDO: 200, VECTOR: 200})
        for irrep, value in jax.jit(channels.gate)(features(widths, nodes=200)).items():
            assert abs(variance(value) - 1) < 0.05, irrep


def test_variance_is_one_after_a_radial_network_when_made():
    with jax.enable_x64(True):
        basis = jnp.asarray(np.random.default_rng(0).standard_normal((500, 64)))
        path = next(iter(PATHS))
        network = channels.RadialNetwork((128, 128), {path: 128})

        @jax.jit
        def weights(key, basis):
            (hidden, matrices), _ = network.init_with_output(key, basis)
            return channels.radial_weights(matrices, hidden)

        assert abs(variance(weights(jax.random.key(0), basis)[path]) - 1) < 0.15


def test_what_would_be_cut_or_repeated_silently_is_refused():
    x = features({SCALAR: 2, VECTOR: 4}, dtype="float32")
    with pytest.raises(ValueError, match=r"at least 4 channels of 0e, .* received 2"):
        channels.gate(x)
    with pytest.raises(ValueError, match=r"channels of 0e, .* received 0"):
        channels.gate({VECTOR: x[VECTOR]})
    with pytest.raises(ValueError, match=r"terms of 1o of one shape, .* \(6, 3, 1\)"):
        channels.add(x, {VECTOR: x[VECTOR][..., :1]})
    for num_species in (3, 20):
        layer = channels.by_species({VECTOR: 2}, num_species, 0, "own")
        with pytest.raises(ValueError, match=r"expected 6 species, one per node, received \(1,\)"):
            layer.init(jax.random.key(0), x, jnp.zeros(1, jnp.int32))
