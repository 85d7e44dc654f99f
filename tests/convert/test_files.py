import contextlib
import pathlib
import pickle
import random
import sys
import types
import zipfile
from collections.abc import Sequence

import pytest

from equipot import errors
from equipot.convert import files

MACE = b"\x80\x02cmace.modules.models\nScaleShiftMACE\n."
LIGHTNING = pickle.dumps({"pytorch-lightning_version": "2.5", "model": "nequip.model.X"}, 2)
STATE = pickle.dumps({"model": {}, "optimizer": {}, "epoch": 3}, 2)
OTHER = b"\x80\x02ctorch.nn.modules.linear\nLinear\n."


def _archive(path: pathlib.Path, parts: dict[str, bytes]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("parts", "program", "kind"),
    [
        ({"x/data.pkl": MACE, "x/version": b"3"}, "mace-torch", "model"),
        ({"archive/data.pkl": LIGHTNING}, "nequip", "checkpoint"),
        ({"x.nequip/model/package_metadata.txt": b"{}"}, "nequip", "package"),
    ],
)
def test_files_are_known_by_the_names_in_them(
    parts: dict[str, bytes], program: str, kind: str, tmp_path: pathlib.Path
):
    source = files.recognise(_archive(tmp_path / "file", parts))
    assert (source.program, source.kind, len(source.sha256)) == (program, kind, 64)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"x/data.pkl": STATE}, "checkpoint of mace-torch, which holds weights without the model"),
        ({"x/data.pkl": OTHER}, "found torch.nn.modules.linear.Linear"),
        ({"x/data.pkl": b"\x80\x02\xff"}, "its pickle is damaged"),
        ({"x/data.pkl": MACE, "x/constants.pkl": b""}, "TorchScript program"),
        ({"data/aotinductor/model/x.so": b""}, "compiled model, which holds no weights by name"),
        ({"readme.txt": b""}, "found no pickle"),
    ],
)
def test_other_archives_are_refused(parts: dict[str, bytes], message: str, tmp_path: pathlib.Path):
    with pytest.raises(errors.ConversionError, match=message):
        files.recognise(_archive(tmp_path / "file", parts))


def test_damaged_archives_get_a_sentence(tmp_path: pathlib.Path):
    whole = _archive(tmp_path / "whole", {"x/data.pkl": MACE * 40, "x/version": b"3"}).read_bytes()
    rng, path = random.Random(0), tmp_path / "damaged"
    for _ in range(300):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with contextlib.suppress(errors.ConversionError):
            files.recognise(path)
    path.write_bytes(whole.replace(MACE * 40, MACE * 39 + b"?" * len(MACE)))
    with pytest.raises(errors.ConversionError, match=r"the archive is damaged .*Bad CRC-32"):
        files.recognise(path)


def test_what_is_no_archive_is_refused(tmp_path: pathlib.Path):
    path = tmp_path / "old.model"
    path.write_bytes(MACE)
    with pytest.raises(errors.ConversionError, match="zip archives; this file is a pickle"):
        files.recognise(path)
    with pytest.raises(errors.ConversionError, match="there is no such file"):
        files.recognise(tmp_path / "none.model")


def test_opening_needs_trust_and_the_sentence_says_why(tmp_path: pathlib.Path):
    source = files.recognise(_archive(tmp_path / "a.model", {"x/data.pkl": MACE}))
    files.check_trust(source, trust=True)
    with pytest.raises(errors.ConversionError, match=r"runs the Python code inside it.*--trust"):
        files.check_trust(source, trust=False)


@pytest.mark.parametrize(
    ("data", "missing", "line"),
    [
        (MACE, "torch", r'with torch.*pip install "equipot\[convert\]" mace-torch\. .*own'),
        (MACE, "mace", r'with mace-torch.*pip install "equipot\[convert\]" mace-torch\. '),
        (LIGHTNING, "nequip", r'with nequip.*pip install "equipot\[convert\]" nequip\. '),
    ],
)
def test_a_missing_program_is_named_with_its_pip_line(
    data: bytes, missing: str, line: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    source = files.recognise(_archive(tmp_path / "a", {"x/data.pkl": data}))
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(errors.ConversionError, match=line):
        files.open_model(source)


def test_allegro_is_asked_for_by_the_name_of_its_package(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    source = files.recognise(_archive(tmp_path / "a", {"x/data.pkl": LIGHTNING}))
    monkeypatch.setitem(sys.modules, "allegro", None)
    with pytest.raises(errors.ConversionError, match=r"nequip nequip-allegro\. "):
        files.require("allegro", source)


def test_a_package_that_hydra_misses_is_asked_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """Hydra hides the module's name in an ImportError that says what it could not locate."""

    def opener(*_: object, **__: object) -> None:
        try:
            raise ModuleNotFoundError("No module named 'allegro'", name="allegro")
        except ModuleNotFoundError as error:
            raise ImportError("Error loading 'allegro.model.AllegroModel'") from error

    modules = {
        "nequip.utils.global_state": {"set_global_state": lambda: None},
        "nequip.model.saved_models": {"ModelFromCheckpoint": opener},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "allegro", None)
    source = files.recognise(_archive(tmp_path / "a", {"x/data.pkl": LIGHTNING}))
    with pytest.raises(errors.ConversionError, match=r"nequip nequip-allegro\. "):
        files._open_nequip(source)


def test_a_pickle_of_something_else_than_a_model_gets_a_sentence(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    torch = types.ModuleType("torch")
    vars(torch)["load"] = lambda *_, **__: {"model": "in a dictionary"}
    monkeypatch.setitem(sys.modules, "torch", torch)
    source = files.recognise(_archive(tmp_path / "a", {"x/data.pkl": MACE}))
    with pytest.raises(errors.ConversionError, match=r"does not open with .*no attribute 'to'"):
        files._open_mace(source)


@pytest.mark.parametrize(
    ("known", "name", "chosen"),
    [(["sole_model"], None, "sole_model"), (["a", "b"], "b", "b")],
)
def test_a_model_is_chosen_by_name(
    known: Sequence[str], name: str | None, chosen: str, tmp_path: pathlib.Path
):
    source = files.recognise(_archive(tmp_path / "a", {"x/data.pkl": LIGHTNING}))
    models = {key: key for key in known}
    assert files.choose(models, name, source) == chosen


@pytest.mark.parametrize("name", [None, "c"])
def test_a_model_must_be_chosen_among_several(name: str | None, tmp_path: pathlib.Path):
    source = files.recognise(_archive(tmp_path / "a", {"x/data.pkl": LIGHTNING}))
    with pytest.raises(errors.ConversionError, match="holds the models a, b: choose one with"):
        files.choose({"a": 1, "b": 2}, name, source)
