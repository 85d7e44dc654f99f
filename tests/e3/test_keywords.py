import jax
import jax.numpy as jnp
import pytest

from equipot import e3
from equipot.e3 import dense, keywords

X = e3.ones("2x0e + 1o")
V = e3.ones("1o")
R = jnp.array(0.5)
Q = jnp.array([1.0, 0.0, 0.0, 0.0])
SECOND_NAMES = {
    "as_irreps_array": {"array": R[None]},
    "bessel": {"x": R, "n": 2, "x_max": 3.0},
    "cross": {"a": V, "b": V},
    "dot": {"a": V, "b": V, "per_irrep": True},
    "elementwise_tensor_product": {"input1": V, "input2": V, "irrep_normalization": None},
    "gate": {"input": X},
    "matrix_to_angles": {"R": jnp.eye(3)},
    "matrix_to_axis_angle": {"R": jnp.eye(3)},
    "matrix_to_log_coordinates": {"R": jnp.eye(3)},
    "matrix_to_quaternion": {"R": jnp.eye(3)},
    "mean": {"array": X},
    "norm": {"array": X},
    "norm_activation": {"input": X, "acts": [jnp.tanh, None]},
    "normal": {"irreps": "1o", "key": jax.random.key(0), "normalization": None},
    "ones_like": {"irreps_array": X},
    "quaternion_to_angles": {"q": Q},
    "quaternion_to_log_coordinates": {"q": Q},
    "quaternion_to_matrix": {"q": Q},
    "rotation_angle_from_matrix": {"R": jnp.eye(3)},
    "scalar_activation": {"input": X},
    "sh": {"irreps_out": "1o", "input": R * jnp.ones(3), "normalize": True, "algorithm": None},
    "soft_envelope": {"x": R, "x_max": 2.0, "arg_multiplicator": 2.0},
    "soft_normalization": {"input": X, "max_component": 1.0},
    "soft_one_hot_linspace": {
        "input": R, "start": 0.0, "end": 1.0, "number": 3, "basis": "cosine", "cutoff": True
    },
    "spherical_harmonics": {
        "irreps_out": 1,
        "input": V,
        "normalize": True,
        "normalization": None,
        "algorithm": ("recursive", "dense"),
    },
    "sum": {"array": X},
    "tensor_product": {"input1": V, "input2": V, "irrep_normalization": None},
    "tensor_product_with_spherical_harmonics": {"input": X, "vector": V, "degree": 1},
    "tensor_square": {"input": V, "irrep_normalization": None},
    "zeros_like": {"irreps_array": X},
}  # fmt: skip


@pytest.mark.parametrize("name", SECOND_NAMES)
def test_arguments_go_by_the_names_of_e3nn_jax_too(name):
    jax.eval_shape(lambda: getattr(e3, name)(**SECOND_NAMES[name]))


def test_functions_of_functions_go_by_them_too():
    gradient, mapped, envelope = jax.eval_shape(
        lambda: (
            e3.grad(fun=e3.norm)(V),
            e3.vmap(fun=e3.norm)(e3.ones("1o", (2,))),
            e3.poly_envelope(5, 2, x_max=2.0)(R),
        )
    )
    assert (gradient.irreps, mapped.shape, envelope.shape) == ("1o", (2, 1), ())
    basis = e3.reduced_tensor_product_basis(formula_or_irreps_list="ij=-ji", i="1o")
    assert basis.irreps == "1e"


def test_options_that_choose_an_implementation_change_nothing():
    product = e3.FunctionalFullyConnectedTensorProduct(
        "1o", "1o", "0e", irrep_normalization=None, path_normalization=None
    )
    plain = product.left_right([jnp.ones((1, 1, 1))], V, V)
    chosen = product.left_right(
        weights=[jnp.ones((1, 1, 1))], input1=V, input2=V, fused=True, custom_einsum_jvp=False
    )
    assert plain.array == chosen.array
    linear = e3.FunctionalLinear("1o", "1o", None, None, None, None)
    assert linear.instructions == e3.FunctionalLinear("1o", "1o").instructions


def test_an_argument_is_given_once():
    with pytest.raises(TypeError, match="one of cutoff and x_max, two names of one argument"):
        e3.poly_envelope(5, 2, cutoff=1.0, x_max=1.0)

    @keywords.also_named(other="x")
    def identity(x):
        return x

    assert identity(1) == identity(x=1) == identity(other=1)
    with pytest.raises(TypeError, match="multiple values"):
        identity(1, other=1)


def test_what_is_absent_says_what_there_is_instead():
    for module, name, hint in [
        (e3, "haiku", "modules of flax, in equipot.e3.nn"),
        (e3, "to_s2grid", "not part of equipot"),
        (e3, "radius_graph", "neighbor_list"),
        (dense, "lebedev_quadrature", "not part of equipot"),
        (e3, "nonsense", "no attribute 'nonsense'$"),
    ]:
        assert not hasattr(module, name)
        with pytest.raises(AttributeError, match=hint):
            getattr(module, name)
