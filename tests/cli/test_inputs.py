"""Missing files, and outputs that stand there, are found before jax is imported."""

import json
import subprocess
import sys

import pytest

from equipot import errors
from equipot.cli import inputs
from equipot.training.config import train_config

PROGRAM = """
import io, contextlib, json, resource, sys
from equipot.cli import main
said = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main.main(words)
            code = 0
        except SystemExit as ended:
            code = ended.code
    said.append([code, err.getvalue()])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([said, "jax" in sys.modules, used.ru_utime + used.ru_stime]))
"""

COMMANDS = {
    "info watr.equipot": "watr.equipot: there is no such file. Did you mean 'water.equipot'?",
    "evaluate watr.equipot a.xyz": "Did you mean 'water.equipot'?",
    "evaluate water.equipot b.xyz": "b.xyz: no such file or folder",
    "evaluate water.equipot a.xyz --output folder": "folder: expected the name of a file to write",
    "evaluate water.equipot a.xyz --json a.xyz/t.json": "because a.xyz is a file and no folder",
    "evaluate water.equipot a.xyz --output a.xyz": "a.xyz: is read from",
    "md watr.equipot a.xyz": "Did you mean 'water.equipot'?",
    "md water.equipot b.xyz": "b.xyz: no such file or folder",
    "md water.equipot a.xyz --output done": "done.csv: already stands there",
    "relax water.equipot b.xyz": "b.xyz: no such file or folder",
    "relax water.equipot a.xyz --output a.xyz": "a.xyz: already stands there; --overwrite",
    "convert b.model": "b.model: no such file or folder",
    "convert a.xyz --output water.equipot": "water.equipot: already stands there",
    "audit watr.equipot": "Did you mean 'water.equipot'?",
    "audit water.equipot --data b.xyz": "b.xyz: no such file or folder",
    "audit water.equipot --output a.xyz": "a.xyz: already stands there",
    "compare nothing": "nothing: expected the folder of a run or of a sweep; there is no such",
    "compare folder --plot folder": "folder: expected the name of a file to write",
    "drive water.equipot b.xyz --ipi unix:a": "b.xyz: no such file or folder",
    "lammps b.in": "b.in: no such file or folder",
    "augment b.xyz --calculator emt --output c.xyz": "b.xyz: no such file or folder",
    "augment a.xyz --calculator emt --output a.xyz": "a.xyz exists",
    "download watr": "watr: no such published potential is known",
}


def test_no_command_imports_jax_to_say_that_a_file_is_missing(tmp_path):
    for name in ("a.xyz", "water.equipot", "done.csv"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder").mkdir()
    words = json.dumps([line.split() for line in COMMANDS])
    command = [sys.executable, "-c", PROGRAM, words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    said, has_jax, seconds = json.loads(done.stdout)
    for (code, text), (line, expected) in zip(said, COMMANDS.items(), strict=True):
        assert code == 2 and expected in text, (line, text)
    assert not has_jax
    assert seconds < 2.0  # all of them; one import of jax takes longer


def test_training_names_each_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xyz").write_text("")
    there = {"train": "a.xyz", "valid": None}
    keys = ("train", "valid", "test", "isolated_atoms", "split_file")

    def config(**settings):
        return train_config({"model": {"name": "mace"}, "data": there} | settings)

    inputs.of_training(config())
    for key in keys:
        with pytest.raises(errors.DataError, match=r"b\.xyz: no such file"):
            inputs.of_training(config(data=there | {key: "b.xyz"}))
    with pytest.raises(errors.ArtefactError, match=r"b\.equipot: there is no such file"):
        inputs.of_training(config(init_from="b.equipot"))


def test_a_finished_run_needs_no_data(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    settings = {"model": {"name": "mace"}, "data": {"train": "gone.xyz"}}
    inputs.of_training(train_config(settings | {"run_dir": str(tmp_path)}))
    with pytest.raises(errors.DataError, match="gone"):
        inputs.of_training(train_config(settings | {"run_dir": str(tmp_path / "other")}))
