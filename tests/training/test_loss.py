import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.training import loss
from equipot.training.config import LossConfig
from equipot.training.metrics import Residual

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
    return {
        name: Residual(jnp.asarray(error), jnp.asarray(WEIGHTS[name]), jnp.zeros_like(error))
        for name, error in ERRORS.items()
    }


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
        own = residuals()["forces"]._replace(difference=forces)
        changed = residuals() | {"forces": own}
        terms = loss.make_loss(LossConfig(kind="norm"))(changed)
        return terms["forces"].total

    assert not np.any(jax.grad(value)(jnp.zeros((4, 3))))


def test_a_weight_acts_in_a_batch_of_one_structure():
    one = {
        "energy": Residual(jnp.asarray([0.1]), jnp.ones(1), jnp.zeros(1)),
        "forces": Residual(jnp.ones((2, 3)), jnp.ones(2), jnp.zeros((2, 3))),
        "stress": Residual(jnp.ones((1, 3, 3)), jnp.ones(1), jnp.zeros((1, 3, 3))),
    }
    config = LossConfig(stress=1.0)
    terms = loss.make_loss(config)
    heavy = {name: own._replace(weight=5.0 * own.weight) for name, own in one.items()}
    light, heavier = (loss.combine(terms(r), config) for r in (one, heavy))
    np.testing.assert_allclose(heavier, 5.0 * light, rtol=1e-6)


def test_a_term_of_weight_zero_is_not_computed():
    assert set(loss.make_loss(LossConfig())(residuals())) == {"energy", "forces"}


def test_a_batch_without_labels_has_loss_zero():
    nothing = {name: own._replace(weight=0.0 * own.weight) for name, own in residuals().items()}
    config = LossConfig(stress=1.0)
    assert loss.combine(loss.make_loss(config)(nothing), config) == 0.0


def test_universal_goes_over_to_the_magnitude_the_sooner_the_larger_the_force_is():
    """The gradient of an error of 1 eV/Å is where Huber's function of that force becomes linear."""
    lengths = np.array([1.0, 99.0, 100.0, 250.0, 1000.0], np.float32)
    labels = np.stack([0.6 * lengths, 0 * lengths, -0.8 * lengths], axis=1)
    config = LossConfig(kind="universal", energy=0.0, huber_delta=0.02)

    def total(errors, label):
        own = Residual(errors, jnp.ones(5), jnp.asarray(label))
        return loss.make_loss(config)({"forces": own})["forces"].total

    slopes = jax.grad(total)(jnp.ones((5, 3)), labels)
    expected = 0.02 * np.array([1.0, 1.0, 0.7, 0.4, 0.1])
    np.testing.assert_allclose(slopes, np.tile(expected[:, None], 3), rtol=1e-6)
    small = jnp.full((5, 3), 1e-3)
    np.testing.assert_allclose(jax.grad(total)(small, labels), small, rtol=1e-6)
    turned = jax.grad(total)(jnp.ones((5, 3)), labels[:, [2, 0, 1]])
    np.testing.assert_array_equal(turned, slopes)


def test_universal_counts_everything_but_forces_as_huber_does():
    own = residuals()
    sums = {k: loss.make_loss(LossConfig(kind=k, stress=1.0))(own) for k in ("universal", "huber")}
    for name in ("energy", "stress"):
        assert sums["universal"][name] == sums["huber"][name]
    forces = own["forces"]
    far = {"forces": forces._replace(label=jnp.full((4, 3), 1e3)), "energy": own["energy"]}
    large = loss.make_loss(LossConfig(kind="universal"))(far)["forces"].total
    assert float(large) < float(sums["universal"]["forces"].total)
