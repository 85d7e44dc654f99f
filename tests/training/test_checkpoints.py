import dataclasses
import gc
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.training import checkpoints, config, optimizer, state


def steps_in(folder):
    return sorted(int(name) for name in os.listdir(folder))


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert jax.tree.structure(first) == jax.tree.structure(second)


def test_what_is_saved_is_loaded_bit_by_bit(tmp_path, small_state):
    plateau = optimizer.Plateau(factor=0.1 + 0.2, best=1 / 3, waited=2)
    progress = state.Progress(
        step=7, epoch=2, position=3, best_loss=1 / 7, plateau=plateau, logs={"metrics.csv": 12}
    )
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        saved.save(small_state, progress)
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        loaded, where = saved.load(jax.tree.map(jnp.zeros_like, small_state))
    assert where == progress
    assert_same_bits(loaded, state.to_host(small_state))


def test_a_state_of_muon_is_loaded_with_its_parts(tmp_path, small_state):
    muon = optimizer.make_optimizer(config.OptimizerConfig(name="muon"))
    begun = state.init_state(small_state.params, muon)
    moved = begun.replace(
        opt_state=jax.tree.map(lambda x: x + jnp.ones((), x.dtype), begun.opt_state)
    )
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        saved.save(moved, state.Progress(step=1))
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        loaded, _ = saved.load(begun)
    assert_same_bits(loaded, state.to_host(moved))


def test_the_latest_and_the_best_are_kept(tmp_path, small_state):
    progress = state.Progress()
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        for step, loss in enumerate([5.0, 1.0, 2.0, 3.0, 4.0, 2.5], start=1):
            progress = dataclasses.replace(progress, step=step)
            progress = progress.validated(loss, progress.plateau)
            marked = small_state.replace(ema_params={"number": jnp.full(3, step)})
            saved.save(marked, progress)
        saved.wait()
        assert steps_in(tmp_path / "c") == [2, 5, 6]
        assert progress.best_step == 2
        best = saved.load_ema(2, marked)
    np.testing.assert_array_equal(best["number"], [2, 2, 2])


def test_a_checkpoint_is_not_changed_by_the_step_after_it(tmp_path, small_state):
    add = jax.jit(
        lambda tree: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), tree), donate_argnums=0
    )
    expected = state.to_host(small_state)
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        saved.save(small_state, state.Progress(step=1))
        after = jax.block_until_ready(add(small_state))
        saved.wait()
        loaded, _ = saved.load(after)
    assert_same_bits(loaded, expected)


def test_a_half_written_checkpoint_is_ignored_and_removed(tmp_path, small_state):
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        saved.save(small_state, state.Progress(step=1))
    shutil.copytree(tmp_path / "c" / "1", tmp_path / "c" / "2.orbax-checkpoint-tmp")
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        assert saved.latest_step == 1
    assert steps_in(tmp_path / "c") == [1]


def test_a_foreign_checkpoint_is_refused(tmp_path, small_state):
    (tmp_path / "c" / "3" / "weights").mkdir(parents=True)
    (tmp_path / "c" / "3" / "weights" / "x").write_text("1")
    with (
        checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved,
        pytest.raises(errors.CheckpointError, match="c/3: expected a checkpoint of equipot"),
    ):
        saved.load(small_state)


# Orbax closes its event loop while other parts are still read, and these complain when collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_refused(tmp_path, small_state):
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        saved.save(small_state, state.Progress(step=1))
    for part in (tmp_path / "c" / "1" / "params").rglob("*"):
        if part.is_file() and part.parent.name == "d":
            part.write_bytes(b"")
    with (
        checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved,
        pytest.raises(errors.CheckpointError, match="damaged or foreign"),
    ):
        saved.load(small_state)
    gc.collect()


def test_a_checkpoint_of_another_model_names_the_parameter(tmp_path, small_state):
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        saved.save(small_state, state.Progress(step=1))
        wider = {**small_state.params, "model": {"w": jnp.zeros((40, 60))}}
        with pytest.raises(errors.CheckpointError, match=r"\['w'\] is float32\[40, 50\], expected"):
            saved.load(small_state.replace(params=wider))


def test_loading_from_an_empty_folder_is_refused(tmp_path, small_state):
    with (
        checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved,
        pytest.raises(errors.CheckpointError, match="found none"),
    ):
        saved.load(small_state)


def test_a_folder_that_takes_no_files_is_reported(tmp_path, small_state):
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        saved.save(small_state, state.Progress(step=1))
        saved.wait()
        shutil.rmtree(tmp_path / "c")
        (tmp_path / "c").write_text("a file in the folder's place")
        with pytest.raises(errors.CheckpointError, match="could not be written"):
            saved.save(small_state, state.Progress(step=2))
            saved.wait()
        (tmp_path / "c").unlink()
