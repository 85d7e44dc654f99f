"""Runs of one process share the programs of their steps, and nothing else."""

import dataclasses

import jax
import numpy as np
import pytest

from equipot import compilations
from equipot.training import config, preparation, programs, sharding, state, step
from equipot.training.optimizer import Course
from equipot.training.programs import Programs
from tests.integration import tiny
from tests.training.datasets import made_of


@pytest.fixture(scope="module")
def data(lennard_jones):
    return made_of(lennard_jones[:12], lennard_jones[:2])


@pytest.fixture(autouse=True)
def of_this_test_alone():
    programs.forget()
    yield
    programs.forget()


def prepared(data, num_steps=20, batch_size=4, **settings):
    mapping = {
        "data": {"train": "not read here"},
        "model": tiny.MODEL,
        "trainer": {"num_steps": num_steps, "batch_size": batch_size},
    }
    own = config.train_config(mapping | settings)
    return own, preparation.prepare(own, data, 1)


def trained(data, num_steps, rate):
    """Parameters after a few steps of a run."""
    own, parts = prepared(data, num_steps, optimizer={"learning_rate": rate})
    mesh = sharding.make_mesh(1)
    train_step = Programs(parts, mesh).train_step
    course = sharding.replicate(Course.of(own.optimizer, num_steps), mesh)
    now = sharding.replicate(state.init_state(parts.params, parts.updates.transformation), mesh)
    tally = sharding.replicate(step.empty_tally(parts.loss, "float32", parts.quantities), mesh)
    for batch in parts.train.batches(0):
        now, tally = train_step(now, tally, sharding.shard(batch, mesh), course)
    return state.to_host(now.params)


def test_runs_of_another_rate_and_length_compile_nothing_and_learn_as_they_would_alone(data):
    first = trained(data, 20, 0.02)
    with compilations.Compilations() as counted:
        second = trained(data, 40, 0.3)
    assert "jit(train_step)" not in counted.by_name
    programs.forget()
    alone = trained(data, 40, 0.3)
    jax.tree.map(np.testing.assert_array_equal, second, alone)
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), first, second)
    assert max(jax.tree.leaves(gaps)) > 0.01


@pytest.mark.wide
def test_whatever_a_program_depends_on_keeps_runs_apart(data):
    mesh = sharding.make_mesh(1)
    _, parts = prepared(data)
    usual = Programs(parts, mesh)
    changed = {
        "loss": prepared(data, loss={"energy": 2.0})[1],
        "optimizer": prepared(data, optimizer={"ema_decay": 0.9})[1],
        "stage": prepared(data, stage_two={"start": 0.5, "learning_rate": 0.1})[1],
        "model": prepared(data, model=tiny.MODEL | {"num_channels": 3})[1],
        "accumulate": prepared(data, trainer={"num_steps": 9, "batch_size": 4, "accumulate": 2})[1],
        "potential": dataclasses.replace(
            parts, spec=dataclasses.replace(parts.spec, avg_num_neighbors=1.5)
        ),
    }
    for name, other in changed.items():
        assert Programs(other, mesh).train_step is not usual.train_step, name
    assert Programs(parts, sharding.make_mesh(2)).train_step is not usual.train_step
    assert Programs(prepared(data, seed=7)[1], mesh).train_step is usual.train_step


def test_schedule_free_compiles_its_rates(data):
    settings = {"name": "schedule_free", "schedule": "constant", "ema_decay": None}
    mesh, found = sharding.make_mesh(1), []
    for rate, num_steps in ((0.1, 20), (0.2, 20), (0.1, 40)):
        optimizer = {**settings, "learning_rate": rate}
        found.append(Programs(prepared(data, num_steps, optimizer=optimizer)[1], mesh).train_step)
    assert found[0] is not found[1]
    assert found[0] is found[2]  # they do not depend on an end that need not be known


def test_the_last_few_are_kept(data):
    mesh = sharding.make_mesh(1)
    _, parts = prepared(data)
    first = Programs(parts, mesh).train_step
    for i in range(programs._MOST_KEPT):
        spec = dataclasses.replace(parts.spec, avg_num_neighbors=2.0 + i)
        Programs(dataclasses.replace(parts, spec=spec), mesh)
    assert len(programs._kept) == programs._MOST_KEPT
    assert Programs(parts, mesh).train_step is not first
