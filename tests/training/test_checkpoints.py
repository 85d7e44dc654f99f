import dataclasses
import errno
import gc
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.training import checkpoint_meta, checkpoints, config, optimizer, state


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


def test_a_damaged_checkpoint_is_refused(tmp_path, small_state, new_objects_alone):
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


@pytest.mark.parametrize("gone", ["_CHECKPOINT_METADATA", "opt/d", "params", "", "all but opt"])
def test_what_a_killed_run_was_deleting_is_deleted(tmp_path, small_state, gone):
    """As an old step is found: a folder that is half there, with or without its description."""
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        saved.save(small_state, state.Progress(step=7, best_step=7))
    old = shutil.copytree(tmp_path / "c" / "7", tmp_path / "c" / "5")
    for path in old.iterdir() if gone == "all but opt" else [old / gone] if gone else []:
        if gone != "all but opt" or path.name != "opt":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "c" / "6").mkdir()
    (tmp_path / "c" / "6" / "notes.txt").write_text("not ours")
    (tmp_path / "c" / "4").write_text("a file")
    with checkpoints.Checkpoints(tmp_path / "c", keep=1) as saved:
        saved.load(small_state)
        assert 5 not in saved.steps and saved.latest_step == 7
    assert steps_in(tmp_path / "c") == [4, 6, 7]


@pytest.mark.wide
def test_a_description_that_is_no_json_is_refused_briefly(tmp_path, small_state, new_objects_alone):
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        saved.save(small_state, state.Progress(step=1))
    (tmp_path / "c" / "1" / "opt" / "_METADATA").write_text("{'")
    with (
        checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved,
        pytest.raises(errors.CheckpointError, match="describes its parts") as caught,
    ):
        saved.load(small_state)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 200
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


def begin_again(folder, like):
    """What a run does with the checkpoints of the one before: where it stands, and its best."""
    with checkpoints.Checkpoints(folder, keep=2) as saved:
        _, progress = saved.load(like)
        return progress, saved.load_ema(progress.best_step, like), saved.lost_best


@pytest.fixture
def three(tmp_path, small_state):
    """Three checkpoints; 1 was the best until 3 became it."""
    with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
        for step, best in ((1, 1), (2, 1), (3, 3)):
            marked = small_state.replace(step=jnp.asarray(step, jnp.int32))
            saved.save(marked, state.Progress(step=step, best_step=best, best_loss=1 / step))
    return tmp_path / "c"


def rewrite(file, change):
    file.write_bytes(change(file.read_bytes()))


def move_away(folder, step):
    shutil.move(folder / str(step), folder.parent / "away")


def test_the_best_of_every_kept_checkpoint_is_kept(three):
    assert steps_in(three) == [1, 2, 3]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rb"\"step\": 3", rb"\"step\": 1"),
        (rb"\"best_step\": 3", rb"\"best_step\": 2"),
        (rb"\"position\": 0", rb"\"position\": 9"),
        (rb"\"seed\": 0", rb"\"seed\": 7"),
    ],
)
def test_a_changed_number_in_the_description_is_found_by_its_checksum(
    three, small_state, before, after
):
    rewrite(three / "3" / "meta" / "_strings.json", lambda data: data.replace(before, after))
    with pytest.raises(errors.CheckpointError, match="the checksum of its description differs"):
        begin_again(three, small_state)


@pytest.mark.parametrize("part", ["params", "ema", "opt"])
def test_other_arrays_than_were_saved_are_found_by_their_checksum(
    tmp_path, small_state, part, monkeypatch
):
    """TensorStore keeps no checksum of what lies in the middle of an array."""

    def of_other(tree, digest=checkpoint_meta.digest):
        return digest(jax.tree.map(lambda x: x + np.ones((), x.dtype), tree))

    names = iter(("params", "ema", "opt"))
    with monkeypatch.context() as patch:
        digest = checkpoint_meta.digest
        patch.setattr(
            checkpoint_meta,
            "digest",
            lambda tree: (of_other if next(names) == part else digest)(tree),
        )
        with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
            saved.save(small_state, state.Progress(step=1, best_step=1))
    with pytest.raises(errors.CheckpointError, match=f"the checksum of '{part}' differs"):
        begin_again(tmp_path / "c", small_state)


@pytest.fixture
def older(tmp_path, small_state, monkeypatch):
    """A checkpoint as written before there were checksums."""

    def without(progress, parts):
        meta = {"progress": dataclasses.asdict(progress), "shapes": checkpoint_meta.shapes(parts)}
        return {"json": json.dumps(meta)}

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_meta, "to_strings", without)
        with checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved:
            saved.save(small_state, state.Progress(step=7, best_step=7, best_loss=0.5))
    return tmp_path / "c"


def test_a_checkpoint_without_checksums_is_read(older, small_state):
    progress, best, _ = begin_again(older, small_state)
    assert progress == state.Progress(step=7, best_step=7, best_loss=0.5)
    assert_same_bits(best, state.to_host(small_state.ema_params))


def test_a_checkpoint_without_checksums_must_agree_with_itself(older, small_state):
    file = older / "7" / "meta" / "_strings.json"
    rewrite(file, lambda data: data.replace(rb"\"step\": 7", rb"\"step\": 1", 1))
    with pytest.raises(errors.CheckpointError, match="its description is of step 1"):
        begin_again(older, small_state)
    rewrite(file, lambda data: data.replace(rb"\"step\": 1", rb"\"step\": 7", 1))
    (older / "7").rename(older / "8")
    rewrite(
        older / "8" / "meta" / "_strings.json",
        lambda data: data.replace(rb"\"step\": 7", rb"\"step\": 8", 1),
    )
    with pytest.raises(errors.CheckpointError, match="its optimizer is at step 7"):
        begin_again(older, small_state)


@pytest.mark.wide
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"json": 5}',
        b'{"json": "{}"}',
        b'{"json": "[[1]]"}',
        b'{"json": "{\\"progress\\": 1, \\"shapes\\": {}}"}',
    ],
)
def test_a_description_that_is_none_is_refused_with_advice_that_works(three, small_state, data):
    (three / "3" / "meta" / "_strings.json").write_bytes(data)
    with pytest.raises(errors.CheckpointError, match=r"c/3: expected.*goes on from step 2"):
        begin_again(three, small_state)
    move_away(three, 3)
    progress, _, lost = begin_again(three, small_state)
    assert (progress.step, progress.best_step, lost) == (2, 1, None)


def test_after_a_damaged_best_checkpoint_the_latest_takes_its_place(three, small_state):
    move_away(three, 3)
    shutil.rmtree(three / "1" / "ema" / "ocdbt.process_0")
    advice = "move that folder away, and the same command goes on with the latest, step 2, in its"
    with pytest.raises(errors.CheckpointError, match=f"c/1: expected.*{advice}"):
        begin_again(three, small_state)
    shutil.rmtree(three / "1")
    progress, best, lost = begin_again(three, small_state)
    assert (progress.step, progress.best_step, lost) == (2, 2, 1)
    assert progress.validated(1e6, progress.plateau).best_loss == 1e6
    assert_same_bits(best, state.to_host(small_state.ema_params))


def test_after_the_only_checkpoint_is_damaged_one_can_begin_anew(three, small_state):
    for step in (1, 2):
        shutil.rmtree(three / str(step))
    (three / "3" / "meta" / "_strings.json").write_bytes(b"")
    with pytest.raises(errors.CheckpointError, match=f"move {three} away, and the same command"):
        begin_again(three, small_state)
    shutil.rmtree(three)
    with checkpoints.Checkpoints(three, keep=2) as saved:
        assert saved.latest_step is None


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"item_handlers": 5}'])
def test_a_checkpoint_that_orbax_cannot_list_is_named(three, small_state, data):
    (three / "2" / "_CHECKPOINT_METADATA").write_bytes(data)
    with pytest.raises(errors.CheckpointError, match=r"c/2: expected.*goes on from what is left"):
        begin_again(three, small_state)
    move_away(three, 2)
    assert begin_again(three, small_state)[0].step == 3


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "c").write_text("x")
    with pytest.raises(errors.CheckpointError, match=r"c: expected a checkpoint of equipot"):
        checkpoints.Checkpoints(tmp_path / "c", keep=2)


def test_the_disk_is_called_full_only_where_it_is(tmp_path, small_state, monkeypatch):
    empty = small_state.replace(params={"w": jnp.zeros((0, 8))})
    with (
        checkpoints.Checkpoints(tmp_path / "c", keep=2) as saved,
        pytest.raises(errors.CheckpointError, match="could not be written") as caught,
    ):
        saved.save(empty, state.Progress(step=1))
        saved.wait()
    assert "space" not in str(caught.value)

    def full(self, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.Checkpoints, "_check_room", full)
    with (
        checkpoints.Checkpoints(tmp_path / "d", keep=2) as saved,
        pytest.raises(errors.CheckpointError, match=r"No space left.*Free some space"),
    ):
        saved.save(small_state, state.Progress(step=1))
