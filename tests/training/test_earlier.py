import pytest
import yaml

from equipot import errors
from equipot.training import earlier, folder
from tests.training.test_folder import begin, configured


@pytest.mark.parametrize(("anchored", "shift"), [(True, "neighbors"), (False, "constant")])
def test_a_run_of_an_earlier_version_keeps_its_switch(tmp_path, anchored, shift):
    place = begin(tmp_path / "run")
    older = yaml.safe_load(place.config.read_text())
    del older["potential"]["shift"]
    older["potential"]["anchor_isolated"] = anchored
    place.config.write_text(yaml.safe_dump(older))
    found = earlier.as_begun(configured(tmp_path / "run"))
    assert found.potential.shift == shift
    folder.find_folder(found)
    bonds = earlier.as_begun(configured(tmp_path / "run", potential={"shift": "bonds"}))
    with pytest.raises(errors.CheckpointError, match=f"shift={shift}, now it is bonds"):
        folder.find_folder(bonds)


@pytest.mark.parametrize(
    ("before", "kept"), [("none", "none"), (None, "none"), ("fitted", "fitted")]
)
def test_a_run_of_an_earlier_version_keeps_its_wall_or_has_none(tmp_path, before, kept):
    place = begin(tmp_path / "run")
    older = yaml.safe_load(place.config.read_text())
    assert older["potential"].pop("repulsion") == "wall"
    if before is not None:
        older["potential"]["repulsion"] = before
    place.config.write_text(yaml.safe_dump(older))
    found = earlier.as_begun(configured(tmp_path / "run"))
    assert found.potential.repulsion == kept
    folder.find_folder(found)


def test_a_run_of_an_earlier_version_averages_as_far_back_at_its_end(tmp_path):
    place = begin(tmp_path / "run")
    older = yaml.safe_load(place.config.read_text())
    assert older["optimizer"].pop("ema_shrinks") is True
    place.config.write_text(yaml.safe_dump(older))
    found = earlier.as_begun(configured(tmp_path / "run"))
    assert found.optimizer.ema_shrinks is False
    folder.find_folder(found)


def test_a_new_run_begins_with_what_is_given(tmp_path):
    given = configured(tmp_path / "run")
    assert earlier.as_begun(given) is given


def begun_earlier(path, **trainer):
    """A run of a version that had 100 epochs in batches of four as its defaults."""
    place = begin(path)
    older = yaml.safe_load(place.config.read_text())
    del older["trainer"]["minutes"]
    older["trainer"].update({"num_epochs": 100, "batch_size": 4} | trainer)
    place.config.write_text(yaml.safe_dump(older))


@pytest.mark.parametrize("given", [{}, {"num_steps": 9}, {"batch_size": 2}, {"num_epochs": 7}])
def test_a_run_of_an_earlier_version_keeps_its_length_and_its_batches(tmp_path, given):
    begun_earlier(tmp_path / "run", **given)
    found = earlier.as_begun(configured(tmp_path / "run", trainer=given))
    folder.find_folder(found)
    expected = {"num_epochs": 100, "batch_size": 4, "num_steps": None} | given
    assert {key: getattr(found.trainer, key) for key in expected} == expected


def test_a_run_of_an_earlier_version_is_not_given_minutes(tmp_path):
    begun_earlier(tmp_path / "run")
    timed = earlier.as_begun(configured(tmp_path / "run", trainer={"minutes": 2.0}))
    with pytest.raises(errors.CheckpointError, match=r"minutes=null, now it is 2\.0"):
        folder.find_folder(timed)


def test_a_run_of_an_earlier_version_keeps_its_scale_and_its_loss(tmp_path):
    place = begin(tmp_path / "run")
    older = yaml.safe_load(place.config.read_text())
    older["potential"]["scale"] = "forces_rms"
    older["optimizer"]["warmup_steps"] = 0
    older["loss"]["stress"] = 0.0
    place.config.write_text(yaml.safe_dump(older))
    found = earlier.as_begun(configured(tmp_path / "run"))
    folder.find_folder(found)
    assert found.potential.scale == "forces_rms" and found.loss.stress == 0.0
    assert found.optimizer.warmup_steps == 0
    given = earlier.as_begun(configured(tmp_path / "run", optimizer={"warmup_steps": 9}))
    with pytest.raises(errors.CheckpointError, match="warmup_steps=0, now it is 9"):
        folder.find_folder(given)


def test_a_run_of_an_earlier_version_keeps_the_matrices_of_each_species(tmp_path):
    place = begin(tmp_path / "run")
    older = yaml.safe_load(place.config.read_text())
    del older["data"]["split_file"]
    place.config.write_text(yaml.safe_dump(older))
    found = earlier.as_begun(configured(tmp_path / "run"))
    assert found.model["shared_matrices"] == 0
    folder.find_folder(found)


@pytest.mark.parametrize(("written", "kept"), [(None, 10.0), (0.0, 0.0), (1.0, 1.0)])
def test_a_stress_left_open_keeps_the_weight_that_the_run_began_with(tmp_path, written, kept):
    """It is written when a run begins; one that an earlier version left open was 10."""
    place = begin(tmp_path / "run")
    stored = yaml.safe_load(place.config.read_text())
    stored["loss"]["stress"] = written
    place.config.write_text(yaml.safe_dump(stored))
    found = earlier.as_begun(configured(tmp_path / "run", loss={"stress": None}))
    folder.find_folder(found)
    weight = earlier.open_stress(place)
    assert found.loss.with_stress(is_labelled=True, weight=weight).stress == kept


def test_a_new_run_writes_the_weight_of_the_stress(tmp_path):
    place = folder.RunFolder(tmp_path / "run", "run")
    assert earlier.open_stress(place) == 1.0
