import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.training import loss
from equipot.training.config import LossConfig
from equipot.training.metrics import Residuals

ERRORS = {
    "energy": np.array([0.1, -0.2, 0.0], np.float32),
    "forces": np.arange(12, dtype=np.float32).reshape(4, 3) / 10,
    "stress": np.arange(27, dtype=np.float32).reshape(3, 3, 3) / 100,
}
WEIGHTS = {
    "energy": np.array([1.0, 3.0, 0.0], np.float32),
    "forces": np.array([1.0, 1.0, 3.0, 0.0], np.float32),
    "stress": np.array([2.0, 0.0, 0.0], np.float32),
}


def residuals():
    values = {name: jnp.asarray(x) for name, x in ERRORS.items()}
    return Residuals(**values, **{f"{n}_weight": jnp.asarray(w) for n, w in WEIGHTS.items()})


def huber(x):
    return np.where(np.abs(x) < 0.05, x**2 / 2, 0.05 * (np.abs(x) - 0.025))


@pytest.mark.parametrize(
    ("kind", "measure"), [("mse", np.square), ("mae", np.abs), ("huber", huber)]
)
def test_terms_are_means_of_errors_weighted_per_structure(kind, measure):
    config = LossConfig(kind=kind, energy=2.0, forces=0.5, stress=10.0, huber_delta=0.05)
    terms = loss.make_loss(config)(residuals())
    expected = {}
    for name, error in ERRORS.items():
        rows = measure(error).reshape(len(error), -1)
        weights = np.broadcast_to(WEIGHTS[name][:, None], rows.shape)
        expected[name] = np.sum(weights * rows) / np.sum(weights > 0)
        np.testing.assert_allclose(terms[name].mean, expected[name], rtol=1e-6)
    total = 2.0 * expected["energy"] + 0.5 * expected["forces"] + 10.0 * expected["stress"]
    np.testing.assert_allclose(loss.combine(terms, config), total, rtol=1e-6)


def test_a_norm_counts_a_vector_as_one_number():
    terms = loss.make_loss(LossConfig(kind="norm", stress=1.0))(residuals())
    for name, error in ERRORS.items():
        lengths = np.linalg.norm(error.reshape(len(error), -1), axis=1)
        expected = np.sum(WEIGHTS[name] * lengths) / np.sum(WEIGHTS[name] > 0)
        np.testing.assert_allclose(terms[name].mean, expected, rtol=1e-6)


def test_a_norm_of_no_error_has_a_gradient():
    def value(forces):
        terms = loss.make_loss(LossConfig(kind="norm"))(residuals().replace(forces=forces))
        return terms["forces"].total

    assert not np.any(jax.grad(value)(jnp.zeros((4, 3))))


def test_a_weight_acts_in_a_batch_of_one_structure():
    one = Residuals(
        energy=jnp.asarray([0.1]),
        forces=jnp.ones((2, 3)),
        stress=jnp.ones((1, 3, 3)),
        energy_weight=jnp.ones(1),
        forces_weight=jnp.ones(2),
        stress_weight=jnp.ones(1),
    )
    config = LossConfig(stress=1.0)
    terms = loss.make_loss(config)
    heavy = {f"{name}_weight": 5.0 * getattr(one, f"{name}_weight") for name in config.terms}
    light, heavier = (loss.combine(terms(r), config) for r in (one, one.replace(**heavy)))
    np.testing.assert_allclose(heavier, 5.0 * light, rtol=1e-6)


def test_a_term_of_weight_zero_is_not_computed():
    assert set(loss.make_loss(LossConfig())(residuals())) == {"energy", "forces"}


def test_a_batch_without_labels_has_loss_zero():
    nothing = residuals().replace(
        energy_weight=jnp.zeros(3), forces_weight=jnp.zeros(4), stress_weight=jnp.zeros(3)
    )
    config = LossConfig(stress=1.0)
    assert loss.combine(loss.make_loss(config)(nothing), config) == 0.0
