import contextlib
import json
import sqlite3

import numpy as np
import pytest

from equipot import errors
from equipot.data import readers


def _changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["ids"].remove(2),
            r"its list 'ids' is \[1, 3\], but it holds the rows 1, 2, 3",
        ),
        (lambda c: c.pop("2"), r"its list 'ids' is \[1, 2, 3\], but it holds the rows 1, 3"),
        (lambda c: c["1"]["forces"]["__ndarray__"].__setitem__(2, -1), r"\[shape, type, numbers\]"),
        (lambda c: c["1"]["forces"]["__ndarray__"].__setitem__(1, "int64"), r"type int64 holds"),
        (lambda c: c["1"]["forces"]["__ndarray__"].__setitem__(0, [10**12]), r"has 9 numbers"),
        (lambda c: c["2"].__setitem__("positions", None), r"row 2 has no positions"),
        (lambda c: c["3"].pop("numbers"), r"row 3 has no numbers"),
    ],
)
def test_rows_in_json_are_neither_left_out_nor_cast(
    write, labelled_water, tmp_path, change, message
):
    write("a.json", labelled_water(3))
    _changed(tmp_path / "a.json", change)
    with pytest.raises(errors.DataError, match=rf"a\.json: .*{message}"):
        readers.read_structures(tmp_path / "a.json")


def test_a_key_that_stands_twice_in_json_is_refused(write, labelled_water, tmp_path):
    path = tmp_path / "a.json"
    write("a.json", labelled_water(2))
    path.write_text(path.read_text().replace('"2": {', '"1": {', 1))
    with pytest.raises(errors.DataError, match=r"a\.json: .*the key '1' stands there twice"):
        readers.read_structures(path)


def test_a_damaged_database_is_named(write, labelled_water, tmp_path):
    path = tmp_path / "a.db"
    write("a.db", labelled_water(3))
    data = bytearray(path.read_bytes())
    data[4096:4200] = bytes(104)
    path.write_bytes(data)
    with pytest.raises(errors.DataError, match=r"a\.db: .*it is damaged, fetch or make it again"):
        readers.read_structures(path)


@pytest.mark.parametrize("column", ["positions", "numbers"])
def test_a_row_of_a_database_without_atoms_is_named(write, labelled_water, tmp_path, column):
    path = tmp_path / "a.db"
    write("a.db", labelled_water(3))
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE systems SET {column} = NULL WHERE id = 2")
        database.commit()
    with pytest.raises(errors.DataError, match=r"a\.db: row 2 has no numbers or no positions"):
        readers.read_structures(path)


def test_a_trajectory_whose_counter_is_too_small_is_refused(write, labelled_water, tmp_path):
    path = tmp_path / "a.traj"
    write("a.traj", labelled_water(3))
    data = bytearray(path.read_bytes())
    data[32:40] = np.int64(2).tobytes()
    path.write_bytes(data)
    with pytest.raises(
        errors.DataError, match=r"a\.traj: says it has 2 frames, but its table list"
    ):
        readers.read_structures(path)
