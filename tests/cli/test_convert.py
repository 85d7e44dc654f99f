import pathlib
import sys
import zipfile

import pytest

from equipot.cli import main


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file that names a model of MACE, and makes a folder ``ran`` if its pickle is run."""
    folder = str(tmp_path / "ran").encode()
    pickle = b"\x80\x02cmace.modules.models\nMACE\n0cos\nmkdir\n(V" + folder + b"\ntR."
    path = tmp_path / "water.model"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("water/data.pkl", pickle)
    return path


def _refuse(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main.main(["convert", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_without_trust_nothing_is_run(model: pathlib.Path, capsys: pytest.CaptureFixture):
    said = _refuse(capsys, str(model))
    assert "runs the Python code inside it" in said
    assert "--trust" in said
    assert not model.with_name("ran").exists()


def test_without_torch_the_line_that_installs_it_is_given(
    model: pathlib.Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    said = _refuse(capsys, str(model), "--trust")
    assert 'pip install "equipot[convert]" mace-torch' in said
    assert not model.with_name("ran").exists()


def test_a_file_that_stands_there_is_not_replaced(
    model: pathlib.Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(model.parent)
    pathlib.Path("water.equipot").write_text("mine")
    assert "water.equipot: already stands there" in _refuse(capsys, str(model), "--trust")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install" in _refuse(capsys, str(model), "--trust", "--overwrite")
    assert pathlib.Path("water.equipot").read_text() == "mine"


def test_the_name_of_what_is_written_ends_as_artefacts_do(
    model: pathlib.Path, capsys: pytest.CaptureFixture
):
    said = _refuse(capsys, str(model), "--trust", "-o", "water.model")
    assert "expected a name ending in .equipot, received '.model'" in said
