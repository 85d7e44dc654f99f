import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.training import checkpoints, optimizer, sharding, soap, state
from equipot.training.config import OptimizerConfig, SoapConfig

RNG = np.random.default_rng(0)
EXACT = 1e-12


class Definition:
    """Algorithm 3 of the paper for one matrix, in NumPy; a side may go without a basis."""

    def __init__(self, config, sides):
        self.config, self.sides, self.t = config, sides, 0
        self.moments, self.bases = [0.0, 0.0], [None, None]
        self.mean = self.square = 0.0

    def rotate(self, x, back=False):
        for axis in self.sides:
            q = self.bases[axis] if back else self.bases[axis].T
            x = q @ x if axis == 0 else x @ q.T
        return x

    def update(self, g):
        change, (b1, b2) = np.zeros_like(g), self.config.betas
        if self.t:
            self.mean = b1 * self.mean + (1 - b1) * g
            self.square = b2 * self.square + (1 - b2) * self.rotate(g) ** 2
            size = np.sqrt(self.square / (1 - b2**self.t)) + self.config.eps
            change = self.rotate(self.rotate(self.mean / (1 - b1**self.t)) / size, back=True)
        for axis in self.sides:
            product, keep = (g @ g.T, g.T @ g)[axis], self.config.shampoo_beta
            self.moments[axis] = keep * self.moments[axis] + (1 - keep) * product
            if not self.t:
                self.bases[axis] = np.linalg.eigh(self.moments[axis])[1][:, ::-1]
            elif self.t % self.config.precondition_every == 0:
                self.turn(axis)
        self.t += 1
        return change

    def turn(self, axis):
        q, moment = self.bases[axis], self.moments[axis]
        order = np.argsort(-np.diag(q.T @ moment @ q))
        self.bases[axis] = np.linalg.qr(moment @ q[:, order])[0]
        self.square = np.take(self.square, order, axis)


def random(*shape):
    return RNG.normal(size=shape)


def changes_of(config, gradients):
    """Updates after each gradient, downhill, of a model with that one parameter."""
    transformation = optimizer.make_optimizer(OptimizerConfig(name="soap", soap=config))
    tree = [{"model": {"w": jnp.asarray(g)}} for g in gradients]
    step, now, found = jax.jit(transformation.update), transformation.init(tree[0]), []
    for gradient in tree:
        updates, now = step(gradient, now, tree[0])
        found.append(-np.asarray(updates["model"]["w"]))
    return np.stack(found), now


@pytest.mark.parametrize(
    ("shape", "sides"), [((2, 6, 6), (0, 1)), ((2, 5, 9), (0,)), ((2, 9, 5), (1,))]
)
def test_updates_are_those_of_the_definition(shape, sides):
    """Several refreshments; a side that is longer than allowed has no basis."""
    config = SoapConfig(precondition_every=3, max_dimension=8, betas=(0.9, 0.97), shampoo_beta=0.8)
    with jax.enable_x64(True):
        gradients = random(11, *shape)
        found, _ = changes_of(config, gradients)
    for i in range(shape[0]):
        definition = Definition(config, sides)
        expected = [definition.update(g) for g in gradients[:, i]]
        np.testing.assert_allclose(found[:, i], expected, rtol=0, atol=EXACT)
    assert not found[0].any() and found[1].any()


def test_matrices_of_several_leaves_and_shapes_do_not_mix():
    config, gradients = SoapConfig(precondition_every=2), random(5, 3, 4, 4)
    transformation = optimizer.make_optimizer(OptimizerConfig(name="soap", soap=config))

    def tree(g):
        return {"model": {"a": jnp.asarray(g[:1]), "b": jnp.asarray(g[:, :1].repeat(4, 1) + g)}}

    step = jax.jit(transformation.update)
    alone, together = [], []
    for names in (("a",), ("a", "b")):
        trees = [{"model": {k: tree(g)["model"][k] for k in names}} for g in gradients]
        now = transformation.init(trees[0])
        for t in trees:
            updates, now = step(t, now, trees[0])
        (alone if names == ("a",) else together).append(updates["model"]["a"])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.wide
@pytest.mark.parametrize(("acts_on", "expected"), [("matrices", False), ("all", True)])
def test_embeddings_and_readouts_follow_adam_unless_all_is_asked_for(acts_on, expected):
    config = SoapConfig(acts_on=acts_on)
    params = {"model": {"matrix": random(8, 8), "embedding": random(3, 8), "bias": random(4)}}
    params = jax.tree.map(jnp.float32, {**params, "shift": random(4, 4)})
    transformation = optimizer.make_optimizer(OptimizerConfig(name="soap", soap=config))
    updates, _ = transformation.update(params, transformation.init(params), params)
    model = updates["model"]
    assert not model["matrix"].any() and bool(model["embedding"].any()) != expected
    for adam in (model["bias"], updates["shift"]):
        np.testing.assert_allclose(np.abs(adam), 1, rtol=1e-4)


def test_a_rotated_valley_is_descended_faster_than_by_adam():
    left, right = (jnp.float32(np.linalg.qr(random(8, 8))[0]) for _ in range(2))
    curvature = jnp.asarray(np.outer(*[np.logspace(0, -2, 8)] * 2), jnp.float32)
    start = {"model": {"w": jnp.float32(random(8, 8))}}

    def loss(params):
        return 0.5 * jnp.sum(curvature * (left.T @ params["model"]["w"] @ right) ** 2)

    def end(name):
        transformation = optimizer.make_optimizer(OptimizerConfig(name=name))

        def step(carried, t):
            params, now = carried
            updates, now = transformation.update(jax.grad(loss)(params), now, params)
            rate = 0.03 * 0.5 * (1 + jnp.cos(jnp.pi * t / 600))
            return (jax.tree.map(lambda p, u: p + rate * u, params, updates), now), None

        ended, _ = jax.lax.scan(step, (start, transformation.init(start)), jnp.arange(600.0))
        return float(loss(ended[0]))

    assert end("soap") < 1e-3 * end("adamw")


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_matrix_without_a_usable_gradient_stays_and_so_do_its_bases(bad):
    """Before its first gradient and after it, alone and beside another."""
    config, gradients = SoapConfig(precondition_every=2), random(6, 2, 4, 4)
    gradients[:, 0] = bad
    gradients[[0, 2, 5], 1] = bad
    found, now = changes_of(config, gradients)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(now))
    assert not found[:, 0].any() and not found[[0, 2, 5], 1].any()
    (group,) = (g for g in jax.tree.leaves(now, is_leaf=is_group) if is_group(g))
    assert list(group.count) == [0, 3]
    identity = np.eye(4)
    np.testing.assert_array_equal(group.left.vectors[0], identity)
    turned = np.asarray(group.left.vectors[1])
    np.testing.assert_allclose(turned.T @ turned, identity, atol=1e-5)


def is_group(node):
    return isinstance(node, soap.Group)


def test_tiny_gradients_have_bases_too():
    gradients = random(5, 1, 6, 6)
    config = SoapConfig(precondition_every=2, eps=1e-30)
    tiny, _ = changes_of(config, np.float32(1e-15 * gradients))
    usual, _ = changes_of(config, np.float32(gradients))
    np.testing.assert_allclose(tiny, usual, atol=1e-2)


def test_four_devices_compute_what_one_computes():
    gradients = jnp.asarray(random(4, 3, 6, 6), jnp.float32)
    config = OptimizerConfig(name="soap", soap=SoapConfig(precondition_every=2))
    transformation, found = optimizer.make_optimizer(config), []
    for num_devices in (1, 4):
        mesh = sharding.make_mesh(num_devices)
        tree = sharding.replicate({"model": {"w": gradients[0]}}, mesh)
        now = sharding.replicate(transformation.init(tree), mesh)
        step = jax.jit(transformation.update)
        for gradient in gradients:
            own = sharding.replicate({"model": {"w": gradient}}, mesh)
            updates, now = step(own, now, tree)
        assert len(updates["model"]["w"].sharding.device_set) == num_devices
        found.append(np.asarray(updates["model"]["w"]))
    np.testing.assert_allclose(*found, atol=1e-5)


def test_a_checkpoint_gives_back_every_bit_also_where_a_side_has_no_basis(tmp_path):
    params = {"model": {"w": jnp.ones((2, 5, 9)), "b": jnp.ones(3)}, "shift": jnp.ones(2)}
    config = OptimizerConfig(name="soap", soap=SoapConfig(max_dimension=8))
    transformation = optimizer.make_optimizer(config)
    begun = state.init_state(params, transformation)
    gradient = jax.tree.map(lambda x: jnp.asarray(random(*x.shape), jnp.float32), params)
    moved = begun.replace(opt_state=transformation.update(gradient, begun.opt_state, params)[1])
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        saved.save(moved, state.Progress(step=1))
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        loaded, _ = saved.load(begun)
    jax.tree.map(np.testing.assert_array_equal, loaded, state.to_host(moved))
    assert jax.tree.structure(loaded) == jax.tree.structure(moved)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"betas": (0.9,)}, "soap.betas: expected two numbers"),
        ({"betas": (0.9, 1.0)}, "soap.betas: expected numbers from 0 to below 1"),
        ({"shampoo_beta": -0.1}, "soap.shampoo_beta: expected"),
        ({"precondition_every": 0}, "soap.precondition_every: expected a positive number"),
        ({"eps": 0.0}, "soap.eps: expected a positive number"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(errors.ConfigError, match=said):
        SoapConfig(**settings)
