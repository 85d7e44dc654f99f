"""Files of Nequix: the numbers of the program itself, the forms of its files, and broken ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from equipot import errors
from equipot.cli import main
from equipot.convert.foundation import nequix
from equipot.potential import artefact
from tests.convert.foundation import files, structures

# ``python -m tests.convert.foundation.make_values`` prints the program's own numbers, float32: of
# forces those on the first atom and the norm, of the stress the diagonal and the norm.
ENERGY = -29.220203
FORCES = (1.25423, -0.477557, 0.193297, 4.565961)
STRESS = (0.0574758, 0.0812283, 0.0678065, 0.1252475)


@pytest.mark.wide
def test_a_small_file_gives_what_the_program_gives(tmp_path: Path):
    potential = nequix.read(files.write_nequix(tmp_path / "small.nqx"))
    energy, forces, stress = structures.summary(potential)
    assert energy == pytest.approx(ENERGY, abs=2e-5)
    assert forces == pytest.approx(FORCES, abs=2e-5)
    assert stress == pytest.approx(STRESS, abs=2e-6)


def test_single_numbers_in_between_and_a_newline_at_the_end_change_nothing(tmp_path: Path):
    arrays = files.nequix_arrays()
    plain = nequix.read(files.write_nequix(tmp_path / "plain.nqx", arrays))
    mixed = [a for array in arrays for a in (np.float32(3.0) * np.ones(()), array, np.array(2))]
    other = nequix.read(files.write_nequix(tmp_path / "mixed.nqx", mixed, end=b"\n"))
    assert plain.spec == other.spec
    first, second = (dict(_leaves(p.params)) for p in (plain, other))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def _leaves(tree, path=()):
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _leaves(value, (*path, name))
    else:
        yield path, tree


def test_the_command_needs_no_trust_and_keeps_no_private_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    files.write_nequix(tmp_path / "small.nqx", n_layers=1)
    main.main(["convert", "small.nqx"])
    assert "small.equipot: nequip, 3 elements, float32" in capsys.readouterr().out
    found = artefact.read("small.equipot").potential
    assert found.spec.atomic_energies == pytest.approx(
        (files.nequix_arrays({**files.HEADER, "n_layers": 1})[0] + 0.15).tolist()
    )
    assert found.provenance["converted_from"]["kind"] == "model of nequix"
    assert "private" not in str(found.provenance)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lmax": 3}, "expected features 0e+1o+2e and harmonics up to the same degree"),
        ({"hidden_irreps": "4x0e + 3x1e"}, "expected features 0e+1o and harmonics"),
        ({"hidden_irreps": "banana"}, "hidden_irreps"),
        ({"index_weights": True}, "self-connections of each species"),
        ({"cutoff": "six"}, "expected a number for cutoff in its first line, received 'six'"),
        ({"n_layers": 2.5}, "expected a whole number for n_layers"),
        ({"lmax": float("inf")}, "expected a whole number for lmax"),
        ({"radial_polynomial_p": 6.5}, "expected a whole number for radial_polynomial_p"),
        ({"atomic_numbers": None}, "expected ascending atomic numbers"),
        ({"scale": float("nan")}, "expected a number for scale"),
        ({"atomic_numbers": [8, 1, 14]}, "expected ascending atomic numbers"),
        ({"atomic_numbers": [0, 1, 14]}, "expected ascending atomic numbers"),
        ({"radial_mlp_size": 7}, "layer 0, radial network: expected numbers of shape (5, 7)"),
        ({"layer_norm": False}, "layer 1, radial network: expected numbers of shape"),
        ({"n_layers": 2}, "expected numbers of shape"),
    ],
)
def test_another_architecture_is_told(changes: dict, message: str, tmp_path: Path):
    path = files.write_nequix(tmp_path / "x.nqx", files.nequix_arrays(), **changes)
    with pytest.raises(errors.ConversionError, match=re.escape(message)) as caught:
        nequix.read(path)
    assert str(path) in str(caught.value)


def test_files_cut_short_or_changed_are_told(tmp_path: Path):
    whole = files.write_nequix(tmp_path / "x.nqx").read_bytes()
    start = whole.index(b"\n") + 1
    for end in (start, start + 100, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.nqx").write_bytes(whole[:end])
        with pytest.raises(errors.ConversionError, match=r"cut\.nqx"):
            nequix.read(tmp_path / "cut.nqx")
    arrays = files.nequix_arrays()
    arrays[3][0] = np.nan
    with pytest.raises(errors.ConversionError, match="holds numbers that are not finite"):
        nequix.read(files.write_nequix(tmp_path / "nan.nqx", arrays))
    extra = [*files.nequix_arrays(), np.ones(3, np.float32)]
    with pytest.raises(errors.ConversionError, match="expected no array after the readout"):
        nequix.read(files.write_nequix(tmp_path / "more.nqx", extra))


def test_a_pickle_among_the_arrays_is_not_opened(tmp_path: Path):
    path = files.write_nequix(tmp_path / "x.nqx", [np.array([{"a": 1}], dtype=object)])
    with pytest.raises(errors.ConversionError, match="expected numbers, found objects of Python"):
        nequix.read(path)
