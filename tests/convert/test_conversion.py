"""The road from file to artefact, with a potential in the place of the torch model."""

import dataclasses
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from equipot import errors
from equipot.cli import main
from equipot.convert import conversion, files, oracles, torch_modules
from equipot.potential import artefact, evaluate


@pytest.fixture
def model(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, make_potential: Callable
) -> pathlib.Path:
    """A file that is opened as a potential of hydrogen and oxygen."""
    path = tmp_path / "water.model"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02cmace.modules.models\nMACE\n.")
    potential = make_potential(dtype="float64", species_table=(1, 8))
    monkeypatch.setattr(files, "open_model", lambda source, name=None: potential)
    monkeypatch.setattr(oracles, "to_float64", lambda module: module)
    monkeypatch.setattr(torch_modules, "dtype_of", lambda module: "float32")
    monkeypatch.setattr(conversion, "read", lambda module, *_: module)
    monkeypatch.chdir(tmp_path)
    return path


def test_the_artefact_has_the_precision_and_the_name_of_the_model_and_its_origin(
    model: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def agree(module: Any, program: str, structures: Any, head: str | None) -> list:
        assert (program, head) == ("mace-torch", "dft")
        return evaluate.evaluate(module, structures)

    monkeypatch.setattr(conversion, "evaluate_original", agree)
    main.main(["convert", str(model), "--trust", "--head", "dft"])
    shown = capsys.readouterr().out
    assert "water.equipot: nequip, 2 elements, float32" in shown
    assert "in float64: energy 0.0e+00 eV/atom, forces 0.0e+00 eV/Å" in shown
    found = artefact.read("water.equipot").potential
    assert found.spec.dtype == "float32"
    origin = found.provenance["converted_from"]
    assert origin["sha256"] == files.recognise(model).sha256
    assert (origin["file"], origin["head"]) == ("water.model", "dft")


def test_what_differs_from_the_original_is_not_written(
    model: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def differ(module: Any, program: str, structures: Any, head: str | None) -> list:
        found = evaluate.evaluate(module, structures)
        return [dataclasses.replace(f, forces=f.forces + 2e-5) for f in found]

    monkeypatch.setattr(conversion, "evaluate_original", differ)
    with pytest.raises(SystemExit):
        main.main(["convert", str(model), "--trust"])
    said = capsys.readouterr().err
    assert "differs from the original in its forces by" in said
    assert "2.0e-05 eV/Å, at most 1e-05 is expected; nothing was written" in said
    assert not pathlib.Path("water.equipot").exists()


def test_a_module_of_another_version_is_named(model: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conversion, "read", lambda module, *_: module.avg_num_neighbors_norm)
    message = "a module lacks what it has.*avg_num_neighbors_norm"
    with pytest.raises(errors.ConversionError, match=message):
        conversion.convert(model, trust=True)
