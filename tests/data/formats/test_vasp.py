import numpy as np
import pytest

from equipot import errors
from equipot.data import readers
from tests.fuzz import data_files


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """OUTCAR and vasprun.xml of three steps of four atoms."""
    files = data_files.make_files(tmp_path_factory.mktemp("sound"))
    return {
        files[name].name: files[name].contents[files[name].name].decode()
        for name in ("outcar", "vasprun")
    }


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_whole_files_give_every_step(tmp_path, texts, name):
    (tmp_path / name).write_text(texts[name])
    found = readers.read_structures(tmp_path / name)
    assert [item.energy for item in found] == [-31.5, -31.75, -32.0]
    expected = data_files.make_frames()[2]
    np.testing.assert_allclose(found[2].forces, expected.get_forces(), atol=1e-7)
    np.testing.assert_allclose(found[2].stress, expected.get_stress(voigt=False), atol=1e-7)


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.55, 0.85])
def test_a_file_that_was_cut_short_is_never_read_in_part(tmp_path, texts, name, share):
    text = texts[name]
    (tmp_path / name).write_text(text[: int(share * len(text))])
    with pytest.raises(errors.DataError, match=rf"{name}.*(killed|could not be read as vasp)"):
        readers.read_structures(tmp_path / name)


def test_an_outcar_cut_before_the_forces_of_a_step_gives_the_whole_steps(tmp_path, texts):
    (tmp_path / "OUTCAR").write_text(texts["OUTCAR"].rpartition("--- Iteration")[0])
    assert len(readers.read_structures(tmp_path / "OUTCAR")) == 2


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("vasprun.xml", "<v> -0.5", "<w> </w><v> -0.5", r"step 0: expected forces once, 4 rows"),
        ("vasprun.xml", '<varray name="forces"><v>', '<varray name="forces"><v>1', "step 0: exp"),
        (
            "OUTCAR",
            "NIONS =      4",
            "NIONS =      5",
            r"step 0, line 11: expected the ions of each",
        ),
        (
            "OUTCAR",
            "   1   2   1\n",
            "   1   99999999999   1\n",
            r"line 11: expected the ions of ea",
        ),
        ("OUTCAR", "-31.75000000 eV", "2024-01-01 eV", r"step 1.*expected one number after 'TOTEN"),
        ("OUTCAR", "in kB  ", "in kB  abc", r"step 0, line 16: expected six numbers after 'in kB'"),
    ],
)
def test_a_step_that_lacks_numbers_is_named(tmp_path, texts, name, old, new, message):
    assert old in texts[name]
    (tmp_path / name).write_text(texts[name].replace(old, new, 1))
    with pytest.raises(errors.DataError, match=message):
        readers.read_structures(tmp_path / name)


def test_a_row_of_forces_that_is_missing_is_no_zero(tmp_path, texts):
    lines = texts["vasprun.xml"].splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if 'name="forces"' in line)
    (tmp_path / "vasprun.xml").write_text("".join(lines[: first + 1] + lines[first + 2 :]))
    with pytest.raises(errors.DataError, match=r"step 0: expected forces once, 4 rows of three"):
        readers.read_structures(tmp_path / "vasprun.xml")
