"""``equipot prepare``, and ``equipot-train`` on what it made."""

import re

import ase.io
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.cli import main
from equipot.data.stored import folder
from equipot.store import workers
from tests.cli import running


def test_a_store_is_made_with_the_settings_of_training(copper, tmp_path, capsys):
    target = tmp_path / "copper.store"
    settings = [f"data.train={copper}", "data.group_key=shift", "model=nequip", "model.cutoff=3.5"]
    main.main(["prepare", *settings, "--processes", "1", "-o", str(target)])
    said = capsys.readouterr().out
    assert "copper.extxyz: 12 frames; energy from 'energy' (12)" in said
    assert f"{target}: 12 structures" in said and "within 3.5 Å" in said
    made = folder.Folder(target)
    assert made.manifest["settings"]["group_key"] == "shift"
    assert (target / "neighbors-3.5" / folder.MANIFEST).is_file()


def test_settings_of_the_users_own_folder_and_isolated_atoms_are_noticed(copper, tmp_path, capsys):
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\n# mine\nmodel:\n  cutoff: 3.25\n"
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(text)
    words = ["--config-dir", str(tmp_path / "own"), "+experiment=mine", f"data.train={copper}"]
    words += [f"data.isolated_atoms={copper}", "--processes", "1"]
    main.main(["prepare", *words, "-o", str(tmp_path / "copper.store")])
    said = capsys.readouterr().out
    assert "within 3.25 Å" in said
    assert "data.isolated_atoms is not written to the store: give it to equipot-train too" in said


def test_isolated_atoms_alone_are_no_store(tmp_path, capsys):
    atom = Atoms("Cu", info={"config_type": "IsolatedAtom"})
    atom.calc = SinglePointCalculator(atom, energy=-1.0, forces=[[0.0, 0.0, 0.0]])
    ase.io.write(tmp_path / "alone.extxyz", atom)
    words = [f"data.train={tmp_path / 'alone.extxyz'}", "--processes", "1"]
    with pytest.raises(SystemExit, match="2"):
        main.main(["prepare", *words, "-o", str(tmp_path / "made.store")])
    assert "alone.extxyz: no structures but isolated atoms" in capsys.readouterr().err
    assert not (tmp_path / "made.store").exists()


def test_without_a_list_of_own_cores_all_count(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert (workers.count(2), workers.count(1000)) == (2, 3)


@pytest.mark.slow  # tests/integration/test_store.py trains without the command
def test_training_takes_the_store(copper, tmp_path):
    target = tmp_path / "copper.store"
    main.main(["prepare", f"data.train={copper}", "--processes", "1", "-o", str(target)])
    done = running.run_train(tmp_path, f"data.train={target}", *running.TINY, pictures=False)
    assert "copper.store: a store of 12 structures" in done.stdout
    assert (target / "neighbors-3.5" / folder.MANIFEST).is_file()  # found for this cutoff
    assert (tmp_path / "runs" / "copper" / "copper.equipot").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data.train=a.xyz", "data.tset=b.xyz"], r"unknown key 'tset'.*Did you mean 'test'"),
        (["data.train=a.xyz", "model.cutoff=4,5"], r"a store is made of one set of data"),
        (["model.cutoff=4"], r"data.train: needs a file of structures"),
        (["data.train=absent.xyz"], r"absent.xyz: no such file"),
        (["data.train=a.xyz", "+model.cutof=4"], r"unknown key 'cutof'.*Did you mean 'cutoff'"),
        (["data.train=a.xyz", "model.cutoff=5A"], r"cutoff: expected float, received '5A'"),
        (["data.train=a.xyz", "--processes", "0"], r"--processes: expected at least 1"),
    ],
)
def test_mistakes_are_said(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main.main(["prepare", *words, "-o", "made.store"])
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "made.store").exists()
