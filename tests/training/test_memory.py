"""What a step takes, what there is, and the largest batches that fit."""

import dataclasses
import pathlib
import re
import resource

import jax
import pytest

from equipot import compilations, errors
from equipot.training import (
    capacity,
    config,
    memory,
    optimizer,
    preparation,
    sharding,
    state,
    step,
)
from equipot.training.programs import Programs
from tests.integration import tiny
from tests.training.datasets import made_of

BYTES = {
    "1 kB": 1000,
    "12.3 MB": 12_345_678,
    "999 MB": 998_900_000,
    "1.3 GB": 1_300_000_000,
    "139 GB": 139_000_000_000,
}


def configuration(**trainer):
    return config.train_config(
        {
            "data": {"train": "not read here"},
            "model": tiny.MODEL,
            "trainer": {"num_steps": 20, "eval_batch_size": 3, **trainer},
        }
    )


def prepared(structures, **trainer):
    own = configuration(**trainer)
    data = made_of(structures * 2, structures[:2])
    mesh = sharding.make_mesh(1)
    return own, data, preparation.prepare(own, data, 1), mesh


@pytest.mark.parametrize(("text", "count"), BYTES.items())
def test_bytes_are_shown_with_two_or_three_digits(text, count):
    assert memory.shown(count) == text


def test_a_processor_has_what_is_free_and_its_devices_share_it():
    one, four = memory.limit(sharding.make_mesh(1)), memory.limit(sharding.make_mesh(4))
    assert 2**26 < one < 2**46
    assert four == pytest.approx(one / 4, rel=0.1)


def test_a_limit_of_addresses_counts():
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = pathlib.Path("/proc/self/statm").read_text().split()[0]
    taken = int(pages) * resource.getpagesize()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (taken + 10**9, before[1]))
        assert 0 < memory.limit(sharding.make_mesh(1)) <= 10**9 / 3
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(("most", "expected"), [(5000, 48), (1120, 10), (150, None)])
def test_the_largest_that_fits_is_found_by_scaling_and_then_verified(most, expected):
    """A hundred bytes for each, and a hundred; what is said to fit has been tried."""
    tried = []

    def bytes_of(size):
        tried.append(size)
        return 100 + 100 * size + size**2 // 50

    found = memory.largest(1000, 1, bytes_of, 100, most)
    assert len(tried) <= 6
    if expected is None:
        assert found is None and 1 in tried
    else:
        size, taken = found
        assert size in tried and taken <= most and 0.85 * expected < size <= expected


@pytest.mark.wide
def test_the_figure_is_that_of_the_program_that_the_steps_run(lennard_jones, no_programs):
    own, _, parts, mesh = prepared(lennard_jones[:12], batch_size=4)
    programs = Programs(parts, mesh)
    now = sharding.replicate(state.init_state(parts.params, parts.updates.transformation), mesh)
    tally = sharding.replicate(step.empty_tally(parts.loss, "float32", parts.quantities), mesh)
    course = sharding.replicate(optimizer.Course.of(own.optimizer, 9), mesh)
    with compilations.Compilations() as counted:
        taken = programs.bytes_of(*parts.train.budgets)
        for batch in parts.train.batches(0):
            now, tally = programs.train_step(now, tally, sharding.shard(batch, mesh), course)
    assert counted.by_name["jit(train_step)"] == 1
    arrays = sum(leaf.nbytes for leaf in jax.tree.leaves((now, tally, batch)))
    assert arrays < taken < 1000 * arrays
    assert programs.bytes_of_state == sum(leaf.nbytes for leaf in jax.tree.leaves(now))


@pytest.mark.slow
def test_larger_batches_take_more_and_accumulated_ones_do_not(lennard_jones):
    def bytes_of(**trainer):
        *_, parts, mesh = prepared(lennard_jones[:12], **trainer)
        return Programs(parts, mesh).bytes_of(*parts.train.budgets)

    small = bytes_of(batch_size=2)
    assert bytes_of(batch_size=8) > 3 * small
    assert bytes_of(batch_size=2, accumulate=4) < 1.5 * small


@pytest.mark.slow
def test_what_does_not_fit_is_refused_with_the_largest_that_does(lennard_jones):
    own, _, parts, mesh = prepared(lennard_jones[:12], batch_size=16)
    programs = Programs(parts, mesh)
    taken = programs.bytes_of(*parts.train.budgets)
    assert capacity.check(own, parts, programs, taken).endswith(
        f"of {memory.shown(taken)} of memory"
    )
    assert (
        capacity.check(own, parts, programs, None)
        == f"A step takes {memory.shown(taken)} of memory"
    )
    with pytest.raises(errors.MemoryLimitError) as refused:
        capacity.check(own, parts, programs, taken // 2)
    (size,) = map(int, re.findall(r"set trainer.batch_size=(\d+)", str(refused.value)))
    assert 4 <= size <= 8
    again = preparation.resized(parts, own, dataclasses.replace(parts.length, batch_size=size))
    assert Programs(again, mesh).bytes_of(*again.train.budgets) <= taken // 2
    with pytest.raises(errors.MemoryLimitError, match="a run that has begun keeps its batches"):
        capacity.check(own, parts, programs, taken // 2, is_new=False)
    with pytest.raises(errors.MemoryLimitError, match="not even 1 fit: use a smaller model"):
        capacity.check(own, parts, programs, programs.bytes_of_state)


@pytest.mark.slow
def test_batches_of_edges_are_refused_with_a_number_of_edges(lennard_jones):
    own, _, parts, mesh = prepared(lennard_jones[:12], batch_edges=2000)
    programs = Programs(parts, mesh)
    taken = programs.bytes_of(*parts.train.budgets)
    with pytest.raises(
        errors.MemoryLimitError,
        match=r"of \d+ edges takes .* set trainer.batch_edges=\d+, and trainer.accumulate=[23]",
    ):
        capacity.check(own, parts, programs, int(0.6 * taken))


@pytest.mark.slow
def test_auto_takes_the_largest_power_of_two_within_memory_and_a_tenth_of_the_data(lennard_jones):
    own, data, parts, mesh = prepared(lennard_jones[:40], batch_size="auto")
    assert parts.length.batch_size == 8  # of 80 structures
    full, programs = capacity.as_many_as_fit(own, data, parts, mesh, None)
    assert full.length.batch_size == 8
    taken = programs.bytes_of(*full.train.budgets)
    for most, expected in ((2 * taken, 8), (1.2 * taken, 4), (taken // 100, 1)):
        found, made = capacity.as_many_as_fit(own, data, parts, mesh, int(most))
        assert found.length.batch_size == expected
        assert found.train.num_batches(0) == 80 // expected
        if expected > 1:
            assert made.bytes_of(*found.train.budgets) <= 0.8 * most


def test_one_size_of_batches_is_asked_for():
    with pytest.raises(
        errors.ConfigError, match=r"received batch_size=4 too; .* set trainer.batch_size=null"
    ):
        configuration(batch_edges=100, batch_size=4)
    for value in (0, -3, "all", 1.5):
        with pytest.raises(errors.ConfigError, match=r"trainer\.batch_size: expected"):
            configuration(batch_size=value)
    with pytest.raises(errors.ConfigError, match=r"trainer\.accumulate: expected at least 1"):
        configuration(accumulate=0)
