import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest

from equipot import errors
from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.potential import archive, arrays, artefact, evaluate, probe
from equipot.testing import structures

SYMBOLLESS_WATER = Structure(
    positions=np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]]),
    atomic_numbers=np.array([8, 1, 1]),
)


@pytest.fixture(scope="module", params=["float32", "float64"])
def potential(request, make_potential):
    return make_potential(request.param)


@pytest.fixture(scope="module")
def saved(make_potential, tmp_path_factory):
    """A float64 potential on disk."""
    return artefact.save(tmp_path_factory.mktemp("a") / "water.equipot", make_potential())


def rewrite(source, target, change):
    """Copies an archive with other parts and right checksums."""
    version, parts = archive.read_archive(source, artefact.KIND, artefact.FORMAT_VERSION)
    change(parts)
    archive.write_archive(target, artefact.KIND, version, parts)
    return target


def test_loading_gives_back_everything_that_was_saved(potential, tmp_path):
    path = artefact.save(tmp_path / "deep" / "water.equipot", potential)
    loaded = artefact.load(path)
    assert loaded.spec == potential.spec
    assert loaded.provenance == potential.provenance
    assert jax.tree.structure(loaded.params) == jax.tree.structure(potential.params)
    for before, after in zip(
        jax.tree.leaves(potential.params), jax.tree.leaves(loaded.params), strict=True
    ):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


def test_a_loaded_potential_says_what_the_saved_one_said(potential, tmp_path):
    loaded = artefact.load(artefact.save(tmp_path / "water.equipot", potential), verify=False)
    before, after = (evaluate.evaluate(p, [SYMBOLLESS_WATER])[0] for p in (potential, loaded))
    assert before.energy == after.energy
    np.testing.assert_array_equal(before.forces, after.forces)


def test_the_same_potential_gives_the_same_bytes(make_potential, saved, tmp_path):
    again = artefact.save(tmp_path / "other_name.equipot", make_potential())
    assert again.read_bytes() == saved.read_bytes()


def test_the_file_holds_json_and_arrays_only(saved):
    with zipfile.ZipFile(saved) as file:
        names = file.namelist()
        description = json.loads(file.read("potential.json"))
    assert {name.rpartition(".")[2] for name in names} == {"json", "npy"}
    assert description["model"]["name"] == "nequip"
    assert description["cutoff"] == 3.5
    assert description["units"]["forces"] == "eV/Å"


def test_an_array_of_objects_is_refused(saved, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    def poison(parts):
        file = tmp_path / "evil.npy"
        np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
        parts["params/scale.npy"] = file.read_bytes()

    with pytest.raises(errors.ArtefactError, match="does not hold what it should"):
        artefact.load(rewrite(saved, tmp_path / "evil.equipot", poison))
    assert not (tmp_path / "executed").exists()


def test_one_flipped_bit_is_found_and_its_part_named(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as file:
        entry = file.getinfo("params/scale.npy")
    data[entry.header_offset + 30 + len(entry.filename) + entry.file_size - 1] ^= 1
    damaged = tmp_path / "damaged.equipot"
    damaged.write_bytes(data)
    with pytest.raises(errors.ArtefactError, match=r"params/scale\.npy is damaged"):
        artefact.load(damaged)


def test_a_part_replaced_by_another_program_is_found_by_its_checksum(saved, tmp_path):
    target = tmp_path / "changed.equipot"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            data = source.read(name)
            copy.writestr(name, data + b" " if name == "provenance.json" else data)
    with pytest.raises(errors.ArtefactError, match=r"provenance\.json is damaged \(its checksum"):
        artefact.load(target)


def test_a_missing_part_is_named(saved, tmp_path):
    target = tmp_path / "short.equipot"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if name != "probe/cell.npy":
                copy.writestr(name, source.read(name))
    with pytest.raises(errors.ArtefactError, match=r"probe/cell\.npy is missing"):
        artefact.load(target)


def test_a_file_cut_off_is_refused(saved, tmp_path):
    target = tmp_path / "cut.equipot"
    target.write_bytes(saved.read_bytes()[:-200])
    with pytest.raises(errors.ArtefactError, match=r"cut off while being copied"):
        artefact.load(target)


def test_a_newer_format_asks_for_an_upgrade(saved, tmp_path):
    _, parts = archive.read_archive(saved, artefact.KIND, artefact.FORMAT_VERSION)
    target = tmp_path / "newer.equipot"
    archive.write_archive(target, artefact.KIND, artefact.FORMAT_VERSION + 1, parts)
    with pytest.raises(
        errors.ArtefactError, match=r"format version 2, .* reads up to 1; .* upgrade"
    ):
        artefact.load(target)


def test_a_foreign_zip_is_refused(tmp_path):
    target = tmp_path / "foreign.equipot"
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("archive/data.pkl", b"")
    with pytest.raises(errors.ArtefactError, match=r"foreign zip file, which holds archive/data"):
        artefact.load(target)


def test_a_missing_file_is_refused_with_its_neighbor_suggested(saved):
    with pytest.raises(errors.ArtefactError, match=r"no such file\. Did you mean 'water.equipot'"):
        artefact.load(saved.parent / "watr.equipot")


def test_an_unknown_model_is_refused_with_a_suggestion(saved, tmp_path):
    def rename(parts):
        description = json.loads(parts["potential.json"])
        description["model"]["name"] = "nequipp"
        parts["potential.json"] = archive.write_json(description)

    with pytest.raises(
        errors.ArtefactError, match=r"unknown model 'nequipp'\. Did you mean 'nequip'"
    ):
        artefact.load(rewrite(saved, tmp_path / "renamed.equipot", rename))


def test_parameters_of_another_shape_are_named(saved, tmp_path):
    def shorten(parts):
        parts["params/shift.npy"] = parts["params/scale.npy"]
        del parts["params/scale.npy"]

    with pytest.raises(errors.ArtefactError, match=r"params/scale has shape None, expected \(2,\)"):
        artefact.load(rewrite(saved, tmp_path / "short.equipot", shorten))


def test_other_numbers_than_at_saving_are_found_by_the_probe(saved, tmp_path):
    def mistrain(parts):
        name = "params/scale.npy"
        changed = arrays.from_bytes(parts[name]) * (1 + 1e-6)
        parts[name] = arrays.to_bytes(changed)

    changed = rewrite(saved, tmp_path / "changed.equipot", mistrain)
    with pytest.raises(errors.ArtefactError, match="energies of the stored probe differ by"):
        artefact.load(changed)
    artefact.load(changed, verify=False)


def test_parameters_that_are_not_finite_are_not_saved(make_potential, tmp_path):
    broken = evaluate.cast(make_potential(), "float64")
    broken.params["scale"][0] = np.nan
    with pytest.raises(errors.NonFiniteError, match="params/scale holds NaN"):
        artefact.save(tmp_path / "water.equipot", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_previous_file(saved, tmp_path):
    target = tmp_path / "water.equipot"
    target.write_bytes(saved.read_bytes())
    program = (
        "import pathlib, resource, signal, sys; from equipot.potential import archive\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "archive.write_archive(pathlib.Path(sys.argv[1]), 'x', 1, {'a': bytes(100_000)})"
    )
    command = [sys.executable, "-c", program, str(target)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert "File too large" in run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["water.equipot"]
    assert target.read_bytes() == saved.read_bytes()


def test_a_folder_that_cannot_be_made_is_one_sentence(make_potential, saved):
    with pytest.raises(errors.ArtefactError, match=r"equipot/new\.equipot: could not be written"):
        artefact.save(saved / "new.equipot", make_potential())


def test_provenance_must_be_json(make_potential, tmp_path):
    strange = dataclasses.replace(make_potential(), provenance={"when": object()})
    with pytest.raises(errors.ArtefactError, match="expected numbers, strings"):
        artefact.save(tmp_path / "water.equipot", strange)


@pytest.mark.parametrize("species_table", [(1,), (1, 8), tuple(range(1, 9)), tuple(range(1, 90))])
@pytest.mark.parametrize("cutoff", [2.5, 6.0])
def test_the_probe_is_small_and_covers_the_species(species_table, cutoff):
    structure = probe.make_structure(species_table, cutoff)
    graph = batching.build_graph(structure, cutoff, species_table, np.zeros(len(species_table)))
    assert graph.num_nodes == probe.MAX_ATOMS
    assert 8 * 2 < graph.num_edges <= probe.MAX_EDGES
    assert len(set(structure.atomic_numbers)) == min(len(species_table), 8)


def test_a_potential_of_the_first_versions_keeps_its_switch_and_its_numbers():
    path = pathlib.Path(__file__).parents[1] / "data/potentials/switched_by_neighbors.equipot"
    potential = artefact.load(path)
    assert potential.spec.anchor_isolated and potential.spec.bond_radii is None
    made = [structures.cluster(3.0, (1, 6, 8)), structures.atom(8), structures.pair(2.0, 1, 8)]
    cluster, atom, pair = evaluate.evaluate(potential, made, 1)
    # As written beside the file by the version that saved it.
    assert cluster.energy == pytest.approx(-6164.078310628756, abs=1e-9)
    assert np.abs(cluster.forces).sum() == pytest.approx(9.373515053936327, abs=1e-9)
    assert atom.energy == -2041.8397
    assert pair.energy == pytest.approx(-2054.361701236632, abs=1e-9)
    assert np.abs(pair.forces).max() == pytest.approx(1.0181832566182276, abs=1e-9)
