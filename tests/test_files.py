import errno
import fcntl
import os
import subprocess
import sys

import pytest

from equipot import errors, files


def names(folder):
    return sorted(os.listdir(folder))


def test_a_file_is_written_with_the_folders_it_needs(tmp_path):
    files.write(tmp_path / "deep" / "er" / "a.json", "Å")
    assert (tmp_path / "deep" / "er" / "a.json").read_text(encoding="utf-8") == "Å"
    assert names(tmp_path / "deep" / "er") == ["a.json"]


def test_the_draft_has_the_ending_by_which_writers_choose_a_format(tmp_path):
    with files.whole(tmp_path / "run.1.extxyz.gz") as draft:
        assert draft.parent == tmp_path and draft.name.endswith(".extxyz.gz")
        draft.write_bytes(b"x")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interrupted_writer_leaves_what_stood_there(tmp_path, interruption):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(interruption), files.whole(tmp_path / "a.txt") as draft:
        draft.write_text("half of")
        raise interruption
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"


def test_a_disk_that_is_full_is_one_sentence_with_what_to_do(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with (
        pytest.raises(errors.ConfigError, match=r"a\.txt: could not be written \(No space left.*;"),
        files.whole(tmp_path / "a.txt", errors.ConfigError),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"


def test_only_a_full_disk_is_called_full():
    assert files.cause(OSError(errno.EFBIG, "File too large")).endswith("; free some space")
    assert files.cause(PermissionError(errno.EACCES, "Permission denied")) == "Permission denied"
    assert files.cause(OSError("the compressor refused")) == "the compressor refused"
    assert not files.is_full(ValueError("division by zero"))


def test_a_limit_of_file_sizes_keeps_the_file_before(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    program = (
        "import resource, sys; from equipot import errors, files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: files.write(sys.argv[1], bytes(5000))\n"
        "except errors.DataError as error: print(error)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.txt")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.txt: could not be written (File too large; free some space)" in run.stdout
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"


def test_the_draft_of_a_killed_writer_is_removed_by_the_next_and_one_that_lives_is_not(tmp_path):
    program = (
        "import os, sys; from equipot import files\n"
        "with files.whole(sys.argv[1]) as draft:\n"
        "    draft.write_text('half'); print(draft.name, flush=True)\n"
        "    if sys.stdin.readline() == 'die\\n': os.kill(os.getpid(), 9)"
    )

    def start(name):
        command = [sys.executable, "-c", program, str(tmp_path / name)]
        pipe = subprocess.PIPE
        writer = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        return writer, writer.stdout.readline().strip()

    (killed, stale), (alive, held) = start("a.txt"), start("b.txt")
    killed.communicate("die\n")
    assert names(tmp_path) == sorted([stale, held])
    files.write(tmp_path / "c.txt", "c")
    assert names(tmp_path) == [held, "c.txt"]
    alive.communicate("go on\n")
    assert names(tmp_path) == ["b.txt", "c.txt"]


def test_a_draft_removed_before_its_writer_locked_it_is_made_anew(tmp_path, monkeypatch):
    removed = []

    def slow(handle, operation, lock=fcntl.flock):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    files.write(tmp_path / "a.txt", "whole")
    assert removed and names(tmp_path) == ["a.txt"]


def test_what_only_looks_like_a_draft_is_left_alone(tmp_path):
    (tmp_path / ".draft-folder").mkdir()
    os.mkfifo(tmp_path / ".draft-pipe")
    (tmp_path / ".draft-link").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("x")
    (tmp_path / ".draft-of-a-paper.tex").write_text("x")
    files.write(tmp_path / "a.txt", "a")
    assert len(names(tmp_path)) == 6 and (tmp_path / "precious").exists()


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "real.txt").write_text("before")
    (tmp_path / "link.txt").symlink_to("real.txt")
    files.write(tmp_path / "link.txt", "after")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "after"
    files.write("/dev/null", "nothing")
    assert not os.path.isfile("/dev/null")
    reader, writer = os.pipe()
    files.write(f"/dev/fd/{writer}", "through a pipe")
    os.close(writer)
    with os.fdopen(reader) as found:
        assert found.read() == "through a pipe"


def test_the_mode_of_the_file_stays_and_a_new_one_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new.txt").chmod(0o604)
    files.write(tmp_path / "new.txt", "y")
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o604


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(errors.DataError, match=r"a\.txt: could not be written \(Is a directory\)"):
        files.write(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt"]
