import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

FORMS = ("angles", "axis_angle", "log_coordinates", "quaternion")


def parts(rotation):
    return rotation if isinstance(rotation, tuple) else (rotation,)


def matrix(form, rotation):
    return getattr(e3, f"{form}_to_matrix")(*parts(rotation))


def test_every_form_turns_into_every_other():
    with jax.enable_x64(True):
        log = jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)) * [0.5, 1.0, 0.9])

        @jax.jit
        def conversions(log):
            results = {}
            for source in FORMS:
                start = (
                    log if source == "log_coordinates" else f(f"log_coordinates_to_{source}", log)
                )
                for target in FORMS:
                    if target == source:
                        continue
                    end = f(f"{source}_to_{target}", start)
                    results[source, target] = matrix(target, end)
            return results

        results = conversions(log)
        expected = e3.log_coordinates_to_matrix(log)
    assert len(results) == 12
    for pair, result in results.items():
        np.testing.assert_allclose(result, expected, atol=1e-12, err_msg=str(pair))


def f(name, rotation):
    return getattr(e3, name)(*parts(rotation))


@pytest.mark.parametrize("form", FORMS)
def test_products_inverses_and_angles_are_those_of_matrices(form):
    with jax.enable_x64(True):
        log = jnp.asarray(np.random.default_rng(1).normal(size=(2, 10, 3)))

        @jax.jit
        def algebra(log):
            first, second = log
            if form != "log_coordinates":
                first, second = (f(f"log_coordinates_to_{form}", v) for v in log)
            both = (*parts(first), *parts(second))
            product = matrix(form, f(f"compose_{form}", both))
            inverse = (first[0], -first[1]) if form == "axis_angle" else None
            inverse = f(f"inverse_{form}", first) if inverse is None else inverse
            return (
                *(matrix(form, x) for x in (first, second, inverse)),
                product,
                f(f"rotation_angle_from_{form}", both),
            )

        a, b, inverse, product, angle = map(np.asarray, algebra(log))
        np.testing.assert_allclose(product, a @ b, atol=1e-12)
        np.testing.assert_allclose(inverse, a.swapaxes(-1, -2), atol=1e-12)
        trace = np.trace(a.swapaxes(-1, -2) @ b, axis1=-2, axis2=-1)
        np.testing.assert_allclose(angle, np.arccos((trace - 1) / 2), atol=1e-7)


def test_no_rotation_and_random_ones_in_the_precision_asked_for():
    for form in ("angles", "log_coordinates", "quaternion"):
        identity = getattr(e3, f"identity_{form}")((2,), jnp.float16)
        assert {x.dtype for x in parts(identity)} == {jnp.dtype("float16")}
        expected = [1, 0, 0, 0] if form == "quaternion" else 0
        for part in parts(identity):
            np.testing.assert_array_equal(part, np.broadcast_to(expected, part.shape))
    for form in (*FORMS, "matrix"):
        draw = getattr(e3, f"rand_{form}")
        shapes = jax.eval_shape(lambda draw=draw: draw(jax.random.key(0), (4,), jnp.float16))
        assert {x.dtype for x in parts(shapes)} == {jnp.dtype("float16")}
        assert parts(shapes)[-1].shape[0] == 4
