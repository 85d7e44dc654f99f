"""Files that were damaged, or written by a program that was mistaken or malicious."""

import io
import json
import struct
import time
import zipfile

import numpy as np
import pytest

from equipot import errors
from equipot.potential import archive, arrays, artefact


@pytest.fixture(scope="module")
def saved(make_potential, tmp_path_factory):
    """A float32 potential on disk."""
    potential = make_potential("float32")
    return artefact.save(tmp_path_factory.mktemp("a") / "water.equipot", potential)


@pytest.fixture
def rewrite(saved, tmp_path):
    """A function that copies the potential with changed parts and right checksums."""

    def copy(change):
        version, parts = archive.read_archive(saved, artefact.KIND, artefact.FORMAT_VERSION)
        change(parts)
        archive.write_archive(tmp_path / "other.equipot", artefact.KIND, version, parts)
        return tmp_path / "other.equipot"

    return copy


def change_setting(place, value):
    def change(parts):
        holder = description = json.loads(parts["potential.json"])
        *groups, key = place.split(".")
        for group in groups:
            holder = holder[group]
        holder[key] = value
        parts["potential.json"] = json.dumps(description).encode()

    return change


def change_array(name, made):
    def change(parts):
        parts[f"{name}.npy"] = arrays.to_bytes(made(arrays.from_bytes(parts[f"{name}.npy"])))

    return change


def replace_part(name, data):
    return lambda parts: parts.update({name: data})


def put(place, value):
    def made(array):
        changed = array.copy()
        changed[place] = value
        return changed

    return made


def header(descr, shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("dtype", "float16", "potential.dtype: expected one of float32, float64; received 'float1"),
        ("dtype", 32, "potential.dtype: expected str, received 32"),
        ("matmul_precision", "best", "potential.matmul_precision: expected one of highest"),
        ("species_table", [8, 1], "species_table: expected atomic numbers, ascending, received"),
        ("species_table", [1, 1], "species_table: expected atomic numbers, ascending, received"),
        ("species_table", [1, 400], "species_table: expected atomic numbers, ascending, received"),
        ("species_table", [1, 10**400], "species_table: expected atomic numbers, ascending"),
        ("species_table", [], "species_table: expected atomic numbers, ascending"),
        ("atomic_energies", [-13.6], "atomic_energies: expected 2 energies, received 1"),
        ("atomic_energies", [10**400, 1.0], r"atomic_energies\[0\]: expected a number"),
        ("avg_num_neighbors", 0, "avg_num_neighbors: expected a positive number, received 0"),
        ("heads", [], "heads: expected names"),
        ("cutoff", 4.0, r"cutoff is 4.0, the model has 3.5"),
        ("units", {"energy": "kcal/mol"}, "units is .*kcal/mol"),
        ("model", "nequip", "expected the group 'model', found 'nequip'"),
        ("model.cutoff", -3.5, "model.cutoff: expected a positive length"),
        ("model.lmax", 1000, "model.lmax: expected at most 10, received 1000"),
        ("model.polynomial_cutoff", 10**12, "model.polynomial_cutoff: expected at most 100"),
        ("model.num_layers", 10**11, "num_layers: expected at most 100, received 100000000000"),
        ("model.num_layers", 90, "num_layers is 90, but there are only"),
        ("model.num_channels", 10**12, "num_channels is 1000000000000, but there are only"),
        ("model.radial_widths", [10**12], r"radial_widths\[0\] is 1000000000000, but there are"),
        ("model.radial_widths", [0], "model.radial_widths: expected positive widths"),
        ("repulsion", {"covalent_radii": [0.3]}, "covalent_radii: expected 2 radii, received 1"),
        ("anchor_isolated", 1, "potential.anchor_isolated: expected bool, received 1"),
    ],
)
def test_a_setting_that_no_potential_has_is_refused_at_once(rewrite, place, value, sentence):
    path = rewrite(change_setting(place, value))
    began = time.process_time()
    with pytest.raises(errors.ArtefactError, match=sentence):
        artefact.read(path)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"[]", r"potential.json: expected a mapping, received \[\]"),
        (b"null", "expected a mapping, received None"),
        (b"[" * 100_000, "potential.json is no JSON as equipot writes it"),
        (b'{"a": ' * 100_000, "potential.json is no JSON as equipot writes it"),
        (b'{"dtype": NaN}', "NaN is no number"),
        (b'{"dtype": "float32", "dtype": "float64"}', "a key stands there twice"),
        (b'{"dtype": ' + b"9" * 5000 + b"}", "no JSON as equipot writes it"),
        (b"\xff\xfe{", "no JSON as equipot writes it"),
        (b"{}", "expected the group 'model'"),
    ],
)
def test_a_description_that_is_none_is_refused(rewrite, data, sentence):
    with pytest.raises(errors.ArtefactError, match=sentence):
        artefact.read(rewrite(replace_part("potential.json", data)))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda a: a.astype(np.float64), "params/scale holds float64, expected float32"),
        (lambda a: a.astype(np.int64), "params/scale holds int64, expected float32"),
        (put(0, np.nan), "params/scale holds NaN or infinity"),
        (put(1, -np.inf), "params/scale holds NaN or infinity"),
        (lambda a: a[:1], r"params/scale has shape \(1,\), expected \(2,\)"),
    ],
)
def test_parameters_that_are_none_of_the_potentials_are_refused(rewrite, made, sentence):
    with pytest.raises(errors.ArtefactError, match=sentence):
        artefact.read(rewrite(change_array("params/scale", made)))


@pytest.mark.parametrize(
    "data",
    [
        header("<f4", (10**12,)),
        header("<f4", (10**30, 0)),
        header("|O", (2,)) + bytes(16),
        header("<c16", (2,)) + bytes(32),
        header("<f4", (2,)) + bytes(9),
        b"\x93NUMPY\x01\x00\xff\xff{" + b"[" * 60_000,
        b"",
    ],
)
def test_an_array_that_is_not_what_its_header_says_is_refused(rewrite, data):
    with pytest.raises(errors.ArtefactError, match=r"params/scale\.npy is no array as equipot"):
        artefact.read(rewrite(replace_part("params/scale.npy", data)))


@pytest.mark.parametrize(
    ("name", "made", "sentence"),
    [
        ("energies", put(0, np.inf), "probe/energies: expected finite numbers"),
        ("forces", put((0, 0), np.nan), "probe/forces: expected finite numbers"),
        ("stress", lambda a: a[:2], r"probe/stress: expected the shape \(3, 3\)"),
        ("energies", lambda a: a[:1].reshape(()), "probe/energies.npy holds float64"),
        ("positions", lambda a: a[:1, 0].reshape(()), "probe/positions.npy holds float64"),
        ("positions", put((0, 0), np.nan), "positions holds NaN"),
        ("positions", put((0, 0), 1e30), r"positions reaches 1e\+30 Å, beyond"),
        ("cell", lambda a: 1e-9 * a, "probe/cell: expected a cell as wide as the cutoff"),
        ("cell", lambda a: 1e200 * a, r"cell reaches .* Å, beyond"),
        ("cell", lambda a: 0 * a, "probe/cell: expected a cell as wide as the cutoff"),
        ("atomic_numbers", lambda a: 0 * a + 26, "probe/atomic_numbers: expected elements of the"),
        ("atomic_numbers", lambda a: a + 0.5, "probe/atomic_numbers.npy holds float64"),
    ],
)
def test_a_probe_that_proves_nothing_is_refused(rewrite, name, made, sentence):
    with pytest.raises(errors.ArtefactError, match=sentence):
        artefact.read(rewrite(change_array(f"probe/{name}", made)))


def test_a_probe_with_an_enormous_energy_does_not_hide_other_parameters(rewrite, saved):
    path = rewrite(change_array("probe/energies", put(0, 1e300)))
    found = artefact.read(path)
    with pytest.raises(errors.ArtefactError, match="energies of the stored probe differ by 1e"):
        found.check(artefact.read(saved).probe.prediction, found.potential.spec)


def test_an_array_in_the_place_of_a_folder_is_refused(rewrite):
    number = arrays.to_bytes(np.zeros(1, np.float32))
    with pytest.raises(errors.ArtefactError, match="scale is an array and a folder"):
        artefact.read(rewrite(replace_part("params/scale/x.npy", number)))


def test_an_unknown_part_is_refused(rewrite):
    with pytest.raises(errors.ArtefactError, match=r"the part program\.bin is unknown to this"):
        artefact.read(rewrite(replace_part("program.bin", b"x")))


def repack(source, target, compression=zipfile.ZIP_STORED, replaced=(), extra=()):
    """Copies a zip member by member; ``replaced`` and ``extra`` are pairs of name and data."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, dict(replaced).get(name, old.read(name)))
        for name, data in extra:
            new.writestr(name, data)
    return target


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_refused_before_it_is_unpacked(saved, tmp_path, compression):
    bomb = [("params/scale.npy", bytes(5_000_000))]
    target = repack(saved, tmp_path / "bomb.equipot", compression, bomb)
    began = time.process_time()
    with pytest.raises(errors.ArtefactError, match=r"it is damaged|is packed"):
        artefact.read(target)
    assert time.process_time() - began < 1


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["params/scale.npy", "../outside.npy"])
def test_parts_beside_those_of_the_manifest_are_refused(saved, tmp_path, name):
    target = repack(saved, tmp_path / "more.equipot", extra=[(name, b"x")])
    with pytest.raises(errors.ArtefactError, match=f"the part '{name}' is not in the manifest"):
        artefact.read(target)


def test_entries_that_lie_over_each_other_are_refused(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    place = data.index(b"PK\x01\x02")
    while place != -1:  # every part claims half of the file
        data[place + 20 : place + 28] = struct.pack("<II", len(data) // 2, len(data) // 2)
        place = data.find(b"PK\x01\x02", place + 4)
    (tmp_path / "over.equipot").write_bytes(data)
    with pytest.raises(errors.ArtefactError, match="claim to be larger than the file"):
        artefact.read(tmp_path / "over.equipot")


@pytest.mark.parametrize(
    ("offset", "value"), [(6, 99), (8, 1), (10, 77), (42, 255), (44, 255), (28, 255)]
)
def test_a_damaged_directory_is_one_sentence(saved, tmp_path, offset, value):
    data = bytearray(saved.read_bytes())
    place = data.index(b"PK\x01\x02")
    while place != -1:
        data[place + offset] = value
        place = data.find(b"PK\x01\x02", place + 4)
    (tmp_path / "directory.equipot").write_bytes(data)
    with pytest.raises(errors.ArtefactError, match=r"damaged|foreign"):
        artefact.read(tmp_path / "directory.equipot")


def test_a_name_that_takes_in_what_follows_it_is_not_quoted_whole(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as entries:
        place = entries.getinfo(archive.MANIFEST).header_offset
    data[place + 26 : place + 28] = struct.pack("<H", 2000)  # the length of the name
    damaged = tmp_path / "a.equipot"
    damaged.write_bytes(data)
    with pytest.raises(
        errors.ArtefactError, match=r"manifest\.json is damaged.*copy it"
    ) as refused:
        artefact.read(damaged)
    assert len(str(refused.value)) < 400 + len(str(damaged))


def test_what_cannot_be_read_is_said_to_be_so(tmp_path):
    (tmp_path / "folder.equipot").mkdir()
    with pytest.raises(errors.ArtefactError, match="received no regular file"):
        artefact.read(tmp_path / "folder.equipot")
    with pytest.raises(errors.ArtefactError, match=r"could not be read \(File name too long"):
        artefact.read(tmp_path / ("a" * 300 + ".equipot"))


def test_a_file_larger_than_any_potential_is_not_read(tmp_path):
    with (tmp_path / "sparse.equipot").open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(errors.ArtefactError, match="received 10000 GB, more than any has"):
        artefact.read(tmp_path / "sparse.equipot")


@pytest.mark.parametrize(
    "manifest", [{}, {"sha256": []}, {"sha256": {}, "format_version": True}, {"format_version": 0}]
)
def test_a_manifest_without_version_or_parts_is_refused(saved, tmp_path, manifest):
    text = json.dumps({"format": artefact.KIND, **manifest}).encode()
    target = repack(saved, tmp_path / "m.equipot", replaced=[(archive.MANIFEST, text)])
    with pytest.raises(errors.ArtefactError, match="it names no version or parts"):
        artefact.read(target)
