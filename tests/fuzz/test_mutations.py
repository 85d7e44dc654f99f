import gzip
import io
import json

import numpy as np
import pytest

from tests.fuzz import mutations


def _npz():
    file = io.BytesIO()
    np.savez(file, z=np.array([1, 8]), R=np.ones((2, 2, 3)))
    return file.getvalue()


FILES = {
    "text": b'2\nenergy=-1.5 name="a b"\nH 0 0 0\nO 1.0 0 0\n' * 3,
    "json": json.dumps({"a": {"b": [1, 2.5, "c"]}, "d": None}).encode(),
    "gz": gzip.compress(b"1 2 3\n4 5 6\n" * 20, mtime=0),
    "npz": _npz(),
    "noise": bytes(range(256)),
    "empty": b"",
}


@pytest.mark.parametrize("name", FILES)
def test_a_seed_gives_the_same_damage_every_time(name):
    for seed in range(40):
        first, what = mutations.mutate(FILES[name], np.random.default_rng(seed))
        assert (first, what) == mutations.mutate(FILES[name], np.random.default_rng(seed))
        assert what and len(first) < 1_000_000


@pytest.mark.parametrize("name", FILES)
def test_seeds_damage_in_many_ways(name):
    made = {mutations.mutate(FILES[name], np.random.default_rng(s))[1] for s in range(200)}
    assert len(made) > (1 if name == "empty" else 40)
    assert (
        name == "empty"
        or sum(
            mutations.mutate(FILES[name], np.random.default_rng(s))[0] == FILES[name]
            for s in range(200)
        )
        < 20
    )


def test_what_is_packed_is_damaged_inside_too():
    whats = [mutations.mutate(FILES["npz"], np.random.default_rng(s))[1] for s in range(200)]
    assert any(what.startswith("R.npy: shape of the array became") for what in whats)
    assert any(what.endswith("a second time") for what in whats)
    whats = [mutations.mutate(FILES["gz"], np.random.default_rng(s))[1] for s in range(200)]
    assert any(what.startswith("inside gz: line") for what in whats)
