import pytest

from equipot import errors
from equipot.process import ALONE
from equipot.training import beginning, config, folder, length


def settings(path, **trainer):
    mapping = {"data": {"train": "x.xyz"}, "model": {"name": "nequip"}, "trainer": trainer}
    return config.train_config({**mapping, "run_dir": str(path)})


def test_a_new_run_begins_with_its_own_settings(tmp_path):
    given = settings(tmp_path / "run")
    begun = beginning.look(given, ALONE)
    assert begun.config == given
    assert (begun.is_finished, begun.num_devices, begun.length) == (False, None, None)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_what_its_folder_says(tmp_path):
    given = settings(tmp_path / "run")
    place = beginning.path_of(given)
    with folder.occupied(place, given, {"fingerprint": "abc", "num_devices": 8}):
        length.write(place, given.trainer, length.Length(batch_size=2, num_steps=7, valid_every=3))
    begun = beginning.look(given, ALONE)
    assert begun.num_devices == 8
    assert begun.length == length.Length(batch_size=2, num_steps=7, valid_every=3)
    with pytest.raises(errors.CheckpointError, match=r"trainer\.num_steps=null, now it is 5"):
        beginning.look(settings(tmp_path / "run", num_steps=5), ALONE)
    place.metrics.write_text("{}")
    place.dataset.write_text("damaged")
    assert beginning.look(given, ALONE).is_finished


@pytest.mark.parametrize("reads_store", [True, False])
def test_a_run_goes_on_with_memory_or_a_store_as_it_began(tmp_path, monkeypatch, reads_store):
    given = settings(tmp_path / "run")
    place = beginning.path_of(given)
    monkeypatch.setattr(beginning.large, "is_needed", lambda _: not reads_store)
    assert beginning.reads_store(beginning.look(given, ALONE), ALONE) is not reads_store
    facts = {"fingerprint": "abc", "num_devices": 8, "reads_store": reads_store}
    with folder.occupied(place, given, facts):
        pass
    assert beginning.reads_store(beginning.look(given, ALONE), ALONE) is reads_store


def test_what_is_not_left_open_is_not_read(tmp_path):
    given = settings(tmp_path / "run", num_steps=5, batch_size=1)
    place = beginning.path_of(given)
    with folder.occupied(place, given, {"fingerprint": "abc", "num_devices": 1}):
        place.length.write_text("damaged")
    assert beginning.look(given, ALONE).length is None
