import os
import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "newest_python.sh"


def _make_python(path, minor, works=True):
    """A stand-in that prints its version, as the script asks it to, or fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {minor}\n" if works else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)


def _find(tmp_path, old):
    _make_python(tmp_path / "old", old)
    environment = {"PATH": f"{tmp_path}/bin:{os.defpath}", "PYENV_ROOT": str(tmp_path / "pyenv")}
    command = [SCRIPT, tmp_path / "old"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_python_on_the_path_that_does_not_run_is_passed_over(tmp_path):
    _make_python(tmp_path / "bin" / "python3.13", 13, works=False)
    _make_python(tmp_path / "bin" / "python3.12", 12)
    assert _find(tmp_path, 11) == ["python3.12"]


def test_the_newest_of_those_that_pyenv_has_is_found(tmp_path):
    _make_python(tmp_path / "bin" / "python3.12", 12)
    _make_python(tmp_path / "bin" / "python3.13", 13, works=False)
    newest = tmp_path / "pyenv" / "versions" / "3.13.5" / "bin" / "python3"
    _make_python(newest, 13)
    assert _find(tmp_path, 11) == [str(newest)]


def test_nothing_is_found_where_no_python_is_newer(tmp_path):
    _make_python(tmp_path / "bin" / "python3.12", 12)
    _make_python(tmp_path / "bin" / "python3.13", 13, works=False)
    assert _find(tmp_path, 12) == []
