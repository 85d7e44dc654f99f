"""What torch.save wrote is read without torch; what is more than numbers is refused."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from equipot import errors
from equipot.convert.foundation import torch_archive
from tests.convert.foundation import files


def test_tensors_come_back_with_their_strides_and_settings_with_them(tmp_path: Path):
    path = tmp_path / "x.pth"
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    files.write_torch(path, {"a": values, "b": values.T, "none": values[:0], "lr": 0.1})
    found = torch_archive.read(path)
    assert np.array_equal(found["a"], values) and np.array_equal(found["b"], values.T)
    assert found["none"].shape == (0, 3) and found["lr"] == 0.1


def test_devices_become_placeholders(tmp_path: Path):
    path = tmp_path / "x.pth"
    files.write_torch(path, {"device": files.named("torch", "device", "cuda")})
    assert isinstance(torch_archive.read(path)["device"], torch_archive.Ignored)


@pytest.mark.parametrize(
    ("module", "name", "args"),
    [
        ("os", "system", ("touch harm",)),
        ("builtins", "eval", ("open('harm', 'w')",)),
        ("subprocess", "run", (["touch", "harm"],)),
        ("numpy", "fromfile", ("harm",)),
        ("collections", "Counter", ("harm",)),
    ],
)
def test_a_file_that_names_code_is_refused_and_nothing_runs(
    module: str, name: str, args: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    files.write_torch(tmp_path / "x.pth", {"a": files.named(module, name, *args)})
    where = "posix" if module == "os" else module
    with pytest.raises(errors.ConversionError, match=rf"names {where}\.{name}, which is no tensor"):
        torch_archive.read(tmp_path / "x.pth")
    assert not (tmp_path / "harm").exists()


def test_what_would_become_far_larger_than_the_file_is_refused(tmp_path: Path):
    path = tmp_path / "x.pth"
    files.write_torch(path, {"a": np.zeros(2**20, np.float32)})
    with (
        zipfile.ZipFile(path) as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(errors.ConversionError, match="expected parts that are stored as they are"):
        torch_archive.read(tmp_path / "packed.pth")
    with pytest.raises(pickle.UnpicklingError, match="repeats 1 numbers"):
        torch_archive._tensor(np.ones(1, np.float32), 0, (2**34,), (0,))
    assert torch_archive._tensor(np.ones(1, np.float32), 0, (3, 4), (0, 0)).shape == (3, 4)


def test_an_unknown_kind_of_numbers_is_refused(tmp_path: Path):
    files.write_torch(tmp_path / "x.pth", {"a": np.ones(2, np.float32)}, "QInt8Storage")
    with pytest.raises(errors.ConversionError, match=r"names torch\.QInt8Storage"):
        torch_archive.read(tmp_path / "x.pth")


@pytest.mark.parametrize("args", [(1, (2, 3), (3, 1)), (0, (2, 3), (-3, 1)), (-1, (2,), (1,))])
def test_a_tensor_stays_within_its_numbers(args: tuple):
    with pytest.raises(pickle.UnpicklingError, match="reaches beyond its numbers"):
        torch_archive._tensor(np.ones(6, np.float32), *args)


def test_damaged_files_get_a_sentence(tmp_path: Path):
    path = tmp_path / "x.pth"
    files.write_torch(path, {"a": np.arange(400, dtype=np.float32), "b": {"c": 1}})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            data = data[: rng.integers(len(data))]
        else:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data))
        try:
            torch_archive.read(path)
        except errors.ConversionError as error:
            assert str(path) in str(error)


def test_numbers_that_are_missing_are_told(tmp_path: Path):
    path = tmp_path / "x.pth"
    files.write_torch(path, {"a": np.ones(4, np.float32)})
    with zipfile.ZipFile(path) as archive:
        data = archive.read("model/data.pkl")
    for parts in ({}, {"model/data/0": bytes(12)}):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {"model/data.pkl": data, **parts}.items():
                archive.writestr(name, content)
        with pytest.raises(errors.ConversionError, match="is damaged"):
            torch_archive.read(path)


def test_an_archive_without_a_pickle_is_told(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("readme.txt", b"")
    with pytest.raises(errors.ConversionError, match="found no pickle"):
        torch_archive.read(tmp_path / "x.pth")
